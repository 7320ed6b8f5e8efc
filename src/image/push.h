/* Pushing an image, an index or an artifact of the store to a repository.
 *
 * The manifest goes out byte for byte as it is here wherever that is possible: where each blob that
 * it names is at the destination already, can be mounted from another repository of the same
 * registry, was kept in the store, or comes out of the layer as it was. Otherwise layers are
 * packed again, and a manifest is written that names those blobs; the configuration, so the
 * image's ID, and each diffID stay what they are. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "image/fetch.h"
#include "image/pull.h"
#include "image/store.h"

enum push_format { PUSH_AS_IT_IS, PUSH_OCI, PUSH_DOCKER };

struct push_options {
        struct fetch_options fetch;
        enum push_format format;
        const char *compression; /* "gzip", "zstd"; NULL: as it is */
        int level;               /* 0: the packer's own */
        bool force_compression;  /* also where the blob is there in another compression */
        bool all;                /* the index that the image came from, with all of its images */
        unsigned jobs;           /* uploads at once; 0: 3 */
};

struct pushed {
        char digest[DIGEST_CAP]; /* of what the name means now */
        size_t size;
        bool exact; /* it is the digest that it has here */
};

/* Pushes i to `to` (with a host; without tag and digest: "latest"). */
int image_push(struct store *s, struct arena *a, const struct image *i, const struct reference *to,
               const struct push_options *o, const struct watcher *w, const struct log *log,
               struct pushed *ret, struct err *e);
