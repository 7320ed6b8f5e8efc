/* Devices of the host that a container gets: --device, --device-cgroup-rule, and what CDI files
 * (Container Device Interface) say of vendors' devices. */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/value.h"
#include "codec/json.h"
#include "engine/mounts.h"
#include "engine/sandbox.h"

struct device_row {
        const char *host;   /* where it was found */
        const char *path;   /* in the container */
        const char *access; /* of "rwm" */
        mode_t mode;        /* with its type */
        dev_t number;
        uid_t uid;
        gid_t gid;
};
struct cdi_hook {
        const char *name, *path; /* "createContainer" ... */
        struct strings args, env;
        int64_t timeout; /* seconds; 0: none */
};
struct devices {
        struct device_row *v;
        size_t n, cap;
        struct strings rules; /* "c 13:* rw" */
        struct strings env;   /* "NAME=VALUE" from CDI */
        struct cdi_hook *hooks;
        size_t n_hooks, cap_hooks;
        bool all; /* the rule that allows every device */
};

/* From s, in a; mounts that CDI devices bring are added to m. */
int devices_take(struct arena *a, const struct sandbox *s, struct devices *ret, struct mounts *m,
                 struct err *e);
/* Adds the device at host, as inside, with this access (checked by the caller). ERR_INVALID where
 * it is none. */
int devices_add(struct arena *a, struct devices *d, const char *host, const char *inside,
                const char *access, struct err *e);
/* "vendor.com/class=name" */
bool cdi_is_name(const char *text);
/* What the text of a CDI file says of it; false: nothing, or it can't be. Fuzzed. */
bool cdi_add_text(struct arena *a, const char *name, const char *text, size_t n, struct devices *d,
                  struct mounts *m, struct err *e);
/* What the CDI files of /etc/cdi and /var/run/cdi say of it. cdi.c */
int cdi_add(struct arena *a, const char *name, struct devices *d, struct mounts *m, struct err *e);

/* In a user namespace nobody makes a node: those of the host are bound. */
void devices_bind(struct arena *a, const struct devices *d, struct mounts *m);
/* "devices" of "linux"; "devices" of "resources"; "hooks". */
void devices_write(const struct devices *d, struct json_writer *w);
void devices_write_rules(const struct devices *d, struct json_writer *w);
void devices_write_hooks(const struct devices *d, struct json_writer *w);
