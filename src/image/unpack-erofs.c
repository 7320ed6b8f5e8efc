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
