/* A container from command-line wishes: `berth run`'s options turned into a config.json, its
 * root file system made, and oci/runtime.h called.
 *
 * The root of `host` is this machine's own root file system below an overlay whose upper
 * directory is a tmpfs. It is mounted in a mount namespace of this process alone, so the host
 * never sees it, and it is gone with the last process of the container, whatever happens to us. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/value.h"

enum sandbox_network { NETWORK_NONE, NETWORK_HOST, NETWORK_MAX };

struct sandbox {
        const char *rootfs;  /* a directory; NULL: the host's own */
        struct strings args; /* none: the user's shell */
        const char *name, *hostname, *workdir, *user;
        struct strings env, volumes, cap_add, cap_drop;
        int64_t memory;     /* bytes; 0: no limit */
        int64_t cpus_milli; /* thousandths of a CPU; 0: no limit */
        int64_t pids_limit; /* -1: no limit */
        bool interactive, tty, read_only;
        enum sandbox_network network;
};

/* What the process has unless --cap-add or --cap-drop change it; ended by NULL. */
extern const char *const sandbox_caps[];
/* System calls that no sandbox needs and attackers like; ended by NULL. */
extern const char *const sandbox_denied_syscalls[];

/* Writes the config.json (pure, but for looking up a user's name in the root's /etc/passwd).
 * root is the bundle's root.path. */
int sandbox_config(const struct sandbox *s, const char *root, struct buf *out, struct err *e);

/* Runs it to its end. *ret_status: the container's exit status; with plan prints what would be
 * done to *plan instead. Needs root. */
int sandbox_run(const struct sandbox *s, const char *state_root, const struct log *log,
                struct buf *plan, int *ret_status, struct err *e);
