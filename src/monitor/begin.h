/* The beginning of a monitor. It is started while its container is still being made, and gets
 * ready meanwhile: away from its starter's session, in a mount namespace of its own. What it needs
 * of the container comes later, in one packet over MONITOR_FD_STARTED: struct wire_order with the
 * descriptors that its bits name, in the order of enum monitor_fd, then the mounts, then those that
 * the container is to have. Before that struct wire_ahead may say what it will be, for its runtime
 * to plan meanwhile. */
#pragma once

#include "monitor/wire.h"

/* 0 or -errno. *ret_home: the mount namespace that it has left. */
int begin_alone(int *ret_home);
/* Waits for what comes first: whether that is news of what is going to be started. */
bool begin_ahead(struct wire_ahead *ret);
/* Waits for the descriptors; each lies at its number of enum monitor_fd then, those of mounts are
 * put into mounts. 0; -ENOTCONN: no
 * container came of it, and nothing is to be done; or -errno. */
int begin_receive(struct wire_order *ret, int mounts[WIRE_MOUNTS_MAX],
                  int preserved[WIRE_PRESERVED_MAX]);
/* Mounts MONITOR_FD_ROOT on rootfs/ of the bundle, and closes it: where only this process
 * and its container see it. The host's mount table stays short, and it is gone with them. */
int begin_root(const char *bundle);
/* The same of n others, on mounts/0 and on. */
int begin_mounts(const char *bundle, const int *mounts, size_t n);
