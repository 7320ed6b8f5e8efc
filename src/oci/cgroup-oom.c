/* Word of memory running out. v2 counts in memory.events and notifies inotify (cgroup-v2.rst);
 * v1 has a counter since 4.13 and an eventfd that is tied to memory.oom_control through
 * cgroup.event_control (cgroup-v1/memory.rst). The eventfd also fires when the cgroup is
 * removed; v2's files vanish without a word, but cgroup.events tells when the last process left. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "oci/cgroup-stats.h"

static int oom_kill_parse(const char *text, uint64_t *ret)
{
        const char *at = str_after(text, "oom_kill ");
        char number[24];

        if (!at) {
                at = strstr(text, "\noom_kill ");
                if (!at)
                        return -ENOENT;
                at += strlen("\noom_kill ");
        }
        snprintf(number, sizeof number, "%.*s", (int)strcspn(at, "\n"), at);
        return str_to_u64(number, ret);
}

int cgroup_oom_kills(const struct cgroup *c, uint64_t *ret)
{
        bool v2 = cgroup_version_of(c, CGROUP_MEMORY) == 2;
        char text[512];
        ssize_t n = cgroup_read(c, CGROUP_MEMORY, v2 ? "memory.events" : "memory.oom_control", text,
                                sizeof text);

        return n < 0 ? (int)n : oom_kill_parse(text, ret);
}

static int open_v2(struct cgroup_oom *o, const char *dir)
{
        char path[PATH_MAX + 32];

        o->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (o->fd < 0)
                return -errno;
        snprintf(path, sizeof path, "%s/memory.events", dir);
        if (inotify_add_watch(o->fd, path, IN_MODIFY) < 0)
                return -errno;
        snprintf(path, sizeof path, "%s/cgroup.events", dir);
        o->control = inotify_add_watch(o->fd, path, IN_MODIFY);
        if (o->control < 0)
                return -errno;
        return cgroup_oom_kills(o->c, &o->kills);
}

static int open_v1(struct cgroup_oom *o, const char *dir)
{
        char path[PATH_MAX + 32], text[32];

        o->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (o->fd < 0)
                return -errno;
        snprintf(path, sizeof path, "%s/memory.oom_control", dir);
        o->control = open(path, O_RDONLY | O_CLOEXEC);
        if (o->control < 0)
                return -errno;
        snprintf(path, sizeof path, "%s/cgroup.event_control", dir);
        snprintf(text, sizeof text, "%d %d", o->fd, o->control);
        return fd_put_at(AT_FDCWD, path, text);
}

int cgroup_oom_open(const struct cgroup *c, struct cgroup_oom *ret)
{
        const struct cgroup_dir *d = cgroup_dir_of(c, CGROUP_MEMORY);
        struct cgroup_oom o = CGROUP_OOM_INIT;
        int r;

        if (!d)
                return -ENOENT;
        o.c = c;
        o.v2 = d->v2;
        r = d->v2 ? open_v2(&o, d->path) : open_v1(&o, d->path);
        if (r < 0)
                cgroup_oom_done(&o);
        else
                *ret = o;
        return r;
}

/* Consumes the watches' events. 1 where one of them was of cgroup.events, else 0. */
static int drain_v2(struct cgroup_oom *o)
{
        char text[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
        ssize_t n = read(o->fd, text, sizeof text);
        int found = 0;

        for (ssize_t at = 0; at < n;) {
                const struct inotify_event *event = (const void *)(text + at);

                found |= event->wd == o->control;
                at += (ssize_t)sizeof *event + event->len;
        }
        return found;
}

static int check_v2(struct cgroup_oom *o)
{
        uint64_t kills;

        if (cgroup_oom_kills(o->c, &kills) < 0)
                return -ENODEV;
        if (kills != o->kills) { /* not drained: the next call has to see what else there was */
                o->kills = kills;
                return 1;
        }
        return drain_v2(o) && cgroup_is_empty(o->c) != 0 ? -ENODEV : 0;
}

int cgroup_oom_check(struct cgroup_oom *o)
{
        const struct cgroup_dir *d = cgroup_dir_of(o->c, CGROUP_MEMORY);
        uint64_t count;
        ssize_t n;

        if (o->v2)
                return check_v2(o);
        n = read(o->fd, &count, sizeof count);
        return access(d->path, F_OK) < 0 ? -ENODEV : n == sizeof count;
}

void cgroup_oom_done(struct cgroup_oom *o)
{
        fd_close(o->fd);
        if (!o->v2)
                fd_close(o->control);
        *o = CGROUP_OOM_INIT;
}
