/* Recording an image all of whose layers are in the store: manifest, configuration, the image
 * itself, its names. What pull, load and import end with. */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/value.h"
#include "image/store.h"

struct record {
        const char *manifest; /* exact bytes, parsed here */
        size_t nmanifest;
        const char *config;
        size_t nconfig;
        const char *index; /* that the manifest was chosen from; NULL: none */
        size_t nindex;
        const struct layer *layers; /* as committed, one for each diff_id */
        size_t nlayers;
        struct strings names; /* full: tags, taken from who has them, and REPOSITORY@DIGEST */
};
/* Blobs first, then the image, then its names (S2). ret (in a) is what was recorded. */
int image_record(struct store *s, struct arena *a, const struct record *r, struct image *ret,
                 struct err *e);
