/* The exact archive of a layer in its directory form (image/unpack-headers.h). Nothing in the
 * headers is trusted beyond being read: they were written beside a stranger's files, and the
 * result is compared with the layer's diffID. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/inflate.h"
#include "image/unpack-headers.h"
#include "image/unpack.h"
#include "kernel/resolve.h"

#define PIECE 65536u /* of headers, at a time */

/* ---- reading records ---- */

struct reader {
        int fd;
        struct inflate *inflate;
        uint8_t in[PIECE], out[PIECE];
        const uint8_t *next;
        size_t nin;      /* compressed, at next */
        size_t at, fill; /* of out */
        struct err *err;
        bool failed;
};

static int bad(struct reader *r, const char *what)
{
        if (!r->failed)
                err_set(r->err, ERR_STATE, "layer.headers is damaged: %s", what);
        r->failed = true;
        return -1;
}

static int refill(struct reader *r)
{
        for (;;) {
                int64_t got = inflate_run(r->inflate, &r->next, &r->nin, r->out, sizeof r->out);
                ssize_t n;

                if (got < 0)
                        return bad(r, inflate_problem(r->inflate));
                r->at = 0;
                r->fill = (size_t)got;
                if (got > 0)
                        return 0;
                n = read(r->fd, r->in, sizeof r->in);
                if (n <= 0)
                        return bad(r, n < 0 ? strerror(errno) : "it is cut off");
                r->next = r->in;
                r->nin = (size_t)n;
        }
}

static int byte(struct reader *r)
{
        if (r->at == r->fill && refill(r) < 0)
                return -1;
        return r->out[r->at++];
}

static int number(struct reader *r, uint64_t *ret)
{
        *ret = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
                int c = byte(r);

                if (c < 0)
                        return -1;
                *ret |= (uint64_t)(c & 0x7f) << shift;
                if (!(c & 0x80))
                        return 0;
        }
        return bad(r, "a number is too large");
}

static int text(struct reader *r, struct buf *ret)
{
        uint64_t n;

        buf_clear(ret);
        if (number(r, &n) < 0)
                return -1;
        if (n > 1 << 20)
                return bad(r, "a path is too long");
        for (; n > 0; n--) {
                int c = byte(r);

                if (c < 0)
                        return -1;
                buf_putc(ret, (char)c);
        }
        return 0;
}

static int reader_open(struct reader *r, int dir, struct err *e)
{
        static const char magic[] = "berth-headers 1\n";

        *r = (struct reader){ .err = e };
        r->next = r->in;
        r->inflate = inflate_new(COMPRESSION_ZSTD, 27);
        r->fd = openat(dir, "layer.headers", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (r->fd < 0) {
                r->failed = true;
                return err_sys(e, errno, "cannot open layer.headers");
        }
        for (const char *m = magic; *m; m++)
                if (byte(r) != *m)
                        return bad(r, "it is of another kind");
        return 0;
}

static void reader_close(struct reader *r)
{
        fd_close(r->fd);
        inflate_free(r->inflate);
        free(r);
}

/* ---- what has been moved ---- */

struct move {
        char *path;
        uint64_t when, number; /* when: at which record */
};
struct moves {
        struct move *of;
        size_t n, cap;
};

static int move_compare(const void *a, const void *b)
{
        const struct move *x = a, *y = b;
        int r = strcmp(x->path, y->path);

        return r ? r : x->when < y->when ? -1 : x->when > y->when;
}

/* The first move of path after `when`, or NULL. */
static const struct move *move_find(const struct moves *m, const char *path, uint64_t when)
{
        struct move key = { .path = (char *)path, .when = when };
        size_t lo = 0, hi = m->n;

        while (lo < hi) {
                size_t mid = (lo + hi) / 2;

                if (move_compare(&m->of[mid], &key) <= 0)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        return lo < m->n && str_eq(m->of[lo].path, path) ? &m->of[lo] : NULL;
}

/* Where the file that was made at path, before record `when`, is now: *ret_rest points into path,
 * behind what was moved to replaced/NUMBER; NULL: it was not moved. */
static const struct move *move_of(const struct moves *m, char *path, uint64_t when,
                                  const char **ret_rest)
{
        const struct move *best = NULL;

        if (m->n == 0)
                return NULL;
        for (char *s = path; s;) {
                const struct move *found;

                s = strchr(s + 1, '/');
                if (s)
                        *s = '\0';
                found = move_find(m, path, when);
                if (found && (!best || found->when < best->when)) {
                        best = found;
                        *ret_rest = s ? s + 1 : "";
                }
                if (s)
                        *s = '/';
        }
        return best;
}

/* ---- putting together ---- */

struct rebuild {
        struct reader *r;
        int dir; /* the layer's */
        unpack_tar_fn *fn;
        void *ctx;
        struct moves moves;
        bool only_moves;
        uint64_t when; /* number of the record */
        struct buf directory, name, path;
        int fd; /* of the file that C copies from */
        uint64_t at;
        uint8_t buf[UNPACK_CHUNK];
};

static int literal(struct rebuild *b)
{
        struct reader *r = b->r;
        uint64_t n;

        if (number(r, &n) < 0)
                return -1;
        while (n > 0) {
                size_t k;

                if (r->at == r->fill && refill(r) < 0)
                        return -1;
                k = (size_t)MIN(n, (uint64_t)(r->fill - r->at));
                if (!b->only_moves && b->fn(b->ctx, r->out + r->at, k, r->err) < 0) {
                        r->failed = true;
                        return -1;
                }
                r->at += k;
                n -= k;
        }
        return 0;
}

static int file_open(struct rebuild *b)
{
        const struct move *moved;
        AUTO_BUF where = { .s = NULL };
        const char *rest = "";
        char shown[200];

        b->fd = fd_close(b->fd);
        if (text(b->r, &b->name) < 0)
                return -1;
        b->at = 0;
        if (b->only_moves)
                return 0;
        buf_clear(&b->path);
        if (b->directory.len)
                buf_printf(&b->path, "%s/", b->directory.s);
        buf_puts(&b->path, buf_str(&b->name));
        moved = move_of(&b->moves, b->path.s, b->when, &rest);
        if (moved)
                buf_printf(&where, "replaced/%llu%s%s", (unsigned long long)moved->number,
                           *rest ? "/" : "", rest);
        else
                buf_printf(&where, "fs/%s", b->path.s);
        b->fd = resolve_open(b->dir, where.s, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0,
                             RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
        if (b->fd >= 0)
                return 0;
        b->r->failed = true;
        return err_sys(b->r->err, b->fd, "cannot open the layer's file '%s'",
                       unpack_name(b->path.s, shown));
}

static int copy(struct rebuild *b)
{
        char shown[200];
        uint64_t n;

        if (number(b->r, &n) < 0)
                return -1;
        while (n > 0 && !b->only_moves) {
                size_t k = (size_t)MIN(n, (uint64_t)sizeof b->buf);
                int r = b->fd < 0 ? -EBADF : unpack_pread(b->fd, b->buf, k, b->at);

                b->r->failed = true; /* unless all goes well */
                if (r < 0)
                        return err_sys(b->r->err, r, "cannot read the layer's file '%s'",
                                       unpack_name(buf_str(&b->path), shown));
                if (b->fn(b->ctx, b->buf, k, b->r->err) < 0)
                        return -1;
                b->r->failed = false;
                b->at += k;
                n -= k;
        }
        return 0;
}

static int move_take(struct rebuild *b)
{
        struct moves *m = &b->moves;
        uint64_t k;

        if (text(b->r, &b->path) < 0 || number(b->r, &k) < 0)
                return -1;
        if (!b->only_moves)
                return 0;
        if (m->n == m->cap) {
                m->cap = MAX(2 * m->cap, (size_t)64);
                m->of = mem_realloc(m->of, mem_mul(m->cap, sizeof *m->of));
        }
        m->of[m->n++] = (struct move){ mem_strdup(buf_str(&b->path)), b->when, k };
        return 0;
}

static int records(struct rebuild *b)
{
        for (b->when = 0;; b->when++) {
                int tag = byte(b->r), r;

                switch (tag) {
                case 'L':
                        r = literal(b);
                        break;
                case 'D':
                        r = text(b->r, &b->directory);
                        break;
                case 'F':
                        r = file_open(b);
                        break;
                case 'S':
                        r = number(b->r, &b->at);
                        break;
                case 'C':
                        r = copy(b);
                        break;
                case 'M':
                        r = move_take(b);
                        break;
                case 'E':
                        return 0;
                default:
                        return bad(b->r, "it has an unknown record");
                }
                if (r < 0)
                        return -1;
        }
}

static int pass(struct rebuild *b, bool only_moves, struct err *e)
{
        int r;

        b->r = mem_alloc(sizeof *b->r);
        b->only_moves = only_moves;
        buf_clear(&b->directory);
        r = reader_open(b->r, b->dir, e);
        if (r == 0)
                r = records(b);
        reader_close(b->r);
        b->fd = fd_close(b->fd);
        return r;
}

int unpack_tar_dir(int dir, unpack_tar_fn *fn, void *ctx, struct err *e)
{
        struct rebuild *b = mem_alloc(sizeof *b);
        int r = 0;

        b->dir = dir;
        b->fd = -1;
        b->fn = fn;
        b->ctx = ctx;
        /* Where a file is now is known only once all moves are. */
        if (faccessat(dir, "replaced", F_OK, 0) == 0)
                r = pass(b, true, e);
        if (r == 0 && b->moves.n > 0)
                qsort(b->moves.of, b->moves.n, sizeof *b->moves.of, move_compare);
        if (r == 0)
                r = pass(b, false, e);
        for (size_t i = 0; i < b->moves.n; i++)
                free(b->moves.of[i].path);
        free(b->moves.of);
        buf_done(&b->directory);
        buf_done(&b->name);
        buf_done(&b->path);
        free(b);
        return r;
}
