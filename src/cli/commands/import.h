/* berth import. */
#pragma once

#include "cli/opt.h"

extern const struct command cmd_import;
