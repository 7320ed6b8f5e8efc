/* Names of images: HOST[:PORT]/PATH[:TAG][@DIGEST] (distribution-spec, "Pulling manifests"; the
 * grammar of github.com/distribution/reference, which is what every peer takes). Pure and fuzzed.
 * */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"

struct reference {
        const char *host;   /* "docker.io", "localhost:5000"; NULL: a short name, see `path` */
        const char *path;   /* "library/busybox" */
        const char *tag;    /* NULL where there is none */
        const char *digest; /* checked; NULL where there is none; wins over the tag */
};

/* Parses; all strings are in a. A first component with a '.' or ':' in it, or "localhost", is a
 * host. "docker.io/NAME" and "index.docker.io/..." become docker.io/library/NAME. Nothing is
 * defaulted: see reference_default(). */
int reference_parse(struct arena *a, const char *text, struct reference *ret, struct err *e);
/* A short name becomes docker.io's, as docker does it; no tag and no digest: "latest". */
void reference_default(struct arena *a, struct reference *r);
/* "docker.io/library/busybox:latest": the full name, under which the store knows it. */
char *reference_str(struct arena *a, const struct reference *r);
/* The repository part: "docker.io/library/busybox". */
char *reference_repository(struct arena *a, const struct reference *r);
/* As people write it: without docker.io/library/. */
char *reference_familiar(struct arena *a, const struct reference *r);
/* The full name that something new is to get: a digest is not for choosing, ERR_INVALID. In a. */
int reference_parse_name(struct arena *a, const char *text, const char **ret, struct err *e);
bool reference_tag_ok(const char *tag);
