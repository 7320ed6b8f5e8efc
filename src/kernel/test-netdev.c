/* Network devices between two real network namespaces, inside a user namespace: needs no
 * privileges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/str.h"
#include "kernel/netdev.h"
#include "kernel/netlink.h"
#include "kernel/test-child.h"

/* Two namespaces with a socket in each; the process is in the first. */
static int here, there, netns;

static void two_namespaces(void)
{
        int home;

        child_namespaces(CLONE_NEWNET);
        home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        CHECK(home >= 0);
        CHECK_EQ(unshare(CLONE_NEWNET), 0);
        netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        CHECK(netns >= 0);
        CHECK_EQ(setns(home, CLONE_NEWNET), 0);
        here = netlink_open();
        there = netlink_open_in(netns);
        CHECK(here >= 0 && there >= 0);
}

static void veth(int sock, const char *name, const char *peer)
{
        struct ifinfomsg i = { 0 };
        struct netlink_req r;
        size_t info, data, other;
        int rc;

        netlink_req_init(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &i, sizeof i);
        netlink_put_str(&r, IFLA_IFNAME, name);
        info = netlink_nest(&r, IFLA_LINKINFO);
        netlink_put_str(&r, IFLA_INFO_KIND, "veth");
        data = netlink_nest(&r, IFLA_INFO_DATA);
        other = netlink_nest(&r, VETH_INFO_PEER);
        netlink_put_raw(&r, &i, sizeof i);
        netlink_put_str(&r, IFLA_IFNAME, peer);
        netlink_nest_end(&r, other);
        netlink_nest_end(&r, data);
        netlink_nest_end(&r, info);
        rc = netlink_talk(sock, &r, NULL, NULL);
        if (rc == -EOPNOTSUPP)
                child_skip("no veth devices in this kernel");
        CHECK_EQ(rc, 0);
}

struct link {
        const char *name;
        int index;
        unsigned flags;
};

static int take_link(const struct netlink_msg *m, void *arg)
{
        struct link *want = arg;
        struct netlink_attr a;
        struct ifinfomsg i;
        size_t at = sizeof i;
        const char *name;

        memcpy(&i, m->body, sizeof i);
        while (netlink_attr_next(m->body, m->n, &at, &a) == 1)
                if (a.type == IFLA_IFNAME && netlink_attr_str(&a, &name) == 0 &&
                    str_eq(name, want->name)) {
                        want->index = i.ifi_index;
                        want->flags = i.ifi_flags;
                }
        return 0;
}

/* By a dump, other than the code under test does it; index 0: no such device. */
static struct link link_of(int sock, const char *name)
{
        struct ifinfomsg i = { 0 };
        struct link l = { .name = name };
        struct netlink_req r;

        netlink_req_init(&r, RTM_GETLINK, NLM_F_DUMP, &i, sizeof i);
        CHECK_EQ(netlink_talk(sock, &r, take_link, &l), 0);
        return l;
}

/* text is "local[/peer]", or v6; valid 0 means for ever. */
static int addr(int sock, int index, const char *local, const char *peer, unsigned prefix,
                unsigned scope, uint32_t flags, uint32_t valid)
{
        int family = strchr(local, ':') ? AF_INET6 : AF_INET;
        size_t n = family == AF_INET ? 4 : 16;
        struct ifaddrmsg h = { (uint8_t)family, (uint8_t)prefix, 0, (uint8_t)scope,
                               (uint32_t)index };
        struct netlink_req r;
        char bytes[16];

        netlink_req_init(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &h, sizeof h);
        CHECK_EQ(inet_pton(family, local, bytes), 1);
        netlink_put(&r, IFA_LOCAL, bytes, n);
        if (peer)
                CHECK_EQ(inet_pton(family, peer, bytes), 1);
        netlink_put(&r, IFA_ADDRESS, bytes, n);
        netlink_put_u32(&r, IFA_FLAGS, flags);
        if (valid) {
                struct ifa_cacheinfo life = { .ifa_prefered = valid, .ifa_valid = valid };

                netlink_put(&r, IFA_CACHEINFO, &life, sizeof life);
        }
        return netlink_talk(sock, &r, NULL, NULL);
}

struct addr_list {
        int index;
        char text[512];
};

static int take_addr_text(const struct netlink_msg *m, void *arg)
{
        struct addr_list *l = arg;
        struct netlink_attr a;
        struct ifaddrmsg h;
        size_t at = sizeof h, len = strlen(l->text);
        char local[64] = "", address[64] = "";
        uint32_t flags = 0;

        memcpy(&h, m->body, sizeof h);
        if ((int)h.ifa_index != l->index)
                return 0;
        while (netlink_attr_next(m->body, m->n, &at, &a) == 1) {
                if (a.type == IFA_LOCAL)
                        inet_ntop(h.ifa_family, a.p, local, sizeof local);
                if (a.type == IFA_ADDRESS)
                        inet_ntop(h.ifa_family, a.p, address, sizeof address);
                if (a.type == IFA_FLAGS)
                        netlink_attr_u32(&a, &flags);
        }
        if (h.ifa_scope == RT_SCOPE_LINK && h.ifa_family == AF_INET6)
                return 0; /* the kernel's own, for a device that is up */
        if (!*local || str_eq(local, address))
                snprintf(l->text + len, sizeof l->text - len, "%s/%u", address, h.ifa_prefixlen);
        else
                snprintf(l->text + len, sizeof l->text - len, "%s peer %s/%u", local, address,
                         h.ifa_prefixlen);
        len = strlen(l->text);
        snprintf(l->text + len, sizeof l->text - len, "%s ",
                 flags & IFA_F_NOPREFIXROUTE ? "!" : "");
        return 0;
}

static void addrs_are(int sock, int index, const char *want)
{
        struct ifaddrmsg h = { .ifa_family = AF_UNSPEC };
        struct addr_list l = { .index = index };
        struct netlink_req r;

        netlink_req_init(&r, RTM_GETADDR, NLM_F_DUMP, &h, sizeof h);
        CHECK_EQ(netlink_talk(sock, &r, take_addr_text, &l), 0);
        if (!str_eq(l.text, want)) {
                fprintf(stderr, "addresses are: %s\n", l.text);
                CHECK(!"the addresses as expected");
        }
}

static void child_loopback(void)
{
        child_namespaces(CLONE_NEWNET);
        here = netlink_open();
        CHECK(!(link_of(here, "lo").flags & IFF_UP));
        CHECK_EQ(netdev_loopback_up(), 0);
        CHECK(link_of(here, "lo").flags & IFF_UP);
        CHECK(link_of(here, "lo").flags & IFF_LOOPBACK);
        CHECK_EQ(netdev_loopback_up(), 0);
}

static void child_move(void)
{
        const unsigned global = RT_SCOPE_UNIVERSE, local = RT_SCOPE_LINK;
        enum netdev_step step;
        bool v6 = access("/proc/sys/net/ipv6", F_OK) == 0;
        struct link l;

        two_namespaces();
        veth(here, "va", "vb");
        l = link_of(here, "va");
        CHECK_EQ(addr(here, l.index, "10.1.2.3", NULL, 24, global, 0, 0), 0);
        CHECK_EQ(addr(here, l.index, "10.1.2.4", "10.9.9.9", 32, global, 0, 0), 0);
        CHECK_EQ(addr(here, l.index, "10.1.3.5", NULL, 24, global, IFA_F_NOPREFIXROUTE, 0), 0);
        CHECK_EQ(addr(here, l.index, "169.254.1.1", NULL, 16, local, 0, 0), 0);
        CHECK_EQ(addr(here, l.index, "10.1.4.1", NULL, 24, global, 0, 3600), 0);
        if (v6) {
                CHECK_EQ(addr(here, l.index, "2001:db8::5", NULL, 64, global, IFA_F_NODAD, 0), 0);
                CHECK_EQ(addr(here, l.index, "2001:db8::6", NULL, 64, global, 0, 3600), 0);
        }

        CHECK_EQ(netdev_move(here, there, netns, "va", "eth0", &step), 0);
        CHECK_EQ(link_of(here, "va").index, 0);
        CHECK_EQ(link_of(there, "va").index, 0);
        l = link_of(there, "eth0");
        CHECK(l.index > 0);
        CHECK(l.flags & IFF_UP);
        addrs_are(there, l.index,
                  v6 ? "10.1.2.3/24 10.1.2.4 peer 10.9.9.9/32 10.1.3.5/24! 2001:db8::5/64 "
                     : "10.1.2.3/24 10.1.2.4 peer 10.9.9.9/32 10.1.3.5/24! ");

        /* It keeps its name where none is given. */
        CHECK_EQ(netdev_move(here, there, netns, "vb", NULL, &step), 0);
        CHECK(link_of(there, "vb").flags & IFF_UP);
}

static void child_names(void)
{
        enum netdev_step step = NETDEV_STEP_MAX;

        two_namespaces();
        veth(there, "eth0", "eth2");
        veth(here, "va", "vb"); /* with the indices that the others have there */
        CHECK_EQ(link_of(here, "va").index, link_of(there, "eth2").index + 1);

        CHECK_EQ(netdev_move(here, there, netns, "nosuch", NULL, &step), -ENODEV);
        CHECK_EQ(step, NETDEV_FIND);
        CHECK_EQ(netdev_move(here, there, netns, "va", "eth0", &step), -EEXIST);
        CHECK_EQ(step, NETDEV_MOVE);
        CHECK(link_of(here, "va").index > 0); /* nothing has happened to it */
        CHECK_EQ(netdev_move(here, there, netns, "lo", "lo2", &step), -EINVAL);
        CHECK_EQ(step, NETDEV_MOVE);

        CHECK_EQ(netdev_move(here, there, netns, "va", "eth%d", &step), 0);
        CHECK(link_of(there, "eth1").flags & IFF_UP);
        CHECK_EQ(netdev_move(here, there, netns, "vb", "eth%d", &step), 0);
        CHECK(link_of(there, "eth3").flags & IFF_UP);
        CHECK(link_of(there, "eth1").index != link_of(there, "eth3").index);
}

static void child_index_taken(void)
{
        enum netdev_step step;
        struct link a, b;

        two_namespaces();
        veth(here, "va", "vb");
        veth(there, "wa", "wb");
        a = link_of(here, "va");
        b = link_of(there, "wa");
        if (a.index != b.index && a.index != link_of(there, "wb").index)
                child_skip("the kernel numbers devices over all namespaces");
        CHECK_EQ(netdev_move(here, there, netns, "va", "eth0", &step), 0);
        CHECK(link_of(there, "eth0").index > b.index);
        CHECK_EQ(link_of(there, "wa").index, b.index);
}

/* A namespace that is ours and a device that isn't: what a rootless user would run into. */
static void child_foreign(void)
{
        enum netdev_step step;
        int home = netlink_open();

        two_namespaces();
        CHECK_EQ(netdev_move(home, there, netns, "lo", "x", &step), -EPERM);
        CHECK_EQ(step, NETDEV_MOVE);
}

#define CHILD_TEST(name)                                                                           \
        static void test_##name(void **state)                                                      \
        {                                                                                          \
                IN_CHILD(child_##name);                                                            \
        }
CHILD_TEST(loopback)
CHILD_TEST(move)
CHILD_TEST(names)
CHILD_TEST(index_taken)
CHILD_TEST(foreign)

static void test_valid_names(void **state)
{
        static const struct {
                const char *name;
                bool plain, pattern;
        } cases[] = {
                { "eth0", true, true },
                { "a", true, true },
                { "abcdefghijklmno", true, true },
                { "abcdefghijklmnop", false, false },
                { "", false, false },
                { ".", false, false },
                { "..", false, false },
                { "a/b", false, false },
                { "a:1", false, false },
                { "a b", false, false },
                { "eth%d", false, true },
                { "%d", false, true },
                { "e%d%d", false, false },
                { "eth%s", false, false },
                { "eth%", false, false },
                { "e%%d", false, false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                assert_int_equal(netdev_name_ok(cases[i].name, false), cases[i].plain);
                assert_int_equal(netdev_name_ok(cases[i].name, true), cases[i].pattern);
        }
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_valid_names), cmocka_unit_test(test_loopback),
                cmocka_unit_test(test_move),        cmocka_unit_test(test_names),
                cmocka_unit_test(test_index_taken), cmocka_unit_test(test_foreign),
        };

        return cmocka_run_group_tests_name("netdev", tests, NULL, NULL);
}
