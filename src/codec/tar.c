/* The stream: blocks put together, headers taken in, data handed through where it lies.
 *
 * A real entry may be preceded by a long name (L), a long target (K) and a pax header (x) in any
 * order; they apply to the next real entry, then are forgotten. */
#include "codec/tar.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/tar-internal.h"

const struct tar_limits tar_limits_default = {
        .entries = 2000000,
        .bytes = 1ull << 36,
        .file_size = 1ull << 43,
        .path = 4096,
        .pax = 1 << 20,
        .xattr_value = 65536,
        .xattrs = 128,
        .extents = 1 << 18,
};

struct tar *tar_new(const struct tar_limits *l, const struct tar_handler *h, void *ctx)
{
        struct tar *t = mem_alloc(sizeof *t);

        t->limits = l ? *l : tar_limits_default;
        t->handler = h;
        t->ctx = ctx;
        return t;
}

void tar_free(struct tar *t)
{
        if (!t)
                return;
        buf_done(&t->pax_text);
        buf_done(&t->long_path);
        buf_done(&t->long_link);
        free(t->xattrs);
        free(t->extents);
        free(t);
}

/* Names come from strangers and go to terminals. */
static void printable(char *s)
{
        for (; *s; s++)
                if ((unsigned char)*s < ' ' || *s == 127)
                        *s = '?';
}

int tar_fail(struct tar *t, int code, const char *fmt, ...)
{
        size_t n;
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(t->problem, sizeof t->problem, fmt, ap);
        va_end(ap);
        n = strlen(t->problem);
        if (t->entry.path && *t->entry.path)
                snprintf(t->problem + n, sizeof t->problem - n, ", entry %llu '%.160s'",
                         (unsigned long long)t->entries + 1, t->entry.path);
        else
                snprintf(t->problem + n, sizeof t->problem - n, ", at byte %llu",
                         (unsigned long long)t->at);
        printable(t->problem);
        t->error = code;
        return code;
}

const char *tar_problem(const struct tar *t)
{
        return t->problem;
}

size_t tar_padding(uint64_t n)
{
        return (TAR_BLOCK_SIZE - n % TAR_BLOCK_SIZE) % TAR_BLOCK_SIZE;
}

/* ---- entries ---- */

static void to_padding(struct tar *t)
{
        t->state = t->padding ? TAR_AT_PADDING : TAR_AT_HEADER;
        t->left = t->padding;
}

static int entry_end(struct tar *t)
{
        int r = t->handler->end(t->ctx);

        tar_pax_reset(t);
        buf_clear(&t->pax_text);
        t->has_long_path = t->has_long_link = false;
        t->entry.path = NULL;
        t->entries++;
        to_padding(t);
        return r;
}

/* All that precedes the data is known. */
static int entry_begin(struct tar *t)
{
        struct tar_entry *e = &t->entry;
        int r = 0;

        e->stored = t->left;
        e->data_at = t->at;
        e->size = t->pax.sparse && e->type == TAR_FILE ? t->pax.real_size : t->left;
        if (e->size > t->limits.file_size || e->stored > t->limits.file_size)
                return tar_fail(t, -E2BIG, "file of more than %llu bytes",
                                (unsigned long long)t->limits.file_size);
        if (t->entries >= t->limits.entries)
                return tar_fail(t, -E2BIG, "more than %llu entries",
                                (unsigned long long)t->limits.entries);
        if (t->pax.sparse && e->type == TAR_FILE)
                r = tar_sparse_done(t);
        if (r == 0)
                r = t->handler->entry(t->ctx, e);
        if (r < 0)
                return r;
        t->extent = 0;
        t->extent_at = 0;
        t->state = TAR_AT_DATA;
        return t->left ? 0 : entry_end(t);
}

static int entry_header(struct tar *t, uint64_t size)
{
        int r = tar_apply(t);

        if (r < 0)
                return r;
        if (t->entry.type != TAR_FILE) {
                /* Some writers give links and directories a size; nothing follows them (as Go's
                 * archive/tar, which all peers use, has it). */
                size = 0;
                t->pax.sparse = false;
        } else if (t->pax.has_size) {
                size = t->pax.size;
        }
        if (t->pax.sparse && !t->pax.has_real_size)
                return tar_fail(t, -EINVAL, "sparse file without its size");
        if (t->pax.major > 1 || t->pax.minor > 1 || (t->pax.major && t->pax.minor))
                return tar_fail(t, -EINVAL, "sparse file of an unknown version");
        t->left = size;
        t->padding = (unsigned)tar_padding(size);
        if (t->pax.sparse && t->pax.major == 1) {
                t->map_value = t->map_have = t->map_digits = 0;
                t->map_want = 1;
                t->nextents = 0;
                t->extents_sum = 0;
                t->state = TAR_AT_MAP;
                return 0;
        }
        return entry_begin(t);
}

static int meta_begin(struct tar *t, char type, uint64_t size)
{
        /* Solaris' X is pax's x. */
        t->meta = (char)(type == 'X' ? 'x' : type);
        if (size > t->limits.pax)
                return tar_fail(t, -E2BIG, "extended header of more than %u bytes", t->limits.pax);
        if (t->meta == 'x') {
                tar_pax_reset(t);
                buf_clear(&t->pax_text);
        } else if (type == 'L') {
                buf_clear(&t->long_path);
        } else if (type == 'K') {
                buf_clear(&t->long_link);
        }
        t->left = size;
        t->padding = (unsigned)tar_padding(size);
        t->state = TAR_AT_META;
        return 0;
}

static void long_name(struct buf *b, bool *has)
{
        if (b->s)
                b->len = strlen(b->s); /* it has a NUL of its own */
        *has = b->len > 0;
}

static int meta_end(struct tar *t)
{
        if (t->meta == 'L')
                long_name(&t->long_path, &t->has_long_path);
        else if (t->meta == 'K')
                long_name(&t->long_link, &t->has_long_link);
        to_padding(t);
        return t->meta == 'x' && t->pax_text.len > 0 ? tar_pax_parse(t) : 0;
}

static int take_header(struct tar *t, const uint8_t *block)
{
        char type;
        uint64_t size;
        int r = tar_header(t, block, &type, &size);

        if (r == -ENOENT) {
                t->state = t->state == TAR_AT_LONE_ZERO ? TAR_AT_END : TAR_AT_LONE_ZERO;
                return 0;
        }
        if (r == 0 && t->state == TAR_AT_LONE_ZERO)
                r = tar_fail(t, -EINVAL, "entry behind a single block of zeros");
        if (r < 0)
                return r;
        if (type && strchr("xXgLK", type)) {
                r = meta_begin(t, type, size);
                return r < 0 || size ? r : meta_end(t);
        }
        /* An old GNU map goes on in blocks of its own; its size is kept meanwhile. */
        if (type == 'S' && block[482]) {
                t->left = size;
                t->state = TAR_AT_OLD_MAP;
                return 0;
        }
        return entry_header(t, size);
}

static int take_map(struct tar *t, const uint8_t *block)
{
        int r;

        if (t->left < TAR_BLOCK_SIZE)
                return tar_fail(t, -EINVAL, "map of a sparse file is cut off");
        t->left -= TAR_BLOCK_SIZE;
        r = tar_map_block(t, block);
        if (r <= 0)
                return r;
        return entry_begin(t);
}

static int take_block(struct tar *t, const uint8_t *block)
{
        int r;

        t->at += TAR_BLOCK_SIZE;
        switch (t->state) {
        case TAR_AT_OLD_MAP:
                r = tar_old_map(t, block, 21);
                return r == 0 ? entry_header(t, t->left) : r < 0 ? r : 0;
        case TAR_AT_MAP:
                return take_map(t, block);
        default:
                return take_header(t, block);
        }
}

/* ---- bytes ---- */

static int put_data(struct tar *t, const uint8_t *p, size_t n)
{
        const struct tar_entry *e = &t->entry;
        int r = 0;

        if (!e->extents)
                return t->handler->data(t->ctx, e->stored - t->left, p, n);
        while (n > 0 && r == 0) {
                const struct tar_extent *x = &t->extents[t->extent];
                size_t k = (size_t)MIN((uint64_t)n, x->len - t->extent_at);

                r = t->handler->data(t->ctx, x->offset + t->extent_at, p, k);
                p += k;
                n -= k;
                t->extent_at += k;
                if (t->extent_at == x->len) {
                        t->extent++;
                        t->extent_at = 0;
                }
        }
        return r;
}

static void put_meta(struct tar *t, const uint8_t *p, size_t n)
{
        if (t->meta == 'x')
                buf_add(&t->pax_text, p, n);
        else if (t->meta == 'L')
                buf_add(&t->long_path, p, n);
        else if (t->meta == 'K')
                buf_add(&t->long_link, p, n);
}

/* Payload and padding: takes up to n bytes of it, *ret_taken says how many. */
static int take_bytes(struct tar *t, const uint8_t *p, size_t n, size_t *ret_taken)
{
        size_t k = t->state == TAR_AT_END ? n : (size_t)MIN((uint64_t)n, t->left);
        int r = 0;

        *ret_taken = k;
        t->at += k;
        if (t->state == TAR_AT_END)
                return 0;
        if (t->state == TAR_AT_DATA)
                r = put_data(t, p, k);
        else if (t->state == TAR_AT_META)
                put_meta(t, p, k);
        t->left -= k;
        if (r < 0 || t->left > 0)
                return r;
        if (t->state == TAR_AT_DATA)
                return entry_end(t);
        if (t->state == TAR_AT_META)
                return meta_end(t);
        t->state = TAR_AT_HEADER;
        return 0;
}

/* A block, straight from the input where it is whole there. */
static int gather_block(struct tar *t, const uint8_t *p, size_t n, size_t *ret_taken)
{
        size_t k = MIN(n, (size_t)(TAR_BLOCK_SIZE - t->fill));

        *ret_taken = k;
        if (k == TAR_BLOCK_SIZE)
                return take_block(t, p);
        memcpy(t->block + t->fill, p, k);
        t->fill += (unsigned)k;
        if (t->fill < TAR_BLOCK_SIZE)
                return 0;
        t->fill = 0;
        return take_block(t, t->block);
}

int tar_feed(struct tar *t, const void *data, size_t n)
{
        const uint8_t *p = data;

        if (n > t->limits.bytes || t->at + t->fill > t->limits.bytes - n)
                return tar_fail(t, -E2BIG, "archive of more than %llu bytes",
                                (unsigned long long)t->limits.bytes);
        while (n > 0) {
                bool bytes = t->state == TAR_AT_META || t->state == TAR_AT_DATA ||
                             t->state == TAR_AT_PADDING || t->state == TAR_AT_END;
                size_t taken;
                int r = bytes ? take_bytes(t, p, n, &taken) : gather_block(t, p, n, &taken);

                if (r < 0)
                        return r;
                p += taken;
                n -= taken;
        }
        return 0;
}

int tar_finish(struct tar *t)
{
        bool pending = t->has_long_path || t->has_long_link || t->pax_text.len > 0;

        if (t->state == TAR_AT_END)
                return 0;
        if (pending || t->fill > 0 ||
            (t->state != TAR_AT_HEADER && t->state != TAR_AT_LONE_ZERO &&
             t->state != TAR_AT_PADDING))
                return tar_fail(t, -EINVAL, "archive is cut off");
        return 0;
}
