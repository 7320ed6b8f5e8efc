/* Entering a cgroup without waiting for an RCU grace period.
 *
 * The first write to any cgroup.procs takes cgroup_threadgroup_rwsem for writing, which waits
 * for one (5-18 ms). A write to v1's `tasks` moves one thread and does not;
 * clone3(CLONE_INTO_CGROUP) starts the child in place. So: v1 by the single-threaded child
 * itself, v2 by clone3. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "kernel/cgroup-internal.h"

/* ---- which directory of each hierarchy ---- */

/* Whether a sub cgroup has a "..", which would be dropped in silence otherwise. */
static bool climbs(const char *text)
{
        const char *colon = strchr(text, ':'), *part;
        size_t n;

        for (const char *at = colon ? colon + 1 : text; str_next(&at, '/', &part, &n);)
                if (n == 2 && part[0] == '.' && part[1] == '.')
                        return true;
        return false;
}

/* The path of sub below d. */
static int sub_path(const struct cgroup_dir *d, const char *sub, char *buf, size_t cap)
{
        char rooted[PATH_MAX], clean[PATH_MAX];

        if (snprintf(rooted, sizeof rooted, "/%s", sub) >= (int)sizeof rooted ||
            path_clean(rooted, clean, sizeof clean) < 0 ||
            snprintf(buf, cap, "%s%s", d->path, str_eq(clean, "/") ? "" : clean) >= (int)cap)
                return -ENAMETOOLONG;
        return 0;
}

/* Whether "cpu,memory:/a" names d's hierarchy; *ret_sub is what follows the colon. Without a colon
 * every hierarchy is meant. */
static bool sub_is_for(const struct cgroup_dir *d, const char *text, const char **ret_sub)
{
        const char *colon = strchr(text, ':');

        *ret_sub = colon ? colon + 1 : text;
        if (!colon)
                return true;
        for (const char *at = text; at < colon;) {
                const char *end = memchr(at, ',', (size_t)(colon - at));
                size_t n = (size_t)((end ? end : colon) - at);
                int k = cgroup_controller_find(at, n);

                if (!d->v2 && ((k >= 0 && d->controllers & CGROUP_BIT(k)) ||
                               (strlen(d->name) == n && memcmp(d->name, at, n) == 0)))
                        return true;
                at += n + 1;
        }
        return false;
}

static bool sub_names_nothing(const struct cgroup *c, const char *text)
{
        const char *sub;

        for (size_t i = 0; i < c->n; i++)
                if (sub_is_for(&c->v[i], text, &sub))
                        return false;
        return true;
}

/* v2: where init lives now, once its cgroup has become an inner one (cgroup-v2.rst "No Internal
 * Process Constraint"): an init system in the container moved everything down. */
static int init_path(const struct cgroup_dir *d, pid_t init, char *buf, size_t cap)
{
        char file[64], text[PATH_MAX + 256];
        const char *path, *end;
        size_t root = str_eq(d->root, "/") ? 0 : strlen(d->root);

        snprintf(file, sizeof file, "/proc/%d/cgroup", (int)init);
        if (fd_read_text_at(AT_FDCWD, file, text, sizeof text) < 0)
                return -ESRCH;
        path = str_after(text, "0::");
        if (!path) {
                path = strstr(text, "\n0::");
                if (!path)
                        return -ESRCH;
                path += 4;
        }
        end = strchrnul(path, '\n');
        if ((size_t)(end - path) < root || strncmp(path, d->root, root) != 0)
                return -ESRCH;
        path += root;
        if (snprintf(buf, cap, "%s%.*s", d->mount, (int)(end - path), path) >= (int)cap)
                return -ENAMETOOLONG;
        return 0;
}

/* No: it is gone, or passes controllers on. */
static bool takes_tasks(const char *dir)
{
        char path[CGROUP_FILE_MAX], text[256];
        ssize_t n;

        snprintf(path, sizeof path, "%s/cgroup.subtree_control", dir);
        n = fd_read_text_at(AT_FDCWD, path, text, sizeof text);
        return n != -ENOENT && n != -ENODEV && n <= 1;
}

static int join_path(const struct cgroup_dir *d, const struct strings *subs, pid_t init, char *buf,
                     size_t cap)
{
        const char *sub = NULL;
        int r;

        for (size_t i = 0; subs && i < subs->n; i++) {
                const char *s;

                if (sub_is_for(d, subs->v[i], &s))
                        sub = s;
        }
        r = sub_path(d, sub ? sub : "", buf, cap);
        if (r == 0 && !sub && d->v2 && init > 0 && !takes_tasks(buf))
                init_path(d, init, buf, cap);
        return r;
}

/* ---- descriptors ---- */

static int join_v2(const char *dir, struct cgroup_join *j, struct cgroup_fail *f)
{
        j->v2 = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (j->v2 < 0)
                return cgroup_failed(f, CGROUP_FAULT_OPEN, errno, dir);
        j->killed = fgetxattr(j->v2, CGROUP_KILLED_XATTR, NULL, 0) >= 0;
        if (!j->killed)
                return 0;
        j->procs = openat(j->v2, "cgroup.procs", O_WRONLY | O_CLOEXEC);
        if (j->procs < 0)
                return cgroup_failed(f, CGROUP_FAULT_OPEN, errno, dir);
        j->v2 = fd_close(j->v2);
        return 0;
}

static int join_v1(const char *dir, struct cgroup_join *j, struct cgroup_fail *f)
{
        char path[CGROUP_FILE_MAX];

        snprintf(path, sizeof path, "%s/tasks", dir);
        j->tasks[j->n] = open(path, O_WRONLY | O_CLOEXEC);
        if (j->tasks[j->n] < 0)
                return cgroup_failed(f, CGROUP_FAULT_OPEN, errno, path);
        j->n++;
        return 0;
}

int cgroup_join_prepare(const struct cgroup *c, const struct strings *subs, pid_t init,
                        struct cgroup_join *ret, struct cgroup_fail *f)
{
        struct cgroup_join j = CGROUP_JOIN_INIT;
        char path[PATH_MAX];
        int r = 0;

        for (size_t i = 0; subs && i < subs->n; i++)
                if (sub_names_nothing(c, subs->v[i]))
                        return cgroup_failed(f, CGROUP_FAULT_NO_HIERARCHY, EINVAL, subs->v[i]);
                else if (climbs(subs->v[i]))
                        return cgroup_failed(f, CGROUP_FAULT_BAD_SUB, EINVAL, subs->v[i]);
        if (init > 0 && cgroup_is_frozen(c) > 0)
                return cgroup_failed(f, CGROUP_FAULT_FROZEN, EAGAIN, c->v[c->n - 1].path);
        for (size_t i = 0; i < c->n && r == 0; i++) {
                const struct cgroup_dir *d = &c->v[i];

                r = join_path(d, subs, init, path, sizeof path);
                if (r < 0)
                        cgroup_failed(f, CGROUP_FAULT_OPEN, -r, d->path);
                else
                        r = d->v2 ? join_v2(path, &j, f) : join_v1(path, &j, f);
        }
        if (r < 0)
                cgroup_join_done(&j);
        else
                *ret = j;
        return r;
}

int cgroup_join_self(const struct cgroup_join *j)
{
        for (size_t i = 0; i < j->n; i++)
                if (write(j->tasks[i], "0", 1) < 0)
                        return -errno;
        if (j->procs >= 0 && write(j->procs, "0", 1) < 0)
                return -errno;
        return 0;
}

void cgroup_join_done(struct cgroup_join *j)
{
        for (size_t i = 0; i < j->n; i++)
                fd_close(j->tasks[i]);
        fd_close(j->v2);
        fd_close(j->procs);
        *j = CGROUP_JOIN_INIT;
}

int cgroup_join_pid(const struct cgroup *c, pid_t pid, struct cgroup_fail *f)
{
        char path[CGROUP_FILE_MAX], text[16];

        if (cgroup_is_frozen(c) > 0)
                return cgroup_failed(f, CGROUP_FAULT_FROZEN, EAGAIN, c->v[c->n - 1].path);
        snprintf(text, sizeof text, "%d", (int)pid);
        for (size_t i = 0; i < c->n; i++) {
                int r;

                snprintf(path, sizeof path, "%s/cgroup.procs", c->v[i].path);
                r = fd_put_at(AT_FDCWD, path, text);
                if (r < 0)
                        return cgroup_failed(f, CGROUP_FAULT_JOIN, -r, path);
        }
        return 0;
}
