/* Reading tar archives as they stream by: POSIX ustar and pax (POSIX.1-2008 pax, "pax Interchange
 * Format"), GNU long names, base-256 numbers and sparse files (old GNU, 0.0, 0.1, 1.0), v7.
 *
 * A push parser: bytes go in as they come, callbacks say what they are. It makes no system call,
 * trusts nothing, and holds one entry's metadata. What a name means (whiteouts, "..", links out
 * of the root) is its caller's business. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What strangers may make us hold or do. */
struct tar_limits {
        uint64_t entries;     /* of the archive */
        uint64_t bytes;       /* of the stream, headers and padding included */
        uint64_t file_size;   /* of one file, holes included */
        uint32_t path;        /* bytes of a name or link target (PATH_MAX) */
        uint32_t pax;         /* bytes of one extended header */
        uint32_t xattr_value; /* XATTR_SIZE_MAX: 64 KiB */
        uint32_t xattrs;      /* of one entry */
        uint32_t extents;     /* of one sparse file */
};
extern const struct tar_limits tar_limits_default;

struct tar_xattr {
        const char *name;
        const void *value;
        uint32_t len;
};

/* A piece of a sparse file that has data; between them are holes. */
struct tar_extent {
        uint64_t offset, len; /* in the file */
};

enum tar_type {
        TAR_FILE,
        TAR_HARDLINK,
        TAR_SYMLINK,
        TAR_CHAR,
        TAR_BLOCK,
        TAR_DIR,
        TAR_FIFO,
        TAR_TYPE_MAX
};

struct tar_entry {
        enum tar_type type;
        const char *path; /* as it stands, never empty; may hold "..", "//", a final '/' */
        const char *link; /* TAR_SYMLINK, TAR_HARDLINK: the target as it stands; else NULL */
        uint64_t size;    /* of the file, holes included; 0 unless TAR_FILE */
        uint64_t stored;  /* bytes of data that follow in the archive */
        uint64_t data_at; /* where they begin in the stream: a multiple of 512 (sparse 1.0's map is
                           * not part of them) */
        uint32_t mode;    /* the permission bits, 07777 */
        uint32_t uid, gid;
        int64_t mtime;
        uint32_t mtime_ns;
        uint32_t major, minor;
        const struct tar_xattr *xattrs; /* duplicates resolved: the last one stands */
        uint32_t nxattrs;
        const struct tar_extent *extents; /* NULL: not sparse; ascending, disjoint, within size */
        uint32_t nextents;
};

/* Each returns 0, or a negative number which then ends the parse and comes out of tar_feed(). The
 * entry, and what it points to, is valid until end() has returned. */
struct tar_handler {
        int (*entry)(void *ctx, const struct tar_entry *t);
        /* n bytes of the current file at offset, in ascending order; never a hole. p points into
         * what was fed. */
        int (*data)(void *ctx, uint64_t offset, const void *p, size_t n);
        /* The current entry is complete. Called once for each entry. */
        int (*end)(void *ctx);
};

struct tar;
struct tar *tar_new(const struct tar_limits *l, const struct tar_handler *h, void *ctx);
void tar_free(struct tar *t); /* takes NULL */
/* Takes the next n bytes of the stream. 0; a handler's negative answer; -EINVAL: malformed;
 * -E2BIG: over a limit (tar_problem() says what and where). After an error nothing more may be
 * fed. */
int tar_feed(struct tar *t, const void *p, size_t n);
/* The stream has ended. -EINVAL where that cuts an entry off; an archive without its two final zero
 * blocks is accepted (several writers leave them out), and so is anything after them. */
int tar_finish(struct tar *t);
/* The last error as a phrase: "header checksum is wrong"; names the entry where there is one. */
const char *tar_problem(const struct tar *t);

/* ---- writing ---- */

struct buf;
/* Appends the headers of t: ustar where it fits, else one pax header before it with what does not;
 * deterministic. The file's data and its padding to 512 follow by the caller; extents are ignored
 * (t->size bytes follow). */
void tar_put_header(struct buf *out, const struct tar_entry *t);
/* Zero bytes that pad n to a block. */
size_t tar_padding(uint64_t n);
/* The two zero blocks that end an archive. */
void tar_put_end(struct buf *out);
