/* CRIU's messages: against bytes worked out by hand, mangled, and against criu itself. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "base/test.h"
#include "codec/criu-rpc.h"

static void check_bytes(const struct criu_request *r, const char *bytes, size_t n)
{
        AUTO_BUF out = { 0 };

        criu_request_encode(r, &out);
        assert_int_equal(out.len, n);
        assert_memory_equal(out.s, bytes, n);
}
#define CHECK_BYTES(r, bytes) check_bytes(r, bytes, sizeof(bytes) - 1)

static void test_requests(void **state)
{
        struct criu_features wanted = { .mem_track = true };
        struct criu_opts opts = { .images_dir_fd = -1, .cgroups_mode = CRIU_CGROUPS_SOFT };
        struct criu_request r = { .type = CRIU_VERSION, .keep_open = true };

        CHECK_BYTES(&r, "\x08\x0a\x20\x01");
        r = (struct criu_request){ .type = CRIU_EMPTY };
        CHECK_BYTES(&r, "\x08\x00");
        r = (struct criu_request){ .type = CRIU_NOTIFY, .notify_success = true };
        CHECK_BYTES(&r, "\x08\x06\x18\x01");
        r = (struct criu_request){ .type = CRIU_FEATURE_CHECK, .features = &wanted };
        CHECK_BYTES(&r, "\x08\x09\x2a\x02\x08\x01");
        /* -1 in ten bytes; field 34 needs two for its key. */
        r = (struct criu_request){ .type = CRIU_DUMP, .opts = &opts };
        CHECK_BYTES(&r, "\x08\x01\x12\x0e\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x90\x02\x03");
}

static void test_lists(void **state)
{
        const char *external[] = { "mnt[/a]:/b", "x" };
        struct key_value roots[] = { { "cpu", "/c" }, { NULL, "/d" } };
        struct criu_inherited inherited[] = { { "pipe:[7]", 0 } };
        struct criu_opts opts = {
                .images_dir_fd = 300,
                .external = { external, 2 },
                .cgroup_roots = roots,
                .n_cgroup_roots = 2,
                .inherited = inherited,
                .n_inherited = 1,
        };
        struct criu_request r = { .type = CRIU_RESTORE, .opts = &opts };

        CHECK_BYTES(&r, "\x08\x02\x12\x39"
                        "\x08\xac\x02"
                        "\xca\x01\x09\x0a\x03"
                        "cpu\x12\x02/c"
                        "\xca\x01\x04\x12\x02/d"
                        "\xda\x01\x0c\x0a\x08pipe:[7]\x10\x00"
                        "\x90\x02\x00"
                        "\xaa\x02\x0amnt[/a]:/b"
                        "\xaa\x02\x01x");
}

/* ---- responses ---- */

#define DECODE(a, bytes, ret) criu_response_decode(a, bytes, sizeof(bytes) - 1, ret)

static void test_responses(void **state)
{
        AUTO_ARENA a = { 0 };
        struct criu_response r;

        assert_int_equal(DECODE(&a, "\x08\x0a\x10\x01\x52\x06\x08\x03\x10\x11\x20\x01", &r), 0);
        assert_int_equal(r.type, CRIU_VERSION);
        assert_true(r.success);
        assert_int_equal(r.version->major, 3);
        assert_int_equal(r.version->minor, 17);
        assert_int_equal(r.version->sublevel, 1);
        assert_null(r.version->gitid);
        assert_int_equal(DECODE(&a, "\x08\x06\x10\x01\x2a\x0e\x0a\x08pre-dump\x10\xac\x94\x06", &r),
                         0);
        assert_string_equal(r.notify->script, "pre-dump");
        assert_int_equal(r.notify->pid, 100908);
        assert_int_equal(DECODE(&a, "\x08\x01\x10\x00\x38\x34\x4a\x02no", &r), 0);
        assert_false(r.success);
        assert_int_equal(r.sys, 52);
        assert_string_equal(r.message, "no");
        assert_int_equal(
                DECODE(&a, "\x08\x02\x10\x01\x22\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                       &r),
                0);
        assert_int_equal(r.restored->pid, -1);
}

/* Later versions say more: fields of every wire type that this one does not know are passed
 * over. */
static void test_unknown_fields(void **state)
{
        AUTO_ARENA a = { 0 };
        struct criu_response r;

        assert_int_equal(DECODE(&a,
                                "\x08\x01\xf8\x07\x05\x10\x01\xfa\x07\x02zz\xf9\x07"
                                "12345678\xfd\x07"
                                "1234\x58\x09",
                                &r),
                         0);
        assert_true(r.success);
        /* A message that comes in two parts is one. */
        assert_int_equal(DECODE(&a, "\x08\x0a\x10\x01\x52\x02\x08\x03\x52\x02\x10\x05", &r), 0);
        assert_int_equal(r.version->major, 3);
        assert_int_equal(r.version->minor, 5);
}

static void test_bad_responses(void **state)
{
        static const struct {
                const char *bytes;
                size_t n;
        } bad[] = {
#define BAD(s) { s, sizeof(s) - 1 }
                BAD(""),
                BAD("\x08\x01"),                                     /* no success */
                BAD("\x10\x01"),                                     /* no type */
                BAD("\x08\x01\x10"),                                 /* cut short */
                BAD("\x08\x01\x10\x01\x00\x00"),                     /* field 0 */
                BAD("\x0a\x01\x10\x01"),                             /* type as bytes */
                BAD("\x08\x01\x10\x01\x4a\x05no"),                   /* a length too long */
                BAD("\x08\x01\x10\x01\x4a\x02n\x00"),                /* NUL */
                BAD("\x08\x01\x10\x01\x2b"),                         /* a group */
                BAD("\x08\x01\x10\x01\x48\x01"),                     /* a string as a number */
                BAD("\x08\x01\x10\x01\x2a\x02\x0a\x05"),             /* cut short inside */
                BAD("\x08\x01\x10\x01\x59\x01\x02"),                 /* 64 bits cut short */
                BAD("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), /* over 64 bits */
                BAD("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        };
        AUTO_ARENA a = { 0 };
        struct criu_response r;

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_int_equal(criu_response_decode(&a, bad[i].bytes, bad[i].n, &r), -EBADMSG);
}

/* Random bytes and random changes of a good answer: whatever comes, it ends. */
static void test_noise(void **state)
{
        static const char good[] = "\x08\x06\x10\x01\x2a\x0e\x0a\x08pre-dump\x10\xac\x94\x06";
        uint64_t seed = 7;

        for (int i = 0; i < 20000; i++) {
                AUTO_ARENA a = { 0 };
                char bytes[sizeof good - 1];
                struct criu_response r;

                memcpy(bytes, good, sizeof bytes);
                for (int k = 0; k < 3; k++)
                        bytes[test_random(&seed) % sizeof bytes] = (char)test_random(&seed);
                if (criu_response_decode(&a, bytes, test_random(&seed) % sizeof bytes, &r) == 0 &&
                    r.notify && r.notify->script)
                        assert_true(strlen(r.notify->script) < sizeof bytes);
        }
}

/* ---- criu itself ---- */

static pid_t start_criu(int *ret_sock)
{
        int pair[2];
        pid_t pid;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
        pid = fork();
        if (pid == 0) {
                close(pair[0]);
                close(2); /* that its peer has gone is news to it */
                if (dup2(pair[1], 3) == 3)
                        execlp("criu", "criu", "swrk", "3", (char *)NULL);
                _exit(127);
        }
        close(pair[1]);
        *ret_sock = pair[0];
        return pid;
}

static void test_criu(void **state)
{
        struct criu_request ask = { .type = CRIU_VERSION, .keep_open = true };
        AUTO_BUF out = { 0 };
        AUTO_ARENA a = { 0 };
        char answer[4096];
        struct criu_response r;
        int sock, status;
        pid_t pid = start_criu(&sock);

        criu_request_encode(&ask, &out);
        for (int i = 0; i < 2; i++) {
                ssize_t n = send(sock, out.s, out.len, MSG_NOSIGNAL);

                n = n < 0 ? 0 : recv(sock, answer, sizeof answer, 0);
                if (n <= 0)
                        break;
                assert_int_equal(criu_response_decode(&a, answer, (size_t)n, &r), 0);
                assert_int_equal(r.type, CRIU_VERSION);
                assert_true(r.success && r.version && r.version->major >= 3);
        }
        close(sock);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
                test_skip("criu is not installed");
        assert_int_equal(r.type, CRIU_VERSION);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_requests),      cmocka_unit_test(test_lists),
                cmocka_unit_test(test_responses),     cmocka_unit_test(test_unknown_fields),
                cmocka_unit_test(test_bad_responses), cmocka_unit_test(test_noise),
                cmocka_unit_test(test_criu),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
