/* A layer's archive, as a stranger made it: whatever the bytes, the callbacks keep their
 * contract, and it does not matter how the stream is cut into pieces. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "codec/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct watch {
        uint64_t sum, at, last, stored, size; /* last: where the next data may begin */
        bool open, sparse;
};

static void mix(struct watch *w, const void *p, size_t n)
{
        for (size_t i = 0; i < n; i++)
                w->sum = (w->sum ^ ((const uint8_t *)p)[i]) * 0x100000001b3ull;
}

static void check_extents(const struct tar_entry *t)
{
        uint64_t end = 0, sum = 0;

        for (uint32_t i = 0; i < t->nextents; i++) {
                if (t->extents[i].len == 0 || t->extents[i].offset < end)
                        abort();
                end = t->extents[i].offset + t->extents[i].len;
                sum += t->extents[i].len;
        }
        if (end > t->size || sum != t->stored)
                abort();
}

static int on_entry(void *ctx, const struct tar_entry *t)
{
        struct watch *w = ctx;

        if (w->open || !*t->path || t->type >= TAR_TYPE_MAX || t->data_at % 512)
                abort();
        if ((t->type == TAR_SYMLINK || t->type == TAR_HARDLINK) != (t->link != NULL))
                abort();
        if (t->type != TAR_FILE && (t->size || t->stored))
                abort();
        for (uint32_t i = 0; i < t->nxattrs; i++) {
                mix(w, t->xattrs[i].name, strlen(t->xattrs[i].name) + 1);
                mix(w, t->xattrs[i].value, t->xattrs[i].len);
        }
        if (t->extents)
                check_extents(t);
        else if (t->size != t->stored)
                abort();
        mix(w, t->path, strlen(t->path) + 1);
        mix(w, &t->mtime, sizeof t->mtime);
        mix(w, &t->mode, sizeof t->mode);
        w->open = true;
        w->sparse = t->extents;
        w->stored = t->stored;
        w->size = t->size;
        w->last = 0;
        return 0;
}

static int on_data(void *ctx, uint64_t offset, const void *p, size_t n)
{
        struct watch *w = ctx;

        if (!w->open || n == 0 || n > w->stored || offset < w->last || offset + n > w->size ||
            (!w->sparse && offset != w->last))
                abort();
        w->last = offset + n;
        w->stored -= n;
        mix(w, p, n);
        return 0;
}

static int on_end(void *ctx)
{
        struct watch *w = ctx;

        if (!w->open || w->stored)
                abort();
        w->open = false;
        return 0;
}

static int run(const uint8_t *data, size_t size, size_t piece, struct watch *w)
{
        static const struct tar_handler handler = { on_entry, on_data, on_end };
        static const struct tar_limits limits = { .entries = 1000,
                                                  .bytes = 1 << 20,
                                                  .file_size = 1ull << 40,
                                                  .path = 300,
                                                  .pax = 4096,
                                                  .xattr_value = 200,
                                                  .xattrs = 8,
                                                  .extents = 64 };
        struct tar *t = tar_new(&limits, &handler, w);
        int r = 0;

        for (size_t i = 0; i < size && r == 0; i += piece)
                r = tar_feed(t, data + i, MIN(piece, size - i));
        if (r == 0)
                r = tar_finish(t);
        if (r != 0 && r != -EINVAL && r != -E2BIG)
                abort();
        if ((r != 0) != (tar_problem(t)[0] != '\0'))
                abort();
        tar_free(t);
        return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct watch whole = { .sum = 1 }, pieces = { .sum = 1 };
        int a, b;

        if (size == 0)
                return 0;
        a = run(data, size, size, &whole);
        b = run(data, size, 1 + data[0] % 200, &pieces);
        /* A piece may stop a little earlier at the limit of bytes; otherwise they agree. */
        if (size <= 1 << 20 && (a != b || whole.sum != pieces.sum))
                abort();
        return 0;
}
