/* What a container's process is to be: the image's configuration and the caller's wishes, merged by
 * docker's rules. Pure, but for --env-file and our own environment. */
#pragma once

#include "base/err.h"
#include "base/mem.h"
#include "base/value.h"
#include "engine/sandbox.h"
#include "image/manifest.h"

struct settings {
        struct strings args;     /* at least one */
        struct strings env;      /* "NAME=VALUE", each name once; HOME only where somebody set it */
        const char *workdir;     /* absolute */
        const char *user;        /* "USER[:GROUP]" */
        const char *stop_signal; /* NULL: none said */
        bool systemd;            /* it is systemd that will run */
        struct strings volumes;  /* destinations, absolute and clean, of anonymous volumes */
        struct strings tmpfs;    /* the same of the image's volumes that are tmpfs instead */
};

/* image is NULL for a root without one. All is in a. Rules:
 *   arguments   the entrypoint and then the command; --entrypoint replaces the entrypoint and drops
 *               the image's command; arguments given replace the command
 *   environment PATH's default, HOSTNAME, TERM with a terminal; the image's; --env-merge;
 *               --http-proxy; --env-file; --env
 *   user, working directory: the caller's, else the image's, else "0" and "/" */
int settings_merge(struct arena *a, const struct sandbox *s, const struct image_config *image,
                   struct settings *ret, struct err *e);

/* --env and --env-file: sets them in env, an environment made with strings_add(). A bare NAME
 * passes on ours, or removes it. */
int settings_env(struct arena *a, const struct strings *given, const struct strings *files,
                 struct strings *env, struct err *e);
/* What --env-file path has: lines "NAME=VALUE" or "NAME"; empty ones and those that begin with '#'
 * are comments. text has a NUL behind its n bytes. Fuzzed. */
int settings_env_text(struct arena *a, const char *path, const char *text, size_t n,
                      struct strings *env, struct err *e);
/* text with $NAME and ${NAME} replaced by what env has of them, or by nothing; in a. */
const char *settings_expand(struct arena *a, const char *text, const struct strings *env);
/* The next line of a file of variables or labels, in a: without a byte order mark, a carriage
 * return at its end and blanks before it; empty ones and comments are passed over. */
bool settings_line(struct arena *a, const char **at, const char **ret);
