#include "monitor/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

/* Through the descriptor: the directory's own path may exceed the 107 bytes of an address. */
static struct sockaddr_un address(int run)
{
        struct sockaddr_un a = { .sun_family = AF_UNIX };

        snprintf(a.sun_path, sizeof a.sun_path, "%s/ctl", fd_path(run).s);
        return a;
}

int wire_connect(int run)
{
        struct sockaddr_un a = address(run);
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), r;

        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *)&a, sizeof a) == 0)
                return fd;
        r = -errno;
        fd_close(fd);
        return r;
}

int wire_call(int run, const struct wire_request *q, int timeout_ms, struct wire_reply *ret)
{
        AUTO_FD int fd = wire_connect(run);
        struct pollfd p = { fd, POLLIN, 0 };
        ssize_t n;

        if (fd < 0)
                return fd;
        if (send(fd, q, sizeof *q, MSG_NOSIGNAL) != sizeof *q)
                return -errno;
        for (;;) {
                int r = poll(&p, 1, timeout_ms);

                if (r == 0)
                        return -ETIMEDOUT;
                if (r < 0 && errno == EINTR)
                        continue;
                n = recv(fd, ret, sizeof *ret, 0);
                if (n < 0 && errno == EINTR)
                        continue;
                return n == sizeof *ret ? 0 : -ECONNRESET;
        }
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
