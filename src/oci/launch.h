/* struct launch: carrying out a plan. The processes, and who talks to whom.
 *
 *   runtime   the caller: STAGE_HOST; then clones and stays in the host's namespaces, doing what
 *             init may not (STAGE_ADOPT, STAGE_RUNTIME) when init asks for it over the sync socket
 *   joiner    only where namespaces are joined or a time namespace is made: enters them
 *             (STAGE_ENTER), clones init as its sibling (CLONE_PARENT), reports its pid, exits
 *   init      in its namespaces: STAGE_MOUNT, STAGE_ROOT, STAGE_PROCESS; waits; STAGE_START, exec
 *
 * Invariants, cited as L1.. where they are kept:
 * L1 Init does not outlive a runtime that dies before it has recorded init's pid: it has a
 *    parent death signal, and every wait of its ends when the sync socket closes.
 * L2 Everything opened is close-on-exec; what the caller left open is made so before the exec.
 * L3 A path that the configuration or the image chose is resolved by kernel/resolve.h, once, and
 *    used by descriptor.
 * L4 procfs is written through a mount that nobody else can reach: init's is made for it and
 *    never attached (init_proc()), the runtime's is the host's, opened before the container was.
 * L5 No process that a container can see maps or names the runtime's own file (kernel/exe.h). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/log.h"
#include "kernel/cgroup.h"
#include "oci/container.h"
#include "oci/plan.h"
#include "oci/seccomp-plan.h"

enum launch_mode {
        LAUNCH_CREATE, /* init waits for start on a FIFO, the runtime returns */
        LAUNCH_RUN,    /* init goes on at once */
        LAUNCH_EXEC,   /* the same, in a container that runs */
};

#define LAUNCH_SOURCES_MAX 4096

struct launch {
        /* from the caller */
        enum launch_mode mode;
        const struct plan *plan;
        struct container *container;
        const struct log *log;
        struct arena *arena;
        bool die_along;        /* run: the container is killed when we die */
        unsigned preserve_fds; /* descriptors from 3 on that init keeps */
        int console_sock;      /* connected; gets the pty's master; or -1 */
        int64_t patience_ms;   /* how long init may take to get ready and to execute; 0: for ever */
        /* kept while it lasts */
        int proc; /* L4: O_PATH */
        int sync; /* this process's end */
        int fifo_start, fifo_result;
        int notify_source; /* the sd_notify directory's detached tree, or -1 */
        int root_source;   /* the root's detached tree, opened on the host, or -1 */
        int *sources;      /* [plan->n_sources], or -1 */
        int idmap_userns;  /* of the last idmapped source, for the next like it; or -1 */
        const struct id_mappings *idmap_uids, *idmap_gids;
        struct cgroup_join join;
        struct seccomp_plan seccomp;
        int target;         /* LAUNCH_EXEC: pidfd of the container's init */
        int rdt;            /* the resctrl class, or -1 */
        int netns;          /* init's, kept from the first move on, or -1 */
        unsigned net_moved; /* netDevices that are in init's namespace by now */
        bool outside;       /* init could not be cloned into the cgroup: systemd must move it */
        bool cgroup_made;   /* it is ours to remove */
        /* results */
        pid_t init;
        int pidfd;         /* of init */
        bool killed_early; /* init died without a word */
        int64_t deadline;  /* of patience_ms: monotonic, ms */
        bool late;         /* it has passed: what holds init up holds up its end too, perhaps */
};

void launch_init(struct launch *l);
void launch_done(struct launch *l);

/* Compiles the seccomp filter of the plan: pure, and the longest of what needs no container yet. */
int launch_filter(struct launch *l, struct err *e);
/* STAGE_HOST. */
int launch_prepare(struct launch *l, struct err *e);
/* Clones and serves init until it is ready. On failure init is dead and reaped. */
int launch_spawn(struct launch *l, struct err *e);
/* Lets init go. LAUNCH_CREATE returns at once; the others wait for the exec and report its
 * failure. */
int launch_release(struct launch *l, struct err *e);
/* Kills and reaps init, if there is one. */
void launch_abort(struct launch *l);

/* ---- between launch.c and the interpreters ---- */

/* What init and the joiner carry along: a copy made by clone(), so changes stay theirs. */
struct init {
        struct launch *l;
        int sync;
        int root;              /* the root mount, O_PATH; of a running container: "/" */
        int console;           /* the pty's slave, or -1 */
        int proc;              /* init_proc()'s, or -1 */
        int mask_dir;          /* a mount to copy over masked directories, or -1 */
        const char *exec_path; /* what OP_FIND_EXEC found */
        char **env;
        bool cgroup_joined; /* by the joiner */
};

typedef int runtime_fn(struct launch *l, const struct op *op, struct err *e);
typedef int init_fn(struct init *in, const struct op *op, struct err *e);

/* apply-host.c, apply-adopt.c: NULL where the runtime has nothing to do with the op. */
extern runtime_fn *const runtime_ops[OP_MAX];
/* apply-enter.c, apply-mount.c, apply-root.c, apply-process.c */
init_fn enter_ns_join, enter_ns_enter, enter_time_offsets;
init_fn mount_cgroup_ns, mount_root_ids, mount_loopback, mount_hostname, mount_domainname,
        mount_propagation_cut, mount_root, mount_one, mount_cgroups, mount_device, mount_dev_link,
        mount_notify, mount_cwd, mount_console;
init_fn root_sysctl, root_pivot, root_console_mount, root_dev_readonly, root_readonly_path,
        root_mask, root_propagation_set, root_readonly_set;
init_fn process_keyring, process_rlimit, process_personality_set, process_memory_policy,
        process_scheduler, process_io_priority, process_affinity, process_umask, process_find_exec,
        process_lsm, process_seccomp, process_cap_bounding, process_user, process_caps,
        process_no_new_privs, process_cwd, process_exec;

/* A procfs of init's own pid namespace, made when first asked for and never attached (L4). Where
 * the kernel refuses one (a user namespace in which parts of /proc are covered), the host's. */
int init_proc(struct init *in);
/* init.c: the process stages. */
_Noreturn void init_main(struct init *in);
_Noreturn void joiner_main(struct init *in);
/* Carries out all ops of a stage, in order. */
int init_stage(struct init *in, enum stage stage, struct err *e);
int launch_stage(struct launch *l, enum stage stage, struct err *e);
/* Says at debug what is about to be done. */
void launch_log(const struct launch *l, const struct op *op);
/* hooks of both sides: runs op->hook with the state as it is now; cwd and env as hook_run()'s. */
int launch_hook(struct launch *l, const struct op *op, enum status status, const char *cwd,
                char **env, struct err *e);

/* Takes the network devices back that init got: an operation that failed has not happened. */
void launch_return_net(struct launch *l);
/* The directory of a v1 or v2 hierarchy below a cgroup mount's tmpfs: "cpu,cpuacct", "unified". */
const char *mount_cgroup_name(const struct cgroup_dir *d);

/* resctrl: apply-rdt.c */
runtime_fn runtime_rdt_make, runtime_rdt_assign;
