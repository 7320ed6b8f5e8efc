/* checkpoint, restore. */
#include <sched.h>

#include "base/str.h"
#include "cli/oci/ctx.h"

static const char *const cgroup_modes[] = { "soft", "full", "strict", "ignore", NULL };
static const int32_t cgroup_values[] = { CRIU_CGROUPS_SOFT, CRIU_CGROUPS_FULL, CRIU_CGROUPS_STRICT,
                                         CRIU_CGROUPS_IGNORE };

/* What both have; T has a struct criu_opts .criu and a struct criu_args .more. */
struct criu_args {
        const char *image_path, *work_path;
        int cgroups;
        struct strings empty_ns;
};
#define CRIU_OPTS(T)                                                                               \
        STR(T, more.image_path, 0, "image-path", "DIR",                                            \
            "The directory of the images; by default \"checkpoint\" in the current one",           \
            .complete = COMPLETE_DIR),                                                             \
                STR(T, more.work_path, 0, "work-path", "DIR",                                      \
                    "The directory of CRIU's log and other files; by default that of the images",  \
                    .complete = COMPLETE_DIR),                                                     \
                FLAG(T, criu.tcp_established, 0, "tcp-established",                                \
                     "Keep established TCP connections"),                                          \
                FLAG(T, criu.ext_unix_sk, 0, "ext-unix-sk",                                        \
                     "Allow unix sockets that are connected to the outside"),                      \
                FLAG(T, criu.shell_job, 0, "shell-job",                                            \
                     "Allow processes that belong to a session of the outside"),                   \
                FLAG(T, criu.file_locks, 0, "file-locks", "Keep file locks"),                      \
                ENUM(T, more.cgroups, 0, "manage-cgroups-mode", "MODE", cgroup_modes,              \
                     "What becomes of the properties of cgroups: soft (the default: of those "     \
                     "that are missing), full, strict, ignore"),                                   \
                LIST(T, more.empty_ns, 0, "empty-ns", "NAMESPACE",                                 \
                     "Keep nothing of what is in this namespace; there is network, for which it "  \
                     "is always so"),                                                              \
                FLAG(T, criu.auto_dedup, 0, "auto-dedup",                                          \
                     "Drop pages from the images that a later one holds, or that were read"),      \
                FLAG(T, criu.lazy_pages, 0, "lazy-pages",                                          \
                     "Leave the memory to a page server, to be fetched when it is touched")

static int set_criu(const struct criu_args *a, struct criu_opts *o, struct err *e)
{
        o->cgroups_mode = cgroup_values[a->cgroups];
        for (size_t i = 0; i < a->empty_ns.n; i++) {
                if (!str_eq(a->empty_ns.v[i], "network"))
                        return err_set(e, ERR_INVALID,
                                       "--empty-ns: \"%s\" is not supported, only network is",
                                       a->empty_ns.v[i]);
                o->empty_ns = CLONE_NEWNET;
        }
        return 0;
}

/* ---- checkpoint ---- */

struct checkpoint_args {
        struct criu_args more;
        struct criu_opts criu;
        const char *page_server;
        int64_t status_fd;
        bool pre_dump;
};

static const struct opt checkpoint_opts[] = {
        CRIU_OPTS(struct checkpoint_args),
        STR(struct checkpoint_args, criu.parent_img, 0, "parent-path", "DIR",
            "The images of an earlier --pre-dump, relative to --image-path: only what has changed "
            "since is written",
            .complete = COMPLETE_DIR),
        FLAG(struct checkpoint_args, pre_dump, 0, "pre-dump",
             "Write the memory only, and leave the container running"),
        FLAG(struct checkpoint_args, criu.leave_running, 0, "leave-running",
             "Leave the container running"),
        FLAG(struct checkpoint_args, criu.tcp_skip_in_flight, 0, "tcp-skip-in-flight",
             "Leave out TCP connections that are not established yet"),
        FLAG(struct checkpoint_args, criu.link_remap, 0, "link-remap",
             "Give deleted files that are still open a name for as long as the images live"),
        STR(struct checkpoint_args, page_server, 0, "page-server", "ADDRESS:PORT",
            "Send the memory to the page server there; with --lazy-pages, be one"),
        INT(struct checkpoint_args, status_fd, 0, "status-fd", "N",
            "Write a zero byte to descriptor N once the server of --lazy-pages listens"),
        {}
};

static int checkpoint(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        const struct checkpoint_args *a = args;
        struct checkpoint_options o = { .id = argv[0],
                                        .image_path = a->more.image_path,
                                        .work_path = a->more.work_path,
                                        .page_server = a->page_server,
                                        .status_fd = a->status_fd,
                                        .pre_dump = a->pre_dump,
                                        .criu = a->criu };

        if (set_criu(&a->more, &o.criu, e) < 0)
                return -1;
        return runtime_checkpoint(&c->rt, &o, e);
}

const struct command oci_checkpoint = {
        .name = "checkpoint",
        .usage = "CONTAINER-ID",
        .help = "Save a running container to files",
        .about =
                "criu(8) writes the processes to files, from which `restore` makes them again. The "
                "container is gone afterwards, unless it is left running.",
        .opts = checkpoint_opts,
        .min = 1,
        .max = 1,
        .complete = { COMPLETE_CONTAINER },
        .args_size = sizeof(struct checkpoint_args),
        .defaults = &(const struct checkpoint_args){ .status_fd = -1 },
        .run = checkpoint,
};

/* ---- restore ---- */

struct restore_args {
        struct criu_args more;
        struct criu_opts criu;
        struct create_options create;
};

static const struct opt restore_opts[] = {
        STR(struct restore_args, create.bundle, 'b', "bundle", "DIR",
            "The bundle: a directory with config.json; by default the current one",
            .complete = COMPLETE_DIR),
        STR(struct restore_args, create.console_socket, 0, "console-socket", "PATH",
            "Send the terminal's master to the unix socket at PATH", .complete = COMPLETE_FILE),
        FLAG(struct restore_args, create.detach, 'd', "detach",
             "Return once the container is restored"),
        FLAG(struct restore_args, create.keep, 0, "keep",
             "Don't delete the container when it ends"),
        STR(struct restore_args, create.pid_file, 0, "pid-file", "FILE", "Write init's pid to FILE",
            .complete = COMPLETE_FILE),
        STR(struct restore_args, create.pidfd_socket, 0, "pidfd-socket", "PATH",
            "Send a pidfd of init to the unix socket at PATH", .complete = COMPLETE_FILE),
        FLAG(struct restore_args, create.no_subreaper, 0, "no-subreaper",
             "Leave the container's orphans to the host's init"),
        CRIU_OPTS(struct restore_args),
        FLAG(struct restore_args, criu.tcp_close, 0, "tcp-close",
             "Bring TCP connections back closed"),
        STR(struct restore_args, criu.lsm_profile, 0, "lsm-profile", "TYPE:NAME",
            "Confine the processes by this profile: apparmor:NAME or selinux:LABEL"),
        STR(struct restore_args, criu.lsm_mount_context, 0, "lsm-mount-context", "LABEL",
            "Mount the file systems with this SELinux label"),
        IGNORED(0, "no-pivot", "Without effect: CRIU chooses how to change the root"),
        IGNORED(0, "no-new-keyring", "Without effect: session keyrings are not restored"),
        IGNORED_VALUE(0, "preserve-fds", "N",
                      "Without effect: descriptors are those of the images"),
        {}
};

static int restore(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        const struct restore_args *a = args;
        struct restore_options o = { .create = a->create,
                                     .image_path = a->more.image_path,
                                     .work_path = a->more.work_path,
                                     .criu = a->criu };
        int status;

        o.create.id = argv[0];
        if (set_criu(&a->more, &o.criu, e) < 0 || runtime_restore(&c->rt, &o, &status, e) < 0)
                return -1;
        return status;
}

const struct command oci_restore = {
        .name = "restore",
        .usage = "CONTAINER-ID",
        .help = "Bring back a container from a checkpoint",
        .about = "Makes a container of the bundle, as `run` does, but has criu(8) make its "
                 "processes "
                 "from files that `checkpoint` wrote.",
        .opts = restore_opts,
        .min = 1,
        .max = 1,
        .args_size = sizeof(struct restore_args),
        .run = restore,
};
