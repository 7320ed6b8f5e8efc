/* Declared against effective: what the configuration asked for and what the kernel enforces now.
 * Pure.
 *
 * Only what the runtime guarantees is compared. What a process may change about itself is
 * compared for the container's first process alone, and where it made itself stricter that is no
 * drift. */
#pragma once

#include "diag/facts.h"

/* Compares; f->drift.config and the facts of the other probes are filled. page: bytes. exists tells
 * whether this host has a path at all (a mask for a missing path is not applied). */
void drift_compare(struct facts *f, const struct spec *s, uint64_t page,
                   bool (*exists)(const char *path));
