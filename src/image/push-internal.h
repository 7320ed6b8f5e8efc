/* Private to push*.c: push.c decides what is pushed and writes manifests, push-layers.c brings the
 * blobs of one manifest to the destination, push-convert.c changes a manifest's family.
 *
 * U1  A manifest is sent after everything that it names.
 * U2  What is packed lies in files without a name, so that nothing is left of a push that dies.
 * U3  One blob is uploaded once, however often manifests name it.
 * U4  A push that fails or is interrupted deletes the uploads that it has open at the registry. */
#pragma once

#include "image/interrupts.h"
#include "image/manifest.h"
#include "image/push.h"

/* A manifest with what it was read from; changed where m is no longer that text. */
struct push_document {
        const char *digest, *text;
        size_t n;
        struct manifest m;
        struct image_config c;
        bool layered; /* an image whose layers are the store's, by c.diff_ids */
        bool changed;
};

struct push_row { /* a layer under way */
        struct transfer t;
        const char *diff_id, *media_type; /* to be remembered: diff_id NULL: nothing */
};

/* What has been brought there in this push. */
struct push_known {
        const char *was;     /* the blob as a manifest named it, */
        struct descriptor d; /* and as it is there */
};

struct push {
        struct store *store;
        struct arena *arena;
        const struct push_options *options;
        const struct watcher *watcher;
        const struct log *log;
        struct reference to;
        const char *repository; /* "host/path" */
        struct fetch *fetch;
        struct interrupts interrupts;
        struct push_row *rows;
        unsigned nrows, first; /* of all manifests; the present one's first */
        unsigned uploading;
        struct push_known *known;
        size_t nknown;
};

/* Tells who watches. */
void push_note(const struct push *p, const char *text);
/* Brings layers and configuration of x there; x->m then names what is there. */
int push_blobs(struct push *p, struct push_document *x, struct err *e);
/* Repositories of the destination's registry that hold blobs of x: paths, without doubles. */
void push_mount_sources(struct push *p, const struct push_document *x, struct strings *ret);

/* "gzip" and "zstd" of media types that end so, else "none". */
const char *push_compression_of(const char *media_type);
/* Makes x's manifest OCI's or docker's; ERR_UNSUPPORTED for what docker's can't say. */
int push_convert(struct push_document *x, bool docker, struct err *e);
