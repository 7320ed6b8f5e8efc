/* A layer's archive, as a stranger made it, becomes an index: whatever the bytes, the image's
 * structure is sound, and it is the same image however often it is written. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/value.h"
#include "codec/erofs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EXTRA (4u << 20) /* what may be copied behind the archive */

struct maker {
        struct erofs *x;
        const uint8_t *data;
        size_t size;
        struct buf more;
};

static int on_entry(void *ctx, const struct tar_entry *t)
{
        struct maker *m = ctx;
        int r = erofs_add(m->x, t);

        if (r != 0 && r != -EINVAL)
                abort();
        if ((r != 0) != (erofs_problem(m->x)[0] != '\0'))
                abort();
        return erofs_count(m->x) > 50000 ? -E2BIG : r;
}

static int on_data(void *ctx, uint64_t offset, const void *p, size_t n)
{
        return 0;
}

static int on_end(void *ctx)
{
        return 0;
}

static int on_read(void *ctx, uint64_t offset, void *p, size_t n)
{
        struct maker *m = ctx;

        if (offset > m->size + (1 << 20) || n > m->size + (1 << 20) - offset)
                abort();
        memcpy(p, m->data + offset, n);
        return 0;
}

static int on_append(void *ctx, const void *p, size_t n)
{
        struct maker *m = ctx;

        if (n % 512)
                abort();
        if (m->more.len + n > EXTRA)
                return -EFBIG;
        buf_add(&m->more, p, n);
        return 0;
}

static int on_put(void *ctx, const void *p, size_t n)
{
        buf_add(ctx, p, n);
        return 0;
}

/* The first ones get an answer, the others stay. */
static int on_lean(void *ctx, const struct lean *l)
{
        struct strings *s = ctx;

        if (!*l->path || (l->target && !*l->target))
                abort();
        if (s->n < 8)
                s->v[s->n++] = mem_printf("%c%s", l->target ? 'l' : 'd', l->path);
        return 0;
}

static void settle(struct erofs *x, uint64_t data_at)
{
        char *v[9];
        struct strings s = { .v = (const char **)v };

        erofs_leans(x, on_lean, &s);
        for (size_t i = 0; i < s.n; i++) {
                struct tar_entry t = { .type = v[i][0] == 'd' ? TAR_DIR : TAR_FILE,
                                       .path = v[i] + 1,
                                       .mode = 01751,
                                       .mtime = 1,
                                       .data_at = data_at,
                                       .size = v[i][0] == 'd' ? 0 : 512 };

                if (erofs_settle(x, v[i] + 1, &t) != 0)
                        abort();
                free(v[i]);
        }
}

static void write_twice(struct erofs *x, uint64_t size)
{
        AUTO_BUF image = { 0 };
        AUTO_BUF again = { 0 };
        const char *why;
        int r = erofs_write(x, size, on_put, &image);

        if (r != erofs_write(x, size, on_put, &again))
                abort();
        if (r == -ENOENT || r == -E2BIG)
                return;
        if (r != 0 || image.len != again.len || memcmp(image.s, again.s, image.len))
                abort();
        if (erofs_check(image.s, image.len, size, NULL, NULL, &why) != 0)
                abort();
}

static void finish(struct maker *m, uint64_t end)
{
        struct erofs_device device = { on_read, on_append, m };

        if (erofs_align(m->x, &device, &end) == 0) {
                settle(m->x, end);
                write_twice(m->x, end + 512);
        }
}

static int from_tar(struct maker *m)
{
        static const struct tar_handler handler = { on_entry, on_data, on_end };
        static const struct tar_limits limits = { .entries = 1000,
                                                  .bytes = 1 << 20,
                                                  .file_size = 1ull << 33,
                                                  .path = 4095,
                                                  .pax = 16384,
                                                  .xattr_value = 65536,
                                                  .xattrs = 300,
                                                  .extents = 64 };
        struct tar *t = tar_new(&limits, &handler, m);
        int r = tar_feed(t, m->data, m->size);

        if (r == 0)
                r = tar_finish(t);
        tar_free(t);
        return r;
}

static const char *text(struct maker *m, size_t *at)
{
        const char *s = (const char *)m->data + *at;

        *at += strlen(s) + 1;
        return s;
}

/* "E", then for each entry a byte for its type and attributes, its path and link: headers of tar
 * have checksums, which chance does not find. */
static void from_list(struct maker *m)
{
        static const struct tar_xattr xattrs[] = { { "user.a", "1", 1 },
                                                   { "security.b", "22", 2 } };
        struct tar_extent extents[] = { { 512, 512 }, { 5000, 1000 } };
        size_t at = 1;

        while (at + 3 < m->size) {
                uint8_t kind = m->data[at++];
                struct tar_entry t = { .type = kind % TAR_TYPE_MAX,
                                       .mode = 0755,
                                       .mtime = kind & 8 ? 5 : -7,
                                       .uid = kind & 16 ? 70000 : 0,
                                       .nxattrs = kind >> 5 & 1,
                                       .xattrs = &xattrs[kind & 1] };

                t.path = text(m, &at);
                if (at >= m->size || !*t.path)
                        break;
                t.link = text(m, &at);
                if (t.type == TAR_FILE && kind & 64) {
                        t.size = 7000;
                        t.stored = 1512;
                        t.extents = extents;
                        t.nextents = 2;
                        extents[1].offset = kind & 8 ? 5120 : 5000;
                }
                if (on_entry(m, &t) == -E2BIG)
                        return;
        }
        finish(m, 1 << 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct maker m = { .x = erofs_new() };
        uint8_t *copy =
                calloc(1, size + (1 << 20)); /* ended by NULs; the list's archive is so long */

        memcpy(copy, data, size);
        m.data = copy;
        m.size = size;
        if (size && data[0] == 'E') {
                from_list(&m);
        } else if (from_tar(&m) == 0) {
                finish(&m, (size + 511) / 512 * 512);
        }
        erofs_free(m.x);
        buf_done(&m.more);
        free(copy);
        return 0;
}
