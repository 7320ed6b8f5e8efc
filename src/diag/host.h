/* struct probe_host: what the probes read once about this host and about the reader itself. */
#pragma once

#include "diag/facts.h"
#include "kernel/cgroup.h"

/* A mount of the reader's own table, for finding where a file system part is on this host. */
struct host_mount {
        unsigned major, minor;
        const char *root, *point, *type;
        uint32_t shared; /* peer group; 0 none */
        size_t order;    /* in the table: later ones cover earlier ones */
};

struct probe_host {
        struct arena *arena;
        struct host_mount *mounts; /* sorted by device, then by the length of root, longest first */
        size_t n_mounts;
        struct cgroup_layout layout;
        bool have_layout;
        uint64_t ns_self[NS_MAX],
                ns_init[NS_MAX]; /* inodes of the reader and of its PID 1; 0 unknown */
        const char *layout_name;
        uint64_t ticks; /* per second */
        uint64_t page;
        uint64_t boot_ms; /* CLOCK_BOOTTIME now */
        struct num cpus_online;
        const char *kernel, *name;
};

/* Reads it. Nothing here fails: what is missing stays empty. */
void probe_host_read(struct arena *a, struct probe_host *ret);
/* From texts, for tests: mountinfo of the reader. */
void probe_host_mounts(struct arena *a, const char *mountinfo, struct probe_host *h);
/* The host path of `root` on device major:minor, or NULL where no mount of the reader shows it. */
const char *probe_host_path(const struct probe_host *h, unsigned major, unsigned minor,
                            const char *root);
/* Which file system and which path in it a host path is, by the mount table alone. *ret_root is
 * in the arena. False where path is not absolute. */
bool probe_host_locate(const struct probe_host *h, const char *path, unsigned *ret_major,
                       unsigned *ret_minor, const char **ret_root);
