/* The features document: features.md and features-linux.md of runtime-spec 1.3.0. Every list comes
 * from the table by which the same names are understood in a config.json. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

struct features_input {
        const char *version, *commit;          /* of berth; commit may be NULL */
        bool systemd, systemd_user;            /* whether the systemd cgroup driver is installed */
        bool checkpoint;                       /* whether checkpoint and restore are built in */
        const char *const *unsafe_annotations; /* ended by NULL: those that change what a
                                                * container may do; a final dot makes a prefix */
};

/* Appends the document and a newline. Asks the kernel which seccomp flags it has. */
void features_write(const struct features_input *in, struct buf *out);
