/* Writing credentials: one file or helper changes, whatever else the file holds stays. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "codec/base64.h"
#include "image/auth-internal.h"

/* ---- the file, locked ---- */

struct target {
        const char *path; /* of the file itself, where a link leads to it */
        int dir;          /* its directory, under a lock: two logins at once keep both */
};

static void target_done(struct target *t)
{
        fd_close(t->dir);
}
#define AUTO_TARGET __attribute__((cleanup(target_done))) struct target

static int make_directories(char *path)
{
        for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
                *slash = 0;
                if (mkdir(path, 0700) < 0 && errno != EEXIST)
                        return -errno;
                *slash = '/';
        }
        return 0;
}

static int target_open(struct arena *a, const struct auth_places *p, bool create,
                       struct target *ret, struct err *e)
{
        struct auth_files files;
        AUTO_FREE char *real = NULL;
        char *path, *slash;
        int r;

        auth_files(a, p, &files);
        real = realpath(files.path[0], NULL);
        path = arena_strdup(a, real ? real : files.path[0]);
        ret->path = arena_strdup(a, path);
        r = create ? make_directories(path) : 0;
        slash = strrchr(path, '/');
        if (slash)
                slash[slash == path] = 0;
        if (r == 0) {
                ret->dir = open(slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (ret->dir < 0)
                        r = -errno;
        }
        if (r == -ENOENT && !create)
                return err_set(e, ERR_NOT_FOUND, "there is no '%s'", ret->path);
        if (r == 0 && flock(ret->dir, LOCK_EX) < 0)
                r = -errno;
        return r < 0 ? err_sys(e, r, "cannot use the directory of '%s'", ret->path) : 0;
}

static int target_write(const struct target *t, const struct buf *text, struct err *e)
{
        int r = fd_replace_at(t->dir, path_base(t->path), buf_str(text), text->len, 0600, 1);

        return r < 0 ? err_sys(e, r, "cannot write credentials to '%s'", t->path) : 0;
}

/* ---- editing ---- */

static void put_entry(struct json_writer *w, const char *key, const struct credentials *c)
{
        AUTO_BUF plain = { 0 };
        AUTO_BUF text = { 0 };

        buf_printf(&plain, "%s:%s", c->user ? c->user : "",
                   c->kind == CREDENTIALS_BASIC ? c->password : "");
        base64_put(&text, plain.s, plain.len);
        json_open(w, key, '{');
        json_put_str(w, "auth", buf_str(&text));
        if (c->kind == CREDENTIALS_IDENTITY)
                json_put_str(w, "identitytoken", c->token);
        json_close(w, '}');
        explicit_bzero(plain.s, plain.len);
}

/* Whether two keys of a file name the same thing: docker writes its hub as a URL. */
static bool same_key(struct arena *a, const char *x, const char *y)
{
        const char *hx = auth_key_host(a, x), *hy = auth_key_host(a, y);

        return str_eq(x, y) || (hx && hy && str_eq(hx, hy));
}

/* `auths` without key (NULL: without any), and with c under it where c is given. */
static void put_auths(struct arena *a, struct json_writer *w, const struct json *auths,
                      const char *key, const struct credentials *c)
{
        bool placed = false;

        json_open(w, "auths", '{');
        for (uint32_t i = 0; key && auths && auths->type == JSON_OBJECT && i < auths->n; i++) {
                const struct json_member *m = &auths->members[i];

                if (!same_key(a, m->name, key))
                        json_put(w, m->name, &m->value);
                else if (c && !placed)
                        put_entry(w, key, c);
                placed = placed || same_key(a, m->name, key);
        }
        if (c && !placed)
                put_entry(w, key, c);
        json_close(w, '}');
}

static int rewrite(struct arena *a, const struct target *t, const struct json *file,
                   const char *key, const struct credentials *c, struct err *e)
{
        AUTO_BUF text = { 0 };
        struct json_writer w = { .out = &text, .indent = 8 };
        bool seen = false;
        int r;

        json_open(&w, NULL, '{');
        for (uint32_t i = 0; i < file->n; i++) {
                const struct json_member *m = &file->members[i];

                if (str_eq(m->name, "auths"))
                        put_auths(a, &w, &m->value, key, c);
                else
                        json_put(&w, m->name, &m->value);
                seen = seen || str_eq(m->name, "auths");
        }
        if (!seen)
                put_auths(a, &w, NULL, key, c);
        json_close(&w, '}');
        buf_putc(&text, '\n');
        r = target_write(t, &text, e);
        explicit_bzero(text.s, text.len);
        return r;
}

/* ---- helpers ---- */

static int helper_store(struct arena *a, const char *helper, const char *host,
                        const struct credentials *c, struct err *e)
{
        AUTO_BUF text = { 0 };
        struct json_writer w = { .out = &text };
        bool token = c->kind == CREDENTIALS_IDENTITY;
        const char *answer;
        int r;

        json_open(&w, NULL, '{');
        json_put_str(&w, "ServerURL", auth_helper_key(host));
        json_put_str(&w, "Username", token ? "<token>" : c->user);
        json_put_str(&w, "Secret", token ? c->token : c->password);
        json_close(&w, '}');
        r = auth_helper(a, helper, "store", buf_str(&text), &answer, e);
        explicit_bzero(text.s, text.len);
        return r;
}

/* The helper that keeps what belongs to key, or NULL: a key with a path is never a helper's. */
static const char *helper_for(struct arena *a, const struct json *file, const char *key)
{
        const char *host = auth_key_host(a, key);
        const char *store = json_str(json_get(file, "credsStore"), NULL), *helper;

        if (!host)
                return NULL;
        helper = auth_helper_of(a, file, host);
        return helper ? helper : str_empty(store) ? NULL : store;
}

/* ---- the interface ---- */

/* A file called config.json is docker's, which finds its hub only under the name it has there. */
static const char *key_in(const char *path, const char *key)
{
        return str_eq(path_base(path), "config.json") && str_eq(key, "docker.io") ? DOCKER_HUB_KEY
                                                                                  : key;
}

static int store_in_file(struct arena *a, const struct auth_places *p, const char *key,
                         const struct credentials *c, const char **ret_where, struct err *e)
{
        AUTO_TARGET t = { .dir = -1 };
        const char *helper;
        struct json file;

        if (target_open(a, p, true, &t, e) < 0 || auth_read(a, t.path, &file, e) < 0)
                return -1;
        helper = helper_for(a, &file, key);
        *ret_where = helper ? arena_printf(a, "docker-credential-%s", helper) : t.path;
        if (helper)
                return helper_store(a, helper, auth_key_host(a, key), c, e);
        return rewrite(a, &t, &file, key_in(t.path, key), c, e);
}

/* With a program of registries.conf: it knows hosts only. */
static int store_with(struct arena *a, const char *helper, const char *key,
                      const struct credentials *c, const char **ret_where, struct err *e)
{
        const char *host = auth_key_host(a, key);

        *ret_where = arena_printf(a, "docker-credential-%s", helper);
        if (host ? helper_store(a, helper, host, c, e) == 0
                 : err_set(e, ERR_UNSUPPORTED, "'%s' keeps logins for whole registries only",
                           *ret_where) == 0)
                return 0;
        return err_in(e, AUTH_HELPERS_WORDS);
}

int auth_store(struct arena *a, const struct auth_places *p, const char *key,
               const struct credentials *c, const char **ret_where, struct err *e)
{
        const struct strings helpers = auth_helpers(p);
        struct err failed = { 0 };

        for (size_t i = 0; i < helpers.n; i++) {
                const char *name = helpers.v[i];
                struct err why = { 0 };
                int r = str_eq(name, AUTH_HELPER_FILES)
                                ? store_in_file(a, p, key, c, ret_where, &why)
                                : store_with(a, name, key, c, ret_where, &why);

                if (r == 0)
                        return 0;
                if (failed.code == ERR_NONE)
                        failed = why;
        }
        if (e)
                *e = failed;
        return -1;
}

static bool has_key(struct arena *a, const struct json *file, const char *key)
{
        const struct json *auths = json_get(file, "auths");

        for (uint32_t i = 0; auths && auths->type == JSON_OBJECT && i < auths->n; i++)
                if (same_key(a, auths->members[i].name, key))
                        return true;
        return false;
}

/* Erases from one helper; that it had none is told by *ret_found. */
static int helper_erase(struct arena *a, const char *helper, const char *host, bool *ret_found,
                        struct err *e)
{
        struct err inner = { 0 };
        const char *answer;

        if (auth_helper(a, helper, "erase", auth_helper_key(host), &answer, &inner) == 0) {
                *ret_found = true;
                return 0;
        }
        if (inner.code == ERR_NOT_FOUND)
                return 0;
        if (e)
                *e = inner;
        return -1;
}

/* All that credsStore's program keeps: it lists servers and user names as an object. */
static int store_erase(struct arena *a, const char *helper, struct err *e)
{
        const char *text, *answer;
        struct json_error je;
        struct json j;

        if (auth_helper(a, helper, "list", "", &text, e) < 0)
                return -1;
        if (json_parse(a, text, strlen(text), NULL, &j, &je) < 0 || j.type != JSON_OBJECT)
                return err_set(e, ERR_INVALID, "credential helper '%s' lists no JSON object",
                               helper);
        for (uint32_t i = 0; i < j.n; i++)
                if (auth_helper(a, helper, "erase", j.members[i].name, &answer, e) < 0)
                        return -1;
        return 0;
}

static int remove_all(struct arena *a, const struct target *t, const struct json *file,
                      struct err *e)
{
        const struct json *helpers = json_get(file, "credHelpers");
        const char *store = json_str(json_get(file, "credsStore"), NULL);
        bool found;

        for (uint32_t i = 0; helpers && helpers->type == JSON_OBJECT && i < helpers->n; i++) {
                const char *host = auth_key_host(a, helpers->members[i].name);
                const char *helper = json_str(&helpers->members[i].value, NULL);

                if (host && helper && helper_erase(a, helper, host, &found, e) < 0)
                        return -1;
        }
        if (!str_empty(store) && store_erase(a, store, e) < 0)
                return -1;
        return rewrite(a, t, file, NULL, NULL, e);
}

static int remove_from_file(struct arena *a, const struct auth_places *p, const char *key, bool all,
                            struct err *e)
{
        AUTO_TARGET t = { .dir = -1 };
        const char *helper;
        bool found = false;
        struct json file;

        if (target_open(a, p, false, &t, e) < 0 || auth_read(a, t.path, &file, e) < 0)
                return -1;
        if (all)
                return remove_all(a, &t, &file, e);
        helper = helper_for(a, &file, key);
        if (helper && helper_erase(a, helper, auth_key_host(a, key), &found, e) < 0)
                return -1;
        if (has_key(a, &file, key))
                return rewrite(a, &t, &file, key, NULL, e);
        return found ? 0
                     : err_set(e, ERR_NOT_FOUND, "no credentials for '%s' in '%s'", key, t.path);
}

static int remove_with(struct arena *a, const char *helper, const char *key, bool all,
                       struct err *e)
{
        const char *host = all ? NULL : auth_key_host(a, key);
        bool found = false;

        if (all ? store_erase(a, helper, e) < 0
                : host && helper_erase(a, helper, host, &found, e) < 0)
                return err_in(e, AUTH_HELPERS_WORDS);
        if (all || found)
                return 0;
        return err_set(e, ERR_NOT_FOUND, "no credentials for '%s' in 'docker-credential-%s'", key,
                       helper);
}

int auth_remove(struct arena *a, const struct auth_places *p, const char *key, bool all,
                struct err *e)
{
        const struct strings helpers = auth_helpers(p);
        struct err failed = { 0 }, absent = { 0 };
        bool found = false;

        for (size_t i = 0; i < helpers.n; i++) {
                const char *name = helpers.v[i];
                struct err why = { 0 };
                int r = str_eq(name, AUTH_HELPER_FILES) ? remove_from_file(a, p, key, all, &why)
                                                        : remove_with(a, name, key, all, &why);
                struct err *of = why.code == ERR_NOT_FOUND ? &absent : &failed;

                found = found || r == 0;
                if (r < 0 && of->code == ERR_NONE)
                        *of = why;
        }
        if (failed.code == ERR_NONE && found)
                return 0;
        if (e)
                *e = failed.code != ERR_NONE ? failed : absent;
        return -1;
}
