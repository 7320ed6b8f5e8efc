/* berth run. */
#pragma once

#include "cli/opt.h"

extern const struct command cmd_run, cmd_create;
