/* One process's facts, collected: what `berth look` shows and other commands build on. */
#pragma once

#include "base/err.h"
#include "base/value.h"
#include "diag/facts.h"

struct collect_options {
        unsigned sample_ms;          /* how long to watch counters; 0: no rates */
        const struct strings *roots; /* more state directories; may be NULL */
};

/* What names a process: its number, or a container's id, unique prefix of one, or name.
 * ERR_INVALID, ERR_NOT_FOUND (also not running), ERR_DENIED. */
int collect_resolve(struct arena *a, const char *what, const struct collect_options *o,
                    pid_t *ret_pid, struct err *e);
/* Fills *ret, in a. Fails only where there is no process to look at: everything else is in the
 * facts. Blocks for sample_ms. Changes nothing. */
int collect(struct arena *a, pid_t pid, const struct collect_options *o, struct facts *ret,
            struct err *e);
