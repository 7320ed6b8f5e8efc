/* Carries out a cgroup plan; turns errno and place into sentences. */
#include "oci/cgroup-apply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

/* ---- words ---- */

static const char *set_text(cgroup_set set, char *buf, size_t cap)
{
        size_t n = 0;

        buf[0] = 0;
        for (int k = 0; k < CGROUP_CONTROLLER_MAX; k++)
                if (set & CGROUP_BIT(k) && n < cap)
                        n += (size_t)snprintf(buf + n, cap - n, "%s%s", n ? ", " : "",
                                              cgroup_controller_name(k, true));
        return buf;
}

/* One row a fault: what could not be done, to which path, and what helps. A row without `code`
 * takes it from the errno, whose text is then appended. */
static const struct {
        enum err_code code;
        const char *before, *after, *hint;
} faults[CGROUP_FAULT_MAX] = {
        [CGROUP_FAULT_MKDIR] = { 0, "cannot create cgroup '", "'",
                                 "Run as root, or in a cgroup delegated to you (systemd-run --user "
                                 "--scope -p Delegate=yes)." },
        [CGROUP_FAULT_OPEN] = { 0, "cannot open cgroup '", "'", NULL },
        [CGROUP_FAULT_READ] = { 0, "cannot read cgroup '", "'", NULL },
        [CGROUP_FAULT_WRITE] = { 0, "cannot write '", "'", NULL },
        [CGROUP_FAULT_JOIN] = { 0, "cannot enter cgroup through '", "'", NULL },
        [CGROUP_FAULT_REMOVE] = { 0, "cannot remove cgroup '", "'",
                                  "Its cgroup.procs names the processes still in it." },
        [CGROUP_FAULT_FROZEN] = { ERR_STATE, "container's cgroup unexpectedly frozen: \"", "\"",
                                  "Resume the container that is paused there, or write 0 to its "
                                  "cgroup.freeze (THAWED to freezer.state)." },
        [CGROUP_FAULT_NOT_EMPTY] = { ERR_STATE, "container's cgroup is not empty: \"", "\"",
                                     "Another container or its remains use it: choose another "
                                     "cgroupsPath, or end the processes in its cgroup.procs." },
        [CGROUP_FAULT_BAD_SUB] = { ERR_INVALID, "bad sub cgroup path \"", "\"",
                                   "It is looked for below the container's cgroup." },
        [CGROUP_FAULT_NO_HIERARCHY] = { ERR_INVALID, "unknown controller in sub cgroup \"", "\"",
                                        "The container's /proc/PID/cgroup names those of v1; v2 "
                                        "has "
                                        "paths only." },
        [CGROUP_FAULT_TIMEOUT] = { ERR_LIMIT, "cgroup '", "' did not get there in time",
                                   "A process in uninterruptible sleep (state D) can't be stopped "
                                   "or killed; see /proc/PID/wchan." },
};

static int controllers_err(struct err *e, const struct cgroup_fail *f)
{
        char names[128];

        set_text(f->controllers, names, sizeof names);
        if (f->what == CGROUP_FAULT_INTERNAL) {
                err_set(e, ERR_STATE,
                        "cannot enable the %s controller in '%s/cgroup.subtree_control': processes "
                        "run in that cgroup itself",
                        names, f->path);
                return err_hint(e, "cgroup v2 lets only cgroups without processes pass "
                                   "controllers on: move them to a child cgroup.");
        }
        if (f->what == CGROUP_FAULT_THREADED) {
                err_set(e, ERR_UNSUPPORTED,
                        "cannot enable the %s controller below '%s': that cgroup is threaded",
                        names, f->path);
                return err_hint(e, "Choose a cgroupsPath outside it.");
        }
        err_set(e, ERR_UNSUPPORTED, "the %s controller is not available in cgroup '%s'", names,
                f->path);
        return err_hint(e,
                        "Its parent must pass it on: cgroup.subtree_control, or Delegate= of the "
                        "systemd unit (rootless: of user@.service).");
}

int cgroup_err(struct err *e, const struct cgroup_fail *f)
{
        if (f->what == CGROUP_FAULT_NONE)
                return err_sys(e, f->sys ? f->sys : EIO, "cannot use cgroups");
        if (!faults[f->what].before && f->controllers)
                return controllers_err(e, f);
        if (!faults[f->what].before) /* no freezer at all */
                return err_set(e, ERR_UNSUPPORTED,
                               "this host has no %s controller and no cgroup v2", f->path);
        if (faults[f->what].code)
                err_set(e, faults[f->what].code, "%s%s%s", faults[f->what].before, f->path,
                        faults[f->what].after);
        else
                err_sys(e, f->sys, "%s%s%s", faults[f->what].before, f->path,
                        faults[f->what].after);
        if (faults[f->what].hint && (faults[f->what].code || f->sys == EACCES || f->sys == EBUSY))
                err_hint(e, "%s", faults[f->what].hint);
        return -1;
}

int cgroup_locate_container(struct arena *a, const struct cgroup_layout *l,
                            const char *cgroups_path, const char *id, struct cgroup *ret,
                            struct err *e)
{
        const char *path = str_empty(cgroups_path) ? id : cgroups_path;
        int r = cgroup_locate(a, l, path, ret);

        if (r < 0)
                return err_sys(e, -r, "linux.cgroupsPath: cannot use '%.200s'", path);
        return 0;
}

/* ---- settings ---- */

static uint64_t memory_usage(const struct cgroup *c)
{
        uint64_t v = 0;
        bool v2 = cgroup_version_of(c, CGROUP_MEMORY) == 2;

        cgroup_read_u64(c, CGROUP_MEMORY, v2 ? "memory.current" : "memory.usage_in_bytes", &v);
        return v;
}

/* A file that isn't there: which kernel feature or driver is missing. */
static const struct {
        const char *file, *hint;
} absent[] = {
        { "cpu.rt_", "This kernel was built without CONFIG_RT_GROUP_SCHED." },
        { "memory.memsw", "This kernel does not count swap: boot with swapaccount=1." },
        { "memory.swap", "This kernel does not count swap: boot with swapaccount=1." },
        { "cpu.cfs_", "This kernel was built without CONFIG_CFS_BANDWIDTH." },
        { "cpu.max", "This kernel was built without CONFIG_CFS_BANDWIDTH." },
        { "cpu.idle", "cpu.idle needs kernel 5.15 or later." },
        { "io.weight",
          "This kernel has no iocost controller, and no device uses the BFQ scheduler." },
        { "blkio.bfq", "No device uses the BFQ I/O scheduler, and nothing else has weights." },
        { "hugetlb.", "Page sizes are the directories of /sys/kernel/mm/hugepages." },
};

/* What the kernel means by an errno of a write, by the file it was written to (the start of its
 * name). */
static const struct {
        const char *file;
        int sys;
        const char *hint;
} refused[] = {
        { "cpuset.cpus", EINVAL,
          "The parent cgroup has the CPUs in its cpuset.cpus.effective, no others." },
        { "cpuset.mems", EINVAL,
          "The parent cgroup has the nodes in its cpuset.mems.effective, no others." },
        { "cpuset.cpus", ERANGE,
          "The parent cgroup has the CPUs in its cpuset.cpus.effective, no others." },
        { "cpuset.mems", ERANGE,
          "The parent cgroup has the nodes in its cpuset.mems.effective, no others." },
        { "cpuset.cpus", EACCES, "The parent cgroup does not have all of these CPUs." },
        { "cpuset.mems", EACCES, "The parent cgroup does not have all of these memory nodes." },
        { "cpu.cfs_", EINVAL,
          "A quota may not exceed that of a parent cgroup, nor be less than a "
          "burst." },
        { "cpu.max", EINVAL,
          "A period is 1000-1000000 us, a quota at least 1000 us and no less than "
          "the burst." },
        { "cpu.rt_", EINVAL, "Parent cgroups must have realtime runtime to give." },
        { "cpu.weight", EINVAL, "While cpu.idle is 1 a cgroup has no weight." },
        { "memory.memsw", EINVAL, "The limit of memory and swap may not be below that of memory." },
        { "io.max", ENODEV, "No such block device; limits go to whole disks, not to partitions." },
        { "blkio.throttle", ENODEV,
          "No such block device; limits go to whole disks, not to partitions." },
        { "io.max", EINVAL, "Limits go to whole disks, not to partitions." },
        { "blkio.throttle", EINVAL, "Limits go to whole disks, not to partitions." },
        { "net_prio", EINVAL, "No such network interface in this network namespace." },
        { "rdma.max", ENODEV, "See /sys/class/infiniband for the devices." },
        { "devices.allow", EPERM, "A parent cgroup denies this device." },
};

static void setting_hint(struct err *e, const struct cgroup_setting *s, int sys)
{
        for (size_t i = 0; sys == ENOENT && i < ARRAY_SIZE(absent); i++)
                if (str_after(s->file, absent[i].file)) {
                        err_hint(e, "%s", absent[i].hint);
                        return;
                }
        for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
                if (refused[i].sys == sys && str_after(s->file, refused[i].file)) {
                        err_hint(e, "%s", refused[i].hint);
                        return;
                }
        if (sys == EACCES || sys == EPERM)
                err_hint(e, "The cgroup belongs to another user: rootless limits need a delegated "
                            "controller.");
}

static int setting_err(const struct cgroup *c, const struct cgroup_setting *s, int sys,
                       struct err *e)
{
        const struct cgroup_dir *d = cgroup_dir_of(c, s->controller);
        uint64_t limit, usage = memory_usage(c);

        err_sys(e, sys, "cannot write '%.40s' to '%s/%s'", s->value, d ? d->path : "", s->file);
        if (s->flags & CGROUP_SET_LIMIT && str_to_u64(s->value, &limit) == 0 && limit < usage) {
                err_set(e, ERR_LIMIT,
                        "cannot lower '%s/%s' to %llu bytes: %llu bytes are in use and can't be "
                        "reclaimed",
                        d ? d->path : "", s->file, (unsigned long long)limit,
                        (unsigned long long)usage);
                err_hint(e, "Choose a limit above the usage, or free memory in the container "
                            "first.");
        } else {
                setting_hint(e, s, sys);
        }
        return err_in(e, "linux.resources.%s", s->field);
}

/* The file is kept open while the next setting goes to it too: a device list is a dozen writes. */
struct writer {
        int fd;
        const struct cgroup_setting *last;
};

static int writer_put(struct writer *w, const struct cgroup *c, const struct cgroup_setting *s)
{
        const struct cgroup_dir *d = cgroup_dir_of(c, s->controller);
        char path[PATH_MAX + 256];
        ssize_t n;

        if (!d)
                return -ENOENT;
        if (!w->last || w->last->controller != s->controller || !str_eq(w->last->file, s->file)) {
                fd_close(w->fd);
                w->last = NULL;
                snprintf(path, sizeof path, "%s/%s", d->path, s->file);
                w->fd = open(path, O_WRONLY | O_CLOEXEC);
                if (w->fd < 0)
                        return -errno;
                w->last = s;
        }
        do
                n = write(w->fd, s->value, strlen(s->value));
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : 0;
}

static int settings_write(const struct cgroup *c, const struct cgroup_plan *p, struct err *e)
{
        struct writer w = { .fd = -1 };
        int r = 0;

        for (size_t i = 0; i < p->n && r == 0; i++) {
                const struct cgroup_setting *s = &p->v[i];
                int error = writer_put(&w, c, s);

                if (s->flags & CGROUP_SET_ELSE) {
                        if (error == -ENOENT)
                                continue;
                        i++;
                }
                if (error == 0 || (error == -ENOENT && s->flags & CGROUP_SET_OPTIONAL))
                        continue;
                r = setting_err(c, s, -error, e);
                if (i > 0 && p->updates)
                        err_in(e, "%zu of %zu settings are in force", i, p->n);
        }
        fd_close(w.fd);
        return r;
}

static int devices_attach(const struct cgroup *c, const struct cgroup_plan *p, struct err *e)
{
        const struct cgroup_dir *d = cgroup_dir_of(c, CGROUP_DEVICES);
        AUTO_FD int dir = -1;
        int r;

        if (!d)
                return err_set(e, ERR_UNSUPPORTED,
                               "linux.resources.devices: this host can't restrict devices");
        dir = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return err_sys(e, errno, "cannot open cgroup '%s'", d->path);
        r = bpf_device_attach(dir, p->rules, p->n_rules);
        if (r == 0)
                return 0;
        err_sys(e, -r, "linux.resources.devices: cannot attach a device program to cgroup '%s'",
                d->path);
        if (r == -EPERM)
                err_hint(e, "Loading it needs CAP_BPF or CAP_SYS_ADMIN in the initial user "
                            "namespace.");
        else if (r == -EINVAL || r == -ENOSYS)
                err_hint(e, "The kernel needs CONFIG_CGROUP_BPF and CONFIG_BPF_SYSCALL.");
        return -1;
}

int cgroup_plan_apply(const struct cgroup *c, const struct cgroup_plan *p, struct err *e)
{
        if (settings_write(c, p, e) < 0)
                return -1;
        return p->devices ? devices_attach(c, p, e) : 0;
}

/* ---- what is in force ---- */

static void cpu_max_read(const struct cgroup *c, struct cgroup_now *now)
{
        char text[64], *blank;
        uint64_t v;

        if (cgroup_read(c, CGROUP_CPU, "cpu.max", text, sizeof text) <= 0)
                return;
        blank = strchr(text, ' ');
        if (!blank)
                return;
        *blank++ = 0;
        blank[strcspn(blank, "\n")] = 0;
        if (str_to_u64(text, &v) == 0)
                now->cpu_quota = (int64_t)v;
        str_to_u64(blank, &now->cpu_period);
}

static void cpu_v1_read(const struct cgroup *c, struct cgroup_now *now)
{
        char text[32];
        uint64_t v;

        cgroup_read_u64(c, CGROUP_CPU, "cpu.cfs_period_us", &now->cpu_period);
        cgroup_read_u64(c, CGROUP_CPU, "cpu.cfs_burst_us", &now->cpu_burst);
        cgroup_read_u64(c, CGROUP_CPU, "cpu.rt_period_us", &now->cpu_rt_period);
        if (cgroup_read(c, CGROUP_CPU, "cpu.cfs_quota_us", text, sizeof text) > 0) {
                text[strcspn(text, "\n")] = 0;
                now->cpu_quota = str_to_u64(text, &v) == 0 ? (int64_t)v : -1;
        }
}

/* v1's "unlimited" is the largest multiple of the page size. */
static void unlimited(uint64_t *v)
{
        if (*v >= (uint64_t)INT64_MAX / 4096 * 4096)
                *v = UINT64_MAX;
}

void cgroup_now_read(const struct cgroup *c, struct cgroup_now *ret)
{
        struct cgroup_now now = cgroup_now_fresh;

        if (cgroup_version_of(c, CGROUP_MEMORY) == 2) {
                cgroup_read_u64(c, CGROUP_MEMORY, "memory.max", &now.memory_limit);
        } else {
                cgroup_read_u64(c, CGROUP_MEMORY, "memory.limit_in_bytes", &now.memory_limit);
                cgroup_read_u64(c, CGROUP_MEMORY, "memory.memsw.limit_in_bytes", &now.memory_swap);
                unlimited(&now.memory_limit);
                unlimited(&now.memory_swap);
        }
        now.memory_usage = memory_usage(c);
        if (cgroup_version_of(c, CGROUP_CPU) == 2) {
                cpu_max_read(c, &now);
                cgroup_read_u64(c, CGROUP_CPU, "cpu.max.burst", &now.cpu_burst);
        } else {
                cpu_v1_read(c, &now);
        }
        *ret = now;
}
