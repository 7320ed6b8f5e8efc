/* Several layers of the store written out at once, as tars or compressed: what push and save send.
 *
 * One berth-layer each, biggest first, in one loop that also watches what its caller waits for. */
#pragma once

#include "image/interrupts.h"
#include "image/layer.h"

struct packing {
        struct layer layer;
        int dir, out;            /* the layer's directory, and where to: the caller's */
        const char *compression; /* NULL: its exact tar */
        int level;               /* 0: the compression's own */
        void *of;                /* the caller's */
        /* once it is packed: */
        char digest[DIGEST_CAP];
        uint64_t size;
        /* private */
        struct layer_process process;
        bool begun;
};

struct pack_loop {
        unsigned jobs; /* at once; 0: as many as processors, at most 4 */
        const struct log *log;
        const struct interrupts *interrupts; /* NULL: nothing interrupts */
        int fd;                              /* to be watched as well; -1: none */
        /* Any may be NULL; -1 ends the loop, with e. */
        void (*progress)(void *ctx, struct packing *p, uint64_t bytes); /* of the tar, so far */
        int (*packed)(void *ctx, struct packing *p, struct err *e);
        int (*readable)(void *ctx, struct err *e); /* fd is */
        void *ctx;
};

/* A file without a name, in the store, to pack into: nothing is left of it when we die. */
int pack_file(struct store *s, struct err *e);
/* Closes dir and out of each. */
void pack_done(struct packing *v, size_t n);
/* Packs v[0..n), whose order it changes. Where it fails all have ended, and the error names the
 * layer. */
int pack_layers(struct packing *v, size_t n, const struct pack_loop *l, struct err *e);
