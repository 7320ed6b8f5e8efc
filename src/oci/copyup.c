#include "oci/copyup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#define DEPTH_MAX 128
#define XATTRS_MAX 65536 /* of names, and of one value: the kernel's own limits */

/* A file with several names, where its first one was made. */
struct linked {
        dev_t dev;
        ino_t ino;
        char *path; /* below the top */
};
struct copy {
        int top; /* of what is made */
        struct linked *links;
        size_t nlinks, cap;
        char path[PATH_MAX]; /* of the directory that is being copied, below the top */
};

static int copy_dir(struct copy *c, int from, int to, int depth);

/* ---- names ---- */

/* dir/name below the top, or NULL where that is too long. */
static char *path_of(const struct copy *c, const char *name)
{
        char *path = mem_printf("%s%s%s", c->path, *c->path ? "/" : "", name);

        if (strlen(path) < sizeof c->path)
                return path;
        free(path);
        return NULL;
}

static const struct linked *find_link(const struct copy *c, const struct stat *st)
{
        for (size_t i = 0; i < c->nlinks; i++)
                if (c->links[i].ino == st->st_ino && c->links[i].dev == st->st_dev)
                        return &c->links[i];
        return NULL;
}

static void note_link(struct copy *c, const struct stat *st, const char *name)
{
        char *path = path_of(c, name);

        if (!path)
                return; /* its other names become copies */
        if (c->nlinks == c->cap) {
                c->cap = c->cap ? c->cap * 2 : 16;
                c->links = mem_realloc(c->links, mem_mul(c->cap, sizeof *c->links));
        }
        c->links[c->nlinks++] = (struct linked){ st->st_dev, st->st_ino, path };
}

/* ---- one thing ---- */

static int copy_content(int from, int to, const char *name)
{
        AUTO_FD int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        AUTO_FD int out =
                openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        ssize_t n;

        if (in < 0 || out < 0)
                return -errno;
        while ((n = sendfile(out, in, NULL, 1 << 20)) > 0)
                ;
        return n < 0 ? -errno : 0;
}

static int copy_file(struct copy *c, int from, int to, const char *name, const struct stat *st)
{
        const struct linked *first = st->st_nlink > 1 ? find_link(c, st) : NULL;
        int r;

        if (first)
                return linkat(c->top, first->path, to, name, 0) < 0 ? -errno : 0;
        r = copy_content(from, to, name);
        if (r == 0 && st->st_nlink > 1)
                note_link(c, st, name);
        return r;
}

static int copy_link(int from, int to, const char *name)
{
        char target[4097];
        ssize_t n = readlinkat(from, name, target, sizeof target - 1);

        if (n < 0)
                return -errno;
        target[n] = 0;
        return symlinkat(target, to, name) < 0 ? -errno : 0;
}

static int copy_subdir(struct copy *c, int from, int to, const char *name, int depth)
{
        AUTO_FD int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        AUTO_FREE char *path = path_of(c, name);
        size_t len = strlen(c->path);
        int r;

        if (!path)
                return -ENAMETOOLONG;
        if (in < 0 || mkdirat(to, name, 0700) < 0)
                return -errno;
        AUTO_FD int out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (out < 0)
                return -errno;
        snprintf(c->path, sizeof c->path, "%s", path);
        r = copy_dir(c, in, out, depth + 1);
        c->path[len] = 0;
        return r;
}

/* ---- attributes ---- */

/* What the file system below refuses to keep is left out, as cp -a does. */
static int copy_xattr(int in, int out, const char *name, char *value)
{
        ssize_t n = fgetxattr(in, name, value, XATTRS_MAX);

        if (n >= 0 && fsetxattr(out, name, value, (size_t)n, 0) == 0)
                return 0;
        return errno == ENODATA || errno == ENOTSUP || errno == EPERM ? 0 : -errno;
}

static int copy_xattrs(int from, int to, const char *name)
{
        int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
        AUTO_FD int in = openat(from, name, flags), out = openat(to, name, flags);
        AUTO_FREE char *names = NULL, *value = NULL;
        ssize_t n;
        int r = 0;

        if (in < 0 || out < 0)
                return -errno;
        n = flistxattr(in, NULL, 0); /* most have none */
        if (n <= 0)
                return n == 0 || errno == ENOTSUP ? 0 : -errno;
        names = mem_alloc(XATTRS_MAX);
        value = mem_alloc(XATTRS_MAX);
        n = flistxattr(in, names, XATTRS_MAX);
        if (n < 0)
                return -errno;
        for (const char *at = names; r == 0 && at < names + n; at += strlen(at) + 1)
                r = copy_xattr(in, out, at, value);
        return r;
}

/* Owner before mode and capabilities: chown clears both. Times last. */
static int copy_attributes(int from, int to, const char *name, const struct stat *st)
{
        struct timespec times[2] = { st->st_atim, st->st_mtim };
        int r = 0;

        if (fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!S_ISLNK(st->st_mode) && fchmodat(to, name, st->st_mode & 07777, 0) < 0)
                return -errno;
        if (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode))
                r = copy_xattrs(from, to, name);
        if (r < 0)
                return r;
        return utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int copy_entry(struct copy *c, int from, int to, const char *name, int depth)
{
        struct stat st;
        int r;

        if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                r = copy_subdir(c, from, to, name, depth);
        else if (S_ISREG(st.st_mode))
                r = copy_file(c, from, to, name, &st);
        else if (S_ISLNK(st.st_mode))
                r = copy_link(from, to, name);
        else
                r = mknodat(to, name, st.st_mode, st.st_rdev) < 0 ? -errno : 0;
        return r < 0 ? r : copy_attributes(from, to, name, &st);
}

static int copy_dir(struct copy *c, int from, int to, int depth)
{
        AUTO_ARENA a = { 0 };
        struct strings names;
        int r = depth > DEPTH_MAX ? -ELOOP : dir_names(from, ".", &a, &names);

        for (size_t i = 0; r == 0 && i < names.n; i++)
                r = copy_entry(c, from, to, names.v[i], depth);
        return r;
}

int copyup(int from, int to, struct err *e)
{
        struct copy c = { .top = to };
        int r = copy_dir(&c, from, to, 0);

        for (size_t i = 0; i < c.nlinks; i++)
                free(c.links[i].path);
        free(c.links);
        return r < 0 ? err_sys(e, r, "cannot copy the image's content") : 0;
}
