/* Between layer.c and berth-layer: descriptors, arguments and the one record that comes back.
 *
 *   berth-layer MODE KEY=VALUE...
 *
 * The record is flat, at most PIPE_BUF long, and its reader trusts none of it: who wrote it has
 * read strangers' bytes. */
#pragma once

#include <limits.h>
#include <stdint.h>

#include "image/layer.h"

enum layer_fd {
        LAYER_FD_INPUT,
        LAYER_FD_OUTPUT,
        LAYER_FD_ERROR,
        LAYER_FD_DIR,    /* staged directory, or the layer's */
        LAYER_FD_RESULT, /* the record goes here */
        LAYER_FD_LOWER,  /* settle: the root of the layers below */
        LAYER_FD_MAX
};

#define LAYER_WIRE_MAGIC 0x6c617931u

struct layer_wire {
        uint32_t magic;
        uint32_t code;
        int32_t sys;
        uint8_t corrupt_spool, leans;
        char chain[sizeof(((struct err *)0)->chain)];
        char hint[sizeof(((struct err *)0)->hint)];
        char digest[DIGEST_CAP], diff_id[DIGEST_CAP];
        uint64_t size, tar_size, entries;
};
static_assert(sizeof(struct layer_wire) <= PIPE_BUF, "one write carries it");
