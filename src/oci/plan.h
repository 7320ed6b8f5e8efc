/* struct plan: everything that create, run or exec will do, as an array of operations.
 *
 * plan_create() and plan_exec() are pure: they read no file and make no system call that changes
 * anything, so a plan can be printed (--plan) and tested without privileges. The stages below
 * are carried out in order, each by the process that its comment names; apply-*.c hold one
 * interpreter per group of operations, launch.c the processes and the messages between them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "kernel/cgroup.h"
#include "kernel/mount.h"
#include "oci/plan-cgroup.h"
#include "oci/spec.h"

enum stage {
        STAGE_HOST,    /* runtime, before any process exists */
        STAGE_ENTER,   /* joiner: in the host's namespaces, entering those that exist already */
        STAGE_ADOPT,   /* runtime, while init waits in its namespaces */
        STAGE_MOUNT,   /* init, building its root file system beside the host's */
        STAGE_RUNTIME, /* runtime, while init waits with its mounts made: the runtime's hooks */
        STAGE_ROOT,    /* init, moving into its root and closing the doors behind it */
        STAGE_PROCESS, /* init, becoming the user's process up to the exec; then waits for start */
        STAGE_READY,   /* runtime, when init is ready: what would have been in init's way */
        STAGE_START,   /* init, after start */
        STAGE_STARTED, /* runtime, after start */
        STAGE_MAX
};
extern const char *const stage_names[STAGE_MAX];

enum op_kind {
        /* STAGE_HOST */
        OP_STATE,       /* .text: the state directory */
        OP_CGROUP,      /* make the cgroup in every hierarchy */
        OP_CGROUP_SET,  /* write its limits */
        OP_RDT,         /* make or find the resctrl class */
        OP_NOTIFY,      /* the sd_notify socket's directory */
        OP_SOURCE,      /* .mount: open its source, idmapped if asked, while still privileged */
        OP_ROOT_SOURCE, /* the same of the root file system */
        /* STAGE_ENTER */
        OP_CGROUP_JOIN,
        OP_NS_JOIN,  /* .ns */
        OP_NS_ENTER, /* .flags: all of init's namespaces at once, by its pidfd */
        OP_TIME_OFFSETS,
        OP_NS_NEW, /* .flags: CLONE_NEW*; this is where init is cloned */
        /* STAGE_ADOPT */
        OP_SCOPE,      /* move init into a systemd scope */
        OP_DELEGATE,   /* give the cgroup to the container's root */
        OP_ID_MAPS,    /* uid_map, gid_map */
        OP_OOM_SCORE,  /* .number */
        OP_RLIMITS,    /* where init itself may not: in a user namespace; in STAGE_READY */
        OP_NET_DEVICE, /* .net_device */
        OP_RDT_ASSIGN,
        /* STAGE_MOUNT */
        OP_CGROUP_NS, /* after joining the cgroup, which becomes its root */
        OP_ROOT_IDS,  /* become 0:0 of the user namespace */
        OP_LOOPBACK,
        OP_HOSTNAME,     /* .text */
        OP_DOMAINNAME,   /* .text */
        OP_PROPAGATION,  /* .flags: of the whole tree that init got a copy of */
        OP_ROOT_MOUNT,   /* the root file system, attached */
        OP_MOUNT,        /* .mount */
        OP_CGROUP_MOUNT, /* .mount */
        OP_DEVICE,       /* .device */
        OP_DEV_LINK,     /* .link */
        OP_NOTIFY_MOUNT, /* the sd_notify directory, inside */
        OP_CWD_MAKE,     /* .text */
        OP_CONSOLE,      /* a pty from the container's devpts, sent to the console socket */
        /* STAGE_RUNTIME, STAGE_ROOT, STAGE_START, STAGE_STARTED */
        OP_HOOK, /* .hook */
        /* STAGE_ROOT */
        OP_SYSCTL, /* .pair */
        OP_PIVOT,  /* .number: 0 pivot_root, 1 --no-pivot */
        OP_CONSOLE_MOUNT,
        OP_DEV_READONLY,     /* a /dev given "ro", once it is filled */
        OP_READONLY_PATH,    /* .text */
        OP_MASK,             /* .text */
        OP_ROOT_PROPAGATION, /* .flags: linux.rootfsPropagation */
        OP_ROOT_READONLY,
        /* STAGE_PROCESS */
        OP_KEYRING,     /* .text: its name */
        OP_RLIMIT,      /* .rlimit */
        OP_PERSONALITY, /* .number */
        OP_MEMORY_POLICY,
        OP_SCHEDULER,
        OP_IO_PRIORITY,
        OP_AFFINITY,  /* .text: CPU list, or NULL: all that the cpuset allows */
        OP_UMASK,     /* .number */
        OP_FIND_EXEC, /* .text: args[0] */
        OP_LSM,       /* .text: the label; .number: enum lsm_kind */
        OP_SECCOMP,   /* without no_new_privs: needs CAP_SYS_ADMIN, so before it is dropped */
        OP_CAP_BOUNDING,
        OP_USER,
        OP_CAPS,
        OP_NO_NEW_PRIVS,
        OP_CWD, /* .text */
        /* STAGE_START */
        OP_EXEC, /* .text */
        OP_MAX
};
extern const char *const op_names[OP_MAX];

/* A mount as it will be made. */
struct plan_mount {
        const struct spec_mount *spec;
        const char *field; /* "mounts[3]", for errors */
        bool bind, rec, remount, tmpcopyup, idmap, idmap_rec;
        bool no_links;      /* proc and sysfs: the target must be no symlink */
        bool readonly_late; /* tmpfs given "ro": read-only only once it is filled */
        const char *source; /* absolute where bind */
        struct mount_attrs attrs;
        uint64_t propagations[4]; /* further changes, in order */
        size_t n_propagations;
        struct mount_param *params;
        size_t n_params;
        bool on_host; /* the source is opened in STAGE_HOST: init could not */
        int index;    /* into the descriptors kept for on_host mounts */
};

struct plan_link {
        const char *target, *path;
};

struct op {
        enum stage stage;
        enum op_kind kind;
        union {
                const char *text;
                int64_t number;
                uint64_t flags;
                const struct plan_mount *mount;
                const struct spec_device *device;
                const struct spec_net_device *net_device;
                const struct spec_rlimit *rlimit;
                const struct key_value *pair;
                struct plan_link link;
                struct {
                        enum spec_ns kind;
                        const char *path;
                } ns;
                struct {
                        enum spec_hook_kind kind;
                        const struct spec_hook *hook;
                } hook;
        };
        int64_t detail; /* a second number: OP_LSM's kind */
};

struct plan {
        const struct spec *spec;
        const struct spec_process *process; /* NULL: nothing to exec */
        const char *id, *bundle, *rootfs, *state_dir;
        struct op *ops;
        size_t n, cap;
        uint64_t ns_new; /* CLONE_NEW* that init is cloned with */
        unsigned flags;  /* enum plan_flags, as given */
        bool userns;     /* init is in a user namespace of its own, new or joined */
        bool userns_new;
        bool listener;         /* seccomp hands out a notification descriptor */
        bool dev_readonly;     /* /dev is a tmpfs with "ro" */
        bool devices;          /* /dev is ours to fill */
        unsigned n_sources;    /* mounts with on_host */
        struct cgroup *cgroup; /* NULL: none (disabled) */
        struct cgroup_plan *limits;
        const char *notify_socket; /* the host's $NOTIFY_SOCKET, or NULL */
        const char *systemd_scope; /* cgroupsPath of the systemd driver, or NULL */
};

enum plan_flags {
        PLAN_NO_PIVOT = 1,
        PLAN_NO_KEYRING = 2,
        PLAN_ROOTLESS = 4,   /* not the initial user namespace's root */
        PLAN_SYSTEMD = 8,    /* the systemd cgroup driver */
        PLAN_NO_CGROUP = 16, /* --cgroup-manager=disabled */
        PLAN_NO_CGROUP_NS = 32
};

struct plan_input {
        const struct spec *spec;
        const char *id;
        const char *bundle; /* absolute */
        const char *state_dir;
        unsigned flags;                      /* enum plan_flags */
        const struct cgroup_layout *cgroups; /* NULL: none */
        const char *notify_socket;
};

/* What create and run will do. Everything lives in a, and points into in->spec. */
int plan_create(struct arena *a, const struct plan_input *in, struct plan *ret, struct err *e);

struct plan_exec_input {
        const struct spec *spec;            /* the container's */
        const struct spec_process *process; /* the new one */
        const char *id, *bundle;
        unsigned flags;
};
/* What exec will do: enter the namespaces of a running init, then STAGE_PROCESS as create does. */
int plan_exec(struct arena *a, const struct plan_exec_input *in, struct plan *ret, struct err *e);

/* One operation as a line "stage: what", without a newline; OP_CGROUP_SET as one line a setting. */
void plan_print_op(const struct plan *p, const struct op *op, struct buf *out);
void plan_print(const struct plan *p, struct buf *out);

/* The first op of that kind, or NULL. */
const struct op *plan_find(const struct plan *p, enum op_kind kind);
/* Whether any op belongs to the stage. */
bool plan_has_stage(const struct plan *p, enum stage stage);

/* For plan-*.c: appends an op of a stage. */
struct op *plan_add(struct arena *a, struct plan *p, enum stage stage, enum op_kind kind);
/* plan-mount.c: STAGE_MOUNT's and STAGE_HOST's part of spec->mounts. */
int plan_mounts(struct arena *a, const struct plan_input *in, struct plan *p, struct err *e);
/* The process's capabilities: without the object none, as with runc. */
const struct spec_caps *plan_caps(const struct plan *p);
/* plan-process.c: STAGE_PROCESS and STAGE_START. */
int plan_process(struct arena *a, struct plan *p, unsigned flags, bool exec, struct err *e);
