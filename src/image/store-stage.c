/* Work in progress: directories below stage/, each beside a lock file. The lock is apart because
 * the directory is renamed away when it is done. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/str.h"
#include "image/store-internal.h"

/* An open, locked NAME.lock that is still the one at that name: who had it before may have removed
 * it. -errno; -EWOULDBLOCK with nowait. */
static int lock_file(int dir, const char *name, bool nowait)
{
        char path[96];

        snprintf(path, sizeof path, "%s.lock", name);
        for (;;) {
                AUTO_FD int fd = openat(dir, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
                struct stat held, named;

                if (fd < 0)
                        return -errno;
                while (flock(fd, nowait ? LOCK_EX | LOCK_NB : LOCK_EX) < 0)
                        if (errno != EINTR)
                                return -errno;
                if (fstat(fd, &held) == 0 && fstatat(dir, path, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
                    held.st_ino == named.st_ino)
                        return TAKE_FD(fd);
        }
}

/* While it is held: who waits for it finds that it is not at that name any more. */
static void unlock_file(int dir, const char *name)
{
        char path[96];

        snprintf(path, sizeof path, "%s.lock", name);
        unlinkat(dir, path, 0);
}

static bool name_ok(const char *name)
{
        size_t n = strlen(name);

        return n > 0 && n < sizeof((struct stage *)0)->name && *name != '.' && !strchr(name, '/') &&
               !str_ends(name, ".lock");
}

int stage_open(struct store *s, const char *name, bool nowait, struct stage *ret, struct err *e)
{
        int top = store_sub(s, SUB_STAGE, e);
        int r;

        if (top < 0)
                return -1;
        if (!name_ok(name))
                return err_set(e, ERR_INTERNAL, "\"%.100s\" can't name a stage", name);
        r = lock_file(top, name, nowait);
        if (r == -EWOULDBLOCK)
                return err_set(e, ERR_STATE, "\"%s\" is being staged by another process", name);
        if (r < 0)
                return err_sys(e, r, "cannot lock the stage \"%s\"", name);
        AUTO_FD int lock = r;
        if (mkdirat(top, name, 0700) < 0 && errno != EEXIST) {
                err_sys(e, errno, "cannot make the stage \"%s\"", name);
                unlock_file(top, name);
                return -1;
        }
        AUTO_FD int dir = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir < 0)
                return err_sys(e, errno, "cannot open the stage \"%s\"", name);
        snprintf(ret->name, sizeof ret->name, "%s", name);
        ret->dir = TAKE_FD(dir);
        ret->lock = TAKE_FD(lock);
        return 0;
}

static void let_go(struct stage *g)
{
        g->dir = fd_close(g->dir);
        g->lock = fd_close(g->lock);
}

void stage_keep(struct store *s, struct stage *g)
{
        let_go(g);
}

static void stage_used(struct store *s, struct stage *g)
{
        if (s->sub[SUB_STAGE] >= 0)
                unlock_file(s->sub[SUB_STAGE], g->name);
        let_go(g);
}

void stage_remove(struct store *s, struct stage *g)
{
        int top = store_sub(s, SUB_STAGE, NULL);
        int r = top < 0 ? -EBADF : trash_take(s, top, g->name);

        stage_used(s, g);
        if (r == 0)
                trash_empty(s, false, NULL);
        else if (r != -ENOENT)
                log_debug(s->log, "cannot remove the stage \"%s\": %d", g->name, r);
}
