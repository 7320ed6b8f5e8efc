/* User namespaces of containers: what --userns, --uidmap and the like say, and ranges of the host's
 * ids for `auto`.
 *
 * A range is recorded in the container's record and nowhere else: it is free when no record has it.
 * Who chooses one holds a flock on userns.lock of the store from before it looks at the records
 * until its own is written (U1); db.lock is taken below it.
 *
 * Ranges come from the user `containers` of /etc/subuid and /etc/subgid, as podman's do. They are
 * taken from the end, podman takes them from the beginning: beside each other the two have no ids
 * in common until there is no other choice. Without such an entry there is no range: ids that look
 * unused may be some directory service's users, and a container would have their files. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/value.h"
#include "codec/json.h"

enum userns_mode { USERNS_HOST, USERNS_MAPPED, USERNS_AUTO, USERNS_PATH, USERNS_CONTAINER };
struct userns {
        enum userns_mode mode;
        const char *from; /* USERNS_PATH: of the namespace; USERNS_CONTAINER: whose */
        uint32_t size;    /* USERNS_AUTO: 0: as the image needs */
        /* All of them once userns_settle() was there; before that with USERNS_AUTO those that are
         * asked for besides the range. */
        struct id_mappings uids, gids;
};

struct userns_args {
        const char *userns;                /* --userns; NULL: host */
        struct strings uid_maps, gid_maps; /* --uidmap, --gidmap */
        const char *subuid, *subgid;       /* --subuidname, --subgidname; or NULL */
};
/* In a. What names say of /etc/subuid is looked up at once. */
int userns_parse(struct arena *a, const struct userns_args *args, struct userns *ret,
                 struct err *e);
/* "INSIDE:HOST[:SIZE]", several with ',' between them, added to m. option: for errors. */
int userns_parse_map(struct arena *a, const char *option, const char *text, struct id_mappings *m,
                     struct err *e);

struct id_range {
        uint32_t start, size;
};
struct id_ranges {
        struct id_range *v;
        size_t n;
};
/* Those of name in the text of a file such as /etc/subuid: "NAME:START:SIZE" (subuid(5)). */
void userns_ranges(struct arena *a, const char *text, const char *name, struct id_ranges *ret);
/* The last `size` ids in one of have that none of used has. False: there are none. */
bool userns_choose(const struct id_ranges *have, const struct id_ranges *used, uint32_t size,
                   uint32_t *ret_start);

/* Fills the mappings. root is the image's, with the ids that it has on disk. For USERNS_AUTO
 * *ret_lock is U1's, to be closed once the record is written; else -1. */
struct store;
int userns_settle(struct store *s, struct arena *a, int root, struct userns *u, int *ret_lock,
                  struct err *e);

/* The member "userns" of container.json; and back: USERNS_HOST where there is none. */
void userns_record(const struct userns *u, struct json_writer *w);
void userns_read(struct arena *a, const struct json *record, struct userns *ret);
/* "uidMappings" and "gidMappings" as config.json has them. */
void userns_write(const struct userns *u, struct json_writer *w);
