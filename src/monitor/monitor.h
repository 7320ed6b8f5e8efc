/* berth-monitor: the supervisor of one container.
 *
 * It is the parent (by PR_SET_CHILD_SUBREAPER) of init and of whatever its death leaves behind;
 * holds its standard streams, writes its log, answers on its control socket, checks its health,
 * restarts it, and writes the evidence of each exit. One thread, one poll loop; nothing is
 * allocated while the container runs. It does not need whoever started it, nor any other program
 * of ours; when it dies itself, its state says so (state.h), and the container goes on until
 * somebody removes it.
 *
 *      STARTING ──> RUNNING ──exit──> DRAINING ──> WAITING ──> STARTING ...
 *          └──────────────────────────────┴────────────┴─────> DONE
 *
 * Invariants, cited as M1.. where they are kept:
 * M1 Evidence is read before the cgroup is removed: exit seen, counters, reaped, record on disk,
 * removed. M2 state.json never says less than is true: it says `running` only after init runs,
 * `exited` only after the evidence
 *    is on disk.
 * M3 Every exit is told to all who wait for it, and each event is in the journal, before the next
 * life begins. M4 Time is the monotonic clock's: a jump of the wall clock changes no timeout. */
#pragma once

/* Descriptors of a monitor. It is started with the first; the others come over that (begin.h).
 * 0-2 are /dev/null. */
enum monitor_fd {
        MONITOR_FD_STARTED = 3, /* socket: struct wire_order comes, struct wire_started goes */
        MONITOR_FD_BUNDLE,      /* the container's directory; the lock on it until it runs */
        MONITOR_FD_RUN,         /* its run directory */
        MONITOR_FD_JOURNAL,     /* the directory of the journal of events */
        MONITOR_FD_ROOT,        /* a detached mount for rootfs/; may be closed */
        MONITOR_FD_ATTACH,      /* a client's socket, its WIRE_ATTACH sent; may be closed */
        MONITOR_FD_STDIN, /* and the next two: the container's streams where nobody comes between
                                   (LOG_DRIVER_PASSTHROUGH); else closed */
        MONITOR_FD_STDOUT,
        MONITOR_FD_STDERR,
        MONITOR_FD_END
};

/* Runs to the end of the last life. Returns the exit status of the program. */
int monitor_run(const char *program);
