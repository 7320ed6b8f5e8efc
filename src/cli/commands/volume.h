/* berth volume ... */
#pragma once

#include "cli/berth.h"
#include "engine/ctr.h"

extern const struct command cmd_volume_create, cmd_volume_exists, cmd_volume_inspect, cmd_volume_ls,
        cmd_volume_prune, cmd_volume_rm;

/* Removes the volumes that no container has and that pass the filters; their names go to out, a
 * line each, their sizes are added to *ret_bytes. The exit status: what fails is
 * logged. */
int volumes_prune(struct ctx *c, struct engine *g, const struct strings *filters, struct buf *out,
                  uint64_t *ret_bytes, struct err *e);
