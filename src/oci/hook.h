/* Hooks (config.md "POSIX-platform Hooks"): programs run at points of a container's life, the state
 * JSON on their standard input. */
#pragma once

#include "base/err.h"
#include "oci/spec.h"

/* Runs one hook to its end, in the calling process's namespaces, with cwd (NULL: where we are)
 * as its working directory, and env where the hook's own is absent (runc's way). Fails where it
 * can't be started, exits nonzero, dies of a signal, or takes longer than its timeout: it is
 * killed then. What it wrote to standard error goes into the error. */
int hook_run(enum spec_hook_kind kind, const struct spec_hook *h, const char *state,
             const char *cwd, char **env, struct err *e);
