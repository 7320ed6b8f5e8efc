/* The image, from the tree. Its parts, each a multiple of a block but the first:
 *
 *   superblock, device table | inodes, each with its attributes' ids, chunks or inline data |
 *   attributes | directories and long links whose data did not fit behind their inodes
 *
 * The root's inode comes first: its address has 16 bits. Everything is placed before anything is
 * written, since directories hold the addresses of what they name. Places: W1 an inode that is not
 * larger than a block never crosses one, W2 inline data is a file's last block's part, never all of
 * it, and never crosses a block, W3 inodes are placed, listed and written in ascending order. */
#include <errno.h>
#include <stdlib.h>

#include "codec/erofs-internal.h"

#define OUT_SIZE 65536u
#define WAITING_MAX 32

struct output {
        int (*put)(void *ctx, const void *p, size_t n);
        void *ctx;
        size_t len;
        uint8_t buf[OUT_SIZE];
};

struct image {
        struct erofs *x;
        uint64_t inodes; /* number of */
        int64_t epoch;   /* the time of most files: such an inode may be compact */
        uint32_t epoch_ns;
        uint64_t at;                /* the next place for an inode */
        struct inode *first, **end; /* as placed */
        /* Inodes with inline data that did not fit the current block. */
        struct inode *waiting[WAITING_MAX];
        unsigned nwaiting;
        uint32_t chunks;
        uint32_t xattr_block, data_block, blocks;
        uint64_t device_size;
        uint32_t device_blocks;
};

/* ---- directories ---- */

/* A directory's names in their order, "." and ".." among them. */
struct names {
        const struct node *at;
        int dots; /* how many have been */
};
struct name {
        const char *s;
        size_t len;
        const struct inode *inode; /* NULL: "." or ".." */
};

static int name_compare(const char *a, size_t alen, const char *b, size_t blen)
{
        int c = memcmp(a, b, alen < blen ? alen : blen);

        return c ? c : (alen > blen) - (alen < blen);
}

static bool names_next(struct names *n, struct name *ret)
{
        static const char dots[] = "..";
        size_t len = (size_t)n->dots + 1;

        if (n->dots < 2 && (!n->at || name_compare(dots, len, n->at->name, n->at->len) < 0)) {
                *ret = (struct name){ dots, len, NULL };
                n->dots++;
                return true;
        }
        if (!n->at)
                return false;
        *ret = (struct name){ n->at->name, n->at->len, n->at->inode };
        n->at = n->at->next;
        return true;
}

/* How many of the next names fit a block, and the bytes that they take. */
static unsigned names_fit(const struct names *from, size_t *ret_used)
{
        struct names n = *from;
        struct name name;
        size_t used = 0;
        unsigned count = 0;

        while (names_next(&n, &name) && used + DIRENT + name.len <= BLOCK) {
                used += DIRENT + name.len;
                count++;
        }
        *ret_used = used;
        return count;
}

static uint64_t directory_size(const struct inode *dir)
{
        struct names n = { dir->children, 0 };
        struct name name;
        uint64_t size = 0;
        size_t used;
        unsigned count;

        while ((count = names_fit(&n, &used))) {
                for (; count; count--)
                        names_next(&n, &name);
                size = round_to(size, BLOCK) + used;
        }
        return size;
}

static uint8_t file_type(uint32_t mode)
{
        static const uint8_t of[16] = {
                [S_IFREG >> 12] = 1, [S_IFDIR >> 12] = 2, [S_IFCHR >> 12] = 3,
                [S_IFBLK >> 12] = 4, [S_IFIFO >> 12] = 5, [S_IFLNK >> 12] = 7,
        };

        return of[mode >> 12 & 15];
}

/* Fills one block of dir, all of it, with the next names. */
static void directory_block(const struct erofs *x, const struct inode *dir, struct names *n,
                            uint8_t block[BLOCK])
{
        size_t used;
        unsigned count = names_fit(n, &used);
        size_t text = count * (size_t)DIRENT;

        memset(block, 0, BLOCK);
        for (unsigned i = 0; i < count; i++) {
                uint8_t *d = block + i * (size_t)DIRENT;
                const struct inode *to;
                struct name name;

                names_next(n, &name);
                to = name.inode                        ? name.inode
                     : name.len == 1 || dir == x->root ? dir
                                                       : dir->name->parent;
                put64(d, to->at / SLOT);
                put16(d + 8, (uint16_t)text);
                d[10] = file_type(to->mode);
                memcpy(block + text, name.s, name.len);
                text += name.len;
        }
}

/* ---- what there is ---- */

static int by_name(const void *pa, const void *pb)
{
        const struct node *const *a = pa, *const *b = pb;

        return name_compare((*a)->name, (*a)->len, (*b)->name, (*b)->len);
}

static void sort_children(struct inode *dir, struct node ***room, size_t *cap)
{
        size_t n = 0;

        for (struct node *c = dir->children; c; c = c->next) {
                if (n == *cap) {
                        *cap = *cap ? *cap * 2 : 256;
                        *room = mem_realloc(*room, mem_mul(sizeof **room, *cap));
                }
                (*room)[n++] = c;
        }
        if (n == 0)
                return;
        qsort(*room, n, sizeof **room, by_name);
        for (size_t i = 0; i < n; i++)
                (*room)[i]->next = i + 1 < n ? (*room)[i + 1] : NULL;
        dir->children = (*room)[0];
}

/* The first inode of a kind is reset: an image may be written twice. */
static void inode_count(struct image *m, struct inode *i, int64_t *votes)
{
        if (i->nlink++)
                return;
        m->inodes++;
        i->at = 0;
        /* Boyer and Moore's vote: whoever has the majority is left standing. */
        if (i->mtime == m->epoch && i->mtime_ns == m->epoch_ns) {
                ++*votes;
        } else if (--*votes < 0) {
                m->epoch = i->mtime;
                m->epoch_ns = i->mtime_ns;
                *votes = 1;
        }
}

static void reset_links(struct erofs *x)
{
        struct inode *last = x->root;

        last->next_dir = NULL;
        for (struct inode *dir = x->root; dir; dir = dir->next_dir) {
                dir->nlink = 0;
                for (struct node *c = dir->children; c; c = c->next) {
                        c->inode->nlink = 0;
                        if (S_ISDIR(c->inode->mode)) {
                                last->next_dir = c->inode;
                                c->inode->next_dir = NULL;
                                last = c->inode;
                        }
                }
        }
}

/* Sorts every directory, counts links, lists directories so that one's follow it closely. */
static int survey(struct image *m)
{
        struct erofs *x = m->x;
        struct node **room = NULL;
        size_t cap = 0;
        int64_t votes = 0;
        int r = 0;

        reset_links(x);
        x->root->next_dir = NULL;
        inode_count(m, x->root, &votes);
        x->root->nlink = 2;
        for (struct inode *dir = x->root; dir; dir = dir->next_dir) {
                struct inode **after = &dir->next_dir;

                sort_children(dir, &room, &cap);
                dir->size = directory_size(dir);
                if (dir->flags & INODE_OPAQUE && !(dir->flags & INODE_MARKED)) {
                        dir->xattrs = xattr_set_opaque(x, dir->xattrs);
                        dir->flags |= INODE_MARKED;
                }
                for (struct node *c = dir->children; c; c = c->next) {
                        struct inode *i = c->inode;

                        inode_count(m, i, &votes);
                        if (i->flags & INODE_PENDING)
                                r = -ENOENT;
                        if (!S_ISDIR(i->mode))
                                continue;
                        i->nlink = 2;
                        dir->nlink++;
                        i->next_dir = *after;
                        *after = i;
                        after = &i->next_dir;
                }
        }
        free(room);
        return r;
}

/* ---- places ---- */

/* The widest chunk whose borders are those of all pieces. */
static int chunk_bits(const struct inode *i)
{
        uint64_t borders = 0;
        int bits = BLOCK_BITS, widest;

        for (uint32_t p = 0; i->sparse && p < i->sparse->n; p++) {
                const struct piece *s = &i->sparse->pieces[p];

                borders |= s->offset;
                if (s->offset + s->len != i->size)
                        borders |= s->offset + s->len;
        }
        widest = borders ? __builtin_ctzll(borders) : 63;
        while (bits < widest && bits < BLOCK_BITS + CHUNK_BITS_MAX && i->size > 1ull << bits)
                bits++;
        return bits;
}

static uint64_t chunk_count(const struct inode *i)
{
        return ((i->size - 1) >> chunk_bits(i)) + 1;
}

static size_t xattr_room(const struct inode *i)
{
        return i->xattrs ? XATTR_HEADER + 4ul * i->xattrs->n : 0;
}

static size_t inode_size(const struct inode *i)
{
        return i->flags & INODE_COMPACT ? COMPACT_SIZE : EXTENDED_SIZE;
}

/* What follows inode and attributes: inline data. */
static size_t inline_room(const struct inode *i)
{
        return i->layout == LAYOUT_INLINE ? i->size % BLOCK : 0;
}

static uint64_t room(const struct inode *i)
{
        uint64_t n = inode_size(i) + xattr_room(i);

        if (i->layout == LAYOUT_CHUNKS)
                n = round_to(n, CHUNK_INDEX) + CHUNK_INDEX * chunk_count(i);
        return n + inline_room(i);
}

static bool may_be_compact(const struct image *m, const struct inode *i)
{
        return i->mtime == m->epoch && i->mtime_ns == m->epoch_ns && i->uid <= UINT16_MAX &&
               i->gid <= UINT16_MAX && i->nlink <= UINT16_MAX && i->size <= UINT32_MAX;
}

static bool data_within(const struct inode *i, uint64_t device_size)
{
        if (!i->sparse)
                return i->data <= device_size && i->size <= device_size - i->data;
        if (i->sparse->odd)
                return false;
        for (uint32_t n = 0; n < i->sparse->n; n++) {
                const struct piece *p = &i->sparse->pieces[n];

                if (p->at > device_size || p->len > device_size - p->at)
                        return false;
        }
        return true;
}

/* Files of at most a page are plain ones at the device's address, which saves the chunk; larger
 * ones name the device, since only then are reads of several pages one (fs/erofs/fileio.c). */
static int choose_layout(struct image *m, struct inode *i)
{
        i->flags &= (uint8_t)~INODE_COMPACT;
        if (may_be_compact(m, i))
                i->flags |= INODE_COMPACT;
        i->layout = LAYOUT_PLAIN;
        if (S_ISDIR(i->mode) || S_ISLNK(i->mode)) {
                size_t tail = i->size % BLOCK;

                if (tail && inode_size(i) + xattr_room(i) + tail <= BLOCK)
                        i->layout = LAYOUT_INLINE;
                return 0;
        }
        if (!S_ISREG(i->mode) || i->size == 0)
                return 0;
        if (!data_within(i, m->device_size))
                return -EINVAL;
        if (i->size > 4096 || i->sparse) {
                uint64_t n = chunk_count(i);

                if (n > CHUNKS_MAX - m->chunks)
                        return -E2BIG;
                m->chunks += (uint32_t)n;
                i->layout = LAYOUT_CHUNKS;
        }
        return 0;
}

static void place_at(struct image *m, struct inode *i)
{
        i->at = m->at;
        i->placed = NULL;
        *m->end = i;
        m->end = &i->placed;
        m->at = round_to(m->at + room(i), SLOT);
}

/* W1, W2: whether it may stand at the next place. One larger than a block begins at one. */
static bool fits(const struct image *m, const struct inode *i)
{
        uint64_t left = BLOCK - m->at % BLOCK;

        return room(i) <= left || left == BLOCK;
}

static void place_waiting(struct image *m)
{
        unsigned kept = 0;

        for (unsigned w = 0; w < m->nwaiting; w++)
                if (fits(m, m->waiting[w]))
                        place_at(m, m->waiting[w]);
                else
                        m->waiting[kept++] = m->waiting[w];
        m->nwaiting = kept;
}

static void next_block(struct image *m)
{
        m->at = round_to(m->at, BLOCK);
        place_waiting(m);
}

/* Inodes with inline data that don't fit wait, while others fill the block up. */
static int place(struct image *m, struct inode *i)
{
        int r = choose_layout(m, i);

        if (r < 0)
                return r;
        i->at = 1; /* seen: of a file with several names the first counts */
        place_waiting(m);
        if (!fits(m, i) && (i->layout != LAYOUT_INLINE || m->nwaiting == WAITING_MAX))
                next_block(m);
        if (fits(m, i))
                place_at(m, i);
        else if (m->nwaiting < WAITING_MAX)
                m->waiting[m->nwaiting++] = i;
        else
                return -EINVAL; /* can't be: the next block took one of them at least */
        return 0;
}

static int place_inodes(struct image *m)
{
        int r = place(m, m->x->root);

        for (struct inode *dir = m->x->root; r == 0 && dir; dir = dir->next_dir)
                for (struct node *c = dir->children; r == 0 && c; c = c->next)
                        if (c->inode->at == 0)
                                r = place(m, c->inode);
        while (m->nwaiting)
                next_block(m);
        m->at = round_to(m->at, BLOCK);
        return r;
}

/* Whole blocks of a directory or link that are apart from its inode. */
static uint64_t data_blocks(const struct inode *i)
{
        if (!S_ISDIR(i->mode) && !S_ISLNK(i->mode))
                return 0;
        return (i->size + (i->layout == LAYOUT_INLINE ? 0 : BLOCK - 1)) / BLOCK;
}

static int place_data(struct image *m)
{
        uint64_t block = m->at / BLOCK, device = round_to(m->device_size, BLOCK) / BLOCK;

        m->xattr_block = (uint32_t)block;
        block += round_to(m->x->xattr_bytes, BLOCK) / BLOCK;
        m->data_block = (uint32_t)block;
        for (struct inode *i = m->first; i; i = i->placed) {
                i->block = (uint32_t)block;
                block += data_blocks(i);
        }
        if (block + device >= NO_BLOCK || m->x->xattr_bytes / 4 > UINT32_MAX)
                return -E2BIG;
        m->blocks = (uint32_t)block;
        m->device_blocks = (uint32_t)device;
        return 0;
}

/* ---- bytes ---- */

static int flush(struct output *o)
{
        int r = o->len ? o->put(o->ctx, o->buf, o->len) : 0;

        o->len = 0;
        return r;
}

static int out(struct output *o, const void *p, size_t n)
{
        int r = 0;

        while (n && r == 0) {
                size_t part = n < OUT_SIZE - o->len ? n : OUT_SIZE - o->len;

                if (p) {
                        memcpy(o->buf + o->len, p, part);
                        p = (const char *)p + part;
                } else {
                        memset(o->buf + o->len, 0, part);
                }
                o->len += part;
                n -= part;
                if (o->len == OUT_SIZE)
                        r = flush(o);
        }
        return r;
}

uint32_t erofs_checksum(const uint8_t *super)
{
        uint32_t crc = ~0u;

        /* Its own field, at 4, counts as zero. */
        for (size_t i = 0; i < BLOCK; i++) {
                crc ^= i >= 4 && i < 8 ? 0 : super[i];
                for (int bit = 0; bit < 8; bit++)
                        crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
        }
        return crc;
}

static int put_super(const struct image *m, struct output *o)
{
        uint8_t b[INODES_AT] = { 0 };
        uint8_t *s = b + SUPER_AT, *d = b + DEVICES_AT;

        put32(s, SUPER_MAGIC);
        put32(s + 8, COMPAT_CHECKSUM | COMPAT_MTIME);
        s[12] = BLOCK_BITS;
        put16(s + 14, (uint16_t)(m->x->root->at / SLOT));
        put64(s + 16, m->inodes);
        put64(s + 24, (uint64_t)m->epoch);
        put32(s + 32, m->epoch_ns);
        put32(s + 36, m->blocks);
        put32(s + 44, m->xattr_block);
        put32(s + 80, INCOMPAT_CHUNKS | INCOMPAT_DEVICES);
        put16(s + 86, 1); /* devices besides this one */
        put16(s + 88, DEVICES_AT / DEVICE_SLOT);
        put32(d + 64, m->device_blocks);
        put32(d + 68, m->blocks); /* where it follows in the address space of plain files */
        put32(s + 4, erofs_checksum(s));
        return out(o, b, sizeof b);
}

/* The field that the layout gives its meaning. */
static uint32_t inode_where(const struct image *m, const struct inode *i)
{
        if (S_ISCHR(i->mode) || S_ISBLK(i->mode))
                return i->rdev;
        if (i->layout == LAYOUT_CHUNKS)
                return CHUNKS_INDEXED | (uint32_t)(chunk_bits(i) - BLOCK_BITS);
        if (S_ISREG(i->mode))
                return i->size ? m->blocks + (uint32_t)(i->data / BLOCK) : 0;
        return data_blocks(i) ? i->block : 0;
}

static size_t inode_bytes(const struct image *m, const struct inode *i, uint32_t number,
                          uint8_t b[EXTENDED_SIZE])
{
        bool compact = i->flags & INODE_COMPACT;

        memset(b, 0, EXTENDED_SIZE);
        put16(b, (uint16_t)(i->layout << 1 | !compact));
        put16(b + 2, i->xattrs ? (uint16_t)(1 + i->xattrs->n) : 0);
        put16(b + 4, i->mode);
        put32(b + 16, inode_where(m, i));
        put32(b + 20, number);
        if (compact) {
                put16(b + 6, (uint16_t)i->nlink);
                put32(b + 8, (uint32_t)i->size);
                put16(b + 24, (uint16_t)i->uid);
                put16(b + 26, (uint16_t)i->gid);
                return COMPACT_SIZE;
        }
        put64(b + 8, i->size);
        put32(b + 24, i->uid);
        put32(b + 28, i->gid);
        put64(b + 32, (uint64_t)i->mtime);
        put32(b + 40, i->mtime_ns);
        put32(b + 44, i->nlink);
        return EXTENDED_SIZE;
}

static int put_xattr_ids(const struct inode *i, struct output *o)
{
        uint8_t b[XATTR_HEADER + 4 * XATTR_LIMIT] = { 0 };

        if (!i->xattrs)
                return 0;
        b[4] = (uint8_t)i->xattrs->n;
        for (uint32_t n = 0; n < i->xattrs->n; n++)
                put32(b + XATTR_HEADER + 4ul * n, i->xattrs->of[n]->id);
        return out(o, b, xattr_room(i));
}

static int put_chunk(struct output *o, uint64_t at)
{
        uint8_t b[CHUNK_INDEX] = { 0 };

        put16(b + 2, at == UINT64_MAX ? 0 : 1);
        put32(b + 4, at == UINT64_MAX ? NO_BLOCK : (uint32_t)(at / BLOCK));
        return out(o, b, sizeof b);
}

static int put_chunks(const struct inode *i, struct output *o)
{
        uint64_t n = i->layout == LAYOUT_CHUNKS ? chunk_count(i) : 0;
        uint32_t p = 0;
        int bits, r;

        if (n == 0)
                return 0;
        bits = chunk_bits(i);
        r = out(o, NULL, -(inode_size(i) + xattr_room(i)) % CHUNK_INDEX);
        for (uint64_t c = 0; r == 0 && c < n; c++) {
                uint64_t offset = c << bits, at = UINT64_MAX;
                const struct sparse *s = i->sparse;

                if (!s) {
                        at = i->data + offset;
                } else {
                        while (p < s->n && s->pieces[p].offset + s->pieces[p].len <= offset)
                                p++;
                        if (p < s->n && s->pieces[p].offset <= offset)
                                at = s->pieces[p].at + (offset - s->pieces[p].offset);
                }
                r = put_chunk(o, at);
        }
        return r;
}

/* A directory's blocks, [from, to) of them; the last may be a part. */
static int put_directory(const struct erofs *x, const struct inode *i, uint64_t from, uint64_t to,
                         struct output *o)
{
        struct names n = { i->children, 0 };
        uint8_t block[BLOCK];
        int r = 0;

        for (uint64_t b = 0; b < to && r == 0; b++) {
                uint64_t left = i->size - b * BLOCK;

                directory_block(x, i, &n, block);
                if (b < from)
                        continue;
                r = out(o, block,
                        left < BLOCK && i->layout == LAYOUT_INLINE ? (size_t)left : BLOCK);
        }
        return r;
}

static int put_inline(const struct erofs *x, const struct inode *i, struct output *o)
{
        uint64_t whole = i->size / BLOCK;

        if (i->layout != LAYOUT_INLINE)
                return 0;
        if (S_ISDIR(i->mode))
                return put_directory(x, i, whole, whole + 1, o);
        return out(o, i->target + whole * BLOCK, i->size % BLOCK);
}

static int put_inodes(const struct image *m, struct output *o)
{
        uint64_t at = INODES_AT;
        uint32_t number = 1;
        uint8_t b[EXTENDED_SIZE];
        int r = 0;

        for (const struct inode *i = m->first; i && r == 0; i = i->placed) {
                r = out(o, NULL, i->at - at);
                if (r == 0)
                        r = out(o, b, inode_bytes(m, i, number++, b));
                if (r == 0)
                        r = put_xattr_ids(i, o);
                if (r == 0)
                        r = put_chunks(i, o);
                if (r == 0)
                        r = put_inline(m->x, i, o);
                at = i->at + room(i);
        }
        return r < 0 ? r : out(o, NULL, m->at - at);
}

static int put_data(const struct image *m, struct output *o)
{
        int r = 0;

        for (const struct xattr *a = m->x->xattrs; a && r == 0; a = a->next)
                r = out(o, a->bytes, a->size);
        if (r == 0)
                r = out(o, NULL, round_to(m->x->xattr_bytes, BLOCK) - m->x->xattr_bytes);
        for (const struct inode *i = m->first; i && r == 0; i = i->placed) {
                uint64_t n = data_blocks(i);

                if (n && S_ISDIR(i->mode)) {
                        r = put_directory(m->x, i, 0, n, o);
                } else if (n) {
                        size_t len = i->size < n * BLOCK ? (size_t)i->size : (size_t)n * BLOCK;

                        r = out(o, i->target, len);
                        if (r == 0)
                                r = out(o, NULL, n * BLOCK - len);
                }
        }
        return r;
}

int erofs_write(struct erofs *x, uint64_t device_size,
                int (*put)(void *ctx, const void *p, size_t n), void *ctx)
{
        struct image m = { .x = x, .at = INODES_AT, .device_size = device_size };
        struct output *o;
        int r;

        m.end = &m.first;
        leanings_resolve(x);
        if ((r = survey(&m)) < 0 || (r = place_inodes(&m)) < 0 || (r = place_data(&m)) < 0)
                return r;
        o = mem_alloc(sizeof *o);
        o->put = put;
        o->ctx = ctx;
        if ((r = put_super(&m, o)) == 0 && (r = put_inodes(&m, o)) == 0 &&
            (r = put_data(&m, o)) == 0)
                r = flush(o);
        free(o);
        return r;
}
