/* EROFS indexes: their structure is checked by an independent reader; what the kernel sees in them
 * is tests/image/test_erofs.py's. Here is what that can't reach: sizes, leaning, determinism. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/test.h"
#include "codec/erofs.h"

static struct tar_entry file(const char *path, uint64_t size)
{
        return (struct tar_entry){ .type = TAR_FILE,
                                   .path = path,
                                   .size = size,
                                   .stored = size,
                                   .data_at = 512,
                                   .mode = 0644 };
}

static struct tar_entry dir(const char *path)
{
        return (struct tar_entry){ .type = TAR_DIR, .path = path, .mode = 0755 };
}

static struct tar_entry hardlink(const char *path, const char *target)
{
        return (struct tar_entry){ .type = TAR_HARDLINK, .path = path, .link = target };
}

static void add(struct erofs *x, struct tar_entry t)
{
        if (erofs_add(x, &t) < 0)
                fail_msg("'%s': %s", t.path, erofs_problem(x));
}

static int put(void *ctx, const void *p, size_t n)
{
        buf_add(ctx, p, n);
        return 0;
}

static int list(void *ctx, const struct erofs_file *f)
{
        static const char types[16] = { [S_IFREG >> 12] = 'f',
                                        [S_IFDIR >> 12] = 'd',
                                        [S_IFCHR >> 12] = 'c',
                                        [S_IFLNK >> 12] = 'l' };

        buf_printf(ctx, "%c %s %o %u %llu\n", types[f->mode >> 12], f->path, f->mode & 07777,
                   f->nlink, (unsigned long long)f->size);
        return 0;
}

#define DEVICE (64ull << 20)

/* The checked image as a list. */
static void expect(struct erofs *x, const char *text)
{
        AUTO_BUF image = { 0 };
        AUTO_BUF found = { 0 };
        const char *why;

        assert_int_equal(erofs_write(x, DEVICE, put, &image), 0);
        if (erofs_check(image.s, image.len, DEVICE, list, &found, &why) < 0)
                fail_msg("the image has %s", why);
        if (text)
                assert_string_equal(buf_str(&found), text);
        erofs_free(x);
}

static void test_empty(void **state)
{
        expect(erofs_new(), "d  755 2 27\n");
}

static void test_tree(void **state)
{
        struct erofs *x = erofs_new();

        add(x, dir("./b/"));
        add(x, file("/b//c", 700));
        add(x, file("a", 5000));
        add(x, hardlink("b/d", "a"));
        assert_int_equal(erofs_count(x), 4);
        expect(x, "d  755 3 53\nf a 644 2 5000\nd b 755 2 53\nf b/c 644 1 700\nf b/d 644 2 5000\n");
}

static int lean(void *ctx, const struct lean *l)
{
        buf_printf(ctx, "%s%s%s\n", l->path, l->target ? " = " : "", l->target ? l->target : "");
        return 0;
}

static void test_leaning(void **state)
{
        struct erofs *x = erofs_new();
        struct tar_entry t = dir("x");
        AUTO_BUF told = { 0 };

        add(x, file("x/y/f", 1));
        add(x, dir("x/y"));
        add(x, hardlink("one", "/lower/./file"));
        add(x, hardlink("two", "/lower/./file"));
        add(x, hardlink("three", "one"));
        assert_int_equal(erofs_leans(x, lean, &told), 0);
        assert_string_equal(buf_str(&told), "x\none = lower/file\n");
        assert_int_equal(erofs_write(x, DEVICE, put, &told), -ENOENT);

        t.mode = 01777;
        assert_int_equal(erofs_settle(x, "x", &t), 0);
        assert_int_equal(erofs_settle(x, "x", &t), -ENOENT);
        assert_int_equal(erofs_settle(x, "nothing", &t), -ENOENT);
        t = dir("one");
        assert_int_equal(erofs_settle(x, "one", &t), -EINVAL);
        t = file("one", 99);
        assert_int_equal(erofs_settle(x, "one", &t), 0);
        expect(x, "d  755 3 87\nf one 644 3 99\nf three 644 3 99\nf two 644 3 99\nd x 1777 3 40\n"
                  "d x/y 755 2 40\nf x/y/f 644 1 1\n");
}

/* A directory that replaced one of the same name takes nothing of what was in it along. */
static void test_what_was_replaced_does_not_lean(void **state)
{
        struct erofs *x = erofs_new();
        AUTO_BUF told = { 0 };

        add(x, file("a/b/c", 1));
        add(x, hardlink("a/l", "nowhere"));
        add(x, file("a", 1));
        assert_int_equal(erofs_leans(x, lean, &told), 0);
        assert_string_equal(buf_str(&told), "");
        expect(x, "d  755 2 40\nf a 644 1 1\n");
}

static void test_circles_of_links(void **state)
{
        struct erofs *x = erofs_new();
        AUTO_BUF told = { 0 };
        char from[32], to[32];

        add(x, hardlink("a", "b"));
        add(x, hardlink("b", "c"));
        add(x, hardlink("c", "a"));
        for (int i = 0; i < 10000; i++) { /* each named before its target */
                snprintf(from, sizeof from, "l%d", i);
                snprintf(to, sizeof to, "l%d", i + 1);
                add(x, hardlink(from, to));
        }
        add(x, file("l10000", 3));
        erofs_leans(x, lean, &told);
        assert_non_null(strstr(buf_str(&told), " = "));
        assert_null(strchr(strchr(buf_str(&told), '\n') + 1, '\n'));
        erofs_free(x);
}

static void test_memory_and_order(void **state)
{
        struct erofs *x = erofs_new();
        uint64_t seed = 1;
        char path[100];

        for (int i = 0; i < 50000; i++) {
                struct tar_entry t = file(path, 100);

                snprintf(path, sizeof path, "d%llu/e%llu/%llx",
                         (unsigned long long)(test_random(&seed) % 7),
                         (unsigned long long)(test_random(&seed) % 70),
                         (unsigned long long)test_random(&seed));
                t.mtime = (int64_t)test_random(&seed);
                add(x, t);
        }
        assert_true(erofs_count(x) == 50000 + 7 + 490);
        expect(x, NULL);
}

static void test_limits(void **state)
{
        struct erofs *x = erofs_new();
        struct tar_extent odd = { 512, 512 };
        struct tar_entry t = file("huge", 1ull << 43);
        AUTO_BUF sink = { 0 };

        t.extents = &odd;
        t.nextents = 1;
        add(x, t);
        assert_int_equal(erofs_write(x, DEVICE, put, &sink), -E2BIG); /* chunks of 512 bytes */
        erofs_free(x);

        x = erofs_new();
        add(x, file("beyond", DEVICE));
        assert_int_equal(erofs_write(x, DEVICE, put, &sink), -EINVAL);
        assert_int_equal(erofs_write(x, 3ull << 40, put, &sink), -E2BIG);
        erofs_free(x);
}

static int refuse(void *ctx, const void *p, size_t n)
{
        return -ENOSPC;
}

static void test_failing_output(void **state)
{
        struct erofs *x = erofs_new();

        assert_int_equal(erofs_write(x, DEVICE, refuse, NULL), -ENOSPC);
        erofs_free(x);
}

/* Each byte of an image matters to the checker or is content: what it accepts after a change may
 * not crash it. */
static void test_checker_survives(void **state)
{
        struct erofs *x = erofs_new();
        struct tar_entry t = file("sparse", 9000);
        struct tar_extent e = { 4096, 512 };
        AUTO_BUF image = { 0 };
        const char *why;
        unsigned refused = 0;

        t.extents = &e;
        t.nextents = 1;
        t.xattrs = &(struct tar_xattr){ "user.x", "1", 1 };
        t.nxattrs = 1;
        add(x, t);
        add(x, dir("d"));
        t = (struct tar_entry){ .type = TAR_SYMLINK, .path = "d/l", .link = "target" };
        add(x, t);
        assert_int_equal(erofs_write(x, DEVICE, put, &image), 0);
        for (size_t i = 0; i < image.len; i++) {
                char was = image.s[i];

                image.s[i] = (char)(was ^ 0x41);
                refused += erofs_check(image.s, image.len, DEVICE, NULL, NULL, &why) < 0;
                image.s[i] = was;
        }
        assert_true(refused > 512);
        assert_int_equal(erofs_check(image.s, image.len, DEVICE, NULL, NULL, &why), 0);
        for (size_t n = 0; n < image.len; n++)
                assert_int_equal(erofs_check(image.s, n, DEVICE, NULL, NULL, &why), -EINVAL);
        erofs_free(x);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_empty),
                cmocka_unit_test(test_tree),
                cmocka_unit_test(test_leaning),
                cmocka_unit_test(test_what_was_replaced_does_not_lean),
                cmocka_unit_test(test_circles_of_links),
                cmocka_unit_test(test_memory_and_order),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_failing_output),
                cmocka_unit_test(test_checker_survives),
        };

        return cmocka_run_group_tests_name("erofs", tests, NULL, NULL);
}
