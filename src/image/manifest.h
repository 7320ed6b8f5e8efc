/* Manifests, indexes and image configurations: OCI image-spec manifest.md, image-index.md,
 * config.md, and docker's schema 2 (distribution: docs/spec/manifest-v2-2). Pure and fuzzed; the
 * exact bytes are kept elsewhere.
 *
 * Strict where two readers could disagree: both `layers` and `manifests` (CVE-2021-41190),
 * duplicate keys, a mediaType that contradicts the transport's, digests that are none, negative
 * sizes, rootfs.type other than "layers". Unknown fields and media types are never errors. Schema
 * 1 is refused by name. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/value.h"
#include "codec/hash.h"
#include "image/platform.h"

#define MANIFEST_MAX (4u << 20) /* bytes: what peers accept, and the distribution-spec's least */
#define CONFIG_MAX (8u << 20)
#define MANIFEST_LAYERS_MAX 500 /* overlayfs takes no more lower directories */

#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define MEDIA_DOCKER_LAYER "application/vnd.docker.image.rootfs.diff.tar.gzip"

/* image-spec descriptor.md. */
struct descriptor {
        const char *media_type, *digest;
        uint64_t size;
        const char *artifact_type; /* or NULL */
        struct key_values annotations;
        struct strings urls;
        const char *data;         /* embedded content, decoded and verified; NULL: none */
        struct platform platform; /* of an index's entries; empty strings elsewhere */
};

enum manifest_kind { MANIFEST_IMAGE, MANIFEST_INDEX, MANIFEST_KIND_MAX };

struct manifest {
        enum manifest_kind kind;
        bool docker; /* schema 2 or a manifest list */
        const char *media_type, *artifact_type;
        struct descriptor config;  /* MANIFEST_IMAGE */
        struct descriptor *layers; /* MANIFEST_IMAGE: lowest first; MANIFEST_INDEX: its manifests */
        size_t nlayers;
        struct descriptor *subject; /* or NULL */
        struct key_values annotations;
};

/* Parses text[0..n); content_type is what the registry called it (parameters ignored), or NULL. */
int manifest_parse(struct arena *a, const char *text, size_t n, const char *content_type,
                   struct manifest *ret, struct err *e);
/* The entry of an index for want (image-index.md: the first that matches; variants fall back as
 * containerd's do: arm v8, v7, v6, v5; amd64 v4..v1). Attestations ("unknown/unknown") are no
 * candidates. ERR_NOT_FOUND whose hint lists what there is. */
int manifest_choose(const struct manifest *index, const struct platform *want,
                    const struct descriptor **ret, struct err *e);
/* Whether it is an image that can be run: its config has a known media type; else it is an
 * artifact. */
bool manifest_is_image(const struct manifest *m);
/* Whether a layer of this media type may be pushed (not "nondistributable", not "foreign"). */
bool media_type_distributable(const char *media_type);

struct image_history {
        const char *created, *created_by, *author, *comment;
        bool empty_layer;
};

/* image-spec config.md, what we use of it; strings NULL where absent. */
struct image_config {
        struct platform platform;
        const char *created, *author;
        struct strings diff_ids; /* checked digests, lowest first */
        struct strings env, entrypoint, cmd, volumes, exposed_ports, shell, onbuild;
        const char *user, *workdir, *stop_signal;
        bool has_entrypoint, has_cmd; /* present, though perhaps empty */
        struct key_values labels;
        struct image_history *history;
        size_t nhistory;
        /* docker's, not OCI's: */
        struct strings health_test;
        int64_t health_interval_ns, health_timeout_ns, health_start_ns, health_retries;
        int64_t health_start_interval_ns;
};
int image_config_parse(struct arena *a, const char *text, size_t n, struct image_config *ret,
                       struct err *e);

/* chainID of image-spec config.md: of the first n diff_ids. */
void chain_id(const struct strings *diff_ids, size_t n, char ret[DIGEST_CAP]);
/* RFC 3339 as seconds since 1970; 0 where text is NULL or is none. */
int64_t image_time(const char *text);
