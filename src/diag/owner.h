/* Whose process is it: what cgroup paths, monitors' arguments and runtimes' state files say. Pure.
 *
 * Each source fills an owner_clue; probe-owner.c weighs them. A cgroup's path is only a name that
 * someone chose; a state file with the right pid and start time is proof. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "diag/facts.h"

struct json;

struct owner_clue {
        bool container;
        bool monitor; /* it is the container's monitor, not in the container */
        const char *kind, *engine, *runtime;
        const char *id, *name, *image, *bundle, *pod_uid, *pod_name, *pod_namespace;
        const char *part; /* the cgroup path component */
};

/* From the text of /proc/PID/cgroup; the container-like line wins. False if no line is
 * recognised. */
bool owner_from_cgroups(struct arena *a, const char *text, struct owner_clue *ret);
/* From one cgroup path. */
bool owner_from_path(struct arena *a, const char *path, struct owner_clue *ret);
/* Whether a process called comm could be a monitor, so that its arguments are worth reading. */
bool owner_is_monitor(const char *comm);
/* From an ancestor's arguments. */
bool owner_from_args(struct arena *a, const char *const *args, size_t n, struct owner_clue *ret);

/* What a runtime's state file says: runc's state.json, crun's status, berth-oci's state.json. */
struct owner_state {
        const char *runtime; /* by the file's form */
        const char *id, *bundle, *created, *rootfs, *owner;
        int64_t pid;
        uint64_t start; /* clock ticks; 0 not recorded */
};
bool owner_from_state(struct arena *a, const struct json *j, struct owner_state *ret);

/* Names and image from config.json's annotations (CRI, nerdctl, podman). */
void owner_from_annotations(const struct json *config, struct owner_clue *ret);
/* From containers/storage's containers.json: the entry of id. */
bool owner_from_storage(struct arena *a, const struct json *containers, const char *id,
                        struct owner_clue *ret);
/* The id of the container called name there, or NULL. */
const char *owner_storage_id(const struct json *containers, const char *name);
/* From berth's container.json. */
void owner_from_record(const struct json *record, struct owner_clue *ret);
/* From docker's config.v2.json. */
void owner_from_docker(const struct json *config, struct owner_clue *ret);
