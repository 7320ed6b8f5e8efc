/* struct container: a container's state directory, <root>/<id>/, and what it says.
 *
 *   making       what is about to be made and where, so that delete --force can undo it whenever
 *                the runtime dies
 *   state.json   the same with init's pid, once init is ready: then it counts
 *   config.json  the configuration as it was at create
 *   start        FIFO on which init waits; there until start: what tells created from running
 *   result       FIFO through which init reports why an exec failed
 *   notify/      the sd_notify socket, where asked for
 *
 * Invariants, cited as C1.. where they are kept:
 * C1 The directory exists before anything else that belongs to the container, and goes last.
 * C2 What these files name may not exist yet; what exists is named there.
 * C3 A pid counts only with its start time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"
#include "codec/json.h"
#include "kernel/cgroup.h"
#include "oci/spec.h"

enum status {
        STATUS_CREATING,
        STATUS_CREATED,
        STATUS_RUNNING,
        STATUS_PAUSED,
        STATUS_STOPPED,
        STATUS_MAX
};
extern const char *const status_names[STATUS_MAX];

struct container {
        const char *id, *bundle, *rootfs, *oci_version;
        const char *created; /* RFC 3339, UTC */
        const char *owner;   /* a user's name or number */
        pid_t pid;           /* of init, in the runtime's pid namespace; 0 while creating */
        uint64_t pid_start;  /* C3 */
        const char *cgroups; /* cgroup_encode()'s text; NULL: none */
        const char *scope;   /* the systemd driver's cgroupsPath, or NULL: cgroupfs */
        bool scope_user;     /* ... on the user's bus */
        const char *rdt;     /* closID, or NULL */
        bool rdt_made, rdt_monitor;
        const char *notify_socket; /* the host's, or NULL */
        const char *stdio[3];      /* what descriptors 0-2 were at first: "pipe:[123]"; or NULL */
        bool time_ns;              /* restored into a time namespace that its configuration lacks */
        bool poststop;             /* it has hooks that run when it is gone */
        int dir;                   /* the state directory, or -1 */
        int lock;                  /* held by whoever changes the container, or -1 */
};

/* Whether text can be an id: letters, digits, "+-_.", at most 1024 bytes, not "." or "..". */
bool container_id_ok(const char *id);

/* Makes the state directory (C1) and takes its lock. ERR_EXISTS where it is there. */
int container_make(const char *root, const char *id, struct container *ret, struct err *e);
/* Opens and reads it. ERR_NOT_FOUND says 'container "x" does not exist'. Strings live in a. */
int container_open(struct arena *a, const char *root, const char *id, struct container *ret,
                   struct err *e);
/* The same under its lock, for which it waits timeout_ms at most; ERR_STATE: somebody has it. */
int container_open_locked(struct arena *a, const char *root, const char *id, int timeout_ms,
                          struct container *ret, struct err *e);
/* Waits for the lock, timeout_ms at most. */
int container_lock(struct container *c, int timeout_ms, struct err *e);
/* Writes `making` while there is no pid, then state.json. Two names instead of one replaced:
 * ext4 flushes a file that is renamed over another (auto_da_alloc), which costs more than all
 * else here. */
int container_save(const struct container *c, struct err *e);
/* Removes the directory and what is in it; nothing there is fine. */
int container_remove(const char *root, struct container *c, struct err *e);
void container_done(struct container *c);
static inline void container_done_p(struct container *c)
{
        container_done(c);
}
#define AUTO_CONTAINER __attribute__((cleanup(container_done_p))) struct container
#define CONTAINER_INIT                                                                             \
        {                                                                                          \
                .dir = -1, .lock = -1                                                              \
        }

enum status container_status(const struct container *c);
/* The saved configuration, parsed. */
int container_spec(struct arena *a, const struct container *c, struct spec *ret, struct err *e);
/* Reads the record again that another process of ours has written meanwhile. */
int container_reload(struct arena *a, struct container *c, struct err *e);
/* Its cgroup: *ret->n is 0 where it has none. */
int container_cgroup(struct arena *a, const struct container *c, struct cgroup *ret, struct err *e);

/* The state of runtime.md "State": what `state` prints and hooks read. annotations may be NULL. */
void container_state_json(const struct container *c, enum status status,
                          const struct key_values *annotations, unsigned indent, struct buf *out);

/* The ids below root, sorted; in a. A root that isn't there has none. */
int container_list(struct arena *a, const char *root, struct strings *ret, struct err *e);
