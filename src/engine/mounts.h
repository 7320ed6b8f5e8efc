/* The mounts of a container: what every one has, what --volume, --mount and --tmpfs ask for
 * (mount-args.c), and what the engine makes: files of /etc and volumes. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "codec/json.h"
#include "engine/sandbox.h"
#include "engine/settings.h"
#include "engine/workspace.h"
#include "image/store.h"

enum mount_kind {
        MOUNT_OURS,
        MOUNT_BIND,
        MOUNT_VOLUME,
        MOUNT_TMPFS,
        MOUNT_DEVPTS,
        MOUNT_IMAGE,
        MOUNT_KIND_MAX
};
struct mount_row {
        enum mount_kind kind; /* MOUNT_OURS: nobody asked for it */
        const char *destination, *type, *source;
        const char *volume;  /* MOUNT_VOLUME: its name, "": anonymous */
        const char *subpath; /* MOUNT_VOLUME: what is below it there; or NULL */
        const char *image;   /* MOUNT_IMAGE: as it was named */
        const char *digest;  /* of that, and its layers */
        struct strings layers;
        const char *shm_of;     /* MOUNT_OURS: the container whose /dev/shm it is; or NULL */
        unsigned prepared;      /* its number among them (below), from 1; 0: it is none */
        struct strings options; /* as in config.json */
        bool read_only, nocopy;
        bool stored; /* of the store: owners are those inside, whatever the user namespace */
        bool idmap;  /* so is what the caller mounts, or by these mappings */
        struct id_mappings uids, gids;
        bool chown; /* its files become the user's that the container runs as */
};
struct mounts {
        struct mount_row *v;
        size_t n, cap;
        bool own_volumes;   /* some are file systems of their own, mounted while they are used */
        unsigned nprepared; /* mounts that the engine makes at each start, on WORKSPACE/mounts/N */
        int *held; /* directories of volumes, locked until they are in a record (volume.h, V2) */
        size_t nheld;
};
struct mount_row *mounts_add(struct arena *a, struct mounts *m);
bool mounts_has(const struct mounts *m, const char *destination);
void mounts_done(struct mounts *m); /* lets go of volumes */

/* A bind of source, its options ended by NULL; the row, for more to be said of it. */
struct mount_row *mounts_bind(struct arena *a, struct mounts *m, const char *source,
                              const char *destination, const char *const *options);
/* What --volume, --mount and --tmpfs say, checked; volumes have no source yet. */
int mounts_given(struct arena *a, const struct sandbox *s, struct mounts *m, struct err *e);
/* tmpfs where nothing else is mounted: for --read-only, and (systemd) what systemd writes to. */
void mounts_scratch(struct arena *a, const struct sandbox *s, bool systemd, struct mounts *m);
/* hosts, hostname and resolv.conf: written below the workspace (unless dry), bound in /etc where
 * nothing is mounted by the caller. */
int mounts_etc(struct arena *a, const struct sandbox *s, const struct workspace *w, bool dry,
               struct mounts *m, struct err *e);
/* Volumes get their sources: named ones of the store, anonymous ones in the workspace (t's, where
 * nothing else is mounted there); with what the image has in those places, seen from root (an
 * O_PATH descriptor; -1: dry, make nothing). */
int mounts_volumes(struct arena *a, const struct settings *t, const struct workspace *w,
                   struct store *s, int root, struct mounts *m, struct err *e);
/* /dev/shm of the container with this id, whose IPC namespace is joined, unless something else is
 * mounted there. */
void mounts_shm(struct arena *a, const struct workspace *w, const char *id, struct mounts *m);
/* Those with the option U get that owner, an id inside. */
int mounts_chown(const struct sandbox *s, const struct mounts *m, uint32_t uid, uint32_t gid,
                 struct err *e);
/* The member "mounts" of container.json: type, name (of a volume; "": anonymous), source,
 * destination, rw, propagation, options. m may be NULL. */
void mounts_record(const struct mounts *m, struct json_writer *w);
/* The member "prepared": what the engine mounts at each start (ctr-prepare.c), by number. */
void mounts_record_prepared(const struct mounts *m, struct json_writer *w);
/* The member "mounts": what every container has, then m, parents before what lies below them.
 * systemd: it may change its own cgroup. */
void mounts_write(const struct sandbox *s, bool systemd, struct mounts *m, struct json_writer *w);
