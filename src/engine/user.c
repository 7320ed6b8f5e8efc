#include "engine/user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/str.h"
#include "kernel/resolve.h"

#define FILE_MAX (1u << 20)
#define GROUPS_MAX 256

const char *user_db(struct arena *a, int root, const char *path)
{
        AUTO_FD int fd = resolve_open(root, path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0, 0);
        struct stat st;
        char *text;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
                return "";
        text = arena_alloc(a, (size_t)st.st_size + 2);
        return fd_read_text(fd, text, (size_t)st.st_size + 1) < 0 ? "" : text;
}

bool user_line(struct arena *a, const char *db, const char *name, const char *ret[USER_FIELDS])
{
        const char *lines = db, *line;
        uint32_t number, id;
        bool by_number = str_to_u32(name, &number) == 0;
        size_t len;

        while (str_next(&lines, '\n', &line, &len)) {
                const char *at = arena_strndup(a, line, len), *part;
                size_t n = 0, plen;

                for (size_t i = 0; i < USER_FIELDS; i++)
                        ret[i] = "";
                while (n < USER_FIELDS && str_next(&at, ':', &part, &plen))
                        ret[n++] = arena_strndup(a, part, plen);
                if (n < 3 || str_to_u32(ret[2], &id) < 0)
                        continue;
                if (by_number ? id == number : str_eq(ret[0], name))
                        return true;
        }
        return false;
}

/* What looks like a number is one, or nothing: an image could have a user of that name, whose
 * number is 0 (CVE-2026-46680). */
static bool no_number(const char *text)
{
        uint32_t ignored;

        return *text && !text[strspn(text, "0123456789")] && str_to_u32(text, &ignored) < 0;
}

static int find_group(struct arena *a, const char *group, const char *name, uint32_t *ret,
                      struct err *e)
{
        const char *f[USER_FIELDS];

        if (str_to_u32(name, ret) == 0)
                return 0;
        if (no_number(name))
                return err_set(e, ERR_INVALID, "\"%s\" is too large for a group's number", name);
        if (!user_line(a, group, name, f))
                return err_set(e, ERR_NOT_FOUND, "no group \"%s\" in the root's /etc/group", name);
        return str_to_u32(f[2], ret) < 0
                       ? err_set(e, ERR_INVALID, "group \"%s\" has no number", name)
                       : 0;
}

/* ---- further groups ---- */

struct groups {
        uint32_t *v; /* room for GROUPS_MAX */
        size_t n;
};

static void add_group(struct groups *g, uint32_t gid)
{
        for (size_t i = 0; i < g->n; i++)
                if (g->v[i] == gid)
                        return;
        if (g->n < GROUPS_MAX)
                g->v[g->n++] = gid;
}

static bool lists(const char *members, const char *name)
{
        const char *part;
        size_t len;

        while (str_next(&members, ',', &part, &len))
                if (len == strlen(name) && memcmp(part, name, len) == 0)
                        return true;
        return false;
}

/* The groups whose fourth field lists the user's name. */
static void find_memberships(struct arena *a, const char *db, const char *name, struct groups *g)
{
        const char *lines = db, *line;
        size_t len;

        while (str_next(&lines, '\n', &line, &len)) {
                const char *at = arena_strndup(a, line, len), *f[4] = { "", "", "", "" }, *part;
                size_t plen;
                uint32_t gid;

                for (size_t n = 0; n < ARRAY_SIZE(f) && str_next(&at, ':', &part, &plen); n++)
                        f[n] = arena_strndup(a, part, plen);
                if (lists(f[3], name) && str_to_u32(f[2], &gid) == 0)
                        add_group(g, gid);
        }
}

int user_find_in(struct arena *a, const char *passwd, const char *group, const char *text,
                 const struct strings *add, struct user *ret, struct err *e)
{
        const char *colon = strchr(text, ':'), *f[USER_FIELDS];
        const char *f_group[USER_FIELDS],
                *name = colon ? arena_strndup(a, text, (size_t)(colon - text)) : text;
        bool known;
        struct groups groups = { arena_array(a, uint32_t, GROUPS_MAX), 0 };

        *ret = (struct user){ .home = "/", .gids = groups.v };
        if (str_empty(name))
                name = "0";
        if (no_number(name))
                return err_set(e, ERR_INVALID, "\"%s\" is too large for a user's number", name);
        known = user_line(a, passwd, name, f);
        if (str_to_u32(known ? f[2] : name, &ret->uid) < 0)
                return err_set(e, ERR_NOT_FOUND, "no user \"%s\" in the root's /etc/passwd", name);
        if (known && str_to_u32(f[3], &ret->gid) < 0)
                ret->gid = 0;
        if (known && *f[5])
                ret->home = f[5];
        if (colon && colon[1] && find_group(a, group, colon + 1, &ret->gid, e) < 0)
                return -1;
        ret->known = known;
        ret->group_known = user_line(a, group, arena_printf(a, "%u", ret->gid), f_group);
        add_group(&groups, ret->gid);
        if (known && !(colon && colon[1]))
                find_memberships(a, group, f[0], &groups);
        for (size_t i = 0; i < add->n; i++) {
                uint32_t gid;

                if (find_group(a, group, add->v[i], &gid, e) < 0)
                        return err_in(e, "--group-add");
                add_group(&groups, gid);
        }
        ret->ngids = groups.n;
        return 0;
}

int user_find(struct arena *a, int root, const char *text, const struct strings *add,
              struct user *ret, struct err *e)
{
        return user_find_in(a, user_db(a, root, "etc/passwd"), user_db(a, root, "etc/group"), text,
                            add, ret, e);
}

uint32_t user_largest_in(const char *db, uint32_t most)
{
        const char *line;
        uint32_t largest = 0;
        size_t len;

        while (str_next(&db, '\n', &line, &len)) {
                const char *second = memchr(line, ':', len), *third;
                unsigned long id;

                third = second ? strchr(second + 1, ':') : NULL;
                if (!third || third >= line + len)
                        continue;
                id = strtoul(third + 1, NULL, 10);
                if (id > largest && id <= most)
                        largest = (uint32_t)id;
        }
        return largest;
}

uint32_t user_largest(int root, uint32_t most)
{
        AUTO_ARENA a = { 0 };

        return MAX(user_largest_in(user_db(&a, root, "etc/passwd"), most),
                   user_largest_in(user_db(&a, root, "etc/group"), most));
}
