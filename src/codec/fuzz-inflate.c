/* A blob of any compression, as a stranger made it: the glue around the decompressors keeps its
 * contract, and pieces don't matter. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/macro.h"
#include "codec/inflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t sum;
static size_t total;

static int run(const uint8_t *data, size_t size, size_t piece, size_t room)
{
        struct inflate *z = inflate_new(compression_sniff(data, size), 20);
        static uint8_t out[1 << 16];
        int64_t r = 0;

        sum = 1;
        total = 0;
        for (size_t at = 0; at < size && r >= 0; at += piece) {
                const uint8_t *in = data + at;
                size_t n = MIN(piece, size - at);

                while ((r = inflate_run(z, &in, &n, out, room)) > 0 && total < 1 << 20) {
                        if ((size_t)r > room)
                                abort();
                        for (int64_t i = 0; i < r; i++)
                                sum = (sum ^ out[i]) * 0x100000001b3ull;
                        total += (size_t)r;
                }
                if (r > 0)
                        break;
                if (r == 0 && n)
                        abort();
        }
        if (r == 0)
                r = inflate_finish(z);
        if (r < 0 && r != -EINVAL && r != -E2BIG)
                abort();
        if ((r < 0) != (inflate_problem(z)[0] != '\0'))
                abort();
        inflate_free(z);
        return r < 0 ? -1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        int whole;
        uint64_t first;

        if (size < 4)
                return 0;
        whole = run(data, size, size, sizeof(uint8_t[1 << 16]));
        first = sum;
        if (total < 1 << 20 &&
            (run(data, size, 1 + data[3] % 64, 1000) != whole || (whole == 0 && sum != first)))
                abort();
        return 0;
}
