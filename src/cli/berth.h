/* The state of the program berth: made by main, passed to every command. */
#pragma once

#include "base/log.h"
#include "base/mem.h"
#include "cli/opt.h"

struct globals {
        const char *root;    /* the store of images and containers; NULL: store_open()'s default */
        const char *runroot; /* what need not outlive a reboot; NULL: /run/berth */
        int cgroup_manager;  /* enum cgroup_manager */
        bool debug;
        int log_level; /* index of log_level_choices */
};

struct ctx {
        struct globals globals;
        struct arena arena;
        struct log log;
        char **argv; /* as main got it: exe_detach() may have to start over */
};

/* What need not outlive a reboot. */
static inline const char *ctx_runroot(const struct ctx *c)
{
        return c->globals.runroot ? c->globals.runroot : "/run/berth";
}

/* Where the OCI runtime beneath keeps containers' state. In c's arena. */
static inline const char *ctx_oci_root(struct ctx *c)
{
        return arena_printf(&c->arena, "%s/oci", ctx_runroot(c));
}

extern const struct program program;
/* What --log-level takes, docker's and podman's; the first: nothing was said. */
extern const char *const log_level_choices[];
