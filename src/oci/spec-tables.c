/* What config.json may hold, field by field: runtime-spec 1.3.0 config.md and config-linux.md.
 * Rules between fields are in spec-check*.c. */
#include "base/macro.h"
#include "kernel/process.h"
#include "kernel/sched.h"
#include "oci/spec-decode.h"
#include "oci/spec.h"

/* The offset of T.m, which must be of type M: a mismatch is a comparison of unlike pointers. */
#define AT(T, m, M) (offsetof(struct T, m) + 0 * sizeof((M *)0 == &((struct T *)0)->m))

#define FIELD(T, key, k, m, M, ...)                                                                \
        {                                                                                          \
                .name = (key), .kind = (k), .offset = AT(T, m, M), ##__VA_ARGS__                   \
        }
#define BOOL(T, key, m) FIELD(T, key, SPEC_BOOL, m, bool)
#define OPT_BOOL(T, key, m) FIELD(T, key, SPEC_OPT_BOOL, m, struct opt_bool)
#define INT(T, key, m, lo, hi, without)                                                            \
        FIELD(T, key, SPEC_INT, m, int64_t, .min = (lo), .max = (hi), .absent = (without))
#define OPT_INT(T, key, m, lo, hi)                                                                 \
        FIELD(T, key, SPEC_OPT_INT, m, struct opt_i64, .min = (lo), .max = (hi))
#define UINT(T, key, m, hi) FIELD(T, key, SPEC_UINT, m, uint64_t, .max = (hi))
#define OPT_UINT(T, key, m, hi) FIELD(T, key, SPEC_OPT_UINT, m, struct opt_u64, .max = (hi))
#define U32(T, key, m, hi) FIELD(T, key, SPEC_U32, m, uint32_t, .max = (hi))
#define U32_NEEDED(T, key, m, hi)                                                                  \
        FIELD(T, key, SPEC_U32, m, uint32_t, .max = (hi), .required = true)
#define U32S(T, key, m, c, hi)                                                                     \
        FIELD(T, key, SPEC_U32S, m, uint32_t *, .count = AT(T, c, size_t), .max = (hi))
#define STR(T, key, m) FIELD(T, key, SPEC_STR, m, const char *)
#define STR_NEEDED(T, key, m) FIELD(T, key, SPEC_STR, m, const char *, .required = true)
#define NAME_NEEDED(T, key, m, t)                                                                  \
        FIELD(T, key, SPEC_STR, m, const char *, .required = true, .values = (t))
#define LETTER(T, key, m, set) FIELD(T, key, SPEC_LETTER, m, char, .letters = (set))
#define LETTER_NEEDED(T, key, m, set)                                                              \
        FIELD(T, key, SPEC_LETTER, m, char, .letters = (set), .required = true)
#define STRINGS(T, key, m) FIELD(T, key, SPEC_STRINGS, m, struct strings)
#define NAMES(T, key, m, t) FIELD(T, key, SPEC_STRINGS, m, struct strings, .values = (t))
#define PAIRS(T, key, m) FIELD(T, key, SPEC_PAIRS, m, struct key_values)
#define STRUCT(T, key, m, t, M) FIELD(T, key, SPEC_STRUCT, m, struct M, .table = &(t))
#define POINTER(T, key, m, t, M) FIELD(T, key, SPEC_POINTER, m, struct M *, .table = &(t))
#define ARRAY(T, key, m, c, t, M)                                                                  \
        FIELD(T, key, SPEC_ARRAY, m, struct M *, .count = AT(T, c, size_t), .table = &(t))
#define MAP(T, key, m, c, t, M)                                                                    \
        FIELD(T, key, SPEC_MAP, m, struct M *, .count = AT(T, c, size_t), .table = &(t))

/* The members of an unnamed struct belong to the struct around it: a table of that one, at 0. */
#define INNER(key, t)                                                                              \
        {                                                                                          \
                .name = (key), .kind = SPEC_STRUCT, .table = &(t)                                  \
        }
#define CUSTOM(key, f)                                                                             \
        {                                                                                          \
                .name = (key), .kind = SPEC_CUSTOM, .custom = (f)                                  \
        }

#define TABLE(t, T) static const struct spec_table t = { t##_fields, sizeof(struct T) }

#define ID_MAX (UINT32_MAX - 1) /* (uid_t)-1 means "leave it alone" to the kernel */

/* ---- process ---- */

static const struct spec_field rlimit_fields[] = {
        NAME_NEEDED(spec_rlimit, "type", type, process_rlimits),
        UINT(spec_rlimit, "soft", soft, UINT64_MAX),
        UINT(spec_rlimit, "hard", hard, UINT64_MAX),
        {},
};
TABLE(rlimit, spec_rlimit);

static const struct spec_field caps_fields[] = {
        STRINGS(spec_caps, "bounding", bounding),   STRINGS(spec_caps, "effective", effective),
        STRINGS(spec_caps, "permitted", permitted), STRINGS(spec_caps, "inheritable", inheritable),
        STRINGS(spec_caps, "ambient", ambient),     {},
};
TABLE(caps, spec_caps);

static const struct spec_field scheduler_fields[] = {
        NAME_NEEDED(spec_scheduler, "policy", policy, sched_policies),
        INT(spec_scheduler, "nice", nice, INT32_MIN, INT32_MAX, 0),
        INT(spec_scheduler, "priority", priority, INT32_MIN, INT32_MAX, 0),
        NAMES(spec_scheduler, "flags", flags, sched_flags),
        UINT(spec_scheduler, "runtime", runtime, UINT64_MAX),
        UINT(spec_scheduler, "deadline", deadline, UINT64_MAX),
        UINT(spec_scheduler, "period", period, UINT64_MAX),
        {},
};
TABLE(scheduler, spec_scheduler);

static const struct spec_field io_priority_fields[] = {
        NAME_NEEDED(spec_io_priority, "class", class, sched_io_classes),
        INT(spec_io_priority, "priority", priority, 0, 7, 0),
        {},
};
TABLE(io_priority, spec_io_priority);

static const struct spec_field user_fields[] = {
        U32(spec_user, "uid", uid, ID_MAX),
        U32(spec_user, "gid", gid, ID_MAX),
        OPT_UINT(spec_user, "umask", umask, UINT32_MAX),
        U32S(spec_user, "additionalGids", additional_gids, n_additional_gids, ID_MAX),
        STR(spec_user, "username", username),
        {},
};
TABLE(user, spec_user);

static const struct spec_field console_size_fields[] = {
        UINT(spec_process, "height", console_size.height, UINT16_MAX),
        UINT(spec_process, "width", console_size.width, UINT16_MAX),
        {},
};
TABLE(console_size, spec_process);

static const struct spec_field cpu_affinity_fields[] = {
        STR(spec_process, "initial", exec_cpu_affinity.initial),
        STR(spec_process, "final", exec_cpu_affinity.final),
        {},
};
TABLE(cpu_affinity, spec_process);

static const struct spec_field process_fields[] = {
        BOOL(spec_process, "terminal", terminal),
        INNER("consoleSize", console_size),
        STRUCT(spec_process, "user", user, user, spec_user),
        STRINGS(spec_process, "args", args),
        STRINGS(spec_process, "env", env),
        STR_NEEDED(spec_process, "cwd", cwd),
        POINTER(spec_process, "capabilities", capabilities, caps, spec_caps),
        ARRAY(spec_process, "rlimits", rlimits, n_rlimits, rlimit, spec_rlimit),
        BOOL(spec_process, "noNewPrivileges", no_new_privileges),
        STR(spec_process, "apparmorProfile", apparmor_profile),
        STR(spec_process, "selinuxLabel", selinux_label),
        OPT_INT(spec_process, "oomScoreAdj", oom_score_adj, -1000, 1000),
        POINTER(spec_process, "scheduler", scheduler, scheduler, spec_scheduler),
        POINTER(spec_process, "ioPriority", io_priority, io_priority, spec_io_priority),
        INNER("execCPUAffinity", cpu_affinity),
        {},
};
const struct spec_table spec_table_process = { process_fields, sizeof(struct spec_process) };

/* ---- mounts, hooks ---- */

static const struct spec_field id_mapping_fields[] = {
        U32_NEEDED(id_mapping, "containerID", container_id, UINT32_MAX),
        U32_NEEDED(id_mapping, "hostID", host_id, UINT32_MAX),
        U32_NEEDED(id_mapping, "size", size, UINT32_MAX),
        {},
};
TABLE(id_mapping, id_mapping);

#define ID_MAPPINGS(T, key, m) ARRAY(T, key, m.v, m.n, id_mapping, id_mapping)

static const struct spec_field mount_fields[] = {
        STR_NEEDED(spec_mount, "destination", destination),
        STR(spec_mount, "type", type),
        STR(spec_mount, "source", source),
        STRINGS(spec_mount, "options", options),
        ID_MAPPINGS(spec_mount, "uidMappings", uid_mappings),
        ID_MAPPINGS(spec_mount, "gidMappings", gid_mappings),
        {},
};
TABLE(mount, spec_mount);

static const struct spec_field hook_fields[] = {
        STR_NEEDED(spec_hook, "path", path),
        STRINGS(spec_hook, "args", args),
        STRINGS(spec_hook, "env", env),
        OPT_INT(spec_hook, "timeout", timeout, 1, INT32_MAX),
        {},
};
TABLE(hook, spec_hook);

#define HOOKS(key, kind) ARRAY(spec, key, hooks[kind].v, hooks[kind].n, hook, spec_hook)

static const struct spec_field hooks_fields[] = {
        HOOKS("prestart", HOOK_PRESTART),
        HOOKS("createRuntime", HOOK_CREATE_RUNTIME),
        HOOKS("createContainer", HOOK_CREATE_CONTAINER),
        HOOKS("startContainer", HOOK_START_CONTAINER),
        HOOKS("poststart", HOOK_POSTSTART),
        HOOKS("poststop", HOOK_POSTSTOP),
        {},
};
TABLE(hooks, spec);

/* ---- linux.resources ---- */

static const struct spec_field device_rule_fields[] = {
        BOOL(spec_device_rule, "allow", allow),
        LETTER(spec_device_rule, "type", type, "abc"),
        OPT_INT(spec_device_rule, "major", major, -1, UINT32_MAX),
        OPT_INT(spec_device_rule, "minor", minor, -1, UINT32_MAX),
        STR_NEEDED(spec_device_rule, "access", access),
        {},
};
TABLE(device_rule, spec_device_rule);

/* -1: no limit. */
#define BYTES(key, m) OPT_INT(spec_memory, key, m, -1, INT64_MAX)

static const struct spec_field memory_fields[] = {
        BYTES("limit", limit),
        BYTES("reservation", reservation),
        BYTES("swap", swap),
        BYTES("kernel", kernel),
        BYTES("kernelTCP", kernel_tcp),
        OPT_UINT(spec_memory, "swappiness", swappiness, 100),
        OPT_BOOL(spec_memory, "disableOOMKiller", disable_oom_killer),
        OPT_BOOL(spec_memory, "useHierarchy", use_hierarchy),
        OPT_BOOL(spec_memory, "checkBeforeUpdate", check_before_update),
        {},
};
TABLE(memory, spec_memory);

static const struct spec_field cpu_fields[] = {
        OPT_UINT(spec_cpu, "shares", shares, UINT64_MAX),
        OPT_UINT(spec_cpu, "burst", burst, UINT64_MAX),
        OPT_UINT(spec_cpu, "period", period, UINT64_MAX),
        OPT_UINT(spec_cpu, "realtimePeriod", realtime_period, UINT64_MAX),
        OPT_INT(spec_cpu, "quota", quota, INT64_MIN, INT64_MAX),
        OPT_INT(spec_cpu, "realtimeRuntime", realtime_runtime, INT64_MIN, INT64_MAX),
        OPT_INT(spec_cpu, "idle", idle, 0, 1),
        STR(spec_cpu, "cpus", cpus),
        STR(spec_cpu, "mems", mems),
        {},
};
TABLE(cpu, spec_cpu);

static const struct spec_field weight_device_fields[] = {
        INT(spec_weight_device, "major", major, 0, UINT32_MAX, 0),
        INT(spec_weight_device, "minor", minor, 0, UINT32_MAX, 0),
        OPT_UINT(spec_weight_device, "weight", weight, UINT16_MAX),
        OPT_UINT(spec_weight_device, "leafWeight", leaf_weight, UINT16_MAX),
        {},
};
TABLE(weight_device, spec_weight_device);

static const struct spec_field throttle_device_fields[] = {
        INT(spec_throttle_device, "major", major, 0, UINT32_MAX, 0),
        INT(spec_throttle_device, "minor", minor, 0, UINT32_MAX, 0),
        UINT(spec_throttle_device, "rate", rate, UINT64_MAX),
        {},
};
TABLE(throttle_device, spec_throttle_device);

#define THROTTLES(key, m) ARRAY(spec_block_io, key, m.v, m.n, throttle_device, spec_throttle_device)

static const struct spec_field block_io_fields[] = {
        OPT_UINT(spec_block_io, "weight", weight, UINT16_MAX),
        OPT_UINT(spec_block_io, "leafWeight", leaf_weight, UINT16_MAX),
        ARRAY(spec_block_io, "weightDevice", weight_devices, n_weight_devices, weight_device,
              spec_weight_device),
        THROTTLES("throttleReadBpsDevice", read_bps),
        THROTTLES("throttleWriteBpsDevice", write_bps),
        THROTTLES("throttleReadIOPSDevice", read_iops),
        THROTTLES("throttleWriteIOPSDevice", write_iops),
        {},
};
TABLE(block_io, spec_block_io);

static const struct spec_field hugepage_limit_fields[] = {
        STR_NEEDED(spec_hugepage_limit, "pageSize", page_size),
        UINT(spec_hugepage_limit, "limit", limit, UINT64_MAX),
        {},
};
TABLE(hugepage_limit, spec_hugepage_limit);

static const struct spec_field net_prio_fields[] = {
        STR_NEEDED(spec_net_prio, "name", name),
        UINT(spec_net_prio, "priority", priority, UINT32_MAX),
        {},
};
TABLE(net_prio, spec_net_prio);

static const struct spec_field network_fields[] = {
        OPT_UINT(spec_network, "classID", class_id, UINT32_MAX),
        ARRAY(spec_network, "priorities", priorities, n_priorities, net_prio, spec_net_prio),
        {},
};
TABLE(network, spec_network);

static const struct spec_field rdma_fields[] = {
        OPT_UINT(spec_rdma, "hcaHandles", hca_handles, UINT32_MAX),
        OPT_UINT(spec_rdma, "hcaObjects", hca_objects, UINT32_MAX),
        {},
};
TABLE(rdma, spec_rdma);
static_assert(offsetof(struct spec_rdma, device) == 0, "SPEC_MAP stores the name there");

static const struct spec_field pids_fields[] = {
        OPT_INT(spec_resources, "limit", pids_limit, INT64_MIN, INT64_MAX),
        {},
};
TABLE(pids, spec_resources);

static const struct spec_field resources_fields[] = {
        ARRAY(spec_resources, "devices", devices, n_devices, device_rule, spec_device_rule),
        POINTER(spec_resources, "memory", memory, memory, spec_memory),
        POINTER(spec_resources, "cpu", cpu, cpu, spec_cpu),
        POINTER(spec_resources, "blockIO", block_io, block_io, spec_block_io),
        INNER("pids", pids),
        ARRAY(spec_resources, "hugepageLimits", hugepages, n_hugepages, hugepage_limit,
              spec_hugepage_limit),
        POINTER(spec_resources, "network", network, network, spec_network),
        MAP(spec_resources, "rdma", rdma, n_rdma, rdma, spec_rdma),
        PAIRS(spec_resources, "unified", unified),
        {},
};
const struct spec_table spec_table_resources = { resources_fields, sizeof(struct spec_resources) };

/* ---- linux ---- */

static const struct spec_field device_fields[] = {
        STR_NEEDED(spec_device, "path", path),
        LETTER_NEEDED(spec_device, "type", type, "cbup"),
        INT(spec_device, "major", major, -1, UINT32_MAX, -1),
        INT(spec_device, "minor", minor, -1, UINT32_MAX, -1),
        OPT_UINT(spec_device, "fileMode", file_mode, UINT32_MAX),
        OPT_UINT(spec_device, "uid", uid, ID_MAX),
        OPT_UINT(spec_device, "gid", gid, ID_MAX),
        {},
};
TABLE(device, spec_device);

static const struct spec_field net_device_fields[] = {
        STR(spec_net_device, "name", name),
        {},
};
TABLE(net_device, spec_net_device);
static_assert(offsetof(struct spec_net_device, host_name) == 0, "SPEC_MAP stores the name there");

static const struct spec_field seccomp_arg_fields[] = {
        UINT(spec_seccomp_arg, "index", index, 5),
        UINT(spec_seccomp_arg, "value", value, UINT64_MAX),
        UINT(spec_seccomp_arg, "valueTwo", value_two, UINT64_MAX),
        STR_NEEDED(spec_seccomp_arg, "op", op),
        {},
};
TABLE(seccomp_arg, spec_seccomp_arg);

static const struct spec_field seccomp_rule_fields[] = {
        STRINGS(spec_seccomp_rule, "names", names),
        STR_NEEDED(spec_seccomp_rule, "action", action),
        OPT_UINT(spec_seccomp_rule, "errnoRet", errno_ret, UINT16_MAX),
        ARRAY(spec_seccomp_rule, "args", args, n_args, seccomp_arg, spec_seccomp_arg),
        {},
};
TABLE(seccomp_rule, spec_seccomp_rule);

static const struct spec_field seccomp_fields[] = {
        STR(spec_seccomp, "defaultAction", default_action),
        OPT_UINT(spec_seccomp, "defaultErrnoRet", default_errno_ret, UINT16_MAX),
        STRINGS(spec_seccomp, "architectures", architectures),
        STRINGS(spec_seccomp, "flags", flags),
        STR(spec_seccomp, "listenerPath", listener_path),
        STR(spec_seccomp, "listenerMetadata", listener_metadata),
        ARRAY(spec_seccomp, "syscalls", rules, n_rules, seccomp_rule, spec_seccomp_rule),
        {},
};
TABLE(seccomp, spec_seccomp);

static const struct spec_field intel_rdt_fields[] = {
        STR(spec_intel_rdt, "closID", clos_id),
        STR(spec_intel_rdt, "l3CacheSchema", l3_cache_schema),
        STR(spec_intel_rdt, "memBwSchema", mem_bw_schema),
        STRINGS(spec_intel_rdt, "schemata", schemata),
        BOOL(spec_intel_rdt, "enableMonitoring", enable_monitoring),
        BOOL(spec_intel_rdt, "enableCMT", enable_cmt),
        BOOL(spec_intel_rdt, "enableMBM", enable_mbm),
        {},
};
TABLE(intel_rdt, spec_intel_rdt);

static const struct spec_field memory_policy_fields[] = {
        NAME_NEEDED(spec_memory_policy, "mode", mode, sched_mem_modes),
        STR(spec_memory_policy, "nodes", nodes),
        NAMES(spec_memory_policy, "flags", flags, sched_mem_flags),
        {},
};
TABLE(memory_policy, spec_memory_policy);

static const struct str_flag no_values[] = { { NULL, 0 } };

static const struct spec_field personality_fields[] = {
        NAME_NEEDED(spec_personality, "domain", domain, process_domains),
        NAMES(spec_personality, "flags", flags, no_values),
        {},
};
TABLE(personality, spec_personality);

static const struct spec_field time_offset_fields[] = {
        INT(spec_time_offset, "secs", secs, INT64_MIN, INT64_MAX, 0),
        U32(spec_time_offset, "nanosecs", nanosecs, 999999999),
        {},
};
TABLE(time_offset, spec_time_offset);

/* Clocks are named by keys: one that the kernel can't shift is a wrong value, no unknown
 * property. */
static int take_time_offsets(struct spec_decoder *d, const struct json *j, const struct spec_at *at,
                             void *base)
{
        struct spec_linux *l = base;

        if (j->type != JSON_OBJECT)
                return spec_decode_bad(d, at, j, "an object of objects");
        for (uint32_t i = 0; i < j->n; i++) {
                const char *clock = j->members[i].name;
                struct spec_at here = { .up = at, .name = clock, .quoted = true };
                struct spec_time_offset *o = str_eq(clock, "monotonic") ? &l->time_offsets.monotonic
                                             : str_eq(clock, "boottime") ? &l->time_offsets.boottime
                                                                         : NULL;

                if (!o)
                        return spec_decode_fail(d, &here,
                                                "unknown clock: expected monotonic or boottime");
                if (spec_decode(d, &j->members[i].value, &time_offset, &here, o) < 0)
                        return -1;
                o->set = true;
        }
        return 0;
}

struct namespace_entry {
        const char *type, *path;
};
static const struct spec_field namespace_entry_fields[] = {
        STR_NEEDED(namespace_entry, "type", type),
        STR(namespace_entry, "path", path),
        {},
};
TABLE(namespace_entry, namespace_entry);

/* The array becomes a member per kind, so that a second one of a kind has no place. */
static int take_namespaces(struct spec_decoder *d, const struct json *j, const struct spec_at *at,
                           void *base)
{
        struct spec_linux *l = base;

        if (j->type != JSON_ARRAY)
                return spec_decode_bad(d, at, j, "an array of objects");
        for (uint32_t i = 0; i < j->n; i++) {
                struct spec_at here = { .up = at, .index = i };
                struct spec_at type = { .up = &here, .name = "type" };
                struct namespace_entry n = { 0 };
                int kind;

                if (spec_decode(d, &j->items[i], &namespace_entry, &here, &n) < 0)
                        return -1;
                kind = STR_INDEX(spec_ns_names, n.type);
                if (kind < 0)
                        return spec_decode_fail(d, &type, "unknown namespace %s",
                                                spec_quote(n.type).s);
                if (l->namespaces[kind].present)
                        return spec_decode_fail(d, &type, "a second namespace of type \"%s\"",
                                                n.type);
                l->namespaces[kind] = (struct spec_namespace){ .present = true, .path = n.path };
        }
        return 0;
}

static const struct spec_field linux__fields[] = {
        ID_MAPPINGS(spec_linux, "uidMappings", uid_mappings),
        ID_MAPPINGS(spec_linux, "gidMappings", gid_mappings),
        PAIRS(spec_linux, "sysctl", sysctl),
        POINTER(spec_linux, "resources", resources, spec_table_resources, spec_resources),
        STR(spec_linux, "cgroupsPath", cgroups_path),
        CUSTOM("namespaces", take_namespaces),
        CUSTOM("timeOffsets", take_time_offsets),
        ARRAY(spec_linux, "devices", devices, n_devices, device, spec_device),
        MAP(spec_linux, "netDevices", net_devices, n_net_devices, net_device, spec_net_device),
        POINTER(spec_linux, "seccomp", seccomp, seccomp, spec_seccomp),
        STR(spec_linux, "rootfsPropagation", rootfs_propagation),
        STRINGS(spec_linux, "maskedPaths", masked_paths),
        STRINGS(spec_linux, "readonlyPaths", readonly_paths),
        STR(spec_linux, "mountLabel", mount_label),
        POINTER(spec_linux, "intelRdt", intel_rdt, intel_rdt, spec_intel_rdt),
        POINTER(spec_linux, "memoryPolicy", memory_policy, memory_policy, spec_memory_policy),
        POINTER(spec_linux, "personality", personality, personality, spec_personality),
        {},
};
TABLE(linux_, spec_linux);

/* ---- the document ---- */

static const struct spec_field root_fields[] = {
        STR_NEEDED(spec, "path", root.path),
        BOOL(spec, "readonly", root.readonly),
        {},
};
TABLE(root, spec);

static const struct spec_field config_fields[] = {
        STR(spec, "ociVersion", oci_version),
        INNER("root", root),
        POINTER(spec, "process", process, spec_table_process, spec_process),
        STR(spec, "hostname", hostname),
        STR(spec, "domainname", domainname),
        ARRAY(spec, "mounts", mounts, n_mounts, mount, spec_mount),
        INNER("hooks", hooks),
        PAIRS(spec, "annotations", annotations),
        STRUCT(spec, "linux", linux_, linux_, spec_linux),
        {},
};
const struct spec_table spec_table_config = { config_fields, sizeof(struct spec) };
