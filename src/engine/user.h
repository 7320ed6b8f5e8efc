/* Users of a root file system, by name or number (passwd(5), group(5)). */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

struct user {
        uint32_t uid, gid;
        const char *home; /* in the arena; "/" where unknown */
};

/* "NAME|UID[:GROUP|GID]" looked up in root's etc/passwd and etc/group (root: an O_PATH
 * descriptor). A number needs no entry; without a group it is the entry's, or 0. */
int user_find(struct arena *a, int root, const char *text, struct user *ret, struct err *e);
