/* Manifest lists (indexes) that are made here: an index blob, and a name for it. Every change
 * makes a new index and moves the name to it. The images that it names are images of the store. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "image/manifest.h"
#include "image/store.h"

struct manifest_list {
        struct arena *arena;
        struct manifest m;
        const char *name;   /* full */
        const char *digest; /* of what is stored; NULL: nothing yet */
};

/* What may be said about an entry; NULL: unchanged. */
struct list_changes {
        const char *os, *architecture, *variant, *os_version;
        struct key_values annotations; /* added */
};

/* An empty list of that full name; nothing is stored yet. */
void list_new(struct arena *a, const char *name, struct manifest_list *ret);
/* The list that text names. ERR_NOT_FOUND; ERR_INVALID where it is an image. */
int list_open(struct store *s, struct arena *a, const char *text, struct manifest_list *ret,
              struct err *e);
/* Adds image i: itself; or, with all, every image of the index that it is or was chosen from; else
 * the one of such an index for this machine. An entry of the same digest is replaced. */
int list_add(struct store *s, struct manifest_list *l, const struct image *i, bool all,
             const struct list_changes *c, struct err *e);
/* The entry of that digest, or of the image that text names; ERR_NOT_FOUND. */
int list_find(struct store *s, const struct manifest_list *l, const char *text,
              struct descriptor **ret, struct err *e);
void list_change(struct manifest_list *l, struct descriptor *d, const struct list_changes *c);
void list_annotate(struct manifest_list *l, const struct key_values *annotations);
void list_drop(struct manifest_list *l, struct descriptor *d);
/* Stores it; the index that it replaces goes, unless that has other names. l->digest is new. */
int list_save(struct store *s, struct manifest_list *l, struct err *e);
