/* Number parsing against what strtoull would have said, and the small string helpers. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "base/test.h"

/* The slow, obvious reading of s: digits only, then strtoull. */
static int u64_oracle(const char *s, uint64_t *ret)
{
        uint64_t v;

        if (!*s || s[strspn(s, "0123456789")])
                return -EINVAL;
        errno = 0;
        v = strtoull(s, NULL, 10);
        if (errno)
                return -ERANGE;
        *ret = v;
        return 0;
}

static void random_text(uint64_t *seed, char *s, size_t cap)
{
        static const char alphabet[] = "0123456789012345678901234567890123456789-+ .xke";
        size_t n = test_random(seed) % (cap - 1);

        for (size_t i = 0; i < n; i++)
                s[i] = alphabet[test_random(seed) % (sizeof alphabet - 1)];
        s[n] = 0;
}

static void test_numbers_agree_with_an_oracle(void **state)
{
        uint64_t seed = 1;

        for (int i = 0; i < 200000; i++) {
                uint64_t expected = 7, got = 7;
                uint32_t narrow = 7;
                char s[24];
                int r;

                random_text(&seed, s, sizeof s);
                r = u64_oracle(s, &expected);
                /* The codes may differ only where a number too large is followed by rubbish. */
                if (str_to_u64(s, &got) != r)
                        assert_true(r == -EINVAL && str_to_u64(s, &got) == -ERANGE);
                assert_int_equal(got, expected);
                if (r == 0)
                        assert_int_equal(str_to_u32(s, &narrow),
                                         expected > UINT32_MAX ? -ERANGE : 0);
                assert_int_equal(narrow, r == 0 && expected <= UINT32_MAX ? expected : 7);
        }
}

static void test_every_number_comes_back(void **state)
{
        uint64_t seed = 2;

        for (int i = 0; i < 100000; i++) {
                uint64_t v = test_random(&seed) >> (test_random(&seed) % 64), u;
                int64_t s = (int64_t)v, t;
                char text[24];

                snprintf(text, sizeof text, "%" PRIu64, v);
                assert_int_equal(str_to_u64(text, &u), 0);
                assert_true(u == v);
                snprintf(text, sizeof text, "%" PRId64, s);
                assert_int_equal(str_to_i64(text, &t), 0);
                assert_true(t == s);
        }
}

static void test_limits_of_numbers(void **state)
{
        uint64_t u = 7;
        uint32_t n = 7;
        int64_t i = 7;

        assert_int_equal(str_to_u64("18446744073709551615", &u), 0);
        assert_true(u == UINT64_MAX);
        assert_int_equal(str_to_u64("18446744073709551616", &u), -ERANGE);
        assert_int_equal(str_to_u32("4294967295", &n), 0);
        assert_int_equal(str_to_u32("4294967296", &n), -ERANGE);
        assert_int_equal(str_to_i64("-9223372036854775808", &i), 0);
        assert_true(i == INT64_MIN);
        assert_int_equal(str_to_i64("9223372036854775808", &i), -ERANGE);
        assert_int_equal(str_to_i64("-9223372036854775809", &i), -ERANGE);
        static const char *const bad[] = { "",   " 1",  "1 ",  "+1",  "--1", "-",  "0x1",
                                           "1a", "\t1", "1\n", "1e3", "１",  "1,0" };
        for (size_t k = 0; k < ARRAY_SIZE(bad); k++) {
                assert_int_equal(str_to_u64(bad[k], &u), -EINVAL);
                assert_int_equal(str_to_i64(bad[k], &i), -EINVAL);
        }
        assert_int_equal(str_to_u64("-1", &u), -EINVAL);
        assert_int_equal(str_to_u32("-0", &n), -EINVAL);
}

static void test_sizes(void **state)
{
        static const struct {
                const char *s;
                int r;
                int64_t v;
        } cases[] = {
                { "0", 0, 0 },
                { "512", 0, 512 },
                { "512b", 0, 512 },
                { "64k", 0, 64 << 10 },
                { "64K", 0, 64 << 10 },
                { "64kb", 0, 64 << 10 },
                { "64KiB", 0, 64 << 10 },
                { "1.5g", 0, 3ll << 29 },
                { "0.5k", 0, 512 },
                { "2t", 0, 2ll << 40 },
                { "1p", 0, 1ll << 50 },
                { "8191p", 0, 8191ll << 50 },
                { "8192p", -ERANGE, 0 },
                { "9223372036854775807", 0, INT64_MAX },
                { "9223372036854775808", -ERANGE, 0 },
                { "99999999999999999999", -ERANGE, 0 },
                { "", -EINVAL, 0 },
                { "k", -EINVAL, 0 },
                { ".5k", -EINVAL, 0 },
                { "-1", -EINVAL, 0 },
                { "+1", -EINVAL, 0 },
                { " 1", -EINVAL, 0 },
                { "1 k", -EINVAL, 0 },
                { "1kk", -EINVAL, 0 },
                { "1bb", -EINVAL, 0 },
                { "1z", -EINVAL, 0 },
                { "1.2.3", -EINVAL, 0 },
                { "1kibi", -EINVAL, 0 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                int64_t v = 0;

                if (str_to_size(cases[i].s, &v) != cases[i].r || v != cases[i].v)
                        fail_msg("'%s' gave %" PRId64, cases[i].s, v);
        }
}

static void test_names(void **state)
{
        static const char *const table[] = { "zero", NULL, "two" };
        static const struct str_flag flags[] = { { "ro", 1 }, { "nosuid", 2 }, {} };

        assert_int_equal(STR_INDEX(table, "two"), 2);
        assert_int_equal(STR_INDEX(table, "tw"), -1);
        assert_int_equal(str_flag_find(flags, "nosuid")->value, 2);
        assert_null(str_flag_find(flags, "nosui"));
        assert_string_equal(str_after("prefix-x", "prefix-"), "x");
        assert_string_equal(str_after("same", "same"), "");
        assert_null(str_after("pre", "prefix"));
        assert_true(str_ends("a.json", ".json"));
        assert_false(str_ends("json", ".json"));
        assert_true(str_eq0(NULL, NULL));
        assert_false(str_eq0(NULL, "") || str_eq0("", NULL));
}

static void test_fields_join_to_the_whole(void **state)
{
        static const char *const lists[] = { "", ",", "a", "a,b", ",a,,b,", "longer,x" };

        for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
                char joined[32] = "";
                size_t len = 0, n;
                const char *field;

                for (const char *at = lists[i]; str_next(&at, ',', &field, &n);) {
                        memcpy(joined + len, field, n);
                        len += n;
                        joined[len++] = ',';
                }
                joined[len - 1] = 0;
                assert_string_equal(joined, lists[i]);
        }
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_numbers_agree_with_an_oracle),
                cmocka_unit_test(test_every_number_comes_back),
                cmocka_unit_test(test_limits_of_numbers),
                cmocka_unit_test(test_sizes),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_fields_join_to_the_whole),
        };

        return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
