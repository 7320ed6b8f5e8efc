/* Path cleaning against a plain reference that keeps a stack of components. */
#include <errno.h>
#include <stdio.h>

#include "base/path.h"
#include "base/str.h"
#include "base/test.h"

static void clean_oracle(const char *p, char *out, size_t cap)
{
        char parts[64][64];
        size_t n = 0, len;
        const char *part;

        for (const char *at = p; str_next(&at, '/', &part, &len);) {
                if (len == 0 || (len == 1 && *part == '.'))
                        continue;
                if (len == 2 && memcmp(part, "..", 2) == 0) {
                        if (n > 0 && !str_eq(parts[n - 1], "..")) {
                                n--;
                                continue;
                        }
                        if (*p == '/')
                                continue;
                }
                snprintf(parts[n++], sizeof parts[0], "%.*s", (int)len, part);
        }
        len = (size_t)snprintf(out, cap, "%s", *p == '/' ? "/" : n ? "" : ".");
        for (size_t i = 0; i < n; i++)
                len += (size_t)snprintf(out + len, cap - len, "%s%s", i ? "/" : "", parts[i]);
}

static void random_path(uint64_t *seed, char *p, size_t cap)
{
        static const char *const parts[] = { "/", "/", "/", ".", "..", "a", "bc", "...", ".d" };
        size_t len = 0, n = test_random(seed) % 14;

        p[0] = 0;
        for (size_t i = 0; i < n; i++)
                len += (size_t)snprintf(p + len, cap - len, "%s",
                                        parts[test_random(seed) % ARRAY_SIZE(parts)]);
}

static void test_clean_agrees_with_an_oracle(void **state)
{
        uint64_t seed = 3;

        for (int i = 0; i < 200000; i++) {
                char p[64], got[64], again[64], expected[64];

                random_path(&seed, p, sizeof p);
                clean_oracle(p, expected, sizeof expected);
                assert_int_equal(path_clean(p, got, sizeof got), 0);
                if (!str_eq(got, expected))
                        fail_msg("'%s' became '%s', not '%s'", p, got, expected);
                assert_int_equal(path_clean(got, again, sizeof again), 0);
                assert_string_equal(again, got);
        }
}

static void test_clean_never_leaves_the_root(void **state)
{
        static const char *const up[] = { "/..", "/../..", "/a/../..", "/../../etc/../..",
                                          "/./.." };
        char got[32];

        for (size_t i = 0; i < ARRAY_SIZE(up); i++) {
                assert_int_equal(path_clean(up[i], got, sizeof got), 0);
                assert_string_equal(got, "/");
        }
}

/* For every room from none to enough: the right answer or -ENAMETOOLONG, and never a byte too
 * far. */
static void test_clean_minds_its_room(void **state)
{
        static const char *const paths[] = { "/abc/de", "abc", "../../x", "/", "", "/a/b/../c" };

        for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
                char full[32], tight[32];

                assert_int_equal(path_clean(paths[i], full, sizeof full), 0);
                for (size_t cap = 0; cap < sizeof tight; cap++) {
                        int r;

                        memset(tight, '#', sizeof tight);
                        r = path_clean(paths[i], tight, cap);
                        assert_true(r == 0 || r == -ENAMETOOLONG);
                        if (r == 0)
                                assert_string_equal(tight, full);
                        for (size_t k = cap; k < sizeof tight; k++)
                                assert_int_equal(tight[k], '#');
                }
        }
}

static void test_join(void **state)
{
        char got[32], long_one[9000];

        assert_int_equal(path_join("/a/b", "c", got, sizeof got), 0);
        assert_string_equal(got, "/a/b/c");
        assert_int_equal(path_join("/a/b", "../c/", got, sizeof got), 0);
        assert_string_equal(got, "/a/c");
        assert_int_equal(path_join("/a/b", "/c", got, sizeof got), 0);
        assert_string_equal(got, "/c");
        assert_int_equal(path_join("a", "../../c", got, sizeof got), 0);
        assert_string_equal(got, "../c");
        memset(long_one, 'x', sizeof long_one);
        long_one[sizeof long_one - 1] = 0;
        assert_int_equal(path_join("/", long_one, got, sizeof got), -ENAMETOOLONG);
}

static void test_below_and_base(void **state)
{
        assert_true(path_below("/a/b", "/a"));
        assert_true(path_below("/a", "/a"));
        assert_true(path_below("/a", "/"));
        assert_false(path_below("/ab", "/a"));
        assert_false(path_below("/", "/a"));
        assert_string_equal(path_base("/a/b"), "b");
        assert_string_equal(path_base("b"), "b");
        assert_string_equal(path_base("/"), "");
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_clean_agrees_with_an_oracle),
                cmocka_unit_test(test_clean_never_leaves_the_root),
                cmocka_unit_test(test_clean_minds_its_room),
                cmocka_unit_test(test_join),
                cmocka_unit_test(test_below_and_base),
        };

        return cmocka_run_group_tests_name("path", tests, NULL, NULL);
}
