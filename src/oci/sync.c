#include "oci/sync.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *const sync_names[] = {
        [SYNC_PID] = "pid",       [SYNC_UP] = "up",       [SYNC_MOUNTED] = "mounted",
        [SYNC_NOTIFY] = "notify", [SYNC_READY] = "ready", [SYNC_ERROR] = "error",
        [SYNC_GO] = "go",
};
static_assert(ARRAY_SIZE(sync_names) == SYNC_MAX, "each message has a name");

#define BIT(k) (1u << (k))
#define START BIT(SYNC_MAX)

/* What each message may follow. */
static const unsigned allowed_after[] = {
        [SYNC_PID] = START,
        [SYNC_UP] = START | BIT(SYNC_PID),
        [SYNC_MOUNTED] = START | BIT(SYNC_PID) | BIT(SYNC_UP),
        [SYNC_NOTIFY] = START | BIT(SYNC_PID) | BIT(SYNC_UP) | BIT(SYNC_MOUNTED),
        [SYNC_READY] = START | BIT(SYNC_PID) | BIT(SYNC_UP) | BIT(SYNC_MOUNTED) | BIT(SYNC_NOTIFY),
        [SYNC_ERROR] = ~0u,
        [SYNC_GO] = 0,
};
static_assert(ARRAY_SIZE(allowed_after) == SYNC_MAX, "each message has its place");

int sync_allowed(enum sync_kind prev, enum sync_kind kind)
{
        return kind < SYNC_MAX && (allowed_after[kind] & BIT(prev)) != 0;
}

int sync_pair(int ret_fds[2])
{
        return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) < 0 ? -errno : 0;
}

/* write(2), not send(2): a seccomp filter that is in force already is more likely to allow it. */
static int put(int fd, const struct sync_msg *m, size_t n)
{
        ssize_t w;

        do
                w = write(fd, m, n);
        while (w < 0 && errno == EINTR);
        return w < 0 ? -errno : 0;
}

int sync_send(int fd, enum sync_kind kind, int32_t value)
{
        struct sync_msg m = { .kind = kind, .value = value };

        return put(fd, &m, offsetof(struct sync_msg, err));
}

int sync_send_err(int fd, const struct err *e)
{
        struct sync_msg m = { .kind = SYNC_ERROR, .err = *e };

        return put(fd, &m, sizeof m);
}

int sync_recv(int fd, struct sync_msg *ret)
{
        ssize_t n;

        do
                n = read(fd, ret, sizeof *ret);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno == ECONNRESET ? 0 : -errno;
        if (n == 0)
                return 0;
        if (ret->kind >= SYNC_MAX ||
            (size_t)n != (ret->kind == SYNC_ERROR ? sizeof *ret : offsetof(struct sync_msg, err)))
                return -EBADMSG;
        if (ret->kind == SYNC_ERROR) {
                ret->err.chain[sizeof ret->err.chain - 1] = 0;
                ret->err.hint[sizeof ret->err.hint - 1] = 0;
        }
        return 1;
}

int sync_wait_go(int fd)
{
        struct sync_msg m;
        int r = sync_recv(fd, &m);

        if (r < 0)
                return r;
        return r == 1 && m.kind == SYNC_GO ? 0 : -ECONNRESET;
}
