/* What the files of the EROFS writer share: the tree in memory, and the numbers of the format. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "codec/erofs.h"

/* The format's numbers (fs/erofs/erofs_fs.h). All fields are little-endian. */
enum {
        BLOCK_BITS = 9,
        BLOCK = 1 << BLOCK_BITS,
        SUPER_AT = 1024,
        DEVICE_SLOT = 128, /* size of a row of the device table, and the unit of its place */
        DEVICES_AT = SUPER_AT + 128,
        INODES_AT = 1536, /* what follows both */
        SLOT = 32,        /* an inode's address is in these */
        COMPACT_SIZE = 32,
        EXTENDED_SIZE = 64,
        DIRENT = 12,
        NAME_LIMIT = 255,
        XATTR_HEADER = 12,
        XATTR_LIMIT = 255, /* of one inode: a byte counts them */
        CHUNK_INDEX = 8,
        CHUNK_BITS_MAX = 31, /* above the block size */
};
#define SUPER_MAGIC 0xe0f5e1e2u
#define NO_BLOCK 0xffffffffu
#define COMPAT_CHECKSUM 1u
#define COMPAT_MTIME 2u
#define INCOMPAT_CHUNKS 4u
#define INCOMPAT_DEVICES 8u
#define CHUNKS_INDEXED 0x20u
#define DEPTH_MAX 4096         /* of directories: names of PATH_MAX bytes have 2048 */
#define CHUNKS_MAX (16u << 20) /* of an image: memory of whoever writes or reads it */

enum layout { LAYOUT_PLAIN = 0, LAYOUT_INLINE = 2, LAYOUT_CHUNKS = 4 };

/* An attribute as it stands in the image: kept once, however many inodes have it. */
struct xattr {
        struct xattr *chain;
        struct xattr *next; /* in the order of the image */
        uint32_t id;        /* its place there, in units of 4 bytes */
        uint32_t hash, size;
        uint8_t bytes[]; /* name length, name index, value size, name, value, padding to 4 */
};

struct xattr_set {
        struct xattr_set *chain;
        uint32_t hash, n;
        const struct xattr *of[];
};

struct piece {
        uint64_t offset, len, at; /* in the file; in the device */
};
struct sparse {
        uint32_t n;
        bool odd; /* not mappable by blocks (yet) */
        struct piece pieces[];
};

struct inode;
/* A name in a directory. */
struct node {
        struct node *chain; /* of the table of names */
        struct node *next;  /* in its directory */
        struct inode *parent, *inode;
        uint32_t hash;
        uint8_t len;
        char name[]; /* ended by a NUL */
};

enum inode_flags {
        INODE_IMPLIED = 1 << 0, /* a directory without an entry */
        INODE_WHITED = 1 << 1,  /* a whiteout names it: nothing below shines through */
        INODE_OPAQUE = 1 << 2,
        INODE_PENDING = 1 << 3, /* a hard link whose target is not known */
        INODE_COMPACT = 1 << 4,
        INODE_MARKED = 1 << 5, /* .xattrs holds the opaque marker */
};

struct inode {
        uint16_t mode;
        uint8_t flags;
        uint8_t layout;
        uint32_t uid, gid, mtime_ns;
        int64_t mtime;
        uint64_t size;
        union {
                uint64_t data; /* file: byte in the device */
                uint32_t rdev;
                struct node *name; /* directory: its own */
        };
        union {
                struct sparse *sparse; /* file: NULL where contiguous */
                const char *target;    /* symlink, pending link */
                struct node *children; /* directory */
        };
        const struct xattr_set *xattrs;
        struct inode *next_dir; /* parents before children */
        struct inode *placed;   /* in the order of the image; before that, of odd ones */
        uint32_t nlink;
        uint32_t block; /* of a directory's or long link's data; before that, a directory's depth */
        uint64_t at; /* byte in the image, 0: not placed; of a leaning one, when it was asked for */
};

/* What may lean on lower layers, in the order of the archive. */
struct leaning {
        struct leaning *next;
        struct node *node;
};

struct erofs {
        struct arena a;
        struct inode *root;
        uint64_t count;
        struct node **names; /* hash table, a power of two */
        uint32_t nnames, names_cap;
        struct xattr *xattr_table[1024], *xattrs, **xattrs_end;
        uint64_t xattr_bytes;
        struct xattr_set *set_table[1024];
        struct leaning *leanings, **leanings_end;
        /* The last directory that an entry was in: most entries share it with the one before. */
        struct inode *last_dir;
        uint32_t last_len;
        char last[4096];
        struct inode *odd, **odd_end; /* files whose .sparse is, linked by .placed */
        uint64_t generation;          /* of asking what leans */
        struct inode *targets;        /* a directory of no tree: pending links by target */
        char problem[200];
};

/* erofs.c. */

/* Fills i with what t says; its links and place are not touched. -EINVAL. */
int erofs_fill(struct erofs *x, struct inode *i, const struct tar_entry *t);
/* The inode that a hard link's target is; NULL: it is not here (yet), or with *ret_bad none that
 * can be linked to. */
struct inode *erofs_link_target(struct erofs *x, const char *path, bool *ret_bad);
int erofs_complain(struct erofs *x, const char *fmt, ...) PRINTF_LIKE(2, 3); /* -EINVAL */

/* erofs-tree.c. */

struct node *tree_find(const struct erofs *x, const struct inode *dir, const char *name,
                       size_t len);
struct node *tree_make(struct erofs *x, struct inode *dir, const char *name, size_t len);
struct inode *inode_make(struct erofs *x, uint32_t mode);
/* Follows path from dir, links inside the root. Directories that are missing are made where
 * `make`. NULL: it leads to none (x->problem says why). */
struct inode *tree_walk(struct erofs *x, struct inode *dir, const char *path, size_t len,
                        unsigned *links, bool make);
/* A directory in dir, not yet named; NULL where that is too deep. */
struct inode *directory_make(struct erofs *x, const struct inode *dir);
bool inode_is_whiteout(const struct inode *i);
/* Whether the node is still reached from the root. */
bool node_lives(const struct erofs *x, const struct node *n);
/* Its path below the root. */
void node_path(const struct erofs *x, const struct node *n, struct buf *ret);

/* erofs-xattr.c: the set of t's attributes, and that with the opaque marker. -EINVAL. */
int xattr_set_of(struct erofs *x, const struct tar_entry *t, const struct xattr_set **ret);
const struct xattr_set *xattr_set_opaque(struct erofs *x, const struct xattr_set *s);

/* erofs-link.c: hard links whose targets have come since. */
void leanings_resolve(struct erofs *x);
/* The path of a link's target, without what a path needs not have. */
void link_clean(const char *path, struct buf *ret);

static inline uint32_t hash_of(uint32_t seed, const void *p, size_t n)
{
        const uint8_t *b = p;
        uint32_t h = seed ^ 0x811c9dc5u;

        for (size_t i = 0; i < n; i++)
                h = (h ^ b[i]) * 0x01000193u;
        return h ^ h >> 15;
}

static inline void put16(uint8_t *p, uint16_t v)
{
        p[0] = (uint8_t)v;
        p[1] = (uint8_t)(v >> 8);
}
static inline void put32(uint8_t *p, uint32_t v)
{
        put16(p, (uint16_t)v);
        put16(p + 2, (uint16_t)(v >> 16));
}
static inline void put64(uint8_t *p, uint64_t v)
{
        put32(p, (uint32_t)v);
        put32(p + 4, (uint32_t)(v >> 32));
}
static inline uint16_t get16(const uint8_t *p)
{
        return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t get32(const uint8_t *p)
{
        return get16(p) | (uint32_t)get16(p + 2) << 16;
}
static inline uint64_t get64(const uint8_t *p)
{
        return get32(p) | (uint64_t)get32(p + 4) << 32;
}
static inline uint64_t round_to(uint64_t n, uint64_t unit)
{
        return (n + unit - 1) & ~(unit - 1);
}
/* CRC-32C as the superblock wants it: from this seed, without a final inversion. */
uint32_t erofs_checksum(const uint8_t *super);
