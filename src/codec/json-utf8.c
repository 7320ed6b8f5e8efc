#include "codec/json-utf8.h"

/* RFC 3629 section 4: the second byte's range depends on the first; later ones are 80..BF. */
static const struct lead {
        unsigned char first, last, low, high, len;
} leads[] = {
        { 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
        { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
        { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
};

size_t json_utf8_len(const char *s, size_t n)
{
        const unsigned char *u = (const unsigned char *)s;
        const struct lead *l = leads;

        if (n == 0)
                return 0;
        while (u[0] > l->last)
                if (++l == leads + sizeof leads / sizeof *leads)
                        return 0;
        if (u[0] < l->first || n < l->len)
                return 0;
        if (l->len > 1 && (u[1] < l->low || u[1] > l->high))
                return 0;
        for (size_t i = 2; i < l->len; i++)
                if (u[i] < 0x80 || u[i] > 0xbf)
                        return 0;
        return l->len;
}

size_t json_utf8_put(char out[static 4], uint32_t c)
{
        static const unsigned char marks[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
        size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

        for (size_t i = len; i-- > 1; c >>= 6)
                out[i] = (char)(0x80 | (c & 0x3f));
        out[0] = (char)(marks[len] | c);
        return len;
}
