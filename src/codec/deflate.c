/* Compressing: zlib for gzip, since its output is small and the same everywhere; libzstd. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/macro.h"
#include "base/mem.h"
#include "codec/inflate.h"

struct deflate {
        enum compression kind;
        bool ended;
        z_stream gzip;
        ZSTD_CCtx *zstd;
};

#define GZIP_WRAPPER 16 /* added to zlib's window bits */

struct deflate *deflate_new(enum compression c, int level)
{
        struct deflate *z = mem_alloc(sizeof *z);

        z->kind = c;
        if (c == COMPRESSION_GZIP) {
                level = level < 1 ? Z_DEFAULT_COMPRESSION : MIN(level, 9);
                if (deflateInit2(&z->gzip, level, Z_DEFLATED, MAX_WBITS + GZIP_WRAPPER, 8,
                                 Z_DEFAULT_STRATEGY) != Z_OK)
                        abort();
        } else if (c == COMPRESSION_ZSTD) {
                z->zstd = ZSTD_createCCtx();
                if (!z->zstd)
                        abort();
                ZSTD_CCtx_setParameter(z->zstd, ZSTD_c_compressionLevel,
                                       level == 0 ? 3 : MIN(level, ZSTD_maxCLevel()));
        }
        return z;
}

void deflate_free(struct deflate *z)
{
        if (!z)
                return;
        if (z->kind == COMPRESSION_GZIP)
                deflateEnd(&z->gzip);
        ZSTD_freeCCtx(z->zstd);
        free(z);
}

static int64_t gzip_run(struct deflate *z, const uint8_t **in, size_t *n, void *out, size_t cap,
                        bool last)
{
        uInt take = (uInt)MIN(*n, (size_t)1 << 30), room = (uInt)MIN(cap, (size_t)1 << 30);
        int r;

        z->gzip.next_in = (Bytef *)*in;
        z->gzip.avail_in = take;
        z->gzip.next_out = out;
        z->gzip.avail_out = room;
        r = deflate(&z->gzip, last && take == *n ? Z_FINISH : Z_NO_FLUSH);
        *in += take - z->gzip.avail_in;
        *n -= take - z->gzip.avail_in;
        z->ended = r == Z_STREAM_END;
        return (int64_t)(room - z->gzip.avail_out);
}

static int64_t zstd_run(struct deflate *z, const uint8_t **in, size_t *n, void *out, size_t cap,
                        bool last)
{
        ZSTD_inBuffer i = { *in, *n, 0 };
        ZSTD_outBuffer o = { out, cap, 0 };
        size_t r;

        /* Ended only once it has all input: it would choose by the size of a whole one. */
        do {
                bool end = last && i.pos == i.size;

                r = ZSTD_compressStream2(z->zstd, &o, &i, end ? ZSTD_e_end : ZSTD_e_continue);
                if (ZSTD_isError(r))
                        return -EINVAL;
                z->ended = end && r == 0;
        } while (o.pos < cap && (i.pos < i.size || (last && !z->ended)));
        *in += i.pos;
        *n -= i.pos;
        return (int64_t)o.pos;
}

int64_t deflate_run(struct deflate *z, const uint8_t **in, size_t *n, void *out, size_t cap,
                    bool last)
{
        size_t k = MIN(*n, cap);

        if (z->ended)
                return 0;
        if (z->kind == COMPRESSION_GZIP)
                return gzip_run(z, in, n, out, cap, last);
        if (z->kind == COMPRESSION_ZSTD)
                return zstd_run(z, in, n, out, cap, last);
        if (k == 0)
                return 0;
        memcpy(out, *in, k);
        *in += k;
        *n -= k;
        return (int64_t)k;
}
