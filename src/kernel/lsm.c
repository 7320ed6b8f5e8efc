#include "kernel/lsm.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/fd.h"
#include "kernel/sys.h"

const char *const lsm_kind_names[] = { "apparmor", "selinux" };
static_assert(ARRAY_SIZE(lsm_kind_names) == LSM_KIND_MAX, "a name for each module");

static const char *const attr_paths[LSM_KIND_MAX][LSM_ATTR_MAX] = {
        [LSM_APPARMOR] = { [LSM_ATTR_EXEC] = "self/attr/apparmor/exec" },
        /* SELinux has no directory of its own there: the old names are its. */
        [LSM_SELINUX] = { [LSM_ATTR_EXEC] = "self/attr/exec",
                          [LSM_ATTR_KEYCREATE] = "self/attr/keycreate",
                          [LSM_ATTR_SOCKCREATE] = "self/attr/sockcreate" },
};

bool lsm_enabled(int sysfs, enum lsm_kind kind)
{
        char text[8];

        if (kind == LSM_APPARMOR)
                return fd_read_text_at(sysfs, "module/apparmor/parameters/enabled", text,
                                       sizeof text) > 0 &&
                       text[0] == 'Y';
        /* The directory is there whenever SELinux is compiled in; its files, once it is mounted. */
        return fd_read_text_at(sysfs, "fs/selinux/enforce", text, sizeof text) > 0;
}

static int open_beneath(int dir, const char *path, unsigned flags)
{
        struct open_how how = {
                .flags = flags | O_CLOEXEC,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
        };
        int fd = sys_openat2(dir, path, &how);

        return fd < 0 ? -errno : fd;
}

/* The old names are there whether or not a module stands behind them: then reading is invalid. */
static bool anyone_behind(int procfs)
{
        AUTO_FD int fd = open_beneath(procfs, "self/attr/current", O_RDONLY);
        char label[LSM_LABEL_MAX];

        return fd >= 0 && read(fd, label, sizeof label) >= 0;
}

int lsm_attr_open(int procfs, enum lsm_kind kind, enum lsm_attr attr)
{
        const char *path = attr_paths[kind][attr];
        AUTO_FD int fd = -1;
        struct statfs st;

        if (!path)
                return -EOPNOTSUPP;
        fd = open_beneath(procfs, path, O_WRONLY);
        if (fd < 0)
                return fd == -ENOENT ? -EOPNOTSUPP : fd;
        if (fstatfs(fd, &st) < 0)
                return -errno;
        if (st.f_type != PROC_SUPER_MAGIC)
                return -EBADF;
        if (kind == LSM_SELINUX && !anyone_behind(procfs))
                return -EOPNOTSUPP;
        return TAKE_FD(fd);
}

int lsm_attr_write(int fd, enum lsm_kind kind, const char *label)
{
        char text[LSM_LABEL_MAX + 8];
        int n;

        if (strlen(label) > LSM_LABEL_MAX)
                return -ENAMETOOLONG;
        n = snprintf(text, sizeof text, "%s%s", kind == LSM_APPARMOR ? "exec " : "", label);
        /* An empty label is written as a NUL: a write of no bytes would not reach the module. */
        return write(fd, text, n ? (size_t)n : 1) < 0 ? -errno : 0;
}

int lsm_mount_data(const char *data, const char *label, char *buf, size_t cap)
{
        const char *comma = data && *data ? "," : "";
        int n;

        if (strchr(label, '"'))
                return -EINVAL;
        n = snprintf(buf, cap, "%s%scontext=\"%s\"", data ? data : "", comma, label);
        return n < 0 || (size_t)n >= cap ? -ENAMETOOLONG : 0;
}
