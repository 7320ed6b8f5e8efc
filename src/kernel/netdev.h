/* Network devices: what a container's network namespace needs (config-linux.md, "Network
 * Devices"). */
#pragma once

#include <stdbool.h>

/* Brings "lo" up in the calling thread's network namespace. 0 or -errno. */
int netdev_loopback_up(void);

enum netdev_step {
        NETDEV_FIND,      /* the device isn't there: -ENODEV */
        NETDEV_READ,      /* its addresses */
        NETDEV_MOVE,      /* -EEXIST: the name is taken there; -EINVAL: a device that stays */
        NETDEV_ADDRESSES, /* putting them back */
        NETDEV_UP,
        NETDEV_STEP_MAX
};
extern const char
        *const netdev_step_names[NETDEV_STEP_MAX]; /* "find", ... as in "cannot <find> ..." */

/* Moves the device host_name, seen by the socket here, into netns, in which the socket there was
 * opened (netlink.h), renaming it in the same request: name may hold one %d, which the kernel
 * replaces by the lowest free number; NULL keeps host_name. Permanent addresses of global scope are
 * put back, then the device is set up. A failure after the move leaves it there: it goes back to
 * the host or vanishes with the namespace, as the kernel pleases. Returns 0, or -errno, with
 * *ret_step telling where. */
int netdev_move(int here, int there, int netns, const char *host_name, const char *name,
                enum netdev_step *ret_step);

/* Whether the text is a name that the kernel accepts for a device: 1-15 bytes, no slash, colon,
 * blank, "." or "..", and a percent sign only as one %d where pattern is allowed. */
bool netdev_name_ok(const char *name, bool pattern);
