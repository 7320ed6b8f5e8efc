/* Known answers: FIPS 180-4's examples, and digests that are none. */
#include <errno.h>
#include <string.h>

#include "base/test.h"
#include "codec/hash.h"

static void test_known_answers(void **state)
{
        char d[DIGEST_CAP];

        hash_bytes(HASH_SHA256, "abc", 3, d);
        assert_string_equal(
                d, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        hash_bytes(HASH_SHA512, "abc", 3, d);
        assert_string_equal(
                d, "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                   "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

static void test_pieces_are_the_whole(void **state)
{
        char whole[DIGEST_CAP], pieces[DIGEST_CAP], text[1000];
        struct hash h;

        memset(text, 'x', sizeof text);
        hash_bytes(HASH_SHA256, text, sizeof text, whole);
        hash_init(&h, HASH_SHA256);
        for (size_t i = 0; i < sizeof text; i += 7)
                hash_update(&h, text + i, i + 7 > sizeof text ? sizeof text - i : 7);
        hash_final(&h, pieces);
        assert_string_equal(whole, pieces);
}

#define HEX32 "0123456789abcdef0123456789abcdef"

static void test_grammar(void **state)
{
        enum hash_alg alg;

        assert_int_equal(digest_check("sha256:" HEX32 HEX32, &alg), 0);
        assert_int_equal(alg, HASH_SHA256);
        assert_string_equal(digest_hex("sha256:" HEX32 HEX32), HEX32 HEX32);
        assert_int_equal(digest_check("blake3:" HEX32 HEX32, NULL), -EOPNOTSUPP);
        for (const char **bad =
                     (const char *[]){ "", "sha256", "sha256:", "sha256:" HEX32,
                                       "sha256:" HEX32 HEX32 "0", "sha256:../../etc/x",
                                       "sha256:" HEX32 "0123456789ABCDEF" HEX32,
                                       "SHA256:" HEX32 HEX32, ":" HEX32 HEX32, "md5:a/b", NULL };
             *bad; bad++)
                assert_int_equal(digest_check(*bad, NULL), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_known_answers),
                cmocka_unit_test(test_pieces_are_the_whole),
                cmocka_unit_test(test_grammar),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
