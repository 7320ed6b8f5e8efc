/* The arena and the growing buffer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/test.h"

static void test_arena_gives_distinct_zeroed_memory(void **state)
{
        AUTO_ARENA a = { 0 };
        unsigned char *p[400];
        size_t size[400], total = 0;
        uint64_t seed = 4;

        for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
                size[i] = test_random(&seed) % (i % 40 == 0 ? 20000 : 100);
                p[i] = arena_alloc(&a, size[i]);
                assert_int_equal((uintptr_t)p[i] % _Alignof(max_align_t), 0);
                for (size_t k = 0; k < size[i]; k++)
                        assert_int_equal(p[i][k], 0);
                if (size[i])
                        memset(p[i], (int)(i & 0xff), size[i]);
                total += size[i];
        }
        for (size_t i = 0; i < ARRAY_SIZE(p); i++)
                for (size_t k = 0; k < size[i]; k++)
                        assert_int_equal(p[i][k], i & 0xff);
        assert_true(a.used >= total);
}

static void test_arena_strings(void **state)
{
        AUTO_ARENA a = { 0 };

        assert_string_equal(arena_strndup(&a, "abcdef", 3), "abc");
        assert_string_equal(arena_strdup(&a, "abc"), "abc");
        assert_null(arena_strdup(&a, NULL));
        assert_string_equal(arena_printf(&a, "%s-%d", "x", 12), "x-12");
        assert_int_equal(strlen(arena_printf(&a, "%20000s", "x")), 20000);
        arena_done(&a);
        assert_int_equal(a.used, 0);
        assert_string_equal(arena_strdup(&a, "again"), "again");
}

static void test_multiplication_that_overflows_ends_the_program(void **state)
{
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                if (!freopen("/dev/null", "w", stderr))
                        _exit(1);
                _exit(mem_mul(SIZE_MAX / 2, 3) > 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(mem_mul(3, 5), 15);
}

static void test_buf_grows_and_stays_ended(void **state)
{
        AUTO_BUF b = { 0 };
        char *taken;

        assert_string_equal(buf_str(&b), "");
        for (int i = 0; i < 10000; i++) {
                buf_putc(&b, (char)('a' + i % 26));
                assert_int_equal(b.s[b.len], 0);
        }
        assert_int_equal(b.len, 10000);
        assert_memory_equal(b.s + 26, "abcdefgh", 8);
        buf_clear(&b);
        assert_string_equal(buf_str(&b), "");
        buf_printf(&b, "%s=%d", "n", 5);
        buf_puts(&b, ";");
        buf_add(&b, "\0x", 2);
        assert_int_equal(b.len, 6);
        taken = buf_take(&b);
        assert_string_equal(taken, "n=5;");
        free(taken);
        assert_int_equal(b.len, 0);
        taken = buf_take(&b); /* of an empty one */
        assert_string_equal(taken, "");
        free(taken);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_arena_gives_distinct_zeroed_memory),
                cmocka_unit_test(test_arena_strings),
                cmocka_unit_test(test_multiplication_that_overflows_ends_the_program),
                cmocka_unit_test(test_buf_grows_and_stays_ended),
        };

        return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
