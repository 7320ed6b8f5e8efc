#include "kernel/bitlist.h"

#include <errno.h>

#include "base/str.h"

void bitlist_add(struct bitlist *b, unsigned i)
{
        b->bits[i / BITLIST_WORD] |= 1ul << i % BITLIST_WORD;
        if (i >= b->n)
                b->n = i + 1;
}

bool bitlist_has(const struct bitlist *b, unsigned i)
{
        return i < b->n && (b->bits[i / BITLIST_WORD] >> i % BITLIST_WORD & 1);
}

static void trim(const char **p, size_t *n)
{
        while (*n && strchr(" \t\n", **p)) {
                (*p)++;
                (*n)--;
        }
        while (*n && strchr(" \t\n", (*p)[*n - 1]))
                (*n)--;
}

static int number(const char *p, size_t n, unsigned *ret)
{
        unsigned v = 0;

        if (!n)
                return -EINVAL;
        for (; n; p++, n--) {
                if (*p < '0' || *p > '9')
                        return -EINVAL;
                v = v * 10 + (unsigned)(*p - '0');
                if (v >= BITLIST_MAX)
                        return -ERANGE;
        }
        *ret = v;
        return 0;
}

static int field(const char *p, size_t n, struct bitlist *b)
{
        const char *dash = memchr(p, '-', n);
        size_t head = dash ? (size_t)(dash - p) : n;
        unsigned first, last;
        int r;

        r = number(p, head, &first);
        if (r < 0)
                return r;
        last = first;
        if (dash) {
                r = number(dash + 1, n - head - 1, &last);
                if (r < 0)
                        return r;
                if (last < first)
                        return -EINVAL;
        }
        for (unsigned i = first; i <= last; i++)
                bitlist_add(b, i);
        return 0;
}

int bitlist_parse(const char *s, struct bitlist *ret)
{
        struct bitlist b = { 0 };
        const char *at = s, *f;
        size_t n;

        while (str_next(&at, ',', &f, &n)) {
                int r;

                trim(&f, &n);
                if (!n)
                        continue;
                r = field(f, n, &b);
                if (r < 0)
                        return r;
        }
        if (!b.n && *s) /* text, but nothing in it */
                return -EINVAL;
        *ret = b;
        return 0;
}
