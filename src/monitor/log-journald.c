#include "monitor/log-journald.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"

#define PATIENCE_S 2

int log_journald_open(void)
{
        const struct timeval patience = { .tv_sec = PATIENCE_S };
        const int size = 1 << 20;
        int sock;

        if (access(LOG_JOURNALD_SOCKET, F_OK) < 0)
                return -errno;
        sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (sock < 0)
                return -errno;
        setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        return sock;
}

static struct iovec part(const void *p, size_t n)
{
        return (struct iovec){ (void *)p, n };
}

int log_journald_send(int sock, const struct log_journald_line *l)
{
        static const char out[] = "PRIORITY=6\nMESSAGE\n", error[] = "PRIORITY=3\nMESSAGE\n",
                          end[] = "\n", goes_on[] = "\nCONTAINER_PARTIAL_MESSAGE=true\n";
        /* Addressed each time: the journal may be another than before. */
        struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = LOG_JOURNALD_SOCKET };
        uint64_t n = l->head_len + l->text_len;
        unsigned char len[8]; /* little-endian: the message may hold any bytes */
        struct iovec v[] = { part(l->fields, l->fields_len),
                             part(l->is_error ? error : out, sizeof out - 1),
                             part(len, sizeof len),
                             part(l->head, l->head_len),
                             part(l->text, l->text_len),
                             l->partial ? part(goes_on, sizeof goes_on - 1)
                                        : part(end, sizeof end - 1) };
        struct msghdr m = {
                .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = v, .msg_iovlen = ARRAY_SIZE(v)
        };
        ssize_t r;

        for (size_t i = 0; i < sizeof len; i++)
                len[i] = (unsigned char)(n >> 8 * i);
        do
                r = sendmsg(sock, &m, MSG_NOSIGNAL);
        while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : 0;
}
