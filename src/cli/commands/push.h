/* berth push. */
#pragma once

#include "cli/opt.h"

extern const struct command cmd_push;
