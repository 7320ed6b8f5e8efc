/* struct spec: a runtime-spec 1.3.0 config.json as C structs, checked.
 *
 * spec_parse() fills it from JSON through the field tables in spec.c; everything lives in the
 * caller's arena. Properties that the specification does not know are ignored; values that it
 * forbids are errors that name the field ("linux.resources.memory.limit: ..."). Absent optional
 * scalars have .set false; absent strings are NULL; absent objects are NULL; absent arrays have .n
 * 0. null counts as absent, and so does an empty string outside of lists and maps. No string holds
 * a NUL byte. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/value.h"

struct json;

/* What this follows, and the oldest that it reads; an ociVersion is never a reason to refuse. */
#define SPEC_VERSION_MIN "1.0.0"
#define SPEC_VERSION_MAX "1.3.0"

/* ---- process (config.md "Process") ---- */

struct spec_rlimit {
        const char *type; /* "RLIMIT_NOFILE" */
        uint64_t soft, hard;
};

/* Each list holds names as given ("CAP_KILL"); unknown ones are warnings when applied, not
 * errors. */
struct spec_caps {
        struct strings bounding, effective, permitted, inheritable, ambient;
};

struct spec_scheduler {
        const char *policy; /* SCHED_OTHER FIFO RR BATCH ISO IDLE DEADLINE */
        int64_t nice, priority;
        struct strings flags;               /* SCHED_FLAG_RESET_ON_FORK ... */
        uint64_t runtime, deadline, period; /* ns */
};

struct spec_io_priority {
        const char *class; /* IOPRIO_CLASS_RT BE IDLE */
        int64_t priority;
};

struct spec_user {
        uint32_t uid, gid;
        struct opt_u64 umask;
        uint32_t *additional_gids;
        size_t n_additional_gids;
        const char *username; /* Windows only; ignored */
};

struct spec_process {
        bool terminal;
        struct {
                uint64_t height, width;
        } console_size;
        struct spec_user user;
        struct strings args, env;
        const char *cwd;                /* absolute */
        struct spec_caps *capabilities; /* NULL: keep none set by us */
        struct spec_rlimit *rlimits;
        size_t n_rlimits;
        bool no_new_privileges;
        const char *apparmor_profile, *selinux_label;
        struct opt_i64 oom_score_adj;
        struct spec_scheduler *scheduler;
        struct spec_io_priority *io_priority;
        struct {
                const char *initial, *final; /* CPU lists, or NULL */
        } exec_cpu_affinity;
};

/* ---- root, mounts, hooks ---- */

struct spec_mount {
        const char *destination, *type, *source;
        struct strings options;
        struct id_mappings uid_mappings, gid_mappings;
};

struct spec_hook {
        const char *path;
        struct strings args, env;
        struct opt_i64 timeout; /* seconds, > 0 */
};

enum spec_hook_kind {
        HOOK_PRESTART,
        HOOK_CREATE_RUNTIME,
        HOOK_CREATE_CONTAINER,
        HOOK_START_CONTAINER,
        HOOK_POSTSTART,
        HOOK_POSTSTOP,
        HOOK_MAX
};
extern const char *const spec_hook_names[HOOK_MAX]; /* "prestart", "createRuntime", ... */

struct spec_hooks {
        struct spec_hook *v;
        size_t n;
};

/* ---- linux (config-linux.md) ---- */

enum spec_ns {
        NS_USER, /* in the order in which they must be joined */
        NS_PID,
        NS_NET,
        NS_IPC,
        NS_UTS,
        NS_CGROUP,
        NS_TIME,
        NS_MOUNT,
        NS_MAX
};
extern const char
        *const spec_ns_names[NS_MAX]; /* "user", "pid", "network", ... as in config.json */

struct spec_namespace {
        bool present;
        const char *path; /* to join; NULL: a new one */
};

struct spec_time_offset {
        bool set;
        int64_t secs;
        uint32_t nanosecs;
};

struct spec_device {
        const char *path;
        char type; /* c b u p */
        int64_t major, minor;
        struct opt_u64 file_mode, uid, gid;
};

struct spec_net_device {
        const char *host_name;
        const char *name; /* inside, may hold %d; NULL: the same */
};

struct spec_device_rule {
        bool allow;
        char type;                   /* a c b */
        struct opt_i64 major, minor; /* unset or -1: all */
        const char *access;          /* "rwm" */
};

struct spec_weight_device {
        int64_t major, minor;
        struct opt_u64 weight, leaf_weight;
};
struct spec_throttle_device {
        int64_t major, minor;
        uint64_t rate;
};
struct spec_throttles {
        struct spec_throttle_device *v;
        size_t n;
};

struct spec_hugepage_limit {
        const char *page_size; /* "2MB" */
        uint64_t limit;
};
struct spec_rdma {
        const char *device;
        struct opt_u64 hca_handles, hca_objects;
};

struct spec_memory {
        struct opt_i64 limit, reservation, swap, kernel, kernel_tcp;
        struct opt_u64 swappiness;
        struct opt_bool disable_oom_killer, use_hierarchy, check_before_update;
};
struct spec_cpu {
        struct opt_u64 shares, burst, period, realtime_period;
        struct opt_i64 quota, realtime_runtime, idle;
        const char *cpus, *mems;
};
struct spec_block_io {
        struct opt_u64 weight, leaf_weight;
        struct spec_weight_device *weight_devices;
        size_t n_weight_devices;
        struct spec_throttles read_bps, write_bps, read_iops, write_iops;
};
struct spec_net_prio {
        const char *name;
        uint64_t priority;
};
struct spec_network {
        struct opt_u64 class_id;
        struct spec_net_prio *priorities;
        size_t n_priorities;
};

struct spec_resources {
        struct spec_device_rule *devices;
        size_t n_devices;
        struct spec_memory *memory;
        struct spec_cpu *cpu;
        struct spec_block_io *block_io;
        struct opt_i64 pids_limit; /* -1 max; 0 is a real limit */
        struct spec_hugepage_limit *hugepages;
        size_t n_hugepages;
        struct spec_network *network;
        struct spec_rdma *rdma;
        size_t n_rdma;
        struct key_values unified; /* v2 file name -> value */
};

struct spec_seccomp_arg {
        uint64_t index, value, value_two;
        const char *op; /* SCMP_CMP_EQ ... */
};
struct spec_seccomp_rule {
        struct strings names;
        const char *action; /* SCMP_ACT_ALLOW ... */
        struct opt_u64 errno_ret;
        struct spec_seccomp_arg *args;
        size_t n_args;
};
struct spec_seccomp {
        const char *default_action;
        struct opt_u64 default_errno_ret;
        struct strings architectures;
        struct strings flags; /* .v is NULL where absent, and not NULL where the list is empty */
        const char *listener_path, *listener_metadata;
        struct spec_seccomp_rule *rules;
        size_t n_rules;
};

struct spec_intel_rdt {
        const char *clos_id, *l3_cache_schema, *mem_bw_schema;
        struct strings schemata;
        bool enable_monitoring, enable_cmt, enable_mbm;
};

struct spec_memory_policy {
        const char *mode, *nodes;
        struct strings flags;
};

struct spec_personality {
        const char *domain;   /* LINUX LINUX32 */
        struct strings flags; /* none defined yet: any is an error */
};

struct spec_linux {
        struct id_mappings uid_mappings, gid_mappings;
        struct key_values sysctl;
        struct spec_resources *resources;
        const char *cgroups_path;
        struct spec_namespace namespaces[NS_MAX];
        struct {
                struct spec_time_offset monotonic, boottime;
        } time_offsets;
        struct spec_device *devices;
        size_t n_devices;
        struct spec_net_device *net_devices;
        size_t n_net_devices;
        struct spec_seccomp *seccomp;
        const char *rootfs_propagation;
        struct strings masked_paths, readonly_paths;
        const char *mount_label;
        struct spec_intel_rdt *intel_rdt;
        struct spec_memory_policy *memory_policy;
        struct spec_personality *personality;
};

struct spec {
        const char *oci_version; /* kept, never a reason to refuse */
        struct {
                const char *path; /* as given: may be relative to the bundle */
                bool readonly;
        } root;
        struct spec_process *process; /* NULL: create and start only, as config.md allows */
        const char *hostname, *domainname;
        struct spec_mount *mounts;
        size_t n_mounts;
        struct spec_hooks hooks[HOOK_MAX];
        struct key_values annotations;
        struct spec_linux linux_; /* "linux" is a macro under gnu17; empty where absent */
};

/* The largest config.json that is read. */
#define SPEC_MAX_BYTES (16u << 20)

/* Parses config.json text. Everything in *ret lives in a. */
int spec_parse(struct arena *a, const char *text, size_t n, struct spec *ret, struct err *e);
/* Parses a process object (exec --process) and checks it as spec_parse() does. */
int spec_parse_process(struct arena *a, const char *text, size_t n, struct spec_process *ret,
                       struct err *e);
/* Parses a linux.resources object (update --resources). */
int spec_parse_resources(struct arena *a, const char *text, size_t n, struct spec_resources *ret,
                         struct err *e);
/* The parameter's file below /proc/sys for a key of linux.sysctl ("net.ipv4.conf.eth0.forwarding",
 * or with slashes as separators). False if buf is too small or the key empty; keys that
 * spec_parse() let pass need 256 bytes and lead nowhere else. */
bool spec_sysctl_path(const char *key, char *buf, size_t cap);
/* The annotation's value, or NULL. */
const char *spec_annotation(const struct spec *s, const char *key);
