/* Named volumes: directories of the store that outlive containers, volumes/NAME/ with
 *
 *   volume.json   {name, created, driver, labels, options}
 *   _data/        what containers see
 *
 * V1  It appears complete, by a rename, and goes by one.
 * V2  Who uses it without having a record yet holds a shared flock on volumes/NAME; who removes it
 *     an exclusive one, and then looks at the records of containers.
 * V3  What the image has in its place is copied while _data is empty, under an exclusive flock on
 *     _data. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/value.h"
#include "codec/json.h"
#include "engine/ctr.h"
#include "image/store.h"

struct volume {
        const char *name, *mountpoint; /* mountpoint: the path of _data */
        int64_t created_ns;
        struct key_values labels, options;
};

/* Makes it. ERR_EXISTS. */
int volume_create(struct store *s, const char *name, const struct key_values *labels,
                  const struct key_values *options, struct err *e);
/* What --opt of volume create can say; ERR_INVALID. volume-mount.c */
int volume_check_options(const struct key_values *options, struct err *e);
/* Its data, as volume_data(), mounted where it has options; *ret_own: it has. */
int volume_mount(struct store *s, const char *name, bool *ret_own, struct err *e);
/* The reverse, unless a container that is up has it. */
void volume_unmount(struct engine *g, const char *name);
/* Its directory, made where missing, with the shared flock of V2: the caller's to close once a
 * record names the volume. */
int volume_use(struct store *s, const char *name, int *ret_dir, struct err *e);
/* V3: root is the image's (O_PATH), dir what volume_use() gave. */
int volume_fill(int dir, int root, const char *destination, struct err *e);
/* The same for any new directory: content and attributes of what root has there, if anything. */
int volume_copy(int dir, int root, const char *destination, struct err *e);

/* By name or a unique beginning of it; in a. ERR_NOT_FOUND; ERR_INVALID: ambiguous. */
int volume_find(struct store *s, struct arena *a, const char *text, struct volume *ret,
                struct err *e);
/* All, by name; in a. */
int volume_list(struct store *s, struct arena *a, struct volume **ret, size_t *ret_n,
                struct err *e);
/* Names of the containers whose record has it, in a. */
int volume_users(struct engine *g, struct arena *a, const char *name, struct strings *ret,
                 struct err *e);
/* What it takes on disk, and how many containers have it, for each of volume_list(); in a. */
struct volume_usage {
        uint64_t size;
        unsigned users;
};
int volume_usage(struct engine *g, struct arena *a, const struct volume *v, size_t n,
                 struct volume_usage **ret, struct err *e);
/* ERR_STATE while a container has it; force removes those first. */
int volume_remove(struct engine *g, const char *name, bool force, struct err *e);
/* The directory of _data, for reading. */
int volume_data(struct store *s, const char *name, struct err *e);
/* As docker's and podman's inspect show it. */
void volume_write(const struct volume *v, const char *created, struct json_writer *w);
