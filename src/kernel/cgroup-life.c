/* Freezing, killing, listing and removing: all bounded in time, none of them stuck on a frozen
 * cgroup.
 *
 * v2 does each with one file (cgroup.freeze, cgroup.kill, cgroup.events) and needs no controller
 * for it. A host without v2 has the v1 freezer, where SIGKILL acts only on thawed tasks, and
 * where a freeze can stay FREEZING for as long as new tasks appear, so that it is asked for
 * again and again. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "kernel/cgroup-internal.h"

/* Sleeps ever longer, 1 to 50 ms; false once the deadline has passed. */
static bool back_off(int64_t deadline, unsigned *step)
{
        int64_t left = deadline - clock_ms();
        unsigned ms = MIN(1u << MIN(*step, 6u), 50u);
        struct timespec t;

        if (left <= 0)
                return false;
        ms = (unsigned)MIN((int64_t)ms, left);
        t = (struct timespec){ .tv_nsec = ms * 1000000l };
        nanosleep(&t, NULL);
        ++*step;
        return true;
}

/* ---- v2: cgroup.events ---- */

static int event_parse(const char *text, const char *key)
{
        size_t n = strlen(key);

        for (const char *line = text; *line;) {
                const char *end = strchrnul(line, '\n');

                if (strncmp(line, key, n) == 0 && line[n] == ' ')
                        return line[n + 1] == '1';
                line = *end ? end + 1 : end;
        }
        return -EIO;
}

int cgroup_event(const char *dir, const char *key)
{
        char path[CGROUP_FILE_MAX], text[256];
        ssize_t n;

        snprintf(path, sizeof path, "%s/cgroup.events", dir);
        n = fd_read_text_at(AT_FDCWD, path, text, sizeof text);
        return n < 0 ? (int)n : event_parse(text, key);
}

static bool is_gone(int r)
{
        return r == -ENOENT || r == -ENODEV;
}

int cgroup_event_wait(const char *dir, const char *key, int value, int timeout_ms)
{
        int64_t deadline = clock_ms() + timeout_ms;
        char path[CGROUP_FILE_MAX], text[256];
        AUTO_FD int fd = -1;

        snprintf(path, sizeof path, "%s/cgroup.events", dir);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT && value == 0 ? 0 : -errno;
        for (;;) {
                struct pollfd p = { .fd = fd, .events = POLLPRI };
                ssize_t n = pread(fd, text, sizeof text - 1, 0);
                int64_t left = deadline - clock_ms();

                if (n < 0)
                        return errno == ENODEV && value == 0 ? 0 : -errno;
                text[n] = 0;
                if (event_parse(text, key) == value)
                        return 0;
                if (left <= 0)
                        return -ETIMEDOUT;
                if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
                        return -errno;
        }
}

/* ---- frozen ---- */

static const struct cgroup_dir *v1_freezer(const struct cgroup *c)
{
        const struct cgroup_dir *d = cgroup_dir_of(c, CGROUP_FREEZER);

        return d && !d->v2 ? d : NULL;
}

static const struct cgroup_dir *v2_dir(const struct cgroup *c)
{
        return c->v2 < 0 ? NULL : &c->v[c->v2];
}

/* 1: FROZEN or FREEZING, 0: THAWED. */
static int v1_frozen(const struct cgroup_dir *d, bool whole)
{
        char path[CGROUP_FILE_MAX], text[32];
        ssize_t n;

        snprintf(path, sizeof path, "%s/freezer.state", d->path);
        n = fd_read_text_at(AT_FDCWD, path, text, sizeof text);
        if (n < 0) /* the root cgroup has no such file: it can't be frozen */
                return is_gone((int)n) ? 0 : (int)n;
        return whole ? str_after(text, "FROZEN") != NULL : !str_after(text, "THAWED");
}

int cgroup_is_frozen(const struct cgroup *c)
{
        const struct cgroup_dir *v2 = v2_dir(c), *v1 = v1_freezer(c);
        int r = v2 ? cgroup_event(v2->path, "frozen") : 0;

        if (is_gone(r))
                r = 0;
        if (r == 0 && v1)
                r = v1_frozen(v1, false);
        return r;
}

static int put_in(const struct cgroup_dir *d, const char *file, const char *value,
                  struct cgroup_fail *f)
{
        char path[CGROUP_FILE_MAX];
        int r;

        snprintf(path, sizeof path, "%s/%s", d->path, file);
        r = fd_put_at(AT_FDCWD, path, value);
        return r < 0 ? cgroup_failed(f, CGROUP_FAULT_WRITE, -r, path) : 0;
}

static int v2_freeze(const struct cgroup_dir *d, int on, int timeout_ms, struct cgroup_fail *f)
{
        int r = put_in(d, "cgroup.freeze", on ? "1" : "0", f);

        if (r < 0)
                return r;
        r = cgroup_event_wait(d->path, "frozen", on, timeout_ms);
        if (r == 0)
                return 0;
        if (on)
                put_in(d, "cgroup.freeze", "0", NULL);
        return cgroup_failed(f, r == -ETIMEDOUT ? CGROUP_FAULT_TIMEOUT : CGROUP_FAULT_READ, -r,
                             d->path);
}

/* A task that forks while the freezer walks can be missed: asking again catches it, and so does a
 * short thaw where the state stays FREEZING. */
static int v1_freeze(const struct cgroup_dir *d, int timeout_ms, struct cgroup_fail *f)
{
        int64_t deadline = clock_ms() + timeout_ms;
        unsigned step = 0, tries = 0;
        int r;

        for (;;) {
                r = put_in(d, "freezer.state", "FROZEN", f);
                if (r < 0)
                        break;
                r = v1_frozen(d, true);
                if (r > 0)
                        return 0;
                if (r < 0) {
                        cgroup_failed(f, CGROUP_FAULT_READ, -r, d->path);
                        break;
                }
                if (++tries % 16 == 0)
                        put_in(d, "freezer.state", "THAWED", NULL);
                if (!back_off(deadline, &step)) {
                        r = cgroup_failed(f, CGROUP_FAULT_TIMEOUT, ETIMEDOUT, d->path);
                        break;
                }
        }
        put_in(d, "freezer.state", "THAWED", NULL);
        return r;
}

int cgroup_freeze(const struct cgroup *c, int timeout_ms, struct cgroup_fail *f)
{
        const struct cgroup_dir *v2 = v2_dir(c), *v1 = v1_freezer(c);

        if (v2)
                return v2_freeze(v2, 1, timeout_ms, f);
        if (v1)
                return v1_freeze(v1, timeout_ms, f);
        return cgroup_failed(f, CGROUP_FAULT_NOT_OFFERED, ENOENT, "freezer");
}

int cgroup_thaw(const struct cgroup *c, int timeout_ms, struct cgroup_fail *f)
{
        const struct cgroup_dir *v2 = v2_dir(c), *v1 = v1_freezer(c);
        int r = 0, q = 0;

        if (v1 && v1_frozen(v1, false) != 0)
                q = put_in(v1, "freezer.state", "THAWED", f);
        if (v2)
                r = v2_freeze(v2, 0, timeout_ms, f);
        if (!v1 && !v2)
                return cgroup_failed(f, CGROUP_FAULT_NOT_OFFERED, ENOENT, "freezer");
        return r < 0 ? r : q;
}

/* ---- processes ---- */

struct pids {
        pid_t *v;
        size_t n, cap;
};

static void pids_add(struct pids *p, pid_t pid)
{
        if (p->n == p->cap) {
                p->cap = p->cap ? p->cap * 2 : 64;
                p->v = mem_realloc(p->v, mem_mul(p->cap, sizeof *p->v));
        }
        p->v[p->n++] = pid;
}

/* Numbers, one a line, from a file that may be longer than any buffer. 0 is a process that this pid
 * namespace doesn't show: nothing could be done with it. */
static int pids_read(int fd, struct pids *p)
{
        char text[4096];
        ssize_t n;
        pid_t pid = 0;

        while ((n = read(fd, text, sizeof text)) != 0) {
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                for (ssize_t i = 0; i < n; i++) {
                        if (text[i] >= '0' && text[i] <= '9') {
                                pid = pid * 10 + (text[i] - '0');
                        } else {
                                if (pid > 0)
                                        pids_add(p, pid);
                                pid = 0;
                        }
                }
        }
        return 0;
}

/* Calls fn for dir's children, depth first, then for dir itself. A child that vanishes is no
 * error. */
static int walk(int parent, const char *name, unsigned depth,
                int (*fn)(int parent, const char *name, int dir, void *arg), void *arg)
{
        int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
        struct dirent *entry;
        DIR *dir;

        if (fd < 0)
                return errno == ENOENT || errno == ENODEV ? 0 : -errno;
        if (depth == 0) {
                close(fd);
                return -ELOOP;
        }
        dir = fdopendir(fd);
        if (!dir) {
                close(fd);
                return -ENOMEM;
        }
        while (r == 0 && (entry = readdir(dir)))
                if (entry->d_type == DT_DIR && !str_eq(entry->d_name, ".") &&
                    !str_eq(entry->d_name, ".."))
                        r = walk(fd, entry->d_name, depth - 1, fn, arg);
        if (r == 0)
                r = fn(parent, name, fd, arg);
        closedir(dir);
        return r;
}
#define WALK_DEPTH 256

static int pids_visit(int parent, const char *name, int dir, void *arg)
{
        AUTO_FD int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
        int r = fd < 0 ? -errno : pids_read(fd, arg);

        /* A threaded child's processes are listed by its domain. */
        return is_gone(r) || r == -EOPNOTSUPP ? 0 : r;
}

static int pid_compare(const void *a, const void *b)
{
        pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

        return (x > y) - (x < y);
}

/* The hierarchy that is asked for processes: v2, else one that every process must have joined. */
static const struct cgroup_dir *list_dir(const struct cgroup *c)
{
        static const enum cgroup_controller order[] = { CGROUP_FREEZER, CGROUP_DEVICES, CGROUP_PIDS,
                                                        CGROUP_MEMORY, CGROUP_CPU };

        if (c->v2 >= 0)
                return &c->v[c->v2];
        for (size_t i = 0; i < ARRAY_SIZE(order); i++)
                if (cgroup_dir_of(c, order[i]))
                        return cgroup_dir_of(c, order[i]);
        return c->n > 0 ? &c->v[0] : NULL;
}

int cgroup_pids(const struct cgroup *c, pid_t **ret, size_t *ret_n)
{
        const struct cgroup_dir *d = list_dir(c);
        struct pids p = {};
        size_t kept = 0;
        int r = d ? walk(AT_FDCWD, d->path, WALK_DEPTH, pids_visit, &p) : 0;

        if (r < 0) {
                free(p.v);
                return r;
        }
        if (p.n > 0)
                qsort(p.v, p.n, sizeof *p.v, pid_compare);
        for (size_t i = 0; i < p.n; i++)
                if (i == 0 || p.v[i] != p.v[i - 1])
                        p.v[kept++] = p.v[i];
        *ret = p.v;
        *ret_n = kept;
        return 0;
}

int cgroup_is_empty(const struct cgroup *c)
{
        AUTO_FREE pid_t *pids = NULL;
        size_t n = 0;
        int r;

        if (c->v2 >= 0) {
                r = cgroup_event(c->v[c->v2].path, "populated");
                if (r != -ENOENT && r != -ENODEV)
                        return r < 0 ? r : !r;
                /* The root has no cgroup.events; a removed cgroup has no files at all. */
        }
        r = cgroup_pids(c, &pids, &n);
        return r < 0 ? r : n == 0;
}

/* ---- kill ---- */

static int signal_all(const struct cgroup *c, int sig)
{
        AUTO_FREE pid_t *pids = NULL;
        size_t n = 0;
        int r = cgroup_pids(c, &pids, &n);

        for (size_t i = 0; i < n; i++)
                if (kill(pids[i], sig) < 0 && errno != ESRCH && r == 0)
                        r = -errno;
        return r;
}

/* Signals every process while none of them can fork. A freeze that fails only weakens the
 * promise, so the signal is sent all the same. */
static int signal_frozen(const struct cgroup *c, int sig, int timeout_ms)
{
        bool was = cgroup_is_frozen(c) > 0;
        bool froze = !was && cgroup_freeze(c, MIN(timeout_ms, 1000), NULL) == 0;
        int r = signal_all(c, sig);

        if (froze || (was && sig == SIGKILL))
                cgroup_thaw(c, timeout_ms, NULL);
        return r;
}

static int kill_v2(const struct cgroup *c, int timeout_ms, struct cgroup_fail *f)
{
        const struct cgroup_dir *d = &c->v[c->v2], *v1 = v1_freezer(c);
        int r;

        /* Marked first: whoever sees it unmarked may still clone into it. */
        setxattr(d->path, CGROUP_KILLED_XATTR, "1", 1, 0);
        r = put_in(d, "cgroup.kill", "1", f);
        if (r < 0)
                return r;
        if (v1 && v1_frozen(v1, false) > 0)
                put_in(v1, "freezer.state", "THAWED", NULL);
        r = cgroup_event_wait(d->path, "populated", 0, timeout_ms);
        return r < 0 ? cgroup_failed(f, CGROUP_FAULT_TIMEOUT, -r, d->path) : 0;
}

static int kill_v1(const struct cgroup *c, int timeout_ms, struct cgroup_fail *f)
{
        int64_t deadline = clock_ms() + timeout_ms;
        const struct cgroup_dir *d = list_dir(c);
        unsigned step = 0;

        if (!d)
                return 0;
        for (;;) {
                int r = signal_frozen(c, SIGKILL, timeout_ms);

                if (r < 0)
                        return cgroup_failed(f, CGROUP_FAULT_READ, -r, d->path);
                r = cgroup_is_empty(c);
                if (r > 0)
                        return 0;
                if (r < 0)
                        return cgroup_failed(f, CGROUP_FAULT_READ, -r, d->path);
                if (!back_off(deadline, &step))
                        return cgroup_failed(f, CGROUP_FAULT_TIMEOUT, ETIMEDOUT, d->path);
        }
}

int cgroup_kill(const struct cgroup *c, int sig, int timeout_ms, struct cgroup_fail *f)
{
        const struct cgroup_dir *d = list_dir(c);
        int r;

        if (sig == SIGKILL && c->v2 >= 0) {
                r = kill_v2(c, timeout_ms, f);
                return is_gone(r) ? 0 : r;
        }
        if (sig == SIGKILL)
                return kill_v1(c, timeout_ms, f);
        r = signal_frozen(c, sig, timeout_ms);
        return r < 0 ? cgroup_failed(f, CGROUP_FAULT_READ, -r, d ? d->path : "") : 0;
}

/* ---- removal ---- */

static int remove_visit(int parent, const char *name, int dir, void *arg)
{
        if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT || errno == EBUSY)
                return 0; /* busy: the leaf's own rmdir will say so */
        return -errno;
}

static int remove_dir(const struct cgroup_dir *d, int64_t deadline, struct cgroup_fail *f)
{
        unsigned step = 0;

        for (;;) {
                int r;

                if (rmdir(d->path) == 0 || errno == ENOENT || errno == ENODEV)
                        return 0;
                if (errno != EBUSY && errno != ENOTEMPTY)
                        return cgroup_failed(f, CGROUP_FAULT_REMOVE, errno, d->path);
                r = walk(AT_FDCWD, d->path, WALK_DEPTH, remove_visit, NULL);
                if (r < 0)
                        return cgroup_failed(f, CGROUP_FAULT_REMOVE, -r, d->path);
                if (access(d->path, F_OK) < 0)
                        return 0;
                if (!back_off(deadline, &step))
                        return cgroup_failed(f, CGROUP_FAULT_REMOVE, EBUSY, d->path);
        }
}

static void remove_parents(const struct cgroup_dir *d)
{
        char path[PATH_MAX];
        size_t floor = strlen(d->mount);

        snprintf(path, sizeof path, "%s", d->path);
        for (unsigned i = 1; i < d->made; i++) {
                char *slash = strrchr(path, '/');

                if (!slash || (size_t)(slash - path) <= floor)
                        return;
                *slash = 0;
                if (rmdir(path) < 0)
                        return;
        }
}

int cgroup_remove(const struct cgroup *c, int timeout_ms, struct cgroup_fail *f)
{
        int64_t deadline = clock_ms() + timeout_ms;
        struct cgroup_fail first = {};
        int r = 0;

        /* All of them, so that one busy hierarchy doesn't leave ten others behind. */
        for (size_t i = 0; i < c->n; i++) {
                const struct cgroup_dir *d = &c->v[i];
                int q;

                if (strlen(d->path) <= strlen(d->mount)) /* the root itself is nobody's to remove */
                        continue;
                q = remove_dir(d, deadline, r == 0 ? &first : NULL);
                if (q == 0)
                        remove_parents(d);
                else if (r == 0)
                        r = q;
        }
        if (r < 0 && f)
                *f = first;
        return r;
}

/* ---- delegation ---- */

int cgroup_delegate(const struct cgroup *c, uid_t uid, gid_t gid, struct cgroup_fail *f)
{
        char text[4096];
        AUTO_FD int dir = -1;
        const char *name;
        size_t n;

        if (c->v2 < 0)
                return 0;
        dir = open(c->v[c->v2].path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return cgroup_failed(f, CGROUP_FAULT_OPEN, errno, c->v[c->v2].path);
        if (fchown(dir, uid, gid) < 0)
                return cgroup_failed(f, CGROUP_FAULT_WRITE, errno, c->v[c->v2].path);
        if (fd_read_text_at(AT_FDCWD, "/sys/kernel/cgroup/delegate", text, sizeof text) < 0)
                snprintf(text, sizeof text,
                         "cgroup.procs\ncgroup.threads\ncgroup.subtree_control\n");
        for (const char *at = text; str_next(&at, '\n', &name, &n);) {
                char file[256];

                if (n == 0 || n >= sizeof file)
                        continue;
                snprintf(file, sizeof file, "%.*s", (int)n, name);
                /* ENOENT: files of controllers that aren't enabled here. */
                if (fchownat(dir, file, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT)
                        return cgroup_failed(f, CGROUP_FAULT_WRITE, errno, c->v[c->v2].path);
        }
        return 0;
}
