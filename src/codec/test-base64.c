/* base64: RFC 4648's examples, strictness, and a round trip. */
#include <errno.h>
#include <string.h>

#include "base/test.h"
#include "codec/base64.h"

static const struct {
        const char *plain, *text;
} examples[] = { { "", "" },
                 { "f", "Zg==" },
                 { "fo", "Zm8=" },
                 { "foo", "Zm9v" },
                 { "foob", "Zm9vYg==" },
                 { "fooba", "Zm9vYmE=" },
                 { "foobar", "Zm9vYmFy" } };

static void test_examples(void **state)
{
        for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
                AUTO_BUF b = { 0 };
                char out[16] = "";

                base64_put(&b, examples[i].plain, strlen(examples[i].plain));
                assert_string_equal(buf_str(&b), examples[i].text);
                assert_int_equal(base64_decode(b.len ? b.s : "", b.len, out),
                                 strlen(examples[i].plain));
                assert_string_equal(out, examples[i].plain);
        }
}

static void test_refuses(void **state)
{
        static const char *const bad[] = { "Z",    "Zg",   "Zg=",  "====", "Zm9v=",    "Zh==",
                                           "Zm9=", "Z g=", "Zm-_", "=AAA", "Zg==Zg==", "A===" };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                char out[16];

                assert_int_equal(base64_decode(bad[i], strlen(bad[i]), out), -EINVAL);
        }
}

static void test_round_trip(void **state)
{
        uint64_t seed = 7;

        for (size_t n = 0; n < 200; n++) {
                AUTO_BUF b = { 0 };
                unsigned char in[200], out[200];

                for (size_t i = 0; i < n; i++)
                        in[i] = (unsigned char)test_random(&seed);
                base64_put(&b, in, n);
                assert_int_equal(base64_decode(buf_str(&b), b.len, out), n);
                assert_memory_equal(in, out, n);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_examples),
                                            cmocka_unit_test(test_refuses),
                                            cmocka_unit_test(test_round_trip) };

        return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
