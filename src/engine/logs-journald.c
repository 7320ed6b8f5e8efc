/* A container's lines back from systemd's journal. `journalctl` reads it: the journal's files are
 * systemd's own, and its library is not for static programs. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
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
#define QUIET_MS 500         /* after which a container that has ended has said all */

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

static void take_time(const char *value, size_t n, char time[LOG_TIME_CAP], struct log_record *r)
{
        char text[24] = "";
        int64_t us = 0;
        struct timespec t;
        struct tm tm;

        memcpy(text, value, MIN(n, sizeof text - 1));
        if (str_to_i64(text, &us) < 0 || us < 0 || us > INT64_MAX / 1000)
                return;
        t = (struct timespec){ us / 1000000, us % 1000000 * 1000 };
        r->time_ns = us * 1000;
        gmtime_r(&t.tv_sec, &tm);
        n = strftime(time, LOG_TIME_CAP, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(time + n, LOG_TIME_CAP - n, ".%09ldZ", t.tv_nsec);
}

static bool is(const char *name, size_t n, const char *wanted)
{
        return n == strlen(wanted) && memcmp(name, wanted, n) == 0;
}

/* To the blank line that ends it. */
bool log_export_read(const char **at, const char *end, char time[LOG_TIME_CAP],
                     struct log_record *ret)
{
        const char *here = *at, *name, *value;
        size_t name_len, len;

        *ret = (struct log_record){ .text = "", .time = time };
        *time = 0;
        while (here < end && *here != '\n') {
                if (!next_field(&here, end, &name, &name_len, &value, &len))
                        return false;
                if (is(name, name_len, "__REALTIME_TIMESTAMP"))
                        take_time(value, len, time, ret);
                else if (is(name, name_len, "PRIORITY"))
                        ret->stream = len == 1 && *value == '3' ? LOG_STDERR : LOG_STDOUT;
                else if (is(name, name_len, "CONTAINER_PARTIAL_MESSAGE"))
                        ret->partial = true;
                else if (is(name, name_len, "MESSAGE")) {
                        ret->text = value;
                        ret->len = len;
                }
        }
        if (here == end)
                return false;
        *at = here + 1;
        return true;
}

/* ---- the program ---- */

static int start(const struct log_query *q, pid_t *ret_pid, struct err *e)
{
        AUTO_ARENA a = { 0 };
        const char *argv[16] = { "journalctl", "--quiet", "--no-pager", "--output=export",
                                 "--all" };
        posix_spawn_file_actions_t actions;
        int pair[2], n = 5, r;

        argv[n++] = arena_printf(&a, "CONTAINER_ID_FULL=%s", q->id);
        if (q->since)
                argv[n++] = arena_printf(&a, "--since=@%" PRId64 ".%06" PRId64,
                                         q->since / 1000000000, q->since / 1000 % 1000000);
        if (q->until)
                argv[n++] = arena_printf(&a, "--until=@%" PRId64 ".%06" PRId64,
                                         q->until / 1000000000, q->until / 1000 % 1000000);
        if (q->tail >= 0)
                argv[n++] = arena_printf(&a, "--lines=%" PRId64, q->tail);
        if (q->follow) {
                argv[n++] = "--follow";
                if (q->tail < 0)
                        argv[n++] = "--no-tail";
        }
        if (pipe2(pair, O_CLOEXEC) < 0)
                return err_sys(e, errno, "cannot make a pipe");
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, pair[1], STDOUT_FILENO);
        r = posix_spawnp(ret_pid, argv[0], &actions, NULL, (char *const *)argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        close(pair[1]);
        if (r == 0)
                return pair[0];
        close(pair[0]);
        err_sys(e, r, "cannot run journalctl, which reads what the log driver \"journald\" wrote");
        return err_hint(e, "install systemd's journalctl; the entries have CONTAINER_ID_FULL=%.64s",
                        q->id);
}

/* 0 to go on, 1 where the reader wants no more. */
static int put_entries(const struct log_query *q, struct buf *b)
{
        const char *at = buf_str(b), *end = at + b->len;
        char time[LOG_TIME_CAP];
        struct log_record record;
        int r = 0;

        while (r == 0 && log_export_read(&at, end, time, &record))
                r = q->put(q->ctx, &record);
        b->len = (size_t)(end - at);
        if (b->s)
                memmove(b->s, at, b->len);
        return r;
}

int logs_read_journald(const struct log_query *q, struct err *e)
{
        AUTO_BUF b = { 0 };
        bool ended = false;
        char chunk[65536];
        pid_t pid;
        int r = 0;
        AUTO_FD int out = start(q, &pid, e);

        if (out < 0)
                return -1;
        while (r == 0 && b.len < ENTRY_MAX) {
                int ready = poll(&(struct pollfd){ out, POLLIN, 0 }, 1, q->follow ? QUIET_MS : -1);
                ssize_t n;

                if (ready == 0) {
                        if (ended)
                                break;
                        ended = !q->alive || !q->alive(q->ctx);
                        continue;
                }
                n = read(out, chunk, sizeof chunk);
                if (n == 0 || (n < 0 && errno != EINTR))
                        break;
                if (n > 0)
                        buf_add(&b, chunk, (size_t)n);
                r = put_entries(q, &b);
        }
        kill(pid, SIGTERM);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        return 0;
}
