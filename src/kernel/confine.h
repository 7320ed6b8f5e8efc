/* Becoming harmless before strangers' bytes are read: another user, no capabilities, Landlock
 * (Documentation/userspace-api/landlock.rst), and a list of the only system calls that may follow
 * (Documentation/userspace-api/seccomp_filter.rst).
 *
 * The order: open and read everything that needs rights; confine_drop_user(); confine_landlock();
 * confine_syscalls() last, for the filter must allow what comes after it. None of it can be
 * undone, all of it is inherited by threads and children. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whom a confined process runs as: the kernel's overflow user and group, who owns nothing. */
#define CONFINE_NOBODY 65534

/* Sets no_new_privs; root becomes nobody with no groups; every capability set is emptied,
 * the bounding set as far as it may be; the process can't be traced or dumped by its equals. In a
 * user namespace that has no nobody, the user stays and loses its capabilities. 0 or -errno. */
int confine_drop_user(void);
/* The same without the change of user: for whoever has to keep the capabilities in keep (a mask as
 * of caps.h). */
int confine_drop_caps(uint64_t keep);

enum confine_right {
        CONFINE_READ = 1 << 0,    /* read files, list directories */
        CONFINE_WRITE = 1 << 1,   /* write, truncate, make, rename, link and remove */
        CONFINE_DEVICES = 1 << 2, /* make device nodes */
};
struct confine_path {
        const char *path; /* NULL: dir itself. What does not exist is left out */
        int dir;          /* or AT_FDCWD */
        unsigned rights;  /* of enum confine_right; for the whole tree of a directory */
};
/* Nothing but these paths can be opened from here on, whatever the kernel's version of Landlock can
 * restrict. Open descriptors stay what they are. No TCP port can be bound and, without connect,
 * none connected to; signals and abstract sockets end at our own processes. 0, or -errno:
 * -EOPNOTSUPP or -ENOSYS where the kernel has no Landlock or it is off: the caller decides. */
int confine_landlock(const struct confine_path *paths, size_t n, bool connect);

/* One row of a list of system calls. Rows of one call are tried in their order, until one
 * applies. */
struct confine_call {
        int nr;       /* SYS_... */
        int error;    /* 0: allowed; else what the call fails with */
        int argument; /* 1-6: applies only if (that argument's lower half & mask) == value */
        uint32_t mask, value;
};
#define CONFINE_CALL(name)                                                                         \
        {                                                                                          \
                .nr = SYS_##name                                                                   \
        }
#define CONFINE_REFUSE(name, errnum)                                                               \
        {                                                                                          \
                .nr = SYS_##name, .error = (errnum)                                                \
        }
/* Whatever is not listed kills the process with SIGSYS. With tell, it first prints which call that
 * was on standard error (which takes write and exit_group to be listed): for developers, since the
 * kernel's own kill can't be caught. 0 or -errno; -E2BIG for more rows than a filter has room
 * for. */
int confine_syscalls(const struct confine_call *calls, size_t n, bool tell);
