#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

int fd_close(int fd)
{
        int saved = errno;

        if (fd >= 0)
                close(fd);
        errno = saved;
        return -1;
}

int fd_write_all(int fd, const void *p, size_t n)
{
        const char *at = p;

        while (n > 0) {
                ssize_t w = write(fd, at, n);

                if (w < 0 && errno == EINTR)
                        continue;
                if (w < 0)
                        return -errno;
                at += w;
                n -= (size_t)w;
        }
        return 0;
}

int fd_put_at(int dir, const char *path, const char *text)
{
        AUTO_FD int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
        ssize_t w;

        if (fd < 0)
                return -errno;
        do
                w = write(fd, text, strlen(text));
        while (w < 0 && errno == EINTR);
        return w < 0 ? -errno : 0;
}

ssize_t fd_read_text(int fd, char *buf, size_t cap)
{
        size_t len = 0;

        for (;;) {
                char over;
                int full = len == cap - 1;
                ssize_t r = full ? read(fd, &over, 1) : read(fd, buf + len, cap - 1 - len);

                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        return -errno;
                if (r > 0 && full)
                        return -EFBIG;
                if (r == 0)
                        break;
                len += (size_t)r;
        }
        buf[len] = 0;
        return (ssize_t)len;
}

ssize_t fd_read_text_at(int dir, const char *path, char *buf, size_t cap)
{
        AUTO_FD int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);

        return fd < 0 ? -errno : fd_read_text(fd, buf, cap);
}

static int read_whole(int fd, size_t limit, char **ret_data, size_t *ret_len)
{
        size_t cap = 4096, len = 0;
        struct stat st;
        char *data;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (S_ISREG(st.st_mode) && st.st_size > 0) {
                if ((size_t)st.st_size > limit)
                        return -EFBIG;
                cap = (size_t)st.st_size + 1;
        }
        data = malloc(cap + 1);
        for (;;) {
                ssize_t r;

                if (!data)
                        return -ENOMEM;
                r = read(fd, data + len, cap - len);
                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0 || len + (size_t)r > limit) {
                        int error = r < 0 ? -errno : -EFBIG;

                        free(data);
                        return error;
                }
                if (r == 0)
                        break;
                len += (size_t)r;
                if (len == cap) {
                        char *grown = realloc(data, cap * 2 + 1);

                        if (!grown)
                                free(data);
                        data = grown;
                        cap *= 2;
                }
        }
        data[len] = 0;
        *ret_data = data;
        *ret_len = len;
        return 0;
}

int fd_read_file_at(int dir, const char *path, size_t limit, char **ret_data, size_t *ret_len)
{
        AUTO_FD int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

        return fd < 0 ? -errno : read_whole(fd, limit, ret_data, ret_len);
}

int fd_read_regular_at(int dir, const char *path, size_t limit, char **ret_data, size_t *ret_len)
{
        AUTO_FD int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        return S_ISREG(st.st_mode) ? read_whole(fd, limit, ret_data, ret_len) : -EINVAL;
}

int fd_replace_at(int dir, const char *name, const void *data, size_t n, mode_t mode, int sync)
{
        char tmp[256];
        int r;

        if (snprintf(tmp, sizeof tmp, ".%s.%d.tmp", name, getpid()) >= (int)sizeof tmp)
                return -ENAMETOOLONG;
        {
                AUTO_FD int fd = openat(
                        dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);

                if (fd < 0)
                        return -errno;
                r = fd_write_all(fd, data, n);
                if (r == 0 && sync && fsync(fd) < 0)
                        r = -errno;
        }
        if (r == 0 && renameat(dir, tmp, dir, name) < 0)
                r = -errno;
        if (r < 0)
                unlinkat(dir, tmp, 0);
        else if (sync && fsync(dir) < 0)
                r = -errno;
        return r;
}

int fd_send(int sock, const void *p, size_t n, const int *fds, size_t nfds)
{
        union {
                struct cmsghdr h;
                char room[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
        } c = { 0 };
        struct iovec io = { .iov_base = (void *)p, .iov_len = n };
        struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };
        ssize_t w;

        if (nfds > FD_PASS_MAX)
                return -E2BIG;
        if (nfds > 0) {
                m.msg_control = &c;
                m.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
                c.h.cmsg_level = SOL_SOCKET;
                c.h.cmsg_type = SCM_RIGHTS;
                c.h.cmsg_len = CMSG_LEN(sizeof(int) * nfds);
                memcpy(CMSG_DATA(&c.h), fds, sizeof(int) * nfds);
        }
        do
                w = sendmsg(sock, &m, MSG_NOSIGNAL);
        while (w < 0 && errno == EINTR);
        if (w < 0)
                return -errno;
        return (size_t)w == n ? 0 : -EMSGSIZE;
}

ssize_t fd_recv(int sock, void *p, size_t n, int *fds, size_t *nfds)
{
        union {
                struct cmsghdr h;
                char room[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
        } c = { 0 };
        struct iovec io = { .iov_base = p, .iov_len = n };
        struct msghdr m = {
                .msg_iov = &io, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c
        };
        size_t room = nfds ? *nfds : 0, got = 0;
        ssize_t r;

        do
                r = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
        while (r < 0 && errno == EINTR);
        if (r < 0)
                return -errno;
        for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
                size_t count;
                int in[FD_PASS_MAX];

                if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
                        continue;
                count = MIN((h->cmsg_len - CMSG_LEN(0)) / sizeof(int), (size_t)FD_PASS_MAX);
                memcpy(in, CMSG_DATA(h), count * sizeof(int));
                for (size_t i = 0; i < count; i++) {
                        if (got < room)
                                fds[got++] = in[i];
                        else
                                fd_close(in[i]);
                }
        }
        if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
                while (got > 0)
                        fd_close(fds[--got]);
                r = -EMSGSIZE;
        }
        if (nfds)
                *nfds = got;
        return r;
}

struct fd_path fd_path(int fd)
{
        struct fd_path p;

        snprintf(p.s, sizeof p.s, "/proc/self/fd/%d", fd);
        return p;
}
