/* Containers in the store's index. The engine writes what they are, a JSON object, of which the
 * store reads
 *
 *   id       64 hex digits         image.digest   of the manifest
 *   name     unique                image.layers   keys: pinned as long as the container is there
 *   created  ns since 1970
 *
 * and keeps the rest as it is. records/ID is the truth, the index has a copy (S1). */
#pragma once

#include "image/store.h"

#define CONTAINER_RECORD_MAX (1u << 20)

/* Adds it, or replaces what is known of it: a new name, say. ERR_EXISTS where another container has
 * the name. */
int store_container_put(struct store *s, const char *id, const char *json, struct err *e);
/* Success where there is none. The container's directory is the engine's business. */
int store_container_remove(struct store *s, const char *id, struct err *e);
/* By name, id, or unique prefix of an id; *ret in a. ERR_NOT_FOUND; ERR_INVALID: ambiguous. */
int store_container_find(struct store *s, struct arena *a, const char *text, const char **ret,
                         struct err *e);
/* All, newest first; in a. */
int store_containers(struct store *s, struct arena *a, const char ***ret, size_t *ret_n,
                     struct err *e);
