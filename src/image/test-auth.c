/* Credentials: which file and key wins, helpers, and what storing leaves alone. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/str.h"
#include "codec/json.h"
#include "image/auth.h"
#include "image/test-scratch.h"

/* A directory that is home, runtime directory and PATH in one. */
static int setup(void **state)
{
        struct scratch *p = mem_alloc(sizeof *p);

        *p = (struct scratch){ .dir = "" };
        if (scratch_open(p) < 0)
                return -1;
        setenv("HOME", p->dir, 1);
        setenv("XDG_RUNTIME_DIR", arena_printf(&p->a, "%s/run", p->dir), 1);
        setenv("PATH", arena_printf(&p->a, "%s/bin:/usr/bin:/bin", p->dir), 1);
        *state = p;
        return 0;
}

static int teardown(void **state)
{
        scratch_done(*state);
        free(*state);
        return 0;
}

static const char *get(struct scratch *p, const char *path)
{
        char *text;
        size_t n;
        const char *copy;

        assert_int_equal(fd_read_file_at(AT_FDCWD, path, 1 << 20, &text, &n), 0);
        copy = arena_strndup(&p->a, text, n);
        free(text);
        return copy;
}

/* "user:password", "identity TOKEN", "bearer TOKEN", "none", or the error. */
static const char *found(struct scratch *p, const char *host, const char *path)
{
        struct auth_places where = { 0 };
        struct credentials c;
        struct err e = { 0 };

        if (auth_find(&p->a, &where, host, path, NULL, &c, &e) < 0)
                return arena_printf(&p->a, "error: %s", e.chain);
        switch (c.kind) {
        case CREDENTIALS_BASIC:
                return arena_printf(&p->a, "%s:%s", c.user, c.password);
        case CREDENTIALS_IDENTITY:
                return arena_printf(&p->a, "identity %s", c.token);
        case CREDENTIALS_BEARER:
                return arena_printf(&p->a, "bearer %s", c.token);
        default:
                return "none";
        }
}

static void test_longest_key(void **state)
{
        struct scratch *p = *state;

        scratch_put(
                p, "run/containers/auth.json",
                "{\"auths\":{\"h.io/ns/repo\":{\"auth\":\"YTox\"},\"h.io/ns\":{\"auth\":\"Yjoy\"},"
                "\"h.io\":{\"auth\":\"Yzoz\"},\"https://old.io/v1/\":{\"auth\":\"ZDo0\"},"
                "\"only.io/ns\":{\"auth\":\"ZTo1\"},\"index.docker.io\":{\"auth\":\"Zjo2OjcA\"}}}",
                0600);
        assert_string_equal(found(p, "h.io", "ns/repo"), "a:1");
        assert_string_equal(found(p, "h.io", "ns/repo/more"), "a:1");
        assert_string_equal(found(p, "h.io", "ns/other"), "b:2");
        assert_string_equal(found(p, "h.io", "nsx"), "c:3");
        assert_string_equal(found(p, "h.io", NULL), "c:3");
        assert_string_equal(found(p, "h.io:80", "ns"), "none");
        assert_string_equal(found(p, "old.io", "x"), "d:4");
        assert_string_equal(found(p, "only.io", "x"), "none");
        assert_string_equal(found(p, "docker.io", "library/x"), "f:6:7");
}

/* /run/containers/0 is root's: whoever isn't has other places. */
static void test_unreadable(void **state)
{
        struct scratch *p = *state;
        uid_t was = geteuid();

        scratch_put(p, "run/containers/auth.json", "{\"auths\":{\"h.io\":{\"auth\":\"YTox\"}}}", 0);
        scratch_put(p, ".docker/config.json", "{\"auths\":{\"h.io\":{\"auth\":\"Yjoy\"}}}", 0644);
        assert_int_equal(chmod(p->dir, 0755), 0);
        if (was == 0)
                assert_int_equal(seteuid(65534), 0);
        assert_string_equal(found(p, "h.io", "x"), "b:2");
        if (was == 0)
                assert_int_equal(seteuid(0), 0);
}

static void test_order_of_files(void **state)
{
        struct scratch *p = *state;

        scratch_put(p, ".docker/config.json",
                    "{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"ZDoz\"},"
                    "\"h.io\":{\"auth\":\"ZDoz\"}}}",
                    0600);
        assert_string_equal(found(p, "docker.io", "library/x"), "d:3");
        scratch_put(p, ".config/containers/auth.json", "{\"auths\":{\"h.io\":{\"auth\":\"Yjoy\"}}}",
                    0600);
        assert_string_equal(found(p, "h.io", "x"), "b:2");
        scratch_put(p, "run/containers/auth.json", "{\"auths\":{\"h.io\":{\"auth\":\"YTox\"}}}",
                    0600);
        assert_string_equal(found(p, "h.io", "x"), "a:1");
        assert_string_equal(found(p, "docker.io", "library/x"), "d:3");
        setenv("REGISTRY_AUTH_FILE", scratch_put(p, "named.json", "", 0600), 1);
        assert_string_equal(found(p, "h.io", "x"), "none");
}

static void test_tokens(void **state)
{
        struct scratch *p = *state;

        scratch_put(p, "run/containers/auth.json",
                    "{\"auths\":{\"i.io\":{\"auth\":\"YTo=\",\"identitytoken\":\"T\"},"
                    "\"r.io\":{\"registrytoken\":\"R\"},\"u.io\":{\"username\":\"u\",\"password\":"
                    "\"p\"},"
                    "\"empty.io\":{}}}",
                    0600);
        assert_string_equal(found(p, "i.io", NULL), "identity T");
        assert_string_equal(found(p, "r.io", NULL), "bearer R");
        assert_string_equal(found(p, "u.io", NULL), "u:p");
        assert_string_equal(found(p, "empty.io", NULL), "none");
}

static void test_broken_files(void **state)
{
        struct scratch *p = *state;
        const char *file = "run/containers/auth.json";

        scratch_put(p, file, "{\"auths\":{\"h.io\":{\"auth\":\"!\"}}}", 0600);
        assert_non_null(strstr(found(p, "h.io", NULL), "'auth' of 'h.io' is not base64"));
        scratch_put(p, file, "{\"auths\":{\"h.io\":{\"auth\":\"YQ==\"}}}", 0600);
        assert_non_null(strstr(found(p, "h.io", NULL), "USER:PASSWORD"));
        scratch_put(p, file, "{\n  auths", 0600);
        assert_non_null(strstr(found(p, "h.io", NULL), "line 2, column 3"));
        scratch_put(p, file, "[]", 0600);
        assert_non_null(strstr(found(p, "h.io", NULL), "no JSON object"));
}

static void test_helpers(void **state)
{
        struct scratch *p = *state;

        scratch_put(p, "bin/docker-credential-good",
                    "#!/bin/sh\nread server\n"
                    "case $server in\n"
                    "  token.io) echo '{\"Username\":\"<token>\",\"Secret\":\"T\"}' ;;\n"
                    "  *) printf '{\"ServerURL\":\"%s\",\"Username\":\"u\",\"Secret\":\"%s\"}' "
                    "\"$server\" "
                    "\"$server\" ;;\nesac\n",
                    0755);
        scratch_put(p, "bin/docker-credential-none",
                    "#!/bin/sh\necho 'credentials not found in native keychain'\nexit 1\n", 0755);
        scratch_put(p, "bin/docker-credential-bad", "#!/bin/sh\nprintf 'locked\\033[1m'\nexit 3\n",
                    0755);
        scratch_put(p, "bin/docker-credential-much", "#!/bin/sh\nyes\n", 0755);
        /* What it leaves behind keeps its output open. */
        scratch_put(p, "bin/docker-credential-agent",
                    "#!/bin/sh\nsleep 20 &\necho '{\"Username\":\"g\",\"Secret\":\"h\"}'\n", 0755);
        scratch_put(
                p, "run/containers/auth.json",
                "{\"credHelpers\":{\"good.io\":\"good\",\"token.io\":\"good\",\"none.io\":\"none\","
                "\"bad.io\":\"bad\",\"much.io\":\"much\",\"agent.io\":\"agent\",\"path.io\":\"../"
                "x\","
                "\"missing.io\":\"missing\"},\"auths\":{\"none.io\":{\"auth\":\"YTox\"}}}",
                0600);
        assert_string_equal(found(p, "good.io", "ns"), "u:good.io");
        assert_string_equal(found(p, "token.io", "ns"), "identity T");
        assert_string_equal(found(p, "none.io", "ns"), "a:1");
        assert_string_equal(found(p, "agent.io", "ns"), "g:h");
        assert_non_null(strstr(found(p, "bad.io", "ns"), "status 3: locked?[1m"));
        assert_non_null(strstr(found(p, "much.io", "ns"), "cannot read the answer"));
        assert_non_null(strstr(found(p, "path.io", "ns"), "'../x' is no name"));
        assert_non_null(strstr(found(p, "missing.io", "ns"), "cannot run"));
        assert_string_equal(found(p, "other.io", "ns"), "none");
        scratch_put(p, ".docker/config.json",
                    "{\"credsStore\":\"good\",\"auths\":{\"https://index.docker.io/v1/\":{}}}",
                    0600);
        assert_string_equal(found(p, "docker.io", "x"), "u:https://index.docker.io/v1/");
        assert_string_equal(found(p, "other.io", "x"), "u:other.io");
}

static int store(struct scratch *p, const char *file, const char *key, const char *creds,
                 struct err *e)
{
        struct auth_places where = { .authfile = file };
        struct credentials c;
        const char *kept;

        return auth_parse(&p->a, creds, &c, e) < 0 ? -1
                                                   : auth_store(&p->a, &where, key, &c, &kept, e);
}

static void test_store(void **state)
{
        struct scratch *p = *state;
        char *file = arena_printf(&p->a, "%s/run/containers/auth.json", p->dir);
        struct err e = { 0 };
        struct stat st;

        assert_int_equal(store(p, NULL, "h.io", "a:1", &e), 0);
        assert_int_equal(stat(file, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_string_equal(found(p, "h.io", "x"), "a:1");
        scratch_put(
                p, "run/containers/auth.json",
                "{\"HttpHeaders\":{\"x\":[1,2.5]},\"auths\":{\"b.io\":{\"auth\":\"Yjoy\",\"email\":"
                "\"e\"},\"https://h.io/v2/\":{\"auth\":\"YTox\"}},\"z\":null}",
                0644);
        assert_int_equal(store(p, NULL, "h.io", "c:3:4", &e), 0);
        assert_string_equal(get(p, file), "{\n"
                                          "        \"HttpHeaders\": {\n"
                                          "                \"x\": [\n"
                                          "                        1,\n"
                                          "                        2.5\n"
                                          "                ]\n"
                                          "        },\n"
                                          "        \"auths\": {\n"
                                          "                \"b.io\": {\n"
                                          "                        \"auth\": \"Yjoy\",\n"
                                          "                        \"email\": \"e\"\n"
                                          "                },\n"
                                          "                \"h.io\": {\n"
                                          "                        \"auth\": \"YzozOjQ=\"\n"
                                          "                }\n"
                                          "        },\n"
                                          "        \"z\": null\n"
                                          "}\n");
        stat(file, &st);
        assert_int_equal(st.st_mode & 07777, 0600);
        scratch_put(p, "run/containers/auth.json", "{", 0600);
        assert_int_equal(store(p, NULL, "h.io", "a:1", &e), -1);
        assert_string_equal(get(p, file), "{");
        assert_int_equal(store(p, NULL, "h.io", "nobody", &e), -1);
        assert_int_equal(store(p, NULL, "h.io", ":x", &e), -1);
}

static void test_store_for_docker(void **state)
{
        struct scratch *p = *state;
        const char *real = scratch_put(p, "elsewhere/config.json", "{}", 0600);
        char *file = arena_printf(&p->a, "%s/config.json", p->dir);
        struct err e = { 0 };
        struct stat st;

        assert_int_equal(symlink(real, file), 0);
        assert_int_equal(store(p, file, "docker.io", "a:1", &e), 0);
        assert_non_null(strstr(get(p, real), "\"https://index.docker.io/v1/\": {"));
        assert_int_equal(lstat(file, &st), 0);
        assert_true(S_ISLNK(st.st_mode));
}

static void test_store_in_helper(void **state)
{
        struct scratch *p = *state;
        struct err e = { 0 };

        scratch_put(p, "bin/docker-credential-log",
                    "#!/bin/sh\necho \"$1 $(cat)\" >>\"$HOME/log\"\n", 0755);
        scratch_put(p, "run/containers/auth.json", "{\"credHelpers\":{\"h.io\":\"log\"}}", 0600);
        assert_int_equal(store(p, NULL, "h.io", "a:1", &e), 0);
        assert_int_equal(auth_remove(&p->a, &(struct auth_places){ 0 }, "h.io", false, &e), 0);
        assert_string_equal(
                get(p, arena_printf(&p->a, "%s/log", p->dir)),
                "store {\"ServerURL\":\"h.io\",\"Username\":\"a\",\"Secret\":\"1\"}\nerase h.io\n");
}

static void test_remove_all_from_store(void **state)
{
        struct scratch *p = *state;
        struct err e = { 0 };

        scratch_put(p, "bin/docker-credential-log",
                    "#!/bin/sh\nread s\necho \"$1 $s\" >>\"$HOME/log\"\n"
                    "[ $1 != list ] || echo '{\"a.io\":\"u\",\"https://b.io/v1/\":\"v\"}'\n",
                    0755);
        scratch_put(p, "run/containers/auth.json",
                    "{\"credsStore\":\"log\",\"auths\":{\"a.io\":{}}}", 0600);
        assert_int_equal(auth_remove(&p->a, &(struct auth_places){ 0 }, NULL, true, &e), 0);
        assert_string_equal(get(p, arena_printf(&p->a, "%s/log", p->dir)),
                            "list \nerase a.io\nerase https://b.io/v1/\n");
        assert_null(
                strstr(get(p, arena_printf(&p->a, "%s/run/containers/auth.json", p->dir)), "a.io"));
}

static void test_remove(void **state)
{
        struct scratch *p = *state;
        struct auth_places where = { 0 };
        struct err e = { 0 };

        assert_int_equal(auth_remove(&p->a, &where, "h.io", false, &e), -1);
        assert_int_equal(e.code, ERR_NOT_FOUND);
        assert_int_equal(store(p, NULL, "h.io", "a:1", &e), 0);
        assert_int_equal(store(p, NULL, "h.io/ns", "b:2", &e), 0);
        assert_int_equal(auth_remove(&p->a, &where, "h.io", false, &e), 0);
        assert_string_equal(found(p, "h.io", "x"), "none");
        assert_string_equal(found(p, "h.io", "ns/x"), "b:2");
        assert_int_equal(auth_remove(&p->a, &where, "h.io", false, &e), -1);
        assert_int_equal(e.code, ERR_NOT_FOUND);
        assert_int_equal(auth_remove(&p->a, &where, NULL, true, &e), 0);
        assert_string_equal(found(p, "h.io", "ns/x"), "none");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                CASE(test_longest_key),
                CASE(test_unreadable),
                CASE(test_order_of_files),
                CASE(test_tokens),
                CASE(test_broken_files),
                CASE(test_helpers),
                CASE(test_store),
                CASE(test_store_for_docker),
                CASE(test_store_in_helper),
                CASE(test_remove),
                CASE(test_remove_all_from_store),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
