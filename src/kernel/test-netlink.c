/* rtnetlink messages, made and taken apart, without a kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "base/macro.h"
#include "kernel/netlink.h"

static void test_made_and_read_back(void **state)
{
        struct ifinfomsg body = { .ifi_index = 7 };
        struct netlink_req r;
        struct netlink_msg m;
        struct netlink_attr a, inner;
        size_t at = 0, ap = sizeof body, ip = 0, nest;
        const char *name;
        uint32_t v;

        netlink_req_init(&r, RTM_NEWLINK, NLM_F_ACK, &body, sizeof body);
        netlink_put_str(&r, IFLA_IFNAME, "eth0");
        nest = netlink_nest(&r, IFLA_LINKINFO);
        netlink_put_u32(&r, 1, 42);
        netlink_put(&r, 2, "abc", 3);
        netlink_nest_end(&r, nest);
        netlink_put_u32(&r, IFLA_MTU, 1500);
        assert_false(r.overflow);
        assert_int_equal(r.len % 4, 0);
        ((struct nlmsghdr *)r.b)->nlmsg_len = (uint32_t)r.len;

        assert_int_equal(netlink_next(r.b, r.len, &at, &m), 1);
        assert_int_equal(m.type, RTM_NEWLINK);
        assert_int_equal(m.flags, NLM_F_REQUEST | NLM_F_ACK);
        assert_memory_equal(m.body, &body, sizeof body);
        assert_int_equal(netlink_attr_next(m.body, m.n, &ap, &a), 1);
        assert_int_equal(a.type, IFLA_IFNAME);
        assert_int_equal(netlink_attr_str(&a, &name), 0);
        assert_string_equal(name, "eth0");
        assert_int_equal(netlink_attr_u32(&a, &v), -EBADMSG);
        assert_int_equal(netlink_attr_next(m.body, m.n, &ap, &a), 1);
        assert_int_equal(a.type, IFLA_LINKINFO); /* without the nested flag */
        assert_int_equal(netlink_attr_next(a.p, a.n, &ip, &inner), 1);
        assert_int_equal(netlink_attr_u32(&inner, &v), 0);
        assert_int_equal(v, 42);
        assert_int_equal(netlink_attr_next(a.p, a.n, &ip, &inner), 1);
        assert_int_equal(inner.n, 3);
        assert_int_equal(netlink_attr_str(&inner, &name), -EBADMSG); /* no NUL */
        assert_int_equal(netlink_attr_next(a.p, a.n, &ip, &inner), 0);
        assert_int_equal(netlink_attr_next(m.body, m.n, &ap, &a), 1);
        assert_int_equal(a.type, IFLA_MTU);
        assert_int_equal(netlink_attr_next(m.body, m.n, &ap, &a), 0);
        assert_int_equal(netlink_next(r.b, r.len, &at, &m), 0);
}

static void test_lengths_that_lie(void **state)
{
        static const uint32_t lengths[] = { 0, 1, 15, 33, 1u << 31, UINT32_MAX };
        static const uint16_t attrs[] = { 0, 1, 3, 17, UINT16_MAX };
        _Alignas(8) char buf[32] = { 0 };
        struct netlink_msg m;
        struct netlink_attr a;
        size_t at;

        for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
                memcpy(buf, &lengths[i], 4);
                at = 0;
                assert_int_equal(netlink_next(buf, sizeof buf, &at, &m), -EBADMSG);
        }
        at = 0;
        assert_int_equal(netlink_next(buf, 15, &at, &m), -EBADMSG);
        for (size_t i = 0; i < ARRAY_SIZE(attrs); i++) {
                memcpy(buf, &attrs[i], 2);
                at = 0;
                assert_int_equal(netlink_attr_next(buf, 16, &at, &a), -EBADMSG);
        }
        at = 0;
        assert_int_equal(netlink_attr_next(buf, 3, &at, &a), -EBADMSG);
        at = 100; /* beyond the end, as alignment of the last one may put it */
        assert_int_equal(netlink_attr_next(buf, 16, &at, &a), 0);
}

static void test_overflow_is_kept(void **state)
{
        char big[NETLINK_REQ_MAX] = { 0 };
        struct rtgenmsg body = { 0 };
        struct netlink_req r;
        size_t nest;

        netlink_req_init(&r, RTM_GETLINK, 0, &body, sizeof body);
        nest = netlink_nest(&r, 1);
        netlink_put(&r, 1, big, sizeof big);
        assert_true(r.overflow);
        netlink_put_u32(&r, 1, 1); /* would fit: but the message has a hole now */
        netlink_nest_end(&r, nest);
        assert_int_equal(netlink_talk(-1, &r, NULL, NULL), -EMSGSIZE);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_made_and_read_back),
                cmocka_unit_test(test_lengths_that_lie),
                cmocka_unit_test(test_overflow_is_kept),
        };

        return cmocka_run_group_tests_name("netlink", tests, NULL, NULL);
}
