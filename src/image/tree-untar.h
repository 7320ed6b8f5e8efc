/* A tar unpacked into a directory that strangers may be changing meanwhile: every name is looked
 * up below it without following a link, and used by descriptor. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/value.h"

struct untar;
enum untar_trust {
        UNTAR_INSIDE,  /* into a container: whatever it is */
        UNTAR_ARCHIVE, /* everything, and the owners that it had */
        /* Out of a container: what would give rights on the host is left out: devices, set-user-ID
         * and set-group-ID bits, all attributes but user.* */
        UNTAR_STRANGERS
};
/* Unpacks into dir (O_PATH will do; the caller's). Files get this owner but with UNTAR_ARCHIVE. */
struct untar *untar_new(int dir, enum untar_trust trust, uid_t uid, gid_t gid);
/* Owners that are kept are of a container of these mappings: a file gets what they are on the host.
 * One that is not mapped is an error. The caller's. */
void untar_owners(struct untar *u, const struct id_owners *owners);
void untar_free(struct untar *u);
/* The next bytes, and the end; what is there already is replaced, but no directory by another
 * thing, nor the other way round. */
int untar_feed(struct untar *u, const void *p, size_t n, struct err *e);
int untar_finish(struct untar *u, struct err *e);
