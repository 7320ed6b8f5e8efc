/* The parts of image/auth.h: where the files are, what is in one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "codec/json.h"
#include "image/auth.h"

#define AUTH_FILE_MAX (1u << 20)
#define AUTH_FILES_MAX 3
#define DOCKER_HUB_KEY "https://index.docker.io/v1/"
#define AUTH_HELPERS_WORDS "credential-helpers of registries.conf"

/* The files in the order of reading; the first is the one that is written. */
struct auth_files {
        const char *path[AUTH_FILES_MAX];
        size_t n;
        bool named; /* one that the caller asks for, instead of the usual places */
};
void auth_files(struct arena *a, const struct auth_places *p, struct auth_files *ret);
/* Reads one; an absent or empty file is an empty object. */
int auth_read(struct arena *a, const char *path, struct json *ret, struct err *e);
/* The host that a key of `auths` or `credHelpers` stands for where it is a host's: schemes and
 * what follows the first slash are dropped, docker's names for docker.io become that. NULL for a
 * key with a path and no scheme. */
const char *auth_key_host(struct arena *a, const char *key);
/* The helper of `credHelpers` for host, or NULL. */
const char *auth_helper_of(struct arena *a, const struct json *file, const char *host);
/* Who keeps credentials, in the order to ask; one at least. */
struct strings auth_helpers(const struct auth_places *p);
/* What helpers know a host by. */
const char *auth_helper_key(const char *host);
