/* berth secret ... */
#pragma once

#include "cli/opt.h"

extern const struct command cmd_secret_create, cmd_secret_exists, cmd_secret_inspect, cmd_secret_ls,
        cmd_secret_rm;
