/* --volume, --mount and --tmpfs, as docker and podman write them, become rows of struct mounts. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "engine/mounts.h"
#include "engine/names.h"
#include "kernel/mount.h"

/* What one of them asks for. */
struct wish {
        struct arena *a;
        const char *option; /* "--mount", for errors */
        enum mount_kind kind;
        const char *source, *destination, *propagation, *subpath;
        bool read_only, flat, nocopy, idmap, chown;
        struct id_mappings uids, gids;
        struct strings options; /* passed on as they stand */
};

static const char *const kind_names[] = {
        [MOUNT_BIND] = "bind",     [MOUNT_VOLUME] = "volume", [MOUNT_TMPFS] = "tmpfs",
        [MOUNT_DEVPTS] = "devpts", [MOUNT_IMAGE] = "image",   NULL
};

static bool selinux(void)
{
        return access("/sys/fs/selinux/enforce", F_OK) == 0;
}

/* ---- options that both syntaxes have ---- */

static int refused(struct wish *w, const char *name, const char *why, struct err *e)
{
        err_set(e, ERR_UNSUPPORTED, "%s: \"%s\" is not supported", w->option, name);
        return err_hint(e, "%s", why);
}

static int take_read_only(struct wish *w, const char *name, struct err *e)
{
        w->read_only = !str_eq(name, "rw");
        return 0;
}

static int take_relabel(struct wish *w, const char *name, struct err *e)
{
        return selinux() ? refused(w, name, "relabel it with `chcon -Rt container_file_t` first", e)
                         : 0; /* as docker: without SELinux there is nothing to do */
}

static int take_propagation(struct wish *w, const char *name, struct err *e)
{
        w->propagation = name;
        return 0;
}

static int take_copy(struct wish *w, const char *name, struct err *e)
{
        w->nocopy = str_eq(name, "nocopy");
        return 0;
}

static int take_depth(struct wish *w, const char *name, struct err *e)
{
        w->flat = str_eq(name, "bind");
        return 0;
}

static int take_nothing(struct wish *w, const char *name, struct err *e)
{
        return 0;
}

static int take_owner(struct wish *w, const char *name, struct err *e)
{
        w->chown = true;
        return 0;
}

static int take_overlay(struct wish *w, const char *name, struct err *e)
{
        return refused(w, name, "overlays over a mount are not built", e);
}

static int take_idmap(struct wish *w, const char *name, struct err *e)
{
        w->idmap = true;
        return 0;
}

/* "0-1000-10#10-2000-1": on disk, as it is seen, how many. */
static int take_triples(struct wish *w, const char *text, struct id_mappings *m, struct err *e)
{
        const char *at = text, *part;
        size_t len;

        while (str_next(&at, '#', &part, &len)) {
                char *map = arena_strndup(w->a, part, len);

                for (char *c = map; *c; c++)
                        if (*c == '-')
                                *c = ':';
                if (userns_parse_map(w->a, w->option, map, m, e) < 0)
                        return err_hint(e, "idmap=uids=ON_DISK-SEEN-SIZE#...;gids=...");
        }
        return 0;
}

/* podman's "uids=...;gids=..." */
static int take_idmap_maps(struct wish *w, const char *text, struct err *e)
{
        const char *at = text, *part, *value;
        size_t len;

        w->idmap = true;
        while (str_next(&at, ';', &part, &len)) {
                const char *one = arena_strndup(w->a, part, len);
                bool uids = (value = str_after(one, "uids=")) != NULL;

                if (!uids && !(value = str_after(one, "gids=")))
                        return err_set(e, ERR_INVALID,
                                       "%s: idmap: \"%s\" is neither uids= nor gids=", w->option,
                                       one);
                if (take_triples(w, value, uids ? &w->uids : &w->gids, e) < 0)
                        return -1;
        }
        if (w->uids.n && w->gids.n)
                return 0;
        return err_set(e, ERR_INVALID, "%s: idmap needs both uids= and gids=", w->option);
}

static const struct {
        const char *name;
        int (*take)(struct wish *w, const char *name, struct err *e);
} shared_options[] = {
        { "ro", take_read_only },
        { "rw", take_read_only },
        { "readonly", take_read_only },
        { "z", take_relabel },
        { "Z", take_relabel },
        { "shared", take_propagation },
        { "slave", take_propagation },
        { "private", take_propagation },
        { "rshared", take_propagation },
        { "rslave", take_propagation },
        { "rprivate", take_propagation },
        { "unbindable", take_propagation },
        { "runbindable", take_propagation },
        { "nocopy", take_copy },
        { "copy", take_copy },
        { "bind", take_depth },
        { "rbind", take_depth },
        { "U", take_owner },
        { "O", take_overlay },
        { "idmap", take_idmap },
        { "cached", take_nothing },
        { "delegated", take_nothing },
        { "consistent", take_nothing },
};

/* 1: it is none of them. */
static int take_shared(struct wish *w, const char *name, struct err *e)
{
        const char *maps = str_after(name, "idmap=");

        if (maps)
                return take_idmap_maps(w, maps, e);
        for (size_t i = 0; i < ARRAY_SIZE(shared_options); i++)
                if (str_eq(shared_options[i].name, name))
                        return shared_options[i].take(w, name, e);
        if (!mount_opt_find(name))
                return 1;
        strings_add(w->a, &w->options, name);
        return 0;
}

/* ---- a wish becomes a row ---- */

/* It has no source: a new file system. */
static bool is_new(const struct wish *w)
{
        return w->kind == MOUNT_TMPFS || w->kind == MOUNT_DEVPTS;
}

static int check_source(struct wish *w, struct err *e)
{
        if (is_new(w) || str_empty(w->source))
                return w->kind != MOUNT_BIND && w->kind != MOUNT_IMAGE
                               ? 0
                               : err_set(e, ERR_INVALID, "%s: a mount of type %s needs a source",
                                         w->option, kind_names[w->kind]);
        if (w->kind == MOUNT_IMAGE)
                return 0;
        if (w->kind == MOUNT_VOLUME)
                return name_check(w->source) == 0
                               ? 0
                               : err_set(e, ERR_INVALID, "%s: \"%s\" can't be a volume's name",
                                         w->option, w->source);
        if (w->source[0] != '/') {
                err_set(e, ERR_INVALID, "%s: \"%s\" is not an absolute path", w->option, w->source);
                return err_hint(e, "write \"./%.100s\"", w->source);
        }
        if (access(w->source, F_OK) == 0)
                return 0;
        err_sys(e, errno, "%s: cannot use \"%s\"", w->option, w->source);
        return e->sys == ENOENT
                       ? err_hint(e, "It is not made, as docker would: mkdir -p %.100s", w->source)
                       : -1;
}

/* ".", "./x" and "../x" are seen from where the command is, as with docker and podman. */
static int make_absolute(struct wish *w, struct err *e)
{
        const char *s = w->source;
        AUTO_FREE char *cwd = NULL;
        char clean[4096];

        if (w->kind != MOUNT_BIND || str_empty(s) || s[0] != '.' || !strchr("/.", s[1]) ||
            (s[1] == '.' && !strchr("/", s[2])))
                return 0;
        cwd = getcwd(NULL, 0);
        if (!cwd || path_clean(arena_printf(w->a, "%s/%s", cwd, s), clean, sizeof clean) < 0)
                return err_sys(e, cwd ? ENAMETOOLONG : errno, "%s: cannot find \"%s\"", w->option,
                               s);
        w->source = arena_strdup(w->a, clean);
        return 0;
}

static int check_subpath(struct wish *w, struct err *e)
{
        if (w->kind == MOUNT_IMAGE)
                w->read_only = true; /* its layers are everybody's */
        if (w->subpath && w->kind == MOUNT_IMAGE)
                return refused(w, "subpath", "mount the whole image, and use what is below", e);
        if (w->subpath && (w->kind != MOUNT_VOLUME || str_empty(w->source)))
                return err_set(e, ERR_INVALID, "%s: a subpath is one of a volume with a name",
                               w->option);
        return 0;
}

static void put_options(struct wish *w, struct mount_row *row)
{
        static const char *const tmpfs[] = { "nosuid", "nodev", "noexec", NULL };
        static const char *const bind[] = { "nosuid", "nodev", NULL };
        static const char *const volume[] = { "nodev", NULL };
        static const char *const devpts[] = { "nosuid", "noexec",    "newinstance", "ptmxmode=0666",
                                              "gid=5",  "mode=0620", NULL };
        const char *const *safe = w->kind == MOUNT_TMPFS    ? tmpfs
                                  : w->kind == MOUNT_DEVPTS ? devpts
                                  : w->kind == MOUNT_BIND   ? bind
                                                            : volume;

        if (!is_new(w)) {
                strings_add(w->a, &row->options, w->flat ? "bind" : "rbind");
                strings_add(w->a, &row->options, w->propagation ? w->propagation : "rprivate");
        }
        for (; *safe; safe++)
                strings_add(w->a, &row->options, *safe);
        for (size_t i = 0; i < w->options.n; i++)
                strings_add(w->a, &row->options, w->options.v[i]);
        if (w->read_only)
                strings_add(w->a, &row->options, is_new(w) || w->flat ? "ro" : "rro");
}

static int put_row(struct wish *w, struct mounts *m, struct err *e)
{
        char clean[4096];
        struct mount_row *row;

        if (str_empty(w->destination) || w->destination[0] != '/' ||
            path_clean(w->destination, clean, sizeof clean) < 0)
                return err_set(e, ERR_INVALID, "%s: the destination \"%s\" is no absolute path",
                               w->option, w->destination ? w->destination : "");
        if (str_eq(clean, "/"))
                return err_set(e, ERR_INVALID, "%s: the destination can't be \"/\"", w->option);
        if (make_absolute(w, e) < 0 || check_source(w, e) < 0 || check_subpath(w, e) < 0)
                return -1;
        if (mounts_has(m, clean))
                return err_set(e, ERR_INVALID, "%s: something else is mounted on \"%s\" already",
                               w->option, clean);
        row = mounts_add(w->a, m);
        row->kind = w->kind;
        row->type = is_new(w) ? kind_names[w->kind] : "bind";
        row->source = is_new(w) ? row->type : w->kind == MOUNT_BIND ? w->source : NULL;
        row->volume = w->kind == MOUNT_VOLUME ? (w->source ? w->source : "") : NULL;
        row->destination = arena_strdup(w->a, clean);
        row->image = w->kind == MOUNT_IMAGE ? w->source : NULL;
        row->subpath = w->subpath;
        row->nocopy = w->nocopy;
        row->read_only = w->read_only;
        row->idmap = w->idmap && !is_new(w);
        row->chown = w->chown && (w->kind == MOUNT_BIND || w->kind == MOUNT_VOLUME);
        row->uids = w->uids;
        row->gids = w->gids;
        put_options(w, row);
        return 0;
}

/* ---- --volume SOURCE:DESTINATION[:OPTION,...] ---- */

static int volume_option(struct wish *w, const char *name, struct err *e)
{
        int r = take_shared(w, name, e);

        if (r <= 0)
                return r;
        return err_set(e, ERR_INVALID, "%s: there is no option \"%s\"", w->option, name);
}

static int add_volume(struct arena *a, const char *text, struct mounts *m, struct err *e)
{
        struct wish w = { .a = a, .option = "--volume" };
        const char *parts[3] = { NULL }, *at = text, *part;
        size_t n = 0, len;

        while (n < ARRAY_SIZE(parts) && str_next(&at, ':', &part, &len))
                parts[n++] = arena_strndup(a, part, len);
        if (n < 2 || at || str_empty(parts[0])) {
                err_set(e, ERR_INVALID, "--volume: \"%s\" is not SOURCE:DESTINATION[:OPTIONS]",
                        text);
                return err_hint(e, "SOURCE is an absolute path or the name of a volume");
        }
        w.source = parts[0];
        w.destination = parts[1];
        w.kind = strchr(w.source, '/') || w.source[0] == '.' ? MOUNT_BIND : MOUNT_VOLUME;
        while (parts[2] && str_next(&parts[2], ',', &part, &len))
                if (volume_option(&w, arena_strndup(a, part, len), e) < 0)
                        return -1;
        return put_row(&w, m, e);
}

/* ---- --tmpfs DESTINATION[:OPTION,...] ---- */

static int add_tmpfs(struct arena *a, const char *text, struct mounts *m, struct err *e)
{
        struct wish w = { .a = a, .option = "--tmpfs", .kind = MOUNT_TMPFS };
        const char *colon = strchr(text, ':'), *rest = colon ? colon + 1 : NULL, *part;
        size_t len;

        w.destination = colon ? arena_strndup(a, text, (size_t)(colon - text)) : text;
        while (rest && str_next(&rest, ',', &part, &len)) {
                const char *one = arena_strndup(a, part, len);

                if (str_eq(one, "ro") || str_eq(one, "rw"))
                        take_read_only(&w, one, e);
                else
                        strings_add(a, &w.options, one); /* "size=1m": tmpfs(5)'s */
        }
        return put_row(&w, m, e);
}

/* ---- --mount KEY=VALUE,... ---- */

static int take_type(struct wish *w, const char *value, struct err *e)
{
        int kind = STR_INDEX(kind_names, value);

        if (str_eq(value, "glob"))
                return refused(w, value, "the shell's own patterns with --volume do the same", e);
        if (str_eq(value, "ramfs"))
                return refused(w, value, "a tmpfs does the same, within a limit", e);
        if (kind < 0)
                return err_set(e, ERR_INVALID,
                               "--mount: \"%s\" is none of bind, volume, tmpfs, devpts, image",
                               value);
        w->kind = (enum mount_kind)kind;
        return 0;
}

static int take_source(struct wish *w, const char *value, struct err *e)
{
        w->source = value;
        return 0;
}

static int take_destination(struct wish *w, const char *value, struct err *e)
{
        w->destination = value;
        return 0;
}

static int take_bind_propagation(struct wish *w, const char *value, struct err *e)
{
        const struct mount_opt *o = mount_opt_find(value);

        if (!o || (o->kind != MOUNT_OPT_PROPAGATION && o->kind != MOUNT_OPT_PROPAGATION_REC))
                return err_set(e, ERR_INVALID, "--mount: \"%s\" is no propagation", value);
        w->propagation = value;
        return 0;
}

static int take_size(struct wish *w, const char *value, struct err *e)
{
        int64_t bytes;

        if (str_to_size(value, &bytes) < 0)
                return err_set(e, ERR_INVALID, "--mount: tmpfs-size: \"%s\" is no size", value);
        strings_add(w->a, &w->options, arena_printf(w->a, "size=%lld", (long long)bytes));
        return 0;
}

static int take_mode(struct wish *w, const char *value, struct err *e)
{
        if (!*value || strspn(value, "01234567") != strlen(value) || strlen(value) > 5)
                return err_set(e, ERR_INVALID, "--mount: tmpfs-mode: \"%s\" is not octal", value);
        strings_add(w->a, &w->options, arena_printf(w->a, "mode=%s", value));
        return 0;
}

static int take_driver(struct wish *w, const char *value, struct err *e)
{
        return str_eq(value, "local") ? 0 : refused(w, value, "there is no driver but local", e);
}

static int take_relabel_key(struct wish *w, const char *value, struct err *e)
{
        return take_relabel(w, value, e);
}

static int take_subpath(struct wish *w, const char *value, struct err *e)
{
        char clean[4096];

        if (!*value || *value == '/' || path_clean(value, clean, sizeof clean) < 0 ||
            str_eq(clean, ".") || str_eq(clean, "..") || str_after(clean, "../"))
                return err_set(e, ERR_INVALID,
                               "--mount: \"%s\" is no path below the volume: it is relative, and "
                               "doesn't begin with \"..\"",
                               value);
        w->subpath = arena_strdup(w->a, clean);
        return 0;
}

static int take_volume_option(struct wish *w, const char *value, struct err *e)
{
        return refused(w, "volume-opt", "volumes are directories of the store", e);
}

static int take_volume_label(struct wish *w, const char *value, struct err *e)
{
        return refused(w, "volume-label", "`berth volume create --label` makes one with labels", e);
}

static int take_consistency(struct wish *w, const char *value, struct err *e)
{
        return 0;
}

/* Keys with a value; the rest are flags. */
static const struct {
        const char *name;
        int (*take)(struct wish *w, const char *value, struct err *e);
} mount_keys[] = {
        { "type", take_type },
        { "source", take_source },
        { "src", take_source },
        { "destination", take_destination },
        { "dst", take_destination },
        { "target", take_destination },
        { "bind-propagation", take_bind_propagation },
        { "tmpfs-size", take_size },
        { "tmpfs-mode", take_mode },
        { "volume-driver", take_driver },
        { "volume-opt", take_volume_option },
        { "volume-label", take_volume_label },
        { "volume-subpath", take_subpath },
        { "subpath", take_subpath },
        { "relabel", take_relabel_key },
        { "idmap", take_idmap_maps },
        { "consistency", take_consistency },
};

/* docker's and podman's names of flags, as --volume has them. */
static const struct {
        const char *name, *on, *off;
} mount_flags[] = {
        { "ro", "ro", "rw" },
        { "readonly", "ro", "rw" },
        { "rw", "rw", "ro" },
        { "volume-nocopy", "nocopy", "copy" },
        { "bind-nonrecursive", "bind", "rbind" },
};

static int take_flag(struct wish *w, const char *key, const char *value, struct err *e)
{
        bool off = value && (str_eq(value, "false") || str_eq(value, "0"));
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(mount_flags); i++)
                if (str_eq(mount_flags[i].name, key)) {
                        if (value && !off && !str_eq(value, "true") && !str_eq(value, "1"))
                                return err_set(e, ERR_INVALID,
                                               "--mount: %s: \"%s\" is neither true nor false", key,
                                               value);
                        return take_shared(w, off ? mount_flags[i].off : mount_flags[i].on, e);
                }
        r = take_shared(w, key, e);
        return r <= 0 ? r : err_set(e, ERR_INVALID, "--mount: there is no key \"%s\"", key);
}

static int take_field(struct wish *w, char *field, struct err *e)
{
        char *eq = strchr(field, '=');

        if (eq)
                *eq = 0;
        for (size_t i = 0; i < ARRAY_SIZE(mount_keys); i++)
                if (str_eq(mount_keys[i].name, field) && (eq || !str_eq(field, "idmap")))
                        return eq ? mount_keys[i].take(w, eq + 1, e)
                                  : err_set(e, ERR_INVALID, "--mount: %s needs a value", field);
        return take_flag(w, field, eq ? eq + 1 : NULL, e);
}

static int add_mount(struct arena *a, const char *text, struct mounts *m, struct err *e)
{
        struct wish w = { .a = a, .option = "--mount", .kind = MOUNT_VOLUME };
        const char *at = text, *part;
        size_t len;

        while (str_next(&at, ',', &part, &len))
                if (take_field(&w, arena_strndup(a, part, len), e) < 0)
                        return -1;
        return put_row(&w, m, e);
}

/* ---- all ---- */

int mounts_given(struct arena *a, const struct sandbox *s, struct mounts *m, struct err *e)
{
        for (size_t i = 0; i < s->volumes.n; i++)
                if ((!s->image || strchr(s->volumes.v[i], ':')) &&
                    add_volume(a, s->volumes.v[i], m, e) < 0)
                        return -1;
        for (size_t i = 0; i < s->mounts.n; i++)
                if (add_mount(a, s->mounts.v[i], m, e) < 0)
                        return -1;
        for (size_t i = 0; i < s->tmpfs.n; i++)
                if (add_tmpfs(a, s->tmpfs.v[i], m, e) < 0)
                        return -1;
        for (size_t i = 0; i < m->n; i++)
                if (m->v[i].idmap && m->v[i].uids.n == 0 && s->userns.mode == USERNS_HOST) {
                        err_set(e, ERR_INVALID,
                                "idmap on \"%s\": without a user namespace it needs mappings",
                                m->v[i].destination);
                        return err_hint(e, "idmap=uids=ON_DISK-SEEN-SIZE;gids=..., or --userns");
                }
        for (size_t i = 0; !s->image && i < m->n; i++)
                if (m->v[i].kind == MOUNT_VOLUME || m->v[i].kind == MOUNT_IMAGE)
                        return err_set(e, ERR_UNSUPPORTED,
                                       "volumes and images are for containers of an image");
        return 0;
}
