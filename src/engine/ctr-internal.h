/* What the files of ctr.h share. */
#pragma once

#include "engine/ctr.h"
#include "kernel/proc.h"

#define CTR_STOPPED                                                                                \
        "stopped" /* in its directory: somebody stopped it, and nobody started it since */

/* box: o's, with what was found out since. */
void ctr_record_write(const struct ctr *c, const struct ctr_options *o, const struct sandbox *box,
                      struct buf *out);
/* text must last as long as a. */
int ctr_record_read(struct arena *a, const char *text, struct ctr *ret, struct err *e);
/* The record again, its name replaced by c's. */
void ctr_record_again(const struct ctr *c, struct buf *out);
/* The mappings of its user namespace as one, by the record; -1 where it has none. */
int ctr_userns(const struct ctr *c, int *ret, struct err *e);
/* Its root, upper directory and all, as a detached mount; mapped: seen as by its user namespace. */
int ctr_mount(struct engine *g, const struct ctr *c, bool mapped, int *ret_root, struct err *e);
/* A monitor that gets ready while its container is being made (monitor/begin.h). */
struct standby {
        pid_t pid;
        int sock; /* -1: there is none */
};
int standby_start(struct standby *s, const struct ctr *c, struct err *e);
void standby_dismiss(struct standby *s);
/* Gives the monitor (started now, where none stands by) this root (passed on and closed; -1:
 * mounts it) and this client's socket (or -1). lock: ctr_lock()'s; no lock any more once the
 * container runs. */
int ctr_launch(struct engine *g, const struct ctr *c, int lock, struct standby *s, int root,
               int attach, struct err *e);
/* The mounts of the record's "prepared", detached, with places for them in its directory dir. How
 * many. */
int ctr_prepare(struct engine *g, const struct ctr *c, int dir, int mounts[WIRE_MOUNTS_MAX],
                struct err *e);
/* A connection for ctr_launch(), its request sent: ours, the monitor's. */
int ctr_attach_pair(const struct attach *attach, int pair[2], struct err *e);
/* box.ns: whose namespaces are joined becomes an id and a path; ERR_STATE where one isn't up. */
int ctr_join(struct engine *g, struct arena *a, struct sandbox *box, struct err *e);
/* --volumes-from: rows for what the named containers have mounted, where m has nothing yet. */
struct mounts;
int ctr_volumes_from(struct engine *g, struct arena *a, const struct strings *given,
                     struct mounts *m, struct err *e);
/* ERR_STATE where another container has c's anonymous volumes, which go with c. */
int ctr_volumes_free(struct engine *g, const struct ctr *c, struct err *e);
/* c is down: volumes that are file systems of their own are unmounted, unless others have them. */
void ctr_volumes_release(struct engine *g, const struct ctr *c);
/* The record's member "joins"; and config.json in dir again, with their paths as they are now. */
void ctr_join_record(const struct sandbox *box, struct json_writer *w);
int ctr_rejoin(struct engine *g, const struct ctr *c, int dir, struct err *e);
/* monitor.json. Strings live in a. */
int ctr_monitor_read(struct arena *a, int dir, struct monitor_config *ret, struct err *e);
int ctr_monitor_write(int dir, const struct monitor_config *m, struct err *e);
/* Has its monitor, where it has one, read that again. */
void ctr_reload(const struct engine *g, const struct ctr *c);
/* E1: a descriptor of its directory that holds the lock. ERR_NOT_FOUND where it is gone. */
int ctr_lock(const struct engine *g, const struct ctr *c, struct err *e);
/* The same of one that may be half removed. */
int ctr_lock_any(const struct engine *g, const struct ctr *c, struct err *e);
/* The record's member "hostConfig". */
void ctr_asked_write(const struct ctr_options *o, const struct sandbox *s, struct json_writer *w);
