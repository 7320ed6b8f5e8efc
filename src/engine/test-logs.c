/* What the monitor writes is what a reader gets: both formats, rotations, --since, --tail. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/test.h"
#include "engine/attach.h"
#include "engine/logs.h"

struct place {
        char path[64];
        int dir;
};

#define FILES 200

static int logs_read(const struct log_query *q, struct err *e)
{
        struct log_source *s;
        int r = logs_open(q, &s, e);

        if (r < 0)
                return r;
        while (!logs_step(s))
                poll(&(struct pollfd){ logs_fd(s), POLLIN, 0 }, 1, LOGS_QUIET_MS);
        logs_close(s);
        return 0;
}

static int set_up(void **state)
{
        struct place *p = mem_alloc(sizeof *p);

        snprintf(p->path, sizeof p->path, "%s", "/tmp/test-logs-XXXXXX");
        if (!mkdtemp(p->path))
                return -1;
        p->dir = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *state = p;
        return 0;
}

static int tear_down(void **state)
{
        struct place *p = *state;
        char name[32];

        for (int i = 0; i < FILES; i++) {
                snprintf(name, sizeof name, i ? "ctr.log.%d" : "ctr.log", i);
                unlinkat(p->dir, name, 0);
        }
        unlinkat(p->dir, "ctr.log.new", 0);
        fd_close(p->dir);
        rmdir(p->path);
        free(p);
        return 0;
}

static struct log_file writer(const struct place *p, enum log_driver driver, uint64_t max)
{
        struct log_file l = {
                .driver = driver, .dir = p->dir, .name = "ctr.log", .max_size = max, .max_files = 20
        };

        assert_int_equal(log_file_open(&l), 0);
        return l;
}

static int collect(void *ctx, const struct log_record *r)
{
        struct buf *out = ctx;

        buf_add(out, r->text, r->len);
        if (!r->partial)
                buf_putc(out, '\n');
        return 0;
}

static void check_read(const struct place *p, enum log_driver driver, int64_t tail,
                       const char *want)
{
        AUTO_BUF got = { 0 };
        struct log_query q = {
                .driver = driver, .dir = p->dir, .tail = tail, .put = collect, .ctx = &got
        };
        struct err e = { 0 };

        assert_int_equal(logs_read(&q, &e), 0);
        assert_string_equal(buf_str(&got), want);
}

static void round_trip(struct place *p, enum log_driver driver)
{
        struct log_file l = writer(p, driver, 600);
        AUTO_BUF want = { 0 }, tail = { 0 };
        char line[80];

        for (int i = 0; i < 40; i++) {
                snprintf(line, sizeof line, "line %d \"quoted\" \\ \t \x01 \xc3\xa9 \xff\n", i);
                log_file_put(&l, LOG_STDOUT, line, strlen(line));
                buf_puts(&want, line);
                if (i >= 35)
                        buf_puts(&tail, line);
        }
        log_file_close(&l);
        check_read(p, driver, -1, buf_str(&want));
        check_read(p, driver, 5, buf_str(&tail));
        check_read(p, driver, 0, "");
        check_read(p, driver, 1000, buf_str(&want));
}

static void test_k8s(void **state)
{
        round_trip(*state, LOG_DRIVER_K8S);
}

static void test_json(void **state)
{
        round_trip(*state, LOG_DRIVER_JSON);
}

static void test_pieces_are_joined(void **state)
{
        struct log_file l = writer(*state, LOG_DRIVER_K8S, 0);
        AUTO_FREE char *text = mem_alloc(3 * LOG_LINE_MAX + 2);

        memset(text, 'x', 3 * LOG_LINE_MAX);
        text[3 * LOG_LINE_MAX] = '\n';
        log_file_put(&l, LOG_STDOUT, text, 3 * LOG_LINE_MAX + 1);
        log_file_close(&l);
        check_read(*state, LOG_DRIVER_K8S, -1, text);
}

/* ---- while it rotates ---- */

/* A process that writes the numbers up to n, a line each, in files of 4 KiB. */
static pid_t flood(const struct place *p, unsigned files, int n)
{
        struct log_file l = {
                .driver = LOG_DRIVER_K8S, .dir = p->dir, .name = "ctr.log", .max_size = 4096
        };
        char line[16];
        pid_t pid;

        l.max_files = files;
        assert_int_equal(log_file_open(&l), 0);
        log_file_put(&l, LOG_STDOUT, "0\n", 2);
        pid = fork();
        assert_true(pid >= 0);
        if (pid > 0) {
                log_file_close(&l);
                return pid;
        }
        for (int i = 1; i <= n; i++) {
                snprintf(line, sizeof line, "%d\n", i);
                log_file_put(&l, LOG_STDOUT, line, strlen(line));
        }
        _exit(0);
}

static bool is_alive(void *ctx)
{
        pid_t *pid = ctx;

        if (*pid > 0 && waitpid(*pid, NULL, WNOHANG) == *pid)
                *pid = 0;
        return *pid > 0;
}

struct numbers {
        pid_t writer; /* first: is_alive() takes it */
        int last, n, gaps;
};

static int take_number(void *ctx, const struct log_record *r)
{
        struct numbers *x = ctx;
        int v = 0;

        for (size_t i = 0; i < r->len; i++)
                v = v * 10 + (r->text[i] - '0');
        x->gaps += v != x->last + 1;
        x->last = v;
        x->n++;
        return 0;
}

/* Whoever asks for the last line gets one, and never an older one than before. */
static void last_lines(const struct place *p, unsigned files)
{
        struct numbers x = { .writer = flood(p, files, 20000) };
        int before = 0, looks = 0;

        for (; is_alive(&x); looks++) {
                struct log_query q = { .driver = LOG_DRIVER_K8S,
                                       .dir = p->dir,
                                       .tail = 1,
                                       .put = take_number,
                                       .ctx = &x };
                struct err e = { 0 };

                x.n = 0;
                assert_int_equal(logs_read(&q, &e), 0);
                assert_int_equal(x.n, 1);
                assert_true(x.last >= before);
                before = x.last;
        }
        assert_true(looks > 0);
}

static void test_the_last_line_while_it_rotates(void **state)
{
        last_lines(*state, 1);
        last_lines(*state, 3);
}

/* Whoever follows misses nothing, however fast it rotates, while the files are kept. */
static void test_following_while_it_rotates(void **state)
{
        struct place *p = *state;
        struct numbers x = { .writer = flood(p, FILES, 15000), .last = -1 };
        struct log_query q = { .driver = LOG_DRIVER_K8S,
                               .dir = p->dir,
                               .tail = -1,
                               .follow = true,
                               .alive = is_alive,
                               .put = take_number,
                               .ctx = &x };
        struct err e = { 0 };

        assert_int_equal(logs_read(&q, &e), 0);
        assert_int_equal(x.gaps, 0);
        assert_int_equal(x.last, 15000);
}

static void test_torn_lines_are_skipped(void **state)
{
        struct place *p = *state;
        static const char text[] = "2026-01-02T03:04:05.5Z stdout F good\n"
                                   "2026-01-02T03:0\n"
                                   "\n"
                                   "2026-01-02T03:04:05.5Z stdout F\n"
                                   "2026-01-02T03:04:05.5Z stdx F bad\n"
                                   "2026-01-02T03:04:06Z stdout F end\n";

        assert_int_equal(fd_replace_at(p->dir, "ctr.log", text, sizeof text - 1, 0600, 0), 0);
        check_read(p, LOG_DRIVER_K8S, -1, "good\n\nend\n");
}

static void test_since_and_until(void **state)
{
        struct place *p = *state;
        static const char text[] = "2026-01-02T03:04:05Z stdout F one\n"
                                   "2026-01-02T03:04:06Z stdout F two\n"
                                   "2026-01-02T03:04:07Z stdout F three\n";
        AUTO_BUF got = { 0 };
        struct log_query q = {
                .driver = LOG_DRIVER_K8S, .dir = p->dir, .tail = -1, .put = collect, .ctx = &got
        };
        struct err e = { 0 };

        assert_int_equal(log_time_parse("2026-01-02T03:04:06Z", &q.since), 0);
        q.until = q.since;
        assert_int_equal(fd_replace_at(p->dir, "ctr.log", text, sizeof text - 1, 0600, 0), 0);
        assert_int_equal(logs_read(&q, &e), 0);
        assert_string_equal(buf_str(&got), "two\n");
}

static void test_times(void **state)
{
        int64_t t;

        assert_int_equal(log_time_parse("1970-01-01T00:00:01.000000007Z", &t), 0);
        assert_int_equal(t, 1000000007);
        assert_int_equal(log_time_parse("1970-01-01T02:00:00+02:00", &t), 0);
        assert_int_equal(t, 0);
        assert_int_equal(log_time_arg("10m", 1000000000000, &t), 0);
        assert_int_equal(t, 400000000000);
        assert_int_equal(log_time_arg("1h30m", 10000000000000, &t), 0);
        assert_int_equal(t, 4600000000000);
        assert_int_equal(log_time_arg("1700000000.5", 0, &t), 0);
        assert_int_equal(t, 1700000000500000000);
        assert_int_equal(log_time_arg("1970-01-02", 0, &t), 0);
        assert_int_equal(t, 86400000000000);
        for (const char **bad = (const char *[]){ "", "x", "10x", "1970-13-01T00:00:00Z", "-5m",
                                                  "1970-01-01T00:00:00", NULL };
             *bad; bad++)
                if (log_time_parse(*bad, &t) == 0)
                        fail_msg("\"%s\" is no time", *bad);
        assert_int_equal(log_time_arg("", 0, &t), -EINVAL);
        assert_int_equal(log_time_arg("soon", 0, &t), -EINVAL);
}

static void test_detach_keys(void **state)
{
        char keys[DETACH_KEYS_MAX];

        assert_int_equal(detach_keys_parse("ctrl-p,ctrl-q", keys), 2);
        assert_memory_equal(keys, "\x10\x11", 2);
        assert_int_equal(detach_keys_parse("a,ctrl-\\", keys), 2);
        assert_memory_equal(keys, "a\x1c", 2);
        assert_int_equal(detach_keys_parse("", keys), 0);
        assert_int_equal(detach_keys_parse("ctrl-", keys), -EINVAL);
        assert_int_equal(detach_keys_parse("ab", keys), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_k8s, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_json, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_pieces_are_joined, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_the_last_line_while_it_rotates, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_following_while_it_rotates, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_torn_lines_are_skipped, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_since_and_until, set_up, tear_down),
                cmocka_unit_test(test_times),
                cmocka_unit_test(test_detach_keys),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
