/* Text made safe, numbers made short, rows wrapped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/safe.h"
#include "diag/fmt.h"
#include "diag/page.h"

static void assert_safe(const char *in, size_t n, const char *out)
{
        AUTO_BUF b = { 0 };

        safe_add(&b, in, n);
        assert_string_equal(buf_str(&b), out);
}
#define SAFE(in, out) assert_safe(in, sizeof(in) - 1, out)

static void test_safe(void **state)
{
        SAFE("plain /a b", "plain /a b");
        SAFE("\033[2J\r\n\0", "\\x1b[2J\\x0d\\x0a\\x00");
        SAFE("caf\xc3\xa9", "caf\xc3\xa9");
        SAFE("\xc2\x9b"
             "31m",
             "\\x9b31m"); /* the one-byte CSI, in UTF-8 */
        SAFE("a\xe2\x80\xae"
             "b",
             "a\\u{202e}b"); /* right to left */
        SAFE("\xe2\x80\x8b", "\\u{200b}");
        SAFE("\xff\xc3", "\\xff\\xc3");
        SAFE("\xc0\xaf", "\\xc0\\xaf");                   /* overlong slash */
        SAFE("\xed\xa0\x80", "\\u{d800}");                /* surrogate */
        SAFE("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* beyond Unicode */
        SAFE("\\x1b", "\\\\x1b"); /* an escape that was typed is not one that was made */
        SAFE("C:\\dir", "C:\\dir");
}

static void test_columns(void **state)
{
        assert_int_equal(safe_columns("abc", 3), 3);
        assert_int_equal(safe_columns("\xe6\xbc\xa2", 3), 2);
        assert_int_equal(safe_columns("e\xcc\x81", 3), 1);
}

static void assert_elided(const char *in, size_t columns, const char *out)
{
        AUTO_BUF b = { 0 };

        safe_elide(&b, in, columns);
        assert_string_equal(buf_str(&b), out);
        if (columns >= 8)
                assert_true(safe_columns(buf_str(&b), b.len) <= columns);
}

static void test_elide(void **state)
{
        assert_elided("short", 10, "short");
        assert_elided("/var/lib/containers/storage/x", 15, "/var...torage/x");
        assert_elided("\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2", 9,
                      "\xe6\xbc\xa2...\xe6\xbc\xa2\xe6\xbc\xa2");
}

static void test_fmt(void **state)
{
        assert_string_equal(fmt_bytes(0).s, "0");
        assert_string_equal(fmt_bytes(1023).s, "1023");
        assert_string_equal(fmt_bytes(1536).s, "1.5K");
        assert_string_equal(fmt_bytes(64 << 20).s, "64M");
        assert_string_equal(fmt_bytes(UINT64_MAX).s, "15E");
        assert_string_equal(fmt_milli(200).s, "0.20");
        assert_string_equal(fmt_milli(2000).s, "2");
        assert_string_equal(fmt_milli(9).s, "0");
        assert_string_equal(fmt_ms(23).s, "23ms");
        assert_string_equal(fmt_ms(4250).s, "4.2s");
        assert_string_equal(fmt_ms(11520000).s, "3h12m");
        assert_string_equal(fmt_ms(90061000).s, "1d01h");
        assert_string_equal(fmt_num((struct num){ NUM_MAX, 0 }, fmt_u64).s, "unlimited");
        assert_string_equal(fmt_num((struct num){ NUM_DENIED, 0 }, fmt_u64).s, "unavailable");
}

static void test_rows(void **state)
{
        AUTO_BUF b = { 0 };
        struct page p;

        page_init(&p, &b, 60, false, false);
        page_title(&p, PAGE_STRONG, "web-1");
        page_section(&p, "SEES");
        page_row(&p, "own");
        page_word(&p, PAGE_PLAIN, "mnt");
        page_word(&p, PAGE_PLAIN, "pid");
        page_row(&p, "ids");
        for (int i = 0; i < 6; i++)
                page_item(&p, PAGE_PLAIN, "user %d is 10000%d", i, i);
        page_end(&p);
        assert_string_equal(buf_str(&b), "web-1\n"
                                         "SEES      own      mnt pid\n"
                                         "          ids      user 0 is 100000, user 1 is 100001,\n"
                                         "                   user 2 is 100002, user 3 is 100003,\n"
                                         "                   user 4 is 100004, user 5 is 100005\n");
}

static void test_row_hostile(void **state)
{
        AUTO_BUF b = { 0 };
        struct page p;

        page_init(&p, &b, 60, true, false);
        page_row(&p, "name");
        page_item(&p, PAGE_BAD, "%s", "a\n\033[0mOWNED");
        page_end(&p);
        /* The only escapes are the page's own. */
        assert_string_equal(buf_str(&b), "          \033[2mname\033[0m     "
                                         "\033[1;31ma\\x0a\\x1b[0mOWNED\033[0m\n");
}

static void test_row_wraps_words(void **state)
{
        AUTO_BUF b = { 0 };
        struct page p;

        page_init(&p, &b, 60, false, false);
        page_row(&p, "k");
        page_item(&p, PAGE_PLAIN, "one two three four five six seven eight nine ten eleven");
        page_end(&p);
        assert_string_equal(buf_str(&b),
                            "          k        one two three four five six seven eight\n"
                            "                   nine ten eleven\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_safe),
                cmocka_unit_test(test_columns),
                cmocka_unit_test(test_elide),
                cmocka_unit_test(test_fmt),
                cmocka_unit_test(test_rows),
                cmocka_unit_test(test_row_hostile),
                cmocka_unit_test(test_row_wraps_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
