/* struct err: what failed, why, and what to do next, as one flat value owned by the caller.
 *
 * Layers 0 and 1 return -errno. From layer 2 up, functions return 0 or -1 and fill a struct err:
 * err_sys()/err_set() at the origin, err_in() at each noun on the way up. The value holds no
 * pointers, so it survives clone() and one write() of it to a pipe is atomic (<= PIPE_BUF). */
#pragma once

#include <stdbool.h>

#include "base/macro.h"

enum err_code {
        ERR_NONE,
        ERR_INVALID,     /* bad input: configuration, option, reference */
        ERR_NOT_FOUND,   /* the named thing does not exist */
        ERR_EXISTS,      /* the name is taken */
        ERR_STATE,       /* wrong state for the operation: not running, not empty, frozen */
        ERR_DENIED,      /* permission or missing capability */
        ERR_UNSUPPORTED, /* this kernel or this build can't */
        ERR_LIMIT,       /* a limit was hit: size, count, memory, time */
        ERR_UNAVAILABLE, /* a peer does not answer: bus, registry, agent */
        ERR_SYSTEM,      /* any other failed system call */
        ERR_INTERNAL,    /* a bug in berth */
        ERR_MAX
};

struct err {
        enum err_code code;
        int sys;         /* errno of the failed call, or 0 */
        char chain[480]; /* root cause first in time; printed outermost noun first */
        char hint[160];  /* a whole sentence with one command or setting to try, or empty */
};

/* All return -1, so that `return err_...` reads as it acts. A NULL e is allowed: only the return
 * value tells then. The text follows git's manner: lower case, no period, the noun quoted. */

/* Something is wrong that is not a failed system call. Replaces what e held. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* A system call failed; sys is a positive errno (a negative one is taken by magnitude), from which
 * the code follows and whose text is appended. */
int err_sys(struct err *e, int sys, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Names the next noun outward: "<this>: <what e said>". Overflow drops this frame, not the
 * cause. */
int err_in(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Sets the hint unless one nearer to the cause did. */
int err_hint(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

void err_clear(struct err *e);
/* The code that a given errno maps to. */
enum err_code err_code_of(int sys);
/* "not found", ...: the stable name used in logs and JSON. */
const char *err_code_name(enum err_code code);
