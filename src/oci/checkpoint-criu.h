/* struct criu: a `criu swrk` process of our own, and the conversation with it.
 *
 * CRIU is found through PATH. It gets its requests over a socket that we make, which is how it
 * finds the descriptors that they name (in /proc/<our pid>/fd). It asks for nothing but, while
 * at work, for leave to go on at certain points: "notifications". What it has to say about
 * failures is in its log, of which the errors here quote the lines that matter. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/criu-rpc.h"
#include "kernel/cgroup.h"

/* The oldest that is used: it brought the single pre-dump; others of what we ask came with 3.14
 * (cgroup v2's freezer), 3.15 (external pid namespaces) and 3.16 (LSM profiles that work). */
#define CRIU_VERSION_MIN 31700

struct criu {
        const struct log *log;
        struct arena *arena;
        const char *doing; /* "checkpoint", "restore": for errors */
        int log_dir;       /* where CRIU writes log_name; borrowed; -1 before there is one */
        const char *log_dir_path, *log_name;

        int sock; /* the conversation */
        int sync; /* to the process before it executes criu (sync.h) */
        pid_t pid;
        int32_t version; /* 31701 is 3.17.1 */
};
#define CRIU_INIT                                                                                  \
        {                                                                                          \
                .log_dir = -1, .sock = -1, .sync = -1                                              \
        }

/* How the process is made. */
struct criu_child {
        const struct cgroup_join *join; /* the cgroup to be born in, or NULL */
        bool keep_stdio;                /* else it gets /dev/null */
        const int *fds;                 /* further descriptors to leave open, by the same numbers */
        size_t n_fds;
        /* Runs in the new process before the exec; talks over sync. NULL: nothing to do. */
        int (*prepare)(void *context, int sync, struct err *e);
        void *context;
};

/* Starts the process; it has not executed criu yet, and may wait for the caller in prepare. */
int criu_start(struct criu *c, const struct criu_child *child, struct err *e);
/* Sees that criu runs and is not too old. */
int criu_meet(struct criu *c, struct err *e);
/* Sees that this kernel has what is asked for; why names who needs it. */
int criu_need(struct criu *c, const struct criu_features *wanted, const char *why, struct err *e);

/* A notification; fd: a descriptor that came along, or -1: the callee may take it. A failure
 * makes CRIU give up, and is what criu_work() reports. */
typedef int criu_notify_fn(void *context, const struct criu_notify *n, int *fd, struct err *e);
/* Has it carry out a request, to its end. *ret lives in the arena. */
int criu_work(struct criu *c, int32_t type, struct criu_opts *opts, criu_notify_fn *notify,
              void *context, struct criu_response *ret, struct err *e);

/* Hangs up, and waits until criu has exited. */
void criu_done(struct criu *c);
