#include "base/path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

static bool part_is(const char *part, size_t n, const char *s)
{
        return strncmp(part, s, n) == 0 && s[n] == 0;
}

/* The length of buf without its last component, but not below floor. */
static size_t without_last(const char *buf, size_t len, size_t floor)
{
        while (len > floor && buf[len - 1] != '/')
                len--;
        return len > floor ? len - 1 : len;
}

int path_clean(const char *p, char *buf, size_t cap)
{
        bool absolute = *p == '/';
        size_t len = 0, floor = absolute; /* of what ".." can take away */
        const char *part;
        size_t n;

        if (cap < 2)
                return -ENAMETOOLONG;
        if (absolute)
                buf[len++] = '/';
        for (const char *at = p; str_next(&at, '/', &part, &n);) {
                bool up = part_is(part, n, "..");

                if (n == 0 || part_is(part, n, ".") || (up && absolute && len == floor))
                        continue;
                if (up && len > floor) {
                        len = without_last(buf, len, floor);
                        continue;
                }
                if (len + n + 2 > cap)
                        return -ENAMETOOLONG;
                if (len > 0 && buf[len - 1] != '/')
                        buf[len++] = '/';
                memcpy(buf + len, part, n);
                len += n;
                if (up)
                        floor = len + 1;
        }
        if (len == 0)
                buf[len++] = '.';
        else if (len > 1 && buf[len - 1] == '/')
                len--;
        buf[len] = 0;
        return 0;
}

int path_join(const char *base, const char *rest, char *buf, size_t cap)
{
        char both[8192];

        if (*rest == '/')
                return path_clean(rest, buf, cap);
        if (snprintf(both, sizeof both, "%s/%s", base, rest) >= (int)sizeof both)
                return -ENAMETOOLONG;
        return path_clean(both, buf, cap);
}

bool path_below(const char *p, const char *dir)
{
        const char *rest = str_after(p, dir);

        return str_eq(dir, "/") || (rest && (*rest == 0 || *rest == '/'));
}

const char *path_base(const char *p)
{
        const char *slash = strrchr(p, '/');

        return slash ? slash + 1 : p;
}
