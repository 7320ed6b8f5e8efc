/* The tar reader and writer: what is written is read back, however it is cut into pieces; what
 * other writers do; what no writer should. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/test.h"
#include "codec/tar.h"

/* A text of everything that the parser said. */
struct heard {
        struct buf text;
        uint64_t expect_at; /* of data */
        int answer;         /* of entry() */
};

static int hear_entry(void *ctx, const struct tar_entry *t)
{
        static const char types[] = "fhlcbdp";
        struct heard *h = ctx;

        buf_printf(&h->text, "%c %s%s%s %o %u:%u %lld.%09u %llu/%llu", types[t->type], t->path,
                   t->link ? "->" : "", t->link ? t->link : "", t->mode, t->uid, t->gid,
                   (long long)t->mtime, t->mtime_ns, (unsigned long long)t->size,
                   (unsigned long long)t->stored);
        if (t->type == TAR_CHAR || t->type == TAR_BLOCK)
                buf_printf(&h->text, " %u,%u", t->major, t->minor);
        for (uint32_t i = 0; i < t->nxattrs; i++) {
                buf_printf(&h->text, " %s=", t->xattrs[i].name);
                buf_add(&h->text, t->xattrs[i].value, t->xattrs[i].len);
        }
        for (uint32_t i = 0; i < t->nextents; i++)
                buf_printf(&h->text, " [%llu+%llu]", (unsigned long long)t->extents[i].offset,
                           (unsigned long long)t->extents[i].len);
        if (t->extents)
                buf_puts(&h->text, " sparse");
        assert_true(t->data_at % 512 == 0);
        buf_puts(&h->text, "\n");
        h->expect_at = UINT64_MAX;
        return h->answer;
}

static int hear_data(void *ctx, uint64_t offset, const void *p, size_t n)
{
        struct heard *h = ctx;

        if (offset != h->expect_at)
                buf_printf(&h->text, "@%llu ", (unsigned long long)offset);
        buf_add(&h->text, p, n);
        h->expect_at = offset + n;
        return 0;
}

static int hear_end(void *ctx)
{
        struct heard *h = ctx;

        buf_puts(&h->text, ".\n");
        return 0;
}

static const struct tar_handler handler = { hear_entry, hear_data, hear_end };

/* Reads tar in pieces of n bytes. */
static int hear(const struct tar_limits *l, const struct buf *tar, size_t n, struct heard *h,
                char problem[320])
{
        struct tar *t = tar_new(l, &handler, h);
        int r = 0;

        for (size_t i = 0; i < tar->len && r == 0; i += n)
                r = tar_feed(t, tar->s + i, tar->len - i < n ? tar->len - i : n);
        if (r == 0)
                r = tar_finish(t);
        snprintf(problem, 320, "%s", tar_problem(t));
        tar_free(t);
        return r;
}

static void expect(const struct buf *tar, const char *text)
{
        for (const size_t *n = (const size_t[]){ 1 << 20, 512, 513, 100, 1, 0 }; *n; n++) {
                struct heard h = { .text = { .s = NULL } };
                char problem[320];

                assert_int_equal(hear(NULL, tar, *n, &h, problem), 0);
                assert_string_equal(buf_str(&h.text), text);
                buf_done(&h.text);
        }
}

static void expect_problem(const struct tar_limits *l, const struct buf *tar, int code,
                           const char *text)
{
        struct heard h = { .text = { .s = NULL } };
        char problem[320];

        assert_int_equal(hear(l, tar, 700, &h, problem), code);
        assert_non_null(strstr(problem, text));
        buf_done(&h.text);
}

static void put_data(struct buf *tar, const char *text)
{
        static const char zeros[512];

        buf_puts(tar, text);
        buf_add(tar, zeros, tar_padding(strlen(text)));
}

/* A header as any writer could make it; fields are set by offset before the sum is made. */
struct patch {
        unsigned at;
        const char *bytes;
        unsigned n;
};

static void put_raw(struct buf *tar, char type, const char *name, const char *size,
                    const struct patch *patches)
{
        char b[512] = { 0 }, sum_text[8];
        unsigned sum = 0;

        memcpy(b, name, strlen(name));
        memcpy(b + 100, "0000644", 7);
        memcpy(b + 124, size, strlen(size));
        memcpy(b + 257, "ustar\00000", 8);
        b[156] = type;
        for (; patches && patches->bytes; patches++)
                memcpy(b + patches->at, patches->bytes, patches->n);
        memset(b + 148, ' ', 8);
        for (size_t i = 0; i < sizeof b; i++)
                sum += (unsigned char)b[i];
        snprintf(sum_text, sizeof sum_text, "%06o", sum);
        memcpy(b + 148, sum_text, 7);
        buf_add(tar, b, sizeof b);
}

static void put_pax(struct buf *tar, const char *key, const char *value)
{
        char text[900], size[16];
        size_t len = strlen(key) + strlen(value) + 3;
        int n = snprintf(text, sizeof text, "%zu %s=%s\n",
                         len + (len + 2 > 99  ? 3
                                : len + 1 > 9 ? 2
                                              : 1),
                         key, value);

        snprintf(size, sizeof size, "%o", (unsigned)n);
        put_raw(tar, 'x', "pax", size, NULL);
        put_data(tar, text);
}

/* ---- reading what we write ---- */

static void test_written_is_read(void **state)
{
        const struct tar_xattr xattrs[] = { { "user.a", "b=c\n", 4 }, { "security.x", "y", 1 } };
        AUTO_BUF tar = { .s = NULL }, want = { .s = NULL };
        char path[400], link[300];
        struct tar_entry entries[] = {
                { .type = TAR_DIR, .path = "./", .mode = 01777, .mtime = 5 },
                { .type = TAR_FILE, .path = "a", .mode = 04755, .uid = 1, .gid = 2, .size = 5 },
                { .type = TAR_FILE,
                  .path = path,
                  .mode = 0644,
                  .uid = 3000000,
                  .mtime = -2,
                  .mtime_ns = 250000000 },
                { .type = TAR_SYMLINK,
                  .path = "l",
                  .link = link,
                  .mode = 0777,
                  .mtime = 1ll << 40 },
                { .type = TAR_HARDLINK, .path = "h", .link = "a", .mode = 0644 },
                { .type = TAR_CHAR, .path = "c", .major = 4095, .minor = 1048575 },
                { .type = TAR_FIFO,
                  .path = "p",
                  .gid = 4294967294,
                  .xattrs = xattrs,
                  .nxattrs = 2 },
        };

        memset(path, 'p', sizeof path);
        path[299] = '\0';
        memset(link, 'k', sizeof link);
        link[sizeof link - 1] = '\0';
        for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
                tar_put_header(&tar, &entries[i]);
                if (entries[i].size)
                        put_data(&tar, "hello");
        }
        tar_put_end(&tar);
        assert_int_equal(tar.len % 512, 0);
        buf_printf(&want,
                   "d ./ 1777 0:0 5.000000000 0/0\n.\n"
                   "f a 4755 1:2 0.000000000 5/5\n@0 hello.\n"
                   "f %s 644 3000000:0 -2.250000000 0/0\n.\n"
                   "l l->%s 777 0:0 1099511627776.000000000 0/0\n.\n"
                   "h h->a 644 0:0 0.000000000 0/0\n.\n"
                   "c c 0 0:0 0.000000000 0/0 4095,1048575\n.\n"
                   "p p 0 0:4294967294 0.000000000 0/0 user.a=b=c\n security.x=y\n.\n",
                   path, link);
        expect(&tar, want.s);
}

/* Every length around the limits of name and prefix comes back. */
static void test_names_of_all_lengths(void **state)
{
        char path[300];

        for (size_t n = 1; n < sizeof path; n++) {
                AUTO_BUF tar = { .s = NULL }, want = { .s = NULL };
                struct tar_entry e = { .type = TAR_FILE, .path = path };

                for (size_t i = 0; i < n; i++)
                        path[i] = i % 60 == 50 && i + 1 < n ? '/' : 'x';
                path[n] = '\0';
                tar_put_header(&tar, &e);
                buf_printf(&want, "f %s 0 0:0 0.000000000 0/0\n.\n", path);
                expect(&tar, want.s);
        }
}

/* The records' own length crosses powers of ten. */
static void test_records_of_all_lengths(void **state)
{
        char value[1100];

        memset(value, 'v', sizeof value);
        for (uint32_t n = 0; n < sizeof value; n++) {
                const struct tar_xattr x = { "user.v", value, n };
                struct tar_entry e = { .type = TAR_FILE, .path = "f", .xattrs = &x, .nxattrs = 1 };
                AUTO_BUF tar = { .s = NULL }, want = { .s = NULL };
                struct heard h = { .text = { .s = NULL } };
                char problem[320];

                tar_put_header(&tar, &e);
                buf_printf(&want, "f f 0 0:0 0.000000000 0/0 user.v=%.*s\n.\n", (int)n, value);
                assert_int_equal(hear(NULL, &tar, 512, &h, problem), 0);
                assert_string_equal(h.text.s, want.s);
                buf_done(&h.text);
        }
}

/* ---- what others write ---- */

static void test_gnu_long_names(void **state)
{
        AUTO_BUF tar = { .s = NULL };

        put_raw(&tar, 'L', "././@LongLink", "6", NULL);
        buf_add(&tar, "long/\0", 6);
        put_data(&tar, "");
        buf_add(&tar, (char[506]){ 0 }, 506);
        put_raw(&tar, 'K', "././@LongLink", "7", NULL);
        put_data(&tar, "target\n");
        put_raw(&tar, '2', "short", "0", (const struct patch[]){ { 157, "x", 1 }, { 0 } });
        put_raw(&tar, '0', "next", "0", NULL);
        expect(&tar, "l long/->target\n 644 0:0 0.000000000 0/0\n.\n"
                     "f next 644 0:0 0.000000000 0/0\n.\n");
}

static void test_numbers(void **state)
{
        AUTO_BUF tar = { .s = NULL };

        put_raw(&tar, '0', "base256", "0",
                (const struct patch[]){
                        { 108, "\x80\0\0\0\xee\x6b\x28\0", 8 },
                        { 136, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", 12 },
                        { 257, "ustar  ", 8 },
                        { 0 } });
        put_raw(&tar, '0', "blanks", "  0 ",
                (const struct patch[]){ { 108, "   12 \0", 8 }, { 0 } });
        put_raw(&tar, '\0', "v7dir/", "0",
                (const struct patch[]){
                        { 257, "\0\0\0\0\0\0\0\0", 8 }, { 329, "garbage!", 8 }, { 0 } });
        expect(&tar, "f base256 644 4000000000:0 -2.000000000 0/0\n.\n"
                     "f blanks 644 10:0 0.000000000 0/0\n.\n"
                     "d v7dir/ 644 0:0 0.000000000 0/0\n.\n");
}

static void test_pax(void **state)
{
        AUTO_BUF tar = { .s = NULL };

        put_pax(&tar, "path", "from pax");
        put_raw(&tar, 'g', "global", "0", NULL);
        put_raw(&tar, '0', "f", "0", NULL);
        put_pax(&tar, "mtime", "-1.5");
        put_raw(&tar, '0', "f", "0", NULL);
        put_pax(&tar, "mtime", "1.0000000019");
        put_raw(&tar, '0', "f", "0", NULL);
        put_pax(&tar, "LIBARCHIVE.xattr.user.%41", "aGVsbG8");
        put_raw(&tar, '5', "d", "777", NULL);
        put_pax(&tar, "path", "");
        put_raw(&tar, '0', "own", "0", NULL);
        expect(&tar, "f from pax 644 0:0 0.000000000 0/0\n.\n"
                     "f f 644 0:0 -2.500000000 0/0\n.\n"
                     "f f 644 0:0 1.000000001 0/0\n.\n"
                     "d d 644 0:0 0.000000000 0/0 user.A=hello\n.\n"
                     "f own 644 0:0 0.000000000 0/0\n.\n");
}

static void put_records(struct buf *tar, const char *const *records)
{
        AUTO_BUF text = { .s = NULL };
        char size[16];

        for (; *records; records++) {
                size_t len = strlen(*records) + 2;

                len += len + 1 > 9 ? 2 : 1;
                buf_printf(&text, "%zu %s\n", len, *records);
        }
        snprintf(size, sizeof size, "%o", (unsigned)text.len);
        put_raw(tar, 'x', "pax", size, NULL);
        put_data(tar, text.s);
}

/* A later record of one name replaces the earlier. */
static void test_duplicate_xattrs(void **state)
{
        AUTO_BUF tar = { .s = NULL };

        put_records(&tar, (const char *const[]){ "SCHILY.xattr.user.a=1", "SCHILY.xattr.user.b=2",
                                                 "SCHILY.xattr.user.a=3", NULL });
        put_raw(&tar, '0', "f", "0", NULL);
        expect(&tar, "f f 644 0:0 0.000000000 0/0 user.a=3 user.b=2\n.\n");
}

static void test_ends(void **state)
{
        static const char zeros[512];
        AUTO_BUF tar = { .s = NULL };

        expect(&tar, "");
        buf_add(&tar, zeros, 512);
        expect(&tar, "");
        buf_add(&tar, zeros, 512);
        buf_puts(&tar, "anything");
        expect(&tar, "");
        buf_clear(&tar);
        buf_add(&tar, zeros, 512);
        put_raw(&tar, '0', "f", "0", NULL);
        expect_problem(NULL, &tar, -EINVAL, "behind a single block of zeros");
        buf_clear(&tar);
        put_raw(&tar, '0', "f", "3", NULL);
        buf_puts(&tar, "abc");
        expect(&tar, "f f 644 0:0 0.000000000 3/3\n@0 abc.\n"); /* padding is missing */
        tar.len--;
        expect_problem(NULL, &tar, -EINVAL, "cut off");
        tar.len = 100;
        expect_problem(NULL, &tar, -EINVAL, "cut off");
}

/* ---- sparse files: one file in all four ways ---- */

#define SPARSE "f sp 644 0:0 0.000000000 40/8 [4+3] [20+5] sparse\n@4 abc@20 defgh.\n"
static const struct patch sparse_old[] = {
        { 386, "00000000004", 11 }, { 398, "00000000003", 11 }, { 410, "00000000024", 11 },
        { 422, "00000000005", 11 }, { 434, "00000000050", 11 }, { 446, "00000000000", 11 },
        { 483, "00000000050", 11 }, { 257, "ustar  ", 8 },      { 0 },
};

static void test_sparse_old(void **state)
{
        AUTO_BUF tar = { .s = NULL };

        put_raw(&tar, 'S', "sp", "10", sparse_old);
        put_data(&tar, "abcdefgh");
        put_raw(&tar, '0', "next", "0", NULL);
        expect(&tar, SPARSE "f next 644 0:0 0.000000000 0/0\n.\n");
}

static void test_sparse_old_extended(void **state)
{
        struct patch p[ARRAY_SIZE(sparse_old)];
        char block[512] = { 0 };
        AUTO_BUF tar = { .s = NULL };

        memcpy(p, sparse_old, sizeof p);
        p[2].bytes = ""; /* the second pair moves to a block of its own */
        p[2].n = 0;
        p[3] = (struct patch){ 482, "\1", 1 };
        p[4].n = p[5].n = 0;
        put_raw(&tar, 'S', "sp", "10", p);
        memcpy(block, "00000000024\00000000000005", 23);
        buf_add(&tar, block, sizeof block);
        put_data(&tar, "abcdefgh");
        expect(&tar, SPARSE);
}

static void test_sparse_00(void **state)
{
        AUTO_BUF tar = { .s = NULL };

        put_records(&tar,
                    (const char *const[]){ "GNU.sparse.size=40", "GNU.sparse.numblocks=2",
                                           "GNU.sparse.offset=4", "GNU.sparse.numbytes=3",
                                           "GNU.sparse.offset=20", "GNU.sparse.numbytes=5", NULL });
        put_raw(&tar, '0', "sp", "10", NULL);
        put_data(&tar, "abcdefgh");
        expect(&tar, SPARSE);
}

static void test_sparse_01(void **state)
{
        AUTO_BUF tar = { .s = NULL };

        put_records(&tar, (const char *const[]){ "GNU.sparse.size=40", "GNU.sparse.name=sp",
                                                 "GNU.sparse.map=4,3,20,5,40,0", NULL });
        put_raw(&tar, '0', "GNUSparseFile.0/sp", "10", NULL);
        put_data(&tar, "abcdefgh");
        expect(&tar, SPARSE);
}

static void test_sparse_10(void **state)
{
        AUTO_BUF tar = { .s = NULL };

        put_records(&tar,
                    (const char *const[]){ "GNU.sparse.major=1", "GNU.sparse.minor=0",
                                           "GNU.sparse.name=sp", "GNU.sparse.realsize=40", NULL });
        put_raw(&tar, '0', "GNUSparseFile.0/sp", "1010", NULL);
        put_data(&tar, "3\n4\n3\n20\n5\n40\n0\n");
        put_data(&tar, "abcdefgh");
        expect(&tar, SPARSE);
}

static void test_sparse_wrong(void **state)
{
        static const struct {
                const char *map, *problem;
        } cases[] = {
                { "GNU.sparse.map=20,5,4,3", "ascending" },
                { "GNU.sparse.map=4,3,5,5", "ascending" },
                { "GNU.sparse.map=4,3,36,5", "beyond its size" },
                { "GNU.sparse.map=4,3", "does not match" },
                { "GNU.sparse.map=4", "invalid value" },
                { "GNU.sparse.map=,", "invalid value" },
                { "GNU.sparse.map=-1,3", "invalid value" },
                { "GNU.sparse.map=9223372036854775807,9223372036854775807", "ascending" },
                { "GNU.sparse.offset=1", "incomplete" },
                { "GNU.sparse.numbytes=1", "invalid value" },
                { "GNU.sparse.major=2", "unknown version" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                AUTO_BUF tar = { .s = NULL };

                put_records(&tar,
                            (const char *const[]){ "GNU.sparse.size=40", cases[i].map, NULL });
                put_raw(&tar, '0', "sp", "10", NULL);
                put_data(&tar, "abcdefgh");
                expect_problem(NULL, &tar, -EINVAL, cases[i].problem);
        }
}

/* ---- what no writer should ---- */

static void test_malformed(void **state)
{
        static const struct {
                const char *key, *value, *problem;
        } cases[] = {
                { "size", "-1", "invalid value" },
                { "size", "12x", "invalid value" },
                { "uid", "4294967295", "invalid" },
                { "uid", "99999999999999999999", "invalid" },
                { "mtime", "1.5e3", "invalid" },
                { "mtime", "now", "invalid" },
                { "SCHILY.xattr.", "v", "without a name" },
                { "LIBARCHIVE.xattr.user.a", "!", "invalid" },
                { "LIBARCHIVE.xattr.user.%0", "", "invalid" },
                { "LIBARCHIVE.xattr.user.%00", "", "invalid" },
        };
        AUTO_BUF tar = { .s = NULL };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                buf_clear(&tar);
                put_pax(&tar, cases[i].key, cases[i].value);
                put_raw(&tar, '0', "f", "0", NULL);
                expect_problem(NULL, &tar, -EINVAL, cases[i].problem);
        }
        for (const char **text = (const char *[]){ "5 a=b", "99999999999999999999 a=b\n", "3 a\n",
                                                   "0 a=b\n", "6 =bb\n", "a=b\n", "6 a=bc", NULL };
             *text; text++) {
                char size[16];

                snprintf(size, sizeof size, "%o", (unsigned)strlen(*text));
                buf_clear(&tar);
                put_raw(&tar, 'x', "pax", size, NULL);
                put_data(&tar, *text);
                expect_problem(NULL, &tar, -EINVAL, "malformed");
        }
}

static void test_bad_headers(void **state)
{
        static const struct {
                char type;
                struct patch patch;
                const char *problem;
        } cases[] = {
                { 'V', { 0, "v", 1 }, "unknown type 'V'" },
                { '\n', { 0, "v", 1 }, "unknown type '?'" },
                { '0', { 124, "-1", 2 }, "size is no number" },
                { '0',
                  { 124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12 },
                  "size is no number" },
                { '0',
                  { 124, "\x80\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12 },
                  "size is no number" },
                { '0', { 100, "rwx", 3 }, "mode" },
                { '0', { 108, "\xff\xff\xff\xff\xff\xff\xff\xff", 8 }, "user ID" },
                { '3', { 329, "\x80\0\0\0\xff\xff\xff\xff", 8 }, "device number" },
                { '2', { 0, "l", 1 }, "link without a target" },
                { '0', { 0, "\0", 1 }, "an entry has no name" },
        };
        AUTO_BUF tar = { .s = NULL };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const struct patch p[] = { cases[i].patch, { 0 } };

                buf_clear(&tar);
                put_raw(&tar, cases[i].type, "f", "0", p);
                expect_problem(NULL, &tar, -EINVAL, cases[i].problem);
        }
        tar.s[0] ^= 1;
        expect_problem(NULL, &tar, -EINVAL, "checksum");
}

static void test_limits(void **state)
{
        struct tar_limits l = tar_limits_default;
        AUTO_BUF tar = { .s = NULL };

        for (int i = 0; i < 3; i++)
                put_raw(&tar, '0', "f\33[2J", "0", NULL);
        l.entries = 2;
        expect_problem(&l, &tar, -E2BIG, "more than 2 entries, entry 3 'f?[2J'");
        l = tar_limits_default;
        l.bytes = 1500;
        expect_problem(&l, &tar, -E2BIG, "more than 1500 bytes");
        l = tar_limits_default;
        l.path = 5;
        expect_problem(&l, &tar, -E2BIG, "name or link target");
        buf_clear(&tar);
        put_raw(&tar, '0', "huge", "77777777777", NULL);
        l = tar_limits_default;
        l.file_size = 1 << 20;
        expect_problem(&l, &tar, -E2BIG, "file of more than 1048576 bytes");
        buf_clear(&tar);
        put_pax(&tar, "SCHILY.xattr.user.a", "12345");
        put_raw(&tar, '0', "f", "0", NULL);
        l = tar_limits_default;
        l.xattr_value = 4;
        expect_problem(&l, &tar, -E2BIG, "'user.a' is over 4 bytes");
        l.xattrs = 0;
        l.xattr_value = 5;
        expect_problem(&l, &tar, -E2BIG, "more than 0 extended attributes");
        l.pax = 20;
        expect_problem(&l, &tar, -E2BIG, "extended header of more than 20 bytes");
}

static void test_the_handlers_answer_ends_it(void **state)
{
        struct heard h = { .text = { .s = NULL }, .answer = -ENOSPC };
        AUTO_BUF tar = { .s = NULL };
        char problem[320];

        put_raw(&tar, '0', "f", "0", NULL);
        assert_int_equal(hear(NULL, &tar, 512, &h, problem), -ENOSPC);
        buf_done(&h.text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_written_is_read),
                cmocka_unit_test(test_names_of_all_lengths),
                cmocka_unit_test(test_records_of_all_lengths),
                cmocka_unit_test(test_gnu_long_names),
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_pax),
                cmocka_unit_test(test_duplicate_xattrs),
                cmocka_unit_test(test_ends),
                cmocka_unit_test(test_sparse_old),
                cmocka_unit_test(test_sparse_old_extended),
                cmocka_unit_test(test_sparse_00),
                cmocka_unit_test(test_sparse_01),
                cmocka_unit_test(test_sparse_10),
                cmocka_unit_test(test_sparse_wrong),
                cmocka_unit_test(test_malformed),
                cmocka_unit_test(test_bad_headers),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_the_handlers_answer_ends_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
