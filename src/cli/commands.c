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

const char *const log_level_choices[] = { "warn",  "debug", "trace", "info", "warning",
                                          "error", "fatal", "panic", NULL };

#define NO_DAEMON "there is no daemon: berth works on this machine"
#define OWN_RUNTIME "the OCI runtime is part of berth"
#define OWN_STORAGE "--root names the store; the layers are berth's own"
static const struct opt globals[] = {
        STR(struct globals, root, 0, "root", "DIR",
            "Keep images and containers in DIR instead of /var/lib/berth",
            .complete = COMPLETE_DIR),
        STR(struct globals, runroot, 0, "runroot", "DIR",
            "Keep what need not outlive a reboot in DIR instead of /run/berth",
            .complete = COMPLETE_DIR),
        ENUM(struct globals, cgroup_manager, 0, "cgroup-manager", "MANAGER", cgroup_manager_names,
             "Who makes cgroups: systemd, cgroupfs, or auto: systemd where it is init with cgroup "
             "v2 alone, else cgroupfs"),
        FLAG(struct globals, debug, 'D', "debug", "Log what is done to standard error"),
        ENUM(struct globals, log_level, 'l', "log-level", "LEVEL", log_level_choices,
             "debug and trace are --debug; what else docker and podman take changes nothing"),
        REFUSED('H', "host", NO_DAEMON),
        REFUSED('c', "context", NO_DAEMON),
        REFUSED(0, "connection", NO_DAEMON),
        REFUSED(0, "identity", NO_DAEMON),
        REFUSED('r', "remote", NO_DAEMON),
        REFUSED(0, "ssh", NO_DAEMON),
        REFUSED(0, "tls", NO_DAEMON),
        REFUSED(0, "tlscacert", NO_DAEMON),
        REFUSED(0, "tlscert", NO_DAEMON),
        REFUSED(0, "tlskey", NO_DAEMON),
        REFUSED(0, "tlsverify", NO_DAEMON),
        REFUSED(0, "url", NO_DAEMON),
        REFUSED(0, "config", "DOCKER_CONFIG or REGISTRY_AUTH_FILE name where credentials are"),
        REFUSED(0, "conmon", "the monitor is part of berth"),
        REFUSED(0, "events-backend", "events are in the store's journal"),
        REFUSED(0, "hooks-dir", "hooks of files are not run"),
        REFUSED(0, "imagestore", OWN_STORAGE),
        REFUSED(0, "module", "there is no containers.conf"),
        REFUSED(0, "namespace", "a store of its own is --root"),
        REFUSED(0, "network-cmd-path", "networks are not built yet"),
        REFUSED(0, "network-config-dir", "networks are not built yet"),
        REFUSED(0, "noout", "redirect standard output to /dev/null"),
        REFUSED(0, "runtime", OWN_RUNTIME),
        REFUSED(0, "runtime-flag", OWN_RUNTIME),
        REFUSED(0, "storage-driver", OWN_STORAGE),
        REFUSED(0, "storage-opt", OWN_STORAGE),
        REFUSED(0, "syslog", "redirect standard error to logger(1)"),
        REFUSED(0, "tmpdir", "--runroot names it"),
        REFUSED(0, "transient-store", "--root may name a tmpfs"),
        REFUSED(0, "volumepath", "volumes are in the store: --root names it"),
        {}
};

static const struct command *const commands[] = {
        &cmd_attach,
        &cmd_commit,
        &cmd_container_cleanup,
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

/* What users of docker and podman type, and what there is instead. */
#define BUILD                                                                                      \
        "images are not built here yet: build with buildah or docker, then `berth load` or `pull`"
#define NETWORK "networks are not built yet: --network takes none, host and container:NAME"
#define POD "pods are not built yet: share with --network, --ipc and --pid container:NAME"
#define CLUSTER "there is no cluster, containers are this host's"
#define MOUNT "use `berth cp` or `berth export`; `berth image mount` mounts an image"
#define SIGN "signatures are not made here: sign with cosign or skopeo"
static const struct refusal refused[] = {
        { "artifact", "`berth pull` and `push` take artifacts too" },
        { "auto-update", "pull, and create the container anew" },
        { "build", BUILD },
        { "builder", BUILD },
        { "buildx", BUILD },
        { "image build", BUILD },
        { "checkpoint", "not built for these containers yet: berth-oci checkpoint has it" },
        { "container checkpoint", "not built yet: berth-oci checkpoint has it" },
        { "container restore", "not built yet: berth-oci restore has it" },
        { "compose", "there is no compose: `berth run` each service, with --restart where it "
                     "has to last" },
        { "config", CLUSTER },
        { "container clone", "`berth commit` it, and run the image" },
        { "container init", "`berth start` does it" },
        { "container mount", MOUNT },
        { "container umount", MOUNT },
        { "container unmount", MOUNT },
        { "container runlabel", "an image's labels are not run: `berth inspect` shows them" },
        { "context", "there is no daemon to choose: --root names another store" },
        { "extension", "there are no extensions" },
        { "farm", BUILD },
        { "generate kube", POD },
        { "generate spec", "`berth inspect` shows what a container was made with" },
        { "image scp", "`berth save IMAGE | ssh HOST berth load`" },
        { "image search", "registries have no common search: name the image" },
        { "image sign", SIGN },
        { "image trust", SIGN },
        { "init", "`berth start` does it" },
        { "kube", POD },
        { "machine", "there is no virtual machine: containers are this host's" },
        { "mount", MOUNT },
        { "network", NETWORK },
        { "node", CLUSTER },
        { "play", POD },
        { "plugin", "there are no plugins" },
        { "pod", POD },
        { "sbom", "images are not analysed: `berth image mount` shows their files to who does" },
        { "scan", "images are not analysed: `berth image mount` shows their files to who does" },
        { "scout", "images are not analysed: `berth image mount` shows their files to who does" },
        { "search", "registries have no common search: name the image" },
        { "service", CLUSTER },
        { "stack", CLUSTER },
        { "swarm", CLUSTER },
        { "system connection", "there is no daemon to choose: --root names another store" },
        { "system dial-stdio", "there is no daemon" },
        { "system migrate", "there is nothing to migrate" },
        { "system renumber", "there are no numbered locks" },
        { "system reset", "use `berth rm -fa`, `berth rmi -fa` and `berth volume rm -a`" },
        { "system service", "there is no daemon and no socket" },
        { "trust", SIGN },
        { "umount", MOUNT },
        { "unmount", MOUNT },
        { "unshare", "use unshare(1) or nsenter(1)" },
        { "volume export", "`berth run --rm -v NAME:/v IMAGE tar -C /v -c .` writes it" },
        { "volume import", "`berth run --rm -i -v NAME:/v IMAGE tar -C /v -x` reads it" },
        { "volume mount", "`berth volume inspect` tells its directory" },
        { "volume unmount", "`berth volume inspect` tells its directory" },
        { "volume reload", "there are no volume plugins" },
        { "volume update", CLUSTER },
        {}
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
        .refused = refused,
        .list_images = "images --names",
        .list_ids = "ps -a --list-names",
};
