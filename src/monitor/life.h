/* One life of a container: from its start to the removal of what the runtime made for it.
 *
 * The runtime works in a child of the monitor (it lets go of its program's file, kernel/exe.h,
 * and may use as much memory as it likes); init outlives that child and becomes the monitor's
 * own, for the monitor is a subreaper. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"
#include "kernel/cgroup.h"
#include "monitor/config.h"
#include "monitor/streams.h"

/* A child that waits for its order in sock. */
struct life_spare {
        pid_t pid;
        int sock;  /* -1: there is none */
        bool told; /* what it is to start */
};
#define LIFE_SPARE_NONE                                                                            \
        {                                                                                          \
                .sock = -1                                                                         \
        }

struct life {
        struct life_spare spare; /* for the next life, where it is ready */
        pid_t pid;
        uint64_t pid_start;
        int pidfd;          /* -1: nothing runs */
        int notify;         /* its sd_notify socket, where it has one; or -1 */
        struct arena arena; /* of cgroup */
        struct cgroup cgroup;
        char cgroup_path[512]; /* as the kernel's log names it */
};

/* argv[1] of a program that goes on as the runtime's child: see life_child(). */
#define LIFE_CHILD "--start"

/* Forks the child ahead of its order: meanwhile it lets go of the program's file. It ends by itself
 * where no order comes. program: argv[0], executed again where the file can't be let go of. */
int life_ready(struct life_spare *c, const char *program, struct err *e);
/* Tells it what it is going to start, so that it can read and plan that meanwhile. */
void life_ahead(struct life_spare *c, const struct wire_ahead *w);
/* Descriptors for the container, from 3 on. */
struct life_fds {
        const int *v;
        size_t n;
};
/* Makes pipes or terminal, starts the container, waits until it runs (or has failed: then nothing
 * is left). The ends of its streams are put into s. program: as above. */
int life_start(struct life *l, const struct monitor_config *c, const struct life_fds *preserved,
               struct streams *s, const char *program, struct err *e);
/* The runtime's child, entered by fork, or again by main where argv[1] is LIFE_CHILD. Never
 * returns. */
_Noreturn void life_child(char **argv);
/* init has been reaped: removes cgroup and state directory. */
int life_end(struct life *l, const struct monitor_config *c, struct err *e);
/* The same of a container whose monitor died. */
int life_clean(const struct monitor_config *c, struct err *e);

/* Has a child start a command in the container, detached, its output into the pipe out, within
 * patience_ms. Its report comes over ret->sock: whoever is root inside may hold it up. */
int life_exec(const struct monitor_config *c, const struct strings *command, int out,
              int64_t patience_ms, const char *program, struct life_spare *ret, struct err *e);
/* Takes the report, where it has come: 1, *ret is the command's pid, the monitor's child; 0: not
 * yet; -1: it could not be started, or the child died. Closes the socket but for 0. */
int life_exec_report(struct life_spare *c, pid_t *ret, struct err *e);
