/* Shared by the files of kernel/cgroup*.c alone. */
#pragma once

#include "kernel/cgroup.h"

/* The controllers named in a list ("cpu io memory\n"); words that are none are passed over. */
cgroup_set cgroup_set_parse(const char *text, char sep);
/* Fills of[CGROUP_CONTROLLER_MAX] from c->v[].controllers: v1 wins, v2's core stands in for
 * devices, freezer, cpuacct and perf_event. */
void cgroup_map_controllers(const struct cgroup *c, int8_t *of);
/* Undoes proc's \ooo escapes. */
char *cgroup_unescape(struct arena *a, const char *s, size_t n);

/* Notes a failure (f may be NULL) and returns -sys. */
int cgroup_failed(struct cgroup_fail *f, enum cgroup_fault what, int sys, const char *path);

/* Room for a directory and a file in it. */
#define CGROUP_FILE_MAX (PATH_MAX + 64)
/* Whether a v2 directory's cgroup.events says "key 1". -errno. */
int cgroup_event(const char *dir, const char *key);
/* Waits until cgroup.events says "key value". -ETIMEDOUT; a removed cgroup counts as populated
 * 0. */
int cgroup_event_wait(const char *dir, const char *key, int value, int timeout_ms);

/* Marks a v2 directory whose cgroup.kill was written: see cgroup_join_prepare(). */
#define CGROUP_KILLED_XATTR "user.berth.killed"
