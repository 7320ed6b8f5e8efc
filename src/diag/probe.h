/* The probes: each reads one subject of a process into its part of struct facts.
 *
 * They only read: no ptrace, no signal, no write, no path of the target's followed out of its
 * root, none at all on file systems that could answer late (FUSE, network). The one namespace
 * that is entered, for the moment of a uname(2), is a UTS namespace: it holds a name and nothing
 * else. What can't be read is noted in the facts; no probe fails. Their order matters only where
 * said. */
#pragma once

#include "diag/facts.h"
#include "diag/target.h"

struct probe_host; /* what is the same for every target: host.h */

/* Names, arguments, parents, times. First: the others use its ids. */
void probe_process(struct facts *f, const struct target *t, const struct probe_host *h);
/* Namespaces, id maps, host name, clock offsets. */
void probe_ns(struct facts *f, const struct target *t, const struct probe_host *h);
/* Ids, capabilities, seccomp, LSM, limits. After probe_ns (id maps). */
void probe_cred(struct facts *f, const struct target *t);
/* The mount table and what it means. After probe_ns. */
void probe_mounts(struct facts *f, const struct target *t, const struct probe_host *h);
/* Where its cgroups are. */
void probe_places(struct facts *f, const struct target *t, const struct probe_host *h);
/* The controllers' numbers; with sample_ms > 0 twice, that long apart. After probe_places. */
void probe_consumes(struct facts *f, const struct target *t, const struct probe_host *h,
                    unsigned sample_ms);
/* Device access. After probe_places. */
void probe_devices(struct facts *f, const struct target *t, const struct probe_host *h);
/* Whose it is; roots as state_roots() gives them. After probe_ns and probe_places. */
void probe_owner(struct facts *f, const struct target *t, const struct probe_host *h,
                 const struct strings *roots);
