/* Lines in, records out: every byte once, in order, whole lines whole; rotation loses nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/test.h"
#include "codec/json.h"
#include "monitor/log-file.h"

struct place {
        char path[64];
        int dir;
};

static int set_up(void **state)
{
        struct place *p = mem_alloc(sizeof *p);

        snprintf(p->path, sizeof p->path, "%s", "/tmp/test-log-XXXXXX");
        if (!mkdtemp(p->path))
                return -1;
        p->dir = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *state = p;
        return p->dir < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
        struct place *p = *state;
        char name[16];

        for (int i = 0; i < 20; i++) {
                snprintf(name, sizeof name, i ? "log.%d" : "log", i);
                unlinkat(p->dir, name, 0);
        }
        fd_close(p->dir);
        rmdir(p->path);
        free(p);
        return 0;
}

static struct log_file make(const struct place *p, enum log_driver driver)
{
        struct log_file l = { .driver = driver, .dir = p->dir, .name = "log", .max_files = 1 };

        assert_int_equal(log_file_open(&l), 0);
        return l;
}

static char *content(const struct place *p, const char *name)
{
        char *text;
        size_t n;

        if (fd_read_file_at(p->dir, name, 64 << 20, &text, &n) < 0)
                return NULL;
        return text;
}

/* What a reader makes of it: the texts of one stream, pieces joined. */
static void read_k8s(const char *text, const char *stream, struct buf *out)
{
        const char *line;
        size_t n;

        while (str_next(&text, '\n', &line, &n)) {
                if (n == 0)
                        continue;
                assert_true(n >= 40 && line[29] == 'Z' && line[30] == ' ' && line[37] == ' ');
                assert_true(line[38] == 'F' || line[38] == 'P');
                if (strncmp(line + 31, stream, 6) != 0)
                        continue;
                buf_add(out, line + 40, n - 40);
                if (line[38] == 'F')
                        buf_putc(out, '\n');
        }
}

static void read_json(const char *text, const char *stream, struct buf *out)
{
        const char *line;
        size_t n;

        while (str_next(&text, '\n', &line, &n)) {
                AUTO_ARENA a = { 0 };
                struct json j;

                if (n == 0)
                        continue;
                assert_int_equal(json_parse(&a, line, n, NULL, &j, NULL), 0);
                if (str_eq(json_str(json_get(&j, "stream"), ""), stream))
                        buf_add(out, json_get(&j, "log")->s, json_get(&j, "log")->n);
        }
}

static void test_lines(void **state)
{
        struct log_file l = make(*state, LOG_DRIVER_K8S);
        AUTO_BUF got = { 0 };
        AUTO_FREE char *text = NULL;

        log_file_put(&l, LOG_STDOUT, "one\ntw", 6);
        log_file_put(&l, LOG_STDERR, "err\n", 4);
        log_file_put(&l, LOG_STDOUT, "o\n\nlast", 7);
        assert_true(log_file_waiting(&l));
        log_file_close(&l);
        text = content(*state, "log");
        read_k8s(text, "stdout", &got);
        assert_string_equal(buf_str(&got), "one\ntwo\n\nlast\n");
        assert_null(strstr(text, " P "));
        assert_non_null(strstr(text, " stderr F err\n"));
}

/* A prompt is shown before its newline comes, as a piece; the rest ends the same line. */
static void test_idle(void **state)
{
        struct log_file l = make(*state, LOG_DRIVER_K8S);
        AUTO_FREE char *before = NULL, *after = NULL;
        AUTO_BUF got = { 0 };

        log_file_put(&l, LOG_STDOUT, "name? ", 6);
        log_file_idle(&l);
        before = content(*state, "log");
        assert_non_null(strstr(before, " stdout P name? \n"));
        log_file_put(&l, LOG_STDOUT, "berth\n", 6);
        log_file_close(&l);
        after = content(*state, "log");
        read_k8s(after, "stdout", &got);
        assert_string_equal(buf_str(&got), "name? berth\n");
}

static void random_output(void **state, enum log_driver driver,
                          void (*reader)(const char *, const char *, struct buf *))
{
        struct log_file l = make(*state, driver);
        struct buf want[LOG_STREAM_MAX] = { 0 };
        AUTO_BUF got = { 0 };
        AUTO_FREE char *text = NULL;
        static char chunk[40000];
        uint64_t seed = 7;

        for (int i = 0; i < 300; i++) {
                enum log_stream s = (enum log_stream)(test_random(&seed) % LOG_STREAM_MAX);
                size_t n = test_random(&seed) % (i % 10 ? 300 : sizeof chunk);
                unsigned lines = i % 7 ? 50 : 20000;

                for (size_t k = 0; k < n; k++)
                        chunk[k] = test_random(&seed) % lines ? (char)(1 + test_random(&seed) % 126)
                                                              : '\n';
                log_file_put(&l, s, chunk, n);
                buf_add(&want[s], chunk, n);
                if (test_random(&seed) % 20 == 0)
                        log_file_idle(&l);
        }
        log_file_put(&l, LOG_STDOUT, "\n", 1);
        log_file_put(&l, LOG_STDERR, "\n", 1);
        buf_putc(&want[LOG_STDOUT], '\n');
        buf_putc(&want[LOG_STDERR], '\n');
        log_file_close(&l);
        text = content(*state, "log");
        for (int s = 0; s < LOG_STREAM_MAX; s++) {
                buf_clear(&got);
                reader(text, s == LOG_STDOUT ? "stdout" : "stderr", &got);
                assert_int_equal(got.len, want[s].len);
                assert_memory_equal(got.s, want[s].s, got.len);
                buf_done(&want[s]);
        }
}

static void test_random_k8s(void **state)
{
        random_output(state, LOG_DRIVER_K8S, read_k8s);
}

static void test_random_json(void **state)
{
        random_output(state, LOG_DRIVER_JSON, read_json);
}

static void test_rotation(void **state)
{
        struct place *p = *state;
        struct log_file l = { .driver = LOG_DRIVER_K8S,
                              .dir = p->dir,
                              .name = "log",
                              .max_size = 1000,
                              .max_files = 4 };
        AUTO_BUF got = { 0 }, want = { 0 };
        char line[32];
        struct stat st;

        assert_int_equal(log_file_open(&l), 0);
        for (int i = 0; i < 100; i++) {
                snprintf(line, sizeof line, "line %d\n", i);
                log_file_put(&l, LOG_STDOUT, line, strlen(line));
        }
        log_file_close(&l);
        for (int i = 3; i >= 0; i--) {
                AUTO_FREE char *text = NULL;
                char name[16];

                snprintf(name, sizeof name, i ? "log.%d" : "log", i);
                text = content(p, name);
                assert_non_null(text);
                assert_true(strlen(text) <= 1000);
                read_k8s(text, "stdout", &got);
        }
        assert_int_equal(fstatat(p->dir, "log.4", &st, 0), -1);
        for (int i = 0; i < 100; i++)
                buf_printf(&want, "line %d\n", i);
        /* The oldest may be gone; what is there is the end, without a gap. */
        assert_true(got.len > 0 && got.len <= want.len);
        assert_string_equal(buf_str(&got), want.s + want.len - got.len);
}

/* A full disk costs lines, never the container, and leaves whole records. */
static void test_full_disk(void **state)
{
        struct log_file l = make(*state, LOG_DRIVER_K8S);
        int good = l.fd;

        l.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
        log_file_put(&l, LOG_STDOUT, "lost\n", 5);
        assert_int_equal(l.failed, ENOSPC);
        assert_true(l.lost >= 5);
        fd_close(l.fd);
        l.fd = good;
        log_file_put(&l, LOG_STDOUT, "kept\n", 5);
        assert_int_equal(l.failed, 0);
        log_file_close(&l);
        AUTO_FREE char *text = content(*state, "log");
        assert_non_null(strstr(text, "F kept\n"));
        assert_null(strstr(text, "lost"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_lines, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_idle, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_random_k8s, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_random_json, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_rotation, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_full_disk, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
