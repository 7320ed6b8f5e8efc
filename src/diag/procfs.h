/* procfs text -> structs: the formats of proc(5), cgroup files and mountinfo, read strictly.
 *
 * Pure: no system calls, no allocation except from the arena that is passed. The text is partly
 * of the target's choosing (process names, mount points, cgroup names), so every function stands
 * any bytes; fuzz-procfs.c holds them to it. Functions that return bool or int change *ret only
 * on success. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "diag/facts.h"

/* Bytes of a larger text; not ended by a NUL. */
struct span {
        const char *s;
        size_t n;
};
bool span_eq(struct span a, const char *s);
/* The next field before sep, moving *at behind it; false at the end. Empty fields are fields. */
bool span_next(struct span *at, char sep, struct span *ret);
/* The next run of bytes other than blanks and tabs. */
bool span_word(struct span *at, struct span *ret);
bool span_to_u64(struct span s, unsigned base, uint64_t *ret);
bool span_to_i64(struct span s, int64_t *ret);
struct span span_of(const char *s);

/* The rest of the line that starts with key and sep ("VmRSS", ':'), blanks skipped; .s NULL if
 * none. */
struct span text_field(const char *text, const char *key, char sep);
/* That field as a number, a unit of " kB" applied; NUM_ABSENT without such a line. */
struct num text_num(const char *text, const char *key, char sep);
/* A whole file holding one number or "max". */
struct num text_one(const char *text);

struct stat_line { /* proc(5) /proc/pid/stat */
        char state;
        int64_t parent;
        uint64_t utime, stime, start; /* clock ticks */
        uint64_t flags;
};
bool procfs_stat(const char *text, struct stat_line *ret);

struct cgroup_line { /* cgroups(7) /proc/pid/cgroup: "9:cpu,cpuacct:/a" */
        struct span controllers, path;
        uint64_t id; /* 0: the v2 hierarchy */
};
bool procfs_cgroup_next(struct span *at, struct cgroup_line *ret);

struct mount_line { /* proc(5) /proc/pid/mountinfo; octal escapes resolved into the arena */
        uint64_t id, parent;
        unsigned major, minor;
        const char *root, *point, *options, *type, *source, *super;
        uint32_t shared, master; /* peer groups; 0 none */
        bool unbindable;
};
/* Skips lines that it can't read, counting them in *ret_bad (may be NULL). */
bool procfs_mount_next(struct arena *a, struct span *at, struct mount_line *ret, size_t *ret_bad);
/* Whether a comma-separated option list holds name. */
bool options_have(const char *options, const char *name);
/* The value of the n-th name= in an option list as overlayfs prints it, where a backslash keeps the
 * next byte (overlayfs.rst); NULL if none. Unescaped into the arena. */
const char *options_value(struct arena *a, const char *options, const char *name, size_t n);

/* user_namespaces(7) uid_map; at most FACTS_MAP_MAX ranges. */
struct id_map procfs_id_map(struct arena *a, const char *text);
/* The id inside for one outside, or NUM_ABSENT where unmapped. */
struct num id_map_inside(const struct id_map *m, uint32_t outside);

/* /proc/pid/limits: "Max open files  1024  4096  files". */
bool procfs_limit(const char *text, const char *title, struct num *ret_soft, struct num *ret_hard);

/* Documentation/accounting/psi.rst: one "some" or "full" line. */
struct psi_line procfs_psi(const char *text, const char *which);

/* How many cpus a list like "0-3,7" names; at most 2^20. */
struct num cpu_list_count(struct span list);

/* time_namespaces(7) timens_offsets: the line of clock ("boottime" or its number). */
bool procfs_time_offset(const char *text, const char *clock, int64_t *ret_secs, uint32_t *ret_ns);

/* NUL-separated arguments as /proc/pid/cmdline has them; at most FACTS_ARGS_MAX. */
size_t procfs_args(struct arena *a, const char *data, size_t n, const char ***ret, bool *ret_cut);

/* Sums the Read and Write bytes over all devices: v1 blkio.throttle.io_service_bytes, or v2
 * io.stat. */
void procfs_io_v1(const char *text, struct num *ret_read, struct num *ret_write);
void procfs_io_v2(const char *text, struct num *ret_read, struct num *ret_write);

/* v1 devices.list. Returns how many rules; *ret_all where "a *:* rwm" is among them. */
size_t procfs_devices(struct arena *a, const char *text, struct device_fact **ret, bool *ret_all);
