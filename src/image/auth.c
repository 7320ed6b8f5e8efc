#include "image/auth.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "codec/base64.h"
#include "image/auth-internal.h"

int auth_parse(struct arena *a, const char *creds, struct credentials *ret, struct err *e)
{
        const char *colon = strchr(creds, ':');

        if (!colon || colon == creds)
                return err_set(e, ERR_INVALID, "credentials are written as USER:PASSWORD");
        *ret = (struct credentials){
                .kind = CREDENTIALS_BASIC,
                .user = arena_strndup(a, creds, (size_t)(colon - creds)),
                .password = arena_strdup(a, colon + 1),
        };
        return 0;
}

/* What `get` of a helper answers; "<token>" as user name means that the secret is one. */
static int from_helper(struct arena *a, const char *name, const char *host, struct credentials *ret,
                       struct err *e)
{
        const char *text, *user, *secret;
        struct json_error je;
        struct json j;

        if (auth_helper(a, name, "get", auth_helper_key(host), &text, e) < 0)
                return -1;
        if (json_parse(a, text, strlen(text), NULL, &j, &je) < 0)
                return err_set(e, ERR_INVALID, "credential helper '%s' answered no JSON: %s", name,
                               je.what);
        user = json_str(json_get(&j, "Username"), "");
        secret = json_str(json_get(&j, "Secret"), "");
        if (str_eq(user, "<token>"))
                *ret = (struct credentials){ .kind = CREDENTIALS_IDENTITY, .token = secret };
        else if (*user || *secret)
                *ret = (struct credentials){ .kind = CREDENTIALS_BASIC,
                                             .user = user,
                                             .password = secret };
        ret->source = arena_printf(a, "docker-credential-%s", name);
        return 0;
}

/* A helper that has none is as good as none at all. */
static int ask_helper(struct arena *a, const char *name, const char *host, struct credentials *ret,
                      struct err *e)
{
        struct err inner = { 0 };

        if (from_helper(a, name, host, ret, &inner) == 0 || inner.code == ERR_NOT_FOUND)
                return 0;
        if (e)
                *e = inner;
        return err_in(e, "cannot get credentials for '%s'", host);
}

/* The base64 text of `auth`: "USER:PASSWORD". */
static int decode(struct arena *a, const char *text, struct credentials *ret)
{
        size_t n = strlen(text);
        char *plain = arena_alloc(a, BASE64_DECODED_MAX(n) + 1), *colon;
        ssize_t len = base64_decode(text, n, plain);

        if (len < 0)
                return -1;
        plain[len] = 0; /* docker ends some with NULs */
        colon = strchr(plain, ':');
        if (!colon)
                return -1;
        *colon = 0;
        ret->kind = CREDENTIALS_BASIC;
        ret->user = plain;
        ret->password = colon + 1;
        return 0;
}

static int from_entry(struct arena *a, const char *file, const char *key, const struct json *entry,
                      struct credentials *ret, struct err *e)
{
        const char *auth = json_str(json_get(entry, "auth"), "");
        const char *user = json_str(json_get(entry, "username"), "");
        const char *identity = json_str(json_get(entry, "identitytoken"), "");
        const char *bearer = json_str(json_get(entry, "registrytoken"), "");
        struct credentials c = { .kind = CREDENTIALS_NONE, .source = file };

        if (*auth && decode(a, auth, &c) < 0) {
                return err_set(e, ERR_INVALID,
                               "'%s': 'auth' of '%s' is not base64 of USER:PASSWORD", file, key);
        } else if (!*auth && *user) {
                c.kind = CREDENTIALS_BASIC;
                c.user = user;
                c.password = json_str(json_get(entry, "password"), "");
        }
        if (*identity) {
                c.kind = CREDENTIALS_IDENTITY;
                c.token = identity;
        } else if (*bearer) {
                c.kind = CREDENTIALS_BEARER;
                c.token = bearer;
        }
        *ret = c;
        return 0;
}

/* The entry of the longest key: "host/ns/repo", "host/ns", "host", then keys that are written
 * otherwise but mean the host. */
static const struct json_member *find_entry(struct arena *a, const struct json *auths,
                                            const char *host, const char *path)
{
        char *key = str_empty(path) ? arena_strdup(a, host) : arena_printf(a, "%s/%s", host, path);

        if (!auths || auths->type != JSON_OBJECT)
                return NULL;
        for (char *slash = key; slash;) {
                for (uint32_t i = 0; i < auths->n; i++)
                        if (str_eq(auths->members[i].name, key))
                                return &auths->members[i];
                slash = strrchr(key, '/');
                if (slash)
                        *slash = 0;
        }
        for (uint32_t i = 0; i < auths->n; i++) {
                const char *of = auth_key_host(a, auths->members[i].name);

                if (of && str_eq(of, host))
                        return &auths->members[i];
        }
        return NULL;
}

/* j: what file holds. */
static int find_in(struct arena *a, const char *file, struct json j, const char *host,
                   const char *path, struct credentials *ret, struct err *e)
{
        const struct json_member *m;
        const char *helper;

        helper = auth_helper_of(a, &j, host);
        if (helper) {
                if (ask_helper(a, helper, host, ret, e) < 0)
                        return err_in(e, "credHelpers of '%s'", file);
                if (ret->kind != CREDENTIALS_NONE)
                        return 0;
        }
        m = find_entry(a, json_get(&j, "auths"), host, path);
        if (m && from_entry(a, file, m->name, &m->value, ret, e) < 0)
                return -1;
        helper = json_str(json_get(&j, "credsStore"), NULL);
        if (ret->kind == CREDENTIALS_NONE && !str_empty(helper) &&
            ask_helper(a, helper, host, ret, e) < 0)
                return err_in(e, "credsStore of '%s'", file);
        return 0;
}

static int find_in_files(struct arena *a, const struct auth_places *p, const char *host,
                         const char *path, const struct log *log, struct credentials *ret,
                         struct err *e)
{
        struct auth_files files;

        auth_files(a, p, &files);
        for (size_t i = 0; i < files.n && ret->kind == CREDENTIALS_NONE; i++) {
                struct err why = { 0 };
                struct json j;

                /* /run/containers/UID may be root's, of another program; most images need none. */
                if (auth_read(a, files.path[i], &j, &why) < 0 && why.sys == EACCES &&
                    !files.named) {
                        log_warning(log, "%s: going on without", why.chain);
                        continue;
                }
                if (why.code != ERR_NONE) {
                        if (e)
                                *e = why;
                        return -1;
                }
                if (find_in(a, files.path[i], j, host, path, ret, e) < 0)
                        return -1;
        }
        return 0;
}

struct strings auth_helpers(const struct auth_places *p)
{
        static const char *files[] = { AUTH_HELPER_FILES };

        return p->helpers.n ? p->helpers : (struct strings){ files, ARRAY_SIZE(files) };
}

int auth_find(struct arena *a, const struct auth_places *p, const char *host, const char *path,
              const struct log *log, struct credentials *ret, struct err *e)
{
        const struct strings helpers = auth_helpers(p);
        struct credentials c = { .kind = CREDENTIALS_NONE };
        struct err failed = { 0 };

        for (size_t i = 0; i < helpers.n && c.kind == CREDENTIALS_NONE; i++) {
                const char *name = helpers.v[i];
                struct err why = { 0 };

                if (str_eq(name, AUTH_HELPER_FILES))
                        find_in_files(a, p, host, path, log, &c, &why);
                else if (ask_helper(a, name, host, &c, &why) < 0)
                        err_in(&why, AUTH_HELPERS_WORDS);
                if (failed.code == ERR_NONE)
                        failed = why;
        }
        if (c.kind == CREDENTIALS_NONE && failed.code != ERR_NONE) {
                if (e)
                        *e = failed;
                return -1;
        }
        if (c.kind != CREDENTIALS_NONE)
                log_debug(log, "credentials for %s%s%s are from %s", host,
                          str_empty(path) ? "" : "/", path ? path : "", c.source);
        *ret = c;
        return 0;
}
