#include "kernel/mount.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"

/* From <sys/mount.h>, which can't be included beside <linux/mount.h>. */
#ifndef MS_REC
#define MS_REC 16384
#endif

/* Setting any access time mode must clear the field first (mount_setattr(2)). */
#define ATIME MOUNT_ATTR__ATIME

const struct mount_opt mount_opts[] = {
        { "acl", MOUNT_OPT_IGNORE, 0 },
        { "async", MOUNT_OPT_IGNORE, 0 },
        { "atime", MOUNT_OPT_CLEAR, MOUNT_ATTR_NOATIME },
        { "bind", MOUNT_OPT_BIND, 0 },
        { "defaults", MOUNT_OPT_IGNORE, 0 },
        { "dev", MOUNT_OPT_CLEAR, MOUNT_ATTR_NODEV },
        { "diratime", MOUNT_OPT_CLEAR, MOUNT_ATTR_NODIRATIME },
        { "dirsync", MOUNT_OPT_FS, 0 },
        { "exec", MOUNT_OPT_CLEAR, MOUNT_ATTR_NOEXEC },
        { "idmap", MOUNT_OPT_IDMAP, 0 },
        { "iversion", MOUNT_OPT_IGNORE, 0 }, /* file systems decide it alone since 6.3 */
        { "lazytime", MOUNT_OPT_FS, 0 },
        { "loud", MOUNT_OPT_IGNORE, 0 },
        { "mand", MOUNT_OPT_FS, 0 },
        { "noacl", MOUNT_OPT_IGNORE, 0 },
        { "noatime", MOUNT_OPT_SET, MOUNT_ATTR_NOATIME },
        { "nodev", MOUNT_OPT_SET, MOUNT_ATTR_NODEV },
        { "nodiratime", MOUNT_OPT_SET, MOUNT_ATTR_NODIRATIME },
        { "noexec", MOUNT_OPT_SET, MOUNT_ATTR_NOEXEC },
        { "noiversion", MOUNT_OPT_IGNORE, 0 },
        { "nolazytime", MOUNT_OPT_FS, 0 },
        { "nomand", MOUNT_OPT_IGNORE, 0 },
        { "norelatime", MOUNT_OPT_CLEAR, ATIME },
        { "nostrictatime", MOUNT_OPT_CLEAR, ATIME },
        { "nosuid", MOUNT_OPT_SET, MOUNT_ATTR_NOSUID },
        { "nosymfollow", MOUNT_OPT_SET, MOUNT_ATTR_NOSYMFOLLOW },
        { "private", MOUNT_OPT_PROPAGATION, 1 << 18 },
        { "ratime", MOUNT_OPT_CLEAR_REC, MOUNT_ATTR_NOATIME },
        { "rbind", MOUNT_OPT_RBIND, 0 },
        { "rdev", MOUNT_OPT_CLEAR_REC, MOUNT_ATTR_NODEV },
        { "rdiratime", MOUNT_OPT_CLEAR_REC, MOUNT_ATTR_NODIRATIME },
        { "relatime", MOUNT_OPT_SET, MOUNT_ATTR_RELATIME | ATIME },
        { "remount", MOUNT_OPT_REMOUNT, 0 },
        { "rexec", MOUNT_OPT_CLEAR_REC, MOUNT_ATTR_NOEXEC },
        { "ridmap", MOUNT_OPT_RIDMAP, 0 },
        { "rnoatime", MOUNT_OPT_SET_REC, MOUNT_ATTR_NOATIME },
        { "rnodev", MOUNT_OPT_SET_REC, MOUNT_ATTR_NODEV },
        { "rnodiratime", MOUNT_OPT_SET_REC, MOUNT_ATTR_NODIRATIME },
        { "rnoexec", MOUNT_OPT_SET_REC, MOUNT_ATTR_NOEXEC },
        { "rnorelatime", MOUNT_OPT_CLEAR_REC, ATIME },
        { "rnostrictatime", MOUNT_OPT_CLEAR_REC, ATIME },
        { "rnosuid", MOUNT_OPT_SET_REC, MOUNT_ATTR_NOSUID },
        { "rnosymfollow", MOUNT_OPT_SET_REC, MOUNT_ATTR_NOSYMFOLLOW },
        { "ro", MOUNT_OPT_SET, MOUNT_ATTR_RDONLY },
        { "rprivate", MOUNT_OPT_PROPAGATION_REC, 1 << 18 },
        { "rrelatime", MOUNT_OPT_SET_REC, MOUNT_ATTR_RELATIME | ATIME },
        { "rro", MOUNT_OPT_SET_REC, MOUNT_ATTR_RDONLY },
        { "rrw", MOUNT_OPT_CLEAR_REC, MOUNT_ATTR_RDONLY },
        { "rshared", MOUNT_OPT_PROPAGATION_REC, 1 << 20 },
        { "rslave", MOUNT_OPT_PROPAGATION_REC, 1 << 19 },
        { "rstrictatime", MOUNT_OPT_SET_REC, MOUNT_ATTR_STRICTATIME },
        { "rsuid", MOUNT_OPT_CLEAR_REC, MOUNT_ATTR_NOSUID },
        { "rsymfollow", MOUNT_OPT_CLEAR_REC, MOUNT_ATTR_NOSYMFOLLOW },
        { "runbindable", MOUNT_OPT_PROPAGATION_REC, 1 << 17 },
        { "rw", MOUNT_OPT_CLEAR, MOUNT_ATTR_RDONLY },
        { "shared", MOUNT_OPT_PROPAGATION, 1 << 20 },
        { "silent", MOUNT_OPT_IGNORE, 0 },
        { "slave", MOUNT_OPT_PROPAGATION, 1 << 19 },
        { "strictatime", MOUNT_OPT_SET, MOUNT_ATTR_STRICTATIME },
        { "suid", MOUNT_OPT_CLEAR, MOUNT_ATTR_NOSUID },
        { "symfollow", MOUNT_OPT_CLEAR, MOUNT_ATTR_NOSYMFOLLOW },
        { "sync", MOUNT_OPT_FS, 0 },
        { "tmpcopyup", MOUNT_OPT_TMPCOPYUP, 0 },
        { "unbindable", MOUNT_OPT_PROPAGATION, 1 << 17 },
        { NULL, MOUNT_OPT_IGNORE, 0 },
};

const struct mount_opt *mount_opt_find(const char *name)
{
        for (const struct mount_opt *o = mount_opts; o->name; o++)
                if (str_eq(o->name, name))
                        return o;
        return NULL;
}

/* The kernel's own words about a failed fs context: records "e text" on the fd (fsopen(2)). */
static void read_log(int fs, char *log, size_t cap)
{
        char record[512];
        ssize_t n;

        if (!log || !cap)
                return;
        log[0] = 0;
        while ((n = read(fs, record, sizeof record - 1)) > 2) {
                record[n] = 0;
                if (record[0] == 'e' || !log[0])
                        snprintf(log, cap, "%s", record + 2);
        }
        log[strcspn(log, "\n")] = 0;
}

int mount_new(const char *type, const char *source, const struct mount_param *params, size_t n,
              uint64_t attrs, const char **ret_what, char *log, size_t cap)
{
        AUTO_FD int fs = sys_fsopen(type, FSOPEN_CLOEXEC);
        const char *what = NULL;
        int fd = -1, saved;

        if (log && cap)
                log[0] = 0;
        if (ret_what)
                *ret_what = NULL;
        if (fs < 0)
                return -errno;
        if (source && sys_fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
                goto failed;
        for (size_t i = 0; i < n; i++) {
                unsigned cmd = params[i].value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

                what = params[i].key;
                if (sys_fsconfig(fs, cmd, params[i].key, params[i].value, 0) < 0)
                        goto failed;
        }
        what = NULL;
        if ((attrs & ATIME) == ATIME) /* "relatime", whose value is 0 */
                attrs &= ~(uint64_t)ATIME;
        if (sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                goto failed;
        fd = sys_fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)attrs);
        if (fd >= 0)
                return fd;
failed:
        saved = errno;
        read_log(fs, log, cap);
        if (ret_what)
                *ret_what = what;
        return -saved;
}

int mount_reconfigure(int fd, const struct mount_param *params, size_t n, const char **ret_what,
                      char *log, size_t cap)
{
        AUTO_FD int fs = sys_fspick(fd, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
        int saved;

        *ret_what = NULL;
        log[0] = 0;
        if (fs < 0)
                return -errno;
        for (size_t i = 0; i < n; i++) {
                unsigned cmd = params[i].value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

                *ret_what = params[i].key;
                if (sys_fsconfig(fs, cmd, params[i].key, params[i].value, 0) < 0)
                        goto failed;
        }
        *ret_what = NULL;
        if (sys_fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) == 0)
                return 0;
failed:
        saved = errno;
        read_log(fs, log, cap);
        return -saved;
}

int mount_copy(int dir, const char *path, bool rec)
{
        int fd = sys_open_tree(dir, path,
                               OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH |
                                       (rec ? AT_RECURSIVE : 0));

        return fd < 0 ? -errno : fd;
}

static int set_attr(int fd, unsigned flags, uint64_t set, uint64_t clear, uint64_t propagation)
{
        struct mount_attr a = { .attr_set = set, .attr_clr = clear, .propagation = propagation };

        /* MOUNT_ATTR_RELATIME is 0: its table entry carries the field mask instead. */
        if (set & MOUNT_ATTR__ATIME)
                a.attr_clr |= MOUNT_ATTR__ATIME;
        if ((set & MOUNT_ATTR__ATIME) == MOUNT_ATTR__ATIME)
                a.attr_set &= ~(uint64_t)MOUNT_ATTR__ATIME;
        if (a.attr_clr & MOUNT_ATTR__ATIME)
                a.attr_clr |= MOUNT_ATTR__ATIME;
        return sys_mount_setattr(fd, "", flags | AT_EMPTY_PATH, &a) < 0 ? -errno : 0;
}

int mount_change(int fd, const struct mount_attrs *a)
{
        int r = 0;

        if (a->set_rec | a->clear_rec)
                r = set_attr(fd, AT_RECURSIVE, a->set_rec, a->clear_rec, 0);
        if (r == 0 && (a->set | a->clear))
                r = set_attr(fd, 0, a->set, a->clear, 0);
        if (r == 0 && a->propagation)
                r = set_attr(fd, a->propagation_rec ? AT_RECURSIVE : 0, 0, 0, a->propagation);
        return r;
}

int mount_idmap(int fd, int userns, bool rec)
{
        struct mount_attr a = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns };

        if (sys_mount_setattr(fd, "", AT_EMPTY_PATH | (rec ? AT_RECURSIVE : 0), &a) < 0)
                return -errno;
        return 0;
}

int mount_attach(int fd, int target)
{
        if (sys_move_mount(fd, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) <
            0)
                return -errno;
        return 0;
}

int mount_propagation(const char *path, uint64_t how, bool rec)
{
        return mount(NULL, path, NULL, how | (rec ? MS_REC : 0), NULL) < 0 ? -errno : 0;
}
