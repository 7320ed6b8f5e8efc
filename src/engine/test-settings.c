#include "engine/settings.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/test.h"

#define LIST(...)                                                                                  \
        {                                                                                          \
                (const char *[]){ __VA_ARGS__ },                                                   \
                        sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(const char *)             \
        }

static void check_args(const struct sandbox *s, const struct image_config *c, const char *want)
{
        AUTO_ARENA a = { 0 };
        struct settings t;
        struct err e = { 0 };
        AUTO_BUF got = { 0 };

        assert_int_equal(settings_merge(&a, s, c, &t, &e), 0);
        for (size_t i = 0; i < t.args.n; i++)
                buf_printf(&got, "%s%s", i ? "|" : "", t.args.v[i]);
        assert_string_equal(buf_str(&got), want);
}

/* docker's rules; test_run.py compares with podman. */
static void test_args(void **state)
{
        struct image_config both = { .entrypoint = LIST("e", "1"), .cmd = LIST("c") }, none = { 0 };
        struct sandbox s = { .image = "i", .name = "n" }, host = { .name = "n" };

        check_args(&s, &both, "e|1|c");
        s.args = (struct strings)LIST("x", "y");
        check_args(&s, &both, "e|1|x|y");
        s.entrypoint = "p";
        check_args(&s, &both, "p|x|y");
        s.args.n = 0;
        check_args(&s, &both, "p");
        s.entrypoint = "[\"p\",\"q r\"]";
        check_args(&s, &both, "p|q r");
        s.entrypoint = "";
        s.args = (struct strings)LIST("x");
        check_args(&s, &both, "x");
        check_args(&host, NULL, "/bin/sh");
        s = (struct sandbox){ .image = "i", .name = "n" };
        {
                AUTO_ARENA a = { 0 };
                struct settings t;
                struct err e = { 0 };

                assert_int_equal(settings_merge(&a, &s, &none, &t, &e), -1);
                assert_string_equal(e.chain, "no command specified");
                s.entrypoint = "";
                assert_int_equal(settings_merge(&a, &s, &both, &t, &e), -1);
                s.entrypoint = "[\"p\",1]";
                assert_int_equal(settings_merge(&a, &s, &both, &t, &e), -1);
        }
}

static bool has(const struct strings *env, const char *variable)
{
        for (size_t i = 0; i < env->n; i++)
                if (strcmp(env->v[i], variable) == 0)
                        return true;
        return false;
}

static size_t count(const struct strings *env, const char *prefix)
{
        size_t n = 0;

        for (size_t i = 0; i < env->n; i++)
                n += strncmp(env->v[i], prefix, strlen(prefix)) == 0;
        return n;
}

static void test_env(void **state)
{
        AUTO_ARENA a = { 0 };
        struct image_config c = { .env = LIST("PATH=/x", "A=1", "B=2", "GONE=1", "odd") };
        struct sandbox s = { .image = "i",
                             .name = "n",
                             .args = LIST("c"),
                             .env = LIST("A=3", "OURS", "GONE", "E=") };
        struct settings t;
        struct err e = { 0 };

        setenv("OURS", "from here", 1);
        unsetenv("GONE");
        assert_int_equal(settings_merge(&a, &s, &c, &t, &e), 0);
        assert_true(has(&t.env, "PATH=/x"));
        assert_int_equal(count(&t.env, "PATH="), 1);
        assert_true(has(&t.env, "A=3"));
        assert_int_equal(count(&t.env, "A="), 1);
        assert_true(has(&t.env, "B=2"));
        assert_true(has(&t.env, "OURS=from here"));
        assert_true(has(&t.env, "E="));
        assert_true(has(&t.env, "HOSTNAME=n"));
        assert_int_equal(count(&t.env, "GONE"), 0);
        assert_int_equal(count(&t.env, "odd"), 0);
        s.env = (struct strings)LIST("=x");
        assert_int_equal(settings_merge(&a, &s, &c, &t, &e), -1);
}

static void write_file(char *path, const char *text)
{
        int fd = mkstemp(path);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        close(fd);
}

static void test_env_file(void **state)
{
        AUTO_ARENA a = { 0 };
        char good[] = "/tmp/test-env-XXXXXX", bad[] = "/tmp/test-env-XXXXXX";
        struct sandbox s = { .image = "i", .name = "n", .args = LIST("c"), .env = LIST("B=cli") };
        struct settings t;
        struct err e = { 0 };

        write_file(good, "\xef\xbb\xbf# a comment\r\n\r\n  A= with blanks \nB=file\r\nC=\r\nOURS");
        write_file(bad, "A B=1\n");
        setenv("OURS", "x", 1);
        s.env_files = (struct strings)LIST(good);
        assert_int_equal(settings_merge(&a, &s, NULL, &t, &e), 0);
        assert_true(has(&t.env, "A= with blanks "));
        assert_true(has(&t.env, "B=cli"));
        assert_true(has(&t.env, "C="));
        assert_true(has(&t.env, "OURS=x"));
        s.env_files = (struct strings)LIST(bad);
        assert_int_equal(settings_merge(&a, &s, NULL, &t, &e), -1);
        assert_non_null(strstr(e.chain, "bad variable \"A B=1\""));
        unlink(good);
        unlink(bad);
}

static void test_places(void **state)
{
        AUTO_ARENA a = { 0 };
        struct image_config c = { .workdir = "srv/../app",
                                  .user = "web",
                                  .stop_signal = "SIGQUIT",
                                  .volumes = LIST("/data", "logs/", "/mine", "/data") };
        struct sandbox s = { .image = "i",
                             .name = "n",
                             .args = LIST("c"),
                             .volumes = LIST("/tmp:/mine/:ro", "/extra") };
        struct settings t;
        struct err e = { 0 };

        assert_int_equal(settings_merge(&a, &s, &c, &t, &e), 0);
        assert_string_equal(t.workdir, "/app");
        assert_string_equal(t.user, "web");
        assert_string_equal(t.stop_signal, "SIGQUIT");
        assert_int_equal(t.volumes.n, 3);
        assert_string_equal(t.volumes.v[0], "/extra");
        assert_string_equal(t.volumes.v[1], "/data");
        assert_string_equal(t.volumes.v[2], "/logs");
        s.workdir = "/w";
        s.user = "db:7";
        assert_int_equal(settings_merge(&a, &s, &c, &t, &e), 0);
        assert_string_equal(t.workdir, "/w");
        assert_string_equal(t.user, "db:7");
        s.workdir = "relative";
        assert_int_equal(settings_merge(&a, &s, &c, &t, &e), -1);
        s.workdir = NULL;
        c.volumes = (struct strings)LIST("/..");
        assert_int_equal(settings_merge(&a, &s, &c, &t, &e), -1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_args),
                cmocka_unit_test(test_env),
                cmocka_unit_test(test_env_file),
                cmocka_unit_test(test_places),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
