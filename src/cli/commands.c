/* The commands and global options of berth. A new command is a file in commands/ and a line
 * here. */
#include "cli/berth.h"
#include "cli/commands/ctr.h"
#include "cli/commands/image.h"
#include "cli/commands/import.h"
#include "cli/commands/load.h"
#include "cli/commands/login.h"
#include "cli/commands/look.h"
#include "cli/commands/manifest.h"
#include "cli/commands/pull.h"
#include "cli/commands/push.h"
#include "cli/commands/run.h"
#include "cli/commands/save.h"
#include "cli/commands/secret.h"
#include "cli/commands/system.h"
#include "cli/commands/volume.h"
#include "engine/placement.h"

static const struct opt globals[] = {
        STR(struct globals, root, 0, "root", "DIR",
            "Keep images and containers in DIR instead of /var/lib/berth",
            .complete = COMPLETE_DIR),
        STR(struct globals, runroot, 0, "runroot", "DIR",
            "Keep what need not outlive a reboot in DIR instead of /run/berth",
            .complete = COMPLETE_DIR),
        ENUM(struct globals, cgroup_manager, 0, "cgroup-manager", "MANAGER", cgroup_manager_names,
             "Who makes cgroups: systemd, cgroupfs, or auto, which is systemd where that is init"),
        FLAG(struct globals, debug, 0, "debug", "Log what is done to standard error"),
        {}
};

static const struct command *const commands[] = {
        &cmd_attach,
        &cmd_commit,
        &cmd_container_exists,
        &cmd_container_inspect,
        &cmd_container_prune,
        &cmd_cp,
        &cmd_create,
        &cmd_diff,
        &cmd_events,
        &cmd_exec,
        &cmd_export,
        &cmd_generate_systemd,
        &cmd_healthcheck_run,
        &cmd_history,
        &cmd_image_diff,
        &cmd_image_exists,
        &cmd_image_inspect,
        &cmd_image_mount,
        &cmd_image_prune,
        &cmd_image_tree,
        &cmd_image_unmount,
        &cmd_images,
        &cmd_import,
        &cmd_info,
        &cmd_inspect,
        &cmd_kill,
        &cmd_load,
        &cmd_login,
        &cmd_logout,
        &cmd_logs,
        &cmd_look,
        &cmd_manifest_add,
        &cmd_manifest_annotate,
        &cmd_manifest_create,
        &cmd_manifest_exists,
        &cmd_manifest_inspect,
        &cmd_manifest_push,
        &cmd_manifest_remove,
        &cmd_manifest_rm,
        &cmd_pause,
        &cmd_port,
        &cmd_ps,
        &cmd_pull,
        &cmd_push,
        &cmd_rename,
        &cmd_restart,
        &cmd_rm,
        &cmd_rmi,
        &cmd_run,
        &cmd_save,
        &cmd_secret_create,
        &cmd_secret_exists,
        &cmd_secret_inspect,
        &cmd_secret_ls,
        &cmd_secret_rm,
        &cmd_start,
        &cmd_stats,
        &cmd_stop,
        &cmd_system_check,
        &cmd_system_df,
        &cmd_system_prune,
        &cmd_tag,
        &cmd_top,
        &cmd_unpause,
        &cmd_untag,
        &cmd_update,
        &cmd_version,
        &cmd_volume_create,
        &cmd_volume_exists,
        &cmd_volume_inspect,
        &cmd_volume_ls,
        &cmd_volume_prune,
        &cmd_volume_rm,
        &cmd_wait,
        NULL,
};

const struct program program = {
        .name = "berth",
        .help = "Run containers, and see what any process can see, consume and do",
        .about = "No daemon: each command does its work and exits. `berth run host` starts a "
                 "sandbox "
                 "without an image; `berth look PID` explains any process of this host.",
        .section = 1,
        .opts = globals,
        .commands = commands,
        .list_images = "images --names",
        .list_ids = "ps -a --list-names",
};
