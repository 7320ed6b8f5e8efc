/* The commands on manifest lists. */
#pragma once

#include "cli/opt.h"

extern const struct command cmd_manifest_create, cmd_manifest_add, cmd_manifest_annotate,
        cmd_manifest_remove, cmd_manifest_rm, cmd_manifest_exists, cmd_manifest_inspect,
        cmd_manifest_push;
