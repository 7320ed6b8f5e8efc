/* The conversation between the runtime and the processes it clones, over one SOCK_SEQPACKET
 * pair.
 *
 * Which message may come when is sync_table's business (launch.c reads it): a process that says
 * anything else is not believed. A closed socket is an answer too: before SYNC_READY it means
 * that init died, after SYNC_GO that the exec succeeded, for the descriptor is close-on-exec. */
#pragma once

#include <stdint.h>

#include "base/err.h"

enum sync_kind {
        SYNC_PID,     /* joiner: init is .value */
        SYNC_UP,      /* init: in my namespaces; adopt me */
        SYNC_MOUNTED, /* init: my mounts are made; run the runtime's hooks */
        SYNC_NOTIFY,  /* init: seccomp's notification descriptor is my .value */
        SYNC_READY,   /* init: nothing left to do but the start */
        SYNC_ERROR,   /* either: .err says what failed; I am gone */
        SYNC_GO,      /* runtime: go on */
        SYNC_MAX
};
extern const char *const sync_names[SYNC_MAX];

struct sync_msg {
        uint32_t kind;
        int32_t value;
        struct err err; /* sent with SYNC_ERROR only */
};

/* 0 or -errno. */
int sync_pair(int ret_fds[2]);
int sync_send(int fd, enum sync_kind kind, int32_t value);
int sync_send_err(int fd, const struct err *e);
/* 1: a message; 0: the other side is gone; -errno. -EBADMSG for one that is none. */
int sync_recv(int fd, struct sync_msg *ret);
/* Waits for SYNC_GO; 0, or -ECONNRESET where the runtime died. */
int sync_wait_go(int fd);

/* Whether kind may follow prev (SYNC_MAX: nothing yet). */
int sync_allowed(enum sync_kind prev, enum sync_kind kind);
