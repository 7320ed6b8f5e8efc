/* The directories that a checkpoint is written to and read from, and what checkpoint and restore
 * ask of CRIU alike. Beside CRIU's images lies descriptors.json: what the standard descriptors
 * were, as runc writes it, so that either can restore what the other saved. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/value.h"
#include "codec/criu-rpc.h"
#include "oci/checkpoint-criu.h"
#include "oci/spec.h"

struct checkpoint_images {
        int images, work; /* work may be the same directory; both ours to close */
        const char *work_path;
};
#define CHECKPOINT_IMAGES_INIT                                                                     \
        {                                                                                          \
                .images = -1, .work = -1                                                           \
        }

/* Opens the images' directory (NULL: "checkpoint"), made first where make is set, and CRIU's
 * working directory (NULL: the same), made where missing. */
int checkpoint_images_open(const char *image_path, const char *work_path, bool make,
                           struct checkpoint_images *ret, struct err *e);
void checkpoint_images_done(struct checkpoint_images *i);

/* Fills what both directions need, and tells c where its log is to be. */
void checkpoint_common(const struct checkpoint_images *i, const struct spec *s,
                       const char *log_name, struct criu_opts *o, struct criu *c);

/* descriptors.json: names of descriptors 0-2; NULL for one that has none. */
int checkpoint_descriptors_write(int images, const char *const names[3], struct err *e);
/* Fewer in the file than three is fine. */
int checkpoint_descriptors_read(struct arena *a, int images, const char *names[3], struct err *e);
