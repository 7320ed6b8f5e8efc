/* What a mount table means: which mount is the root, which are data, which hide things. Pure.
 *
 * Sources of bind mounts come from mountinfo's root field: the same device and path, found again
 * in the reader's own table. That needs no path of the target's to be opened. */
#pragma once

#include "diag/facts.h"
#include "diag/host.h"

/* Fills fs from the text of /proc/PID/mountinfo. */
void mounts_read(struct arena *a, const char *mountinfo, const struct probe_host *h,
                 struct fs_facts *fs);
/* Sets fs->unmasked and fs->writable: exists tells whether this host has the path at all. */
void mounts_protections(struct arena *a, struct fs_facts *fs, bool (*exists)(const char *path));
/* Splits the root's overlay options into layers; dir_link (may be NULL) reads a symbolic link,
 * for the short names that storage drivers use. */
void mounts_overlay(struct arena *a, struct fs_facts *fs,
                    const char *(*dir_link)(struct arena *a, const char *path));
/* "containers/storage 3f2a9c...", or NULL for a path that no engine's layout has. */
const char *layer_origin(struct arena *a, const char *path);
/* Why a part of the host shown to a container deserves a look, or NULL. */
const char *host_path_danger(const char *path);
