/* struct workspace: a container's own directory while `berth run` is there, CONTAINERS/ID/.
 *
 *   record.json   {id, image, name, pid, start, oci}: whose it is, where the OCI runtime's state is
 *   upper/ work/  of the root's overlay
 *   etc/          hosts, hostname, resolv.conf: bound over the image's
 *   volumes/N/    anonymous volumes
 *   container.json  of a container that lasts (ctr.h): it has this in place of record.json; one
 *                 that `berth run` makes has both until its monitor takes it over
 *
 * CONTAINERS is `containers` in the store for images, which may write much; `sandboxes` in the run
 * directory for containers that keep nothing there but their record. (`containers` in the run
 * directory is of those that last: RUN/containers/ID is there only while CONTAINERS/ID is.)
 *
 * W1 The directory appears complete with its record, by a rename; it goes last.
 *    A container that lasts is removed by taking container.json away first.
 * W2 With record.json it belongs to a process (a pid counts only with its start time) that holds a
 *    flock on it; with container.json alone, to nobody but itself; with neither, to whoever removes
 *    it and has the flock. Once that process is gone, it and what it names, the run directory and
 *    the runtime's state of its id are anybody's to remove: workspace_sweep(). */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

struct workspace {
        char path[PATH_MAX]; /* CONTAINERS/ID */
        const char *id;
        int parent; /* O_PATH of CONTAINERS */
        int dir;    /* of the directory itself, with the flock of W2 */
};
/* A container that lasts: container.json is written. ours: it is this process's until
 * workspace_release(), for which a monitor does as well; else it is nobody's from now on. */
int workspace_settle(struct workspace *w, const char *container_json, size_t n, bool ours,
                     struct err *e);
#define WORKSPACE_RECORD "record.json"
static inline int workspace_release(int dir)
{
        return unlinkat(dir, WORKSPACE_RECORD, 0);
}
void workspace_close(struct workspace *w); /* leaves it */
#define WORKSPACE_INIT                                                                             \
        {                                                                                          \
                .parent = -1, .dir = -1                                                            \
        }

/* What its record says besides. */
struct workspace_owner {
        const char *id;    /* of the container */
        const char *image; /* digest of its manifest, or NULL */
        const char *name;  /* of the image as it was asked for, or NULL */
        const char *oci;   /* state directory of the OCI runtime */
};

/* Makes CONTAINERS (parents too) and the directory. ERR_EXISTS where the id is taken. */
int workspace_make(const char *containers, const struct workspace_owner *o, struct workspace *ret,
                   struct err *e);
/* Removes it with what is in it. Takes one that was never made. */
int workspace_remove(struct workspace *w, struct err *e);

/* Where containers are. store, run: NULL where CONTAINERS is `sandboxes`. */
struct store;
struct workspace_places {
        const char *containers;
        struct store *store;   /* its index has the names of those that last */
        const char *run, *oci; /* run directories; state directories of the OCI runtime */
        const struct log *log;
};
/* Removes what killed processes left below containers: cgroups, the runtime's state, run
 * directories, directories, and the name in the index of one that was being made or removed.
 * Returns how many containers that were; failures are logged. A directory that isn't there has
 * none. */
unsigned workspace_sweep(const struct workspace_places *p);
/* The run directory of a container that lasts; nothing there is fine. */
int workspace_remove_run(const char *run, const char *id, struct err *e);
