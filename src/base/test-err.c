/* Errors: the chain's order and overflow, phrases that callers rely on, hints; and how logs show
 * them. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/test.h"

static void test_chain_reads_outside_in(void **state)
{
        struct err e = { 0 };

        assert_int_equal(err_sys(&e, ENOENT, "cannot open layer '%s'", "l"), -1);
        assert_int_equal(err_in(&e, "cannot mount image '%s'", "i"), -1);
        assert_string_equal(e.chain, "cannot mount image 'i': cannot open layer 'l': "
                                     "no such file or directory");
        assert_int_equal(e.code, ERR_NOT_FOUND);
        assert_int_equal(e.sys, ENOENT);
        err_sys(&e, -EACCES, "cannot read");
        assert_string_equal(e.chain, "cannot read: permission denied");
        assert_int_equal(e.sys, EACCES);
        err_set(&e, ERR_STATE, "container '%s' is %s", "c", "running");
        assert_int_equal(e.sys, 0);
        assert_string_equal(e.chain, "container 'c' is running");
}

static void test_overflow_keeps_the_cause(void **state)
{
        struct err e = { 0 };

        err_set(&e, ERR_INVALID, "the cause");
        for (int i = 0; i < 100; i++)
                err_in(&e, "a frame of some length that is added again and again");
        assert_true(strlen(e.chain) < sizeof e.chain);
        assert_string_equal(e.chain + strlen(e.chain) - strlen("the cause"), "the cause");
        err_sys(&e, EPERM, "%0600d", 1);
        assert_true(strlen(e.chain) < sizeof e.chain);
        assert_int_equal(e.code, ERR_DENIED);
}

static void test_hint_nearest_to_the_cause_wins(void **state)
{
        struct err e = { 0 };

        err_set(&e, ERR_INVALID, "x");
        err_hint(&e, "Do %s.", "this");
        err_hint(&e, "Do that.");
        assert_string_equal(e.hint, "Do this.");
        err_set(&e, ERR_INVALID, "y");
        assert_string_equal(e.hint, "");
        assert_int_equal(err_set(NULL, ERR_INVALID, "x"), -1);
        assert_int_equal(err_sys(NULL, EIO, "x"), -1);
        assert_int_equal(err_in(NULL, "x"), -1);
        assert_int_equal(err_hint(NULL, "x"), -1);
}

static void test_codes(void **state)
{
        assert_int_equal(err_code_of(-ENOSYS), ERR_UNSUPPORTED);
        assert_int_equal(err_code_of(EEXIST), ERR_EXISTS);
        assert_int_equal(err_code_of(EXDEV), ERR_SYSTEM);
        for (enum err_code c = ERR_NONE; c < ERR_MAX; c++)
                assert_true(strlen(err_code_name(c)) > 1);
        assert_string_equal(err_code_name(ERR_MAX), "unknown");
}

/* Logs e in a format and returns what was written, in out. */
static void logged(enum log_format format, enum log_level level, const struct err *e, char *out,
                   size_t cap)
{
        AUTO_FD int fd = memfd_create("log", MFD_CLOEXEC);
        struct log l = { .fd = fd, .format = format, .level = LOG_LEVEL_INFO, .program = "prog" };

        log_err(&l, level, e);
        lseek(fd, 0, SEEK_SET);
        assert_true(fd_read_text(fd, out, cap) >= 0);
}

static void test_log_records(void **state)
{
        struct err e = { 0 };
        char out[1024];

        err_set(&e, ERR_INVALID, "a \"b\"\n\\c\001");
        err_hint(&e, "Try.");
        logged(LOG_FORMAT_TEXT, LOG_LEVEL_ERROR, &e, out, sizeof out);
        assert_string_equal(out, "prog: a \"b\"\n\\c\\x01\nhint: Try.\n");
        logged(LOG_FORMAT_TEXT, LOG_LEVEL_WARNING, &e, out, sizeof out);
        assert_memory_equal(out, "prog: warning: a", 16);
        logged(LOG_FORMAT_TEXT, LOG_LEVEL_DEBUG, &e, out, sizeof out);
        assert_string_equal(out, "");
        logged(LOG_FORMAT_JSON, LOG_LEVEL_ERROR, &e, out, sizeof out);
        assert_non_null(strstr(out, "{\"level\":\"error\",\"msg\":\"a \\\"b\\\"\\n\\\\c\\u0001 "
                                    "(hint: Try.)\",\"time\":\"2"));
        assert_string_equal(out + strlen(out) - 4, "Z\"}\n");
        log_write(NULL, LOG_LEVEL_ERROR, "nowhere");
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_chain_reads_outside_in),
                cmocka_unit_test(test_overflow_keeps_the_cause),
                cmocka_unit_test(test_hint_nearest_to_the_cause_wins),
                cmocka_unit_test(test_codes),
                cmocka_unit_test(test_log_records),
        };

        return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
