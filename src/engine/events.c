#include "engine/events.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "engine/ctr-internal.h"
#include "image/manifest.h"

#define CHUNK 65536

/* ---- writing ---- */

void event_append(const struct store *s, const struct event *event)
{
        AUTO_FD int dir = engine_journal(s, &(struct err){ 0 });

        if (dir >= 0)
                journal_append(dir, event);
}

void event_image(const struct store *s, const char *action, const struct image *i, const char *name)
{
        const char *id = i->id ? i->id : i->digest;
        const struct event event = { .type = "image",
                                     .action = action,
                                     .id = digest_check(id, NULL) == 0 ? digest_hex(id) : id,
                                     .name = name         ? name
                                             : i->names.n ? i->names.v[0]
                                                          : "" };

        event_append(s, &event);
}

void event_volume(const struct store *s, const char *action, const char *name)
{
        struct key_value driver = { "driver", "local" };
        const struct event event = { .type = "volume",
                                     .action = action,
                                     .id = name,
                                     .name = name,
                                     .attributes = { &driver, 1 } };

        event_append(s, &event);
}

void event_prune(const struct store *s, const char *type, uint64_t bytes)
{
        char text[24];
        struct key_value reclaimed = { "reclaimed", text };
        const struct event event = { .type = type,
                                     .action = "prune",
                                     .id = "",
                                     .name = "",
                                     .attributes = { &reclaimed, 1 } };

        snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
        event_append(s, &event);
}

/* ---- reading ---- */

struct tail {
        const struct event_query *q;
        int dir;      /* of the journal */
        int fd;       /* the journal as it was opened; or -1 */
        off_t at;     /* the first byte that was not read */
        uint64_t seq; /* of the last event: numbers have no gaps, so they tell what was seen */
        bool ended;   /* put() has had enough, or `until` has come */
        char chunk[CHUNK + 1];
};

/* One line, ended by a NUL. What is no event is passed over: a torn line, say. */
static void take_line(struct tail *t, const char *line, size_t n)
{
        AUTO_ARENA a = { 0 };
        uint64_t seq = 0;
        int64_t when = 0;
        struct json j;

        if (json_parse(&a, line, n, NULL, &j, NULL) < 0 || !json_to_u64(json_get(&j, "seq"), &seq))
                return;
        if (seq <= t->seq)
                return; /* seen, before the file was renamed */
        t->seq = seq;
        json_to_i64(json_get(&j, "time"), &when);
        if (when < t->q->since)
                return;
        if (t->q->until && when > t->q->until)
                t->ended = true;
        else if (t->q->put(t->q->ctx, &j) != 0)
                t->ended = true;
}

/* All whole lines from *at on. */
static void read_lines(struct tail *t, int fd, off_t *at)
{
        while (!t->ended) {
                ssize_t n = pread(fd, t->chunk, CHUNK, *at);
                char *line = t->chunk, *end;

                if (n <= 0)
                        return;
                t->chunk[n] = 0;
                while (!t->ended && (end = memchr(line, '\n', (size_t)(t->chunk + n - line)))) {
                        *end = 0;
                        take_line(t, line, (size_t)(end - line));
                        line = end + 1;
                }
                if (line == t->chunk)
                        return; /* no whole line yet */
                *at += line - t->chunk;
        }
}

static void read_older(struct tail *t)
{
        AUTO_FD int fd = openat(t->dir, "journal.1", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        off_t at = 0;

        if (fd >= 0)
                read_lines(t, fd, &at);
}

static void open_journal(struct tail *t)
{
        fd_close(t->fd);
        t->fd = openat(t->dir, "journal", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        t->at = 0;
}

/* Another file has the name: it was rotated. */
static bool is_renamed(const struct tail *t)
{
        struct stat mine, named;

        if (fstatat(t->dir, "journal", &named, AT_SYMLINK_NOFOLLOW) < 0)
                return false;
        return t->fd < 0 || (fstat(t->fd, &mine) == 0 && mine.st_ino != named.st_ino);
}

static void read_new(struct tail *t)
{
        bool renamed = is_renamed(t); /* before: what was read of the old one then was its end */

        if (t->fd >= 0)
                read_lines(t, t->fd, &t->at);
        if (!renamed)
                return;
        read_older(t); /* where it was rotated more than once meanwhile */
        open_journal(t);
        if (t->fd >= 0)
                read_lines(t, t->fd, &t->at);
}

/* After the last whole line. */
static void skip_past(struct tail *t)
{
        off_t size = t->fd < 0 ? 0 : lseek(t->fd, 0, SEEK_END), from = MAX(size - CHUNK, (off_t)0);
        ssize_t n = t->fd < 0 ? 0 : pread(t->fd, t->chunk, CHUNK, from);
        const char *end = n > 0 ? memrchr(t->chunk, '\n', (size_t)n) : NULL;

        t->at = end ? from + (end + 1 - t->chunk) : 0;
}

static int wait_ms(const struct tail *t)
{
        int64_t left;

        if (!t->q->until)
                return -1;
        left = (t->q->until - clock_now_ns()) / 1000000 + 1;
        return (int)MIN(MAX(left, (int64_t)0), (int64_t)60000);
}

static int follow(struct tail *t, int watch, struct err *e)
{
        struct pollfd p[] = { { watch, POLLIN, 0 }, { t->q->reader, 0, 0 } };
        char ignored[4096];

        while (!t->ended && t->q->put(t->q->ctx, NULL) == 0) {
                if (t->q->until && clock_now_ns() > t->q->until)
                        break;
                if (poll(p, ARRAY_SIZE(p), wait_ms(t)) < 0) {
                        if (errno == EINTR)
                                continue;
                        return err_sys(e, errno, "cannot wait for events");
                }
                if (p[1].revents & (POLLERR | POLLNVAL))
                        break; /* nobody reads us */
                while (read(watch, ignored, sizeof ignored) > 0)
                        ;
                read_new(t);
        }
        return 0;
}

int events_read(const struct engine *g, const struct event_query *q, struct err *e)
{
        AUTO_FD int dir = engine_journal(g->store, e);
        AUTO_FD int watch = q->follow ? inotify_init1(IN_NONBLOCK | IN_CLOEXEC) : -1;
        struct tail *t;
        int status = 0;

        if (dir < 0)
                return -1;
        /* Watched first, so that nothing comes in between unseen. */
        if (q->follow && (watch < 0 || inotify_add_watch(watch, fd_path(dir).s,
                                                         IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0))
                return err_sys(e, errno, "cannot watch the journal of events");
        t = mem_alloc(sizeof *t);
        t->q = q;
        t->dir = dir;
        t->fd = -1;
        open_journal(t);
        if (q->past) {
                read_older(t);
                if (t->fd >= 0)
                        read_lines(t, t->fd, &t->at);
        } else {
                skip_past(t);
        }
        if (q->follow)
                status = follow(t, watch, e);
        if (status == 0 && !q->follow)
                q->put(q->ctx, NULL);
        fd_close(t->fd);
        free(t);
        return status;
}
