/* The other direction: a layer's exact tar, plain or compressed; and plain decompression. */
#include "image/unpack-out.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/hash.h"
#include "image/unpack.h"

struct out {
        int fd;
        struct hash diff_id, digest;
        struct deflate *deflate; /* NULL: plain */
        uint8_t *buf;
        int progress;
        uint64_t taken, size; /* of the tar; put */
};

static int put(struct out *o, const void *p, size_t n, struct err *e)
{
        int r = fd_write_all(o->fd, p, n);

        if (r < 0)
                return err_sys(e, r, "cannot write the layer's bytes");
        o->size += n;
        return 0;
}

static int compress_some(struct out *o, const uint8_t *p, size_t n, bool last, struct err *e)
{
        int64_t got;

        while ((got = deflate_run(o->deflate, &p, &n, o->buf, UNPACK_CHUNK, last)) > 0) {
                hash_update(&o->digest, o->buf, (size_t)got);
                if (put(o, o->buf, (size_t)got, e) < 0)
                        return -1;
        }
        return got < 0 ? err_set(e, ERR_INTERNAL, "compressing has failed") : 0;
}

static int take(void *ctx, const uint8_t *p, size_t n, struct err *e)
{
        struct out *o = ctx;

        hash_update(&o->diff_id, p, n);
        o->taken += n;
        lseek(o->progress, (off_t)o->taken, SEEK_SET); /* for layer_progress() */
        return o->deflate ? compress_some(o, p, n, false, e) : put(o, p, n, e);
}

static int verify(struct out *o, const char *diff_id, struct layer_result *ret, struct err *e)
{
        hash_final(&o->diff_id, ret->diff_id);
        if (str_eq(diff_id, ret->diff_id))
                return 0;
        err_set(e, ERR_STATE, "its bytes have the digest '%s' instead of '%s'", ret->diff_id,
                diff_id);
        return err_hint(e, "Its files were changed or damaged; "
                           "`berth system check --repair` removes it.");
}

int unpack_out(const struct unpack_out *u, struct layer_result *ret, struct err *e)
{
        struct out o = { .fd = u->fd, .progress = u->progress };
        enum hash_alg alg;
        int r;

        if (digest_check(u->diff_id, &alg) < 0)
                return err_set(e, ERR_INVALID, "'%s' is no digest", u->diff_id);
        hash_init(&o.diff_id, alg);
        hash_init(&o.digest, HASH_SHA256);
        if (u->compress) {
                o.deflate = deflate_new(u->compression, u->level);
                o.buf = mem_alloc(UNPACK_CHUNK);
        }
        r = u->backend == LAYER_EROFS ? unpack_tar_erofs(u->dir, u->size, take, &o, e)
                                      : unpack_tar_dir(u->dir, take, &o, e);
        if (r == 0 && o.deflate)
                r = compress_some(&o, o.buf, 0, true, e);
        if (r == 0)
                r = verify(&o, u->diff_id, ret, e);
        if (o.deflate)
                hash_final(&o.digest, ret->digest);
        else
                memcpy(ret->digest, ret->diff_id, sizeof ret->digest);
        ret->size = o.size;
        deflate_free(o.deflate);
        free(o.buf);
        return r;
}

/* ---- decompression ---- */

static int inflate_piece(struct inflate *z, const uint8_t *in, size_t n, struct out *o,
                         uint64_t limit, struct err *e)
{
        int64_t got;

        while ((got = inflate_run(z, &in, &n, o->buf, UNPACK_CHUNK)) > 0) {
                if ((uint64_t)got > limit - o->size)
                        return err_set(e, ERR_LIMIT, "it holds more than %llu bytes",
                                       (unsigned long long)limit);
                if (put(o, o->buf, (size_t)got, e) < 0)
                        return -1;
        }
        return got < 0 ? err_set(e, ERR_INVALID, "it is invalid: %s", inflate_problem(z)) : 0;
}

static int read_some(int fd, uint8_t *buf, size_t cap, size_t *ret_n, struct err *e)
{
        ssize_t r;

        do
                r = read(fd, buf, cap);
        while (r < 0 && errno == EINTR);
        if (r < 0)
                return err_sys(e, errno, "cannot read the archive");
        *ret_n = (size_t)r;
        return 0;
}

int unpack_inflate(int in, int out, uint64_t limit, struct err *e)
{
        AUTO_FREE uint8_t *buf = mem_alloc(UNPACK_INPUT), *room = mem_alloc(UNPACK_CHUNK);
        struct out o = { .fd = out, .buf = room };
        struct inflate *z;
        size_t n = 0, more = 1;
        int r = 0;

        while (n < 4 && more > 0 && r == 0) {
                r = read_some(in, buf + n, UNPACK_INPUT - n, &more, e);
                n += more;
        }
        z = inflate_new(compression_sniff(buf, n), 27);
        while (n > 0 && r == 0) {
                r = inflate_piece(z, buf, n, &o, limit, e);
                if (r == 0)
                        r = read_some(in, buf, UNPACK_INPUT, &n, e);
        }
        if (r == 0 && inflate_finish(z) < 0)
                r = err_set(e, ERR_INVALID, "it is invalid: %s", inflate_problem(z));
        inflate_free(z);
        return r;
}
