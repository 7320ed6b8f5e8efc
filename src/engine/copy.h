/* `berth cp`: between a container and this host, by way of a tar that nobody sees.
 *
 * Either side is a root directory held by descriptor and a path in it, looked up inside that root
 * alone; what was looked up is what is used, whatever the container renames meanwhile. */
#pragma once

#include "engine/ctr.h"

struct copy_place {
        const struct ctr *ctr; /* NULL: this host */
        const char *path;      /* of the host: absolute, its final "/" or "/." kept; NULL: a tar */
        int stream;            /* that is read or written here */
};
struct copy_options {
        bool archive; /* keep owners */
        bool follow;  /* a link that is named as the source */
};
int ctr_copy(struct engine *g, const struct copy_place *from, const struct copy_place *to,
             const struct copy_options *o, struct err *e);
