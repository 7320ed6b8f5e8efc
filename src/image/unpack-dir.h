/* What the files of the directory form share: unpack-dir.c (the sink), unpack-dir-entry.c (making
 * entries), unpack-dir-link.c (hard links), unpack-dir-attr.c (attributes). */
#pragma once

#include "image/unpack-dirs.h"
#include "image/unpack-headers.h"
#include "image/unpack.h"

/* A hard link whose target is not in this layer (yet). */
struct pending {
        struct pending *next;
        struct dir *dir;
        const char *name, *target;
        bool done;
};

struct sink_dir {
        struct sink s;
        const struct layer_job *job;
        struct tar *tar;
        struct dirs dirs;
        struct headers_writer headers;
        const uint8_t *mark; /* of what was fed: from here on the headers don't have it yet */
        int stage, replaced; /* replaced: -1 until needed */
        uint64_t nreplaced, ndirs_replaced, nwhiteouts;
        struct pending *pending, **pending_end;
        /* The entry that is being made: */
        const struct tar_entry *entry;
        struct dir *dir;
        struct place place;
        int fd; /* of a regular file, else -1 */
        uint64_t at;
        bool at_path; /* it has attributes to get, by its name in dir */
        struct buf path;
        struct err *err; /* where handlers word their errors */
};

/* Both word an error and return -ECANCELED. */
int dir_refuse(struct sink_dir *x, int code, const char *rule);
int dir_failed(struct sink_dir *x, int error, const char *what);

/* Makes the entry; 0 or -ECANCELED. */
int dir_entry_make(struct sink_dir *x);
/* Takes away what dir has under this name, keeping content that the exact archive needs. 0 or
 * -errno; -EOVERFLOW: this has happened to too many directories. */
int dir_replace(struct sink_dir *x, struct dir *dir, const char *name, size_t len);
int dir_link_make(struct sink_dir *x);
/* All entries are there: links whose target came after them. */
int dir_links_settle(struct sink_dir *x);

/* Owner, mode, attributes and times of the file or node that has just been made. */
int dir_attrs_file(struct sink_dir *x);
int dir_attrs_node(struct sink_dir *x);
/* A directory's are kept for the end ... */
void dir_attrs_keep(struct sink_dir *x, struct dir *d);
/* ... when all directories get theirs. */
int dir_attrs_all(struct sink_dir *x);
/* What is behind them: sets t's attributes on fd, which was made with mode `made`; or on a symlink
 * or node. 0 or -errno. */
int attrs_set(int fd, const struct tar_entry *t, mode_t made, bool userxattr);
int attrs_set_at(int dir, const char *name, const struct tar_entry *t, bool userxattr);
