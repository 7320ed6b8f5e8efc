/* Hard links: to files of this layer, to such as come later in the archive, and to files of lower
 * layers, which are found when the layer is settled. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "image/unpack-dir.h"

#define ROUNDS 64

struct target {
        struct dir *dir;
        struct place place;
};

/* 0; -ENOENT: not here; -EINVAL with a rule; else -errno. */
static int target_find(struct sink_dir *x, const char *path, struct target *ret,
                       const char **ret_rule)
{
        int r = place_parse(path, &ret->place, ret_rule);

        if (r < 0) {
                *ret_rule = "the path of its target has a component that is forbidden";
                return r;
        }
        if (ret->place.name_len == 0 || ret->place.ignored ||
            strncmp(ret->place.name, ".wh.", 4) == 0) {
                *ret_rule = "it is a hard link to no file";
                return -EINVAL;
        }
        r = dirs_walk(&x->dirs, ret->place.dir, ret->place.dir_len, false, &ret->dir, ret_rule);
        if (r == 0 && dirs_find(&x->dirs, ret->dir, ret->place.name, ret->place.name_len)) {
                *ret_rule = "it is a hard link to a directory";
                return -EINVAL;
        }
        return r;
}

static bool is_whiteout(int fd, const char *name)
{
        struct stat st;

        return fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) &&
               st.st_rdev == 0;
}

/* Both may be one already: then there is nothing to do. Else the link is made beside and moved
 * over, since what it replaces may be what holds its target. */
static int link_over(struct sink_dir *x, int from, const char *from_name, int to)
{
        const char *name = x->place.name;
        struct stat a, b;
        int r;

        if (fstatat(from, from_name, &a, AT_SYMLINK_NOFOLLOW) < 0 ||
            fstatat(to, name, &b, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (a.st_ino == b.st_ino && a.st_dev == b.st_dev)
                return 0;
        if (linkat(from, from_name, x->stage, "link", 0) < 0)
                return -errno;
        r = dir_replace(x, x->dir, name, x->place.name_len);
        if (r == 0 && renameat(x->stage, "link", to, name) < 0)
                r = -errno;
        if (r < 0)
                unlinkat(x->stage, "link", 0);
        return r;
}

/* 0; -ENOENT: the target is not here; else -errno. */
static int link_to(struct sink_dir *x, const struct target *target)
{
        int from = dirs_fd(&x->dirs, target->dir), to = dirs_fd(&x->dirs, x->dir);
        const char *name = target->place.name;

        if (from < 0 || to < 0)
                return MIN(from, to);
        if (x->nwhiteouts > 0 && is_whiteout(from, name))
                return -ENOENT;
        if (linkat(from, name, to, x->place.name, 0) == 0)
                return 0;
        return errno == EEXIST ? link_over(x, from, name, to) : -errno;
}

/* Without what a path needs not have, as it is shown and looked up below. */
static const char *clean(struct sink_dir *x, const char *path)
{
        const char *at = path, *c;
        size_t n;

        buf_clear(&x->path);
        while (str_next(&at, '/', &c, &n)) {
                if (n == 0 || (n == 1 && c[0] == '.'))
                        continue;
                if (x->path.len)
                        buf_putc(&x->path, '/');
                buf_add(&x->path, c, n);
        }
        return arena_strdup(&x->dirs.a, buf_str(&x->path));
}

static int put_off(struct sink_dir *x)
{
        struct pending *p = arena_new(&x->dirs.a, struct pending);
        int fd = dirs_fd(&x->dirs, x->dir), r = fd;
        struct stat st;

        if (r >= 0)
                r = fstatat(fd, x->place.name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
        if (r == 0)
                r = dir_replace(x, x->dir, x->place.name, x->place.name_len);
        if (r < 0 && r != -ENOENT)
                return r;
        dirs_take(&x->dirs, x->dir, x->place.name, x->place.name_len);
        p->dir = x->dir;
        p->name = arena_strdup(&x->dirs.a, x->place.name);
        p->target = clean(x, x->entry->link);
        *x->pending_end = p;
        x->pending_end = &p->next;
        return 0;
}

int dir_link_make(struct sink_dir *x)
{
        const char *rule = NULL;
        struct target target;
        int r = target_find(x, x->entry->link, &target, &rule);

        if (r == -EINVAL && rule)
                return dir_refuse(x, r, rule);
        if (r == 0)
                r = link_to(x, &target);
        if (r == -ENOENT)
                r = put_off(x);
        if (r == -EMLINK)
                return dir_refuse(x, -E2BIG,
                                  "the file has more names than this file system"
                                  " allows");
        return r < 0 ? dir_failed(x, r, "make the hard link") : 0;
}

/* Whether p still waits; tries once more. */
static int try_again(struct sink_dir *x, struct pending *p, bool *ret_progress)
{
        const char *rule = NULL;
        struct target target;
        struct stat st;
        int fd, r;

        p->done = !dirs_lives(&x->dirs, p->dir);
        if (p->done)
                return 0;
        fd = dirs_fd(&x->dirs, p->dir);
        if (fd < 0)
                return fd;
        /* A later entry of its name has replaced it. */
        p->done = fstatat(fd, p->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
        if (p->done)
                return 0;
        r = target_find(x, p->target, &target, &rule);
        if (r < 0)
                return r == -EINVAL ? -ENOENT : r;
        x->dir = p->dir;
        x->place.name_len = strlen(p->name);
        memcpy(x->place.name, p->name, x->place.name_len + 1);
        r = link_to(x, &target);
        p->done = r == 0;
        *ret_progress |= p->done;
        return r;
}

int dir_links_settle(struct sink_dir *x)
{
        bool progress = true;

        for (int round = 0; progress && round < ROUNDS; round++) {
                progress = false;
                for (struct pending *p = x->pending; p; p = p->next) {
                        int r = p->done ? 0 : try_again(x, p, &progress);

                        if (r < 0 && r != -ENOENT) {
                                err_sys(x->err, r, "cannot make the hard link '%s'", p->name);
                                return -1;
                        }
                }
        }
        return 0;
}
