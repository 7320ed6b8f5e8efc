/* Credentials for registries, as podman and docker keep them (containers-auth.json(5)).
 *
 * Looked for in --authfile or $REGISTRY_AUTH_FILE (only there, if given), else in
 * $XDG_RUNTIME_DIR/containers/auth.json (for root without it: /run/containers/0/auth.json),
 * $XDG_CONFIG_HOME or ~/.config /containers/auth.json, $DOCKER_CONFIG or ~/.docker /config.json;
 * the first that has an answer. In each: a helper of credHelpers for the host, else the longest
 * key of auths that names the repository or something above it ("host/ns/repo", "host/ns",
 * "host"; keys written as URLs are understood), else credsStore. docker.io is
 * "https://index.docker.io/v1/" there. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/value.h"

enum credentials_kind {
        CREDENTIALS_NONE,
        CREDENTIALS_BASIC,    /* user and password */
        CREDENTIALS_IDENTITY, /* token: an OAuth2 refresh token; user may be NULL */
        CREDENTIALS_BEARER,   /* token: sent as it is ("registrytoken") */
};
struct credentials {
        enum credentials_kind kind;
        const char *user, *password, *token;
        const char *source; /* file, helper or option that they came from, for messages */
};

struct auth_places {
        const char *root;     /* in front of the usual places, for tests; NULL or "": none */
        const char *authfile; /* NULL: $REGISTRY_AUTH_FILE, else the usual places */
        /* registries.conf's credential-helpers, asked in this order: AUTH_HELPER_FILES is the files
         * above, any other docker-credential-NAME. None: the files alone. */
        struct strings helpers;
};
#define AUTH_HELPER_FILES "containers-auth.json"

/* The credentials for host ("docker.io", "host:5000") and path ("ns/repo"; NULL or "": of the host
 * alone). None is success, with CREDENTIALS_NONE. Everything in a. ERR_INVALID for a file that
 * can't be understood; a helper that fails is an error that quotes what it said. What fails among
 * several helpers of registries.conf counts only where none of them has credentials. */
int auth_find(struct arena *a, const struct auth_places *p, const char *host, const char *path,
              const struct log *log, struct credentials *ret, struct err *e);
/* "USER:PASSWORD" of --creds. */
int auth_parse(struct arena *a, const char *creds, struct credentials *ret, struct err *e);

/* Stores credentials (BASIC or IDENTITY) under key ("host" or "host/ns/repo") in the file that
 * auth_find() reads first, or in its helper; 0600, atomically, keeping whatever else the file
 * holds. Among helpers of registries.conf the first that takes them keeps them. ret_where (in a)
 * names file or helper. */
int auth_store(struct arena *a, const struct auth_places *p, const char *key,
               const struct credentials *c, const char **ret_where, struct err *e);
/* Removes key, wherever logins are kept; ERR_NOT_FOUND where it isn't there. all: every key of the
 * file, and of helpers. */
int auth_remove(struct arena *a, const struct auth_places *p, const char *key, bool all,
                struct err *e);
/* Runs docker-credential-NAME VERB with input on its standard input, for up to 30 s and 64 KiB of
 * output. name is checked: letters, digits, '.', '_' and '-' only. Its output in a; a failure's
 * error quotes it. ERR_NOT_FOUND where the helper says that it has none. */
int auth_helper(struct arena *a, const char *name, const char *verb, const char *input,
                const char **ret, struct err *e);
