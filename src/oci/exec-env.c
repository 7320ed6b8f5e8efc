#include "oci/exec-env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "kernel/resolve.h"
#include "oci/explain.h"
#include "oci/launch.h"
#include "oci/sd-notify.h"

#define PASSWD_MAX (1u << 20)

static const char *env_get(const struct strings *env, const char *name)
{
        size_t n = strlen(name);

        for (size_t i = env->n; i-- > 0;)
                if (strncmp(env->v[i], name, n) == 0 && env->v[i][n] == '=')
                        return env->v[i] + n + 1;
        return NULL;
}

/* The sixth field of the line whose third is uid (passwd(5)). */
static const char *home_in(struct arena *a, const char *text, uid_t uid)
{
        const char *line, *lines = text;
        size_t len;

        while (str_next(&lines, '\n', &line, &len)) {
                const char *fields = arena_strndup(a, line, len), *f[7] = { NULL };
                size_t n = 0, flen;
                uint32_t id;

                for (const char *at = fields, *part; n < 7 && str_next(&at, ':', &part, &flen);)
                        f[n++] = arena_strndup(a, part, flen);
                if (n == 7 && str_to_u32(f[2], &id) == 0 && id == uid && *f[5])
                        return f[5];
        }
        return "/";
}

static const char *home_of(struct init *in, uid_t uid)
{
        AUTO_FD int fd =
                resolve_open(in->root, "etc/passwd", O_RDONLY | O_NOCTTY | O_NONBLOCK, 0, 0);
        struct stat st;
        ssize_t n;
        char *text;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > PASSWD_MAX)
                return "/";
        text = mem_alloc((size_t)st.st_size + 2);
        n = fd_read_text(fd, text, (size_t)st.st_size + 1);
        const char *home = n < 0 ? "/" : home_in(in->l->arena, text, uid);
        free(text);
        return home;
}

/* Of a name given twice the last counts: some programs would take the first. */
static bool given_again(const struct strings *env, size_t i)
{
        const char *eq = strchr(env->v[i], '=');
        size_t n = eq ? (size_t)(eq - env->v[i]) + 1 : strlen(env->v[i]);

        for (size_t k = i + 1; eq && k < env->n; k++)
                if (strncmp(env->v[i], env->v[k], n) == 0)
                        return true;
        return false;
}

char **exec_env(struct init *in, uid_t uid)
{
        const struct strings *given = &in->l->plan->process->env;
        struct arena *a = in->l->arena;
        char **env = arena_array(a, char *, given->n + 5);
        const char *fds = getenv("LISTEN_FDS");
        size_t n = 0;

        for (size_t i = 0; i < given->n; i++) {
                const char *s = given->v[i];

                if (!given_again(given, i) && !str_eq(s, "HOME=") &&
                    !(in->l->plan->notify_socket && str_after(s, "NOTIFY_SOCKET=")))
                        env[n++] = (char *)s;
        }
        if (str_empty(env_get(given, "HOME")))
                env[n++] = arena_printf(a, "HOME=%s", home_of(in, uid));
        if (fds && !env_get(given, "LISTEN_FDS") && in->l->mode != LAUNCH_EXEC) {
                env[n++] = arena_printf(a, "LISTEN_FDS=%s", fds);
                env[n++] = arena_strdup(a, "LISTEN_PID=1");
        }
        if (in->l->plan->notify_socket)
                env[n++] = arena_strdup(a, "NOTIFY_SOCKET=" SD_NOTIFY_INSIDE);
        env[n] = NULL;
        return env;
}

/* 0, or the errno that an exec of it would meet first. */
static int check(const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return errno;
        if (S_ISDIR(st.st_mode))
                return EISDIR;
        /* Effective ids: the process has its capabilities already. */
        return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? errno : 0;
}

static const char *find_in_path(struct init *in, const char *name, struct err *e)
{
        const char *path = env_get(&in->l->plan->process->env, "PATH"), *dir;
        int worst = 0;
        size_t n;

        for (const char *at = path; str_next(&at, ':', &dir, &n);) {
                const char *full =
                        n == 0 ? arena_printf(in->l->arena, "./%s", name)
                               : arena_printf(in->l->arena, "%.*s/%s", (int)n, dir, name);
                int r = check(full);

                if (r == 0)
                        return full;
                if (r == EACCES)
                        worst = r;
        }
        if (worst) {
                err_set(e, ERR_DENIED, "exec: \"%s\": permission denied", name);
                err_hint(e, "it is found through PATH but not executable for this user");
                return NULL;
        }
        err_set(e, ERR_NOT_FOUND, "exec: \"%s\": executable file not found in $PATH", name);
        err_hint(e, path ? "process.env has PATH=%.120s" : "process.env has no PATH%s",
                 path ? path : "");
        return NULL;
}

const char *exec_find(struct init *in, const char *name, struct err *e)
{
        int r;

        if (!*name) {
                err_set(e, ERR_INVALID, "exec: \"\": executable file not found in $PATH");
                return NULL;
        }
        if (!strchr(name, '/'))
                return find_in_path(in, name, e);
        r = check(name);
        if (r == 0)
                return name;
        if (r == ENOENT)
                err_set(e, ERR_NOT_FOUND, "exec: \"%s\": stat %s: no such file or directory", name,
                        name);
        else if (r == EISDIR)
                err_set(e, ERR_DENIED, "exec: \"%s\": is a directory: permission denied", name);
        else
                explain_exec(name, r, e);
        return NULL;
}
