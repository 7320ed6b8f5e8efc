/* berth volume ... */
#pragma once

#include "cli/opt.h"

extern const struct command cmd_volume_create, cmd_volume_exists, cmd_volume_inspect, cmd_volume_ls,
        cmd_volume_prune, cmd_volume_rm;
