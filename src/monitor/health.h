/* Health checks: a command run in the container at intervals (docker's HEALTHCHECK). The state is
 * `starting` until the first success or `retries` failures in a row after the start period; then
 * healthy or unhealthy. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "monitor/config.h"
#include "monitor/life.h"
#include "monitor/state.h"

#define HEALTH_OUTPUT_MAX 500 /* characters that are kept, as podman does it */
#define HEALTH_KEPT 5

/* One check that has ended. */
struct health_check {
        int64_t begun_ns, ended_ns; /* since 1970; 0: there is none */
        int exit_code;
        size_t len;
        char text[HEALTH_OUTPUT_MAX];
};

struct health {
        int64_t next_ms, deadline_ms; /* monotonic; of the next check, of the one that runs */
        int64_t begun_ms;             /* of this life */
        struct life_spare starter;    /* who starts it; sock -1: nobody, or it runs by now */
        pid_t pid;                    /* of the check that runs, 0: none */
        int output;                   /* its output, or -1 */
        bool timed_out;
        struct health_check now;               /* the one that runs */
        struct health_check last[HEALTH_KEPT]; /* a ring */
        unsigned next;
};
/* Those of this life, in the container's run directory: docker's Log, [{Start, End, ExitCode,
 * Output}], oldest first. */
#define HEALTH_LOG "health.json"

/* A life begins: the first check is due after one interval; what the log of the last one holds
 * goes. */
void health_begin(struct health *h, const struct health_config *c, int run, int64_t now_ms);
/* ms until something is due; -1: never. */
int health_due(const struct health *h, const struct health_config *c, int64_t now_ms);
/* Starts or times out a check where that is due. True: it has ended without having run (127). What
 * is frozen is not checked. */
bool health_tick(struct health *h, const struct monitor_config *c, const struct cgroup *cgroup,
                 const char *program, int64_t now_ms);
/* Hears from who starts the check, where there is something to hear. True: as health_tick(). */
bool health_started(struct health *h);
/* Reads output that has come. */
void health_output(struct health *h);
/* The check's process has ended (or 127: could not start); it is logged in the directory run. True
 * where state->health changed. Allocates nothing. */
bool health_result(struct health *h, const struct monitor_config *c, int run, int exit_code,
                   int64_t now_ms, struct monitor_state *state);
/* The life is over: kills what runs. */
void health_stop(struct health *h);
