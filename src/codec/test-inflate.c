/* Streams of several members and frames, cut anywhere, into output of any size; damaged ones. */
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/test.h"
#include "codec/inflate.h"

static void compress_into(struct buf *to, enum compression c, int level, const char *p, size_t n)
{
        struct deflate *z = deflate_new(c, level);
        const uint8_t *in = (const uint8_t *)p;
        uint8_t out[1000];
        int64_t got;

        while ((got = deflate_run(z, &in, &n, out, sizeof out, true)) > 0)
                buf_add(to, out, (size_t)got);
        assert_int_equal(got, 0);
        assert_int_equal(n, 0);
        deflate_free(z);
}

/* Feeds pieces of `piece` bytes, takes out at most `room` at a time. */
static int inflate_all(enum compression c, const struct buf *from, size_t piece, size_t room,
                       struct buf *to)
{
        struct inflate *z = inflate_new(c, 27);
        uint8_t out[5000];
        int r = 0;

        for (size_t at = 0; at < from->len && r == 0; at += piece) {
                const uint8_t *in = (const uint8_t *)from->s + at;
                size_t n = MIN(piece, from->len - at);
                int64_t got;

                while ((got = inflate_run(z, &in, &n, out, room)) > 0) {
                        assert_true((size_t)got <= room);
                        buf_add(to, out, (size_t)got);
                }
                assert_true(got < 0 || n == 0);
                r = (int)got;
        }
        if (r == 0)
                r = inflate_finish(z);
        assert_true(r == 0 || inflate_problem(z)[0]);
        inflate_free(z);
        return r;
}

static void fill(char *p, size_t n)
{
        uint64_t seed = 7;

        for (size_t i = 0; i < n; i++)
                p[i] = (char)(i % 11 ? "abcdefgh"[test_random(&seed) & 7] : 'x');
}

static char text[150000];

static void test_members(void **state)
{
        /* Tiny members: several of them fit the bit buffer of igzip's look-ahead. */
        static const size_t sizes[] = { 0, 1, 3, 70000, 2, 0, 0, 5, 40000, 1 };

        for (enum compression c = COMPRESSION_NONE; c < COMPRESSION_MAX; c++) {
                AUTO_BUF packed = { .s = NULL };
                size_t total = 0;

                for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                        compress_into(&packed, c, (int)i, text + total, sizes[i]);
                        total += sizes[i];
                }
                if (c != COMPRESSION_NONE)
                        assert_int_equal(compression_sniff(packed.s, packed.len), c);
                for (size_t piece = 1; piece < 40; piece++) {
                        for (size_t room = 1; room <= 5000; room = room * 7 + 1) {
                                AUTO_BUF out = { .s = NULL };

                                assert_int_equal(inflate_all(c, &packed, piece, room, &out), 0);
                                assert_int_equal(out.len, total);
                                assert_memory_equal(out.s, text, total);
                        }
                }
                AUTO_BUF out = { .s = NULL };
                assert_int_equal(inflate_all(c, &packed, packed.len, 5000, &out), 0);
                assert_int_equal(out.len, total);
                assert_memory_equal(out.s, text, total);
        }
}

static void test_skippable_frames(void **state)
{
        static const char skip[] = "\x53\x2a\x4d\x18\x05\0\0\0hello";
        AUTO_BUF packed = { .s = NULL };

        for (int i = 0; i < 3; i++) {
                buf_add(&packed, skip, 13);
                compress_into(&packed, COMPRESSION_ZSTD, 0, text + 1000 * i, 1000);
        }
        buf_add(&packed, skip, 13);
        assert_int_equal(compression_sniff(packed.s, 4), COMPRESSION_ZSTD);
        for (size_t piece = 1; piece < 50; piece++) {
                AUTO_BUF out = { .s = NULL };

                assert_int_equal(inflate_all(COMPRESSION_ZSTD, &packed, piece, 100, &out), 0);
                assert_int_equal(out.len, 3000);
                assert_memory_equal(out.s, text, 3000);
        }
}

static void test_cut_off(void **state)
{
        for (enum compression c = COMPRESSION_GZIP; c < COMPRESSION_MAX; c++) {
                AUTO_BUF packed = { .s = NULL };

                compress_into(&packed, c, 0, text, 300);
                for (size_t n = packed.len - 1;; n--) {
                        AUTO_BUF out = { .s = NULL };
                        struct buf part = { .s = packed.s, .len = n };

                        assert_int_equal(inflate_all(c, &part, 64, 5000, &out), -EINVAL);
                        if (n == 0)
                                break;
                }
        }
}

/* Every single bit of header, data and trailer matters, or is one that the format leaves free. */
static void test_damaged(void **state)
{
        for (enum compression c = COMPRESSION_GZIP; c < COMPRESSION_MAX; c++) {
                AUTO_BUF packed = { .s = NULL };
                unsigned unseen = 0;

                compress_into(&packed, c, 0, text, 2000);
                for (size_t bit = 0; bit < 8 * packed.len; bit++) {
                        AUTO_BUF out = { .s = NULL };

                        packed.s[bit / 8] ^= (char)(1 << bit % 8);
                        if (inflate_all(c, &packed, 1000, 5000, &out) == 0) {
                                unseen++;
                                if (c == COMPRESSION_GZIP)
                                        assert_memory_equal(out.s, text, 2000);
                        }
                        packed.s[bit / 8] ^= (char)(1 << bit % 8);
                }
                /* gzip: time, system, compressor, text or not, bits that nobody uses. zstd's
                 * frames carry no checksum here: the layer's digest is what tells. */
                if (c == COMPRESSION_GZIP)
                        assert_true(unseen <= 60);
        }
}

static void test_garbage_behind(void **state)
{
        AUTO_BUF packed = { .s = NULL }, out = { .s = NULL };

        compress_into(&packed, COMPRESSION_GZIP, 0, text, 100);
        buf_puts(&packed, "no member of a gzip stream");
        assert_int_equal(inflate_all(COMPRESSION_GZIP, &packed, 7, 100, &out), -EINVAL);
        buf_clear(&packed);
        compress_into(&packed, COMPRESSION_ZSTD, 0, text, 100);
        buf_puts(&packed, "no frame of a zstd stream");
        assert_int_equal(inflate_all(COMPRESSION_ZSTD, &packed, 7, 100, &out), -EINVAL);
}

/* A frame that asks for a window of 2 GiB. */
static void test_window(void **state)
{
        static const char frame[] = "\x28\xb5\x2f\xfd\0\xa8\1\0\0";
        struct buf packed = { .s = (char *)frame, .len = sizeof frame - 1 };
        AUTO_BUF out = { .s = NULL };

        assert_int_equal(inflate_all(COMPRESSION_ZSTD, &packed, 100, 100, &out), -E2BIG);
}

/* The same whatever the pieces, and readable for zlib. */
static void test_deterministic(void **state)
{
        for (enum compression c = COMPRESSION_GZIP; c < COMPRESSION_MAX; c++) {
                AUTO_BUF whole = { .s = NULL }, pieces = { .s = NULL };
                struct deflate *z = deflate_new(c, 0);
                uint8_t out[333];

                compress_into(&whole, c, 0, text, sizeof text);
                for (size_t at = 0; at < sizeof text; at += 1234) {
                        const uint8_t *in = (const uint8_t *)text + at;
                        size_t n = MIN((size_t)1234, sizeof text - at);
                        bool last = at + n == sizeof text;
                        int64_t got;

                        do {
                                got = deflate_run(z, &in, &n, out, sizeof out, last);
                                buf_add(&pieces, out, (size_t)got);
                        } while (got > 0);
                }
                deflate_free(z);
                assert_int_equal(whole.len, pieces.len);
                assert_memory_equal(whole.s, pieces.s, whole.len);
                if (c == COMPRESSION_GZIP)
                        assert_memory_equal(whole.s, "\x1f\x8b\x08\0\0\0\0\0", 8);
        }
}

static void test_sniff(void **state)
{
        assert_int_equal(compression_sniff("plain", 5), COMPRESSION_NONE);
        assert_int_equal(compression_sniff("", 0), COMPRESSION_NONE);
        assert_int_equal(compression_sniff("\x1f\x8b\x07", 3), COMPRESSION_NONE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_members),        cmocka_unit_test(test_skippable_frames),
                cmocka_unit_test(test_cut_off),        cmocka_unit_test(test_damaged),
                cmocka_unit_test(test_garbage_behind), cmocka_unit_test(test_window),
                cmocka_unit_test(test_deterministic),  cmocka_unit_test(test_sniff),
        };

        fill(text, sizeof text);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
