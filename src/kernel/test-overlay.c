/* Overlays by descriptor and by name show the same. Needs root, and a mount namespace of its own.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/test.h"

#include "base/fd.h"
#include "kernel/mount.h"
#include "kernel/overlay.h"
#include "kernel/sys.h"
#include "kernel/test-child.h"

#define LAYERS OVERLAY_LOWER_MAX

/* A place on a tmpfs of our own with directories "0".."499", each with a file of its name. */
static int workshop(void)
{
        int at, here, file;
        char name[32];

        if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
                _exit(CHILD_SKIP);
        CHECK_EQ(mount_propagation("/", MS_PRIVATE, true), 0);
        at = mount_new("tmpfs", "t", NULL, 0, 0, NULL, NULL, 0);
        here = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
        CHECK(at >= 0 && here >= 0);
        CHECK_EQ(mount_attach(at, here), 0);
        for (int i = 0; i < LAYERS; i++) {
                snprintf(name, sizeof name, "%d", i);
                CHECK_EQ(mkdirat(at, name, 0755), 0);
                snprintf(name, sizeof name, "%d/f%d", i, i);
                close(openat(at, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
                snprintf(name, sizeof name, "%d/same", i);
                file = openat(at, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
                CHECK_EQ(fd_write_all(file, name, strlen(name)), 0);
                close(file);
        }
        CHECK_EQ(mkdirat(at, "up,per", 0755), 0);
        CHECK_EQ(mkdirat(at, "work", 0755), 0);
        return at;
}

static int dir(int at, const char *name)
{
        int fd = openat(at, name, O_PATH | O_DIRECTORY | O_CLOEXEC);

        CHECK(fd >= 0);
        return fd;
}

static void look(int fd, size_t n)
{
        char name[32], text[32];

        CHECK(fd >= 0);
        for (size_t i = 0; i < n; i++) {
                snprintf(name, sizeof name, "f%zu", i);
                CHECK_EQ(faccessat(fd, name, F_OK, 0), 0);
        }
        CHECK(fd_read_text_at(fd, "same", text, sizeof text) > 0);
        CHECK(!strcmp(text, "0/same"));
}

typedef int how_fn(const struct overlay *o);

static int by_any(const struct overlay *o)
{
        char words[200];
        int r = overlay_mount(o, words, sizeof words);

        if (r < 0 && r != -E2BIG)
                fprintf(stderr, "overlay_mount: %d %s\n", r, words);
        return r;
}

static void read_only(how_fn *how)
{
        static const size_t counts[] = { 2, 3, 130, LAYERS };
        int at = workshop(), fds[LAYERS + 1];
        char name[32];

        for (int i = 0; i < LAYERS; i++) {
                snprintf(name, sizeof name, "%d", i);
                fds[i] = dir(at, name);
        }
        fds[LAYERS] = fds[0];
        for (size_t i = 0; i < 4; i++) {
                int fd = how(&(struct overlay){ fds, counts[i], -1, -1, false, false });

                look(fd, counts[i]);
                CHECK(mkdirat(fd, "x", 0755) < 0);
                close(fd);
        }
        CHECK_EQ(how(&(struct overlay){ fds, LAYERS + 1, -1, -1, false, false }), -E2BIG);
}

static void writable(how_fn *how)
{
        int at = workshop(), fd;
        int fds[] = { dir(at, "0"), dir(at, "1") };
        struct overlay o = { fds, 2, dir(at, "up,per"), dir(at, "work"), true, false };

        look(fd = how(&o), 2);
        CHECK_EQ(mkdirat(fd, "made", 0755), 0);
        CHECK_EQ(unlinkat(fd, "f1", 0), 0);
        CHECK_EQ(faccessat(at, "up,per/made", F_OK, 0), 0);
        CHECK_EQ(faccessat(at, "up,per/f1", F_OK, AT_SYMLINK_NOFOLLOW), 0);
        CHECK_EQ(faccessat(at, "work/work/incompat/volatile", F_OK, 0), 0);
        /* Directories are copied, not redirected. */
        CHECK(renameat(fd, "made", fd, "renamed") == 0);
}

static void any_read_only(void)
{
        read_only(by_any);
}
static void named_read_only(void)
{
        read_only(overlay_mount_by_name);
}
static void any_writable(void)
{
        writable(by_any);
}
static void named_writable(void)
{
        writable(overlay_mount_by_name);
}

static void test_read_only(void **state)
{
        IN_CHILD(any_read_only);
        IN_CHILD(named_read_only);
}

static void test_writable(void **state)
{
        IN_CHILD(any_writable);
        IN_CHILD(named_writable);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_read_only),
                cmocka_unit_test(test_writable),
        };

        return cmocka_run_group_tests_name("kernel-overlay", tests, NULL, NULL);
}
