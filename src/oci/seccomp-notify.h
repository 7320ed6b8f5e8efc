/* Handing seccomp's notification descriptor to its agent (config-linux.md "Seccomp",
 * listenerPath). */
#pragma once

#include "base/err.h"

struct launch;

/* Sends the container process state and fd (which stays the caller's) as one message. */
int seccomp_notify_send(struct launch *l, int fd, struct err *e);
