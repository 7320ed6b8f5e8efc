/* An image of one layer from the tar of a root file system. */
#pragma once

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/value.h"
#include "image/platform.h"
#include "image/store.h"

struct import_options {
        struct platform platform; /* fields that are empty: this machine's */
        struct strings changes;   /* compose_change() */
        const char *message;      /* the history's comment; NULL: none */
        const char *name;         /* full; NULL: none */
};
/* Reads the tar, however compressed, from input (a file or pipe) to its end. ret (in a) is the
 * image that was recorded. */
int image_import(struct store *s, struct arena *a, int input, const struct import_options *o,
                 const struct log *log, struct image *ret, struct err *e);
