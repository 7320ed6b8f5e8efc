#include "engine/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "monitor/wire.h"
#include "oci/sd-notify.h"

int detach_keys_parse(const char *text, char ret[DETACH_KEYS_MAX])
{
        const char *key;
        size_t len;
        int n = 0;

        if (str_empty(text))
                return 0;
        while (str_next(&text, ',', &key, &len)) {
                if (n == DETACH_KEYS_MAX)
                        return -EINVAL;
                if (len == 1 && (unsigned char)*key >= ' ')
                        ret[n++] = *key;
                else if (len == 6 && strncmp(key, "ctrl-", 5) == 0 &&
                         ((key[5] >= 'a' && key[5] <= 'z') || strchr("@[\\]^_", key[5])))
                        ret[n++] = (char)(key[5] & 0x1f);
                else
                        return -EINVAL;
        }
        return n;
}

int attach_check(const struct attach *a, struct err *e)
{
        char keys[DETACH_KEYS_MAX];

        if (!a->detach_keys || detach_keys_parse(a->detach_keys, keys) >= 0)
                return 0;
        err_set(e, ERR_INVALID, "--detach-keys: \"%s\" is no list of keys", a->detach_keys);
        return err_hint(e, "for example: ctrl-p,ctrl-q");
}

/* ---- the connection ---- */

void attach_request(int sock, const struct attach *a)
{
        struct wire_request q = { .op = WIRE_ATTACH,
                                  .flags = (a->in ? WIRE_WITH_STDIN : 0) |
                                           (a->out ? WIRE_WITH_STDOUT : 0) |
                                           (a->err ? WIRE_WITH_STDERR : 0) |
                                           (a->primary ? WIRE_PRIMARY : 0) };

        send(sock, &q, sizeof q, MSG_NOSIGNAL);
}

int attach_accepted(int sock, struct err *e)
{
        struct wire_reply reply;
        ssize_t n = -1;
        int r = wire_await(sock, -1);

        while (r == 0 && (n = recv(sock, &reply, sizeof reply, 0)) < 0 && errno == EINTR)
                ;
        if (n == sizeof reply && reply.status == 0)
                return sock;
        fd_close(sock);
        return wire_no_answer(n == sizeof reply ? reply.status : r, e);
}

int attach_open(int run, const struct attach *a, struct err *e)
{
        int fd = wire_connect(run);

        if (fd < 0) {
                err_sys(e, fd, "cannot reach the container's monitor");
                return err_hint(e, "is it running? `berth ps -a` tells");
        }
        attach_request(fd, a);
        return attach_accepted(fd, e);
}

/* ---- the session ---- */

struct session {
        const struct attach *a;
        int sock, run, signals;
        int ready; /* what answers WIRE_READY; or -1 */
        char keys[DETACH_KEYS_MAX];
        int nkeys, matched;                            /* detach keys typed so far */
        bool in_open;                                  /* our stdin has more, as far as we know */
        char typed[WIRE_PACKET_MAX + DETACH_KEYS_MAX]; /* a packet that the monitor has not taken */
        size_t typed_len;
        enum attach_end end;
        bool done;
        int status;
        int fatal; /* the signal that ends us once the terminal is as it was; or 0 */
};

static void send_size(const struct session *s)
{
        char packet[1 + sizeof(struct wire_size)] = { WIRE_RESIZE };
        struct wire_size size;
        struct winsize w;

        if (!s->a->tty || ioctl(STDIN_FILENO, TIOCGWINSZ, &w) < 0)
                return;
        size = (struct wire_size){ .rows = w.ws_row, .cols = w.ws_col };
        memcpy(packet + 1, &size, sizeof size);
        send(s->sock, packet, sizeof packet, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void flush_typed(struct session *s)
{
        ssize_t n;

        if (!s->typed_len)
                return;
        n = send(s->sock, s->typed, s->typed_len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0 || errno != EAGAIN)
                s->typed_len = 0;
}

/* Copies what was typed, holding back what may be the detach keys; true when they are complete. */
static bool filter_keys(struct session *s, const char *p, size_t n, char *out, size_t *out_len)
{
        size_t len = 0;

        for (size_t i = 0; i < n; i++) {
                if (s->nkeys && p[i] == s->keys[s->matched]) {
                        if (++s->matched == s->nkeys)
                                return true;
                        continue;
                }
                memcpy(out + len, s->keys, (size_t)s->matched);
                len += (size_t)s->matched;
                s->matched = s->nkeys && p[i] == s->keys[0] ? 1 : 0;
                if (!s->matched)
                        out[len++] = p[i];
        }
        *out_len = len;
        return false;
}

static void take_input(struct session *s)
{
        char text[WIRE_PACKET_MAX - 1 - DETACH_KEYS_MAX];
        ssize_t n = read(STDIN_FILENO, text, sizeof text);
        char eof = WIRE_EOF;
        size_t len = 0;

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (n <= 0) {
                s->in_open = false;
                send(s->sock, &eof, 1, MSG_NOSIGNAL);
                return;
        }
        if (filter_keys(s, text, (size_t)n, s->typed + 1, &len)) {
                s->end = ATTACH_DETACHED;
                s->done = true;
                return;
        }
        s->typed[0] = WIRE_STDIN;
        s->typed_len = len ? len + 1 : 0;
        flush_typed(s);
}

static void take_packet(struct session *s)
{
        char packet[WIRE_PACKET_MAX];
        ssize_t n = recv(s->sock, packet, sizeof packet, 0);
        int32_t code;

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (n <= 0) {
                s->end = ATTACH_LOST;
                s->done = true;
        } else if ((packet[0] == WIRE_EXIT || packet[0] == WIRE_LAST) && n == 1 + sizeof code) {
                memcpy(&code, packet + 1, sizeof code);
                s->status = code;
                s->end = packet[0] == WIRE_LAST ? ATTACH_LAST : ATTACH_EXITED;
                s->done = true;
        } else if (fd_write_all(packet[0] == WIRE_STDERR ? STDERR_FILENO : STDOUT_FILENO,
                                packet + 1, (size_t)n - 1) < 0) {
                /* Nobody reads us any more, as in `berth run ... | head`. */
                s->end = ATTACH_DETACHED;
                s->done = true;
        }
}

/* By way of the monitor: it knows which process is the container's in this life. */
static void forward(int run, int sig)
{
        const struct wire_request q = {
                .op = WIRE_SIGNAL, .signal = sig, .timeout_ms = -1, .why = "a signal to berth"
        };
        struct wire_reply reply;

        wire_call(run, &q, 1000, &reply);
}

static void take_signals(struct session *s)
{
        struct signalfd_siginfo info;

        while (read(s->signals, &info, sizeof info) == sizeof info) {
                if (info.ssi_signo == SIGWINCH) {
                        send_size(s);
                } else if (info.ssi_signo == SIGHUP && s->a->tty) {
                        s->end = ATTACH_DETACHED;
                        s->done = true;
                } else if (s->a->forward_signals) {
                        forward(s->run, (int)info.ssi_signo);
                } else {
                        s->fatal = (int)info.ssi_signo;
                        s->end = ATTACH_DETACHED;
                        s->done = true;
                }
        }
}

static int ask_ready(const struct attach *a, int run)
{
        const struct wire_request q = { .op = WIRE_READY, .timeout_ms = -1, .why = "berth start" };
        int fd = a->notify && !str_empty(getenv("NOTIFY_SOCKET")) ? wire_connect(run) : -1;

        if (fd >= 0)
                send(fd, &q, sizeof q, MSG_NOSIGNAL);
        return fd < 0 ? -1 : fd;
}

static void tell_ready(struct session *s)
{
        struct wire_reply reply;

        if (recv(s->ready, &reply, sizeof reply, MSG_DONTWAIT) == sizeof reply && reply.status == 0)
                sd_notify_send(getenv("NOTIFY_SOCKET"), "READY=1\n", &(struct err){ 0 });
        s->ready = fd_close(s->ready);
}

static void session_step(struct session *s)
{
        struct pollfd p[] = {
                { s->sock, (short)(POLLIN | (s->typed_len ? POLLOUT : 0)), 0 },
                { s->signals, POLLIN, 0 },
                { s->a->in && s->in_open && !s->typed_len ? STDIN_FILENO : -1, POLLIN, 0 },
                { s->ready, POLLIN, 0 },
        };

        if (poll(p, ARRAY_SIZE(p), -1) < 0)
                return;
        if (p[1].revents)
                take_signals(s);
        if (p[3].revents)
                tell_ready(s);
        if (p[0].revents & POLLOUT)
                flush_typed(s);
        if (p[0].revents & (POLLIN | POLLHUP | POLLERR))
                take_packet(s);
        if (p[2].revents)
                take_input(s);
}

void attach_signals(const struct attach *a, sigset_t *set)
{
        static const int those[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
                                     SIGUSR1, SIGUSR2, SIGCONT, SIGALRM };

        if (!a)
                return;
        sigaddset(set, SIGWINCH);
        for (size_t i = 0; i < ARRAY_SIZE(those); i++)
                if (a->forward_signals || those[i] == SIGHUP)
                        sigaddset(set, those[i]);
}

/* What ends us may do so only when the terminal is no longer raw. */
static void add_fatal(sigset_t *set)
{
        static const int those[] = { SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM };

        for (size_t i = 0; i < ARRAY_SIZE(those); i++)
                sigaddset(set, those[i]);
}

int attach_run(int sock, const struct attach *a, int run, enum attach_end *ret_end, int *ret_status,
               struct err *e)
{
        struct session s = { .a = a, .sock = sock, .run = run, .in_open = a->in };
        struct termios saved, raw;
        sigset_t set, old;
        bool is_raw = false;

        if (attach_check(a, e) < 0)
                return -1;
        if (a->tty)
                s.nkeys = detach_keys_parse(a->detach_keys ? a->detach_keys : "ctrl-p,ctrl-q",
                                            s.keys);
        sigemptyset(&set);
        attach_signals(a, &set);
        if (a->tty && !a->forward_signals)
                add_fatal(&set);
        sigprocmask(SIG_BLOCK, &set, &old);
        s.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (a->tty && a->in && tcgetattr(STDIN_FILENO, &saved) == 0) {
                raw = saved;
                cfmakeraw(&raw);
                is_raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
        }
        send_size(&s);
        s.ready = ask_ready(a, run);
        while (!s.done)
                session_step(&s);
        fd_close(s.ready);
        if (is_raw)
                tcsetattr(STDIN_FILENO, TCSANOW, &saved);
        fd_close(s.signals);
        sigprocmask(SIG_SETMASK, &old, NULL);
        if (s.fatal)
                raise(s.fatal);
        *ret_end = s.end;
        *ret_status = s.status;
        return 0;
}
