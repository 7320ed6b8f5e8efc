#include "kernel/netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/fd.h"

#define ALIGN4(n) (((n) + 3) & ~(size_t)3)

/* ---- requests ---- */

static struct nlmsghdr *header(struct netlink_req *r)
{
        return (struct nlmsghdr *)r->b;
}

static void *room(struct netlink_req *r, size_t n)
{
        void *p = r->b + r->len;

        if (r->overflow || ALIGN4(n) > sizeof r->b - r->len) {
                r->overflow = true;
                return NULL;
        }
        r->len += ALIGN4(n);
        return p;
}

void netlink_req_init(struct netlink_req *r, uint16_t type, uint16_t flags, const void *body,
                      size_t n)
{
        memset(r, 0, sizeof *r);
        r->len = sizeof(struct nlmsghdr);
        header(r)->nlmsg_type = type;
        header(r)->nlmsg_flags = flags | NLM_F_REQUEST;
        netlink_put_raw(r, body, n);
}

void netlink_put_raw(struct netlink_req *r, const void *p, size_t n)
{
        void *at = room(r, n);

        if (at)
                memcpy(at, p, n);
}

void netlink_put(struct netlink_req *r, uint16_t attr, const void *p, size_t n)
{
        struct nlattr *a = room(r, sizeof *a + n);

        if (!a)
                return;
        a->nla_type = attr;
        a->nla_len = (uint16_t)(sizeof *a + n);
        if (n)
                memcpy(a + 1, p, n);
}

void netlink_put_u32(struct netlink_req *r, uint16_t attr, uint32_t v)
{
        netlink_put(r, attr, &v, sizeof v);
}

void netlink_put_str(struct netlink_req *r, uint16_t attr, const char *s)
{
        netlink_put(r, attr, s, strlen(s) + 1);
}

size_t netlink_nest(struct netlink_req *r, uint16_t attr)
{
        size_t mark = r->len;

        netlink_put(r, attr | NLA_F_NESTED, NULL, 0);
        return mark;
}

void netlink_nest_end(struct netlink_req *r, size_t mark)
{
        if (!r->overflow)
                ((struct nlattr *)(r->b + mark))->nla_len = (uint16_t)(r->len - mark);
}

/* ---- answers ---- */

int netlink_next(const void *buf, size_t n, size_t *at, struct netlink_msg *ret)
{
        struct nlmsghdr h;

        if (*at >= n)
                return 0;
        if (n - *at < sizeof h)
                return -EBADMSG;
        memcpy(&h, (const char *)buf + *at, sizeof h);
        if (h.nlmsg_len < sizeof h || h.nlmsg_len > n - *at)
                return -EBADMSG;
        ret->type = h.nlmsg_type;
        ret->flags = h.nlmsg_flags;
        ret->seq = h.nlmsg_seq;
        ret->body = (const char *)buf + *at + sizeof h;
        ret->n = h.nlmsg_len - sizeof h;
        *at += ALIGN4(h.nlmsg_len);
        return 1;
}

int netlink_attr_next(const void *p, size_t n, size_t *at, struct netlink_attr *ret)
{
        struct nlattr a;

        if (*at >= n)
                return 0;
        if (n - *at < sizeof a)
                return -EBADMSG;
        memcpy(&a, (const char *)p + *at, sizeof a);
        if (a.nla_len < sizeof a || a.nla_len > n - *at)
                return -EBADMSG;
        ret->type = a.nla_type & NLA_TYPE_MASK;
        ret->p = (const char *)p + *at + sizeof a;
        ret->n = a.nla_len - sizeof a;
        *at += ALIGN4(a.nla_len);
        return 1;
}

int netlink_attr_u32(const struct netlink_attr *a, uint32_t *ret)
{
        if (a->n != sizeof *ret)
                return -EBADMSG;
        memcpy(ret, a->p, sizeof *ret);
        return 0;
}

int netlink_attr_str(const struct netlink_attr *a, const char **ret)
{
        if (a->n == 0 || memchr(a->p, 0, a->n) != (const char *)a->p + a->n - 1)
                return -EBADMSG;
        *ret = a->p;
        return 0;
}

/* ---- talking ---- */

int netlink_open(void)
{
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

        return fd < 0 ? -errno : fd;
}

int netlink_open_in(int netns)
{
        AUTO_FD int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        AUTO_FD int fd = -1;

        if (home < 0 || setns(netns, CLONE_NEWNET) < 0)
                return -errno;
        fd = netlink_open();
        /* Whoever could enter may return; if not, going on in the wrong place would be worse. */
        if (setns(home, CLONE_NEWNET) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static int send_req(int sock, struct netlink_req *r)
{
        struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
        ssize_t n;

        if (r->overflow)
                return -EMSGSIZE;
        do
                n = sendto(sock, r->b, r->len, 0, (struct sockaddr *)&kernel, sizeof kernel);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : 0;
}

/* Receives one datagram of the kernel's; others may send to this socket as well. */
static ssize_t recv_answer(int sock, void *buf, size_t cap)
{
        for (;;) {
                struct sockaddr_nl from = { 0 };
                socklen_t len = sizeof from;
                ssize_t n = recvfrom(sock, buf, cap, MSG_TRUNC, (struct sockaddr *)&from, &len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (len != sizeof from || from.nl_pid != 0)
                        continue;
                return (size_t)n > cap ? -EBADMSG : n;
        }
}

struct talk {
        uint32_t seq;
        int (*each)(const struct netlink_msg *m, void *arg);
        void *arg;
        int result;   /* what each said first */
        bool changed; /* the kernel: this dump is not of one moment */
};

/* What one message means: 1 the end, 0 go on, -errno the kernel's refusal. */
static int take(struct talk *t, const struct netlink_msg *m)
{
        int error;

        if (m->seq != t->seq)
                return 0;
        if (m->flags & NLM_F_DUMP_INTR)
                t->changed = true;
        switch (m->type) {
        case NLMSG_NOOP:
                return 0;
        case NLMSG_DONE:
        case NLMSG_ERROR: /* an error of 0 is the acknowledgement */
                if (m->n < sizeof error)
                        return m->type == NLMSG_DONE ? 1 : -EBADMSG;
                memcpy(&error, m->body, sizeof error);
                return error < 0 ? error : 1;
        default:
                if (t->each && !t->result)
                        t->result = t->each(m, t->arg);
                return 0;
        }
}

static int talk_once(int sock, struct netlink_req *r, struct talk *t)
{
        _Alignas(8) char buf[NETLINK_RECV_MAX];
        int end;

        end = send_req(sock, r);
        while (end == 0) {
                ssize_t n = recv_answer(sock, buf, sizeof buf);
                struct netlink_msg m;
                size_t at = 0;

                if (n < 0)
                        return (int)n;
                while (end == 0) {
                        int more = netlink_next(buf, (size_t)n, &at, &m);

                        if (more <= 0) {
                                end = more;
                                break;
                        }
                        end = take(t, &m);
                }
        }
        return end < 0 ? end : t->result;
}

static uint32_t new_seq(void)
{
        struct timespec now;

        /* Any number that the answers to the last request don't carry. */
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint32_t)now.tv_nsec | 1;
}

int netlink_talk(int sock, struct netlink_req *r,
                 int (*each)(const struct netlink_msg *m, void *arg), void *arg)
{
        struct talk t = { .each = each, .arg = arg };
        int result;

        t.seq = new_seq();
        header(r)->nlmsg_seq = t.seq;
        header(r)->nlmsg_len = (uint32_t)r->len;
        result = talk_once(sock, r, &t);
        return result >= 0 && t.changed ? -EAGAIN : result;
}
