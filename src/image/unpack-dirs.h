/* The directories of a layer that is being unpacked, in memory and by descriptor.
 *
 * T1  Every directory of the tree was made here and has a node; a name without a node is no
 *     directory. So a path is walked in memory, and what a component is need be asked of the file
 *     system only where it is no directory.
 * T2  Names are used relative to their directory's descriptor, one component at a time, never
 *     followed: nothing outside the tree can be reached, whatever links the archive makes.
 * T3  Owner, mode, attributes and times of directories are given at the end: until then they
 *     are 0:0 and pass nothing on to what is made in them (setgid, default ACLs, bsdgroups). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "codec/tar.h"

enum dir_flags {
        DIR_IMPLIED = 1 << 0, /* it has no entry of its own */
        DIR_OPAQUE = 1 << 1,
        DIR_WHITED = 1 << 2,  /* nothing of lower layers shows through: implied, it leans on none */
        DIR_XWHITES = 1 << 3, /* holds whiteouts that are attributes */
        DIR_DEAD = 1 << 4,    /* moved away */
        DIR_TAKEN = 1 << 5 /* no directory: the name is a hard link's that waits for its target */
};

struct dir {
        struct dir *parent, *chain, *next; /* next: in the order of making */
        struct tar_xattr *xattrs;
        uint32_t nxattrs;
        uint32_t uid, gid, mtime_ns;
        int64_t mtime;
        uint32_t hash;
        uint16_t mode, made; /* made: what it has on disk */
        uint8_t flags, len;
        int8_t slot; /* of its descriptor, -1: closed */
        char name[];
};

#define DIRS_FDS 64

struct dirs {
        struct arena a;
        struct dir *root, *last, **names;
        uint32_t count, cap;
        struct {
                struct dir *dir;
                int fd;
                uint64_t used;
        } fds[DIRS_FDS];
        uint64_t clock;
        /* The directory part that the last entry had. */
        struct dir *last_dir;
        uint32_t last_len;
        char last_path[4096];
        char rule[128]; /* that the last walk broke */
};

/* root: a descriptor of the tree's root directory, which becomes the tree's. */
void dirs_init(struct dirs *t, int root);
void dirs_done(struct dirs *t);
/* The node of name in dir, or NULL. */
struct dir *dirs_find(const struct dirs *t, const struct dir *dir, const char *name, size_t len);
/* A node for a directory that has been made. */
struct dir *dirs_add(struct dirs *t, struct dir *parent, const char *name, size_t len);
/* Says that name in dir will be something else, though nothing is there yet. */
void dirs_take(struct dirs *t, struct dir *dir, const char *name, size_t len);
/* Takes it and all below out of the tree: it has been moved away. */
void dirs_remove(struct dirs *t, struct dir *d);
/* A name that was no directory has become something else: what paths led to is forgotten. */
void dirs_forget(struct dirs *t);
/* Whether it is still reached from the root. */
bool dirs_lives(const struct dirs *t, const struct dir *d);
/* Its descriptor (the tree's; good until the next call), or -errno. */
int dirs_fd(struct dirs *t, struct dir *d);
/* Its path below the root; "" is the root. */
void dirs_path(const struct dir *d, struct buf *ret);

/* Where an entry belongs (image-spec layer.md; codec/erofs.h has the same rules). */
struct place {
        const char *dir; /* the directory's part of the path, dir_len bytes */
        size_t dir_len;
        char name[256]; /* the last component; "": the root */
        size_t name_len;
        bool ignored; /* aufs's own files */
};
/* 0, or -EINVAL and in *ret_rule why it is refused. */
int place_parse(const char *path, struct place *ret, const char **ret_rule);

/* The directory that path[0..n) leads to, links of the layer followed inside the root. What is
 * missing is made where `make`. 0; -ENOENT: not there; -EINVAL: refused, *ret_rule says why; else
 * -errno. */
int dirs_walk(struct dirs *t, const char *path, size_t n, bool make, struct dir **ret,
              const char **ret_rule);
