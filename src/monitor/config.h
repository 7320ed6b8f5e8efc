/* monitor.json: what a monitor is told about its container, written by the engine into the
 * container's directory when it is created, read by each monitor that is started for it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/value.h"
#include "monitor/log-file.h"

enum restart_policy {
        RESTART_NO,
        RESTART_ON_FAILURE,
        RESTART_ALWAYS,
        RESTART_UNLESS_STOPPED, /* as always; the difference is who starts it after a reboot */
        RESTART_POLICY_MAX
};
extern const char *const restart_policy_names[RESTART_POLICY_MAX + 1];

enum health_action { HEALTH_NONE, HEALTH_KILL, HEALTH_RESTART, HEALTH_STOP, HEALTH_ACTION_MAX };
extern const char *const health_action_names[HEALTH_ACTION_MAX + 1];

/* Who tells $NOTIFY_SOCKET that it is ready, and when (sd_notify(3)). */
enum notify_mode {
        NOTIFY_UNSAID,    /* as container */
        NOTIFY_CONTAINER, /* when it says so itself, on a socket that it gets */
        NOTIFY_CONMON,    /* when it runs */
        NOTIFY_HEALTHY,   /* when it is healthy for the first time */
        NOTIFY_IGNORE,    /* nobody */
        NOTIFY_MODE_MAX
};
extern const char *const notify_mode_names[NOTIFY_MODE_MAX + 1];
/* Whether the container gets a socket of its own, where there is a $NOTIFY_SOCKET. */
bool notify_is_own(enum notify_mode mode);

struct health_config {
        struct strings test; /* a command; none: no health checks */
        int64_t interval_ms, timeout_ms, start_period_ms;
        int64_t start_interval_ms; /* within the start period, until one succeeds; 0: interval_ms */
        int64_t retries;           /* failures in a row that make it unhealthy */
        enum health_action on_failure;
};

struct monitor_config {
        const char *id, *name;
        const char *bundle;   /* the container's directory: config.json, rootfs/ */
        const char *oci_root; /* state directories of the runtime */
        bool tty, open_stdin;
        enum log_driver log_driver;
        const char *log_tag; /* CONTAINER_TAG of journald; or NULL */
        uint64_t log_max_size;
        int64_t log_max_files;
        int64_t stop_signal;
        int64_t stop_timeout_ms;
        int64_t start_timeout_ms; /* the longest its init may take to get ready; 0: for ever */
        const char *pid_file;     /* init's number is written there at each start; or NULL */
        int64_t timeout_ms;       /* --timeout: the longest it may run; 0: for ever */
        enum restart_policy restart;
        int64_t restart_max; /* RESTART_ON_FAILURE: how often; 0: no limit */
        struct health_config health;
        enum notify_mode notify;
        bool auto_remove;       /* it goes when it ends: no evidence of that is kept */
        struct strings on_exit; /* a command to run once it has ended for good, or none */
};

/* Beside it, where the container has any: variables that are in no record nor configuration, each
 * "NAME=VALUE" ended by a NUL. Read at each start and exec. */
#define MONITOR_SECRETS "secrets" /* the directory of a container's secrets */
#define MONITOR_ENV "env"
/* bundle: as above. None is fine. Strings live in a. */
int monitor_env_read(struct arena *a, const char *bundle, struct strings *ret, struct err *e);

void monitor_config_write(const struct monitor_config *c, struct buf *out);
/* Strings live in a. ERR_INVALID names the member. */
int monitor_config_read(struct arena *a, const char *text, size_t n, struct monitor_config *ret,
                        struct err *e);
