/* uid and gid mappings of user namespaces (user_namespaces(7)). */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "oci/spec.h"

/* Writes the maps of pid's new user namespace, directly where this process may, else through
 * newuidmap(1) and newgidmap(1). proc is a procfs, O_PATH. */
int id_map_write(int proc, pid_t pid, const struct id_mappings *uids,
                 const struct id_mappings *gids, struct err *e);
/* A user namespace with these mappings, kept by the descriptor alone; -1 with e. */
int id_map_userns(const struct id_mappings *uids, const struct id_mappings *gids, struct err *e);
/* Words a refused rlimit. */
int rlimit_err(struct err *e, const struct spec_rlimit *r, int error);
