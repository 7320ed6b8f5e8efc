/* Files of credentials: where they are, and what a key in one means. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "image/auth-internal.h"

static const char *environment(const char *name)
{
        const char *v = getenv(name);

        return str_empty(v) ? NULL : v;
}

static void add(struct auth_files *f, const char *path)
{
        f->path[f->n++] = path;
}

void auth_files(struct arena *a, const struct auth_places *p, struct auth_files *ret)
{
        const char *named = p->authfile ? p->authfile : environment("REGISTRY_AUTH_FILE");
        const char *runtime = environment("XDG_RUNTIME_DIR"), *home = environment("HOME");
        const char *config = environment("XDG_CONFIG_HOME");
        const char *docker = environment("DOCKER_CONFIG"), *root = p->root ? p->root : "";

        *ret = (struct auth_files){ .n = 0 };
        if (named) {
                ret->named = true;
                add(ret, named);
                return;
        }
        add(ret,
            runtime ? arena_printf(a, "%s%s/containers/auth.json", root, runtime)
                    : arena_printf(a, "%s/run/containers/%u/auth.json", root, (unsigned)geteuid()));
        if (config)
                add(ret, arena_printf(a, "%s%s/containers/auth.json", root, config));
        else if (home)
                add(ret, arena_printf(a, "%s%s/.config/containers/auth.json", root, home));
        if (docker)
                add(ret, arena_printf(a, "%s%s/config.json", root, docker));
        else if (home)
                add(ret, arena_printf(a, "%s%s/.docker/config.json", root, home));
}

int auth_read(struct arena *a, const char *path, struct json *ret, struct err *e)
{
        struct json_error je;
        AUTO_FREE char *text = NULL;
        size_t n;
        int r = fd_read_file_at(AT_FDCWD, path, AUTH_FILE_MAX, &text, &n);

        *ret = (struct json){ .type = JSON_OBJECT };
        if (r == -ENOENT || r == -ENOTDIR || (r == 0 && n == 0))
                return 0;
        if (r < 0)
                return err_sys(e, r, "cannot read credentials from '%s'", path);
        r = json_parse(a, text, n, NULL, ret, &je);
        explicit_bzero(text, n);
        if (r < 0)
                return err_set(e, ERR_INVALID, "'%s', line %u, column %u: %s", path, je.line,
                               je.column, je.what);
        if (ret->type != JSON_OBJECT)
                return err_set(e, ERR_INVALID, "'%s' holds no JSON object", path);
        return 0;
}

const char *auth_key_host(struct arena *a, const char *key)
{
        static const char *const hub[] = { "index.docker.io", "registry-1.docker.io",
                                           "registry.hub.docker.com" };
        const char *rest = str_after(key, "https://");
        char *host;

        if (!rest)
                rest = str_after(key, "http://");
        if (!rest && strchr(key, '/'))
                return NULL;
        rest = rest ? rest : key;
        host = arena_strndup(a, rest, strcspn(rest, "/"));
        return STR_INDEX(hub, host) >= 0 ? "docker.io" : host;
}

const char *auth_helper_key(const char *host)
{
        return str_eq(host, "docker.io") ? DOCKER_HUB_KEY : host;
}

const char *auth_helper_of(struct arena *a, const struct json *file, const char *host)
{
        const struct json *helpers = json_get(file, "credHelpers");

        if (!helpers || helpers->type != JSON_OBJECT)
                return NULL;
        for (uint32_t i = 0; i < helpers->n; i++) {
                const char *of = auth_key_host(a, helpers->members[i].name);

                if (of && str_eq(of, host))
                        return json_str(&helpers->members[i].value, NULL);
        }
        return NULL;
}
