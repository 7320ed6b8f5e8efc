/* What is drawn of a transfer. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/test.h"
#include "cli/progress.h"

static void test_sizes(void **state)
{
        static const struct {
                uint64_t bytes;
                const char *text;
        } cases[] = { { 0, "0B" },
                      { 999, "999B" },
                      { 1000, "1.0kB" },
                      { 99900, "99.9kB" },
                      { 100000, "100kB" },
                      { 999499, "999kB" },
                      { 999500, "1.0MB" },
                      { 12345678, "12.3MB" },
                      { 1500000000, "1.5GB" },
                      { UINT64_MAX, "18447PB" } };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                AUTO_BUF b = { 0 };

                progress_size(&b, cases[i].bytes);
                assert_string_equal(b.s, cases[i].text);
        }
}

static void test_lines(void **state)
{
        struct progress_row r = { .used = true,
                                  .name = "0123456789ab",
                                  .state = TRANSFER_DOWNLOADING,
                                  .bytes = 50000000,
                                  .size = 200000000,
                                  .rate = 10000000 };
        AUTO_BUF b = { 0 };

        progress_line(&b, &r, 80);
        assert_string_equal(b.s, "0123456789ab  pulling  [====>             ]    50.0MB/200MB"
                                 "   10.0MB/s  00:15");
        buf_clear(&b);
        r.rate = 0;
        progress_line(&b, &r, 60);
        assert_string_equal(b.s, "0123456789ab  pulling    50.0MB/200MB");
        buf_clear(&b);
        r.state = TRANSFER_DONE;
        r.resumed = 1000;
        progress_line(&b, &r, 80);
        assert_string_equal(b.s, "0123456789ab  done, 200MB, resumed at 1.0kB");
        buf_clear(&b);
        r.state = TRANSFER_REUSED;
        progress_line(&b, &r, 80);
        assert_string_equal(b.s, "0123456789ab  already here");
}

/* No line is wider than the window, whatever the numbers are. */
static void test_width(void **state)
{
        uint64_t seed = 3;

        for (int i = 0; i < 5000; i++) {
                struct progress_row r = {
                        .used = true,
                        .name = "0123456789ab",
                        .state = (enum transfer_state)(test_random(&seed) % TRANSFER_STATE_MAX),
                        .bytes = test_random(&seed) >> test_random(&seed) % 64,
                        .size = test_random(&seed) >> test_random(&seed) % 64,
                        .resumed = test_random(&seed) % 3,
                        .rate = (double)(test_random(&seed) >> test_random(&seed) % 64)
                };
                unsigned width = 20 + (unsigned)(test_random(&seed) % 150);
                AUTO_BUF b = { 0 };

                progress_line(&b, &r, width);
                assert_true(b.len <= width);
        }
}

static size_t drain(int fd, char *buf, size_t cap)
{
        ssize_t n = read(fd, buf, cap - 1);

        buf[n > 0 ? n : 0] = 0;
        return n > 0 ? (size_t)n : 0;
}

static void test_plain(void **state)
{
        struct transfer t = { .n = 0, .of = 1, .digest = "sha256:0123456789abcdef", .size = 2000 };
        struct progress *p;
        const struct watcher *w;
        char text[1000];
        int fds[2];

        assert_int_equal(pipe(fds), 0);
        p = progress_new(fds[1], false);
        w = progress_watcher(p);
        w->transfer(w->ctx, &t);
        t.state = TRANSFER_DOWNLOADING;
        t.resumed = 1000;
        w->transfer(w->ctx, &t);
        t.bytes = 1500;
        w->transfer(w->ctx, &t);
        w->note(w->ctx, "try\x1b[2J");
        t.state = TRANSFER_DONE;
        w->transfer(w->ctx, &t);
        progress_free(p);
        drain(fds[0], text, sizeof text);
        assert_string_equal(text, "0123456789ab: pulling, 2.0kB, resumed at 1.0kB\n"
                                  "try\\x1b[2J\n"
                                  "0123456789ab: done, 2.0kB\n");
        close(fds[0]);
        close(fds[1]);
}

static void test_quiet(void **state)
{
        struct transfer t = { .of = 1, .digest = "sha256:01", .state = TRANSFER_DONE };
        struct progress *p;
        const struct watcher *w;
        char text[100];
        int fds[2];

        assert_int_equal(pipe(fds), 0);
        p = progress_new(fds[1], true);
        w = progress_watcher(p);
        progress_title(p, "title");
        w->transfer(w->ctx, &t);
        w->note(w->ctx, "a note");
        progress_free(p);
        drain(fds[0], text, sizeof text);
        assert_string_equal(text, "a note\n");
        close(fds[0]);
        close(fds[1]);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_sizes),
                                            cmocka_unit_test(test_lines),
                                            cmocka_unit_test(test_width),
                                            cmocka_unit_test(test_plain),
                                            cmocka_unit_test(test_quiet) };

        return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
