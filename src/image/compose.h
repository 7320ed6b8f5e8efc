/* Configurations and manifests of images that are made here: by import, save, a push of
 * recompressed layers, later commit and build.
 *
 * One text for one meaning: members in the order of their names' bytes, no blanks, absent and
 * empty ones left out, sets sorted, times from SOURCE_DATE_EPOCH where that is set. Equal inputs
 * have equal digests on every machine. Pure, but for compose_time(). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/value.h"
#include "image/manifest.h"

/* docker's, without compression; containerd and podman know it too. */
#define MEDIA_DOCKER_LAYER_TAR "application/vnd.docker.image.rootfs.diff.tar"

/* Appends image-spec config.md's JSON, with docker's Healthcheck where c has one. */
void compose_config(const struct image_config *c, struct buf *out);
/* Appends an image's manifest or an index (m->kind), of the family that m->docker says. A
 * mediaType is always written: m->media_type, or the family's where that is NULL. Schema 2 has no
 * annotations, artifactType and subject: they are left out there. */
void compose_manifest(const struct manifest *m, struct buf *out);

/* The media type of a layer compressed so ("none", "gzip", "zstd"), or NULL: docker's schema 2
 * has none for zstd. */
const char *compose_layer_type(bool docker, const char *compression);

/* Now, or SOURCE_DATE_EPOCH (reproducible-builds.org); ERR_INVALID where that is no number. */
int compose_time(int64_t *ret, struct err *e);
/* "2026-01-31T12:00:00Z" (RFC 3339), seconds since 1970. */
char *compose_time_str(struct arena *a, int64_t seconds);

/* Applies changes as docker's and podman's --change take them, each an instruction of a
 * Dockerfile ("CMD [\"sh\"]", "ENV A=b", podman's "USER=nobody" too): CMD ENTRYPOINT ENV EXPOSE
 * LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR. An ENTRYPOINT without a CMD among the changes
 * drops the CMD that was there. What c then points to lives in a, or in changes. */
int compose_change(struct arena *a, const struct strings *changes, struct image_config *c,
                   struct err *e);
