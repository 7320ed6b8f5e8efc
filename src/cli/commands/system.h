/* system df, system prune, system check. */
#pragma once

#include "cli/opt.h"

extern const struct command cmd_system_df, cmd_system_prune, cmd_system_check;
/* version.c */
extern const struct command cmd_version, cmd_info;
