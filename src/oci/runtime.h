/* The runtime's verbs: what `berth-oci` does, and what the engine calls (runtime.md
 * "Operations").
 *
 * Each takes struct runtime, which the caller fills once, and leaves nothing behind when it
 * fails. Ids are checked by all. Blocking: run and exec without detach wait for the process;
 * create, start, delete wait for hooks; the others return at once but for bounded waits. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/value.h"
#include "codec/criu-rpc.h"
#include "oci/container.h"

struct runtime {
        const char *root; /* where the state directories are */
        const struct log *log;
        bool systemd;   /* --systemd-cgroup */
        bool no_cgroup; /* --cgroup-manager=disabled */
        bool rootless;  /* not root of the initial user namespace */
};

/* The default of root: /run/berth-oci, or below $XDG_RUNTIME_DIR where rootless. In a. */
const char *runtime_root_default(struct arena *a, bool rootless);
/* Whether this process is something less than the host's root. */
bool runtime_is_rootless(void);

struct create_options {
        const char *id, *bundle;
        const char *config; /* the text of config.json; NULL: read it from the bundle */
        struct strings env; /* beside config.json's, over which they win; written nowhere */
        const char *pid_file, *console_socket, *pidfd_socket;
        int console_fd; /* in place of console_socket: a connected socket, ours to close; 0: none;
                           -1: there by the time ready() returns */
        pid_t *ret_pid; /* init's, as soon as it is known; may be NULL */
        bool no_pivot, no_new_keyring, no_subreaper;
        bool detach;         /* run: return once started */
        bool die_along;      /* run: nobody could find the container again if we were killed */
        pid_t parent;        /* run: for whom; where it has died, nothing is made; 0: for nobody */
        int64_t patience_ms; /* how long init may take to get ready, hooks included; 0: for ever.
                                Whoever is root in a namespace that it joins can stop it. */
        bool keep;           /* run: don't delete at the end */
        /* run: called when all is planned and nothing made yet; may be NULL. What the plan does not
         * need (console_fd, standard streams, what is preserved) is in place when it returns 0. */
        int (*ready)(void *ctx, struct err *e);
        void *ready_ctx;
        int64_t preserve_fds;
        int *ret_notify; /* run, with $NOTIFY_SOCKET: the caller waits for READY=1 on this socket of
                            the container's, instead of us (sd-notify.h); NULL: as usual */
};
int runtime_create(const struct runtime *rt, const struct create_options *o, struct err *e);
/* *ret_status: the container's exit status, 128 + n after signal n; 0 with detach. */
int runtime_run(const struct runtime *rt, const struct create_options *o, int *ret_status,
                struct err *e);
/* What create would do, as text (--plan); makes nothing. */
int runtime_plan(const struct runtime *rt, const struct create_options *o, struct buf *out,
                 struct err *e);
int runtime_start(const struct runtime *rt, const char *id, struct err *e);

/* The exit status by docker's convention of a run or exec that failed so: 127 where the command was
 * not found, 126 where it can't be executed, 125 where it was not the command that failed. */
enum { STATUS_ENGINE = 125, STATUS_CANNOT_EXEC = 126, STATUS_NOT_FOUND = 127 };
int runtime_failure_status(const struct err *e);

struct exec_options {
        const char *id;
        const char *process; /* file of a process object; NULL: from the fields below */
        struct strings args, env, caps;
        const char *cwd, *user, *apparmor, *selinux; /* NULL: the container's */
        struct strings additional_gids; /* beside the container's own, unless gids_are_all */
        bool gids_are_all;
        bool tty, no_new_privs, detach, ignore_paused;
        const char *pid_file, *console_socket, *pidfd_socket;
        pid_t *ret_pid;         /* as soon as it is known; may be NULL */
        struct strings cgroups; /* --cgroup: "[CONTROLLERS:]PATH" below the container's */
        int64_t patience_ms;    /* how long until the command is executed; 0: for ever. Whoever is
                                root in the container can stop the process on its way to it. */
        int64_t preserve_fds;
};
int runtime_exec(const struct runtime *rt, const struct exec_options *o, int *ret_status,
                 struct err *e);

/* Sends a signal to init, or with all to every process of its cgroup. */
int runtime_kill(const struct runtime *rt, const char *id, int sig, bool all, struct err *e);
/* With force kills what runs first, and finds nothing to do where there is no such container. */
int runtime_delete(const struct runtime *rt, const char *id, bool force, struct err *e);
int runtime_pause(const struct runtime *rt, const char *id, struct err *e);
int runtime_resume(const struct runtime *rt, const char *id, struct err *e);
/* The processes, ascending; *ret is the caller's to free. */
int runtime_ps(const struct runtime *rt, const char *id, pid_t **ret, size_t *ret_n, struct err *e);
int runtime_state(const struct runtime *rt, const char *id, struct buf *out, struct err *e);

struct spec_resources;
struct update_options {
        struct spec_resources *resources;
        const char *l3_cache_schema, *mem_bw_schema;
};
int runtime_update(const struct runtime *rt, const char *id, const struct update_options *o,
                   struct err *e);

struct checkpoint_options {
        const char *id, *image_path, *work_path;
        const char *page_server; /* "ADDRESS:PORT", or NULL */
        int64_t status_fd;       /* gets a byte once the page server listens; or -1 */
        bool pre_dump;           /* memory only */
        struct criu_opts criu;   /* what the flags say; the rest is filled in */
};
/* Has CRIU write the processes to files; the container is gone then, but for pre_dump and
 * criu.leave_running. Blocks until CRIU is done. */
int runtime_checkpoint(const struct runtime *rt, const struct checkpoint_options *o, struct err *e);

struct restore_options {
        struct create_options create;
        const char *image_path, *work_path;
        struct criu_opts criu; /* as above */
};
/* The reverse, as runtime_run(). */
int runtime_restore(const struct runtime *rt, const struct restore_options *o, int *ret_status,
                    struct err *e);

/* Everything that belongs to c goes: processes, unit, cgroups, classes, the directory; then
 * poststop hooks. c must be locked. spec may be NULL: no hooks then. */
int runtime_destroy(const struct runtime *rt, struct container *c, const struct spec *spec,
                    struct err *e);

/* ---- shared by the verbs ---- */

/* Opens, and for a change locks, a container. */
int runtime_open(const struct runtime *rt, struct arena *a, const char *id, bool lock,
                 struct container *ret, struct err *e);
/* Writes "PID" to path by rename. */
int runtime_pid_file(const char *path, pid_t pid, struct err *e);
/* Sends a pidfd to the listener at path. */
int runtime_pidfd_send(const char *path, int pidfd, struct err *e);
/* Connects to a unix socket. A descriptor, or -1. */
int runtime_connect(const char *what, const char *path, struct err *e);
/* Whether fds 3 to 3 + n - 1 were given to us, as --preserve-fds says; adds $LISTEN_FDS. */
int runtime_preserve_fds(int64_t given, unsigned *ret, struct err *e);
