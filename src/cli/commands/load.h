/* berth load. */
#pragma once

#include "cli/opt.h"

extern const struct command cmd_load;
