/* struct facts: what was read about one process, and what could not be read.
 *
 * The probes (probe-*.c) fill it, each its own part; renderers and rules only read it. Nothing
 * in here is ever a guess: a number that could not be read says why (struct num), a string is
 * NULL, and what an operator would expect but was not looked at is in `unchecked` with the
 * reason. Strings are raw bytes of the target's choosing: whoever prints them escapes them
 * (safe.h). Everything lives in the arena. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/mem.h"
#include "kernel/cgroup.h"
#include "oci/spec.h"

/* ---- numbers that may not be known ---- */

enum num_state {
        NUM_UNREAD, /* not asked for */
        NUM_KNOWN,  /* .v */
        NUM_MAX,    /* known to be unlimited */
        NUM_ABSENT, /* the kernel has no such file here: version, configuration or controller */
        NUM_DENIED, /* permission */
        NUM_GONE,   /* the process or cgroup vanished meanwhile */
        NUM_BAD,    /* the text was not what the kernel documents */
        NUM_HIDDEN, /* outside what this mount or cgroup namespace shows */
        NUM_STATE_MAX
};
extern const char *const num_state_names[NUM_STATE_MAX]; /* "not read", "unlimited", ... */

struct num {
        enum num_state is;
        uint64_t v;
};

static inline struct num num_of(uint64_t v)
{
        return (struct num){ NUM_KNOWN, v };
}
static inline bool num_known(struct num n)
{
        return n.is == NUM_KNOWN;
}
/* later - earlier; unknown unless both are known and in order. */
struct num num_delta(struct num earlier, struct num later);
/* The state for a failed read: a negative or positive errno. */
enum num_state num_state_of(int sys);

/* ---- who: the process and its owner ---- */

#define FACTS_NS_DEPTH 32 /* the kernel nests pid namespaces this deep */

struct process_facts {
        pid_t pid;                       /* in the reader's pid namespace */
        uint32_t inside[FACTS_NS_DEPTH]; /* NSpid: from the reader's namespace inward */
        size_t n_inside;
        pid_t parent;
        char state; /* R S D Z ... */
        const char *comm;
        const char *exe;   /* as the target names it, or NULL */
        const char **args; /* at most FACTS_ARGS_MAX */
        size_t n_args;
        bool args_cut;        /* there were more bytes or arguments than shown */
        uint64_t start_ticks; /* field 22 of stat: with the pid, the process's identity */
        struct num uptime_ms;
        struct num threads, rss, fds;
        struct num cpu_ms; /* user + system since start */
        bool kernel_thread;
};
#define FACTS_ARGS_MAX 64

/* In the order of how much they prove. */
enum owner_evidence {
        EVIDENCE_STATE,    /* a runtime's state file names this init, and its start time agrees */
        EVIDENCE_ANCESTOR, /* an ancestor is the engine's monitor and names the container */
        EVIDENCE_CGROUP,   /* only the cgroup's path says so */
        EVIDENCE_NONE,
        EVIDENCE_MAX
};
extern const char *const owner_evidence_names[EVIDENCE_MAX];

struct owner_facts {
        enum owner_evidence evidence;
        bool container;      /* false: a host process or an unnamed set of namespaces */
        const char *kind;    /* "container", "systemd service", "session", "host process", ... */
        const char *engine;  /* "podman", "containerd", ... or NULL */
        const char *runtime; /* "runc", "crun", ... or NULL */
        const char *id, *name, *image;
        const char *pod_namespace, *pod_name, *pod_uid; /* kubernetes */
        const char *created;                            /* as recorded, RFC 3339 */
        const char *state_path;                         /* file that names the container */
        const char *bundle;                             /* directory of config.json, or NULL */
        const char *config_path;
        const char *cgroup; /* the path component that matched, or NULL */
        pid_t init;         /* the container's first process in the reader's namespace; 0 unknown */
        bool is_init;       /* the target is it */
        pid_t monitor;      /* shim, conmon, ...; 0 unknown */
        const char *monitor_name;
        struct num init_uptime_ms;
        bool stale; /* state names a process whose start time differs: an older owner of the pid */
};

/* ---- sees ---- */

enum ns_relation {
        NS_REL_UNKNOWN,
        NS_REL_OWN,    /* differs from the host's */
        NS_REL_HOST,   /* the same as the host's (PID 1 of the reader) */
        NS_REL_SELF,   /* the same as the reader's; whether that is the host's can't be told */
        NS_REL_ABSENT, /* this kernel has no such namespace */
        NS_REL_MAX
};
extern const char *const ns_relation_names[NS_REL_MAX];
extern const char *const ns_proc_names[NS_MAX]; /* the names under /proc/PID/ns */

struct ns_fact {
        enum ns_relation relation;
        uint64_t inode;       /* 0 unknown */
        bool same_as_init;    /* as the container's first process */
        bool children_differ; /* pid and time: *_for_children names another one */
};

struct map_range {
        uint32_t inside, outside, count;
};
struct id_map {
        enum num_state is; /* NUM_KNOWN, else why not */
        struct map_range *v;
        size_t n;
        bool identity; /* every id maps to itself */
};
#define FACTS_MAP_MAX 340 /* the kernel's limit of lines */

struct sees_facts {
        struct ns_fact ns[NS_MAX];
        struct id_map uid_map, gid_map;
        const char *setgroups; /* "allow", "deny" or NULL */
        const char *hostname;  /* of its UTS namespace, or NULL */
        struct {
                bool known;
                int64_t secs;
                uint32_t nanosecs;
        } monotonic, boottime; /* offsets of its time namespace */
        bool reader_nested;    /* "host" is only the reader's PID 1, itself in a pid namespace */
};

/* ---- consumes ---- */

/* Where a controller decides about this process. */
struct place {
        int version;      /* 1, 2; 0: no hierarchy has this controller */
        const char *path; /* of the cgroup, as /proc/PID/cgroup says; NULL unknown */
        const char *dir;  /* its directory here, or NULL where no mount shows it */
        unsigned depth;   /* of dir below the hierarchy's mount; 0 is the root */
        size_t mount_len; /* dir's first bytes are the mount point */
        bool whole;       /* the mount shows the hierarchy's root: no ancestor is hidden */
};

/* One cgroup between the process (index 0) and the root. */
struct level {
        const char *path;
        struct num cpu_quota_us, cpu_period_us, cpu_weight; /* weight: v1 shares, v2 weight */
        struct num periods, throttled, throttled_us;        /* counters at the first reading */
        struct num d_periods, d_throttled, d_throttled_us;  /* over the sample */
        struct num limit, high, usage;                      /* memory: bytes; pids: count */
        struct num oom, oom_kill;                           /* memory events, v2: local */
};
#define FACTS_LEVELS_MAX 32
struct levels {
        struct level *v;
        size_t n;
        int own;     /* index of the level that accounts for the process; -1 none does */
        int binding; /* index of the level whose limit is hit first; -1 none is limited */
        bool cut;    /* there were more ancestors, or the mount shows only a part */
};

struct psi_line {
        struct num avg10, avg60, avg300; /* hundredths of a percent */
        struct num total_us, d_total_us;
};
struct psi {
        struct psi_line some, full;
};
enum psi_kind { PSI_CPU, PSI_MEMORY, PSI_IO, PSI_MAX };
extern const char *const psi_names[PSI_MAX];

struct consumes_facts {
        struct place place[CGROUP_CONTROLLER_MAX];
        struct place unified; /* the v2 hierarchy itself: PSI, freeze, kill, events */
        const char *layout;   /* "v1", "v2", "hybrid", "none", or NULL where unknown */
        uint64_t sample_us;   /* how long the sample really lasted; 0: none */

        struct levels cpu, memory, pids;
        struct num cpu_usage_ns, d_cpu_usage_ns;
        struct num cpu_milli;         /* thousandths of one CPU in use over the sample */
        struct num process_cpu_milli; /* the same of this process alone */
        struct num cpu_burst_us;
        struct num throttled_by_parent_us; /* cpu.stat.local: own tasks held by any ancestor */
        struct num d_throttled_by_parent_us;
        struct num cpus_allowed, cpus_online;
        const char *cpu_list;

        struct num mem_anon, mem_file, mem_shmem, mem_inactive_file, mem_kernel;
        struct num mem_peak, mem_low;
        struct num swap_usage, swap_limit;
        struct num events_max, events_high, events_oom, events_oom_kill, events_oom_group;
        struct num oom_kill_disable, under_oom;

        struct num io_read, io_write, d_io_read, d_io_write; /* bytes */
        struct num io_limits;                                /* how many device limits are set */
        struct num pids_events_max;

        struct psi psi[PSI_MAX];
        bool psi_is_host; /* its v2 cgroup is the root: the host's numbers, not shown as its own */
        struct num frozen;
};

/* ---- does ---- */

enum lsm_state { LSM_UNKNOWN, LSM_NONE, LSM_LABEL };

struct rlimit_fact {
        const char *name; /* "nofile" */
        struct num soft, hard;
        bool remarkable; /* differs from what a host process has by default, or is nofile */
};

/* A device and what may be done with it. */
struct device_fact {
        char type;            /* a c b */
        int64_t major, minor; /* -1: any */
        char access[4];       /* subset of "rwm" */
        const char *name;     /* "kmsg", or NULL */
        bool dangerous;
};
enum device_policy {
        DEVICES_UNKNOWN,
        DEVICES_ALL,     /* every device is allowed by the controller */
        DEVICES_LIST,    /* v1 whitelist */
        DEVICES_PROGRAM, /* v2: answers of the attached BPF programs */
        DEVICES_POLICY_MAX
};
extern const char *const device_policy_names[DEVICES_POLICY_MAX];

struct does_facts {
        struct num uid, euid, suid, fsuid, gid, egid, sgid, fsgid; /* in the reader's namespace */
        struct num uid_inside, gid_inside;
        uint32_t *groups;
        size_t n_groups;
        bool caps_known;
        uint64_t cap_effective, cap_permitted, cap_bounding, cap_inheritable, cap_ambient;
        unsigned cap_last; /* of this kernel */
        struct num no_new_privs, seccomp_mode, seccomp_filters;
        struct num oom_score_adj_plus1000; /* 0 .. 2000 */
        struct num tracer;
        enum lsm_state lsm;
        enum num_state lsm_is; /* why unknown */
        const char *lsm_label;
        struct rlimit_fact *rlimits;
        size_t n_rlimits;
        enum device_policy device_policy;
        enum num_state devices_is; /* why unknown */
        struct device_fact *devices;
        size_t n_devices;
        int device_version; /* which cgroup version decides: 1, 2 or 0 */
        unsigned device_programs;
};

/* ---- file systems ---- */

struct mount_fact {
        uint64_t id, parent;
        unsigned major, minor;
        const char *root, *point, *type, *source, *super;
        bool ro; /* of the mount or its super block */
        bool noexec, nosuid, nodev;
        bool shared, slave, unbindable;
        uint32_t shared_group, master_group;
        bool idmapped;
        const char *host_path; /* where the host sees the same directory or file; NULL: nowhere */
        bool bind;             /* shows a part of a file system, or one that the host mounts too */
        bool hidden;           /* another mount covers it */
        enum mount_role {
                MOUNT_ROOT,
                MOUNT_DATA,   /* binds, volumes */
                MOUNT_SYSTEM, /* proc, sysfs, dev, cgroup, mqueue ... of its own */
                MOUNT_ENGINE, /* files that engines put in: /etc/hosts, resolv.conf ... */
                MOUNT_MASKED,
                MOUNT_READONLY_PATH, /* a part of proc or sys made read-only */
                MOUNT_ROLE_MAX
        } role;
        const char *danger; /* why an operator should look at it, or NULL */
        bool is_socket;
        bool controls_host; /* leads to a socket that gives root on the host */
        bool deleted;       /* its source was removed on the host */
        bool reaches_host;  /* mounts made below it appear on the host: same peer group */
};
extern const char *const mount_role_names[MOUNT_ROLE_MAX];
#define FACTS_MOUNTS_MAX 100000

struct layer_fact {
        const char *path;   /* as the kernel has it */
        const char *origin; /* "containers/storage 3f2a...", "docker overlay2 ...", or NULL */
};

struct fs_facts {
        enum num_state is;
        struct mount_fact *mounts;
        size_t n;
        bool cut;
        int root;              /* index of "/", or -1 */
        const char *root_kind; /* "overlay", "bind", "host", ... */
        struct layer_fact *lower;
        size_t n_lower;
        const char *upper, *work;
        struct layer_fact upper_origin;
        size_t count[MOUNT_ROLE_MAX];
        const char *cwd;
        const char *root_path; /* /proc/PID/root as seen from here; "/" unless chrooted */
        /* In a mount namespace of its own: default protections that are missing. */
        const char **unmasked; /* readable, which engines hide: "/proc/keys" */
        size_t n_unmasked;
        const char **writable; /* writable, which engines make read-only: "/proc/sys" */
        size_t n_writable;
        size_t n_bad; /* lines that could not be read */
};

/* ---- drift ---- */

struct drift {
        const char *what; /* "memory limit" */
        const char *declared, *effective;
};
struct drift_facts {
        bool checked;
        const char *why_not; /* where not */
        const char *config;  /* path of the declaration */
        struct drift *v;
        size_t n, cap;
        size_t agreed;       /* how many comparisons matched */
        size_t skipped;      /* for want of the effective value */
        const char *seccomp; /* declared default action, or NULL */
};

/* ---- all ---- */

struct unchecked {
        const char *what, *why;
};
#define FACTS_UNCHECKED_MAX 48

struct facts {
        struct arena *arena;
        struct process_facts process;
        struct owner_facts owner;
        struct sees_facts sees;
        struct consumes_facts consumes;
        struct does_facts does;
        struct fs_facts fs;
        struct drift_facts drift;
        struct unchecked unchecked[FACTS_UNCHECKED_MAX];
        size_t n_unchecked;
        bool gone;   /* it ended while being read: what is here was true a moment ago */
        bool denied; /* permission kept something back */
        const char *kernel;
        const char *host;
};

/* Notes that `what` is not known, and why; the same `what` only once. Both strings must outlive
 * f. */
void facts_unchecked(struct facts *f, const char *what, const char *why);
/* The same for a failed read; permission also sets f->denied. */
void facts_unread(struct facts *f, const char *what, enum num_state is);
void facts_drift(struct facts *f, const char *what, const char *declared, const char *effective);
/* Capabilities that give the host or its kernel away where they count against its own user
 * namespace. */
bool cap_is_dangerous(unsigned cap);
