/* Reading an image back: independent of the writer but for the numbers of the format, so that each
 * checks the other. */
#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "codec/erofs-internal.h"

struct checker {
        const uint8_t *p;
        uint64_t size, blocks;
        uint64_t device_size, device_blocks;
        uint32_t xattr_block;
        int (*fn)(void *ctx, const struct erofs_file *f);
        void *ctx;
        const char **why;
        uint64_t inodes; /* that the superblock says there are */
        uint8_t *seen;   /* a bit for each slot */
        uint64_t found;
        struct buf path;
        struct buf link;
};

static int bad(struct checker *c, const char *why)
{
        *c->why = why;
        return -EINVAL;
}

/* An inode, decoded. */
struct decoded {
        struct erofs_file f;
        uint64_t at, after; /* the bytes behind it: attributes, chunks, inline data */
        enum layout layout;
        uint32_t where;
        uint32_t ids;
};

static bool within(const struct checker *c, uint64_t at, uint64_t n)
{
        return at <= c->size && n <= c->size - at;
}

static int check_xattrs(struct checker *c, struct decoded *d, uint32_t count)
{
        uint64_t base = (uint64_t)c->xattr_block * BLOCK;
        uint64_t at = d->after;

        if (count == 0)
                return 0;
        if (count == 1 || !within(c, at, XATTR_HEADER + 4ull * (count - 1)))
                return bad(c, "attributes outside the image");
        if (c->p[at + 4] != count - 1)
                return bad(c, "attributes that are not shared");
        for (uint32_t i = 0; i < count - 1; i++) {
                uint64_t x = base + 4ull * get32(c->p + at + XATTR_HEADER + 4ull * i);

                if (!within(c, x, 4) || !within(c, x, 4ull + c->p[x] + get16(c->p + x + 2)))
                        return bad(c, "an attribute outside the image");
                if (c->p[x + 1] < 1 || c->p[x + 1] > 6)
                        return bad(c, "an attribute of no namespace");
        }
        d->f.nxattrs = count - 1;
        d->after += XATTR_HEADER + 4ull * (count - 1);
        return 0;
}

static int decode(struct checker *c, uint64_t nid, struct decoded *d)
{
        const uint8_t *p;
        uint64_t at = nid * SLOT;
        unsigned format;

        *d = (struct decoded){ .at = at };
        if (nid > c->size / SLOT || at < INODES_AT || !within(c, at, COMPACT_SIZE))
                return bad(c, "an inode outside the image");
        p = c->p + at;
        format = get16(p);
        if (format & ~0xfu || (format >> 1 != LAYOUT_PLAIN && format >> 1 != LAYOUT_INLINE &&
                               format >> 1 != LAYOUT_CHUNKS))
                return bad(c, "an inode of unknown format");
        d->layout = format >> 1;
        d->f.nid = nid;
        d->f.mode = get16(p + 4);
        d->where = get32(p + 16);
        d->f.data = UINT64_MAX;
        if (format & 1) {
                if (!within(c, at, EXTENDED_SIZE))
                        return bad(c, "an inode outside the image");
                if (at % BLOCK + EXTENDED_SIZE > BLOCK)
                        return bad(c, "an inode across blocks");
                d->f.size = get64(p + 8);
                d->f.uid = get32(p + 24);
                d->f.gid = get32(p + 28);
                d->f.mtime = (int64_t)get64(p + 32);
                d->f.mtime_ns = get32(p + 40);
                d->f.nlink = get32(p + 44);
                d->after = at + EXTENDED_SIZE;
        } else {
                d->f.nlink = get16(p + 6);
                d->f.size = get32(p + 8);
                d->f.uid = get16(p + 24);
                d->f.gid = get16(p + 26);
                d->f.mtime = (int64_t)get64(c->p + SUPER_AT + 24);
                d->f.mtime_ns = get32(c->p + SUPER_AT + 32);
                d->after = at + COMPACT_SIZE;
        }
        if (d->f.nlink == 0)
                return bad(c, "an inode without names");
        return check_xattrs(c, d, get16(p + 2));
}

/* Where a directory's or link's bytes [at, at + n) are, within one block; NULL. */
static const uint8_t *data_at(const struct checker *c, const struct decoded *d, uint64_t at,
                              uint64_t n)
{
        uint64_t whole = d->f.size / BLOCK * BLOCK;
        uint64_t place = (uint64_t)d->where * BLOCK + at;

        if (d->layout == LAYOUT_INLINE && d->f.size % BLOCK && at >= whole) {
                place = d->after + (at - whole);
                if (place / BLOCK != (place + n - 1) / BLOCK)
                        return NULL;
        } else if (d->where == 0) {
                return NULL;
        }
        return within(c, place, n) ? c->p + place : NULL;
}

static int check_chunks(struct checker *c, struct decoded *d)
{
        unsigned bits = BLOCK_BITS + (d->where & 0x1f);
        uint64_t n, at = round_to(d->after, CHUNK_INDEX);

        if (d->where & ~0x3fu || !(d->where & CHUNKS_INDEXED))
                return bad(c, "chunks of unknown format");
        n = ((d->f.size - 1) >> bits) + 1;
        if (n > CHUNKS_MAX || !within(c, at, n * CHUNK_INDEX))
                return bad(c, "chunks outside the image");
        d->f.chunks = (uint32_t)n;
        for (uint64_t i = 0; i < n; i++) {
                const uint8_t *p = c->p + at + i * CHUNK_INDEX;
                uint64_t left = d->f.size - (i << bits);
                uint64_t len = left < 1ull << bits ? left : 1ull << bits;
                uint64_t from = (uint64_t)get32(p + 4) * BLOCK;

                if (get32(p + 4) == NO_BLOCK)
                        continue;
                if (get16(p) || get16(p + 2) != 1)
                        return bad(c, "a chunk of another device");
                if (from > c->device_size || len > c->device_size - from)
                        return bad(c, "a chunk outside the device");
                if (i == 0)
                        d->f.data = from;
        }
        return 0;
}

static int check_file(struct checker *c, struct decoded *d)
{
        if (d->f.size == 0)
                return 0;
        if (d->layout == LAYOUT_CHUNKS)
                return check_chunks(c, d);
        if (d->layout != LAYOUT_PLAIN)
                return bad(c, "a file with inline data");
        if (d->where < c->blocks)
                return bad(c, "a file in the index");
        d->f.data = (d->where - c->blocks) * BLOCK;
        if (d->f.data > c->device_size || d->f.size > c->device_size - d->f.data)
                return bad(c, "a file outside the device");
        return 0;
}

static int check_link(struct checker *c, struct decoded *d)
{
        buf_clear(&c->link);
        if (d->f.size == 0 || d->f.size >= 4096)
                return bad(c, "a symlink of a strange length");
        for (uint64_t at = 0; at < d->f.size; at += BLOCK) {
                uint64_t n = d->f.size - at < BLOCK ? d->f.size - at : BLOCK;
                const uint8_t *p = data_at(c, d, at, n);

                if (!p || memchr(p, '\0', n))
                        return bad(c, "a symlink whose target is not there");
                buf_add(&c->link, p, n);
        }
        d->f.link = c->link.s;
        return 0;
}

static int visit(struct checker *c, uint64_t nid, struct decoded *d)
{
        int r = decode(c, nid, d);

        if (r < 0)
                return r;
        if (!(c->seen[nid / 8] & 1 << nid % 8)) {
                c->seen[nid / 8] |= (uint8_t)(1 << nid % 8);
                c->found++;
        } else if (S_ISDIR(d->f.mode)) {
                return bad(c, "a directory with two names");
        }
        switch (d->f.mode & S_IFMT) {
        case S_IFREG:
                return check_file(c, d);
        case S_IFLNK:
                return check_link(c, d);
        case S_IFCHR:
        case S_IFBLK:
                d->f.rdev = d->where;
                return 0;
        case S_IFDIR:
        case S_IFIFO:
                return 0;
        default:
                return bad(c, "an inode of unknown type");
        }
}

/* One name of a directory's block. */
struct entry {
        uint64_t nid;
        const char *name;
        size_t len;
        uint8_t type;
};

static int entry_at(struct checker *c, const uint8_t *block, size_t n, unsigned i, unsigned count,
                    struct entry *ret)
{
        const uint8_t *p = block + i * (size_t)DIRENT;
        size_t from = get16(p + 8), to = i + 1 < count ? get16(p + DIRENT + 8) : n;

        if (from > to || to > n || from < count * (size_t)DIRENT)
                return bad(c, "a directory whose names overlap");
        ret->nid = get64(p);
        ret->type = p[10];
        ret->name = (const char *)block + from;
        ret->len = strnlen(ret->name, to - from);
        if (ret->len == 0 || ret->len > NAME_LIMIT || memchr(ret->name, '/', ret->len))
                return bad(c, "a name that is none");
        if (i + 1 < count && ret->len != to - from)
                return bad(c, "a name with a NUL");
        return 0;
}

static int ordered(struct checker *c, struct entry *before, const struct entry *e)
{
        size_t n = before->len < e->len ? before->len : e->len;
        int r = before->name ? memcmp(before->name, e->name, n) : -1;

        if (r > 0 || (r == 0 && before->len >= e->len))
                return bad(c, "a directory out of order");
        *before = *e;
        return 0;
}

/* A directory being read; they form a stack, since depth is the image's choice. */
struct level {
        struct decoded d;
        uint64_t parent, at; /* nid; the block */
        unsigned i, count, dots;
        size_t n, path_len;
        const uint8_t *block;
        struct entry before;
};

/* 1 with the next name in *e, "." and ".." left out; 0 at the end. */
static int level_next(struct checker *c, struct level *l, struct entry *e)
{
        for (;;) {
                int r;

                if (l->i == l->count) {
                        uint64_t left = l->d.f.size - l->at;

                        if (left == 0)
                                return l->dots == 2 ? 0 : bad(c, "a directory without '..'");
                        l->n = left < BLOCK ? (size_t)left : BLOCK;
                        l->block = data_at(c, &l->d, l->at, l->n);
                        if (!l->block || l->n < DIRENT || get16(l->block + 8) % DIRENT ||
                            get16(l->block + 8) == 0 || get16(l->block + 8) >= l->n)
                                return bad(c, "a directory whose blocks are not there");
                        l->count = get16(l->block + 8) / DIRENT;
                        l->i = 0;
                        l->at += l->n;
                }
                if ((r = entry_at(c, l->block, l->n, l->i++, l->count, e)) < 0 ||
                    (r = ordered(c, &l->before, e)) < 0)
                        return r;
                if (e->len > 2 || memcmp(e->name, "..", e->len) != 0)
                        return 1;
                l->dots++;
                if (e->nid != (e->len == 1 ? l->d.f.nid : l->parent) || e->type != 2)
                        return bad(c, "a '.' or '..' that leads elsewhere");
        }
}

static int tell(struct checker *c, struct decoded *d)
{
        d->f.path = buf_str(&c->path);
        return c->fn ? c->fn(c->ctx, &d->f) : 0;
}

static uint8_t type_of(uint32_t mode)
{
        switch (mode & S_IFMT) {
        case S_IFREG:
                return 1;
        case S_IFDIR:
                return 2;
        case S_IFCHR:
                return 3;
        case S_IFBLK:
                return 4;
        case S_IFIFO:
                return 5;
        default:
                return 7;
        }
}

static int walk(struct checker *c, struct level *levels, uint64_t root)
{
        struct level *l = levels;
        int r = visit(c, root, &l->d);

        if (r < 0 || (r = tell(c, &l->d)) != 0)
                return r;
        if (!S_ISDIR(l->d.f.mode))
                return bad(c, "a root that is no directory");
        l->parent = root;
        while (l >= levels) {
                struct decoded d;
                struct entry e;

                r = level_next(c, l, &e);
                if (r < 0)
                        return r;
                if (r == 0) {
                        l--;
                        continue;
                }
                c->path.len = l->path_len;
                if (l->path_len)
                        buf_putc(&c->path, '/');
                buf_add(&c->path, e.name, e.len);
                if ((r = visit(c, e.nid, &d)) < 0)
                        return r;
                if (e.type != type_of(d.f.mode))
                        return bad(c, "a name whose type is not its file's");
                if ((r = tell(c, &d)) != 0)
                        return r;
                if (!S_ISDIR(d.f.mode))
                        continue;
                if (l - levels == DEPTH_MAX - 1)
                        return bad(c, "directories nested too deeply");
                l[1] = (struct level){ .d = d, .parent = l->d.f.nid, .path_len = c->path.len };
                l++;
        }
        return c->found == c->inodes ? 0 : bad(c, "another number of inodes than it says");
}

static int check_super(struct checker *c)
{
        const uint8_t *s = c->p + SUPER_AT, *d = c->p + DEVICES_AT;

        if (c->size < INODES_AT || c->size % BLOCK || get32(s) != SUPER_MAGIC ||
            s[12] != BLOCK_BITS)
                return bad(c, "no EROFS image of 512-byte blocks");
        if (get32(s + 4) != erofs_checksum(s))
                return bad(c, "a wrong checksum");
        c->blocks = get32(s + 36);
        c->xattr_block = get32(s + 44);
        c->inodes = get64(s + 16);
        c->device_blocks = get32(d + 64);
        if (c->blocks * BLOCK != c->size || get32(d + 68) != c->blocks)
                return bad(c, "another size than it says");
        if (get32(s + 80) != (INCOMPAT_CHUNKS | INCOMPAT_DEVICES) || get16(s + 86) != 1 ||
            get16(s + 88) != DEVICES_AT / DEVICE_SLOT)
                return bad(c, "features that it should not have");
        if (c->device_blocks != round_to(c->device_size, BLOCK) / BLOCK)
                return bad(c, "a device of another size");
        return 0;
}

int erofs_check(const void *p, size_t n, uint64_t device_size,
                int (*fn)(void *ctx, const struct erofs_file *f), void *ctx, const char **ret_why)
{
        struct checker c = {
                .p = p, .size = n, .device_size = device_size, .fn = fn, .ctx = ctx, .why = ret_why
        };
        struct level *levels;
        int r;

        *ret_why = "";
        if ((r = check_super(&c)) < 0)
                return r;
        c.seen = mem_alloc(n / SLOT / 8 + 1);
        levels = mem_alloc(sizeof *levels * DEPTH_MAX);
        r = walk(&c, levels, get16(c.p + SUPER_AT + 14));
        free(levels);
        free(c.seen);
        buf_done(&c.path);
        buf_done(&c.link);
        return r;
}
