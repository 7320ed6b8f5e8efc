/* --secret: what containers get of secrets, copied when they are made, so that they go on as they
 * are whatever becomes of the secret. Files are bound read-only, below /run/secrets on a tmpfs;
 * variables lie in a file that the monitor reads at each start: config.json has neither. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "engine/secret.h"
#include "monitor/config.h"

#define INSIDE "/run/secrets"
#define VARIABLE_MAX 131072 /* execve(2): MAX_ARG_STRLEN */

/* ---- NAME[,KEY=VALUE...] ---- */

struct given {
        const char *source, *target;
        uint32_t uid, gid, mode;
        bool variable, attributes; /* attributes: uid, gid or mode was given */
};

static int take_type(struct given *g, const char *value, struct err *e)
{
        if (!str_eq(value, "mount") && !str_eq(value, "env"))
                return err_set(e, ERR_INVALID, "--secret: type: \"%s\" is neither mount nor env",
                               value);
        g->variable = str_eq(value, "env");
        return 0;
}

static int take_source(struct given *g, const char *value, struct err *e)
{
        g->source = value;
        return 0;
}

static int take_target(struct given *g, const char *value, struct err *e)
{
        g->target = value;
        return 0;
}

static int take_number(const char *key, const char *value, uint32_t *ret, struct err *e)
{
        return str_to_u32(value, ret) < 0
                       ? err_set(e, ERR_INVALID, "--secret: %s: \"%s\" is no number", key, value)
                       : 0;
}

static int take_uid(struct given *g, const char *value, struct err *e)
{
        g->attributes = true;
        return take_number("uid", value, &g->uid, e);
}

static int take_gid(struct given *g, const char *value, struct err *e)
{
        g->attributes = true;
        return take_number("gid", value, &g->gid, e);
}

static int take_mode(struct given *g, const char *value, struct err *e)
{
        char *end;
        unsigned long mode = strtoul(value, &end, 8);

        g->attributes = true;
        if (!*value || *value == '-' || *end || mode > 07777)
                return err_set(e, ERR_INVALID, "--secret: mode: \"%s\" is not octal", value);
        g->mode = (uint32_t)mode;
        return 0;
}

static const struct {
        const char *name;
        int (*take)(struct given *g, const char *value, struct err *e);
} keys[] = {
        { "type", take_type }, { "source", take_source }, { "target", take_target },
        { "uid", take_uid },   { "gid", take_gid },       { "mode", take_mode },
};

static int take_field(struct given *g, char *field, bool first, struct err *e)
{
        char *eq = strchr(field, '=');

        if (!eq && first) {
                g->source = field;
                return 0;
        }
        if (eq)
                *eq = 0;
        for (size_t i = 0; eq && i < ARRAY_SIZE(keys); i++)
                if (str_eq(keys[i].name, field))
                        return keys[i].take(g, eq + 1, e);
        err_set(e, ERR_INVALID, "--secret: \"%s\" is no KEY=VALUE of its", field);
        return err_hint(e, "NAME,type=mount|env,target=PATH,uid=N,gid=N,mode=OCTAL");
}

static int parse(struct arena *a, const char *text, struct given *ret, struct err *e)
{
        struct given g = { .mode = 0444 };
        const char *at = text, *part;
        size_t len;

        for (bool first = true; str_next(&at, ',', &part, &len); first = false)
                if (take_field(&g, arena_strndup(a, part, len), first, e) < 0)
                        return -1;
        if (str_empty(g.source))
                return err_set(e, ERR_INVALID, "--secret: \"%s\" names no secret", text);
        if (g.variable && g.attributes)
                return err_set(e, ERR_INVALID,
                               "--secret: uid, gid and mode are for files, not for type=env");
        *ret = g;
        return 0;
}

/* Its path inside, absolute and clean, or the variable's name. */
static int find_target(struct arena *a, const struct given *g, const char *name, const char **ret,
                       struct err *e)
{
        const char *target = str_empty(g->target) ? name : g->target;
        char clean[4096];

        if (g->variable && strchr(target, '='))
                return err_set(e, ERR_INVALID, "--secret: \"%s\" can't be a variable's name",
                               target);
        if (g->variable) {
                *ret = target;
                return 0;
        }
        if (path_join(INSIDE, target, clean, sizeof clean) < 0 || str_eq(clean, "/") ||
            str_eq(clean, INSIDE) || (*target != '/' && !path_below(clean, INSIDE)))
                return err_set(e, ERR_INVALID, "--secret: \"%s\" can't be a file of a container",
                               target);
        *ret = arena_strdup(a, clean);
        return 0;
}

/* ---- the container's copies ---- */

struct work {
        struct arena *a;
        struct store *s;
        const struct workspace *w;
        struct mounts *m;
        int dir;        /* WORKSPACE/secrets */
        struct buf env; /* NAME=VALUE, each ended by a NUL */
};

static int write_copy(const struct work *k, const char *name, const struct secret_use *u,
                      const char *data, size_t n)
{
        AUTO_FD int fd = openat(k->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        int r = fd < 0 ? -errno : fd_write_all(fd, data, n);

        if (r == 0 && (fchown(fd, u->uid, u->gid) < 0 || fchmod(fd, u->mode) < 0))
                r = -errno;
        return r;
}

static int put_file(struct work *k, const struct secret_use *u, size_t i, const char *data,
                    size_t n, struct err *e)
{
        static const char *const options[] = { "ro", "nosuid", "nodev", "noexec", NULL };
        const char *name = arena_printf(k->a, "%zu", i);
        int r = write_copy(k, name, u, data, n);

        if (r < 0)
                return err_sys(e, r, "cannot write \"%s/secrets/%s\"", k->w->path, name);
        mounts_bind(k->a, k->m, arena_printf(k->a, "%s/secrets/%s", k->w->path, name), u->target,
                    options)
                ->stored = true;
        return 0;
}

static int put_variable(struct work *k, const struct secret_use *u, const char *data, size_t n,
                        struct err *e)
{
        if (memchr(data, 0, n))
                return err_set(e, ERR_INVALID, "it holds a zero byte, which no variable can");
        if (strlen(u->target) + n + 2 > VARIABLE_MAX)
                return err_set(e, ERR_LIMIT,
                               "it is too long for a variable: the kernel's limit is "
                               "128 KiB");
        buf_puts(&k->env, u->target);
        buf_putc(&k->env, '=');
        buf_add(&k->env, data, n);
        buf_putc(&k->env, 0);
        return 0;
}

static int use_one(struct work *k, const struct secret_use *u, size_t i, struct err *e)
{
        size_t n = 0;
        char *data;
        int r;

        if (secret_read(k->s, u->id, &data, &n, e) < 0)
                return -1;
        r = u->variable ? put_variable(k, u, data, n, e) : put_file(k, u, i, data, n, e);
        secret_wipe(data, n);
        return r < 0 ? err_in(e, "secret \"%s\"", u->name) : 0;
}

/* Where a file goes that no other mount of the container's own holds already. */
static void add_tmpfs(struct work *k, const struct secret_uses *u)
{
        static const char *const options[] = { "nosuid", "nodev", "noexec", "mode=0755",
                                               "size=64k" };
        struct mount_row *row;
        bool wanted = false;

        for (size_t i = 0; i < u->n; i++)
                wanted |= !u->v[i].variable && path_below(u->v[i].target, INSIDE);
        if (!wanted || mounts_has(k->m, INSIDE))
                return;
        row = mounts_add(k->a, k->m);
        *row = (struct mount_row){ .type = "tmpfs", .source = "tmpfs", .destination = INSIDE };
        for (size_t i = 0; i < ARRAY_SIZE(options); i++)
                strings_add(k->a, &row->options, options[i]);
}

/* buf_add() moves what it has when it grows: enough is taken at once, so that it can be wiped. */
static void reserve(struct buf *b, size_t n)
{
        b->s = mem_realloc(b->s, n);
        b->s[0] = 0;
        b->cap = n;
}

static int make_copies(struct work *k, const struct secret_uses *u, struct err *e)
{
        size_t room = 1;
        int r = 0;

        for (size_t i = 0; i < u->n; i++)
                room += u->v[i].variable ? SECRET_MAX + strlen(u->v[i].target) + 2 : 0;
        reserve(&k->env, room);
        if (mkdirat(k->w->dir, MONITOR_SECRETS, 0700) < 0)
                return err_sys(e, errno, "cannot make \"%s/secrets\"", k->w->path);
        k->dir =
                openat(k->w->dir, MONITOR_SECRETS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (k->dir < 0)
                return err_sys(e, errno, "cannot open \"%s/secrets\"", k->w->path);
        for (size_t i = 0; i < u->n; i++)
                if (use_one(k, &u->v[i], i, e) < 0)
                        return -1;
        if (k->env.len)
                r = fd_replace_at(k->dir, MONITOR_ENV, k->env.s, k->env.len, 0600, 0);
        return r < 0 ? err_sys(e, r, "cannot write \"%s/secrets/env\"", k->w->path) : 0;
}

static int check_one(struct work *k, const char *text, struct secret_use *ret, struct err *e)
{
        struct secret found;
        struct given g = { 0 };

        if (parse(k->a, text, &g, e) < 0)
                return -1;
        if (secret_find(k->s, k->a, g.source, &found, e) < 0) {
                if (e->code == ERR_NOT_FOUND)
                        err_hint(e, "`berth secret create %.60s FILE` makes it", g.source);
                return -1;
        }
        *ret = (struct secret_use){ .id = found.id,
                                    .name = found.name,
                                    .uid = g.uid,
                                    .gid = g.gid,
                                    .mode = g.mode,
                                    .variable = g.variable };
        if (find_target(k->a, &g, found.name, &ret->target, e) < 0)
                return -1;
        return ret->variable || !mounts_has(k->m, ret->target)
                       ? 0
                       : err_set(e, ERR_INVALID,
                                 "--secret: something else is mounted on \"%s\" already",
                                 ret->target);
}

int secrets_use(struct arena *a, struct store *s, const struct strings *given,
                const struct workspace *w, bool dry, struct mounts *m, struct secret_uses *ret,
                struct err *e)
{
        struct work k = { .a = a, .s = s, .w = w, .m = m, .dir = -1 };
        int r = 0;

        *ret = (struct secret_uses){ .v = arena_array(a, struct secret_use, given->n + 1) };
        for (size_t i = 0; i < given->n; i++)
                if (check_one(&k, given->v[i], &ret->v[ret->n++], e) < 0)
                        return -1;
        if (ret->n == 0)
                return 0;
        add_tmpfs(&k, ret);
        if (!dry)
                r = make_copies(&k, ret, e);
        fd_close(k.dir);
        secret_wipe(k.env.s, k.env.cap);
        return r;
}

void secrets_record(const struct secret_uses *u, struct json_writer *w)
{
        json_open(w, "secrets", '[');
        for (size_t i = 0; u && i < u->n; i++) {
                const struct secret_use *one = &u->v[i];

                json_open(w, NULL, '{');
                json_put_str(w, "Name", one->name);
                json_put_str(w, "ID", one->id);
                json_put_u64(w, "UID", one->uid);
                json_put_u64(w, "GID", one->gid);
                json_put_u64(w, "Mode", one->mode);
                json_close(w, '}');
        }
        json_close(w, ']');
}
