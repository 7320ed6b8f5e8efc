/* Descriptors: limits of reads, replacement of files, and passing descriptors over a socket. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/test.h"

static int open_count(void)
{
        DIR *d = opendir("/proc/self/fd");
        int n = 0;

        assert_non_null(d);
        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static int scratch_make(void **state)
{
        char path[] = "/tmp/test-fd-XXXXXX";
        int *dir = malloc(sizeof *dir);

        if (!dir || !mkdtemp(path))
                return -1;
        *dir = open(path, O_DIRECTORY | O_CLOEXEC);
        *state = dir;
        return 0;
}

static int scratch_remove(void **state)
{
        int *dir = *state;
        struct fd_path p = fd_path(*dir);
        char path[64] = "";

        unlinkat(*dir, "file", 0);
        if (readlink(p.s, path, sizeof path - 1) < 0 || rmdir(path) < 0)
                return -1;
        fd_close(*dir);
        free(dir);
        return 0;
}

static void test_reads_end_at_their_limit(void **state)
{
        int dir = *(int *)*state;
        char *data = NULL, small[5];
        size_t n = 0;

        assert_int_equal(fd_replace_at(dir, "file", "12345", 5, 0644, 0), 0);
        assert_int_equal(fd_read_text_at(dir, "file", small, sizeof small), -EFBIG);
        assert_int_equal(fd_replace_at(dir, "file", "1234", 4, 0644, 0), 0);
        assert_int_equal(fd_read_text_at(dir, "file", small, sizeof small), 4);
        assert_string_equal(small, "1234");
        assert_int_equal(fd_read_file_at(dir, "file", 3, &data, &n), -EFBIG);
        assert_null(data);
        assert_int_equal(fd_read_file_at(dir, "file", 4, &data, &n), 0);
        assert_int_equal(n, 4);
        assert_string_equal(data, "1234");
        free(data);
        /* A file that claims no size: procfs. */
        assert_int_equal(fd_read_file_at(dir, "/proc/self/maps", 1 << 20, &data, &n), 0);
        assert_true(n > 4096 / 4 && strlen(data) == n);
        free(data);
        assert_int_equal(fd_read_file_at(dir, "/proc/self/maps", 10, &data, &n), -EFBIG);
        assert_int_equal(fd_read_file_at(dir, "none", 10, &data, &n), -ENOENT);
        assert_int_equal(fd_read_file_at(dir, ".", 10, &data, &n), -EISDIR);
}

static void test_replace_leaves_nothing_half_done(void **state)
{
        int dir = *(int *)*state;
        struct stat st;
        char text[16];

        assert_int_equal(fd_replace_at(dir, "file", "old", 3, 0600, 1), 0);
        assert_int_equal(fd_replace_at(dir, "file", "new", 3, 0600, 1), 0);
        assert_int_equal(fd_read_text_at(dir, "file", text, sizeof text), 3);
        assert_string_equal(text, "new");
        assert_int_equal(fstatat(dir, "file", &st, 0), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(fd_replace_at(dir, "no/such", "x", 1, 0600, 0), -ENOENT);
        assert_int_equal(fd_put_at(dir, "file", "N"), 0);
        assert_int_equal(fd_put_at(dir, "none", "N"), -ENOENT);
        /* scratch_remove() fails on a temporary that stayed. */
}

static void test_descriptors_pass_over_a_socket(void **state)
{
        int pair[2], before = open_count(), out[FD_PASS_MAX], in[FD_PASS_MAX];
        size_t room = 3;
        char text[8];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        for (int i = 0; i < 5; i++)
                out[i] = memfd_create("pass", MFD_CLOEXEC);
        assert_int_equal(fd_send(pair[0], "hello", 5, out, 5), 0);
        assert_int_equal(fd_recv(pair[1], text, sizeof text, in, &room), 5);
        assert_memory_equal(text, "hello", 5);
        assert_int_equal(room, 3); /* the other two were closed, not leaked */
        for (size_t i = 0; i < room; i++) {
                assert_true(fcntl(in[i], F_GETFD) & FD_CLOEXEC);
                fd_close(in[i]);
        }
        assert_int_equal(fd_send(pair[0], "too long for it", 15, out, 2), 0);
        room = FD_PASS_MAX;
        assert_int_equal(fd_recv(pair[1], text, sizeof text, in, &room), -EMSGSIZE);
        assert_int_equal(room, 0); /* nothing of a broken message is kept */
        assert_int_equal(fd_send(pair[0], "x", 1, out, FD_PASS_MAX + 1), -E2BIG);
        for (int i = 0; i < 5; i++)
                fd_close(out[i]);
        fd_close(pair[0]);
        assert_int_equal(fd_recv(pair[1], text, sizeof text, NULL, NULL), 0);
        fd_close(pair[1]);
        assert_int_equal(open_count(), before);
}

static void test_close_keeps_errno(void **state)
{
        int fd = memfd_create("x", MFD_CLOEXEC), kept;
        AUTO_FD int gone = TAKE_FD(fd);

        kept = gone;
        assert_int_equal(fd, -1);
        errno = EXDEV;
        gone = fd_close(gone);
        assert_int_equal(gone, -1);
        assert_int_equal(errno, EXDEV);
        assert_int_equal(fcntl(kept, F_GETFD), -1);
        assert_int_equal(fd_close(-1), -1);
        assert_int_equal(fd_write_all(-1, "x", 1), -EBADF);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_reads_end_at_their_limit, scratch_make,
                                                scratch_remove),
                cmocka_unit_test_setup_teardown(test_replace_leaves_nothing_half_done, scratch_make,
                                                scratch_remove),
                cmocka_unit_test(test_descriptors_pass_over_a_socket),
                cmocka_unit_test(test_close_keeps_errno),
        };

        return cmocka_run_group_tests_name("fd", tests, NULL, NULL);
}
