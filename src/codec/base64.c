#include "codec/base64.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 0-63, or -1. */
static int value_of(char c)
{
        const char *at = c ? strchr(alphabet, c) : NULL;

        return at ? (int)(at - alphabet) : -1;
}

ssize_t base64_decode(const char *text, size_t n, void *out)
{
        uint8_t *to = out;
        size_t pad = 0, len = 0;

        if (n % 4)
                return -EINVAL;
        while (pad < 2 && pad < n && text[n - 1 - pad] == '=')
                pad++;
        for (size_t i = 0; i < n; i += 4) {
                size_t letters = i + 4 == n ? 4 - pad : 4;
                uint32_t bits = 0;

                for (size_t k = 0; k < 4; k++) {
                        int v = k < letters ? value_of(text[i + k]) : 0;

                        if (v < 0)
                                return -EINVAL;
                        bits = bits << 6 | (uint32_t)v;
                }
                /* Two texts must not mean the same bytes. */
                if ((letters == 2 && (bits & 0xffff)) || (letters == 3 && (bits & 0xff)))
                        return -EINVAL;
                for (size_t k = 0; k + 1 < letters; k++)
                        to[len++] = (uint8_t)(bits >> (16 - 8 * k));
        }
        return (ssize_t)len;
}

void base64_put(struct buf *out, const void *p, size_t n)
{
        const uint8_t *from = p;

        for (size_t i = 0; i < n; i += 3) {
                size_t have = n - i < 3 ? n - i : 3;
                uint32_t bits = (uint32_t)from[i] << 16;

                if (have > 1)
                        bits |= (uint32_t)from[i + 1] << 8;
                if (have > 2)
                        bits |= from[i + 2];
                for (size_t k = 0; k < 4; k++)
                        buf_putc(out, k <= have ? alphabet[bits >> (18 - 6 * k) & 63] : '=');
        }
}
