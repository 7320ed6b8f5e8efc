/* Runtimes' state directories on this host: reading a container's state file, finding containers.
 *
 * Those of users without privilege are read as well, with limits: a file there is somebody's claim,
 * believed only where the process that it names agrees. */
#pragma once

#include "base/err.h"
#include "base/value.h"
#include "diag/owner.h"

/* One container's state as found. */
struct state_entry {
        struct owner_state state;
        const char *dir;    /* its directory */
        const char *file;   /* the state file */
        const char *config; /* a config.json as the runtime saw it, or NULL */
};

/* Reads the state below root for id; false if there is none. */
bool state_read(struct arena *a, const char *root, const char *id, struct state_entry *ret);
/* The places to look in: extra first (may be NULL), then every runtime's known ones that exist. */
struct strings state_roots(struct arena *a, const struct strings *extra);
/* Calls each for every container below every root, until it returns true. Returns whether it did.
 * *ret_cut (may be NULL) if there were more than STATE_ENTRIES_MAX. */
#define STATE_ENTRIES_MAX 8192
bool state_each(struct arena *a, const struct strings *roots,
                bool (*each)(const char *root, const char *id, void *arg), void *arg,
                bool *ret_cut);

/* Whether the state's process is still the one that was recorded. */
bool state_current(struct arena *a, const struct owner_state *s);

/* The process of the container that name means: an id, a unique prefix of one, or a name that
 * berth, podman, CRI-O or docker keep. ERR_NOT_FOUND, also where it is not running; ERR_INVALID
 * where the prefix is ambiguous. *ret_denied (may be NULL): some directory could not be read. */
int state_find(struct arena *a, const struct strings *roots, const char *name, pid_t *ret_pid,
               bool *ret_denied, struct err *e);

/* containers.json files of containers/storage that exist, the graph root of bundle (may be NULL)
 * first. */
struct strings storage_indexes(struct arena *a, const char *bundle);
/* What berth's engine keeps of a container beside its config.json; false where another's. */
bool state_record(struct arena *a, const char *bundle, struct json *ret);
/* A JSON file from a place that others may write; false if absent, too large or malformed. */
bool state_json(struct arena *a, const char *path, struct json *ret);
