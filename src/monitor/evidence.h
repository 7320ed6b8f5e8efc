/* Evidence: what a monitor knows of how its container ended, written before the cgroup, which
 * holds most of it, is removed. The last EVIDENCE_KEPT records stay, in the container's directory:
 *
 *   exits/N.json     N counts up over all the container's lives
 *   exits/life       a symbolic link to "STARTED:BOOT": the life that is under way, or that was
 *                    when the monitor was killed or the machine went down; its record replaces it
 *
 * Order (after rmdir a cgroup's files are gone, even through open descriptors): exit seen,
 * snapshot, reaped, removed. A cgroup is new with each life, so what it has counted is what this
 * life used. "oomKilled" is true only where init itself died of SIGKILL and the
 * cgroup counted an OOM kill meanwhile: a child that was killed hours ago is no cause. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "monitor/counters.h"

#define EVIDENCE_KEPT 5
#define EVIDENCE_SAMPLES 12 /* of EVIDENCE_SAMPLE_MS each: the last minute */
#define EVIDENCE_SAMPLE_MS 5000
#define EVIDENCE_KERNEL_LINES 20

/* Somebody asked for the end: who, how. */
struct asked {
        int64_t time_ns; /* 0: nobody did */
        int signal;
        pid_t pid;
        uid_t uid;
        char comm[16]; /* of the asker's process */
        char why[64];  /* "berth stop", "the stop timeout", "health check" */
};

struct evidence {
        const char *id, *name;
        bool kept; /* a record will be saved; else only evidence_oom_killed() is asked for */
        pid_t pid;
        int64_t started_ns, finished_ns;
        int wait_status; /* as wait(2) gives it */
        unsigned restarts;
        struct asked asked;
        struct counters last;
        struct counters samples[EVIDENCE_SAMPLES]; /* a ring; time_ns 0: unused */
        unsigned next_sample;
        const char *lost; /* why there is a record without an end seen; or NULL */
        int kmsg;         /* /dev/kmsg, positioned at the start; or -1 */
};

/* Makes the directory of the records: that it is there says that the container ran once. In it says
 * that a life is under way (where it is kept). */
void evidence_place(const struct evidence *v, int dir);
/* A life that has no record; false: there is none. machine: the machine went down meanwhile. */
bool evidence_underway(int dir, int64_t *ret_started_ns, bool *ret_machine);
/* Gives such a life its record. */
void evidence_lost(struct evidence *v, int dir);
/* At the start of a life: opens the kernel log. */
void evidence_begin(struct evidence *v);
void evidence_sample(struct evidence *v, const struct cgroup *c);
/* The exit was seen: reads the last counters. */
void evidence_end(struct evidence *v, const struct cgroup *c, int wait_status);
/* Whether the kernel killed init for want of memory: see above. */
bool evidence_oom_killed(const struct evidence *v);
/* Writes the record below dir (the container's directory) and drops the oldest. cgroup_path: what
 * the kernel's log calls it. Durable on return. 0 or -errno. */
int evidence_save(struct evidence *v, int dir, const char *cgroup_path);
void evidence_done(struct evidence *v);

/* Numbers of the records that are there, ascending. Returns how many, at most EVIDENCE_KEPT. */
int evidence_list(int dir, unsigned ret[EVIDENCE_KEPT]);

/* What exits/life says: "STARTED:BOOT". Pure, and fuzzed. */
bool evidence_life_read(const char *text, const char *boot, int64_t *ret_started_ns,
                        bool *ret_machine);
/* Which lines of the kernel's log are about this container: picks from one record
 * ("6,123,456,-;text"). Pure. victim: a pid that an earlier line named, updated; start with 0. */
bool evidence_kernel_line(const char *record, const char *cgroup_path, pid_t init, pid_t *victim);
