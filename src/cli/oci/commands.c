/* The commands and global options of berth-oci. */
#include "cli/oci/ctx.h"

static const char *const formats[] = { "text", "json", NULL };
static const char *const levels[] = { "debug", "info", "warning", "error", NULL };
static const char *const managers[] = { "cgroupfs", "systemd", "disabled", NULL };

static const struct opt globals[] = {
        STR(struct globals, root, 0, "root", "DIR",
            "Keep state in DIR; by default /run/berth-oci, or $XDG_RUNTIME_DIR/berth-oci for an "
            "unprivileged user",
            .complete = COMPLETE_DIR),
        STR(struct globals, log_file, 0, "log", "FILE",
            "Append log records to FILE; errors go to standard error as well",
            .complete = COMPLETE_FILE),
        ENUM(struct globals, log_format, 0, "log-format", "FORMAT", formats,
             "Write log records as text (the default) or json"),
        ENUM(struct globals, log_level, 0, "log-level", "LEVEL", levels,
             "Log what is at least this serious: debug, info, warning (the default), error"),
        FLAG(struct globals, debug, 0, "debug", "The same as --log-level debug"),
        FLAG(struct globals, systemd_cgroup, 0, "systemd-cgroup",
             "Let systemd make the cgroups; linux.cgroupsPath is then SLICE:PREFIX:NAME"),
        ENUM(struct globals, cgroup_manager, 0, "cgroup-manager", "MANAGER", managers,
             "Who makes the cgroups: cgroupfs (the default), systemd, or disabled for none"),
        STR(struct globals, rootless, 0, "rootless", "MODE",
            "Work without the host's root: auto (the default), true, false"),
        IGNORED_VALUE(0, "criu", "PATH", "Ignored: criu is found through PATH", .hidden = true),
        {}
};

static const struct command *const commands[] = {
        &oci_checkpoint, &oci_create, &oci_delete, &oci_events, &oci_exec,    &oci_features,
        &oci_kill,       &oci_list,   &oci_pause,  &oci_ps,     &oci_restore, &oci_resume,
        &oci_run,        &oci_spec,   &oci_start,  &oci_state,  &oci_update,  NULL,
};

const struct program program = {
        .name = "berth-oci",
        .help = "Run containers from OCI bundles",
        .about =
                "berth-oci is an OCI runtime: it creates a container from a bundle, a directory "
                "with a config.json and a root file system, and looks after it. It is made to be "
                "called by engines such as podman, containerd and docker; people are better served "
                "by berth.",
        .section = 8,
        .opts = globals,
        .commands = commands,
        .list_ids = "list --quiet",
};
