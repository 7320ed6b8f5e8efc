/* The store: what is added is found, also by those who open it later, after the index was lost or
 * damaged; what is removed is gone; what others need stays. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"

#include "base/str.h"
#include "image/store-internal.h"

struct fixture {
        char root[64];
        struct store *s;
        struct arena a;
        struct err e;
};

static const struct log quiet = { .fd = -1 };

static void reopen(struct fixture *f)
{
        store_close(f->s);
        f->s = NULL;
        if (store_open(f->root, &quiet, &f->s, &f->e) < 0)
                fail_msg("%s", f->e.chain);
}

static int set_up(void **state)
{
        struct fixture *f = mem_alloc(sizeof *f);

        snprintf(f->root, sizeof f->root, "/tmp/berth-store-XXXXXX");
        assert_non_null(mkdtemp(f->root));
        reopen(f);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;
        AUTO_FREE char *command = mem_printf("rm -rf %s", f->root);

        store_close(f->s);
        arena_done(&f->a);
        free(f);
        return system(command);
}

#define assert_ok(f, call)                                                                         \
        do {                                                                                       \
                if ((call) < 0)                                                                    \
                        fail_msg("%s: %s", #call, (f)->e.chain);                                   \
        } while (0)

/* A layer of one file that says what. */
static const char *add_layer(struct fixture *f, const char *what)
{
        struct layer l = { .backend = LAYER_DIR, .size = 100, .entries = 1 };
        struct stage g;
        int fd;

        hash_bytes(HASH_SHA256, what, strlen(what), l.diff_id);
        store_layer_key(l.diff_id, l.key);
        assert_ok(f, stage_open(f->s, l.key, false, &g, &f->e));
        assert_int_equal(mkdirat(g.dir, "fs", 0755), 0);
        fd = openat(g.dir, "fs/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_int_equal(fd_write_all(fd, what, strlen(what)), 0);
        close(fd);
        assert_ok(f, store_layer_commit(f->s, &g, &l, &f->e));
        return arena_strdup(&f->a, l.diff_id);
}

/* An image of these layers, named by tag unless that is NULL; its manifest's digest. */
static const char *add_image(struct fixture *f, const char *tag, int64_t created,
                             const char *const *layers)
{
        struct image i = { .media_type = MEDIA_OCI_MANIFEST,
                           .created = created,
                           .platform = { "linux", "amd64", "", "" } };
        char config[DIGEST_CAP], manifest[DIGEST_CAP];
        AUTO_BUF text = { 0 };

        buf_printf(&text, "{\"created\":%lld,\"tag\":\"%s\"}", (long long)created, tag ? tag : "");
        assert_ok(f, store_blob_put(f->s, text.s, text.len, NULL, config, &f->e));
        buf_clear(&text);
        buf_printf(&text, "{\"config\":{\"digest\":\"%s\"},\"layers\":[]}", config);
        assert_ok(f, store_blob_put(f->s, text.s, text.len, NULL, manifest, &f->e));
        i.digest = arena_strdup(&f->a, manifest);
        i.id = arena_strdup(&f->a, config);
        for (; *layers; layers++) {
                char key[72];

                store_layer_key(*layers, key);
                strings_add(&f->a, &i.layers, arena_strdup(&f->a, key));
                strings_add(&f->a, &i.diff_ids, *layers);
        }
        if (tag)
                strings_add(&f->a, &i.names, tag);
        assert_ok(f, store_image_add(f->s, &i, &f->e));
        return i.digest;
}

static size_t count_images(struct fixture *f)
{
        struct image *list;
        size_t n;

        assert_ok(f, store_images(f->s, &f->a, NULL, &list, &n, &f->e));
        return n;
}

static size_t entries(struct fixture *f, const char *sub)
{
        AUTO_FREE char *path = mem_printf("%s/%s", f->root, sub);
        DIR *d = opendir(path);
        size_t n = 0;

        assert_non_null(d);
        while (readdir(d))
                n++;
        closedir(d);
        return n - 2;
}

static void assert_sound(struct fixture *f)
{
        struct finding *found;
        size_t n;

        assert_ok(f, store_check(f->s, &f->a, false, false, &found, &n, &f->e));
        for (size_t i = 0; i < n; i++)
                print_message("%s: %s\n", found[i].object, found[i].problem);
        assert_int_equal(n, 0);
}

static void test_blobs(void **state)
{
        struct fixture *f = *state;
        char digest[DIGEST_CAP], big[DIGEST_CAP];
        const char *data;
        uint64_t size;
        size_t n;
        int fd;

        assert_ok(f, store_blob_put(f->s, "hello", 5, NULL, digest, &f->e));
        assert_ok(f, store_blob_put(f->s, "hello", 5, digest, NULL, &f->e));
        assert_int_equal(store_blob_put(f->s, "hellO", 5, digest, NULL, &f->e), -1);
        hash_bytes(HASH_SHA512, "x", 1, big);
        assert_ok(f, store_blob_put(f->s, "x", 1, big, digest, &f->e));
        assert_string_equal(digest, big);
        assert_true(store_blob_has(f->s, big));
        assert_ok(f, store_blob_open(f->s, big, &fd, &size, &f->e));
        assert_int_equal(size, 1);
        close(fd);
        assert_ok(f, store_blob_read(f->s, &f->a, big, 10, &data, &n, &f->e));
        assert_string_equal(data, "x");
        assert_int_equal(store_blob_read(f->s, &f->a, big, 0, &data, &n, &f->e), -1);
        assert_int_equal(f->e.code, ERR_LIMIT);
        assert_false(store_blob_has(f->s, "sha256:../../etc/passwd"));
        assert_int_equal(store_blob_open(f->s, "sha256:abc", &fd, &size, &f->e), -1);
        assert_int_equal(f->e.code, ERR_INVALID);
}

static void test_a_damaged_blob_is_not_read(void **state)
{
        struct fixture *f = *state;
        char digest[DIGEST_CAP], path[160];
        const char *data;
        size_t n;

        assert_ok(f, store_blob_put(f->s, "hello", 5, NULL, digest, &f->e));
        blob_path(digest, path);
        assert_int_equal(fd_replace_at(store_dir(f->s), path, "hellp", 5, 0600, false) & 1, 0);
        {
                AUTO_FD int fd = openat(store_dir(f->s), path, O_WRONLY | O_TRUNC | O_CLOEXEC);

                assert_int_equal(fd_write_all(fd, "hellp", 5), 0);
        }
        assert_int_equal(store_blob_read(f->s, &f->a, digest, 10, &data, &n, &f->e), -1);
        assert_int_equal(f->e.code, ERR_INTERNAL);
}

static void test_stages_are_kept_or_removed(void **state)
{
        struct fixture *f = *state;
        struct stage g, other;

        assert_ok(f, stage_open(f->s, "abc", false, &g, &f->e));
        assert_int_equal(stage_open(f->s, "abc", true, &other, &f->e), -1);
        assert_int_equal(f->e.code, ERR_STATE);
        assert_int_equal(mkdirat(g.dir, "spool", 0700), 0);
        stage_keep(f->s, &g);
        assert_ok(f, stage_open(f->s, "abc", true, &g, &f->e));
        assert_int_equal(faccessat(g.dir, "spool", F_OK, 0), 0);
        stage_remove(f->s, &g);
        assert_int_equal(entries(f, "stage"), 0);
        assert_int_equal(stage_open(f->s, "../x", true, &g, &f->e), -1);
        assert_int_equal(stage_open(f->s, ".x", true, &g, &f->e), -1);
        assert_int_equal(stage_open(f->s, "x.lock", true, &g, &f->e), -1);
}

static void test_layers(void **state)
{
        struct fixture *f = *state;
        const char *diff_id = add_layer(f, "one");
        struct layer l;
        int dir;

        assert_string_equal(add_layer(f, "one"), diff_id); /* somebody was there first */
        assert_ok(f, store_layer_find(f->s, diff_id, NULL, &l, &f->e));
        assert_string_equal(l.diff_id, diff_id);
        assert_int_equal(l.size, 100);
        assert_ok(f, store_layer_open(f->s, l.key, &dir, &f->e));
        assert_int_equal(faccessat(dir, "fs/file", F_OK, 0), 0);
        close(dir);
        assert_int_equal(store_layer_find(f->s, "sha256:00", NULL, &l, &f->e), -1);
        assert_int_equal(f->e.code, ERR_NOT_FOUND);
        assert_int_equal(entries(f, "stage"), 0);
        assert_sound(f);
}

static void test_layer_sources(void **state)
{
        struct fixture *f = *state;
        struct blob_source b = { "sha256:1", MEDIA_OCI_LAYER "+gzip", 7, "example.com/a/b" }, *list;
        const char *diff_id = add_layer(f, "one");
        size_t n;

        assert_ok(f, store_layer_source_add(f->s, diff_id, &b, &f->e));
        assert_ok(f, store_layer_source_add(f->s, diff_id, &b, &f->e));
        b.repository = "example.com/c";
        assert_ok(f, store_layer_source_add(f->s, diff_id, &b, &f->e));
        assert_ok(f, store_layer_sources(f->s, &f->a, diff_id, &list, &n, &f->e));
        assert_int_equal(n, 2);
        assert_string_equal(list[0].blob, "sha256:1");
        assert_int_equal(list[1].size, 7);
}

static void test_images_and_names(void **state)
{
        struct fixture *f = *state;
        const char *one = add_layer(f, "one"), *two = add_layer(f, "two");
        const char *a =
                add_image(f, "docker.io/library/busybox:latest", 10, (const char *[]){ one, NULL });
        const char *b =
                add_image(f, "localhost:5000/x/busybox:1", 20, (const char *[]){ one, two, NULL });
        struct image *list, i;
        size_t n;

        assert_ok(f, store_images(f->s, &f->a, NULL, &list, &n, &f->e));
        assert_int_equal(n, 2);
        assert_string_equal(list[0].digest, b); /* newest first */
        assert_int_equal(list[0].size, 200);
        assert_int_equal(list[0].layers.n, 2);
        assert_string_equal(list[0].diff_ids.v[1], two);
        for (int pass = 0; pass < 2; pass++) {
                static const char *const names[] = { "busybox", "docker.io/busybox",
                                                     "busybox:latest",
                                                     "docker.io/library/busybox:latest" };

                for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
                        assert_ok(f, store_image_find(f->s, &f->a, names[k], &i, &f->e));
                        assert_string_equal(i.digest, a);
                }
                assert_ok(f, store_image_find(f->s, &f->a, "x/busybox:1", &i, &f->e));
                assert_string_equal(i.digest, b);
                assert_ok(f, store_image_find(f->s, &f->a, "busybox:1", &i, &f->e));
                assert_string_equal(i.digest, b);
                assert_ok(f, store_image_find(f->s, &f->a, a, &i, &f->e));
                assert_ok(f, store_image_find(f->s, &f->a,
                                              arena_printf(&f->a, "%.8s", digest_hex(i.id)), &i,
                                              &f->e));
                assert_string_equal(i.digest, a);
                assert_int_equal(store_image_find(f->s, &f->a, "busybox:2", &i, &f->e), -1);
                assert_int_equal(f->e.code, ERR_NOT_FOUND);
                /* The same from an index that was made again. */
                store_close(f->s);
                f->s = NULL;
                assert_int_equal(unlink(arena_printf(&f->a, "%s/berth.db", f->root)), 0);
                reopen(f);
        }
        assert_sound(f);
}

static void test_tags_move(void **state)
{
        struct fixture *f = *state;
        const char *one = add_layer(f, "one");
        const char *a = add_image(f, "docker.io/library/a:1", 10, (const char *[]){ one, NULL });
        const char *b = add_image(f, "docker.io/library/b:1", 20, (const char *[]){ one, NULL });
        struct image i;

        assert_ok(f, store_tag(f->s, "docker.io/library/a:1", b, &f->e));
        assert_ok(f, store_image_find(f->s, &f->a, "a:1", &i, &f->e));
        assert_string_equal(i.digest, b);
        assert_int_equal(i.names.n, 2);
        assert_ok(f, store_image_find(f->s, &f->a, a, &i, &f->e));
        assert_int_equal(i.names.n, 0);
        assert_ok(f, store_untag(f->s, "docker.io/library/a:1", &f->e));
        assert_int_equal(store_untag(f->s, "docker.io/library/a:1", &f->e), -1);
        assert_int_equal(store_tag(f->s, "docker.io/library/c:1", one, &f->e), -1);
        assert_int_equal(f->e.code, ERR_NOT_FOUND);
        assert_sound(f);
}

static void test_an_image_needs_its_parts(void **state)
{
        struct fixture *f = *state;
        struct image i = { .digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6"
                                     "c15b0f00a08" };

        i.id = i.digest;
        assert_int_equal(store_image_add(f->s, &i, &f->e), -1);
        assert_int_equal(f->e.code, ERR_STATE);
        assert_sound(f);
}

static void test_filters(void **state)
{
        struct fixture *f = *state;
        const char *one = add_layer(f, "one");
        struct image *list;
        size_t n;
        static const struct {
                struct image_filter f;
                size_t n;
        } cases[] = {
                { { .dangling = -1 }, 3 },
                { { .dangling = 1 }, 1 },
                { { .dangling = 0 }, 2 },
                { { .dangling = -1, .reference = "a*" }, 1 },
                { { .dangling = -1, .reference = "docker.io/library/*" }, 1 },
                { { .dangling = -1, .reference = "*:1" }, 2 },
                { { .dangling = -1, .before = "b:1" }, 1 },
                { { .dangling = -1, .since = "a:1" }, 2 },
                { { .dangling = -1, .until = 15 }, 1 },
        };

        add_image(f, "docker.io/library/a:1", 10, (const char *[]){ one, NULL });
        add_image(f, "quay.io/b:1", 20, (const char *[]){ one, NULL });
        add_image(f, NULL, 30, (const char *[]){ one, NULL });
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct image_filter filter = cases[i].f;

                if (filter.before)
                        filter.before = "quay.io/b:1";
                assert_ok(f, store_images(f->s, &f->a, &filter, &list, &n, &f->e));
                assert_int_equal(n, cases[i].n);
        }
}

static void test_removal_leaves_what_others_need(void **state)
{
        struct fixture *f = *state;
        const char *one = add_layer(f, "one"), *two = add_layer(f, "two");
        const char *a = add_image(f, "docker.io/library/a:1", 10, (const char *[]){ one, NULL });
        const char *b =
                add_image(f, "docker.io/library/b:1", 20, (const char *[]){ one, two, NULL });
        struct layer l;

        assert_ok(f, store_image_remove(f->s, b, true, &f->e));
        assert_ok(f, store_layer_find(f->s, one, NULL, &l, &f->e));
        assert_int_equal(store_layer_find(f->s, two, NULL, &l, &f->e), -1);
        assert_int_equal(entries(f, "blobs/sha256"), 2);
        assert_int_equal(entries(f, "refs"), 1);
        assert_ok(f, store_image_remove(f->s, a, true, &f->e));
        assert_int_equal(entries(f, "blobs/sha256"), 0);
        assert_int_equal(entries(f, "layers"), 0);
        assert_int_equal(entries(f, "images"), 0);
        assert_int_equal(entries(f, "refs"), 0);
        assert_int_equal(entries(f, "trash"), 0);
        assert_int_equal(store_image_remove(f->s, a, true, &f->e), -1);
        assert_sound(f);
}

static void test_deletion_goes_on_behind(void **state)
{
        struct fixture *f = *state;
        const char *one = add_layer(f, "one");
        const char *a = add_image(f, NULL, 10, (const char *[]){ one, NULL });

        assert_ok(f, store_image_remove(f->s, a, false, &f->e));
        for (int i = 0; i < 500 && entries(f, "trash"); i++)
                usleep(10000);
        assert_int_equal(entries(f, "trash"), 0);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left to us */
        assert_int_equal(errno, ECHILD);
}

static void test_leases_protect(void **state)
{
        struct fixture *f = *state;
        const char *one = add_layer(f, "one"), *two = add_layer(f, "two");
        const char *a = add_image(f, NULL, 10, (const char *[]){ one, NULL });
        struct collected c;
        struct image i;
        struct layer l;
        int pull, use;

        assert_ok(f, store_lease(f->s, "pull", &pull, &f->e));
        assert_ok(f, store_lease(f->s, a, &use, &f->e));
        assert_ok(f, store_collect(f->s, COLLECT_WAIT, &c, &f->e));
        assert_ok(f, store_layer_find(f->s, two, NULL, &l, &f->e));
        assert_ok(f, store_image_find(f->s, &f->a, a, &i, &f->e));
        assert_int_equal(i.containers, 1);
        store_lease_end(f->s, pull); /* and collects what had to wait */
        assert_int_equal(store_layer_find(f->s, two, NULL, &l, &f->e), -1);
        /* An image in use loses its record, not its layers. */
        assert_ok(f, store_image_remove(f->s, a, true, &f->e));
        assert_ok(f, store_layer_find(f->s, one, NULL, &l, &f->e));
        store_lease_end(f->s, use);
        assert_ok(f, store_collect(f->s, COLLECT_WAIT, &c, &f->e));
        assert_int_equal(store_layer_find(f->s, one, NULL, &l, &f->e), -1);
        assert_sound(f);
}

static void test_leases_end_with_their_process(void **state)
{
        struct fixture *f = *state;
        const char *one = add_layer(f, "one");
        struct collected c;
        struct layer l;
        pid_t child;

        store_close(f->s);
        f->s = NULL;
        child = fork();
        if (child == 0) {
                int id;

                _exit(store_open(f->root, &quiet, &f->s, NULL) < 0 ||
                      store_lease(f->s, "pull", &id, NULL) < 0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        reopen(f);
        assert_ok(f, store_collect(f->s, COLLECT_WAIT, &c, &f->e));
        assert_int_equal(c.layers, 1);
        assert_int_equal(store_layer_find(f->s, one, NULL, &l, &f->e), -1);
}

static void test_changes_behind_the_index_are_seen(void **state)
{
        struct fixture *f = *state;
        const char *one = add_layer(f, "one");

        add_image(f, "docker.io/library/a:1", 10, (const char *[]){ one, NULL });
        assert_int_equal(system(arena_printf(&f->a, "rm -rf %s/images/*", f->root)), 0);
        reopen(f);
        assert_int_equal(count_images(f), 0);
        assert_int_equal(entries(f, "refs"), 0);
        assert_sound(f);
}

static bool is_there(struct fixture *f, const char *name)
{
        return faccessat(store_dir(f->s), name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void test_a_damaged_index_is_made_again(void **state)
{
        struct fixture *f = *state;
        const char *one = add_layer(f, "one");
        static const char *const damages[] = {
                "printf garbage > %s/berth.db",
                "dd if=/dev/urandom of=%s/berth.db bs=4096 seek=1 count=40 conv=notrunc "
                "2>/dev/null",
                "rm %1$s/berth.db && /usr/bin/python3 -c 'import sqlite3;"
                "c=sqlite3.connect(\"%1$s/berth.db\");c.execute(\"create table x(y)\")'",
                "truncate -s 5000 %s/berth.db",
                "truncate -s 0 %s/db.lock",
                "rm %s/berth.db",
                /* What a berth with a WAL left behind. */
                "rm %1$s/berth.db; : >%1$s/db.lock; /usr/bin/python3 -c 'import os, sqlite3;"
                "c=sqlite3.connect(\"%1$s/berth.db\");c.execute(\"pragma journal_mode=wal\");"
                "c.execute(\"pragma application_id=1651668072\");"
                "c.execute(\"create table images(x)\");c.commit();os._exit(0)'; "
                "test -e %1$s/berth.db-wal",
        };

        add_image(f, "docker.io/library/a:1", 10, (const char *[]){ one, NULL });
        for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
                AUTO_BUF command = { 0 };
                const char *at = damages[i], *next;

                for (; (next = strchr(at, '%')); at = next + (next[1] == '1' ? 4 : 2)) {
                        buf_add(&command, at, (size_t)(next - at));
                        buf_puts(&command, f->root);
                }
                buf_puts(&command, at);
                store_close(f->s);
                f->s = NULL;
                if (system(command.s) != 0)
                        fail_msg("%s", command.s);
                reopen(f);
                assert_int_equal(count_images(f), 1);
                assert_false(is_there(f, "berth.db-wal") || is_there(f, "berth.db-shm"));
                assert_sound(f);
        }
}

/* As after a power cut: what is in the file need not be what was written. */
static void test_another_boot(void **state)
{
        struct fixture *f = *state;
        const char *one = add_layer(f, "one");
        AUTO_FD int db = -1;
        struct seal seal;

        add_image(f, "docker.io/library/a:1", 10, (const char *[]){ one, NULL });
        assert_int_equal(pread(f->s->lock, &seal, sizeof seal, 0), sizeof seal);
        seal.boot[0] ^= 1;
        assert_int_equal(pwrite(f->s->lock, &seal, sizeof seal, 0), sizeof seal);
        db = openat(store_dir(f->s), "berth.db", O_WRONLY | O_CLOEXEC);
        for (off_t at = 4096; at < (off_t)seal.size; at += 4096)
                assert_int_equal(pwrite(db, "torn", 4, at), 4);
        assert_int_equal(count_images(f), 1); /* the same process sees it, too */
        reopen(f);
        assert_int_equal(count_images(f), 1);
        assert_int_equal(system(arena_printf(&f->a, "! ls %s | grep broken", f->root)), 0);
        assert_sound(f);
}

/* Bits that a disk turns over change no time: SQLite finds them, one command fails at the most. */
static void test_bits_turn_over(void **state)
{
        struct fixture *f = *state;
        const char *one = add_layer(f, "one");
        struct stat st;
        int failed = 0;

        add_image(f, "docker.io/library/a:1", 10, (const char *[]){ one, NULL });
        assert_int_equal(fstatat(store_dir(f->s), "berth.db", &st, 0), 0);
        for (off_t at = 0; at < st.st_size; at += 4096) {
                AUTO_FD int db = openat(store_dir(f->s), "berth.db", O_WRONLY | O_CLOEXEC);
                struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
                struct image *list;
                size_t n;

                assert_int_equal(fstat(db, &st), 0);
                times[1] = st.st_mtim;
                assert_int_equal(pwrite(db, "\x55\xaa\x55\xaa\x55\xaa\x55\xaa", 8, at), 8);
                assert_int_equal(futimens(db, times), 0);
                reopen(f);
                if (store_images(f->s, &f->a, NULL, &list, &n, &f->e) < 0)
                        failed++;
                err_clear(&f->e);
                reopen(f);
                assert_int_equal(count_images(f), 1);
        }
        assert_true(failed > 0);
        assert_sound(f);
}

/* A writer who is killed between the pages of a commit: its seal says so. */
static void test_a_writer_is_killed(void **state)
{
        struct fixture *f = *state;
        const char *one = add_layer(f, "one");
        struct seal seal;

        add_image(f, "docker.io/library/a:1", 10, (const char *[]){ one, NULL });
        assert_int_equal(pread(f->s->lock, &seal, sizeof seal, 0), sizeof seal);
        seal.state = 2;
        assert_int_equal(pwrite(f->s->lock, &seal, sizeof seal, 0), sizeof seal);
        assert_int_equal(truncate(arena_printf(&f->a, "%s/berth.db", f->root), 8192), 0);
        reopen(f);
        assert_int_equal(count_images(f), 1);
        assert_sound(f);
}

static void test_check_finds_and_repairs(void **state)
{
        struct fixture *f = *state;
        const char *one = add_layer(f, "one"), *two = add_layer(f, "two");
        struct finding *found;
        size_t n;

        add_image(f, "docker.io/library/a:1", 10, (const char *[]){ one, NULL });
        add_image(f, "docker.io/library/b:1", 20, (const char *[]){ one, two, NULL });
        assert_int_equal(
                system(arena_printf(&f->a, "rm -r %s/layers/%s/fs", f->root, strchr(two, ':') + 1)),
                0);
        assert_ok(f, store_check(f->s, &f->a, false, false, &found, &n, &f->e));
        assert_int_equal(n, 2); /* the layer, and the image that needs it */
        assert_int_equal(count_images(f), 2);
        assert_ok(f, store_check(f->s, &f->a, false, true, &found, &n, &f->e));
        assert_true(n >= 2 && found[0].repaired);
        assert_int_equal(count_images(f), 1);
        assert_sound(f);
}

static void test_two_who_write(void **state)
{
        struct fixture *f = *state;
        pid_t children[4];

        store_close(f->s);
        f->s = NULL;
        for (int i = 0; i < 4; i++) {
                children[i] = fork();
                if (children[i] == 0) {
                        struct fixture mine = *f;

                        memset(&mine.a, 0, sizeof mine.a);
                        reopen(&mine);
                        for (int k = 0; k < 20; k++) {
                                const char *layer =
                                        add_layer(&mine, arena_printf(&mine.a, "%d", k));
                                add_image(&mine, arena_printf(&mine.a, "localhost/i%d:%d", i, k), k,
                                          (const char *[]){ layer, NULL });
                                reopen(&mine);
                        }
                        _exit(0);
                }
        }
        for (int i = 0; i < 4; i++) {
                int status;

                assert_int_equal(waitpid(children[i], &status, 0), children[i]);
                assert_int_equal(status, 0);
        }
        reopen(f);
        assert_int_equal(count_images(f), 80);
        assert_int_equal(entries(f, "layers"), 20);
        assert_sound(f);
}

/* As somebody else: the image is found, and can't be changed; it has no tag where untagged. */
static int read_as_nobody(struct fixture *f, bool untagged)
{
        struct image *list;
        size_t n = 0;

        if (setuid(65534) < 0 || store_open(f->root, &quiet, &f->s, &f->e) < 0)
                return 1;
        if (store_images(f->s, &f->a, NULL, &list, &n, &f->e) < 0)
                return 2;
        if (n != 1 || list[0].names.n != (untagged ? 0 : 1))
                return 3;
        return store_untag(f->s, "docker.io/library/a:1", &f->e) < 0 && f->e.code == ERR_DENIED ? 0
                                                                                                : 4;
}

/* By the index, or where that may not be locked or is behind, by one in memory. */
static void test_reading_without_permission_to_write(void **state)
{
        static const char *const before[] = { "true", "chmod 600 %s/db.lock", "rm %s/refs/*" };
        struct fixture *f = *state;
        const char *one = add_layer(f, "one");

        if (geteuid() != 0)
                test_skip("needs root, to become somebody else");
        add_image(f, "docker.io/library/a:1", 10, (const char *[]){ one, NULL });
        for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
                AUTO_BUF command = { 0 };
                const char *at = strchr(before[i], '%');
                pid_t child;
                int status;

                store_close(f->s);
                f->s = NULL;
                buf_printf(&command, "chmod -R a+rX %s; ", f->root);
                if (at)
                        buf_printf(&command, "%.*s%s%s", (int)(at - before[i]), before[i], f->root,
                                   at + 2);
                assert_int_equal(system(buf_str(&command)), 0);
                child = fork();
                if (child == 0)
                        _exit(read_as_nobody(f, i == 2));
                assert_int_equal(waitpid(child, &status, 0), child);
                assert_int_equal(status, 0);
                reopen(f);
        }
}

static void test_usage(void **state)
{
        struct fixture *f = *state;
        const char *one = add_layer(f, "one"), *two = add_layer(f, "two");
        const char *a = add_image(f, NULL, 10, (const char *[]){ one, NULL });
        struct usage u;
        int use;

        add_image(f, NULL, 20, (const char *[]){ one, two, NULL });
        assert_ok(f, store_lease(f->s, a, &use, &f->e));
        assert_ok(f, store_usage(f->s, &u, &f->e));
        assert_int_equal(u.images.count, 2);
        assert_int_equal(u.images.active, 1);
        assert_int_equal(u.images.size, 200);
        assert_int_equal(u.images.reclaimable, 100);
        assert_int_equal(u.blobs.count, 4);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        static const struct CMUnitTest tests[] = {
                TEST(test_blobs),
                TEST(test_a_damaged_blob_is_not_read),
                TEST(test_stages_are_kept_or_removed),
                TEST(test_layers),
                TEST(test_layer_sources),
                TEST(test_images_and_names),
                TEST(test_tags_move),
                TEST(test_an_image_needs_its_parts),
                TEST(test_filters),
                TEST(test_removal_leaves_what_others_need),
                TEST(test_deletion_goes_on_behind),
                TEST(test_leases_protect),
                TEST(test_leases_end_with_their_process),
                TEST(test_changes_behind_the_index_are_seen),
                TEST(test_a_damaged_index_is_made_again),
                TEST(test_another_boot),
                TEST(test_bits_turn_over),
                TEST(test_a_writer_is_killed),
                TEST(test_check_finds_and_repairs),
                TEST(test_two_who_write),
                TEST(test_reading_without_permission_to_write),
                TEST(test_usage),
        };

        return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
