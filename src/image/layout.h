/* Manifests, configurations and blobs in an archive that keeps them by digest: an OCI image layout
 * (image-spec image-layout.md), in a directory or a tar, or podman's `dir:` (manifest.json, and
 * blobs named by their hex digits). Every blob that is read is verified. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "image/manifest.h"
#include "image/members.h"

#define LAYOUT_FILE "oci-layout"
#define LAYOUT_INDEX "index.json"
/* Names of images in an index: podman and skopeo go by the first, containerd and docker by the
 * second, whose values are full references. */
#define LAYOUT_NAME "org.opencontainers.image.ref.name"
#define LAYOUT_NAME_FULL "io.containerd.image.name"
#define LAYOUT_VERSION "{\"imageLayoutVersion\":\"1.0.0\"}"

enum layout_kind { LAYOUT_OCI, LAYOUT_DIR };

struct layout {
        const struct members *members;
        enum layout_kind kind;
        struct arena *arena; /* where what is read lives */
};

/* A manifest that the layout's index (or dir:'s manifest.json) names. */
struct layout_entry {
        struct descriptor descriptor;
        const char *name; /* as it is annotated: a full reference or a bare tag; NULL: none */
        bool full;        /* the name is containerd's io.containerd.image.name: a full reference */
        const char *data; /* dir: only: its bytes, size as in the descriptor */
};
/* What it holds, in order. Checks imageLayoutVersion. */
int layout_entries(const struct layout *l, struct layout_entry **ret, size_t *ret_n, struct err *e);

/* "blobs/sha256/HEX" or "HEX". */
char *layout_blob_name(const struct layout *l, const char *digest);
bool layout_has(const struct layout *l, const struct descriptor *d);
/* A whole blob of at most limit bytes, its size and digest verified. A manifest of dir: other than
 * the first is called HEX.manifest.json. */
int layout_read(const struct layout *l, const struct descriptor *d, size_t limit, const char **ret,
                struct err *e);
int layout_read_manifest(const struct layout *l, const struct layout_entry *from,
                         const struct descriptor *d, const char **ret, struct manifest *ret_m,
                         struct err *e);
/* A descriptor at the first of the blob's bytes, whose number is checked; the digest is for
 * whoever reads them. */
int layout_open(const struct layout *l, const struct descriptor *d, int *ret_fd, struct err *e);
