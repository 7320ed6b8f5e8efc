/* The EROFS form of a layer: the archive goes to layer.tar as it comes, the index over it is built
 * in memory and written at the end. Both files are opened before any byte is read, so that the
 * process then needs no path at all. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "codec/erofs.h"
#include "image/unpack-settle.h"
#include "image/unpack.h"

/* Dirty pages are handed to the disk as they come, so that the sync that ends it all finds little
 * left to do. */
#define WRITEBACK (16u << 20)

struct sink_erofs {
        struct sink s;
        struct tar *tar;
        struct erofs *erofs;
        struct tar_limits limits;
        int tar_fd, image_fd;
        uint64_t written, flushed; /* of layer.tar */
        struct err *err;           /* where the handler words its error */
        uint8_t *buf;              /* of the image */
        size_t fill;
};

/* ---- from the parser ---- */

static int refuse(struct sink_erofs *x, const struct tar_entry *t, int code, const char *rule)
{
        unpack_refuse_entry(x->err, x->s.entries + 1, t->path, code, rule);
        return -ECANCELED;
}

static int on_entry(void *ctx, const struct tar_entry *t)
{
        struct sink_erofs *x = ctx;
        int r = erofs_add(x->erofs, t);

        if (r < 0)
                return refuse(x, t, r, erofs_problem(x->erofs));
        if (erofs_count(x->erofs) > x->limits.entries)
                return refuse(x, t, -E2BIG, "the layer has too many files and directories");
        x->s.entries++;
        return 0;
}

static int on_data(void *ctx, uint64_t offset, const void *p, size_t n)
{
        return 0; /* it stays in layer.tar */
}

static int on_end(void *ctx)
{
        return 0;
}

static const struct tar_handler handler = { on_entry, on_data, on_end };

static int parser_failed(struct sink_erofs *x, int code, struct err *e)
{
        return code == -ECANCELED ? -1 : unpack_refuse(e, code, tar_problem(x->tar));
}

/* ---- the archive ---- */

static int feed(struct sink *s, const uint8_t *p, size_t n, struct err *e)
{
        struct sink_erofs *x = (struct sink_erofs *)s;
        int r = fd_write_all(x->tar_fd, p, n);

        if (r < 0)
                return err_sys(e, r, "cannot write the layer's archive");
        x->written += n;
        if (x->written - x->flushed >= WRITEBACK) {
                sync_file_range(x->tar_fd, (off_t)x->flushed, (off_t)(x->written - x->flushed),
                                SYNC_FILE_RANGE_WRITE);
                x->flushed = x->written;
        }
        x->err = e;
        r = tar_feed(x->tar, p, n);
        return r < 0 ? parser_failed(x, r, e) : 0;
}

/* ---- the index ---- */

static int device_read(void *ctx, uint64_t offset, void *p, size_t n)
{
        struct sink_erofs *x = ctx;

        return unpack_pread(x->tar_fd, p, n, offset);
}

static int device_append(void *ctx, const void *p, size_t n)
{
        struct sink_erofs *x = ctx;

        return fd_write_all(x->tar_fd, p, n);
}

static int buf_flush(struct sink_erofs *x)
{
        int r = fd_write_all(x->image_fd, x->buf, x->fill);

        x->fill = 0;
        return r;
}

static int put(void *ctx, const void *p, size_t n)
{
        struct sink_erofs *x = ctx;
        int r = 0;

        if (x->fill + n > UNPACK_CHUNK)
                r = buf_flush(x);
        if (r == 0 && n > UNPACK_CHUNK)
                return fd_write_all(x->image_fd, p, n);
        memcpy(x->buf + x->fill, p, n);
        x->fill += n;
        return r;
}

static int count_lean(void *ctx, const struct lean *l)
{
        return 1;
}

/* Writes the image over the archive as it is now; both end up complete. */
static int image_write(struct sink_erofs *x, struct err *e)
{
        static const uint8_t zeros[512];
        const struct erofs_device device = { device_read, device_append, x };
        uint64_t size = x->written;
        int r = fd_write_all(x->tar_fd, zeros, tar_padding(size));

        size += tar_padding(size);
        if (r == 0)
                r = erofs_align(x->erofs, &device, &size);
        if (r < 0)
                return err_sys(e, r, "cannot write the layer's archive");
        x->buf = malloc(UNPACK_CHUNK);
        if (!x->buf)
                abort();
        r = erofs_write(x->erofs, size, put, x);
        if (r == 0)
                r = buf_flush(x);
        if (r == -E2BIG)
                return err_set(e, ERR_LIMIT, "the layer is too large for an index");
        return r < 0 ? err_sys(e, r, "cannot write the layer's index") : 0;
}

static int finish(struct sink *s, struct err *e)
{
        struct sink_erofs *x = (struct sink_erofs *)s;
        int r = tar_finish(x->tar);

        if (r < 0)
                return unpack_refuse(e, r, tar_problem(x->tar));
        s->leans = erofs_leans(x->erofs, count_lean, NULL) != 0;
        /* An index that leans is written once what it leans on is known. */
        return s->leans ? 0 : image_write(x, e);
}

static void sink_free(struct sink *s)
{
        struct sink_erofs *x = (struct sink_erofs *)s;

        tar_free(x->tar);
        erofs_free(x->erofs);
        fd_close(x->tar_fd);
        fd_close(x->image_fd);
        free(x->buf);
        free(x);
}

static struct sink_erofs *sink_make(const struct tar_limits *limits)
{
        struct sink_erofs *x = mem_alloc(sizeof *x);

        x->s = (struct sink){ .feed = feed, .finish = finish, .free = sink_free };
        x->limits = *limits;
        x->tar = tar_new(limits, &handler, x);
        x->erofs = erofs_new();
        x->tar_fd = x->image_fd = -1;
        return x;
}

struct sink *sink_erofs_new(const struct layer_job *j, struct err *e)
{
        struct sink_erofs *x = sink_make(&j->limits);
        int flags = O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC;

        x->tar_fd = openat(j->stage, "layer.tar", flags, 0644);
        x->image_fd = openat(j->stage, "layer.erofs", flags, 0644);
        if (x->tar_fd < 0 || x->image_fd < 0) {
                err_sys(e, errno, "cannot create the layer's files");
                sink_free(&x->s);
                return NULL;
        }
        return &x->s;
}

/* ---- settling ---- */

struct lean_row {
        struct lean_row *next;
        const char *path, *target;
};
struct settle {
        struct sink_erofs *x;
        int lower;
        struct seeds seeds;
        struct arena a;
        struct lean_row *rows, **end;
};

static int take_row(void *ctx, const struct lean *l)
{
        struct settle *s = ctx;
        struct lean_row *row = arena_new(&s->a, struct lean_row);

        row->path = arena_strdup(&s->a, l->path);
        row->target = l->target ? arena_strdup(&s->a, l->target) : NULL;
        *s->end = row;
        s->end = &row->next;
        return 0;
}

/* Behind the archive, at the next block. */
static int append_file(struct sink_erofs *x, const struct lower *l, uint64_t *ret_at)
{
        static const uint8_t zeros[512];
        AUTO_FREE uint8_t *buf = mem_alloc(UNPACK_CHUNK);
        size_t pad = tar_padding(x->written);
        int r = fd_write_all(x->tar_fd, zeros, pad);

        x->written += pad;
        *ret_at = x->written;
        for (uint64_t at = 0; at < l->t.size && r == 0;) {
                size_t n = (size_t)MIN(l->t.size - at, (uint64_t)UNPACK_CHUNK);

                r = unpack_pread(l->fd, buf, n, at);
                if (r == 0)
                        r = fd_write_all(x->tar_fd, buf, n);
                at += n;
                x->written += n;
        }
        return r;
}

static int settle_directory(struct settle *s, const char *path, struct err *e)
{
        struct lower l;
        int r = lower_dir(s->lower, path, &l);

        if (r == -ENOENT)
                return 0;
        if (r == 0 && l.t.type == TAR_SYMLINK) {
                seeds_add(&s->seeds, path, &l);
        } else if (r == 0) {
                l.t.path = path;
                r = erofs_settle(s->x->erofs, path, &l.t);
        }
        lower_done(&l);
        return r < 0 ? err_sys(e, r, "cannot take over the attributes of '%.200s'", path) : 0;
}

static int settle_link(struct settle *s, const struct lean_row *row, struct err *e)
{
        struct lower l;
        int r = lower_file(s->lower, row->target, &l);

        if (r == -ENOENT || r == -EISDIR)
                return err_set(e, ERR_INVALID,
                               "its entry '%.120s' is a hard link to '%.120s', which is no file of"
                               " this layer or those below",
                               row->path, row->target);
        if (r == 0 && l.t.type == TAR_FILE)
                r = append_file(s->x, &l, &l.t.data_at);
        l.t.path = row->path;
        if (r == 0)
                r = erofs_settle(s->x->erofs, row->path, &l.t);
        lower_done(&l);
        /* Links of one target are answered by the first. */
        return r < 0 && r != -ENOENT
                       ? err_sys(e, r, "cannot make the hard link '%.200s'", row->path)
                       : 0;
}

/* The archive is parsed again: what of it would have to be kept for this is its own size. */
static int parse_again(struct settle *s, uint64_t size, struct err *e)
{
        struct sink_erofs *x = s->x;
        AUTO_FREE uint8_t *buf = mem_alloc(UNPACK_CHUNK);
        int r = 0;

        x->err = e;
        for (size_t i = 0; i < s->seeds.n; i++)
                if (erofs_add(x->erofs, &s->seeds.of[i].t) < 0)
                        return unpack_refuse(e, -EINVAL, erofs_problem(x->erofs));
        for (uint64_t at = 0; at < size && r == 0;) {
                size_t n = (size_t)MIN(size - at, (uint64_t)UNPACK_CHUNK);

                r = unpack_pread(x->tar_fd, buf, n, at);
                if (r < 0)
                        return err_sys(e, r, "cannot read the layer's archive");
                r = tar_feed(x->tar, buf, n);
                at += n;
        }
        if (r == 0)
                r = tar_finish(x->tar);
        if (r < 0)
                return parser_failed(x, r, e);
        s->rows = NULL;
        s->end = &s->rows;
        erofs_leans(x->erofs, take_row, s);
        return 0;
}

static int settle_rows(struct settle *s, struct err *e)
{
        for (struct lean_row *row = s->rows; row; row = row->next)
                if (!row->target && settle_directory(s, row->path, e) < 0)
                        return -1;
        return 0;
}

static int settle_links(struct settle *s, struct err *e)
{
        for (struct lean_row *row = s->rows; row; row = row->next)
                if (row->target && settle_link(s, row, e) < 0)
                        return -1;
        return 0;
}

/* 0; 1: a symlink has been found that comes first. */
static int settle_round(struct settle *s, int stage, uint64_t size, struct err *e)
{
        struct tar_limits limits = tar_limits_default;
        size_t before = s->seeds.n;
        int r;

        limits.entries = limits.bytes = UINT64_MAX; /* it has passed them before */
        s->x = sink_make(&limits);
        s->x->tar_fd = openat(stage, "layer.tar", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
        s->x->image_fd = openat(stage, "layer.erofs", O_RDWR | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
        if (s->x->tar_fd < 0 || s->x->image_fd < 0 ||
            lseek(s->x->tar_fd, (off_t)size, SEEK_SET) < 0)
                r = err_sys(e, errno, "cannot open the layer's files");
        else
                r = parse_again(s, size, e);
        if (r == 0)
                r = settle_rows(s, e);
        if (r == 0 && s->seeds.n > before)
                r = 1;
        s->x->written = size;
        if (r == 0)
                r = settle_links(s, e);
        if (r == 0)
                r = image_write(s->x, e);
        sink_free(&s->x->s);
        return r;
}

int unpack_settle_erofs(int stage, int lower, struct err *e)
{
        struct settle s = { .lower = lower };
        struct stat st;
        int r = 1;

        if (fstatat(stage, "layer.tar", &st, AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(e, errno, "cannot look at the layer's archive");
        for (int round = 0; r == 1 && round < SETTLE_ROUNDS; round++)
                r = settle_round(&s, stage, (uint64_t)st.st_size, e);
        if (r == 1)
                r = err_set(e, ERR_LIMIT,
                            "its paths lead through too many symlinks of the layers"
                            " below");
        seeds_done(&s.seeds);
        arena_done(&s.a);
        return r;
}

/* ---- reading it back ---- */

int unpack_tar_erofs(int dir, uint64_t size, unpack_tar_fn *fn, void *ctx, struct err *e)
{
        AUTO_FD int fd = openat(dir, "layer.tar", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        AUTO_FREE uint8_t *buf = mem_alloc(UNPACK_CHUNK);

        if (fd < 0)
                return err_sys(e, errno, "cannot open the layer's archive");
        for (uint64_t at = 0; at < size;) {
                size_t n = (size_t)MIN(size - at, (uint64_t)UNPACK_CHUNK);
                int r = unpack_pread(fd, buf, n, at);

                if (r < 0)
                        return err_sys(e, r, "cannot read the layer's archive");
                if (fn(ctx, buf, n, e) < 0)
                        return -1;
                at += n;
        }
        return 0;
}
