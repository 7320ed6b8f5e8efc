/* A container's lines back from systemd's journal. `journalctl` reads it: the journal's files are
 * systemd's own, and its library is not for static programs.
 *
 * What a monitor has sent may still lie in journald's socket when its container has ended. So the
 * end of a log is never guessed from silence: `journalctl --sync` returns when journald has stored
 * all that was sent before, then one that does not follow reads to its end (systemd 252 answers
 * --sync with a priority below that of its sockets; journalctl(1) promises the same). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/logs.h"

#define ENTRY_MAX (1u << 20) /* far more than a monitor sends */

/* ---- the export format (systemd.io/JOURNAL_EXPORT_FORMATS) ---- */

/* One field at *at: "NAME=value\n", or "NAME\n", its length in 8 bytes, value, "\n". False: it is
 * not whole yet. */
static bool next_field(const char **at, const char *end, const char **name, size_t *name_len,
                       const char **value, size_t *len)
{
        const char *line = *at, *newline = memchr(line, '\n', (size_t)(end - line)), *eq;
        uint64_t n = 0;

        if (!newline)
                return false;
        eq = memchr(line, '=', (size_t)(newline - line));
        *name = line;
        *name_len = (size_t)((eq ? eq : newline) - line);
        if (eq) {
                *value = eq + 1;
                *len = (size_t)(newline - eq - 1);
                *at = newline + 1;
                return true;
        }
        if (end - newline < 9)
                return false;
        for (int i = 7; i >= 0; i--)
                n = n << 8 | (unsigned char)newline[1 + i];
        if (n >= (uint64_t)(end - newline - 9))
                return false;
        *value = newline + 9;
        *len = (size_t)n;
        *at = *value + n + 1;
        return true;
}

static void take_time(const char *value, size_t n, struct log_export *e)
{
        char text[24] = "";
        int64_t us = 0;
        struct timespec t;
        struct tm tm;

        memcpy(text, value, MIN(n, sizeof text - 1));
        if (str_to_i64(text, &us) < 0 || us < 0 || us > INT64_MAX / 1000)
                return;
        t = (struct timespec){ us / 1000000, us % 1000000 * 1000 };
        e->r.time_ns = us * 1000;
        gmtime_r(&t.tv_sec, &tm);
        n = strftime(e->time, sizeof e->time, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(e->time + n, sizeof e->time - n, ".%09ldZ", t.tv_nsec);
}

static void take_cursor(const char *value, size_t n, struct log_export *e)
{
        n = MIN(n, sizeof e->cursor - 1);
        memcpy(e->cursor, value, n);
        e->cursor[n] = 0;
}

static bool is(const char *name, size_t n, const char *wanted)
{
        return n == strlen(wanted) && memcmp(name, wanted, n) == 0;
}

/* To the blank line that ends it. */
bool log_export_read(const char **at, const char *end, struct log_export *ret)
{
        const char *here = *at, *name, *value;
        size_t name_len, len;

        ret->r = (struct log_record){ .time = ret->time, .text = "" };
        ret->time[0] = ret->cursor[0] = 0;
        while (here < end && *here != '\n') {
                if (!next_field(&here, end, &name, &name_len, &value, &len))
                        return false;
                if (is(name, name_len, "__REALTIME_TIMESTAMP"))
                        take_time(value, len, ret);
                else if (is(name, name_len, "__CURSOR"))
                        take_cursor(value, len, ret);
                else if (is(name, name_len, "PRIORITY"))
                        ret->r.stream = len == 1 && *value == '3' ? LOG_STDERR : LOG_STDOUT;
                else if (is(name, name_len, "CONTAINER_PARTIAL_MESSAGE"))
                        ret->r.partial = true;
                else if (is(name, name_len, "MESSAGE")) {
                        ret->r.text = value;
                        ret->r.len = len;
                }
        }
        if (here == end)
                return false;
        *at = here + 1;
        return true;
}

/* ---- the program ---- */

struct reader {
        const struct log_query *q;
        struct buf b;                /* of journalctl's output what is no whole entry yet */
        char cursor[LOG_CURSOR_CAP]; /* of the last entry that was put; "": none was */
        bool ended;                  /* nobody wants more */
};

static int spawn(const char **argv, const posix_spawn_file_actions_t *actions, pid_t *ret)
{
        return posix_spawnp(ret, argv[0], actions, NULL, (char *const *)argv, environ);
}

static void wait_for(pid_t pid)
{
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
}

/* Without effect where journald can't be asked: then what it has is all there is. */
static void synchronize(void)
{
        const char *argv[] = { "journalctl", "--sync", NULL };
        posix_spawn_file_actions_t actions;
        pid_t pid;

        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        if (spawn(argv, &actions, &pid) == 0)
                wait_for(pid);
        posix_spawn_file_actions_destroy(&actions);
}

static const char *time_argument(struct arena *a, const char *option, int64_t ns)
{
        return arena_printf(a, "--%s=@%" PRId64 ".%06" PRId64, option, ns / 1000000000,
                            ns / 1000 % 1000000);
}

/* From the beginning of what is asked for, or after what was put already. */
static void arguments(const struct reader *r, bool follow, struct arena *a, const char *argv[16])
{
        static const char *const always[] = { "journalctl", "--quiet", "--no-pager",
                                              "--output=export", "--all" };
        const struct log_query *q = r->q;
        size_t n = ARRAY_SIZE(always);

        memcpy(argv, always, sizeof always);
        argv[n++] = arena_printf(a, "CONTAINER_ID_FULL=%s", q->id);
        if (r->cursor[0])
                argv[n++] = arena_printf(a, "--after-cursor=%s", r->cursor);
        else if (q->since)
                argv[n++] = time_argument(a, "since", q->since);
        if (q->until)
                argv[n++] = time_argument(a, "until", q->until);
        if (q->tail >= 0 && !r->cursor[0])
                argv[n++] = arena_printf(a, "--lines=%" PRId64, q->tail);
        else if (follow)
                argv[n++] = "--no-tail";
        if (follow)
                argv[n++] = "--follow";
        argv[n] = NULL;
}

static int start(const struct reader *r, bool follow, pid_t *ret_pid, struct err *e)
{
        AUTO_ARENA a = { 0 };
        posix_spawn_file_actions_t actions;
        const char *argv[16];
        int pair[2], sys;

        arguments(r, follow, &a, argv);
        if (pipe2(pair, O_CLOEXEC) < 0)
                return err_sys(e, errno, "cannot make a pipe");
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, pair[1], STDOUT_FILENO);
        sys = spawn(argv, &actions, ret_pid);
        posix_spawn_file_actions_destroy(&actions);
        close(pair[1]);
        if (sys == 0)
                return pair[0];
        close(pair[0]);
        err_sys(e, sys,
                "cannot run journalctl, which reads what the log driver \"journald\" wrote");
        return err_hint(e, "install systemd's journalctl; the entries have CONTAINER_ID_FULL=%.64s",
                        r->q->id);
}

static void put_entries(struct reader *r)
{
        const char *at = buf_str(&r->b), *end = at + r->b.len;
        struct log_export entry;

        while (!r->ended && log_export_read(&at, end, &entry)) {
                r->ended = r->q->put(r->q->ctx, &entry.r) != 0;
                memcpy(r->cursor, entry.cursor, sizeof r->cursor);
        }
        r->b.len = (size_t)(end - at);
        if (r->b.s)
                memmove(r->b.s, at, r->b.len);
}

/* False at the end of what journalctl has to say. */
static bool take(struct reader *r, int out)
{
        char chunk[65536];
        ssize_t n = read(out, chunk, sizeof chunk);

        if (n < 0 && errno == EINTR)
                return true;
        if (n <= 0)
                return false;
        buf_add(&r->b, chunk, (size_t)n);
        put_entries(r);
        return !r->ended && r->b.len < ENTRY_MAX;
}

static bool alive(const struct log_query *q)
{
        return q->alive && q->alive(q->ctx);
}

struct log_journal {
        struct reader r;
        bool following; /* the container was up: afterwards the rest is read to its end */
        pid_t pid;      /* of journalctl, whose output is out */
        int out;
        int64_t asked_ms; /* when alive() was asked last */
};

static int64_t now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What is there, and where it follows what comes. */
static int begin(struct log_journal *j, struct err *e)
{
        j->r.b.len = 0; /* half an entry of one that was killed comes again */
        if (!j->following && !alive(j->r.q))
                synchronize();
        j->out = start(&j->r, j->following, &j->pid, e);
        j->asked_ms = now_ms();
        return j->out < 0 ? -1 : 0;
}

static void end(struct log_journal *j)
{
        if (j->out < 0)
                return;
        j->out = fd_close(j->out);
        kill(j->pid, SIGTERM);
        wait_for(j->pid);
}

int log_journal_open(const struct log_query *q, struct log_journal **ret, struct err *e)
{
        struct log_journal *j = mem_alloc(sizeof *j);

        *j = (struct log_journal){ .r = { .q = q }, .following = q->follow && alive(q), .out = -1 };
        if (begin(j, e) == 0) {
                *ret = j;
                return 0;
        }
        log_journal_close(j);
        return -1;
}

/* All that has come; false at the end of what journalctl has to say. */
static bool take_all(struct log_journal *j)
{
        struct pollfd p = { j->out, POLLIN, 0 };

        while (poll(&p, 1, j->following ? 0 : -1) != 0)
                if (!take(&j->r, j->out))
                        return false;
        if (now_ms() - j->asked_ms < LOGS_QUIET_MS)
                return true;
        j->asked_ms = now_ms();
        return alive(j->r.q);
}

bool log_journal_step(struct log_journal *j)
{
        if (take_all(j))
                return false;
        if (!j->following || j->r.ended)
                return true;
        end(j);
        j->following = false;
        if (begin(j, &(struct err){ 0 }) == 0)
                take_all(j);
        return true;
}

int log_journal_fd(const struct log_journal *j)
{
        return j->out;
}

void log_journal_close(struct log_journal *j)
{
        if (!j)
                return;
        end(j);
        buf_done(&j->r.b);
        free(j);
}
