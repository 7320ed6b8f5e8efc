#include "kernel/netdev.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/str.h"
#include "kernel/netlink.h"

const char *const netdev_step_names[] = {
        [NETDEV_FIND] = "find", [NETDEV_READ] = "read the addresses of",
        [NETDEV_MOVE] = "move", [NETDEV_ADDRESSES] = "put back the addresses of",
        [NETDEV_UP] = "set up",
};
static_assert(ARRAY_SIZE(netdev_step_names) == NETDEV_STEP_MAX, "a name for each step");

int netdev_loopback_up(void)
{
        /* 95 us, most of them the kernel's, where a netlink message takes 120. It keeps
         * IFF_LOOPBACK and its like by itself, so that the old flags need not be asked for. */
        AUTO_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };

        if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
                return -errno;
        return 0;
}

bool netdev_name_ok(const char *name, bool pattern)
{
        size_t n = strlen(name);
        const char *percent = strchr(name, '%');

        if (n == 0 || n >= IFNAMSIZ || str_eq(name, ".") || str_eq(name, ".."))
                return false;
        for (size_t i = 0; i < n; i++)
                if (strchr("/: \t\n\v\f\r", name[i]))
                        return false;
        if (!percent)
                return true;
        return pattern && percent[1] == 'd' && !strchr(percent + 1, '%');
}

/* ---- links ---- */

static int take_index(const struct netlink_msg *m, void *arg)
{
        struct ifinfomsg i;

        if (m->type != RTM_NEWLINK || m->n < sizeof i)
                return -EBADMSG;
        memcpy(&i, m->body, sizeof i);
        *(int *)arg = i.ifi_index;
        return 0;
}

/* The index of the device of that name, or that index if name is NULL; -ENODEV. */
static int link_find(int sock, const char *name, int index)
{
        struct ifinfomsg i = { .ifi_index = index };
        struct netlink_req r;
        int found = 0, rc;

        netlink_req_init(&r, RTM_GETLINK, NLM_F_ACK, &i, sizeof i);
        if (name)
                netlink_put_str(&r, IFLA_IFNAME, name);
        rc = netlink_talk(sock, &r, take_index, &found);
        if (rc < 0)
                return rc;
        return found > 0 ? found : -EBADMSG;
}

static int link_up(int sock, int index)
{
        struct ifinfomsg i = { .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
        struct netlink_req r;

        netlink_req_init(&r, RTM_NEWLINK, NLM_F_ACK, &i, sizeof i);
        return netlink_talk(sock, &r, NULL, NULL);
}

/* An index that is free in sock's namespace, index itself if possible: told to the kernel
 * beforehand, it need not be searched for afterwards, when the name may be anything. */
static int index_free(int sock, int index)
{
        for (int tries = 0; tries < 4096; tries++, index++) {
                int r = link_find(sock, NULL, index);

                if (r < 0)
                        return r == -ENODEV ? index : r;
        }
        return -EBUSY;
}

static int link_move(int here, int there, int netns, int index, const char *name)
{
        struct ifinfomsg i = { .ifi_index = index };
        struct netlink_req r;
        int new_index, rc;

        /* The kernel moves first and renames then: a taken name would leave the device in
         * between. */
        if (!strchr(name, '%')) {
                rc = link_find(there, name, 0);
                if (rc != -ENODEV)
                        return rc < 0 ? rc : -EEXIST;
        }
        new_index = index_free(there, index);
        if (new_index < 0)
                return new_index;
        netlink_req_init(&r, RTM_NEWLINK, NLM_F_ACK, &i, sizeof i);
        netlink_put_u32(&r, IFLA_NET_NS_FD, (uint32_t)netns);
        netlink_put_u32(&r, IFLA_NEW_IFINDEX, (uint32_t)new_index);
        netlink_put_str(&r, IFLA_IFNAME, name);
        rc = netlink_talk(here, &r, NULL, NULL);
        return rc < 0 ? rc : new_index;
}

/* ---- addresses ---- */

#define ADDRS_MAX 256
#define ADDR_PERMANENT_FLAGS /* what an administrator sets; the others are the kernel's own */     \
        (IFA_F_NODAD | IFA_F_OPTIMISTIC | IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR |               \
         IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN)

struct bytes {
        unsigned char n, b[16];
};
struct addr {
        unsigned char family, prefix;
        uint32_t flags, metric;
        struct bytes local, address, broadcast;
};
struct addrs {
        int index;
        unsigned n;
        struct addr v[ADDRS_MAX];
};

static int take_bytes(const struct netlink_attr *a, struct bytes *ret)
{
        if (a->n > sizeof ret->b)
                return -EBADMSG;
        ret->n = (unsigned char)a->n;
        memcpy(ret->b, a->p, a->n);
        return 0;
}

static int take_addr_attr(const struct netlink_attr *a, struct addr *ret)
{
        switch (a->type) {
        case IFA_LOCAL:
                return take_bytes(a, &ret->local);
        case IFA_ADDRESS:
                return take_bytes(a, &ret->address);
        case IFA_BROADCAST:
                return take_bytes(a, &ret->broadcast);
        case IFA_FLAGS:
                return netlink_attr_u32(a, &ret->flags);
        case IFA_RT_PRIORITY:
                return netlink_attr_u32(a, &ret->metric);
        default:
                return 0;
        }
}

static int take_addr(const struct netlink_msg *m, void *arg)
{
        struct addrs *all = arg;
        struct netlink_attr a;
        struct ifaddrmsg h;
        struct addr new = { 0 };
        size_t at = sizeof h;
        int r;

        if (m->type != RTM_NEWADDR || m->n < sizeof h)
                return -EBADMSG;
        memcpy(&h, m->body, sizeof h);
        if ((int)h.ifa_index != all->index || h.ifa_scope != RT_SCOPE_UNIVERSE)
                return 0;
        new.family = h.ifa_family;
        new.prefix = h.ifa_prefixlen;
        new.flags = h.ifa_flags;
        while ((r = netlink_attr_next(m->body, m->n, &at, &a)) > 0) {
                r = take_addr_attr(&a, &new);
                if (r < 0)
                        return r;
        }
        if (r < 0 || !(new.flags &IFA_F_PERMANENT))
                return r;
        if (all->n == ADDRS_MAX)
                return -E2BIG;
        all->v[all->n++] = new;
        return 0;
}

static int addrs_read(int sock, struct addrs *ret)
{
        struct ifaddrmsg h = { .ifa_family = AF_UNSPEC };
        struct netlink_req r;
        int rc = -EAGAIN;

        for (int tries = 0; rc == -EAGAIN && tries < 4; tries++) {
                ret->n = 0;
                netlink_req_init(&r, RTM_GETADDR, NLM_F_DUMP, &h, sizeof h);
                rc = netlink_talk(sock, &r, take_addr, ret);
        }
        return rc;
}

static int addr_add(int sock, int index, const struct addr *a)
{
        struct ifaddrmsg h = { .ifa_family = a->family,
                               .ifa_prefixlen = a->prefix,
                               .ifa_scope = RT_SCOPE_UNIVERSE,
                               .ifa_index = (unsigned)index };
        struct netlink_req r;

        netlink_req_init(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &h, sizeof h);
        if (a->local.n)
                netlink_put(&r, IFA_LOCAL, a->local.b, a->local.n);
        if (a->address.n)
                netlink_put(&r, IFA_ADDRESS, a->address.b, a->address.n);
        if (a->broadcast.n)
                netlink_put(&r, IFA_BROADCAST, a->broadcast.b, a->broadcast.n);
        if (a->metric)
                netlink_put_u32(&r, IFA_RT_PRIORITY, a->metric);
        netlink_put_u32(&r, IFA_FLAGS, a->flags & ADDR_PERMANENT_FLAGS);
        return netlink_talk(sock, &r, NULL, NULL);
}

static int addrs_add(int sock, int index, const struct addrs *all)
{
        for (unsigned i = 0; i < all->n; i++) {
                int r = addr_add(sock, index, &all->v[i]);

                if (r < 0)
                        return r;
        }
        return 0;
}

int netdev_move(int here, int there, int netns, const char *host_name, const char *name,
                enum netdev_step *ret_step)
{
        struct addrs all = { .n = 0 };
        int index, r;

        *ret_step = NETDEV_FIND;
        index = link_find(here, host_name, 0);
        if (index < 0)
                return index;

        /* Before the move, which takes the device down and the addresses from it. */
        *ret_step = NETDEV_READ;
        all.index = index;
        r = addrs_read(here, &all);
        if (r < 0)
                return r;

        *ret_step = NETDEV_MOVE;
        index = link_move(here, there, netns, index, name ? name : host_name);
        if (index < 0)
                return index;

        *ret_step = NETDEV_ADDRESSES;
        r = addrs_add(there, index, &all);
        if (r < 0)
                return r;

        *ret_step = NETDEV_UP;
        return link_up(there, index);
}
