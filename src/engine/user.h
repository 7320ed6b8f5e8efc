/* Users of a root file system, by name or number (passwd(5), group(5)). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/value.h"

struct user {
        uint32_t uid, gid;
        const char *home;     /* in the arena; "/" where unknown */
        const uint32_t *gids; /* supplementary groups, in the arena */
        size_t ngids;
        bool known, group_known; /* it has a line in passwd, gid one in group */
};
/* The text of root's etc/passwd or etc/group, in the arena; "" where it can't be had. */
const char *user_db(struct arena *a, int root, const char *path);
/* The fields of the first line whose first is name, or where name is a number, whose third is. */
#define USER_FIELDS 7
bool user_line(struct arena *a, const char *db, const char *name, const char *ret[USER_FIELDS]);

/* "NAME|UID[:GROUP|GID]" looked up in root's etc/passwd and etc/group (root: an O_PATH
 * descriptor), which are opened inside the root, whatever links they are (CVE-2022-23648 was
 * otherwise), and only if they are regular files of at most 1 MiB. A number needs no entry;
 * without a group it is the entry's, or 0. Supplementary groups are gid itself, without which a
 * set-group-ID program could leave the group and so get past what is denied to it (CVE-2022-36109);
 * those that list the user's name, unless a group was given, as docker does it; and add, by name
 * or number. */
int user_find(struct arena *a, int root, const char *text, const struct strings *add,
              struct user *ret, struct err *e);
/* The same by the texts of those files; pure, and fuzzed. */
int user_find_in(struct arena *a, const char *passwd, const char *group, const char *text,
                 const struct strings *add, struct user *ret, struct err *e);
/* The largest id of etc/passwd and etc/group that is at most `most`; 0 where there is none. */
uint32_t user_largest(int root, uint32_t most);
uint32_t user_largest_in(const char *db, uint32_t most);
