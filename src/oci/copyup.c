#include "oci/copyup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

#define DEPTH_MAX 128

static int copy_dir(int from, int to, int depth);

static int copy_file(int from, int to, const char *name, const struct stat *st)
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

static int copy_link(int from, int to, const char *name)
{
        char target[4097];
        ssize_t n = readlinkat(from, name, target, sizeof target - 1);

        if (n < 0)
                return -errno;
        target[n] = 0;
        return symlinkat(target, to, name) < 0 ? -errno : 0;
}

static int copy_subdir(int from, int to, const char *name, int depth)
{
        AUTO_FD int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (in < 0 || mkdirat(to, name, 0700) < 0)
                return -errno;
        AUTO_FD int out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return out < 0 ? -errno : copy_dir(in, out, depth + 1);
}

/* Owner before mode: chown clears set-id bits. Times last. */
static int copy_attributes(int to, const char *name, const struct stat *st)
{
        struct timespec times[2] = { st->st_atim, st->st_mtim };

        if (fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!S_ISLNK(st->st_mode) && fchmodat(to, name, st->st_mode & 07777, 0) < 0)
                return -errno;
        return utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int copy_entry(int from, int to, const char *name, int depth)
{
        struct stat st;
        int r;

        if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                r = copy_subdir(from, to, name, depth);
        else if (S_ISREG(st.st_mode))
                r = copy_file(from, to, name, &st);
        else if (S_ISLNK(st.st_mode))
                r = copy_link(from, to, name);
        else
                r = mknodat(to, name, st.st_mode, st.st_rdev) < 0 ? -errno : 0;
        return r < 0 ? r : copy_attributes(to, name, &st);
}

static int copy_dir(int from, int to, int depth)
{
        int copy = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
        DIR *d = copy < 0 ? NULL : fdopendir(copy);
        struct dirent *entry;

        if (!d)
                return -errno;
        if (depth > DEPTH_MAX)
                r = -ELOOP;
        while (r == 0 && (entry = readdir(d)))
                if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, ".."))
                        r = copy_entry(from, to, entry->d_name, depth);
        closedir(d);
        return r;
}

int copyup(int from, int to, struct err *e)
{
        int r = copy_dir(from, to, 0);

        return r < 0 ? err_sys(e, r, "cannot copy the image's content") : 0;
}
