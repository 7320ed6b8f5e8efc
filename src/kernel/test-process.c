/* Lists of numbers, scheduling, limits, execution domain, keyrings: set in a child, read back from
 * the kernel by another way than they were set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/keyctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "base/macro.h"
#include "kernel/process.h"
#include "kernel/sched.h"
#include "kernel/test-child.h"

static void test_bitlist(void **state)
{
        static const struct {
                const char *text;
                int result;
                unsigned n, count;
        } cases[] = {
                { "", 0, 0, 0 },
                { "0", 0, 1, 1 },
                { "0-3,7", 0, 8, 5 },
                { "7,0-3", 0, 8, 5 },
                { " 1 , 2 ,", 0, 3, 2 },
                { ",,5", 0, 6, 1 },
                { "1-1", 0, 2, 1 },
                { "8191", 0, 8192, 1 },
                { "0-8191", 0, 8192, 8192 },
                { "3-3\n", 0, 4, 1 },
                { "8192", -ERANGE },
                { "0-8192", -ERANGE },
                { "3-1", -EINVAL },
                { "-1", -EINVAL },
                { "1-", -EINVAL },
                { "1-2-3", -EINVAL },
                { "a", -EINVAL },
                { "0x1", -EINVAL },
                { "1 2", -EINVAL },
                { "+1", -EINVAL },
                { ",", -EINVAL },
                { " ", -EINVAL },
                { "99999999999999999999", -ERANGE },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct bitlist b = { .n = 77 };
                unsigned count = 0;

                assert_int_equal(bitlist_parse(cases[i].text, &b), cases[i].result);
                assert_int_equal(b.n, cases[i].result ? 77 : cases[i].n);
                if (cases[i].result)
                        continue;
                for (unsigned k = 0; k < BITLIST_MAX; k++)
                        count += bitlist_has(&b, k);
                assert_int_equal(count, cases[i].count);
        }
}

static void test_tables(void **state)
{
        assert_int_equal(str_flag_find(sched_policies, "SCHED_DEADLINE")->value, 6);
        assert_int_equal(str_flag_find(sched_flags, "SCHED_FLAG_UTIL_CLAMP_MAX")->value, 0x40);
        assert_int_equal(str_flag_find(sched_io_classes, "IOPRIO_CLASS_IDLE")->value, 3);
        assert_int_equal(str_flag_find(sched_mem_modes, "MPOL_WEIGHTED_INTERLEAVE")->value, 6);
        assert_int_equal(str_flag_find(sched_mem_flags, "MPOL_F_STATIC_NODES")->value, 1 << 15);
        assert_int_equal(str_flag_find(process_rlimits, "RLIMIT_RTTIME")->value, RLIMIT_RTTIME);
        assert_null(str_flag_find(sched_policies, "sched_other"));
}

static unsigned long affinity(void)
{
        unsigned long bits[BITLIST_MAX / BITLIST_WORD] = { 0 };

        CHECK(syscall(SYS_sched_getaffinity, 0, sizeof bits, bits) > 0);
        return bits[0];
}

static void child_affinity(void)
{
        unsigned long all = affinity();
        struct bitlist one = { 0 };

        bitlist_add(&one, (unsigned)__builtin_ctzl(all));
        CHECK_EQ(sched_affinity_set(0, &one), 0);
        CHECK_EQ(affinity(), all & -all);
        CHECK_EQ(sched_affinity_reset(0), 0);
        CHECK_EQ(affinity(), all);
        one = (struct bitlist){ 0 };
        bitlist_add(&one, BITLIST_MAX - 1);
        CHECK_EQ(sched_affinity_set(0, &one), -EINVAL);
        CHECK_EQ(affinity(), all);
}

static void child_policy(void)
{
        struct sched_attrs a = { .policy = 3 /* BATCH */, .nice = 7, .flags = 1 };
        struct sched_attrs iso = { .policy = 4 };
        struct sched_attrs bad = { .policy = 1 /* FIFO */, .priority = 100 };

        CHECK_EQ(sched_apply(0, &a), 0);
        CHECK_EQ(sched_getscheduler(0), 3 | SCHED_RESET_ON_FORK);
        CHECK_EQ(getpriority(PRIO_PROCESS, 0), 7);
        CHECK_EQ(sched_apply(0, &iso), -EINVAL);
        CHECK_EQ(sched_apply(0, &bad), -EINVAL);
}

static void child_realtime(void)
{
        struct sched_attrs rr = { .policy = 2, .priority = 5 };
        struct sched_attrs deadline = {
                .policy = 6, .runtime = 1000000, .deadline = 10000000, .period = 10000000
        };
        struct sched_param p;

        if (getuid() != 0)
                child_skip("real time policies take CAP_SYS_NICE");
        CHECK_EQ(sched_apply(0, &rr), 0);
        CHECK_EQ(sched_getscheduler(0), SCHED_RR);
        CHECK_EQ(sched_getparam(0, &p), 0);
        CHECK_EQ(p.sched_priority, 5);
        CHECK_EQ(sched_apply(0, &deadline), 0);
        CHECK_EQ(sched_getscheduler(0), 6);
}

static void child_io(void)
{
        CHECK_EQ(sched_io_apply(0, 2, 6), 0);
        CHECK_EQ(syscall(SYS_ioprio_get, 1, 0), 2 << 13 | 6);
        CHECK_EQ(sched_io_apply(0, 3, 0), 0);
        CHECK_EQ(syscall(SYS_ioprio_get, 1, 0), 3 << 13);
        CHECK_EQ(sched_io_apply(0, 2, 8), -EINVAL);
        CHECK_EQ(sched_io_apply(0, 5, 0), -EINVAL);
}

static void child_memory(void)
{
        const unsigned bind = 2, interleave = 3, local = 4, statics = 1 << 15;
        struct bitlist none = { 0 }, zero = { 0 }, far = { 0 };
        unsigned long mask[BITLIST_MAX / BITLIST_WORD] = { 0 };
        int mode = -1;

        bitlist_add(&zero, 0);
        bitlist_add(&far, 1023);
        CHECK_EQ(sched_mem_apply(bind, statics, &zero), 0);
        CHECK_EQ(syscall(SYS_get_mempolicy, &mode, mask, BITLIST_MAX, NULL, 0), 0);
        CHECK_EQ(mode, bind | statics);
        CHECK_EQ(mask[0], 1);
        CHECK_EQ(sched_mem_apply(interleave, 0, &none), -EINVAL);
        CHECK_EQ(sched_mem_apply(bind, 0, &far), -EINVAL);
        CHECK_EQ(sched_mem_apply(local, 0, &none), 0);
        CHECK_EQ(syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0), 0);
        CHECK_EQ(mode, local);
        CHECK_EQ(sched_mem_apply(0, 0, &none), 0);
}

static void child_rlimit(void)
{
        uint64_t soft, hard;

        CHECK_EQ(process_rlimit_set(0, RLIMIT_NOFILE, 64, 128), 0);
        CHECK_EQ(process_rlimit_get(0, RLIMIT_NOFILE, &soft, &hard), 0);
        CHECK_EQ(soft, 64);
        CHECK_EQ(hard, 128);
        CHECK_EQ(process_rlimit_set(0, RLIMIT_NOFILE, 129, 128), -EINVAL);
        CHECK_EQ(process_rlimit_set(0, RLIMIT_CORE, 0, UINT64_MAX), 0);
        /* Raising is another's privilege: take it away first. */
        child_namespaces(0);
        CHECK_EQ(process_rlimit_set(0, RLIMIT_NOFILE, 64, 129), -EPERM);
}

static void child_personality(void)
{
        struct utsname u;

        CHECK_EQ(process_personality((unsigned)str_flag_find(process_domains, "LINUX32")->value),
                 0);
        CHECK_EQ(uname(&u), 0);
        CHECK(strcmp(u.machine, "x86_64") != 0 && strcmp(u.machine, "aarch64") != 0);
        CHECK_EQ(process_personality(0), 0);
        CHECK_EQ(uname(&u), 0);
        CHECK(strcmp(u.machine, "i686") != 0);
}

static void child_keyring(void)
{
        char text[256] = "", name[64];
        long ring, again;

        snprintf(name, sizeof name, "_ses.test-%d", getpid());
        CHECK_EQ(process_keyring_join(name, PROCESS_KEY_USER_SEARCH), 0);
        ring = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -3 /* session */, 0);
        CHECK(ring > 0);
        CHECK(syscall(SYS_keyctl, KEYCTL_DESCRIBE, ring, text, sizeof text) > 0);
        CHECK(strstr(text, name) && strncmp(text, "keyring;", 8) == 0);
        /* 3f03... the default, and the search that was asked for. */
        CHECK(strstr(text, ";3f1b0000;") || strstr(text, ";3f0b0000;"));
        /* An exec joins the same ring by its name. */
        CHECK_EQ(process_keyring_join(name, 0), 0);
        again = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -3, 0);
        CHECK_EQ(again, ring);
}

#define CHILD_TEST(name)                                                                           \
        static void test_##name(void **state)                                                      \
        {                                                                                          \
                IN_CHILD(child_##name);                                                            \
        }
CHILD_TEST(affinity)
CHILD_TEST(policy)
CHILD_TEST(realtime)
CHILD_TEST(io)
CHILD_TEST(memory)
CHILD_TEST(rlimit)
CHILD_TEST(personality)
CHILD_TEST(keyring)

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bitlist),     cmocka_unit_test(test_tables),
                cmocka_unit_test(test_affinity),    cmocka_unit_test(test_policy),
                cmocka_unit_test(test_realtime),    cmocka_unit_test(test_io),
                cmocka_unit_test(test_memory),      cmocka_unit_test(test_rlimit),
                cmocka_unit_test(test_personality), cmocka_unit_test(test_keyring),
        };

        return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
