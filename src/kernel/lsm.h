/* Linux security modules: the labels that a process's next execve(2) applies, through AppArmor's or
 * SELinux's attribute files.
 *
 * In two steps, because the file is found through procfs and the container's procfs is not to be
 * trusted: lsm_attr_open() early, below a procfs of the runtime's own; lsm_attr_write() late, right
 * before execve. Both must be made by the same process: the kernel compares the opener's memory
 * with the writer's (-EPERM), so that a descriptor inherited through fork() is of no use. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum lsm_kind { LSM_APPARMOR, LSM_SELINUX, LSM_KIND_MAX };
extern const char *const lsm_kind_names[LSM_KIND_MAX]; /* "apparmor", "selinux" */

enum lsm_attr {
        LSM_ATTR_EXEC,       /* the profile or label of the next execve */
        LSM_ATTR_KEYCREATE,  /* SELinux: the label of keys made from now on */
        LSM_ATTR_SOCKCREATE, /* SELinux: the label of sockets made from now on */
        LSM_ATTR_MAX
};

/* Whether the module is compiled in and enabled; sysfs is a descriptor of /sys. */
bool lsm_enabled(int sysfs, enum lsm_kind kind);

/* Opens this process's attribute file for writing, below procfs, the root directory of a procfs
 * mount: anything else there, a symlink out of it or a mount over a part of it is refused
 * (CVE-2019-16884, CVE-2025-52881). Returns a descriptor, or
 *   -EOPNOTSUPP  this kernel has no such module or attribute, or for SELinux no module at all
 *   -EXDEV, -ELOOP, -EBADF  not an untouched procfs
 *   other -errno. */
int lsm_attr_open(int procfs, enum lsm_kind kind, enum lsm_attr attr);
/* Writes the label, for AppArmor as "exec LABEL"; "" clears it (SELinux). 0, or
 *   -ENOENT       AppArmor: no such profile is loaded
 *   -EINVAL       the module is not enabled (ask lsm_enabled() first), or it can't read the label:
 *                 for SELinux one that the policy does not know
 *   -EACCES, -EPERM   policy or no_new_privs forbids the change, or another process opened fd
 *   -ENAMETOOLONG     beyond LSM_LABEL_MAX
 *   other -errno. */
int lsm_attr_write(int fd, enum lsm_kind kind, const char *label);

#define LSM_LABEL_MAX 4000 /* one write is at most a page */

/* Whether SELinux accepts mount labels: what mountLabel needs; same as lsm_enabled(LSM_SELINUX).
 * The option for fsconfig(2) is key "context" with the bare label. For mount(2) data, this adds
 * context="LABEL" to data (may be NULL or ""). 0, -ENAMETOOLONG, or -EINVAL for a label that holds
 * a quote. */
int lsm_mount_data(const char *data, const char *label, char *buf, size_t cap);
