/* berth login and logout. */
#pragma once

#include "cli/opt.h"

extern const struct command cmd_login, cmd_logout;
