/* rtnetlink(7): encoding requests, parsing answers. No sockets here except in netlink_talk().
 *
 * Requests are built into a struct netlink_req of the caller's and sent one at a time. Answers are
 * walked in place: a reader never looks beyond the bytes received, whatever lengths they claim. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nlmsghdr;

/* The largest request and the receive buffer; the kernel sizes dump messages to the latter. */
#define NETLINK_REQ_MAX 512
#define NETLINK_RECV_MAX 8192

struct netlink_req {
        _Alignas(8) char b[NETLINK_REQ_MAX];
        size_t len;
        bool overflow; /* something did not fit; netlink_talk() refuses then */
};

/* Starts a request of that type; flags are NLM_F_*, NLM_F_REQUEST being added. body is the family
 * header (struct ifinfomsg ...). */
void netlink_req_init(struct netlink_req *r, uint16_t type, uint16_t flags, const void *body,
                      size_t n);
void netlink_put(struct netlink_req *r, uint16_t attr, const void *p, size_t n);
void netlink_put_u32(struct netlink_req *r, uint16_t attr, uint32_t v);
void netlink_put_str(struct netlink_req *r, uint16_t attr, const char *s); /* with its NUL */
/* Bytes without an attribute header: a family header inside a nest (VETH_INFO_PEER). */
void netlink_put_raw(struct netlink_req *r, const void *p, size_t n);
/* Opens a nested attribute; what follows is inside until netlink_nest_end(mark). */
size_t netlink_nest(struct netlink_req *r, uint16_t attr);
void netlink_nest_end(struct netlink_req *r, size_t mark);

/* One message of an answer. */
struct netlink_msg {
        uint16_t type, flags;
        uint32_t seq;
        const void *body; /* after the nlmsghdr; not aligned beyond 4 */
        size_t n;
};
/* Takes the next message of buf[n] from *at on. Returns 1, 0 at the end, -EBADMSG. */
int netlink_next(const void *buf, size_t n, size_t *at, struct netlink_msg *ret);

struct netlink_attr {
        uint16_t type; /* without NLA_F_NESTED and NLA_F_NET_BYTEORDER */
        const void *p;
        size_t n;
};
/* Takes the next attribute of p[n] from *at on (start at the family header's aligned size). Returns
 * 1, 0 at the end, -EBADMSG. */
int netlink_attr_next(const void *p, size_t n, size_t *at, struct netlink_attr *ret);
/* The attribute's value as a number or as text; 0 or -EBADMSG. Text must end with its only NUL. */
int netlink_attr_u32(const struct netlink_attr *a, uint32_t *ret);
int netlink_attr_str(const struct netlink_attr *a, const char **ret);

/* A NETLINK_ROUTE socket in the calling thread's network namespace: a descriptor or -errno. */
int netlink_open(void);
/* The same in the namespace netns, entered and left again by the calling thread. -EPERM without
 * CAP_SYS_ADMIN over both. Only for single-threaded processes. */
int netlink_open_in(int netns);

/* Sends r and waits for its end, calling each (may be NULL) for every message of the answer; the
 * first nonzero return of each is kept and returned, what follows being read away. Use NLM_F_ACK,
 * or NLM_F_DUMP. 0, or the kernel's -errno, -EMSGSIZE for an overflown request, -EBADMSG for an
 * answer that is none, -EAGAIN when what was dumped changed meanwhile: each has seen parts of two
 * states. */
int netlink_talk(int sock, struct netlink_req *r,
                 int (*each)(const struct netlink_msg *m, void *arg), void *arg);
