#include "monitor/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/macro.h"
#include "kernel/proc.h"

#define WATCH_MS 1000 /* how often a wait looks whether who is waited for can answer */
#define CONNECT_S 5

/* Through the descriptor: the directory's own path may exceed the 107 bytes of an address. */
static struct sockaddr_un address(int run)
{
        struct sockaddr_un a = { .sun_family = AF_UNIX };

        snprintf(a.sun_path, sizeof a.sun_path, "%s/ctl", fd_path(run).s);
        return a;
}

/* Who listens on the socket's other side is stopped: it will never answer. */
static bool is_stopped(int sock)
{
        struct ucred who;
        socklen_t n = sizeof who;
        struct proc_stat st;

        return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 &&
               proc_stat_read(who.pid, &st) == 0 && (st.state == 'T' || st.state == 't');
}

int wire_await(int sock, int timeout_ms)
{
        struct pollfd p = { sock, POLLIN, 0 };
        int64_t end = clock_ms() + timeout_ms;

        for (;;) {
                int64_t left = timeout_ms < 0 ? WATCH_MS : MAX(end - clock_ms(), (int64_t)0);
                int r = poll(&p, 1, (int)MIN(left, (int64_t)WATCH_MS));

                if (r > 0)
                        return 0;
                if (r < 0 && errno != EINTR)
                        return -errno;
                if (r == 0 && is_stopped(sock))
                        return -ESTALE;
                if (r == 0 && left <= WATCH_MS && timeout_ms >= 0)
                        return -ETIMEDOUT;
        }
}

int wire_no_answer(int sys, struct err *e)
{
        if (sys == -EUSERS)
                return err_set(e, ERR_UNAVAILABLE,
                               "too many wait for the container or are attached to it");
        if (sys != -ESTALE)
                return err_set(e, ERR_UNAVAILABLE, "the container's monitor does not answer");
        err_set(e, ERR_UNAVAILABLE, "the container's monitor is stopped");
        return err_hint(e, "SIGCONT to its berth-monitor lets it go on; after SIGKILL to it "
                           "`berth rm -f` works");
}

void wire_send_ahead(int sock, uint32_t start_timeout_ms, bool tty, bool notify, const char *id,
                     const char *bundle, const char *oci_root)
{
        struct wire_ahead w = { .start_timeout_ms = start_timeout_ms,
                                .tty = tty,
                                .notify = notify };

        if (strlen(id) >= sizeof w.id || strlen(bundle) >= sizeof w.bundle ||
            strlen(oci_root) >= sizeof w.oci_root)
                return;
        snprintf(w.id, sizeof w.id, "%s", id);
        snprintf(w.bundle, sizeof w.bundle, "%s", bundle);
        snprintf(w.oci_root, sizeof w.oci_root, "%s", oci_root);
        send(sock, &w, sizeof w, MSG_NOSIGNAL);
}

int wire_connect(int run)
{
        /* A full queue: nobody takes connections from it. */
        const struct timeval patience = { .tv_sec = CONNECT_S };
        struct sockaddr_un a = address(run);
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), r;

        if (fd < 0)
                return -errno;
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (connect(fd, (const struct sockaddr *)&a, sizeof a) == 0)
                return fd;
        r = errno == EAGAIN ? -ETIMEDOUT : -errno;
        fd_close(fd);
        return r;
}

int wire_call(int run, const struct wire_request *q, int timeout_ms, struct wire_reply *ret)
{
        AUTO_FD int fd = wire_connect(run);
        ssize_t n;
        int r;

        if (fd < 0)
                return fd;
        if (send(fd, q, sizeof *q, MSG_NOSIGNAL) != sizeof *q)
                return -errno;
        r = wire_await(fd, timeout_ms);
        if (r < 0)
                return r;
        do
                n = recv(fd, ret, sizeof *ret, 0);
        while (n < 0 && errno == EINTR);
        if (n != sizeof *ret)
                return -ECONNRESET;
        return ret->status == -EUSERS ? -EUSERS : 0;
}

int wire_leave(int sock, int dir)
{
        char kind = WIRE_REST;

        return fd_send(sock, &kind, 1, &dir, 1);
}

int wire_left(int sock)
{
        struct pollfd p = { sock, POLLIN, 0 };

        for (;;) {
                int dir = -1;
                size_t n = 1;
                char kind;
                ssize_t r;

                if (poll(&p, 1, -1) < 0)
                        continue;
                r = fd_recv(sock, &kind, 1, &dir, &n);
                if (r == 1 && kind == WIRE_REST && n == 1)
                        return dir;
                if (r <= 0 && r != -EMSGSIZE) /* what was typed too late is larger */
                        return -1;
                fd_close(dir);
        }
}

int wire_listen(int run)
{
        struct sockaddr_un a = address(run);
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r;

        if (fd < 0)
                return -errno;
        /* A monitor that was killed left its socket behind. */
        if (unlinkat(run, "ctl", 0) < 0 && errno != ENOENT)
                goto failed;
        if (bind(fd, (const struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 16) == 0)
                return fd;
failed:
        r = -errno;
        fd_close(fd);
        return r;
}
