/* The Container Device Interface (github.com/cncf-tags/container-device-interface, SPEC.md, 1.0):
 * files in which vendors say what a container needs to use their device. Those in JSON are read;
 * one in YAML matters only where its name is the vendor's, and is refused then. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "engine/devices.h"
#include "engine/settings.h"

#define CDI_MAX (8u << 20)

struct cdi_name {
        const char *kind; /* "vendor.com/class" */
        const char *device;
};
struct cdi {
        struct arena *a;
        struct cdi_name want;
        struct devices *d;
        struct mounts *m;
        const char *path; /* of the file being looked at */
        const char *yaml; /* a file that was not read */
        bool found;
};

bool cdi_is_name(const char *text)
{
        const char *slash = strchr(text, '/'), *eq = strchr(text, '=');

        return text[0] != '/' && slash && eq && slash < eq && eq[1];
}

static bool is_list(const struct json *j)
{
        return j && j->type == JSON_ARRAY;
}

static void take_strings(struct arena *a, const struct json *j, struct strings *ret)
{
        for (uint32_t i = 0; is_list(j) && i < j->n; i++)
                strings_add(a, ret, json_str(&j->items[i], ""));
}

/* ---- containerEdits ---- */

static int edit_device(struct cdi *c, const struct json *j, struct err *e)
{
        const char *inside = json_str(json_get(j, "path"), NULL);
        const char *host = json_str(json_get(j, "hostPath"), inside);
        const char *access = json_str(json_get(j, "permissions"), "rwm");
        size_t before = c->d->n;
        struct stat st;
        int64_t n;

        if (!inside || inside[0] != '/')
                return err_set(e, ERR_INVALID, "a device node without a path");
        if (access[strspn(access, "rwm")] || !*access)
                return err_set(e, ERR_INVALID, "permissions \"%s\" are not of rwm", access);
        /* --device takes all that is below one; here it would be a slip, and could be the host's
         * root. */
        if (stat(host, &st) == 0 && S_ISDIR(st.st_mode))
                return err_set(e, ERR_INVALID, "\"%s\" is a directory, not a device", host);
        if (devices_add(c->a, c->d, host, inside, access, e) < 0)
                return -1;
        if (c->d->n == before)
                return 0;
        if (json_to_i64(json_get(j, "uid"), &n) && n >= 0)
                c->d->v[before].uid = (uid_t)n;
        if (json_to_i64(json_get(j, "gid"), &n) && n >= 0)
                c->d->v[before].gid = (gid_t)n;
        if (json_to_i64(json_get(j, "fileMode"), &n))
                c->d->v[before].mode = (c->d->v[before].mode & S_IFMT) | (mode_t)(n & 07777);
        return 0;
}

static int edit_mount(struct cdi *c, const struct json *j, struct err *e)
{
        const char *host = json_str(json_get(j, "hostPath"), NULL);
        const char *inside = json_str(json_get(j, "containerPath"), NULL);
        struct strings options = { 0 };

        if (!host || !inside || inside[0] != '/')
                return err_set(e, ERR_INVALID, "a mount without hostPath and containerPath");
        take_strings(c->a, json_get(j, "options"), &options);
        strings_add(c->a, &options, NULL);
        mounts_bind(c->a, c->m, host, inside, options.v);
        return 0;
}

static int edit_hook(struct cdi *c, const struct json *j, struct err *e)
{
        static const char *const kinds[] = { "prestart",       "createRuntime", "createContainer",
                                             "startContainer", "poststart",     "poststop" };
        struct cdi_hook h = { .name = json_str(json_get(j, "hookName"), ""),
                              .path = json_str(json_get(j, "path"), NULL) };
        bool known = false;

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                known |= str_eq(kinds[i], h.name);
        if (!known || !h.path)
                return err_set(e, ERR_INVALID, "hook \"%s\" is none, or has no path", h.name);
        take_strings(c->a, json_get(j, "args"), &h.args);
        take_strings(c->a, json_get(j, "env"), &h.env);
        json_to_i64(json_get(j, "timeout"), &h.timeout);
        if (c->d->n_hooks == c->d->cap_hooks) {
                struct cdi_hook *v;

                c->d->cap_hooks = c->d->cap_hooks ? c->d->cap_hooks * 2 : 8;
                v = arena_array(c->a, struct cdi_hook, c->d->cap_hooks);
                if (c->d->n_hooks)
                        memcpy(v, c->d->hooks, c->d->n_hooks * sizeof *v);
                c->d->hooks = v;
        }
        c->d->hooks[c->d->n_hooks++] = h;
        return 0;
}

static int edit_all(struct cdi *c, const struct json *list, struct err *e,
                    int (*edit)(struct cdi *c, const struct json *j, struct err *e))
{
        for (uint32_t i = 0; is_list(list) && i < list->n; i++)
                if (edit(c, &list->items[i], e) < 0)
                        return err_in(e, "\"%s\"", c->path);
        return 0;
}

static int apply_edits(struct cdi *c, const struct json *edits, struct err *e)
{
        if (!edits)
                return 0;
        take_strings(c->a, json_get(edits, "env"), &c->d->env);
        if (edit_all(c, json_get(edits, "deviceNodes"), e, edit_device) < 0 ||
            edit_all(c, json_get(edits, "mounts"), e, edit_mount) < 0)
                return -1;
        return edit_all(c, json_get(edits, "hooks"), e, edit_hook);
}

/* ---- files ---- */

static int look_in(struct cdi *c, const char *text, size_t n, struct err *e)
{
        struct json *j = arena_new(c->a, struct json);
        const struct json *devices;

        if (json_parse(c->a, text, n, NULL, j, NULL) < 0)
                return err_set(e, ERR_INVALID, "\"%s\" is no JSON", c->path);
        devices = json_get(j, "devices");
        if (!str_eq(json_str(json_get(j, "kind"), ""), c->want.kind))
                return 0;
        for (uint32_t i = 0; is_list(devices) && i < devices->n; i++) {
                const struct json *one = &devices->items[i];

                if (!str_eq(json_str(json_get(one, "name"), ""), c->want.device))
                        continue;
                c->found = true;
                if (apply_edits(c, json_get(j, "containerEdits"), e) < 0)
                        return -1;
                return apply_edits(c, json_get(one, "containerEdits"), e);
        }
        return 0;
}

static int read_spec(struct cdi *c, int dir, const char *name, struct err *e)
{
        AUTO_FREE char *text = NULL;
        size_t len;
        int r = fd_read_regular_at(dir, name, CDI_MAX, &text, &len);

        if (r < 0)
                return err_sys(e, r, "cannot read \"%s\"", c->path);
        return look_in(c, text, len, e);
}

static bool ends(const char *name, const char *with)
{
        size_t n = strlen(name), k = strlen(with);

        return n > k && str_eq(name + n - k, with);
}

static int look_below(struct cdi *c, const char *path, struct err *e)
{
        AUTO_FD int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct strings names = { 0 };
        int r = 0;

        if (dir >= 0)
                dir_names(dir, ".", c->a, &names);
        for (size_t i = 0; r == 0 && !c->found && i < names.n; i++) {
                const char *name = names.v[i];

                c->path = arena_printf(c->a, "%s/%s", path, name);
                if (ends(name, ".yaml") || ends(name, ".yml"))
                        c->yaml = c->path;
                else if (ends(name, ".json"))
                        r = read_spec(c, dir, name, e);
        }
        return r;
}

static struct cdi_name split_name(struct arena *a, const char *name)
{
        const char *eq = strchr(name, '=');

        return (struct cdi_name){ arena_strndup(a, name, (size_t)(eq - name)),
                                  arena_strdup(a, eq + 1) };
}

bool cdi_add_text(struct arena *a, const char *name, const char *text, size_t n, struct devices *d,
                  struct mounts *m, struct err *e)
{
        struct cdi c = { .a = a, .d = d, .m = m, .want = split_name(a, name), .path = "the file" };

        return look_in(&c, text, n, e) == 0 && c.found;
}

int cdi_add(struct arena *a, const char *name, struct devices *d, struct mounts *m, struct err *e)
{
        /* What is made at run time wins over what is installed. */
        static const char *const places[] = { "/var/run/cdi", "/etc/cdi" };
        struct cdi c = { .a = a, .d = d, .m = m, .want = split_name(a, name) };

        for (size_t i = 0; i < ARRAY_SIZE(places) && !c.found; i++)
                if (look_below(&c, places[i], e) < 0)
                        return err_in(e, "--device \"%s\"", name);
        if (c.found)
                return 0;
        err_set(e, ERR_NOT_FOUND, "--device: no file of /etc/cdi or /var/run/cdi has \"%s\"", name);
        return c.yaml ? err_hint(e, "%.80s is YAML, which is not read: convert it to JSON", c.yaml)
                      : -1;
}
