#include "diag/mounts.h"

#include <stdlib.h>

#include "base/path.h"
#include "base/str.h"
#include "diag/procfs.h"

/* Kernel interfaces rather than places for data. */
static const char *const system_types[] = { "proc",     "sysfs",     "devpts",     "mqueue",
                                            "cgroup",   "cgroup2",   "devtmpfs",   "securityfs",
                                            "debugfs",  "tracefs",   "bpf",        "configfs",
                                            "fusectl",  "hugetlbfs", "pstore",     "binfmt_misc",
                                            "efivarfs", "selinuxfs", "rpc_pipefs", "resctrl",
                                            "autofs",   "nsfs" };
/* tmpfs that every container gets. */
static const char *const system_points[] = { "/dev", "/dev/shm", "/sys/fs/cgroup", "/dev/console" };
static const char *const engine_points[] = { "/etc/hosts",           "/etc/hostname",
                                             "/etc/resolv.conf",     "/run/.containerenv",
                                             "/dev/termination-log", "/run/secrets",
                                             "/.dockerenv",          "/etc/localtime" };

static bool in_list(const char *const *list, size_t n, const char *s)
{
        return str_index(list, n, s) >= 0;
}

static bool below_kernel(const char *point)
{
        return str_after(point, "/proc/") || str_after(point, "/sys/");
}

static enum mount_role role_of(const struct mount_fact *m)
{
        bool kernel = below_kernel(m->point);

        if (kernel && str_ends(m->root, "/null") &&
            (str_eq(m->type, "devtmpfs") || str_eq(m->type, "tmpfs")))
                return MOUNT_MASKED;
        if (kernel && str_eq(m->type, "tmpfs") && m->ro && !str_eq(m->point, "/sys/fs/cgroup"))
                return MOUNT_MASKED;
        if (kernel && (str_eq(m->type, "proc") || str_eq(m->type, "sysfs")) &&
            !str_eq(m->root, "/") && m->ro)
                return MOUNT_READONLY_PATH;
        if (in_list(system_types, ARRAY_SIZE(system_types), m->type) ||
            in_list(system_points, ARRAY_SIZE(system_points), m->point))
                return MOUNT_SYSTEM;
        if (in_list(engine_points, ARRAY_SIZE(engine_points), m->point))
                return MOUNT_ENGINE;
        return MOUNT_DATA;
}

static struct mount_fact fact_of(const struct mount_line *l, const struct probe_host *h)
{
        struct mount_fact m = {
                .id = l->id,
                .parent = l->parent,
                .major = l->major,
                .minor = l->minor,
                .root = l->root,
                .point = l->point,
                .type = l->type,
                .source = l->source,
                .super = l->super,
                .ro = options_have(l->options, "ro") || options_have(l->super, "ro"),
                .noexec = options_have(l->options, "noexec"),
                .nosuid = options_have(l->options, "nosuid"),
                .nodev = options_have(l->options, "nodev"),
                .idmapped = options_have(l->options, "idmapped"),
                .shared = l->shared != 0,
                .slave = l->master != 0,
                .unbindable = l->unbindable,
                .shared_group = l->shared,
                .master_group = l->master,
                .deleted = str_ends(l->root, "//deleted"),
        };

        m.role = role_of(&m);
        if (!m.deleted)
                m.host_path = probe_host_path(h, m.major, m.minor, m.root);
        m.bind = !str_eq(m.root, "/") || m.host_path;
        return m;
}

static int by_id(const void *a, const void *b)
{
        const struct mount_fact *const *x = a, *const *y = b;

        return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

static struct mount_fact *find_id(struct mount_fact **sorted, size_t n, uint64_t id)
{
        size_t low = 0, high = n;

        while (low < high) {
                size_t mid = low + (high - low) / 2;

                if (sorted[mid]->id < id)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low < n && sorted[low]->id == id ? sorted[low] : NULL;
}

/* A mount on its parent's own mount point covers it. */
static void mark_hidden(struct arena *a, struct fs_facts *fs)
{
        struct mount_fact **sorted = arena_array(a, struct mount_fact *, fs->n);

        for (size_t i = 0; i < fs->n; i++)
                sorted[i] = &fs->mounts[i];
        qsort(sorted, fs->n, sizeof(*sorted), by_id);
        for (size_t i = 0; i < fs->n; i++) {
                struct mount_fact *parent = find_id(sorted, fs->n, fs->mounts[i].parent);

                if (parent && parent != &fs->mounts[i] &&
                    str_eq(parent->point, fs->mounts[i].point))
                        parent->hidden = true;
        }
}

static int by_group(const void *a, const void *b)
{
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

        return x < y ? -1 : x > y;
}

/* Mounts made in a peer group's member appear in all of them. */
static void mark_peers(struct arena *a, const struct probe_host *h, struct fs_facts *fs)
{
        uint32_t *groups = arena_array(a, uint32_t, h->n_mounts);
        size_t n = 0;

        for (size_t i = 0; i < h->n_mounts; i++)
                if (h->mounts[i].shared)
                        groups[n++] = h->mounts[i].shared;
        qsort(groups, n, sizeof *groups, by_group);
        for (size_t i = 0; i < fs->n; i++)
                fs->mounts[i].reaches_host =
                        fs->mounts[i].shared && n &&
                        bsearch(&fs->mounts[i].shared_group, groups, n, sizeof *groups, by_group);
}

static void find_root(struct fs_facts *fs)
{
        fs->root = -1;
        for (size_t i = 0; i < fs->n; i++)
                if (str_eq(fs->mounts[i].point, "/") && !fs->mounts[i].hidden)
                        fs->root = (int)i;
        if (fs->root < 0)
                return;
        struct mount_fact *root = &fs->mounts[fs->root];

        root->role = MOUNT_ROOT;
        fs->root_kind = str_eq(root->type, "overlay")                 ? "overlay"
                        : str_eq(root->root, "/") && !root->host_path ? root->type
                                                                      : "directory";
}

void mounts_read(struct arena *a, const char *mountinfo, const struct probe_host *h,
                 struct fs_facts *fs)
{
        struct span at = span_of(mountinfo);
        struct mount_line line;
        size_t cap = 1;

        for (const char *c = mountinfo; *c && cap <= FACTS_MOUNTS_MAX; c++)
                cap += *c == '\n';
        fs->mounts = arena_array(a, struct mount_fact, cap);
        while (procfs_mount_next(a, &at, &line, &fs->n_bad)) {
                if (fs->n == cap) {
                        fs->cut = true;
                        break;
                }
                fs->mounts[fs->n++] = fact_of(&line, h);
        }
        fs->is = NUM_KNOWN;
        mark_hidden(a, fs);
        mark_peers(a, h, fs);
        find_root(fs);
        for (size_t i = 0; i < fs->n; i++) {
                struct mount_fact *m = &fs->mounts[i];

                if (!m->hidden)
                        fs->count[m->role]++;
                if (m->role == MOUNT_DATA && m->host_path)
                        m->danger = host_path_danger(m->host_path);
        }
}

/* ---- what containers usually do not get ---- */

/* The defaults of podman, docker, containerd and CRI-O taken together. */
static const char *const default_masked[] = {
        "/proc/acpi",        "/proc/asound",  "/proc/interrupts",
        "/proc/kcore",       "/proc/keys",    "/proc/latency_stats",
        "/proc/sched_debug", "/proc/scsi",    "/proc/timer_list",
        "/proc/timer_stats", "/sys/firmware", "/sys/devices/virtual/powercap",
};
static const char *const default_readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                                "/proc/sysrq-trigger" };

/* The innermost visible mount that shows path. */
static const struct mount_fact *mount_at(const struct fs_facts *fs, const char *path)
{
        const struct mount_fact *best = NULL;

        for (size_t i = 0; i < fs->n; i++) {
                const struct mount_fact *m = &fs->mounts[i];

                if (!m->hidden && path_below(path, m->point) &&
                    (!best || strlen(m->point) >= strlen(best->point)))
                        best = m;
        }
        return best;
}

void mounts_protections(struct arena *a, struct fs_facts *fs, bool (*exists)(const char *path))
{
        fs->unmasked = arena_array(a, const char *, ARRAY_SIZE(default_masked));
        fs->writable = arena_array(a, const char *, ARRAY_SIZE(default_readonly));
        for (size_t i = 0; i < ARRAY_SIZE(default_masked); i++) {
                const struct mount_fact *m = mount_at(fs, default_masked[i]);

                if (m && m->role == MOUNT_SYSTEM && exists(default_masked[i]) &&
                    !str_eq(default_masked[i], "/proc/interrupts"))
                        fs->unmasked[fs->n_unmasked++] = default_masked[i];
        }
        for (size_t i = 0; i < ARRAY_SIZE(default_readonly); i++) {
                const struct mount_fact *m = mount_at(fs, default_readonly[i]);

                if (m && m->role == MOUNT_SYSTEM && !m->ro && exists(default_readonly[i]))
                        fs->writable[fs->n_writable++] = default_readonly[i];
        }
}

static const struct path_danger {
        const char *path, *why;
} path_dangers[] = {
        { "/", "the host's whole root" },
        { "/etc", "the host's configuration" },
        { "/root", "root's home" },
        { "/boot", "the host's kernels" },
        { "/dev", "the host's devices" },
        { "/proc", "the host's processes" },
        { "/sys", "the host's devices and kernel settings" },
        { "/usr", "the host's programs" },
        { "/run", "the host's sockets and run-time state" },
        { "/var", "the host's state" },
        { "/var/lib", "the host's state" },
        { "/var/lib/docker", "every docker container's files" },
        { "/var/lib/containers", "every podman container's files" },
        { "/var/lib/containerd", "every containerd container's files" },
        { "/var/lib/berth", "every berth container's files" },
        { "/var/lib/kubelet", "every pod's volumes and secrets" },
        { "/var/log", "the host's logs" },
        { "/home", "every user's files" },
};

const char *host_path_danger(const char *path)
{
        for (size_t i = 0; i < ARRAY_SIZE(path_dangers); i++)
                if (str_eq(path, path_dangers[i].path))
                        return path_dangers[i].why;
        return NULL;
}

/* ---- overlay ---- */

static const struct store {
        const char *part; /* of the path; what follows is the layer's name up to a slash */
        const char *name;
} stores[] = {
        { "/storage/overlay/", "containers/storage layer" },
        { "/docker/overlay2/", "docker layer" },
        { "/io.containerd.snapshotter.v1.overlayfs/snapshots/", "containerd snapshot" },
        { "/io.containerd.snapshotter.v1.erofs/snapshots/", "containerd snapshot" },
        { "/berth/layers/", "berth layer" },
        { "/berth/containers/", "berth container" },
};

const char *layer_origin(struct arena *a, const char *path)
{
        if (str_eq(path, "/"))
                return "this host's root";
        for (size_t i = 0; i < ARRAY_SIZE(stores); i++) {
                const char *at = strstr(path, stores[i].part);

                if (!at)
                        continue;
                at += strlen(stores[i].part);
                return arena_printf(a, "%s %.*s", stores[i].name,
                                    (int)MIN(strcspn(at, "/"), (size_t)12), at);
        }
        return NULL;
}

/* docker gives short names relative to its directory: below the upper layer's grandparent. */
static const char *absolute(struct arena *a, const char *path, const char *upper)
{
        const char *end;

        if (*path == '/' || !upper)
                return path;
        end = strstr(upper, "/overlay2/");
        if (!end)
                return path;
        return arena_printf(a, "%.*s/overlay2/%s", (int)(end - upper), upper, path);
}

static struct layer_fact layer_of(struct arena *a, const char *path, const char *upper,
                                  const char *(*dir_link)(struct arena *a, const char *path))
{
        struct layer_fact l = { .path = absolute(a, path, upper) };
        const char *to = NULL;

        /* ".../overlay/l/ABCDEF" links to "../<layer>/diff". */
        if (dir_link && strstr(l.path, "/l/"))
                to = dir_link(a, l.path);
        if (to) {
                size_t dir = strlen(l.path) - strlen(path_base(l.path));
                char clean[4096];
                const char *joined = arena_printf(a, "%.*s%s", (int)dir, l.path, to);

                if (path_clean(*to == '/' ? to : joined, clean, sizeof clean) == 0)
                        l.path = arena_strdup(a, clean);
        }
        l.origin = layer_origin(a, l.path);
        return l;
}

#define LAYERS_MAX 1024

/* The list's next directory: a backslash keeps a colon. */
static bool lower_next(struct arena *a, struct span *at, const char **ret)
{
        char *out, *to;
        size_t i;

        if (!at->s)
                return false;
        out = to = arena_alloc(a, at->n + 1);
        for (i = 0; i < at->n && at->s[i] != ':'; i++) {
                if (at->s[i] == '\\' && i + 1 < at->n)
                        i++;
                *to++ = at->s[i];
        }
        *at = i < at->n ? (struct span){ at->s + i + 1, at->n - i - 1 } : (struct span){ NULL, 0 };
        *ret = out;
        return true;
}

void mounts_overlay(struct arena *a, struct fs_facts *fs,
                    const char *(*dir_link)(struct arena *a, const char *path))
{
        const struct mount_fact *root = fs->root >= 0 ? &fs->mounts[fs->root] : NULL;
        const char *list, *path;

        if (!root || !str_eq(root->type, "overlay"))
                return;
        fs->lower = arena_array(a, struct layer_fact, LAYERS_MAX);
        fs->upper = options_value(a, root->super, "upperdir", 0);
        fs->work = options_value(a, root->super, "workdir", 0);
        if (fs->upper)
                fs->upper_origin = layer_of(a, fs->upper, NULL, NULL);
        list = options_value(a, root->super, "lowerdir", 0);
        for (struct span at = span_of(list ? list : ""); list && lower_next(a, &at, &path);)
                if (*path && fs->n_lower < LAYERS_MAX)
                        fs->lower[fs->n_lower++] = layer_of(a, path, fs->upper, dir_link);
        for (size_t i = 0; fs->n_lower < LAYERS_MAX; i++) {
                path = options_value(a, root->super, "lowerdir+", i);
                if (!path)
                        break;
                fs->lower[fs->n_lower++] = layer_of(a, path, fs->upper, dir_link);
        }
}
