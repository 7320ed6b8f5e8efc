/* What a container's processes may do, decided from --cap-*, --privileged and --security-opt. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/value.h"
#include "codec/json.h"
#include "engine/sandbox.h"

struct security {
        uint64_t caps;  /* the bounding set; bit n: capability n */
        uint64_t added; /* those of it that --cap-add names: a user who isn't root has them */
        bool no_new_privs;
        bool no_seccomp;
        const char *seccomp;             /* a profile's file; NULL: our own */
        const char *apparmor;            /* a profile, or NULL */
        struct strings masked, readonly; /* paths */
};

/* All that is decided, in a. Unknown capabilities and options are errors. */
int security_take(struct arena *a, const struct sandbox *s, struct security *ret, struct err *e);
/* "capabilities" of "process". */
void security_write_caps(const struct security *c, bool root, struct json_writer *w);
/* "seccomp", "maskedPaths", "readonlyPaths" of "linux". */
int security_write(const struct security *c, struct json_writer *w, struct err *e);
