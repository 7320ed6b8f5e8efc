#include "kernel/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

/* What lies deeper is moved up to the top first, so that descriptors suffice at any depth. */
#define DEPTH_MAX 64

struct removal {
        int top; /* of the tree */
        unsigned moved;
};

static int remove_content(struct removal *r, int dir, int depth);

static int open_dir(int dir, const char *name)
{
        int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
        int fd = openat(dir, name, flags);

        /* Not root, and a directory that its owner may not read: overlayfs' work/work. */
        if (fd < 0 && errno == EACCES && fchmodat(dir, name, 0700, 0) == 0)
                fd = openat(dir, name, flags);
        return fd < 0 ? -errno : fd;
}

/* A name at the top that is free: deep names may look like ours. */
static int move_up(struct removal *r, int dir, const char *name)
{
        char fresh[24];

        for (;;) {
                snprintf(fresh, sizeof fresh, ".deep-%u", r->moved++);
                if (renameat(dir, name, r->top, fresh) == 0)
                        return 0;
                if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
                        return -errno;
        }
}

static int remove_dir(struct removal *r, int dir, const char *name, int depth)
{
        if (depth == DEPTH_MAX)
                return move_up(r, dir, name);
        AUTO_FD int fd = open_dir(dir, name);
        int status = fd < 0 ? fd : remove_content(r, fd, depth + 1);

        if (status == -ENOENT) /* somebody else is at it */
                return 0;
        if (status < 0)
                return status;
        return unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

static int remove_entry(struct removal *r, int dir, const char *name, int depth)
{
        if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
                return 0;
        /* EISDIR by Linux, EPERM by POSIX. */
        return errno == EISDIR || errno == EPERM ? remove_dir(r, dir, name, depth) : -errno;
}

static int remove_entries(struct removal *r, DIR *d, int dir, int depth, bool *ret_any)
{
        struct dirent *entry;
        int status = 0;

        *ret_any = false;
        while (status == 0 && (entry = readdir(d))) {
                if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, ".."))
                        continue;
                *ret_any = true;
                status = entry->d_type == DT_DIR ? remove_dir(r, dir, entry->d_name, depth)
                                                 : remove_entry(r, dir, entry->d_name, depth);
        }
        return status;
}

/* What was moved to the top while its directory was being read may have been missed: once more
 * there, until a reading finds nothing. */
static int remove_content(struct removal *r, int dir, int depth)
{
        int copy = fcntl(dir, F_DUPFD_CLOEXEC, 0), status;
        DIR *d = copy < 0 ? NULL : fdopendir(copy);
        unsigned before;
        bool any;

        if (!d)
                return -errno;
        do {
                before = r->moved;
                rewinddir(d);
                status = remove_entries(r, d, dir, depth, &any);
        } while (status == 0 && depth == 0 && (any || r->moved != before));
        closedir(d);
        return status;
}

int tree_remove(int dir, const char *name)
{
        int status;

        if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR && errno != EPERM)
                return -errno;
        AUTO_FD int top = open_dir(dir, name);
        if (top < 0)
                return top == -ENOENT ? 0 : top;
        status = remove_content(&(struct removal){ .top = top }, top, 0);
        if (status < 0)
                return status;
        return unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

#define CHOWN_DEPTH_MAX 256 /* one descriptor each */

static int chown_below(int fd, dev_t device, uid_t uid, gid_t gid, unsigned depth)
{
        DIR *d = depth < CHOWN_DEPTH_MAX
                         ? fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC))
                         : NULL;
        const struct dirent *entry;
        int r = 0;

        if (!d)
                return depth < CHOWN_DEPTH_MAX ? -errno : -ELOOP;
        while (r == 0 && (entry = readdir(d))) {
                struct stat st;

                if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, ".."))
                        continue;
                AUTO_FD int at = openat(fd, entry->d_name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
                if (at < 0 || fstat(at, &st) < 0) {
                        r = errno == ENOENT ? 0 : -errno;
                        continue;
                }
                if (st.st_dev != device) /* a mount */
                        continue;
                if (fchownat(at, "", uid, gid, AT_EMPTY_PATH) < 0)
                        r = -errno;
                else if (S_ISDIR(st.st_mode))
                        r = chown_below(at, device, uid, gid, depth + 1);
        }
        closedir(d);
        return r;
}

int tree_chown(int fd, uid_t uid, gid_t gid)
{
        struct stat st;

        if (fstat(fd, &st) < 0 || fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0)
                return -errno;
        return S_ISDIR(st.st_mode) ? chown_below(fd, st.st_dev, uid, gid, 0) : 0;
}
