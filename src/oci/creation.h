/* struct creation: one create, run or restore, from the configuration to a container that is there.
 * create.c launches an init; restore.c lets CRIU make one. */
#pragma once

#include "base/err.h"
#include "oci/launch.h"
#include "oci/plan.h"
#include "oci/runtime.h"

struct creation {
        const struct runtime *rt;
        const struct create_options *o;
        struct arena arena;
        char *config; /* text of config.json */
        size_t config_len;
        struct spec spec;
        struct cgroup_layout cgroups;
        struct plan plan;
        struct container container;
        struct launch launch;
        const char *bundle;
};

void creation_init(struct creation *c, const struct runtime *rt, const struct create_options *o);
void creation_done(struct creation *c);

/* Reads the configuration, checks that it and the options agree about a terminal, and plans:
 * nothing is made yet. */
int creation_load(struct creation *c, bool detached, struct err *e);
/* Where the terminal's master is to be sent: launch.console_sock; where it is for ourselves,
 * *ret_master_sock receives it. */
int creation_open_console(struct creation *c, int *ret_master_sock, struct err *e);
/* Fills the container, which container_make() has made, and saves it with its configuration. */
int creation_record(struct creation *c, enum launch_mode mode, struct err *e);
/* What the caller wants to know of the process: the pid file, the pidfd. */
int creation_announce(struct creation *c, struct err *e);
/* Undoes all of it; the error that caused it is what the caller gets to see. */
void creation_undo(struct creation *c);
