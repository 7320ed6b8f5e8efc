/* Containers that last: created, started under a monitor each, stopped, listed, removed.
 *
 * One is a directory of the store, containers/ID/ (workspace.h), with besides what every
 * workspace has:
 *
 *   container.json   what it is: written last when it is created; from then on the directory is
 *   nobody's but its own
 *   config.json      what the OCI runtime gets; root.path is rootfs
 *   monitor.json     what its monitor gets (monitor/config.h)
 *   rootfs/          where the monitor mounts the root, in a mount namespace of its own
 *   ctr.log, exits/  what the monitor writes: output, evidence of exits
 *   stopped          somebody stopped it, and nobody started it since: for ctr_starts_at_boot()
 *
 * and a directory that a reboot takes along, RUN/containers/ID/: state.json and the socket ctl of
 * its monitor. It is made and removed under the lock, and only while the other one is there.
 *
 * E1  A container is changed (started, removed, renamed) by who holds the flock on its directory;
 *     it is held across neither a pull, nor an unmount, nor a stop. Who starts it shares the lock
 *     with the monitor, which gives it back once the container runs: a starter may be killed.
 * E2  Its status is what its monitor says while that lives; else what is on disk: never started,
 *     exited (by its last exit record), or lost: it ran, and its monitor died or the host was
 *     restarted.
 * E3  Removing goes: monitor, container.json, processes, run directory, index row and name,
 *     directory; that may be left to the monitor, with the lock. Without container.json it is
 *     nobody's, and whoever makes a container next goes on with it where we were killed
 *     (workspace_sweep()). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "codec/json.h"
#include "engine/attach.h"
#include "engine/sandbox.h"
#include "image/store.h"
#include "monitor/config.h"
#include "monitor/state.h"
#include "monitor/wire.h"

struct engine {
        struct sandbox_places places;
        struct store *store;
};
int engine_open(const struct sandbox_places *p, struct engine *ret, struct err *e);
void engine_close(struct engine *g);

/* What `create` and `run` ask for beyond the sandbox. */
struct ctr_options {
        struct sandbox box; /* .name: as given, or NULL */
        struct key_values labels;
        struct monitor_config monitor; /* log, stop, restart, health; the rest is filled in */
        bool health_given, no_health;  /* monitor.health replaces the image's, or none at all */
        bool stop_signal_given;
        bool auto_remove;
        struct strings command_line; /* ours, for inspect */
        const char *cid_file;        /* the same; or NULL */
        int64_t preserve_fds;    /* run: descriptors from 3 on that it gets, in its first life */
        struct strings required; /* containers that are started before it, by name or id */
};

/* The record. Strings are in an arena. */
struct ctr {
        const char *id, *name;
        const char *asked; /* what a command called it; NULL: it was not named */
        int64_t created_ns;
        const char *image_name, *image_digest, *image_id;
        struct strings layers;  /* keys, lowest first */
        struct strings command; /* what it runs */
        size_t entrypoint;      /* how many words of it are the entrypoint */
        const char *user;       /* as the caller or the image has it; "": nobody said */
        struct key_values labels;
        bool tty, open_stdin, auto_remove, systemd;
        bool passthrough;        /* its streams are those of who starts it */
        int64_t preserve_fds;    /* as above; in no record */
        struct strings required; /* ids of containers that are started before it */
        const char *network;     /* "none", "host" */
        const char *slice;       /* systemd's, where its scope is; NULL: systemd has no part */
        /* While it is being created; later they are in the record, "mounts" and "secrets". */
        const struct mounts *mounts;
        const struct secret_uses *secrets;
        const struct json *record; /* container.json, whole */
};

enum ctr_status {
        CTR_CREATED,
        CTR_RUNNING,
        CTR_PAUSED,
        CTR_STOPPING,
        CTR_RESTARTING,
        CTR_EXITED,
        CTR_LOST, /* "dead": it ran, and how it ended nobody knows */
        CTR_STATUS_MAX
};
extern const char *const ctr_status_names[CTR_STATUS_MAX + 1];
struct ctr_state {
        enum ctr_status status;
        struct monitor_state monitor; /* pid and such; of a container that is not up, its last */
};

/* Makes one from an image (pulled as box.pull says). A signal meanwhile undoes it, then takes
 * effect. On success those that end programs stay held back, for only who is told of a container
 * can remove it. */
int ctr_create(struct engine *g, struct arena *a, const struct ctr_options *o, struct ctr *ret,
               struct err *e);
/* Starts its monitor; back when the container runs, or has failed to. With attach, *ret_sock is a
 * connection (attach.h) that misses nothing. */
int ctr_start(struct engine *g, const struct ctr *c, const struct attach *attach, int *ret_sock,
              struct err *e);
/* Starts those that it requires, and what they require, where they aren't up. */
int ctr_start_required(struct engine *g, const struct ctr *c, struct err *e);
/* Tells $NOTIFY_SOCKET, where there is one, that a detached container is ready, once it is (by its
 * sdnotify mode); its monitor is the main process then. */
int ctr_notify(struct engine *g, const struct ctr *c, struct err *e);
/* Both, mounting the root once; with attach signals are the session's then. Where it can't be
 * started, a container that removes itself is
 * removed, another stays, created. */
int ctr_run(struct engine *g, struct arena *a, const struct ctr_options *o,
            const struct attach *attach, int *ret_sock, struct ctr *ret, struct err *e);

/* By name, id or unique prefix of an id. */
int ctr_find(struct engine *g, struct arena *a, const char *text, struct ctr *ret, struct err *e);
/* All, newest first; in a. */
int ctr_list(struct engine *g, struct arena *a, struct ctr **ret, size_t *ret_n, struct err *e);
/* The same without their records (NULL): of hundreds, these would be most of the work. */
int ctr_list_brief(struct engine *g, struct arena *a, struct ctr **ret, size_t *ret_n,
                   struct err *e);
/* E2. Never fails: what can't be read is CTR_LOST. */
void ctr_state(const struct engine *g, const struct ctr *c, struct ctr_state *ret);
void ctr_states(const struct engine *g, const struct ctr *v, size_t n, struct ctr_state *ret);
bool ctr_is_up(const struct ctr_state *s); /* running, paused, stopping or restarting */
/* Unmounts the volumes that were mounted for it and that no other has; monitors have this done when
 * a container ends. ERR_STATE while it is up. */
int ctr_cleanup(struct engine *g, const struct ctr *c, struct err *e);
/* Bytes on disk of what it has written over its image; 0 where that can't be told. */
uint64_t ctr_written(const struct engine *g, const struct ctr *c);

/* Its directories: descriptors, or -1 with e. */
int ctr_dir(const struct engine *g, const char *id, struct err *e);
int ctr_run_dir(const struct engine *g, const char *id, bool make, struct err *e);
/* monitor.json; in a. */
int ctr_monitor_config(const struct engine *g, struct arena *a, const struct ctr *c,
                       struct monitor_config *ret, struct err *e);
/* Whether it is to be started when the machine has: by its restart policy, `always` in any case,
 * `unless-stopped` but for one that somebody stopped, `on-failure` besides where it failed. */
bool ctr_starts_at_boot(const struct engine *g, const struct ctr *c);
/* The root of one that is up, as its init sees it (O_PATH): for kernel/resolve.h alone, everything
 * in it is the container's choice. */
int ctr_live_root(const struct ctr *c, const struct ctr_state *s, struct err *e);
/* A request to its monitor (wire.h). ERR_STATE where it has none. */
int ctr_call(const struct engine *g, const struct ctr *c, const struct wire_request *q,
             int timeout_ms, struct wire_reply *ret, struct err *e);

/* signal 0 and timeout -1: its own. Stopped already is success. why: "berth stop". */
int ctr_stop(struct engine *g, const struct ctr *c, int sig, int64_t timeout_ms, const char *why,
             struct err *e);
/* The same without waiting, because the machine goes down: who stopped it was nobody, so that its
 * restart policy brings it back. ctr_wait() waits. */
int ctr_shut_down(struct engine *g, const struct ctr *c, int64_t timeout_ms, struct err *e);
int ctr_kill(struct engine *g, const struct ctr *c, int sig, const char *why, struct err *e);
int ctr_restart(struct engine *g, const struct ctr *c, int sig, int64_t timeout_ms, struct err *e);
int ctr_pause(struct engine *g, const struct ctr *c, bool pause, struct err *e);
int ctr_rename(struct engine *g, const struct ctr *c, const char *name, struct err *e);
/* One that has ended. sock: a connection that its monitor keeps (ATTACH_LAST), to which the
 * directory is left, with the lock on it, once nothing else is; or -1. */
int ctr_remove_attended(struct engine *g, const struct ctr *c, int sock, struct err *e);
/* force: also one that runs (SIGKILL after `timeout_ms`, 0: at once). volumes: its anonymous ones
 * go in any case. */
int ctr_remove(struct engine *g, const struct ctr *c, bool force, int64_t timeout_ms,
               struct err *e);
/* Until it has exited; *ret_status its exit status. One that is not up: its last. */
int ctr_wait(struct engine *g, const struct ctr *c, int *ret_status, struct err *e);

/* Whether they are whole: records, directories, what monitors that died left behind. repair: ends
 * and removes what is nobody's, and takes in what has no record. Findings live in a. */
int ctr_check(struct engine *g, struct arena *a, bool repair, struct finding **ret, size_t *ret_n,
              struct err *e);

struct ctr_update {
        const char *resources; /* a linux.resources object, JSON; NULL: they stay */
        bool restart_given;
        enum restart_policy restart;
        int64_t restart_max;
};
/* For a container that runs at once, and for each start to come. */
int ctr_update(struct engine *g, const struct ctr *c, const struct ctr_update *u, struct err *e);

/* docker's and podman's JSON of one, as `inspect` prints it. */
/* size: with SizeRw and SizeRootFs. */
int ctr_inspect(struct engine *g, const struct ctr *c, bool size, struct json_writer *w,
                struct err *e);

/* An event of the engine's own doing ("create", "remove", "kill", ...). */
void ctr_event(const struct engine *g, const struct ctr *c, const char *action, const char *key,
               const char *value);
/* The directory of the journal (made where missing), for events. */
int engine_journal(const struct store *s, struct err *e);
