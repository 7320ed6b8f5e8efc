/* Layers of a store as one root: of both kinds, shared and not, opaque, removed while mounted.
 * Needs root, and a mount namespace of its own. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/test.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "codec/erofs.h"
#include "image/snapshot.h"
#include "kernel/mount.h"
#include "kernel/sys.h"
#include "kernel/test-child.h"

static const struct log quiet = { .fd = -1 };

struct fixture {
        char root[64], run[80];
        struct store *s;
        struct strings keys;
        const char *key_space[8];
        char names[8][72];
        struct err e;
};

static void give_up(struct fixture *f, const char *what)
{
        fprintf(stderr, "%s: %s\n", what, f->e.chain);
        _exit(1);
}

/* In a child: a store in a temporary directory (of a disk, for /tmp may be anything). */
static void begin(struct fixture *f)
{
        AUTO_FD int dir = -1;

        memset(f, 0, sizeof *f);
        if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
                _exit(CHILD_SKIP);
        CHECK_EQ(mount_propagation("/", MS_PRIVATE, true), 0);
        snprintf(f->root, sizeof f->root, "/var/tmp/berth-snapshot-XXXXXX");
        CHECK(mkdtemp(f->root));
        snprintf(f->run, sizeof f->run, "%s/run", f->root);
        dir = open(f->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (!snapshot_has_erofs(dir)) {
                rmdir(f->root);
                _exit(CHILD_SKIP);
        }
        if (store_open(f->root, &quiet, &f->s, &f->e) < 0)
                give_up(f, "store");
        f->keys.v = f->key_space;
}

static void end(struct fixture *f)
{
        AUTO_FREE char *command = mem_printf("rm -rf %s", f->root);

        store_close(f->s);
        CHECK_EQ(system(command), 0);
}

static int put(void *ctx, const void *p, size_t n)
{
        return fd_write_all(*(int *)ctx, p, n);
}

static int create(int dir, const char *name)
{
        int fd = openat(dir, name, O_CREAT | O_RDWR | O_CLOEXEC, 0644);

        CHECK(fd >= 0);
        return fd;
}

/* A layer of entries (directories end in '/'), each file's content its layer's number. */
static void erofs_layer(int stage, const char *const *paths, char number)
{
        AUTO_FD int tar = create(stage, "layer.tar");
        AUTO_FD int index = create(stage, "layer.erofs");
        struct erofs *x = erofs_new();
        char block[512] = { number };

        CHECK_EQ(fd_write_all(tar, block, sizeof block), 0);
        for (; *paths; paths++) {
                struct tar_entry t = { .path = *paths, .mode = 0755, .mtime = 1000 };

                t.type = str_ends(*paths, "/") ? TAR_DIR : TAR_FILE;
                t.size = t.type == TAR_FILE;
                CHECK_EQ(erofs_add(x, &t), 0);
        }
        CHECK_EQ(erofs_write(x, 512, put, &index), 0);
        erofs_free(x);
}

static void dir_layer(int stage, const char *const *paths, char number)
{
        AUTO_FD int fs = -1;

        CHECK_EQ(mkdirat(stage, "fs", 0755), 0);
        fs = openat(stage, "fs", O_PATH | O_DIRECTORY | O_CLOEXEC);
        for (; *paths; paths++) {
                if (str_ends(*paths, "/")) {
                        CHECK(mkdirat(fs, *paths, 0755) == 0 || errno == EEXIST);
                } else {
                        AUTO_FD int fd = create(fs, *paths);

                        CHECK_EQ(write(fd, &number, 1), 1);
                }
        }
}

static void layer(struct fixture *f, enum layer_backend backend, const char *const *paths)
{
        struct layer l = { .backend = backend, .size = 512, .entries = 1 };
        size_t n = f->keys.n++;
        struct stage g;

        snprintf(l.diff_id, sizeof l.diff_id, "sha256:%064zx", n + 0xabc);
        store_layer_key(l.diff_id, l.key);
        snprintf(f->names[n], sizeof f->names[n], "%s", l.key);
        f->key_space[n] = f->names[n];
        if (stage_open(f->s, l.key, false, &g, &f->e) < 0)
                give_up(f, "stage");
        (backend == LAYER_EROFS ? erofs_layer : dir_layer)(g.dir, paths, (char)('0' + n));
        if (store_layer_commit(f->s, &g, &l, &f->e) < 0)
                give_up(f, "commit");
}
#define LAYER(f, backend, ...) layer(f, backend, (const char *const[]){ __VA_ARGS__, NULL })

static int mounted(struct fixture *f, int upper, int work)
{
        struct snapshot n = { .layers = &f->keys,
                              .upper = upper,
                              .work = work,
                              .userns = -1,
                              .upper_new = true,
                              .run = f->run };
        int fd;

        if (snapshot_mount(f->s, &n, &fd, &f->e) < 0)
                give_up(f, "snapshot");
        return fd;
}

static void expect(int fd, const char *path, const char *content)
{
        char text[16];
        ssize_t n = fd_read_text_at(fd, path, text, sizeof text);

        if (!content) {
                CHECK_EQ(n, -ENOENT);
                return;
        }
        CHECK(n >= 0);
        CHECK(!strcmp(text, content));
}

static unsigned mounts_of(struct fixture *f)
{
        AUTO_FREE char *table = NULL;
        unsigned found = 0;
        size_t n;

        CHECK_EQ(fd_read_file_at(AT_FDCWD, "/proc/self/mountinfo", 1 << 24, &table, &n), 0);
        for (const char *p = table; (p = strstr(p, f->run)); p++)
                found++;
        return found;
}

static void stacked(void)
{
        struct fixture f;
        AUTO_FD int fd = -1, again = -1, dir = -1;

        begin(&f);
        LAYER(&f, LAYER_EROFS, "./", "a", "b", "d/", "d/x", "gone", "hidden/", "hidden/x");
        LAYER(&f, LAYER_DIR, "b", "c", "d/", "d/y");
        LAYER(&f, LAYER_EROFS, "c", "d/", "d/z", ".wh.gone", "hidden/", "hidden/.wh..wh..opq");
        fd = mounted(&f, -1, -1);
        expect(fd, "a", "0");
        expect(fd, "b", "1");
        expect(fd, "c", "2");
        expect(fd, "d/x", "0");
        expect(fd, "d/y", "1");
        expect(fd, "d/z", "2");
        expect(fd, "gone", NULL);
        expect(fd, "hidden/x", NULL);
        CHECK_EQ(mounts_of(&f), 2);
        again = mounted(&f, -1, -1);
        expect(again, "a", "0");
        CHECK_EQ(mounts_of(&f), 2);

        /* Removed in use: the mount table forgets them, who has them does not. */
        for (size_t i = 0; i < f.keys.n; i++) {
                CHECK_EQ(store_layer_open(f.s, f.names[i], &dir, &f.e), 0);
                snapshot_forget(f.names[i], dir);
                fd_close(dir);
        }
        dir = -1;
        CHECK_EQ(mounts_of(&f), 0);
        expect(fd, "d/x", "0");
        end(&f);
}

static void writable(void)
{
        struct fixture f;
        AUTO_FD int fd = -1, at = -1, upper = -1, work = -1;
        struct stat st;

        begin(&f);
        LAYER(&f, LAYER_EROFS, "./", "a");
        at = open(f.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        CHECK_EQ(mkdirat(at, "u", 0700), 0);
        CHECK_EQ(mkdirat(at, "w", 0700), 0);
        upper = openat(at, "u", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        work = openat(at, "w", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        fd = mounted(&f, upper, work);
        CHECK_EQ(fstatat(fd, ".", &st, 0), 0);
        CHECK_EQ(st.st_mode, S_IFDIR | 0755);
        CHECK_EQ(st.st_mtime, 1000);
        CHECK_EQ(mkdirat(fd, "new", 0755), 0);
        CHECK_EQ(faccessat(upper, "new", F_OK, 0), 0);
        fd = fd_close(fd);
        {
                AUTO_FD int dir = -1;

                CHECK_EQ(store_layer_open(f.s, f.names[0], &dir, &f.e), 0);
                snapshot_forget(f.names[0], dir);
        }
        end(&f);
}

static void alone(void)
{
        struct fixture f;
        int fd;

        begin(&f);
        snprintf(f.run, sizeof f.run, "%s", ""); /* nothing is shared */
        fd = mounted(&f, -1, -1);
        CHECK(mkdirat(fd, "x", 0755) < 0 && errno == EROFS);
        close(fd);
        LAYER(&f, LAYER_EROFS, "a");
        fd = mounted(&f, -1, -1);
        expect(fd, "a", "0");
        CHECK(mkdirat(fd, "x", 0755) < 0 && errno == EROFS);
        close(fd);
        /* An opaque root hides what is below. */
        LAYER(&f, LAYER_DIR, "b");
        LAYER(&f, LAYER_EROFS, ".wh..wh..opq", "c");
        fd = mounted(&f, -1, -1);
        expect(fd, "a", NULL);
        expect(fd, "b", NULL);
        expect(fd, "c", "2");
        close(fd);
        end(&f);
}

/* A user namespace that maps 0 to 100000, held by a descriptor. */
static int userns_make(void)
{
        int go[2], fd;
        char path[64], byte;
        pid_t pid;

        CHECK_EQ(pipe2(go, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0) {
                CHECK_EQ(unshare(CLONE_NEWUSER), 0);
                CHECK_EQ(write(go[1], "x", 1), 1);
                pause();
        }
        CHECK_EQ(read(go[0], &byte, 1), 1);
        snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
        CHECK_EQ(fd_put_at(AT_FDCWD, path, "0 100000 65536"), 0);
        snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
        CHECK_EQ(fd_put_at(AT_FDCWD, path, "0 100000 65536"), 0);
        snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        CHECK(fd >= 0);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return fd;
}

/* Owners are mapped, the shared mount's are not. */
static void mapped(void)
{
        struct fixture f;
        AUTO_FD int user = userns_make(), dir = -1;
        struct snapshot n = { .layers = &f.keys, .upper = -1, .work = -1, .userns = user };
        struct stat st;
        int fd;

        begin(&f);
        n.run = f.run;
        LAYER(&f, LAYER_EROFS, "a");
        LAYER(&f, LAYER_DIR, "b");
        for (f.keys.n = 1; f.keys.n <= 2; f.keys.n++) {
                if (snapshot_mount(f.s, &n, &fd, &f.e) < 0)
                        give_up(&f, "snapshot");
                CHECK_EQ(fstatat(fd, f.keys.n == 1 ? "a" : "b", &st, 0), 0);
                CHECK_EQ(st.st_uid, 100000);
                close(fd);
                fd = mounted(&f, -1, -1);
                CHECK_EQ(fstatat(fd, f.keys.n == 1 ? "a" : "b", &st, 0), 0);
                CHECK_EQ(st.st_uid, 0);
                close(fd);
        }
        f.keys.n = 2;
        CHECK_EQ(store_layer_open(f.s, f.names[0], &dir, &f.e), 0);
        snapshot_forget(f.names[0], dir);
        end(&f);
}

/* As the container's user: neither root of the host nor anyone that the mapping lacks. */
static void in_container(int root)
{
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                CHECK_EQ(setresgid(100005, 100005, 100005), 0);
                CHECK_EQ(setresuid(100005, 100005, 100005), 0);
                close(create(root, "mine/file"));
                CHECK_EQ(renameat(root, "mine/file", root, "mine/again"), 0);
                CHECK_EQ(mkdirat(root, "mine/dir", 0755), 0);
                _exit(0);
        }
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status, 0);
}

static uid_t owner(int dir, const char *path)
{
        struct stat st;

        CHECK_EQ(fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW), 0);
        return st.st_uid;
}

/* What is written has the id inside on disk, copies up of the image's files too. */
static void written_mapped(void)
{
        struct fixture f;
        AUTO_FD int user = userns_make(), dir = -1, box = -1, upper = -1, work = -1, fd = -1;
        struct snapshot n = { .layers = &f.keys, .userns = user, .upper_new = true };

        begin(&f);
        n.run = f.run;
        LAYER(&f, LAYER_DIR, "b", "mine/");
        LAYER(&f, LAYER_EROFS, "a");
        CHECK_EQ(mkdirat(store_dir(f.s), "box", 0700), 0);
        box = openat(store_dir(f.s), "box", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHECK_EQ(mkdirat(box, "upper", 0755), 0);
        CHECK_EQ(mkdirat(box, "work", 0700), 0);
        n.upper = upper = openat(box, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        n.work = work = openat(box, "work", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (snapshot_mount(f.s, &n, &fd, &f.e) < 0)
                give_up(&f, "snapshot");
        CHECK_EQ(owner(fd, "."), 100000);
        CHECK_EQ(owner(upper, "."), 0);
        CHECK_EQ(fchmodat(fd, "a", 0600, 0), 0); /* copied up */
        CHECK_EQ(owner(fd, "a"), 100000);
        CHECK_EQ(owner(upper, "a"), 0);
        CHECK_EQ(unlinkat(fd, "b", 0), 0); /* a whiteout */
        CHECK_EQ(faccessat(fd, "b", F_OK, 0), -1);
        CHECK_EQ(fchownat(fd, "mine", 100005, 100005, 0), 0);
        CHECK_EQ(owner(upper, "mine"), 5);
        in_container(fd);
        CHECK_EQ(owner(fd, "mine/again"), 100005);
        CHECK_EQ(owner(upper, "mine/again"), 5);
        CHECK_EQ(owner(upper, "mine/dir"), 5);
        fd = fd_close(fd);
        CHECK_EQ(store_layer_open(f.s, f.names[1], &dir, &f.e), 0);
        snapshot_forget(f.names[1], dir);
        end(&f);
}

static void missing(void)
{
        struct fixture f;
        struct snapshot n = { .layers = &f.keys, .upper = -1, .work = -1, .userns = -1 };
        int fd = -1;

        begin(&f);
        n.run = f.run;
        f.key_space[0] = "0000000000000000000000000000000000000000000000000000000000000000";
        f.keys.n = 1;
        CHECK_EQ(snapshot_mount(f.s, &n, &fd, &f.e), -1);
        CHECK_EQ(f.e.code, ERR_NOT_FOUND);
        CHECK(strstr(f.e.chain, "layer '000000000000'"));
        end(&f);
}

static void test_stacked(void **state)
{
        IN_CHILD(stacked);
}
static void test_writable(void **state)
{
        IN_CHILD(writable);
}
static void test_alone(void **state)
{
        IN_CHILD(alone);
}
static void test_mapped(void **state)
{
        IN_CHILD(mapped);
}
static void test_written_mapped(void **state)
{
        IN_CHILD(written_mapped);
}
static void test_missing(void **state)
{
        IN_CHILD(missing);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_stacked), cmocka_unit_test(test_writable),
                cmocka_unit_test(test_alone),   cmocka_unit_test(test_mapped),
                cmocka_unit_test(test_missing), cmocka_unit_test(test_written_mapped),
        };

        return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
