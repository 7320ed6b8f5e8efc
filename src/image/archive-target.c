/* The file or directory that an archive becomes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "image/archive-internal.h"
#include "kernel/tree.h"

static int open_failed(const char *path, struct err *e)
{
        return err_sys(e, errno, "cannot create \"%s\"", path);
}

/* A file that is there is replaced once the new one is whole; a device or FIFO is written to. */
static int open_file(struct archive_target *t, struct err *e)
{
        struct stat st;

        if (stat(t->path, &st) == 0) {
                if (S_ISDIR(st.st_mode))
                        return err_set(e, ERR_INVALID, "\"%s\" is a directory", t->path);
                if (!S_ISREG(st.st_mode)) {
                        t->fd = open(t->path, O_WRONLY | O_CLOEXEC);
                        return t->fd < 0 ? open_failed(t->path, e) : 0;
                }
        }
        t->temporary = mem_printf("%s.%d.partial", t->path, getpid());
        t->fd = open(t->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        return t->fd < 0 ? open_failed(t->path, e) : 0;
}

static int open_dir(struct archive_target *t, bool add, struct err *e)
{
        AUTO_FD int there = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (there < 0 && errno != ENOENT)
                return open_failed(t->path, e);
        if (there >= 0 && add && faccessat(there, LAYOUT_FILE, F_OK, 0) == 0) {
                t->fd = TAKE_FD(there);
                return 0;
        }
        if (there >= 0 && !dir_is_empty(there)) {
                err_set(e, ERR_EXISTS, "directory \"%s\" is not empty", t->path);
                return err_hint(e, "Name one that does not exist yet.");
        }
        t->temporary = mem_printf("%s.%d.partial", t->path, getpid());
        if (mkdir(t->temporary, 0755) < 0)
                return open_failed(t->path, e);
        t->fd = open(t->temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return t->fd < 0 ? open_failed(t->path, e) : 0;
}

int archive_target_open(const char *path, int out, bool tar, bool add, struct archive_target *ret,
                        struct err *e)
{
        struct archive_target t = { .fd = out, .owned = path != NULL };

        if (path && path_clean(path, t.path, sizeof t.path) < 0)
                return err_set(e, ERR_LIMIT, "\"%.60s...\" is too long", path);
        if (path && (tar ? open_file(&t, e) : open_dir(&t, add, e)) < 0) {
                free(t.temporary);
                return -1;
        }
        *ret = t;
        return 0;
}

int archive_target_close(struct archive_target *t, bool keep, struct err *e)
{
        int r = 0;

        if (t->owned && close(t->fd) < 0 && keep) /* NFS tells of a full disk here */
                r = err_sys(e, errno, "cannot write \"%s\"", t->path);
        if (t->temporary && r == 0 && keep && rename(t->temporary, t->path) < 0)
                r = open_failed(t->path, e);
        if (t->temporary && (r < 0 || !keep))
                tree_remove(AT_FDCWD, t->temporary);
        free(t->temporary);
        return r;
}
