/* The commands about containers. */
#pragma once

#include "cli/berth.h"
#include "engine/ctr.h"

/* ctr-life.c */
extern const struct command cmd_start, cmd_stop, cmd_restart, cmd_kill, cmd_pause, cmd_unpause,
        cmd_rm, cmd_wait, cmd_rename;
/* ctr-changes.c */
extern const struct command cmd_commit, cmd_cp, cmd_diff, cmd_export;
/* inspect.c */
extern const struct command cmd_inspect, cmd_container_inspect;
/* ctr-small.c */
extern const struct command cmd_port, cmd_healthcheck_run, cmd_container_cleanup,
        cmd_container_exists, cmd_container_prune;
/* events.c, stats.c, top.c, update.c, generate.c */
extern const struct command cmd_events, cmd_stats, cmd_top, cmd_update, cmd_generate_systemd;
/* ps.c, logs.c, attach.c, exec.c */
extern const struct command cmd_ps, cmd_logs, cmd_attach, cmd_exec;

/* Removes the containers that do not run and pass the filters; their ids go to out, a line each,
 * what they had written is added to *ret_bytes. The exit status: what fails is logged. */
int containers_prune(struct ctx *c, struct engine *g, const struct strings *filters,
                     struct buf *out, uint64_t *ret_bytes, struct err *e);
