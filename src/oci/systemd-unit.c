/* Names: where cgroupsPath puts a container among systemd's units (systemd.unit(5),
 * systemd.slice(5)). */
#include <string.h>

#include "base/str.h"
#include "oci/systemd.h"

#define UNIT_NAME_MAX 255 /* UNIT_NAME_MAX of systemd, the NUL not counted */

static bool is_unit_name(const char *s)
{
        static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "0123456789:-_.\\@";

        return *s && strlen(s) <= UNIT_NAME_MAX && s[strspn(s, valid)] == 0;
}

int systemd_unit_parse(struct arena *a, const char *cgroups_path, const char *id, bool user,
                       struct systemd_unit *ret, struct err *e)
{
        struct systemd_unit u = { .user = user };
        const char *fields[3] = { "", "berth", id }, *field;
        size_t n, i = 0;

        if (!str_empty(cgroups_path)) {
                for (const char *at = cgroups_path; str_next(&at, ':', &field, &n); i++)
                        if (i < 3)
                                fields[i] = arena_strndup(a, field, n);
                if (i != 3 || !*fields[2]) {
                        err_set(e, ERR_INVALID,
                                "expected \"slice:prefix:name\" for systemd "
                                "cgroups, got '%.200s'",
                                cgroups_path);
                        return err_hint(e, "Leave out --systemd-cgroup to use it as a path.");
                }
        }
        u.slice = *fields[0] ? fields[0] : user ? "user.slice" : "system.slice";
        if (str_ends(fields[2], ".slice"))
                u.name = fields[2];
        else
                u.name = arena_printf(a, "%s%s%s.scope", fields[1], *fields[1] ? "-" : "",
                                      fields[2]);
        if (!is_unit_name(u.name))
                return err_set(e, ERR_INVALID, "'%.200s' is no unit name", u.name);
        if (!str_ends(u.slice, ".slice") || !is_unit_name(u.slice))
                return err_set(e, ERR_INVALID, "'%.200s' is no slice", u.slice);
        *ret = u;
        return 0;
}

int systemd_slice_expand(struct arena *a, const char *slice, const char **ret, struct err *e)
{
        const char *part, *path = "";
        size_t n, stem = strlen(slice);

        if (!str_ends(slice, ".slice") || stem == strlen(".slice") || !is_unit_name(slice))
                return err_set(e, ERR_INVALID, "'%.200s' is no slice", slice);
        stem -= strlen(".slice");
        if (str_eq(slice, "-.slice")) {
                *ret = "/";
                return 0;
        }
        for (const char *at = slice; str_next(&at, '-', &part, &n);) {
                size_t end = MIN((size_t)(part - slice) + n, stem);

                if (end == (size_t)(part - slice))
                        return err_set(e, ERR_INVALID, "'%.200s' is no slice", slice);
                path = arena_printf(a, "%s/%.*s.slice", path, (int)end, slice);
        }
        *ret = path;
        return 0;
}
