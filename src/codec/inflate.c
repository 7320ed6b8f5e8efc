/* igzip keeps whole bytes of what follows a member in its bit buffer: they are taken out again and
 * become the first input of the next member. */
#include "codec/inflate.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/macro.h"
#include "base/mem.h"

const char *const compression_names[COMPRESSION_MAX] = { "none", "gzip", "zstd" };

struct inflate {
        enum compression kind;
        bool between; /* members or frames: the stream may end here */
        bool any;     /* something has come */
        bool full;    /* the last output was filled up: there may be more without input */
        const char *problem;
        struct inflate_state *gzip;
        uint8_t carry[8]; /* input that igzip took too much of */
        unsigned ncarry;
        ZSTD_DCtx *zstd;
};

enum compression compression_sniff(const void *p, size_t n)
{
        const uint8_t *b = p;

        if (n >= 3 && b[0] == 0x1f && b[1] == 0x8b && b[2] == 8)
                return COMPRESSION_GZIP;
        if (n >= 4 && b[1] == 0xb5 && b[2] == 0x2f && b[3] == 0xfd && b[0] == 0x28)
                return COMPRESSION_ZSTD;
        /* A stream may begin with a skippable frame: 0x184d2a50 to 5f. */
        if (n >= 4 && (b[0] & 0xf0) == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18)
                return COMPRESSION_ZSTD;
        return COMPRESSION_NONE;
}

static void member_begin(struct inflate *z)
{
        isal_inflate_reset(z->gzip);
        z->gzip->crc_flag = ISAL_GZIP;
        z->between = true;
}

struct inflate *inflate_new(enum compression c, unsigned window_log_max)
{
        struct inflate *z = mem_alloc(sizeof *z);

        z->kind = c;
        z->between = true;
        if (c == COMPRESSION_GZIP) {
                /* Not zeroed: 90 KiB of tables and windows that igzip fills before use. */
                z->gzip = malloc(sizeof *z->gzip);
                if (!z->gzip)
                        abort();
                isal_inflate_init(z->gzip);
                member_begin(z);
        } else if (c == COMPRESSION_ZSTD) {
                z->zstd = ZSTD_createDCtx();
                if (!z->zstd)
                        abort();
                ZSTD_DCtx_setParameter(z->zstd, ZSTD_d_windowLogMax, (int)window_log_max);
        }
        return z;
}

void inflate_free(struct inflate *z)
{
        if (!z)
                return;
        free(z->gzip);
        ZSTD_freeDCtx(z->zstd);
        free(z);
}

const char *inflate_problem(const struct inflate *z)
{
        return z->problem ? z->problem : "";
}

static int fail(struct inflate *z, int code, const char *problem)
{
        z->problem = problem;
        return code;
}

/* ---- gzip ---- */

static const char *gzip_problem(int r)
{
        switch (r) {
        case ISAL_INVALID_WRAPPER:
                return "gzip: invalid header";
        case ISAL_UNSUPPORTED_METHOD:
                return "gzip: unknown compression method";
        case ISAL_INCORRECT_CHECKSUM:
                return "gzip: checksum or length is wrong";
        default:
                return "gzip: invalid data";
        }
}

/* Whole bytes in igzip's bit buffer when a member has ended: they precede those it left alone. */
static void carry_over(struct inflate *z)
{
        struct inflate_state *s = z->gzip;
        unsigned bits = (unsigned)s->read_in_length;
        uint64_t in = s->read_in >> (bits & 7);
        uint8_t all[16];
        unsigned n = 0;

        for (bits -= bits & 7; bits >= 8; bits -= 8, in >>= 8)
                all[n++] = (uint8_t)in;
        memcpy(all + n, z->carry, z->ncarry);
        n += z->ncarry;
        assert(n <= sizeof z->carry); /* they came from one such buffer, or from the bits alone */
        memcpy(z->carry, all, n);
        z->ncarry = n;
}

/* One call of igzip; from the carried bytes first. */
static int gzip_step(struct inflate *z, const uint8_t **in, size_t *n, uint8_t *out, size_t cap)
{
        struct inflate_state *s = z->gzip;
        bool carried = z->ncarry > 0;
        uint32_t take = carried ? z->ncarry : (uint32_t)MIN(*n, (size_t)1 << 30);
        uint8_t carry[sizeof z->carry];
        int r;

        memcpy(carry, z->carry, sizeof carry);
        s->next_in = carried ? carry : (uint8_t *)*in;
        s->avail_in = take;
        s->next_out = out;
        s->avail_out = (uint32_t)cap;
        r = isal_inflate(s);
        if (r < 0)
                return fail(z, -EINVAL, gzip_problem(r));
        if (carried) {
                z->ncarry = s->avail_in;
                memcpy(z->carry, carry + take - s->avail_in, s->avail_in);
        } else {
                *in += take - s->avail_in;
                *n -= take - s->avail_in;
        }
        z->between = s->block_state == ISAL_BLOCK_FINISH;
        z->full = s->avail_out == 0 && !z->between;
        if (z->between) {
                carry_over(z);
                member_begin(z);
        }
        return 0;
}

static int64_t gzip_run(struct inflate *z, const uint8_t **in, size_t *n, uint8_t *out, size_t cap)
{
        size_t put = 0;

        /* A member's end does not fill the output: go on with the next one. */
        while (put < cap && (*n > 0 || z->ncarry > 0 || z->full)) {
                size_t before = *n + z->ncarry, room = cap - put;
                int r = gzip_step(z, in, n, out + put, room);

                if (r < 0)
                        return r;
                put += room - z->gzip->avail_out;
                if (z->gzip->avail_out == room && before > 0 && *n + z->ncarry == before)
                        return fail(z, -EINVAL, "gzip: invalid data");
        }
        return (int64_t)put;
}

/* ---- zstd ---- */

static int64_t zstd_run(struct inflate *z, const uint8_t **in, size_t *n, void *out, size_t cap)
{
        ZSTD_inBuffer i = { *in, *n, 0 };
        ZSTD_outBuffer o = { out, cap, 0 };

        while (o.pos < cap && (i.pos < i.size || z->full)) {
                size_t r = ZSTD_decompressStream(z->zstd, &o, &i);

                if (ZSTD_isError(r)) {
                        bool window =
                                ZSTD_getErrorCode(r) == ZSTD_error_frameParameter_windowTooLarge;

                        return window ? fail(z, -E2BIG, "zstd: window is too large")
                                      : fail(z, -EINVAL, ZSTD_getErrorName(r));
                }
                z->between = r == 0;
                z->full = o.pos == cap && r != 0;
        }
        *in += i.pos;
        *n -= i.pos;
        return (int64_t)o.pos;
}

/* ---- either ---- */

int64_t inflate_run(struct inflate *z, const uint8_t **in, size_t *n, void *out, size_t cap)
{
        size_t k = MIN(*n, cap);

        z->any |= *n > 0;
        if (z->kind == COMPRESSION_GZIP)
                return gzip_run(z, in, n, out, MIN(cap, (size_t)1 << 30));
        if (z->kind == COMPRESSION_ZSTD)
                return zstd_run(z, in, n, out, cap);
        if (k == 0)
                return 0;
        memcpy(out, *in, k);
        *in += k;
        *n -= k;
        return (int64_t)k;
}

int inflate_finish(struct inflate *z)
{
        if (z->kind == COMPRESSION_NONE || (z->between && z->any && z->ncarry == 0))
                return 0;
        return fail(z, -EINVAL, "compressed data is cut off");
}
