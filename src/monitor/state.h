/* state.json in the container's run directory: what the monitor says of its container, replaced
 * as a whole at each change. A reboot takes it along; what must last is in the exit records.
 *
 * It holds only while the monitor lives, so that `ps` tells the truth also of one that was killed.
 * The monitor has a lock on it (fcntl(2); children do not inherit it), which whoever reads it sees
 * for a hundredth of what its pid and start time cost; these decide where there is none. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum monitor_status {
        MONITOR_STARTING,
        MONITOR_RUNNING,
        MONITOR_STOPPING,   /* asked to, or its time is up */
        MONITOR_RESTARTING, /* waits for its next start */
        MONITOR_EXITED,
        MONITOR_STATUS_MAX
};
extern const char *const monitor_status_names[MONITOR_STATUS_MAX];

enum health_status { HEALTH_OFF, HEALTH_BEGINNING, HEALTH_GOOD, HEALTH_BAD, HEALTH_STATUS_MAX };
extern const char
        *const health_status_names[HEALTH_STATUS_MAX]; /* "", "starting", "healthy", ... */

struct monitor_state {
        enum monitor_status status;
        pid_t pid; /* of init, 0: none */
        uint64_t pid_start;
        pid_t monitor;
        uint64_t monitor_start;
        int64_t started_ns, finished_ns; /* since 1970; 0: not yet. started_ns is that of the life's
                                            exit record, once it runs */
        int exit_code;
        bool oom_killed;
        unsigned restarts;
        enum health_status health;
        unsigned health_failures; /* in a row */
        uint64_t log_lost;        /* bytes of output that could not be written */
        char error[256];          /* why it did not start */
};

/* run: a descriptor of the run directory. *held: the file with the lock, -1 at first; the caller's,
 * who never opens it otherwise. 0 or -errno. Allocates nothing. */
int monitor_state_save(int run, const struct monitor_state *s, int *held);
/* Its text; pure, and fuzzed. -EBADMSG. */
int monitor_state_read(const char *text, size_t n, struct monitor_state *ret);
/* 1: the monitor lives, and so this holds; 0: it is dead (also where pid 0), *ret is the last it
 * said; -ENOENT: none was there; -EBADMSG. */
int monitor_state_load(int dir, const char *path, struct monitor_state *ret);
