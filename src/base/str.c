#include "base/str.h"

#include <errno.h>
#include <strings.h>

const char *str_after(const char *s, const char *prefix)
{
        size_t n = strlen(prefix);

        return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

bool str_ends(const char *s, const char *suffix)
{
        size_t a = strlen(s), b = strlen(suffix);

        return a >= b && str_eq(s + a - b, suffix);
}

/* Reads decimal digits at *at, one at least, and leaves *at behind them. */
static int digits(const char **at, uint64_t *ret)
{
        uint64_t v = 0;

        if (**at < '0' || **at > '9')
                return -EINVAL;
        for (; **at >= '0' && **at <= '9'; ++*at)
                if (__builtin_mul_overflow(v, 10u, &v) ||
                    __builtin_add_overflow(v, (uint64_t)(**at - '0'), &v))
                        return -ERANGE;
        *ret = v;
        return 0;
}

int str_to_u64(const char *s, uint64_t *ret)
{
        uint64_t v;
        int r = digits(&s, &v);

        if (r < 0)
                return r;
        if (*s)
                return -EINVAL;
        *ret = v;
        return 0;
}

int str_to_u32(const char *s, uint32_t *ret)
{
        uint64_t v;
        int r = str_to_u64(s, &v);

        if (r < 0)
                return r;
        if (v > UINT32_MAX)
                return -ERANGE;
        *ret = (uint32_t)v;
        return 0;
}

int str_to_i64(const char *s, int64_t *ret)
{
        bool minus = *s == '-';
        uint64_t v;
        int r = str_to_u64(s + minus, &v);

        if (r < 0)
                return r;
        if (v > (uint64_t)INT64_MAX + minus)
                return -ERANGE;
        *ret = minus ? (int64_t)(-v) : (int64_t)v;
        return 0;
}

/* How far "k", "KB" or "KiB" shift a number; nothing and "b" do not. */
static int unit_shift(const char *unit, unsigned *ret)
{
        static const char units[] = "bkmgtp";
        const char *found;

        *ret = 0;
        if (!*unit)
                return 0;
        found = strchr(units, *unit | 0x20);
        if (!found)
                return -EINVAL;
        *ret = 10 * (unsigned)(found - units);
        unit++;
        if (!*unit || (*ret && (!strcasecmp(unit, "b") || !strcasecmp(unit, "ib"))))
                return 0;
        return -EINVAL;
}

int str_to_size(const char *s, int64_t *ret)
{
        uint64_t whole, frac = 0, scale = 1, v;
        unsigned shift;
        int r = digits(&s, &whole);

        if (r < 0)
                return r;
        if (*s == '.')
                for (s++; *s >= '0' && *s <= '9'; s++)
                        if (scale < 1000000) {
                                frac = frac * 10 + (uint64_t)(*s - '0');
                                scale *= 10;
                        }
        r = unit_shift(s, &shift);
        if (r < 0)
                return r;
        if (whole > (uint64_t)INT64_MAX >> shift)
                return -ERANGE;
        v = (whole << shift) + (uint64_t)((double)frac / (double)scale * (double)(1ull << shift));
        if (v > INT64_MAX)
                return -ERANGE;
        *ret = (int64_t)v;
        return 0;
}

int str_index(const char *const *table, size_t n, const char *s)
{
        for (size_t i = 0; i < n; i++)
                if (table[i] && str_eq(table[i], s))
                        return (int)i;
        return -1;
}

const struct str_flag *str_flag_find(const struct str_flag *table, const char *name)
{
        for (; table->name; table++)
                if (str_eq(table->name, name))
                        return table;
        return NULL;
}

bool str_next(const char **at, char sep, const char **ret_field, size_t *ret_len)
{
        const char *end;

        if (!*at)
                return false;
        end = strchr(*at, sep);
        *ret_field = *at;
        *ret_len = end ? (size_t)(end - *at) : strlen(*at);
        *at = end ? end + 1 : NULL;
        return true;
}
