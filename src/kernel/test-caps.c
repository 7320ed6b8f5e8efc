/* Capability names and masks; the sets of a real process in a user namespace of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/str.h"
#include "kernel/caps.h"
#include "kernel/test-child.h"

#define BIT(n) (1ull << (n))

static void test_names(void **state)
{
        assert_string_equal(caps_name(CAP_CHOWN), "CAP_CHOWN");
        assert_string_equal(caps_name(CAP_SYS_ADMIN), "CAP_SYS_ADMIN");
        assert_string_equal(caps_name(CAP_CHECKPOINT_RESTORE), "CAP_CHECKPOINT_RESTORE");
        assert_null(caps_name(CAPS_MAX));
        for (unsigned i = 0; i < CAPS_MAX; i++)
                assert_int_equal(caps_number(caps_name(i)), i);
        assert_int_equal(caps_number("cap_chown"), -1);
        assert_int_equal(caps_number("CHOWN"), -1);
        assert_int_equal(caps_number(""), -1);
}

static void test_known_is_what_the_kernel_says(void **state)
{
        char text[16];
        uint64_t last;
        ssize_t n = fd_read_text_at(AT_FDCWD, "/proc/sys/kernel/cap_last_cap", text, sizeof text);

        assert_true(n > 1);
        text[n - 1] = 0;
        assert_int_equal(str_to_u64(text, &last), 0);
        assert_true(caps_known() == BIT(last + 1) - 1);
}

static void test_lists(void **state)
{
        static const char *const list[] = { "CAP_KILL", "CAP_FLY", "CAP_BPF", "CAP_CHOWN", "" };
        const char *out[ARRAY_SIZE(list)];
        uint64_t mask = 1;

        assert_int_equal(caps_parse_list(list, 5, BIT(CAP_BPF) - 1, &mask, out), 3);
        assert_true(mask == (BIT(CAP_KILL) | BIT(CAP_CHOWN)));
        assert_string_equal(out[0], "CAP_FLY");
        assert_string_equal(out[1], "CAP_BPF"); /* a name, but this kernel has no such thing */
        assert_string_equal(out[2], "");
        assert_int_equal(caps_parse_list(NULL, 0, UINT64_MAX, &mask, out), 0);
        assert_true(mask == 0);
}

static void child_exact(void)
{
        const uint64_t some = BIT(CAP_KILL) | BIT(CAP_CHOWN) | BIT(CAP_NET_BIND_SERVICE);
        struct caps_sets want = { 0 }, have, refused;

        child_namespaces(0);
        want.v[CAPS_BOUNDING] = some | BIT(CAP_SETPCAP);
        want.v[CAPS_PERMITTED] = some;
        want.v[CAPS_EFFECTIVE] = BIT(CAP_KILL);
        want.v[CAPS_INHERITABLE] = BIT(CAP_KILL) | BIT(CAP_NET_BIND_SERVICE);
        want.v[CAPS_AMBIENT] = BIT(CAP_NET_BIND_SERVICE);
        CHECK_EQ(caps_drop_bounding(want.v[CAPS_BOUNDING], caps_known()), 0);
        CHECK_EQ(caps_apply(&want, &refused), 0);
        CHECK_EQ(caps_get(&have), 0);
        for (int i = 0; i < CAPS_SET_MAX; i++) {
                CHECK_EQ(have.v[i], want.v[i]);
                CHECK_EQ(refused.v[i], 0);
        }
        /* Now without CAP_SETPCAP: what is gone may be dropped again, the rest not. */
        CHECK_EQ(caps_drop_bounding(want.v[CAPS_BOUNDING], caps_known()), 0);
        CHECK_EQ(caps_drop_bounding(0, caps_known()), -EPERM);
}

static void child_refused(void)
{
        const uint64_t kill = BIT(CAP_KILL), chown = BIT(CAP_CHOWN), raw = BIT(CAP_NET_RAW);
        struct caps_sets want = { 0 }, have, refused;

        child_namespaces(0);
        CHECK_EQ(caps_drop_bounding(kill | raw, caps_known()), 0);
        want.v[CAPS_PERMITTED] = kill | raw;
        want.v[CAPS_EFFECTIVE] = kill | raw;
        CHECK_EQ(caps_apply(&want, NULL), 0);

        want.v[CAPS_PERMITTED] = kill | chown;
        want.v[CAPS_EFFECTIVE] = kill | raw; /* raw is not in permitted any more */
        want.v[CAPS_INHERITABLE] = kill | chown;
        want.v[CAPS_AMBIENT] = kill | raw;
        CHECK_EQ(caps_apply(&want, &refused), 0);
        CHECK_EQ(refused.v[CAPS_PERMITTED], chown);
        CHECK_EQ(refused.v[CAPS_EFFECTIVE], raw);
        CHECK_EQ(refused.v[CAPS_INHERITABLE], chown);
        CHECK_EQ(refused.v[CAPS_AMBIENT], raw);
        CHECK_EQ(caps_get(&have), 0);
        CHECK_EQ(have.v[CAPS_PERMITTED], kill);
        CHECK_EQ(have.v[CAPS_EFFECTIVE], kill);
        CHECK_EQ(have.v[CAPS_INHERITABLE], kill);
        CHECK_EQ(have.v[CAPS_AMBIENT], kill);
}

/* The kernel itself refuses an inheritable capability that is not bounding, even with SETPCAP. */
static void child_inheritable_and_bounding(void)
{
        struct caps_sets want, refused;

        child_namespaces(0);
        CHECK_EQ(caps_drop_bounding(~BIT(CAP_CHOWN), caps_known()), 0);
        CHECK_EQ(caps_get(&want), 0);
        want.v[CAPS_INHERITABLE] = BIT(CAP_CHOWN) | BIT(CAP_KILL);
        CHECK_EQ(caps_apply(&want, &refused), 0);
        CHECK_EQ(refused.v[CAPS_INHERITABLE], BIT(CAP_CHOWN));
        CHECK_EQ(refused.v[CAPS_PERMITTED], 0);
}

static void child_ambient_locked(void)
{
        struct caps_sets want = { 0 }, refused;

        child_namespaces(0);
        CHECK_EQ(prctl(PR_SET_SECUREBITS, SECBIT_NO_CAP_AMBIENT_RAISE), 0);
        for (int i = CAPS_EFFECTIVE; i < CAPS_SET_MAX; i++)
                want.v[i] = BIT(CAP_KILL);
        CHECK_EQ(caps_apply(&want, &refused), 0);
        CHECK_EQ(refused.v[CAPS_AMBIENT], BIT(CAP_KILL));
}

static void child_keep(void)
{
        struct caps_sets want = { 0 }, have;

        if (getuid() != 0)
                child_skip("changing the user takes root");
        want.v[CAPS_PERMITTED] = want.v[CAPS_EFFECTIVE] = BIT(CAP_KILL);
        CHECK_EQ(caps_keep(true), 0);
        CHECK_EQ(syscall(SYS_setuid, 12345), 0);
        CHECK_EQ(caps_get(&have), 0);
        CHECK(have.v[CAPS_PERMITTED] != 0);
        CHECK_EQ(have.v[CAPS_EFFECTIVE], 0);
        CHECK_EQ(caps_raise_permitted(), 0);
        CHECK_EQ(caps_get(&have), 0);
        CHECK_EQ(have.v[CAPS_EFFECTIVE], have.v[CAPS_PERMITTED]);
        CHECK_EQ(caps_apply(&want, NULL), 0);
        CHECK_EQ(caps_keep(false), 0);
        CHECK_EQ(caps_get(&have), 0);
        CHECK_EQ(have.v[CAPS_PERMITTED], BIT(CAP_KILL));
        CHECK_EQ(have.v[CAPS_EFFECTIVE], BIT(CAP_KILL));
}

static void test_exact(void **state)
{
        IN_CHILD(child_exact);
}
static void test_refused_is_told(void **state)
{
        IN_CHILD(child_refused);
}
static void test_inheritable_and_bounding(void **state)
{
        IN_CHILD(child_inheritable_and_bounding);
}
static void test_ambient_locked(void **state)
{
        IN_CHILD(child_ambient_locked);
}
static void test_kept_over_setuid(void **state)
{
        IN_CHILD(child_keep);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_known_is_what_the_kernel_says),
                cmocka_unit_test(test_lists),
                cmocka_unit_test(test_exact),
                cmocka_unit_test(test_refused_is_told),
                cmocka_unit_test(test_inheritable_and_bounding),
                cmocka_unit_test(test_ambient_locked),
                cmocka_unit_test(test_kept_over_setuid),
        };

        return cmocka_run_group_tests_name("caps", tests, NULL, NULL);
}
