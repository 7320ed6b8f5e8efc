/* The config.json of a sandbox. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"
#include "engine/devices.h"
#include "engine/placement.h"
#include "engine/sandbox-internal.h"
#include "engine/security.h"
#include "engine/user.h"
#include "image/helper.h"

/* In /dev, a tmpfs of every container: nothing of it is left in what the container wrote. */
#define INIT_INSIDE "/dev/init"

/* What is decided before anything is written. */
struct config {
        const struct run *r;
        const struct sandbox *s;
        struct user user;
        struct security security;
        struct devices devices;
};

/* HOME is the user's, unless the image or the caller say otherwise. */
static void put_env(const struct config *c, struct json_writer *w)
{
        const struct strings *env = &c->r->settings.env, *more = &c->devices.env;
        AUTO_ARENA a = { 0 };
        bool home = false;

        json_open(w, "env", '[');
        for (size_t i = 0; i < env->n; i++) {
                json_put_str(w, NULL, env->v[i]);
                home |= str_after(env->v[i], "HOME=") != NULL;
        }
        if (!home)
                json_put_str(w, NULL, arena_printf(&a, "HOME=%s", c->user.home));
        for (size_t i = 0; i < more->n; i++)
                json_put_str(w, NULL, more->v[i]);
        json_close(w, ']');
}

/* podman's default too: whatever the caller's shell has. */
static int put_user(const struct config *c, struct json_writer *w, struct err *e)
{
        const char *text = c->s->umask ? c->s->umask : "0022";
        const struct user *u = &c->user;
        char *end;
        unsigned long mask = strtoul(text, &end, 8);

        if (end == text || *end || mask > 0777)
                return err_set(e, ERR_INVALID, "--umask: \"%s\" is not octal, up to 0777", text);
        json_open(w, "user", '{');
        json_put_u64(w, "uid", u->uid);
        json_put_u64(w, "gid", u->gid);
        json_put_u64(w, "umask", mask);
        json_open(w, "additionalGids", '[');
        for (size_t i = 0; i < u->ngids; i++)
                json_put_u64(w, NULL, u->gids[i]);
        json_close(w, ']');
        json_close(w, '}');
        return 0;
}

/* The caller's: a program may ask before anybody has attached and told its own. */
static void put_console_size(struct json_writer *w)
{
        struct winsize size;

        if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0)
                return;
        json_open(w, "consoleSize", '{');
        json_put_u64(w, "height", size.ws_row);
        json_put_u64(w, "width", size.ws_col);
        json_close(w, '}');
}

static int put_process(const struct config *c, struct json_writer *w, struct err *e)
{
        const struct settings *t = &c->r->settings;

        json_open(w, "process", '{');
        json_put_bool(w, "terminal", c->s->tty);
        if (c->s->tty)
                put_console_size(w);
        if (put_user(c, w, e) < 0)
                return -1;
        json_open(w, "args", '[');
        if (c->s->init) {
                json_put_str(w, NULL, INIT_INSIDE);
                json_put_str(w, NULL, "--");
        }
        for (size_t i = 0; i < t->args.n; i++)
                json_put_str(w, NULL, t->args.v[i]);
        json_close(w, ']');
        put_env(c, w);
        json_put_str(w, "cwd", t->workdir);
        security_write_caps(&c->security, c->user.uid == 0, w);
        json_put_bool(w, "noNewPrivileges", c->security.no_new_privs);
        if (c->security.apparmor)
                json_put_str(w, "apparmorProfile", c->security.apparmor);
        if (c->s->limits.oom_score_adj.set)
                json_put_i64(w, "oomScoreAdj", c->s->limits.oom_score_adj.v);
        if (limits_write_rlimits(&c->s->limits, w, e) < 0)
                return -1;
        json_close(w, '}');
        return 0;
}

static int put_personality(const char *text, struct json_writer *w, struct err *e)
{
        bool wide = text && str_eq(text, "linux32");

        if (!text)
                return 0;
        if (!wide && !str_eq(text, "linux"))
                return err_set(e, ERR_INVALID, "--personality: \"%s\" is neither linux nor linux32",
                               text);
        json_open(w, "personality", '{');
        json_put_str(w, "domain", wide ? "LINUX32" : "LINUX");
        json_close(w, '}');
        return 0;
}

static int put_linux(const struct config *c, struct json_writer *w, struct err *e)
{
        const struct sandbox *s = c->s;
        const char *path = c->r->cgroups_path;
        AUTO_ARENA a = { 0 };

        if (!path &&
            placement_direct(&a, c->r->p->systemd, s->cgroup_parent, s->name, &path, e) < 0)
                return -1;
        json_open(w, "linux", '{');
        json_put_str(w, "cgroupsPath", path);
        namespaces_write(s->ns, w);
        if (s->userns.mode != USERNS_HOST)
                userns_write(&s->userns, w);
        json_open(w, "resources", '{');
        devices_write_rules(&c->devices, w);
        if (limits_write(s, w, e) < 0)
                return -1;
        json_close(w, '}');
        if (s->userns.mode == USERNS_HOST)
                devices_write(&c->devices, w);
        if (limits_write_sysctl(&s->limits, w, e) < 0 || put_personality(s->personality, w, e) < 0)
                return -1;
        if (security_write(&c->security, w, e) < 0)
                return -1;
        json_close(w, '}');
        return 0;
}

/* image-spec conversion.md. Labels are not copied: a runtime acts on annotations, and an image is
 * not to tell it what to do. */
static int put_annotations(const struct run *r, struct json_writer *w, struct err *e)
{
        const struct strings *given = &r->s->annotations;
        AUTO_ARENA a = { 0 };

        json_open(w, "annotations", '{');
        if (r->settings.stop_signal)
                json_put_str(w, "org.opencontainers.image.stopSignal", r->settings.stop_signal);
        for (size_t i = 0; i < given->n; i++) {
                const char *eq = strchr(given->v[i], '=');

                if (!eq || eq == given->v[i])
                        return err_set(e, ERR_INVALID, "--annotation: \"%s\" is not KEY=VALUE",
                                       given->v[i]);
                json_put_str(w, arena_strndup(&a, given->v[i], (size_t)(eq - given->v[i])), eq + 1);
        }
        json_close(w, '}');
        return 0;
}

/* Groups that the image gives a user and the user namespace has not are none of its; those that
 * the caller adds are for the runtime to refuse. */
static void keep_mapped(const struct sandbox *s, struct arena *a, struct user *u)
{
        uint32_t *gids, host;
        size_t n = 0;

        if (s->userns.mode == USERNS_HOST || s->group_add.n)
                return;
        gids = arena_array(a, uint32_t, u->ngids + 1);
        for (size_t i = 0; i < u->ngids; i++)
                if (id_to_host(&s->userns.gids, u->gids[i], &host))
                        gids[n++] = u->gids[i];
        u->gids = gids;
        u->ngids = n;
}

static int decide(struct run *r, struct arena *a, struct config *c, struct err *e)
{
        const struct sandbox *s = r->s;

        *c = (struct config){ .r = r, .s = s };
        if (user_find(a, r->root, r->settings.user, &s->group_add, &c->user, e) < 0)
                return err_in(e, s->user ? "--user" : "the image's user");
        if (passwd_add(r, &c->user, e) < 0)
                return -1;
        keep_mapped(s, a, &c->user);
        if (!r->plan && mounts_chown(s, &r->mounts, c->user.uid, c->user.gid, e) < 0)
                return -1;
        if (security_take(a, s, &c->security, e) < 0 ||
            devices_take(a, s, &c->devices, &r->mounts, e) < 0)
                return -1;
        if (s->userns.mode != USERNS_HOST)
                devices_bind(a, &c->devices, &r->mounts);
        return 0;
}

static int put_names(const struct sandbox *s, struct json_writer *w, struct err *e)
{
        bool own = s->ns[KIND_UTS].mode == MODE_PRIVATE;

        if (!own && s->domainname)
                return err_set(e, ERR_INVALID,
                               "--domainname is for a UTS namespace of the container's own");
        if (own)
                json_put_str(w, "hostname", s->hostname ? s->hostname : s->name);
        if (s->domainname)
                json_put_str(w, "domainname", s->domainname);
        return 0;
}

/* The program that `berth` brings for --init. */
static int add_init(struct run *r, struct err *e)
{
        static const char *const options[] = { "ro", "nosuid", "nodev", NULL };
        char path[PATH_MAX];

        if (!r->s->init)
                return 0;
        if (r->s->init_path) {
                if (access(r->s->init_path, X_OK) < 0 || !realpath(r->s->init_path, path))
                        return err_sys(e, errno, "--init-path: cannot use \"%s\"", r->s->init_path);
        } else if (helper_path("berth-init", path, sizeof path, e) < 0) {
                return err_in(e, "--init");
        }
        mounts_bind(&r->arena, &r->mounts, arena_strdup(&r->arena, path), INIT_INSIDE, options);
        return 0;
}

int sandbox_config(struct run *r, struct err *e)
{
        struct json_writer w = { .out = &r->json, .fresh = true };
        const struct sandbox *s = r->s;
        struct config c;

        if (decide(r, &r->arena, &c, e) < 0 || add_init(r, e) < 0)
                return -1;
        mounts_scratch(&r->arena, s, r->settings.systemd, &r->mounts);
        json_open(&w, NULL, '{');
        json_put_str(&w, "ociVersion", "1.3.0");
        json_open(&w, "root", '{');
        json_put_str(&w, "path", r->root_path);
        json_put_bool(&w, "readonly", s->read_only);
        json_close(&w, '}');
        if (put_names(s, &w, e) < 0 || put_process(&c, &w, e) < 0)
                return -1;
        mounts_write(s, r->settings.systemd, &r->mounts, &w);
        if (put_linux(&c, &w, e) < 0)
                return -1;
        devices_write_hooks(&c.devices, &w);
        if (put_annotations(r, &w, e) < 0)
                return -1;
        json_close(&w, '}');
        return 0;
}
