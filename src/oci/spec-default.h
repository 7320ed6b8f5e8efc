/* The config.json that `berth-oci spec` writes: a shell with its own namespaces, the usual mounts,
 * few capabilities. The same in meaning as runc's, which scripts expect to edit. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"

struct spec_default_input {
        bool cgroup_namespace; /* where the unified hierarchy is all there is */
        bool rootless;         /* a user namespace that maps just this user, the host's network */
        uid_t uid;             /* for rootless */
        gid_t gid;
};

void spec_default_write(const struct spec_default_input *in, struct buf *out);
