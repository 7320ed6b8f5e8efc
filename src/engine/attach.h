/* Attaching this process's terminal or pipes to a container, through its monitor
 * (monitor/wire.h). */
#pragma once

#include <signal.h>
#include <stdbool.h>

#include "base/err.h"

struct attach {
        bool in, out, err;       /* which streams */
        bool primary;            /* the container waits for us, as for a pipe's reader */
        bool tty;                /* the container has a terminal: ours becomes raw */
        bool forward_signals;    /* --sig-proxy: what would end us goes to the container instead */
        bool notify;             /* tell $NOTIFY_SOCKET once it is ready; we are the main process */
        const char *detach_keys; /* "ctrl-p,ctrl-q"; "": none; NULL: that */
};
enum attach_end {
        ATTACH_EXITED,   /* *ret_status has the container's exit status */
        ATTACH_LAST,     /* the same, and the monitor keeps the connection (wire.h) */
        ATTACH_DETACHED, /* by the detach keys, or our terminal went away */
        ATTACH_LOST,     /* the monitor died */
        ATTACH_END_MAX
};

/* Whether the detach keys are some: to be asked before anything is started. 0, or -1 with e. */
int attach_check(const struct attach *a, struct err *e);
/* A connection that receives output from now on: made before the container starts, nothing is
 * missed. run: a descriptor of the run directory. A descriptor, or -1 with e. */
int attach_open(int run, const struct attach *a, struct err *e);
/* The two halves of attach_open(), for a container whose monitor is yet to be started: sends the
 * request into sock; takes its answer. sock is closed where that is none. */
void attach_request(int sock, const struct attach *a);
int attach_accepted(int sock, struct err *e);
/* Adds to set the signals that attach_run() takes: block them before the container starts, so that
 * none is lost. a may be NULL: none. */
void attach_signals(const struct attach *a, sigset_t *set);
/* Copies until the end; restores the terminal. run: the container's run directory, for signals. */
int attach_run(int sock, const struct attach *a, int run, enum attach_end *ret_end, int *ret_status,
               struct err *e);
/* "ctrl-p,ctrl-q", "ctrl-\\", "a": the bytes. How many, or -EINVAL. */
#define DETACH_KEYS_MAX 16
int detach_keys_parse(const char *text, char ret[DETACH_KEYS_MAX]);
