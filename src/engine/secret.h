/* Secrets: small data with a name, given to containers as files or variables. In the store, below
 * secrets/, which only root may enter:
 *
 *   secrets/ID/secret.json   {id, name, driver, created, updated, labels}
 *   secrets/ID/data          the secret itself, 0600
 *
 * P1  One appears complete, by a rename, and goes by one; who makes or removes one holds a flock on
 *     secrets/.
 * P2  The data are in no other file than `data` and the copy that a container gets when it is made
 *     (secret-use.c): in no record, configuration, journal, log or command line. Buffers that held
 *     them are wiped. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/value.h"
#include "codec/json.h"
#include "engine/mounts.h"
#include "engine/workspace.h"
#include "image/store.h"

/* Their size is below this, and above 0: podman's and Kubernetes' limit. */
#define SECRET_MAX 512000

struct secret {
        const char *id, *name, *driver;
        int64_t created_ns, updated_ns;
        struct key_values labels, options;
};

struct secret_new {
        const char *name;
        struct key_values labels;
        const void *data;
        size_t n;
        bool replace; /* one of that name, instead of ERR_EXISTS */
};
/* Makes one; its id is in a. */
int secret_create(struct store *s, struct arena *a, const struct secret_new *new,
                  const char **ret_id, struct err *e);
/* By name, id or a unique beginning of it; in a. ERR_NOT_FOUND; ERR_INVALID: ambiguous. */
int secret_find(struct store *s, struct arena *a, const char *text, struct secret *ret,
                struct err *e);
/* All, newest first; in a. */
int secret_list(struct store *s, struct arena *a, struct secret **ret, size_t *ret_n,
                struct err *e);
/* Containers that got it keep theirs. */
int secret_remove(struct store *s, const struct secret *secret, struct err *e);
/* The data, on the heap, ended by a NUL: secret_wipe() when done. */
int secret_read(struct store *s, const char *id, char **ret, size_t *ret_n, struct err *e);
void secret_wipe(char *data, size_t n); /* and frees */

/* ---- in a container ---- */

struct secret_use {
        const char *id, *name, *target;
        uint32_t uid, gid, mode;
        bool variable; /* target is its name, not a path */
};
struct secret_uses {
        struct secret_use *v;
        size_t n;
};
/* What --secret says, checked: copies of the files below the workspace and their mounts, and the
 * file of variables (monitor/config.h). dry: only checks. *ret is in a. */
int secrets_use(struct arena *a, struct store *s, const struct strings *given,
                const struct workspace *w, bool dry, struct mounts *m, struct secret_uses *ret,
                struct err *e);
/* The member "secrets" of container.json. */
void secrets_record(const struct secret_uses *u, struct json_writer *w);
