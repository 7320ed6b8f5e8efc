/* The program and the environment that init will exec. */
#pragma once

#include <sys/types.h>

#include "base/err.h"

struct init;

/* process.env without repetitions, with HOME from the container's /etc/passwd where it has none,
 * LISTEN_FDS and LISTEN_PID for passed sockets, NOTIFY_SOCKET where asked for. In the arena. */
char **exec_env(struct init *in, uid_t uid);
/* The file that name stands for: itself with a slash, else found through the process's PATH. In the
 * arena; NULL with an error worded as callers expect (they derive 126 and 127 from it). */
const char *exec_find(struct init *in, const char *name, struct err *e);
