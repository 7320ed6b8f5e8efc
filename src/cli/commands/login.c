/* berth login, berth logout: credentials into and out of auth.json. */
#include "cli/commands/login.h"

#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/prompt.h"
#include "cli/registry-args.h"
#include "image/auth.h"
#include "image/fetch.h"
#include "image/registry-config.h"

struct login_args {
        const char *user, *password;
        bool password_stdin, get_login, verbose;
        struct registry_args registry;
};

static const struct opt login_opts[] = {
        STR(struct login_args, user, 'u', "username", "NAME", "Log in as NAME"),
        STR(struct login_args, password, 'p', "password", "PASSWORD",
            "With this password, which everybody on this machine can see: better is "
            "--password-stdin"),
        FLAG(struct login_args, password_stdin, 0, "password-stdin",
             "Read the password from standard input"),
        FLAG(struct login_args, get_login, 0, "get-login",
             "Print as whom one is logged in, and do nothing else"),
        FLAG(struct login_args, verbose, 'v', "verbose", "Say where the credentials are kept"),
        STR(struct login_args, registry.authfile, 0, "authfile", "FILE",
            "Keep credentials in FILE instead of the usual place", .complete = COMPLETE_FILE),
        STR(struct login_args, registry.cert_dir, 0, "cert-dir", "DIR",
            "Take certificates (*.crt, *.cert with *.key) from DIR", .complete = COMPLETE_DIR),
        STR_OPTIONAL(struct login_args, registry.tls_verify, 0, "tls-verify", "BOOL", "true",
                     "Whether the registry's certificate must be good; false also allows plain "
                     "HTTP. As registries.conf says by default"),
        {}
};

/* "https://HOST/v2/" and docker's names for its hub become the key that is stored; ref is what
 * verifies it. */
static int take_registry(struct arena *a, const char *text, const char **ret_key,
                         struct reference *ref, struct err *e)
{
        const char *rest = str_after(text, "https://");
        char *key, *slash;

        if (!rest)
                rest = str_after(text, "http://");
        key = arena_strdup(a, rest ? rest : text);
        slash = strchr(key, '/');
        if (slash && (rest || !slash[1]))
                *slash = 0;
        if (str_eq(key, "index.docker.io") || str_eq(key, "registry-1.docker.io"))
                key = arena_strdup(a, "docker.io");
        /* The path of a repository that need not be: only its registry is asked. */
        if (reference_parse(a,
                            arena_printf(a, "%s/%s", key, strchr(key, '/') ? "x" : "berth/login"),
                            ref, e) < 0 ||
            !ref->host || ref->tag || ref->digest)
                return err_set(e, ERR_INVALID,
                               "\"%s\" is no registry, such as quay.io or "
                               "localhost:5000",
                               text);
        *ret_key = key;
        return 0;
}

static int say(const char *text)
{
        return fd_write_all(STDOUT_FILENO, text, strlen(text)) < 0 ? 1 : 0;
}

/* Host and path of a key. */
static void split(struct arena *a, const char *key, const char **ret_host, const char **ret_path)
{
        size_t n = strcspn(key, "/");

        *ret_host = arena_strndup(a, key, n);
        *ret_path = key[n] ? key + n + 1 : NULL;
}

static int places_take(struct ctx *c, const char *authfile, struct auth_places *ret, struct err *e)
{
        const struct registry_options o = { .authfile = authfile, .tls_verify = -1 };

        return registry_auth_places(&c->arena, &o, ret, e);
}

static int find(struct ctx *c, const struct auth_places *places, const char *key,
                struct credentials *ret, struct err *e)
{
        const char *host, *path;

        split(&c->arena, key, &host, &path);
        return auth_find(&c->arena, places, host, path, &c->log, ret, e);
}

static int verify(struct ctx *c, const struct login_args *args, const struct reference *ref,
                  const struct credentials *login, struct err *e)
{
        struct fetch_options o;
        struct fetch *f;
        int r;

        if (registry_args_take(&args->registry, &o, e) < 0)
                return -1;
        if (login)
                o.creds = arena_printf(&c->arena, "%s:%s", login->user, login->password);
        if (fetch_open(ref, &o, &c->log, &f, e) < 0)
                return -1;
        r = fetch_login(f, e);
        fetch_close(f);
        return r;
}

static int get_login(struct ctx *c, const struct auth_places *places, const char *key,
                     struct err *e)
{
        struct credentials found;

        if (find(c, places, key, &found, e) < 0)
                return -1;
        if (found.kind == CREDENTIALS_NONE)
                return err_set(e, ERR_NOT_FOUND, "not logged in to %s", key);
        return say(arena_printf(&c->arena, "%s\n", found.user ? found.user : "<token>"));
}

/* Without -u and -p, credentials that are there already are tried first. 1: they are good. */
static int try_existing(struct ctx *c, const struct login_args *args,
                        const struct auth_places *places, const char *key,
                        const struct reference *ref)
{
        struct credentials found;
        struct err ignored = { 0 };

        if (args->user || args->password || args->password_stdin ||
            find(c, places, key, &found, &ignored) < 0 || found.kind == CREDENTIALS_NONE)
                return 0;
        fprintf(stderr, "Authenticating with existing credentials for %s\n", key);
        if (verify(c, args, ref, NULL, &ignored) == 0)
                return 1;
        fprintf(stderr, "Existing credentials are invalid, please enter valid username and "
                        "password\n");
        return 0;
}

/* What options, standard input or the terminal say. */
static int ask(struct ctx *c, const struct login_args *args, struct credentials *ret, struct err *e)
{
        const char *user = args->user, *password = args->password;
        bool terminal = isatty(STDIN_FILENO);

        if (args->password_stdin && prompt_stdin(&c->arena, &password, e) < 0)
                return -1;
        if ((!user || !password) && !terminal) {
                err_set(e, ERR_INVALID, "no %s, and no terminal to ask for it",
                        user ? "password" : "user name");
                return err_hint(e, "Use --username NAME --password-stdin, and pass the password "
                                   "on standard input.");
        }
        if (!user && prompt(&c->arena, "Username: ", false, &user, e) < 0)
                return -1;
        if (!password && prompt(&c->arena, "Password: ", true, &password, e) < 0)
                return -1;
        if (!*user || !*password || strchr(user, ':'))
                return err_set(e, ERR_INVALID,
                               !*user      ? "no user name was given"
                               : *password ? "a user name has no ':' in it"
                                           : "no password was given");
        *ret = (struct credentials){ .kind = CREDENTIALS_BASIC,
                                     .user = user,
                                     .password = password };
        return 0;
}

static int check(const struct login_args *args, struct err *e)
{
        if (args->password && args->password_stdin)
                return err_set(e, ERR_INVALID,
                               "--password and --password-stdin exclude each other");
        if (args->password_stdin && !args->user)
                return err_set(e, ERR_INVALID, "--password-stdin needs --username");
        if (args->password)
                fprintf(stderr, "WARNING! Using --password via the CLI is insecure. Use "
                                "--password-stdin.\n");
        return 0;
}

static int login(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct login_args *args = p;
        struct auth_places places;
        struct credentials given;
        struct reference ref;
        const char *key, *where;

        if (take_registry(&c->arena, argc ? argv[0] : "docker.io", &key, &ref, e) < 0 ||
            places_take(c, args->registry.authfile, &places, e) < 0)
                return -1;
        if (args->get_login)
                return get_login(c, &places, key, e);
        if (check(args, e) < 0)
                return -1;
        if (try_existing(c, args, &places, key, &ref)) {
                return say(arena_printf(&c->arena,
                                        "Existing credentials are valid. Already logged in to "
                                        "%s\n",
                                        key));
        }
        if (ask(c, args, &given, e) < 0 || verify(c, args, &ref, &given, e) < 0 ||
            auth_store(&c->arena, &places, key, &given, &where, e) < 0)
                return err_in(e, "cannot log in to %s", key);
        if (args->verbose)
                say(arena_printf(&c->arena, "Used: %s\n", where));
        return say("Login Succeeded!\n");
}

static const struct login_args defaults = { .registry = REGISTRY_ARGS_DEFAULTS };

const struct command cmd_login = {
        .name = "login",
        .usage = "[REGISTRY]",
        .help = "Log in to a registry",
        .about = "The registry is asked whether it knows the user, then the credentials are kept "
                 "where podman, skopeo and buildah keep theirs. REGISTRY is a host, or a host and "
                 "the beginning of repositories' names (quay.io/team), for which alone they count; "
                 "without it docker.io.",
        .opts = login_opts,
        .max = 1,
        .args_size = sizeof(struct login_args),
        .defaults = &defaults,
        .run = login,
};

/* ---- logout ---- */

struct logout_args {
        bool all;
        const char *authfile;
};

static const struct opt logout_opts[] = {
        FLAG(struct logout_args, all, 'a', "all", "Forget the credentials of all registries"),
        STR(struct logout_args, authfile, 0, "authfile", "FILE",
            "Credentials are in FILE instead of the usual place", .complete = COMPLETE_FILE),
        {}
};

/* Credentials that are not where logins are kept stay valid: say so. */
static int still_there(struct ctx *c, const struct auth_places *places, const char *key,
                       struct err *e)
{
        struct credentials found = { .kind = CREDENTIALS_NONE };

        if (find(c, places, key, &found, NULL) < 0 || found.kind == CREDENTIALS_NONE)
                return err_set(e, ERR_NOT_FOUND, "not logged in to %s", key);
        err_set(e, ERR_STATE, "the credentials for %s are from %s, where logins are not kept", key,
                found.source);
        return err_hint(e, "Remove them there, or name that file with --authfile.");
}

static int logout(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct logout_args *args = p;
        struct auth_places places;
        struct err inner = { 0 };
        struct reference ref;
        const char *key = NULL;

        if (args->all && argc)
                return err_set(e, ERR_INVALID, "--all takes no registry");
        if ((!args->all &&
             take_registry(&c->arena, argc ? argv[0] : "docker.io", &key, &ref, e) < 0) ||
            places_take(c, args->authfile, &places, e) < 0)
                return -1;
        if (auth_remove(&c->arena, &places, key, args->all, &inner) < 0) {
                if (inner.code == ERR_NOT_FOUND && key)
                        return still_there(c, &places, key, e);
                if (inner.code != ERR_NOT_FOUND) {
                        *e = inner;
                        return err_in(e, "cannot log out");
                }
        }
        return say(args->all ? "Removed login credentials for all registries\n"
                             : arena_printf(&c->arena, "Removed login credentials for %s\n", key));
}

const struct command cmd_logout = {
        .name = "logout",
        .usage = "[REGISTRY]",
        .help = "Forget the credentials for a registry",
        .opts = logout_opts,
        .max = 1,
        .args_size = sizeof(struct logout_args),
        .run = logout,
};
