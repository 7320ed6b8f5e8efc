#include "diag/host.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <time.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "diag/procfs.h"
#include "diag/target.h"

static int by_device(const void *a, const void *b)
{
        const struct host_mount *x = a, *y = b;
        size_t nx = strlen(x->root), ny = strlen(y->root);

        if (x->major != y->major)
                return x->major < y->major ? -1 : 1;
        if (x->minor != y->minor)
                return x->minor < y->minor ? -1 : 1;
        if (nx != ny)
                return nx > ny ? -1 : 1;
        return x->order < y->order ? -1 : x->order > y->order;
}

void probe_host_mounts(struct arena *a, const char *mountinfo, struct probe_host *h)
{
        struct span at = span_of(mountinfo);
        struct mount_line m;
        size_t cap = 1;

        for (const char *c = mountinfo; *c; c++)
                cap += *c == '\n';
        h->arena = a;
        h->mounts = arena_array(a, struct host_mount, cap);
        while (h->n_mounts < cap && procfs_mount_next(a, &at, &m, NULL)) {
                h->mounts[h->n_mounts] =
                        (struct host_mount){ m.major, m.minor,  m.root,     m.point,
                                             m.type,  m.shared, h->n_mounts };
                h->n_mounts++;
        }
        qsort(h->mounts, h->n_mounts, sizeof *h->mounts, by_device);
}

static size_t first_of_device(const struct probe_host *h, unsigned major, unsigned minor)
{
        size_t low = 0, high = h->n_mounts;

        while (low < high) {
                size_t mid = low + (high - low) / 2;
                const struct host_mount *m = &h->mounts[mid];

                if (m->major < major || (m->major == major && m->minor < minor))
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

const char *probe_host_path(const struct probe_host *h, unsigned major, unsigned minor,
                            const char *root)
{
        for (size_t i = first_of_device(h, major, minor); i < h->n_mounts; i++) {
                const struct host_mount *m = &h->mounts[i];
                const char *rest;

                if (m->major != major || m->minor != minor)
                        break;
                if (!path_below(root, m->root))
                        continue;
                rest = root + (str_eq(m->root, "/") ? 0 : strlen(m->root));
                if (str_eq(rest, "/") || !*rest)
                        return m->point;
                return arena_printf(h->arena, "%s%s", str_eq(m->point, "/") ? "" : m->point, rest);
        }
        return NULL;
}

bool probe_host_locate(const struct probe_host *h, const char *path, unsigned *ret_major,
                       unsigned *ret_minor, const char **ret_root)
{
        const struct host_mount *best = NULL;
        const char *rest;

        for (size_t i = 0; i < h->n_mounts; i++) {
                const struct host_mount *m = &h->mounts[i];
                size_t n = strlen(m->point);

                if (path_below(path, m->point) &&
                    (!best || n > strlen(best->point) ||
                     (n == strlen(best->point) && m->order > best->order)))
                        best = m;
        }
        if (!best)
                return false;
        rest = path + (str_eq(best->point, "/") ? 0 : strlen(best->point));
        *ret_major = best->major;
        *ret_minor = best->minor;
        *ret_root = str_eq(best->root, "/") ? (*rest ? rest : "/")
                                            : arena_printf(h->arena, "%s%s", best->root,
                                                           str_eq(rest, "/") ? "" : rest);
        return true;
}

static void read_layout(struct arena *a, struct probe_host *h)
{
        bool v1 = false;

        h->have_layout = cgroup_layout_read(a, &h->layout) == 0;
        if (!h->have_layout)
                return;
        for (size_t i = 0; i < h->layout.n; i++)
                v1 = v1 || !h->layout.v[i].v2;
        h->layout_name = h->layout.n == 0                    ? "none"
                         : cgroup_layout_unified(&h->layout) ? "v2"
                         : v1 && h->layout.v2 >= 0           ? "hybrid"
                                                             : "v1";
}

/* The host's namespaces are those of PID 1; where it may not be asked, those of kthreadd, which is
 * PID 2 in the first pid namespace and nowhere else. */
static int open_host_process(void)
{
        int init = open("/proc/1", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int kthreadd;
        const char *at;
        char stat[1024];

        if (init >= 0 && ns_inode(init, "ns/mnt", NULL))
                return init;
        kthreadd = open("/proc/2", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (kthreadd < 0 || fd_read_text_at(kthreadd, "stat", stat, sizeof stat) < 0)
                stat[0] = 0;
        at = strchr(stat, '(');
        if (at && str_after(at, "(kthreadd) ")) {
                fd_close(init);
                return kthreadd;
        }
        fd_close(kthreadd);
        return init;
}

static void read_namespaces(struct probe_host *h)
{
        AUTO_FD int self = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        AUTO_FD int host = open_host_process();

        for (int ns = 0; ns < NS_MAX; ns++) {
                char link[32];

                snprintf(link, sizeof link, "ns/%s", ns_proc_names[ns]);
                h->ns_self[ns] = self < 0 ? 0 : ns_inode(self, link, NULL);
                h->ns_init[ns] = host < 0 ? 0 : ns_inode(host, link, NULL);
        }
}

void probe_host_read(struct arena *a, struct probe_host *ret)
{
        const char *mountinfo =
                file_text(a, AT_FDCWD, "/proc/thread-self/mountinfo", TEXT_LARGE, NULL, NULL);
        const char *online =
                file_text(a, AT_FDCWD, "/sys/devices/system/cpu/online", TEXT_SMALL, NULL, NULL);
        struct timespec now;
        struct utsname u;
        struct span list;

        *ret = (struct probe_host){ .arena = a };
        probe_host_mounts(a, mountinfo ? mountinfo : "", ret);
        read_layout(a, ret);
        read_namespaces(ret);
        ret->ticks = (uint64_t)sysconf(_SC_CLK_TCK);
        ret->page = (uint64_t)sysconf(_SC_PAGESIZE);
        clock_gettime(CLOCK_BOOTTIME, &now);
        ret->boot_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
        ret->cpus_online = (struct num){ NUM_ABSENT, 0 };
        if (online) {
                struct span at = span_of(online);

                if (span_next(&at, '\n', &list))
                        ret->cpus_online = cpu_list_count(list);
        }
        if (uname(&u) == 0) {
                ret->kernel = arena_strdup(a, u.release);
                ret->name = arena_strdup(a, u.nodename);
        }
}
