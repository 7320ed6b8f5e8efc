#include "monitor/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "codec/json.h"
#include "kernel/proc.h"

const char *const monitor_status_names[MONITOR_STATUS_MAX] = {
        "starting", "running", "stopping", "restarting", "exited",
};
const char *const health_status_names[HEALTH_STATUS_MAX] = { "", "starting", "healthy",
                                                             "unhealthy" };

/* The text goes into a JSON string: quotes and control characters become what they aren't. */
static void put_error(const char *from, char *to, size_t cap)
{
        size_t n = 0;

        for (; from[n] && n + 1 < cap; n++)
                to[n] = from[n] == '"'                  ? '\''
                        : from[n] == '\\'               ? '/'
                        : (unsigned char)from[n] < 0x20 ? ' '
                                                        : from[n];
        to[n] = 0;
}

int monitor_state_save(int run, const struct monitor_state *s, int *held)
{
        struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        char text[1024], error[sizeof s->error];
        int n, r;

        put_error(s->error, error, sizeof error);
        n = snprintf(text, sizeof text,
                     "{\"status\":\"%s\",\"pid\":%d,\"pidStart\":%" PRIu64
                     ",\"monitor\":%d,\"monitorStart\":%" PRIu64 ",\"started\":%" PRId64
                     ",\"finished\":%" PRId64
                     ",\"exitCode\":%d,\"oomKilled\":%s,\"restarts\":%u,\"health\":\"%s\","
                     "\"healthFailures\":%u,\"logLost\":%" PRIu64 ",\"error\":\"%s\"}\n",
                     monitor_status_names[s->status], s->pid, s->pid_start, s->monitor,
                     s->monitor_start, s->started_ns, s->finished_ns, s->exit_code,
                     s->oom_killed ? "true" : "false", s->restarts, health_status_names[s->health],
                     s->health_failures, s->log_lost, error);
        AUTO_FD int fd = openat(run, "state.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        r = fd_write_all(fd, text, (size_t)n);
        if (r < 0)
                return r;
        fcntl(fd, F_SETLK, &whole);
        if (renameat(run, "state.new", run, "state.json") < 0)
                return -errno;
        fd_close(*held);
        *held = TAKE_FD(fd);
        return 0;
}

static uint64_t number(const struct json *j, const char *name)
{
        uint64_t v = 0;

        json_to_u64(json_get(j, name), &v);
        return v;
}

/* A number that is none of a process is 0: nobody is to be killed by mistake. */
static pid_t pid(const struct json *j, const char *name)
{
        uint64_t v = number(j, name);

        return v > INT32_MAX ? 0 : (pid_t)v;
}

static int name_index(const struct json *j, const char *member, const char *const *names, size_t n)
{
        int i = str_index(names, n, json_str(json_get(j, member), ""));

        return i < 0 ? 0 : i;
}

static void fill(const struct json *j, struct monitor_state *s)
{

        s->status = (enum monitor_status)name_index(j, "status", monitor_status_names,
                                                    MONITOR_STATUS_MAX);
        s->health =
                (enum health_status)name_index(j, "health", health_status_names, HEALTH_STATUS_MAX);
        s->pid = pid(j, "pid");
        s->pid_start = number(j, "pidStart");
        s->monitor = pid(j, "monitor");
        s->monitor_start = number(j, "monitorStart");
        s->started_ns = (int64_t)number(j, "started");
        s->finished_ns = (int64_t)number(j, "finished");
        s->exit_code = (int)number(j, "exitCode");
        s->oom_killed = json_is_true(json_get(j, "oomKilled"));
        s->restarts = (unsigned)number(j, "restarts");
        s->health_failures = (unsigned)number(j, "healthFailures");
        s->log_lost = number(j, "logLost");
        snprintf(s->error, sizeof s->error, "%s", json_str(json_get(j, "error"), ""));
}

int monitor_state_read(const char *text, size_t n, struct monitor_state *ret)
{
        AUTO_ARENA a = { 0 };
        struct monitor_state s = { 0 };
        struct json j;

        if (json_parse(&a, text, n, NULL, &j, NULL) < 0)
                return -EBADMSG;
        fill(&j, &s);
        *ret = s;
        return 0;
}

int monitor_state_load(int dir, const char *path, struct monitor_state *ret)
{
        struct monitor_state s;
        struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
        AUTO_FD int fd = openat(dir, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        char text[2048];
        ssize_t n = fd < 0 ? -errno : fd_read_text(fd, text, sizeof text);
        int r = n < 0 ? (int)n : monitor_state_read(text, (size_t)n, &s);

        if (r < 0)
                return r;
        *ret = s;
        if (s.status == MONITOR_EXITED)
                return 0;
        if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
                return 1;
        return proc_alive(s.monitor, s.monitor_start);
}
