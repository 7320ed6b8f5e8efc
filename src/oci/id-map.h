/* uid and gid mappings of user namespaces (user_namespaces(7)). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "oci/spec.h"

/* Writes the maps of pid's new user namespace, directly where this process may, else through
 * newuidmap(1) and newgidmap(1). proc is a procfs, O_PATH. */
int id_map_write(int proc, pid_t pid, const struct spec_id_mappings *uids,
                 const struct spec_id_mappings *gids, struct err *e);
/* A user namespace with these mappings, kept by the descriptor alone; -1 with e. */
int id_map_userns(const struct spec_id_mappings *uids, const struct spec_id_mappings *gids,
                  struct err *e);
/* The id on the host; false where the container's is not mapped. */
bool id_map_to_host(const struct spec_id_mappings *m, uint32_t id, uint32_t *ret);
/* Words a refused rlimit. */
int rlimit_err(struct err *e, const struct spec_rlimit *r, int error);
