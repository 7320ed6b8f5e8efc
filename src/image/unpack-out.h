/* berth-layer's modes that give bytes out: `tar`, `pack`, `inflate`. */
#pragma once

#include "codec/inflate.h"
#include "image/layer.h"

struct unpack_out {
        enum layer_backend backend;
        int dir, fd;
        int progress; /* its offset is moved to how much of the tar has been read */
        const char *diff_id;
        uint64_t size; /* of the tar */
        bool compress;
        enum compression compression;
        int level;
};
/* Writes the tar, or the blob made of it, to fd; fills the digests and the size of what was
 * written. An error unless its bytes have the diffID. */
int unpack_out(const struct unpack_out *u, struct layer_result *ret, struct err *e);
/* Decompresses in to out, at most limit bytes. */
int unpack_inflate(int in, int out, uint64_t limit, struct err *e);
