/* What the files of the tar reader share: tar.c (the stream), tar-header.c (one header block),
 * tar-pax.c (extended headers) and tar-sparse.c (maps of holes). */
#pragma once

#include "base/buf.h"
#include "base/macro.h"
#include "codec/tar.h"

#define TAR_BLOCK_SIZE 512u

/* What extended headers said about the entry that follows them. Strings point into struct tar's
 * pax text, which lives as long. */
struct tar_pax {
        const char *path, *link, *sparse_name;
        bool has_size, has_uid, has_gid, has_mtime;
        uint64_t size;
        uint32_t uid, gid;
        int64_t mtime;
        uint32_t mtime_ns;
        bool sparse; /* a GNU.sparse key was there */
        bool has_real_size;
        uint64_t real_size;
        uint64_t major, minor;
        bool half; /* 0.0: an offset whose length is still to come */
        uint64_t offset;
};

enum tar_state {
        TAR_AT_HEADER,
        TAR_AT_LONE_ZERO, /* one zero block has been seen */
        TAR_AT_META,      /* in the payload of an extended header or a long name */
        TAR_AT_OLD_MAP,   /* in the extension blocks of an old GNU sparse header */
        TAR_AT_MAP,       /* in the map at the front of a 1.0 sparse file's data */
        TAR_AT_DATA,
        TAR_AT_PADDING,
        TAR_AT_END
};

struct tar {
        struct tar_limits limits;
        const struct tar_handler *handler;
        void *ctx;
        enum tar_state state;
        uint64_t at; /* position in the stream of the next byte */
        uint64_t entries;
        uint8_t block[TAR_BLOCK_SIZE]; /* a block that came in pieces */
        unsigned fill;
        uint64_t left; /* of the payload */
        unsigned padding;
        char meta; /* type of the extended header that is being read */
        struct buf pax_text, long_path, long_link;
        bool has_long_path, has_long_link;
        struct tar_pax pax;
        char name[257], target[101]; /* a header's own fields, ended by NULs */
        struct tar_entry entry;
        struct tar_xattr *xattrs;
        uint32_t nxattrs, xattrs_cap;
        struct tar_extent *extents;
        uint32_t nextents, extents_cap;
        uint64_t extents_sum; /* bytes in them */
        uint32_t extent;      /* that data is in, and how far */
        uint64_t extent_at;
        uint64_t map_value; /* 1.0's map: the number being read, how many there will be, were */
        unsigned map_digits;
        uint64_t map_want, map_have, map_offset;
        int error;
        char problem[320];
};

/* Records the problem, naming the entry where its name is known; returns code. */
int tar_fail(struct tar *t, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* One header block; -ENOENT: a block of zeros. *ret_type is the type letter, *ret_size the
 * payload's, t->entry filled for what is no extended header. */
int tar_header(struct tar *t, const uint8_t *block, char *ret_type, uint64_t *ret_size);
/* Applies what extended headers said to t->entry. */
int tar_apply(struct tar *t);
/* A numeric field: octal, or base-256 (GNU). 0 or -EINVAL. */
int tar_number(const uint8_t *field, size_t n, int64_t *ret);

/* The complete text of a pax header: fills t->pax, t->xattrs, t->extents. */
int tar_pax_parse(struct tar *t);
void tar_pax_reset(struct tar *t);

/* Adds an extent after those that are there. */
int tar_extent_add(struct tar *t, uint64_t offset, uint64_t len);
/* The pairs in an old GNU header (n of them); whether more blocks follow. */
int tar_old_map(struct tar *t, const uint8_t *pairs, unsigned n);
/* One block of a 1.0 map: 1 where the map is complete, else 0. */
int tar_map_block(struct tar *t, const uint8_t *block);
/* Checks the finished map against the entry's size and stored bytes. */
int tar_sparse_done(struct tar *t);
