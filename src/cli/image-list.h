/* What the commands on images share: filters, names as people write them, and who shares which
 * layer. */
#pragma once

#include "base/err.h"
#include "base/mem.h"
#include "base/value.h"
#include "image/store.h"

/* --filter KEY=VALUE of images and prune: those of struct image_filter, and what lists check
 * themselves. */
struct image_filters {
        struct image_filter f;
        int containers; /* -1: no matter; 0: without; 1: in use */
        const char *id; /* prefix of an ID, or NULL */
};
/* Parses all of them; ERR_INVALID names those that there are. now: for until=24h. */
int image_filters_parse(struct arena *a, const struct strings *filters, int64_t now,
                        struct image_filters *ret, struct err *e);
/* store_images() with all of the filters. */
int image_filters_list(struct store *s, struct arena *a, const struct image_filters *f,
                       struct image **ret, size_t *ret_n, struct err *e);
/* "24h", "1h30m" before now, seconds since 1970, or RFC 3339 (also a date alone). */
int parse_until(const char *text, int64_t now, int64_t *ret, struct err *e);

/* The name of an image in parts, as docker shows them: "busybox", "latest"; "<none>". */
void name_split(struct arena *a, const char *name, const char **ret_repository,
                const char **ret_tag, const char **ret_digest);
/* Its first name as people write it, or the beginning of its ID. */
const char *image_label(struct arena *a, const struct image *i);
bool image_tagged(const struct image *i);

/* How many of the images have the layer. */
struct layer_users;
struct layer_users *layer_users(struct arena *a, const struct image *v, size_t n);
size_t layer_users_of(const struct layer_users *u, const char *key);
/* Bytes on disk of an image's layers: those that others have too, and its own. */
void image_sharing(struct store *s, const struct layer_users *u, const struct image *i,
                   uint64_t *ret_shared, uint64_t *ret_unique);

/* "Are you sure ... [y/N]" on standard output, answered on standard input. */
bool confirm(const char *warning);
