#include "kernel/resolve.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "kernel/sys.h"

#define PATH_ROOM 4096
#define LINKS_MAX 40

int resolve_open(int root, const char *path, int flags, mode_t mode, uint64_t resolve)
{
        struct open_how how = {
                .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
                .mode = flags & (O_CREAT | O_TMPFILE) ? mode : 0,
                .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve,
        };

        /* EAGAIN: a rename elsewhere made the kernel unsure that ".." stayed inside; openat2(2)
         * says to try again. */
        for (int tries = 0;; tries++) {
                int fd = sys_openat2(root, path, &how);

                if (fd >= 0)
                        return fd;
                if (errno != EAGAIN || tries == 64)
                        return -errno;
        }
}

int resolve_in(int root, const char *path, int flags, uint64_t resolve)
{
        return resolve_open(root, path, flags | O_PATH, 0, resolve);
}

/* One component below the directory cur, made as a directory if it isn't there; never through a
 * link. */
static int make_child(int cur, const char *name)
{
        int fd;

        if (mkdirat(cur, name, 0755) < 0 && errno != EEXIST)
                return -errno;
        fd = openat(cur, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* Where path ends in a dangling link: the link's target as a path from the root, into buf. */
static int follow_dangling(int dir, const char *parent, const char *name, char *buf, size_t cap)
{
        char target[PATH_ROOM];
        ssize_t n = readlinkat(dir, name, target, sizeof target - 1);

        if (n < 0)
                return -errno;
        target[n] = 0;
        return path_join(parent, target, buf, cap);
}

static int make_dirs(int root, const char *path, int links);

/* Opens the directory cur/name, whose whole path is upto; makes it, or what a dangling link there
 * points to, where it is missing. */
static int step(int root, int cur, const char *parent, const char *upto, const char *name,
                int links)
{
        char target[PATH_ROOM];
        int fd = resolve_in(root, upto, O_DIRECTORY, 0);

        if (fd != -ENOENT)
                return fd;
        fd = make_child(cur, name);
        if (fd != -ENOTDIR && fd != -ELOOP)
                return fd;
        fd = follow_dangling(cur, parent, name, target, sizeof target);
        return fd < 0 ? fd : make_dirs(root, target, links + 1);
}

static int make_dirs(int root, const char *path, int links)
{
        char clean[PATH_ROOM], upto[PATH_ROOM] = "/", parent[PATH_ROOM] = "/", name[256];
        const char *at = clean, *part;
        size_t n, len = 0;
        int cur, r;

        if (links > LINKS_MAX)
                return -ELOOP;
        r = path_join("/", path, clean, sizeof clean);
        if (r < 0)
                return r;
        cur = resolve_in(root, clean, O_DIRECTORY, 0);
        if (cur != -ENOENT)
                return cur;
        cur = resolve_in(root, "/", O_DIRECTORY, 0);
        while (cur >= 0 && str_next(&at, '/', &part, &n)) {
                int next;

                if (n == 0)
                        continue;
                if (n >= sizeof name || len + n + 2 > sizeof upto) {
                        fd_close(cur);
                        return -ENAMETOOLONG;
                }
                memcpy(name, part, n);
                name[n] = 0;
                memcpy(parent, upto, len + 1);
                if (len == 0)
                        memcpy(parent, "/", 2);
                upto[len++] = '/';
                memcpy(upto + len, name, n + 1);
                len += n;
                next = step(root, cur, parent, upto, name, links);
                fd_close(cur);
                cur = next;
        }
        return cur;
}

int resolve_parent(int root, const char *path, const char **ret_name)
{
        const char *name = path_base(path);
        char parent[PATH_ROOM];
        size_t n = (size_t)(name - path);

        if (!*name || str_eq(name, ".") || str_eq(name, ".."))
                return -EINVAL;
        if (n >= sizeof parent)
                return -ENAMETOOLONG;
        memcpy(parent, path, n);
        parent[n] = 0;
        *ret_name = name;
        return make_dirs(root, parent, 0);
}

static int make_file(int root, const char *path, mode_t mode, int links)
{
        char clean[PATH_ROOM], target[PATH_ROOM];
        const char *name;
        int fd, r = path_join("/", path, clean, sizeof clean);

        if (r < 0)
                return r;
        fd = resolve_in(root, clean, 0, 0);
        if (fd != -ENOENT)
                return fd;
        if (links > LINKS_MAX)
                return -ELOOP;
        AUTO_FD int dir = resolve_parent(root, clean, &name);
        if (dir < 0)
                return dir;
        AUTO_FD int made =
                openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        if (made < 0 && errno != EEXIST)
                return -errno;
        fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (made >= 0)
                return fd;
        fd_close(fd);
        *strrchr(clean, '/') = 0;
        r = follow_dangling(dir, *clean ? clean : "/", name, target, sizeof target);
        return r < 0 ? r : make_file(root, target, mode, links + 1);
}

int resolve_make(int root, const char *path, int dir, mode_t mode)
{
        const char *name;
        char clean[PATH_ROOM];
        int fd, r;

        if (!dir)
                return make_file(root, path, mode, 0);
        fd = resolve_in(root, path, O_DIRECTORY, 0);
        if (fd != -ENOENT || mode == 0755)
                return fd != -ENOENT ? fd : make_dirs(root, path, 0);
        r = path_join("/", path, clean, sizeof clean);
        if (r < 0)
                return r;
        AUTO_FD int parent = resolve_parent(root, clean, &name);
        if (parent < 0)
                return parent;
        if (mkdirat(parent, name, mode) < 0 && errno != EEXIST)
                return -errno;
        return make_dirs(root, clean, 0);
}

int resolve_proc(int proc, const char *path, int flags)
{
        struct open_how how = {
                .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
        };
        struct statfs fs;
        int fd = sys_openat2(proc, path, &how);

        if (fd < 0)
                return -errno;
        if (fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC) {
                fd_close(fd);
                return -EXDEV;
        }
        return fd;
}
