/* What a container has made of its image: its differences, its root as an archive, an image of
 * it. All read the upper directory of its overlay. */
#pragma once

#include "engine/ctr.h"
#include "image/difference.h"

/* As `docker diff`: sorted, in a. What berth made to mount on is none. */
int ctr_differences(struct engine *g, struct arena *a, const struct ctr *c, struct difference **ret,
                    size_t *ret_n, struct err *e);
/* Writes its root as a tar to out; of what is mounted in it nothing. */
int ctr_export(struct engine *g, const struct ctr *c, int out, struct err *e);

struct commit_options {
        const char *name; /* full; NULL: none */
        const char *message, *author;
        struct strings changes; /* compose_change() */
        bool pause;             /* while the upper directory is read */
        bool docker;            /* schema 2 instead of OCI */
};
/* Its image and its upper directory as one more layer. ret is in a. */
int ctr_commit(struct engine *g, struct arena *a, const struct ctr *c,
               const struct commit_options *o, struct image *ret, struct err *e);

/* Where something is mounted in it, without a leading '/'; in a. */
int ctr_mount_points(const struct engine *g, struct arena *a, const struct ctr *c,
                     struct strings *ret, struct err *e);
/* Whether its root is read-only while it runs (--read-only). */
int ctr_read_only(const struct engine *g, struct arena *a, const struct ctr *c, bool *ret,
                  struct err *e);
/* Its upper directory, for reading. */
int ctr_upper(const struct engine *g, const struct ctr *c, struct err *e);
/* Its root: of one that is up its init's, with owners as the host has them (ctr_owners()); else
 * mounted for us, with owners as the container has them, and the container's lock in *ret_lock
 * (else -1), so that nobody starts it meanwhile. Both are the caller's to close. */
int ctr_root(struct engine *g, const struct ctr *c, int *ret_root, int *ret_lock, struct err *e);
/* The mappings of its user namespace, in a; none where it has none. */
struct id_owners ctr_owners(struct arena *a, const struct ctr *c);
