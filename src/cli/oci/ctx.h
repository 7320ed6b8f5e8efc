/* The state of the program berth-oci: made by main, passed to every command. */
#pragma once

#include "base/log.h"
#include "base/mem.h"
#include "cli/opt.h"
#include "oci/runtime.h"

/* The options before the command. */
struct globals {
        const char *root;     /* NULL: the default */
        const char *log_file; /* NULL: none; errors go to standard error in any case */
        int log_format;       /* enum log_format */
        int log_level;        /* enum log_level */
        bool debug, systemd_cgroup;
        const char *rootless; /* "auto", "true", "false" */
        int cgroup_manager;   /* enum cgroup_manager */
};

enum cgroup_manager { MANAGER_CGROUPFS, MANAGER_SYSTEMD, MANAGER_DISABLED, MANAGER_MAX };

struct ctx {
        struct globals globals;
        struct arena arena;
        struct log log;
        struct runtime rt;
        char **argv; /* as main got it: exe_detach() may have to start over */
};

extern const struct program program;

extern const struct command oci_create, oci_run, oci_start, oci_exec, oci_kill, oci_delete,
        oci_state, oci_list, oci_ps, oci_pause, oci_resume, oci_update, oci_events, oci_spec,
        oci_features, oci_checkpoint, oci_restore;
