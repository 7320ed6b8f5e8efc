/* A container from command-line wishes: `berth run`'s options and an image's configuration turned
 * into a config.json, its root file system made, and oci/runtime.h called.
 *
 * Three roots: an image from the store (pulled where missing), this machine's own (`host`), or a
 * directory. An image's layers lie below an overlay whose upper directory is in the container's
 * directory in the store (engine/workspace.h); the host's root is below one whose upper directory
 * is a tmpfs. Both are mounted in a mount namespace of this process alone, so the host never sees
 * them, and they are gone with the last process of the container, whatever happens to us.
 *
 * It is a table of steps, done in order and undone in reverse (sandbox.c); `--plan` prints the
 * same table without doing anything. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/value.h"
#include "engine/limits.h"
#include "engine/namespaces.h"
#include "engine/userns.h"
#include "image/fetch.h"
#include "image/pull.h"

/* What the network namespace is; the same is in ns[KIND_NETWORK], with whose it is. */
enum sandbox_network { NETWORK_NONE, NETWORK_HOST, NETWORK_CONTAINER, NETWORK_MAX };

/* Whether what systemd needs as init is prepared; auto: where the command is it. */
enum systemd_mode { SYSTEMD_AUTO, SYSTEMD_ALWAYS, SYSTEMD_NEVER, SYSTEMD_MODE_MAX };
extern const char *const systemd_mode_names[SYSTEMD_MODE_MAX + 1]; /* "true", "always", "false" */

/* What becomes of the volumes that an image declares. */
enum image_volume { IMAGE_VOLUME_BIND, IMAGE_VOLUME_TMPFS, IMAGE_VOLUME_IGNORE, IMAGE_VOLUME_MAX };
extern const char *const image_volume_names[IMAGE_VOLUME_MAX + 1];

struct sandbox {
        const char *image;      /* a reference; NULL: one of the other two */
        const char *rootfs;     /* a directory; NULL, without an image: the host's own root */
        struct strings args;    /* none: the image's, or a shell */
        const char *entrypoint; /* NULL: the image's; "": none; else a program or a JSON array */
        const char *name, *hostname, *workdir, *user;
        struct strings env, env_files, group_add;
        struct strings volumes, tmpfs, cap_add, cap_drop;
        int64_t memory;     /* bytes; 0: no limit */
        int64_t cpus_milli; /* thousandths of a CPU; 0: no limit */
        int64_t pids_limit; /* -1: no limit */
        bool interactive, tty, read_only;
        enum sandbox_network network;
        struct limits limits; /* the rest of them */
        struct ns_choice ns[KIND_MAX];
        struct userns userns;

        bool privileged, init, env_host, unset_all, no_hosts;
        bool read_only_tmpfs; /* with read_only: /run, /tmp and /var/tmp are tmpfs */
        bool http_proxy;      /* our variables of proxies are passed on */
        bool passwd;          /* a user whom the image doesn't know gets a line in /etc/passwd */
        const char *passwd_entry, *group_entry; /* that line; or NULL */
        struct strings host_users;              /* further lines, of the host's users */
        struct strings env_merge, chrootdirs;
        const char *init_path; /* instead of ours; or NULL */
        enum systemd_mode systemd;
        struct strings security;              /* --security-opt */
        struct strings devices, device_rules; /* as given; devices.h */
        struct strings unset_env, annotations;
        struct strings dns, dns_search, dns_options, add_hosts;
        const char *domainname, *tz, *umask, *cgroup_parent, *personality; /* or NULL */

        struct strings mounts;       /* --mount, as they are written */
        struct strings volumes_from; /* "CONTAINER[:OPTIONS]" */
        enum image_volume image_volume;
        struct strings secrets; /* --secret, likewise */

        struct pull_options pull;      /* with its policy and platform */
        bool platform_given;           /* pull.platform was asked for */
        const struct watcher *watcher; /* of a pull; NULL: nobody */
};

/* Where things are kept: as `berth --root --runroot` say. */
struct sandbox_places {
        const char *store; /* NULL: the store's default */
        const char *run;   /* "/run/berth" */
        const char *oci;   /* state of the OCI runtime below */
        bool systemd;      /* it manages the cgroups (placement.h) */
        const struct log *log;
};

/* Runs it to its end. *ret_status: the container's exit status; with plan prints what would be
 * done to *plan instead. Needs root. */
int sandbox_run(const struct sandbox *s, const struct sandbox_places *p, struct buf *plan,
                int *ret_status, struct err *e);

/* Removes what was left by runs that were killed: containers, their cgroups and directories, in the
 * store and in the run directory. How many that were; what could not be removed is logged. */
unsigned sandbox_sweep(const struct sandbox_places *p, struct store *store);
