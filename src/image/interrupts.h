/* struct interrupts: the signals that end a command, taken where its loop can put things in order
 * first (signalfd(2)). */
#pragma once

#include <signal.h>

#include "base/err.h"

struct interrupts {
        int fd; /* poll it for POLLIN, then interrupts_check() */
        sigset_t before;
};
/* Blocks SIGINT, SIGTERM and SIGHUP until interrupts_release(). */
int interrupts_catch(struct interrupts *ret, struct err *e);
void interrupts_release(struct interrupts *i);
/* -1 once a signal has come: e says which, with .sys EINTR. Doesn't block; tells each signal
 * once. */
int interrupts_check(const struct interrupts *i, struct err *e);
