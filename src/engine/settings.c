#include "engine/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "codec/json.h"

#define ENV_FILE_MAX (1u << 20)
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- arguments ---- */

/* --entrypoint: a JSON array where it is one, as podman takes it; else the name of a program. */
static int parse_entrypoint(struct arena *a, const char *text, struct strings *ret, struct err *e)
{
        struct json j;

        if (*text != '[') {
                if (*text)
                        strings_add(a, ret, text);
                return 0;
        }
        if (json_parse(a, text, strlen(text), NULL, &j, NULL) < 0 || j.type != JSON_ARRAY)
                return err_set(e, ERR_INVALID, "--entrypoint: \"%s\" is no JSON array", text);
        for (size_t i = 0; i < j.n; i++) {
                if (j.items[i].type != JSON_STRING)
                        return err_set(e, ERR_INVALID,
                                       "--entrypoint: \"%s\" holds more than strings", text);
                strings_add(a, ret, j.items[i].s);
        }
        return 0;
}

static void append(struct arena *a, struct strings *list, const struct strings *more)
{
        for (size_t i = 0; i < more->n; i++)
                strings_add(a, list, more->v[i]);
}

static int merge_args(struct arena *a, const struct sandbox *s, const struct image_config *image,
                      struct settings *ret, struct err *e)
{
        static const char *shell[] = { "/bin/sh" };
        const struct strings none = { 0 }, *cmd = image ? &image->cmd : &none;

        if (s->entrypoint) {
                if (parse_entrypoint(a, s->entrypoint, &ret->args, e) < 0)
                        return -1;
                cmd = &none;
        } else if (image) {
                append(a, &ret->args, &image->entrypoint);
        }
        append(a, &ret->args, s->args.n ? &s->args : cmd);
        if (ret->args.n)
                return 0;
        if (image) {
                err_set(e, ERR_INVALID, "no command specified");
                return err_hint(e, "the image \"%s\" has neither entrypoint nor command: name one",
                                s->image);
        }
        append(a, &ret->args, &(struct strings){ shell, 1 });
        return 0;
}

/* ---- environment ---- */

static size_t name_len(const char *variable)
{
        const char *end = strchr(variable, '=');

        return end ? (size_t)(end - variable) : strlen(variable);
}

/* Where variable's name is in the list, or its end. */
static size_t find_name(const struct strings *env, const char *variable)
{
        size_t n = name_len(variable), i = 0;

        while (i < env->n && (name_len(env->v[i]) != n || strncmp(env->v[i], variable, n) != 0))
                i++;
        return i;
}

static void set(struct arena *a, struct strings *env, const char *variable)
{
        size_t i = find_name(env, variable);

        if (i < env->n)
                env->v[i] = variable;
        else
                strings_add(a, env, variable);
}

static void remove_name(struct strings *env, const char *name)
{
        size_t i = find_name(env, name);

        if (i < env->n)
                memmove(&env->v[i], &env->v[i + 1], (--env->n - i) * sizeof *env->v);
}

/* "NAME=VALUE"; a bare NAME passes on ours or, where we have none, is removed: as docker does. */
static void set_given(struct arena *a, struct strings *env, const char *text)
{
        const char *value = strchr(text, '=') ? NULL : getenv(text);

        if (strchr(text, '=')) {
                set(a, env, text);
                return;
        }
        if (value) {
                set(a, env, arena_printf(a, "%s=%s", text, value));
                return;
        }
        remove_name(env, text);
}

bool settings_line(struct arena *a, const char **at, const char **ret)
{
        const char *line, *begin;
        size_t n;

        while (str_next(at, '\n', &line, &n)) {
                n -= n > 0 && line[n - 1] == '\r';
                line = arena_strndup(a, line, n);
                begin = str_after(line, "\xef\xbb\xbf");
                line = begin ? begin : line;
                line += strspn(line, " \t");
                if (!*line || *line == '#')
                        continue;
                *ret = line;
                return true;
        }
        return false;
}

int settings_env_text(struct arena *a, const char *path, const char *text, size_t n,
                      struct strings *env, struct err *e)
{
        const char *at = text, *variable;

        if (memchr(text, 0, n))
                return err_set(e, ERR_INVALID, "--env-file: \"%s\" is no text file", path);
        while (settings_line(a, &at, &variable)) {
                if (*variable == '=' || strcspn(variable, " \t") < name_len(variable)) {
                        err_set(e, ERR_INVALID, "--env-file: \"%s\": bad variable \"%s\"", path,
                                variable);
                        return err_hint(e, "Lines are NAME=VALUE or NAME, with no blank before '=' "
                                           "and no `export`; quotes are part of the value.");
                }
                set_given(a, env, variable);
        }
        return 0;
}

static int read_env_file(struct arena *a, struct strings *env, const char *path, struct err *e)
{
        AUTO_FREE char *text = NULL;
        size_t len;
        int r = fd_read_file_at(AT_FDCWD, path, ENV_FILE_MAX, &text, &len);

        return r < 0 ? err_sys(e, r, "--env-file: cannot read \"%s\"", path)
                     : settings_env_text(a, path, text, len, env, e);
}

int settings_env(struct arena *a, const struct strings *given, const struct strings *files,
                 struct strings *env, struct err *e)
{
        for (size_t i = 0; i < files->n; i++)
                if (read_env_file(a, env, files->v[i], e) < 0)
                        return -1;
        for (size_t i = 0; i < given->n; i++) {
                if (*given->v[i] == 0 || *given->v[i] == '=')
                        return err_set(e, ERR_INVALID, "--env: \"%s\" names no variable",
                                       given->v[i]);
                set_given(a, env, given->v[i]);
        }
        return 0;
}

const char *settings_expand(struct arena *a, const char *text, const struct strings *env)
{
        AUTO_BUF out = { 0 };

        while (*text) {
                bool braces = text[0] == '$' && text[1] == '{';
                const char *name = text + 1 + braces;
                size_t n = *text == '$' ? strspn(name, NAME_CHARS) : 0;

                if (n == 0 || (braces && name[n] != '}')) {
                        buf_putc(&out, *text++);
                        continue;
                }
                for (size_t i = 0; i < env->n; i++)
                        if (name_len(env->v[i]) == n && strncmp(env->v[i], name, n) == 0)
                                buf_puts(&out, env->v[i] + n + (env->v[i][n] == '='));
                text = name + n + braces;
        }
        return arena_strdup(a, buf_str(&out));
}

static void pass_proxies(struct arena *a, struct strings *env)
{
        static const char *const names[] = { "http_proxy", "https_proxy", "ftp_proxy", "no_proxy",
                                             "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY" };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (getenv(names[i]))
                        set_given(a, env, names[i]);
}

static int merge_given(struct arena *a, const struct strings *merge, struct strings *env,
                       struct err *e)
{
        for (size_t i = 0; i < merge->n; i++) {
                const char *text = merge->v[i], *eq = strchr(text, '=');

                if (!eq || eq == text)
                        return err_set(e, ERR_INVALID, "--env-merge: \"%s\" is not NAME=VALUE",
                                       text);
                set(a, env,
                    arena_printf(a, "%.*s=%s", (int)(eq - text), text,
                                 settings_expand(a, eq + 1, env)));
        }
        return 0;
}

static int merge_env(struct arena *a, const struct sandbox *s, const struct image_config *image,
                     struct strings *env, struct err *e)
{
        const char *term = getenv("TERM");

        for (char **own = environ; s->env_host && *own; own++)
                set(a, env, *own);
        set(a, env, arena_printf(a, "HOSTNAME=%s", s->hostname ? s->hostname : s->name));
        if (s->unset_all)
                return settings_env(a, &s->env, &s->env_files, env, e);
        set(a, env, DEFAULT_PATH);
        set(a, env, "container=berth");
        if (s->tty)
                set(a, env, arena_printf(a, "TERM=%s", str_empty(term) ? "xterm" : term));
        for (size_t i = 0; image && i < image->env.n; i++)
                if (strchr(image->env.v[i], '='))
                        set(a, env, image->env.v[i]);
        for (size_t i = 0; i < s->unset_env.n; i++)
                remove_name(env, s->unset_env.v[i]);
        if (merge_given(a, &s->env_merge, env, e) < 0)
                return -1;
        if (s->http_proxy)
                pass_proxies(a, env);
        return settings_env(a, &s->env, &s->env_files, env, e);
}

/* ---- directories ---- */

static int merge_workdir(struct arena *a, const struct sandbox *s, const struct image_config *image,
                         struct settings *ret, struct err *e)
{
        char clean[PATH_MAX];
        const char *dir = image && !str_empty(image->workdir) ? image->workdir : "/";

        if (s->workdir) {
                if (*s->workdir != '/')
                        return err_set(e, ERR_INVALID, "--workdir: \"%s\" is not an absolute path",
                                       s->workdir);
                dir = s->workdir;
        }
        if (path_join("/", dir, clean, sizeof clean) < 0)
                return err_set(e, ERR_INVALID, "the working directory is too long");
        ret->workdir = arena_strdup(a, clean);
        return 0;
}

const char *const image_volume_names[IMAGE_VOLUME_MAX + 1] = {
        [IMAGE_VOLUME_BIND] = "bind",
        [IMAGE_VOLUME_TMPFS] = "tmpfs",
        [IMAGE_VOLUME_IGNORE] = "ignore",
};

static int add_volume(struct arena *a, struct strings *to, const char *what, const char *text,
                      struct err *e)
{
        char clean[PATH_MAX];

        if (path_join("/", text, clean, sizeof clean) < 0 || str_eq(clean, "/"))
                return err_set(e, ERR_INVALID, "%s: \"%s\" cannot be a volume", what, text);
        for (size_t i = 0; i < to->n; i++)
                if (str_eq(to->v[i], clean))
                        return 0;
        strings_add(a, to, arena_strdup(a, clean));
        return 0;
}

/* The destination of --volume's SOURCE:DESTINATION[:OPTIONS] or --tmpfs's DESTINATION[:OPTIONS],
 * cleaned into buf. */
static const char *destination(const char *text, bool has_source, char *buf, size_t cap)
{
        const char *at = has_source ? strchr(text, ':') : text;
        char part[PATH_MAX];
        size_t n;

        if (!at)
                return "";
        at += has_source;
        n = strcspn(at, ":");
        if (n >= sizeof part)
                return "";
        memcpy(part, at, n);
        part[n] = 0;
        return path_clean(part, buf, cap) < 0 ? "" : buf;
}

/* Whether the caller mounts something of his own there, which an image's volume gives way to. */
static bool taken(const struct sandbox *s, const char *path)
{
        char buf[PATH_MAX];

        for (size_t i = 0; i < s->volumes.n; i++)
                if (str_eq(destination(s->volumes.v[i], true, buf, sizeof buf), path))
                        return true;
        for (size_t i = 0; i < s->tmpfs.n; i++)
                if (str_eq(destination(s->tmpfs.v[i], false, buf, sizeof buf), path))
                        return true;
        return false;
}

/* The image's, and the caller's without a source. */
static int merge_volumes(struct arena *a, const struct sandbox *s, const struct image_config *image,
                         struct settings *ret, struct err *e)
{
        for (size_t i = 0; i < s->volumes.n; i++)
                if (!strchr(s->volumes.v[i], ':') &&
                    add_volume(a, &ret->volumes, "--volume", s->volumes.v[i], e) < 0)
                        return -1;
        for (size_t i = 0; image && s->image_volume != IMAGE_VOLUME_IGNORE && i < image->volumes.n;
             i++) {
                struct strings *to =
                        s->image_volume == IMAGE_VOLUME_TMPFS ? &ret->tmpfs : &ret->volumes;
                char clean[PATH_MAX];

                if (path_join("/", image->volumes.v[i], clean, sizeof clean) == 0 &&
                    taken(s, clean))
                        continue;
                if (add_volume(a, to, "the image's volumes", image->volumes.v[i], e) < 0)
                        return -1;
        }
        return 0;
}

/* ---- systemd ---- */

const char *const systemd_mode_names[SYSTEMD_MODE_MAX + 1] = {
        [SYSTEMD_AUTO] = "true", [SYSTEMD_ALWAYS] = "always", [SYSTEMD_NEVER] = "false"
};

/* As podman guesses it. */
static bool runs_systemd(const struct sandbox *s, const char *program)
{
        static const char *const names[] = { "/sbin/init", "/usr/sbin/init",
                                             "/usr/local/sbin/init" };
        const char *slash = strrchr(program, '/');

        if (s->systemd != SYSTEMD_AUTO)
                return s->systemd == SYSTEMD_ALWAYS;
        return s->image &&
               (STR_INDEX(names, program) >= 0 || str_eq(slash ? slash + 1 : program, "systemd"));
}

/* systemd ends in good order at this signal; at SIGTERM it executes itself again. */
static void merge_systemd(struct arena *a, const struct sandbox *s, struct settings *ret)
{
        ret->systemd = runs_systemd(s, ret->args.v[0]);
        if (!ret->systemd)
                return;
        if (!ret->stop_signal)
                ret->stop_signal = "SIGRTMIN+3";
        if (s->name && strlen(s->name) >= 32)
                set(a, &ret->env, arena_printf(a, "container_uuid=%.32s", s->name));
}

int settings_merge(struct arena *a, const struct sandbox *s, const struct image_config *image,
                   struct settings *ret, struct err *e)
{
        *ret = (struct settings){
                .user = s->user                            ? s->user
                        : image && !str_empty(image->user) ? image->user
                                                           : "0",
                .stop_signal = image ? image->stop_signal : NULL,
        };
        if (merge_args(a, s, image, ret, e) < 0 || merge_env(a, s, image, &ret->env, e) < 0 ||
            merge_workdir(a, s, image, ret, e) < 0)
                return -1;
        merge_systemd(a, s, ret);
        return merge_volumes(a, s, image, ret, e);
}
