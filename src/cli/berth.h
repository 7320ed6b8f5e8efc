/* The state of the program berth: made by main, passed to every command. */
#pragma once

#include "base/log.h"
#include "base/mem.h"
#include "cli/opt.h"

struct globals {
        const char *root; /* where containers' state is; NULL: /run/berth/oci */
        bool debug;
};

struct ctx {
        struct globals globals;
        struct arena arena;
        struct log log;
        char **argv; /* as main got it: exe_detach() may have to start over */
};

extern const struct program program;
