/* registries.conf and its drop-ins, merged. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/dir.h"
#include "base/str.h"
#include "image/registries-internal.h"

#define DROP_INS_MAX 1000

/* ---- one file ---- */

static int bad(struct err *e, const char *file, const char *what, const char *value)
{
        return err_set(e, ERR_INVALID, "'%s': %s '%s'", file, what, value);
}

/* A location or prefix: HOST[:PORT][/PATH], no scheme. */
static int check_location(struct arena *a, const char *file, const char **location, struct err *e)
{
        size_t n = strlen(*location);

        if (strstr(*location, "://"))
                return bad(e, file, "a location has no scheme, but there is", *location);
        while (n && (*location)[n - 1] == '/')
                n--;
        if (n == 0)
                return bad(e, file, "no location:", *location);
        *location = arena_strndup(a, *location, n);
        return 0;
}

static int read_mirror(struct arena *a, const char *file, const struct json *j, bool digest_only,
                       struct registries_mirror *ret, struct err *e)
{
        static const struct toml_field fields[] = {
                { "location", JSON_STRING, offsetof(struct registries_mirror, location) },
                { "insecure", JSON_BOOL, offsetof(struct registries_mirror, insecure) },
                { "pull-from-mirror", JSON_STRING, offsetof(struct registries_mirror, pull_from) },
        };
        static const char *const uses[] = { "all", "digest-only", "tag-only" };
        int use;

        static_assert(ARRAY_SIZE(uses) == MIRROR_USE_MAX, "each use has a name");
        if (registries_fields(a, file, j, fields, ARRAY_SIZE(fields), ret, e) < 0)
                return -1;
        if (!ret->location)
                return err_set(e, ERR_INVALID, "'%s': a mirror without 'location'", file);
        use = ret->pull_from ? STR_INDEX(uses, ret->pull_from) : MIRROR_ALL;
        if (use < 0)
                return bad(e, file, "'pull-from-mirror' is all, digest-only or tag-only, not",
                           ret->pull_from);
        if (ret->pull_from && digest_only)
                return err_set(e, ERR_INVALID,
                               "'%s': 'mirror-by-digest-only' and 'pull-from-mirror' contradict "
                               "each other",
                               file);
        ret->use = digest_only ? MIRROR_DIGEST_ONLY : (enum mirror_use)use;
        return check_location(a, file, &ret->location, e);
}

static int read_mirrors(struct arena *a, const struct json *j, struct registries_table *t,
                        struct err *e)
{
        const struct json *mirrors = json_get(j, "mirror");

        if (!mirrors)
                return 0;
        if (mirrors->type != JSON_ARRAY)
                return err_set(e, ERR_INVALID, "'%s': mirrors are written as [[registry.mirror]]",
                               t->file);
        t->mirrors = arena_array(a, struct registries_mirror, mirrors->n);
        for (; t->nmirrors < mirrors->n; t->nmirrors++)
                if (read_mirror(a, t->file, &mirrors->items[t->nmirrors], t->digest_only,
                                &t->mirrors[t->nmirrors], e) < 0)
                        return -1;
        return 0;
}

static int read_table(struct arena *a, const char *file, const struct json *j,
                      struct registries_table *ret, struct err *e)
{
        static const struct toml_field fields[] = {
                { "prefix", JSON_STRING, offsetof(struct registries_table, prefix) },
                { "location", JSON_STRING, offsetof(struct registries_table, location) },
                { "insecure", JSON_BOOL, offsetof(struct registries_table, insecure) },
                { "blocked", JSON_BOOL, offsetof(struct registries_table, blocked) },
                { "mirror-by-digest-only", JSON_BOOL,
                  offsetof(struct registries_table, digest_only) },
        };
        bool wildcard;

        *ret = (struct registries_table){ .file = file, .prefix = "", .location = "" };
        if (registries_fields(a, file, j, fields, ARRAY_SIZE(fields), ret, e) < 0)
                return -1;
        if (!*ret->prefix)
                ret->prefix = ret->location;
        if (!*ret->prefix)
                return err_set(e, ERR_INVALID, "'%s': a [[registry]] without prefix and location",
                               file);
        if (json_get(j, "pull-from-mirror"))
                return err_set(e, ERR_INVALID,
                               "'%s': 'pull-from-mirror' belongs into [[registry.mirror]]", file);
        wildcard = str_after(ret->prefix, "*.") != NULL;
        if (strchr(ret->prefix + wildcard, '*'))
                return bad(e, file, "a wildcard stands only at the beginning, as '*.', unlike",
                           ret->prefix);
        if (!*ret->location && !wildcard)
                ret->location = ret->prefix;
        if (check_location(a, file, &ret->prefix, e) < 0 ||
            (*ret->location && check_location(a, file, &ret->location, e) < 0))
                return -1;
        return read_mirrors(a, j, ret, e);
}

/* A later file's table replaces the earlier one of the same prefix; in one file that's an error. */
static int put_table(struct registries *r, const struct registries_table *t, struct err *e)
{
        for (size_t i = 0; i < r->n; i++) {
                if (!str_eq(r->tables[i].prefix, t->prefix))
                        continue;
                if (str_eq(r->tables[i].file, t->file))
                        return bad(e, t->file, "two [[registry]] tables with the prefix",
                                   t->prefix);
                r->tables[i] = *t;
                return 0;
        }
        r->tables[r->n++] = *t;
        return 0;
}

static int add_tables(struct arena *a, const char *file, const struct json *j, struct registries *r,
                      struct err *e)
{
        const struct json *tables = json_get(j, "registry");
        struct registries_table *all, t;

        if (!tables)
                return 0;
        if (tables->type != JSON_ARRAY)
                return err_set(e, ERR_INVALID, "'%s': registries are written as [[registry]]",
                               file);
        all = arena_array(a, struct registries_table, r->n + tables->n);
        if (r->n)
                memcpy(all, r->tables, r->n * sizeof *all);
        r->tables = all;
        for (uint32_t i = 0; i < tables->n; i++)
                if (read_table(a, file, &tables->items[i], &t, e) < 0 || put_table(r, &t, e) < 0)
                        return -1;
        return 0;
}

int registries_aliases(struct arena *a, const char *file, const struct json *j,
                       struct registries *r, struct err *e)
{
        const struct json *aliases = json_get(j, "aliases");
        struct key_value *all;

        if (!aliases)
                return 0;
        if (aliases->type != JSON_OBJECT)
                return err_set(e, ERR_INVALID, "'%s': aliases are written as [aliases]", file);
        all = arena_array(a, struct key_value, r->aliases.n + aliases->n);
        if (r->aliases.n)
                memcpy(all, r->aliases.v, r->aliases.n * sizeof *all);
        r->aliases.v = all;
        for (uint32_t i = 0; i < aliases->n; i++) {
                const struct json_member *m = &aliases->members[i];
                size_t at = 0;

                if (m->value.type != JSON_STRING)
                        return bad(e, file, "no string as alias", m->name);
                while (at < r->aliases.n && !str_eq(all[at].key, m->name))
                        at++;
                all[at] = (struct key_value){ m->name, m->value.s };
                r->aliases.n = MAX(r->aliases.n, at + 1);
        }
        return 0;
}

int registries_add(struct arena *a, const char *file, const struct json *j, struct registries *r,
                   struct err *e)
{
        static const char *const modes[] = { "enforcing", "permissive", "disabled" };
        static const struct toml_field fields[] = {
                { "unqualified-search-registries", JSON_ARRAY,
                  offsetof(struct registries, search) },
                { "short-name-mode", JSON_STRING, offsetof(struct registries, mode) },
                { "credential-helpers", JSON_ARRAY, offsetof(struct registries, helpers) },
        };

        if (json_get(j, "registries")) {
                err_set(e, ERR_INVALID, "'%s' is written in version 1 of its format", file);
                return err_hint(e,
                                "Write it as containers-registries.conf(5) describes version 2.");
        }
        if (registries_fields(a, file, j, fields, ARRAY_SIZE(fields), r, e) < 0)
                return -1;
        if (json_get(j, "unqualified-search-registries"))
                r->has_search = true;
        if (r->mode && *r->mode && STR_INDEX(modes, r->mode) < 0)
                return bad(e, file, "'short-name-mode' can't be", r->mode);
        return add_tables(a, file, j, r, e) < 0 ? -1 : registries_aliases(a, file, j, r, e);
}

/* ---- all files ---- */

static int add_file(struct arena *a, const char *path, bool required, struct registries *r,
                    struct err *e)
{
        struct json j;
        bool there;

        if (registries_read(a, path, required, &j, &there, e) < 0)
                return -1;
        return there ? registries_add(a, arena_strdup(a, path), &j, r, e) : 0;
}

/* The *.conf of a directory in the order of their names. */
static int add_directory(struct arena *a, const char *path, struct registries *r, struct err *e)
{
        struct strings names;
        int n = 0, got = dir_names(AT_FDCWD, path, a, &names);

        if (got == -ENOENT || got == -ENOTDIR)
                return 0;
        if (got < 0)
                return err_sys(e, got, "cannot read '%s'", path);
        for (size_t i = 0; i < names.n; i++) {
                if (!str_ends(names.v[i], ".conf"))
                        continue;
                if (++n > DROP_INS_MAX)
                        return err_set(e, ERR_LIMIT, "'%s' holds more than %d files", path,
                                       DROP_INS_MAX);
                if (add_file(a, arena_printf(a, "%s/%s", path, names.v[i]), false, r, e) < 0)
                        return -1;
        }
        return 0;
}

static bool exists(const char *path)
{
        struct stat st;

        return stat(path, &st) == 0;
}

int registries_load(struct arena *a, const struct registry_options *o, struct registries *ret,
                    struct err *e)
{
        const char *root = o->root ? o->root : "", *home = registries_home(a, o);
        const char *named =
                o->registries_conf ? o->registries_conf : getenv("CONTAINERS_REGISTRIES_CONF");
        const char *user =
                home ? arena_printf(a, "%s/.config/containers/registries.conf", home) : NULL;
        const char *ours = arena_printf(a, "%s/etc/berth/registries.conf", root);
        const char *system = arena_printf(a, "%s/etc/containers/registries.conf", root);
        const char *main = !str_empty(named)      ? named
                           : user && exists(user) ? user
                           : exists(ours)         ? ours
                                                  : system;

        *ret = (struct registries){ .n = 0 };
        if (add_file(a, main, !str_empty(named), ret, e) < 0)
                return -1;
        if (main != user && (add_directory(a, arena_printf(a, "%s.d", system), ret, e) < 0 ||
                             add_directory(a, arena_printf(a, "%s.d", ours), ret, e) < 0))
                return -1;
        return user ? add_directory(a, arena_printf(a, "%s.d", user), ret, e) : 0;
}

/* ---- matching ---- */

/* How much of name a prefix covers, 0: it doesn't match. After it comes the end or one of "/:@". A
 * wildcard "*.example.com" covers any host below that domain, up to its end. */
static size_t covers(const char *name, const char *prefix)
{
        const char *domain = str_after(prefix, "*");
        size_t n = strlen(prefix);

        if (domain) {
                const char *found = strstr(name, domain);

                if (!found || found == name || memchr(name, '/', (size_t)(found - name)))
                        return 0;
                n = (size_t)(found - name) + strlen(domain);
        } else if (strncmp(name, prefix, n) != 0) {
                return 0;
        }
        return strchr("/:@", name[n]) ? n : 0; /* also the end: strchr finds the NUL */
}

const struct registries_table *registries_match(const struct registries *r, const char *name,
                                                size_t *ret_len)
{
        const struct registries_table *best = NULL;

        for (size_t i = 0; i < r->n; i++) {
                size_t n = covers(name, r->tables[i].prefix);

                if (n == 0 || (best && strlen(best->prefix) >= strlen(r->tables[i].prefix)))
                        continue;
                best = &r->tables[i];
                *ret_len = n;
        }
        return best;
}
