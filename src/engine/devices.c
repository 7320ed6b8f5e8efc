#include "engine/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/dir.h"
#include "base/str.h"
#include "engine/settings.h"

#define DEPTH_MAX 8 /* of directories below --device's */

/* ---- adding ---- */

static struct device_row *add_row(struct arena *a, struct devices *d)
{
        if (d->n == d->cap) {
                struct device_row *v;

                d->cap = d->cap ? d->cap * 2 : 8;
                v = arena_array(a, struct device_row, d->cap);
                if (d->n)
                        memcpy(v, d->v, d->n * sizeof *v);
                d->v = v;
        }
        return &d->v[d->n++];
}

static bool is_device(const struct stat *st)
{
        return S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
}

/* The last one of a path counts. */
static void put(struct arena *a, struct devices *d, const struct device_row *row)
{
        for (size_t i = 0; i < d->n; i++)
                if (str_eq(d->v[i].path, row->path)) {
                        d->v[i] = *row;
                        return;
                }
        *add_row(a, d) = *row;
}

static void put_found(struct arena *a, struct devices *d, const struct stat *st, const char *host,
                      const char *inside, const char *access)
{
        const struct device_row row = { .host = arena_strdup(a, host),
                                        .path = arena_strdup(a, inside),
                                        .access = access,
                                        .mode = st->st_mode,
                                        .number = st->st_rdev,
                                        .uid = st->st_uid,
                                        .gid = st->st_gid };

        put(a, d, &row);
}

/* What the container has of its own in /dev. */
static bool is_own(const char *path)
{
        static const char *const own[] = { "/dev/pts",     "/dev/shm",     "/dev/mqueue",
                                           "/dev/console", "/dev/fd",      "/dev/ptmx",
                                           "/dev/null",    "/dev/zero",    "/dev/tty",
                                           "/dev/random",  "/dev/urandom", "/dev/full" };

        for (size_t i = 0; i < ARRAY_SIZE(own); i++)
                if (str_eq(own[i], path))
                        return true;
        return false;
}

/* Every device below host; links and what goes meanwhile are passed over. */
static int add_tree(struct arena *a, struct devices *d, const char *host, const char *inside,
                    const char *access, unsigned depth)
{
        struct strings names;
        int r = dir_names(AT_FDCWD, host, a, &names);

        for (size_t i = 0; i < names.n; i++) {
                const char *from = arena_printf(a, "%s/%s", host, names.v[i]);
                const char *to = arena_printf(a, "%s/%s", inside, names.v[i]);
                struct stat st;

                if (names.v[i][0] == '.' || is_own(to) || lstat(from, &st) < 0)
                        continue;
                if (is_device(&st))
                        put_found(a, d, &st, from, to, access);
                else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
                        add_tree(a, d, from, to, access, depth + 1);
        }
        return r;
}

int devices_add(struct arena *a, struct devices *d, const char *host, const char *inside,
                const char *access, struct err *e)
{
        struct stat st;
        int r;

        if (stat(host, &st) < 0)
                return err_sys(e, errno, "cannot use \"%s\"", host);
        if (S_ISDIR(st.st_mode)) {
                size_t before = d->n;

                r = add_tree(a, d, host, inside, access, 0);
                if (r < 0)
                        return err_sys(e, r, "cannot read \"%s\"", host);
                return d->n > before ? 0 : err_set(e, ERR_INVALID, "\"%s\" holds no device", host);
        }
        if (!is_device(&st))
                return err_set(e, ERR_INVALID, "\"%s\" is no device", host);
        put_found(a, d, &st, host, inside, access);
        return 0;
}

/* ---- --device HOST[:CONTAINER[:ACCESS]] ---- */

static bool is_access(const char *text)
{
        return *text && text[strspn(text, "rwm")] == 0;
}

static int add_given(struct arena *a, const char *text, struct devices *d, struct err *e)
{
        const char *parts[3] = { NULL }, *at = text, *part, *inside, *access;
        size_t n = 0, len;

        while (n < ARRAY_SIZE(parts) && str_next(&at, ':', &part, &len))
                parts[n++] = arena_strndup(a, part, len);
        inside = n > 1 && parts[1][0] == '/' ? parts[1] : parts[0];
        access = n == 3 ? parts[2] : n == 2 && parts[1][0] != '/' ? parts[1] : "rwm";
        if (n == 0 || at || parts[0][0] != '/' || !is_access(access) ||
            (n == 3 && parts[1][0] != '/')) {
                err_set(e, ERR_INVALID, "--device: \"%s\" is not HOST[:CONTAINER[:rwm]]", text);
                return err_hint(e, "or a device of a CDI file: vendor.com/class=name");
        }
        return devices_add(a, d, parts[0], inside, access, e) < 0 ? err_in(e, "--device") : 0;
}

/* "c 13:* rw" */
static int check_rule(const char *text, struct err *e)
{
        char type, major[16], minor[16], access[8];

        if (sscanf(text, "%c %15[0-9*]:%15[0-9*] %7s", &type, major, minor, access) == 4 &&
            strchr("abc", type) && is_access(access))
                return 0;
        err_set(e, ERR_INVALID, "--device-cgroup-rule: \"%s\" is not TYPE MAJOR:MINOR ACCESS",
                text);
        return err_hint(e, "as in \"c 13:* rw\"");
}

int devices_take(struct arena *a, const struct sandbox *s, struct devices *ret, struct mounts *m,
                 struct err *e)
{
        *ret = (struct devices){ .all = s->privileged, .rules = s->device_rules };
        if (s->privileged && add_tree(a, ret, "/dev", "/dev", "rwm", 0) < 0)
                return err_sys(e, errno, "--privileged: cannot read \"/dev\"");
        for (size_t i = 0; i < s->devices.n; i++)
                if ((cdi_is_name(s->devices.v[i]) ? cdi_add(a, s->devices.v[i], ret, m, e)
                                                  : add_given(a, s->devices.v[i], ret, e)) < 0)
                        return -1;
        for (size_t i = 0; i < s->device_rules.n; i++)
                if (check_rule(s->device_rules.v[i], e) < 0)
                        return -1;
        return 0;
}

/* ---- writing ---- */

static const char *type_of(const struct device_row *row)
{
        return S_ISBLK(row->mode) ? "b" : "c";
}

void devices_bind(struct arena *a, const struct devices *d, struct mounts *m)
{
        static const char *const options[] = { "nosuid", "noexec", NULL };

        for (size_t i = 0; i < d->n; i++)
                mounts_bind(a, m, d->v[i].host, d->v[i].path, options);
}

void devices_write(const struct devices *d, struct json_writer *w)
{
        if (d->n == 0)
                return;
        json_open(w, "devices", '[');
        for (size_t i = 0; i < d->n; i++) {
                const struct device_row *row = &d->v[i];

                json_open(w, NULL, '{');
                json_put_str(w, "path", row->path);
                json_put_str(w, "type", type_of(row));
                json_put_i64(w, "major", major(row->number));
                json_put_i64(w, "minor", minor(row->number));
                json_put_u64(w, "fileMode", row->mode & 07777);
                json_put_u64(w, "uid", row->uid);
                json_put_u64(w, "gid", row->gid);
                json_close(w, '}');
        }
        json_close(w, ']');
}

static void put_number(struct json_writer *w, const char *name, const char *text)
{
        int64_t n;

        if (str_to_i64(text, &n) == 0)
                json_put_i64(w, name, n);
}

static void put_rule(struct json_writer *w, const char *text)
{
        char type[2] = "", major[16], minor[16], access[8];

        if (sscanf(text, "%c %15[0-9*]:%15[0-9*] %7s", type, major, minor, access) != 4)
                return;
        json_open(w, NULL, '{');
        json_put_bool(w, "allow", true);
        json_put_str(w, "type", type);
        put_number(w, "major", major);
        put_number(w, "minor", minor);
        json_put_str(w, "access", access);
        json_close(w, '}');
}

void devices_write_rules(const struct devices *d, struct json_writer *w)
{
        json_open(w, "devices", '[');
        json_open(w, NULL, '{');
        json_put_bool(w, "allow", d->all);
        json_put_str(w, "access", "rwm");
        json_close(w, '}');
        for (size_t i = 0; !d->all && i < d->n; i++) {
                json_open(w, NULL, '{');
                json_put_bool(w, "allow", true);
                json_put_str(w, "type", type_of(&d->v[i]));
                json_put_i64(w, "major", major(d->v[i].number));
                json_put_i64(w, "minor", minor(d->v[i].number));
                json_put_str(w, "access", d->v[i].access);
                json_close(w, '}');
        }
        for (size_t i = 0; !d->all && i < d->rules.n; i++)
                put_rule(w, d->rules.v[i]);
        json_close(w, ']');
}

/* Of each kind one list. */
void devices_write_hooks(const struct devices *d, struct json_writer *w)
{
        if (d->n_hooks == 0)
                return;
        json_open(w, "hooks", '{');
        for (size_t i = 0; i < d->n_hooks; i++) {
                bool first = true;

                for (size_t k = 0; k < i; k++)
                        first &= !str_eq(d->hooks[k].name, d->hooks[i].name);
                if (!first)
                        continue;
                json_open(w, d->hooks[i].name, '[');
                for (size_t k = i; k < d->n_hooks; k++) {
                        const struct cdi_hook *h = &d->hooks[k];

                        if (!str_eq(h->name, d->hooks[i].name))
                                continue;
                        json_open(w, NULL, '{');
                        json_put_str(w, "path", h->path);
                        json_put_strings(w, "args", &h->args);
                        json_put_strings(w, "env", &h->env);
                        if (h->timeout > 0)
                                json_put_i64(w, "timeout", h->timeout);
                        json_close(w, '}');
                }
                json_close(w, ']');
        }
        json_close(w, '}');
}
