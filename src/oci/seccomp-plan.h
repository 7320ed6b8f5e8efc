/* struct seccomp_plan: linux.seccomp of a config.json as a BPF program (config-linux.md,
 * "Seccomp").
 *
 * Pure: it makes no system calls, and a process that only prints or checks a plan can call it. */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "oci/seccomp-names.h"
#include "oci/spec.h"

struct seccomp_plan {
        struct sock_filter *code; /* in the arena; for seccomp_install() */
        unsigned n;
        unsigned flags; /* SECCOMP_FILTER_FLAG_*, without NEW_LISTENER */
        bool notify;    /* some action is SCMP_ACT_NOTIFY: a listener is wanted */
        struct strings
                unknown; /* syscall names that are not known and were skipped: for the debug log */
};

/* Compiles the profile. Invalid values are errors that name the field ("linux.seccomp.syscalls[3].
 * action: ..."). An unknown syscall name is skipped. Where the default action denies, a syscall
 * with a number above the highest one that the profile names for that architecture fails with
 * ENOSYS instead: the C library then falls back to an older one, which it would not do for
 * EPERM. */
int seccomp_plan_make(struct arena *a, const struct spec_seccomp *s, struct seccomp_plan *ret,
                      struct err *e);
