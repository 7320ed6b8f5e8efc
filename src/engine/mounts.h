/* The mounts of a container: what every one has, what --volume and --tmpfs ask for, and what the
 * engine makes: files of /etc and anonymous volumes. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "codec/json.h"
#include "engine/sandbox.h"
#include "engine/settings.h"
#include "engine/workspace.h"

struct mount_row {
        const char *destination, *type, *source;
        struct strings options; /* as in config.json */
};
struct mounts {
        struct mount_row *v;
        size_t n, cap;
};

/* A bind of source, its options ended by NULL. */
void mounts_bind(struct arena *a, struct mounts *m, const char *source, const char *destination,
                 const char *const *options);
/* What --volume and --tmpfs say, checked. */
int mounts_given(struct arena *a, const struct sandbox *s, struct mounts *m, struct err *e);
/* hosts, hostname and resolv.conf: written below the workspace (unless dry), bound in /etc where
 * nothing is mounted by the caller. */
int mounts_etc(struct arena *a, const struct sandbox *s, const struct workspace *w, bool dry,
               struct mounts *m, struct err *e);
/* Anonymous volumes: directories of the workspace, with what the image has in those places, seen
 * from root (an O_PATH descriptor; -1: dry, make nothing). */
int mounts_volumes(struct arena *a, const struct settings *t, const struct workspace *w, int root,
                   struct mounts *m, struct err *e);
/* The member "mounts": what every container has, then m, parents before what lies below them. */
void mounts_write(const struct sandbox *s, struct mounts *m, struct json_writer *w);
