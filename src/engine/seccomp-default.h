/* The system calls of a container: our own table, or a profile in docker's and podman's format. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "codec/json.h"

/* Calls that belong together, and who gets them. */
struct seccomp_group {
        int cap;           /* the capability that opens them, a number of capabilities(7); or -1 */
        const char *why;   /* what they are, and why they are where they are */
        const char *names; /* separated by blanks */
};
/* All that is allowed without conditions; ended by {}. What no row names is refused with EPERM, or
 * ENOSYS where the kernel's own table was shorter when this was written (oci/seccomp-plan.h). */
extern const struct seccomp_group seccomp_groups[];

/* The member "seccomp" from the table above, for a process that can have caps at most (bit n:
 * capability n). */
void seccomp_default_write(uint64_t caps, struct json_writer *w);
/* The same from a file: config.json's "seccomp", or a profile with includes and excludes by
 * capability and architecture, which are decided here. */
int seccomp_profile_write(const char *path, uint64_t caps, struct json_writer *w, struct err *e);
