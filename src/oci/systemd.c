/* The client of berth-systemd: writes a request to its stdin, reads its answer, and words
 * failures. Everything is bounded in time: systemd under load can take seconds, and a bus may
 * never answer. */
#include "oci/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "oci/systemd-internal.h"

#define HELPER "berth-systemd"
#define TIMEOUT_MS 30000
#define GRACE_MS 5000 /* the helper keeps the timeout itself; this is for a helper that doesn't */

/* Exit statuses of the helper, from src/libexec/berth-systemd.c. */
static const enum err_code codes[] = {
        [1] = ERR_SYSTEM,    [2] = ERR_INTERNAL, [3] = ERR_UNAVAILABLE, [4] = ERR_LIMIT,
        [5] = ERR_NOT_FOUND, [6] = ERR_EXISTS,   [7] = ERR_DENIED,      [8] = ERR_INVALID,
};

/* ---- the helper process ---- */

struct helper {
        pid_t pid;
        int in, out, text; /* its stdin, stdout and stderr, our ends */
};

static int helper_path(const char *given, char *buf, size_t cap)
{
        const char *dir = secure_getenv("BERTH_LIBEXEC");

        if (given)
                return snprintf(buf, cap, "%s", given) < (int)cap ? 0 : -ENAMETOOLONG;
        return snprintf(buf, cap, "%s/" HELPER, str_empty(dir) ? BERTH_LIBEXECDIR : dir) < (int)cap
                       ? 0
                       : -ENAMETOOLONG;
}

static int helper_spawn(const char *path, const int in[2], const int out[2], const int text[2],
                        pid_t *ret)
{
        /* What tells it where the buses are, and nothing else of our environment. */
        static const char *const kept[] = { "DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS",
                                            "XDG_RUNTIME_DIR" };
        char *argv[] = { (char *)HELPER, NULL }, *env[ARRAY_SIZE(kept) + 1] = {};
        posix_spawn_file_actions_t actions;
        size_t n = 0;
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
                const char *value = getenv(kept[i]);

                if (value)
                        env[n++] = mem_printf("%s=%s", kept[i], value);
        }
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, in[0], 0);
        posix_spawn_file_actions_adddup2(&actions, out[1], 1);
        posix_spawn_file_actions_adddup2(&actions, text[1], 2);
        r = posix_spawn(ret, path, &actions, NULL, argv, env);
        posix_spawn_file_actions_destroy(&actions);
        while (n > 0)
                free(env[--n]);
        return -r;
}

static int helper_start(const char *path, struct helper *ret)
{
        int in[2] = { -1, -1 }, out[2] = { -1, -1 }, text[2] = { -1, -1 }, r = 0;

        /* A socket, since writing to a pipe that the helper has left would raise SIGPIPE. */
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) < 0 ||
            pipe2(out, O_CLOEXEC) < 0 || pipe2(text, O_CLOEXEC) < 0)
                r = -errno;
        if (r == 0)
                r = helper_spawn(path, in, out, text, &ret->pid);
        fd_close(in[0]);
        fd_close(out[1]);
        fd_close(text[1]);
        if (r < 0) {
                fd_close(in[1]);
                fd_close(out[0]);
                fd_close(text[0]);
                return r;
        }
        ret->in = in[1];
        ret->out = out[0];
        ret->text = text[0];
        return 0;
}

static void helper_write(int fd, const struct buf *request)
{
        size_t at = 0;

        while (at < request->len) {
                ssize_t n = send(fd, request->s + at, request->len - at, MSG_NOSIGNAL);

                if (n < 0 && errno != EINTR)
                        return;
                at += n > 0 ? (size_t)n : 0;
        }
}

/* Reads what comes on fd; false at its end. */
static bool drain(int fd, struct buf *out)
{
        char text[1024];
        ssize_t n = read(fd, text, sizeof text);

        if (n > 0 && out->len < 65536)
                buf_add(out, text, (size_t)n);
        return n > 0 || (n < 0 && errno == EINTR);
}

/* Collects both outputs until the helper closes them. -ETIMEDOUT after having killed it. */
static int helper_read(struct helper *h, int timeout_ms, struct buf *out, struct buf *text)
{
        int64_t deadline = clock_ms() + timeout_ms;
        struct pollfd p[2] = { { .fd = h->out, .events = POLLIN },
                               { .fd = h->text, .events = POLLIN } };

        while (p[0].fd >= 0 || p[1].fd >= 0) {
                int64_t left = deadline - clock_ms();
                int n = left > 0 ? poll(p, 2, (int)left) : 0;

                if (n == 0) {
                        kill(h->pid, SIGKILL);
                        return -ETIMEDOUT;
                }
                if (p[0].revents && !drain(h->out, out))
                        p[0].fd = -1;
                if (p[1].revents && !drain(h->text, text))
                        p[1].fd = -1;
                p[0].revents = p[1].revents = 0;
        }
        return 0;
}

/* Its stderr: the sentence, then perhaps "hint: ...". */
static int answer_err(int status, struct buf *text, struct err *e)
{
        char *hint = strstr(text->s ? text->s : (char *)"", "\nhint: ");
        int exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        enum err_code code = exit_status < (int)ARRAY_SIZE(codes) ? codes[exit_status] : ERR_SYSTEM;

        if (hint) {
                *hint = 0;
                hint += strlen("\nhint: ");
                hint[strcspn(hint, "\n")] = 0;
        }
        if (WIFSIGNALED(status))
                return err_set(e, ERR_INTERNAL, HELPER " was killed by signal %d",
                               WTERMSIG(status));
        if (text->s)
                text->s[strcspn(text->s, "\n")] = 0;
        err_set(e, code, "%s", text->len ? text->s : HELPER " failed without a word");
        return hint ? err_hint(e, "%s", hint) : -1;
}

/* Runs one request; *out gets the helper's stdout. */
static int ask(const struct systemd_unit *u, const struct buf *request, int timeout_ms,
               struct buf *out, struct err *e)
{
        AUTO_BUF text = {};
        struct helper h;
        char path[512];
        int r = helper_path(u->helper, path, sizeof path), status = 0;

        if (r == 0)
                r = helper_start(path, &h);
        if (r < 0) {
                err_sys(e, -r, "cannot run '%s', which speaks to systemd", path);
                return err_hint(e,
                                "Install " HELPER ", set BERTH_LIBEXEC to its directory, or leave "
                                "out --systemd-cgroup.");
        }
        /* The helper reads all of it before anything else; one that dies first says so by its
         * status. */
        helper_write(h.in, request);
        fd_close(h.in);
        r = helper_read(&h, timeout_ms + GRACE_MS, out, &text);
        fd_close(h.out);
        fd_close(h.text);
        while (waitpid(h.pid, &status, 0) < 0)
                if (errno != EINTR) { /* SIGCHLD is ignored: the status is lost, the text isn't */
                        status = text.len ? 1 << 8 : 0;
                        break;
                }
        if (r == -ETIMEDOUT) {
                err_set(e, ERR_LIMIT, "systemd did not answer within %d s", timeout_ms / 1000);
                return err_hint(e, "See `systemctl list-jobs` and `systemctl status dbus`.");
        }
        return status == 0 ? 0 : answer_err(status, &text, e);
}

/* ---- requests ---- */

static int request_open(const struct systemd_unit *u, const char *verb, int timeout_ms,
                        struct buf *out)
{
        if (timeout_ms <= 0)
                timeout_ms = TIMEOUT_MS;
        buf_printf(out, "verb %s\nbus %s\ntimeout %d\nunit", verb, u->user ? "user" : "system",
                   timeout_ms);
        systemd_put_word(out, u->name, strlen(u->name));
        buf_putc(out, '\n');
        return timeout_ms;
}

/* What every container's unit has: delegated, so that systemd keeps out of what is below;
 * accounted for, so that its controllers are enabled; without the default dependencies, which
 * would stop it before the engine's own service at shutdown. */
static void put_start(const struct systemd_start *s, struct buf *out)
{
        static const char *const accounting[] = { "CPUAccounting", "MemoryAccounting",
                                                  "IOAccounting", "TasksAccounting" };
        char description[300];

        snprintf(description, sizeof description, "berth container %.256s", s->id);
        systemd_put_text(out, "Description", description);
        if (str_ends(s->unit.name, ".slice")) {
                systemd_put_property(out, "Wants", "as", 0);
                systemd_put_word(out, s->unit.slice, strlen(s->unit.slice));
                buf_putc(out, '\n');
        } else {
                systemd_put_text(out, "Slice", s->unit.slice);
                systemd_put_flag(out, "Delegate", 1);
                buf_printf(out, "property PIDs au %d\n", (int)s->pid);
        }
        for (size_t i = 0; i < ARRAY_SIZE(accounting); i++)
                systemd_put_flag(out, accounting[i], 1);
        systemd_put_flag(out, "DefaultDependencies", 0);
        if (s->before) {
                systemd_put_property(out, "Before", "as", 0);
                systemd_put_word(out, s->before, strlen(s->before));
                buf_putc(out, '\n');
        }
}

int systemd_start(struct arena *a, const struct systemd_start *s, const char **ret_group,
                  struct err *e)
{
        AUTO_BUF request = {}, out = {};
        int timeout = request_open(&s->unit, "start", s->timeout_ms, &request);
        const char *group;

        put_start(s, &request);
        if (s->properties)
                buf_puts(&request, s->properties);
        if (ask(&s->unit, &request, timeout, &out, e) < 0)
                return err_in(e, "cannot start systemd unit '%.200s'", s->unit.name);
        group = str_after(buf_str(&out), "ControlGroup=");
        if (!group || *group != '/')
                return err_set(e, ERR_INTERNAL, HELPER " did not name the cgroup of '%.200s'",
                               s->unit.name);
        *ret_group = arena_strndup(a, group, strcspn(group, "\n"));
        return 0;
}

int systemd_update(const struct systemd_unit *u, const char *properties, struct err *e)
{
        AUTO_BUF request = {}, out = {};
        int timeout = request_open(u, "set", 0, &request);

        if (str_empty(properties))
                return 0;
        buf_puts(&request, properties);
        if (ask(u, &request, timeout, &out, e) < 0)
                return err_in(e, "cannot update systemd unit '%.200s'", u->name);
        return 0;
}

int systemd_stop(const struct systemd_unit *u, struct err *e)
{
        AUTO_BUF request = {}, out = {};
        int timeout = request_open(u, "stop", 0, &request);

        if (ask(u, &request, timeout, &out, e) < 0)
                return err_in(e, "cannot stop systemd unit '%.200s'", u->name);
        return 0;
}

int systemd_attach(const struct systemd_unit *u, pid_t pid, const char *subgroup, struct err *e)
{
        AUTO_BUF request = {}, out = {};
        int timeout = request_open(u, "attach", 0, &request);

        buf_printf(&request, "pid %d\nsubgroup", (int)pid);
        systemd_put_word(&request, subgroup, strlen(subgroup));
        buf_putc(&request, '\n');
        if (ask(u, &request, timeout, &out, e) < 0)
                return err_in(e, "cannot move process %d into systemd unit '%.200s'", (int)pid,
                              u->name);
        return 0;
}
