/* Images in files: docker-archive (what docker and podman save), oci-archive (an OCI layout in a
 * tar), an OCI layout in a directory, and podman's `dir:`.
 *
 * Loading: a directory or a tar file is read where it lies, its members found by an index of the
 * headers, each layer's bytes going once, from their place in the file into berth-layer. A pipe
 * or a compressed file is first spooled into the store's stage. Nothing is extracted, names are
 * only looked up (members.h), and an image is recorded when all of it has been verified.
 *
 * Saving: a layer's bytes are the blob that the manifest names where the store kept it or can make
 * it again; then the manifest is saved as it is. Otherwise layers are written as plain or freshly
 * compressed tars and a new manifest names those; configuration and image ID stay. Output depends
 * on the images alone: no times, no users. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/value.h"
#include "image/pull.h"
#include "image/store.h"

enum archive_format {
        ARCHIVE_DOCKER,
        ARCHIVE_OCI,
        ARCHIVE_OCI_DIR,
        ARCHIVE_DOCKER_DIR,
        ARCHIVE_FORMAT_MAX
};
/* "docker-archive", "oci-archive", "oci-dir", "docker-dir"; ended by NULL */
extern const char *const archive_format_names[ARCHIVE_FORMAT_MAX + 1];

/* ---- places: TRANSPORT:PATH[:REFERENCE], as podman and skopeo name them ---- */

struct archive_place {
        enum archive_format format;
        const char *path;
        const char *reference; /* which image of it, or what to call it; NULL: none given */
};
/* Whether text names such a place ("oci:", "oci-archive:", "docker-archive:", "dir:"): 1 with *ret
 * filled (strings in a), 0: it is a reference, from which "docker://" has been taken:
 * *ret_reference; -1: a transport that is not supported, or no path. */
int archive_place_parse(struct arena *a, const char *text, struct archive_place *ret,
                        const char **ret_reference, struct err *e);

/* ---- loading ---- */

struct archive_load_options {
        const char *reference;    /* only this one; NULL: all */
        struct platform platform; /* os NULL or "": this machine's */
        bool keep_blobs;
        uint64_t max_size; /* unpacked bytes per layer; 0: as pull's */
};
struct archive_loaded {
        const char *id, *digest;
        struct strings names; /* full; those that it was given */
};
/* Loads what input holds: a directory, a file, a pipe. ret (in a) says what, in order. An image
 * that fails ends it; those before it stay. */
int archive_load(struct store *s, struct arena *a, int input, const struct archive_load_options *o,
                 const struct watcher *w, const struct log *log, struct archive_loaded **ret,
                 size_t *ret_n, struct err *e);
/* The same of a place. */
int archive_load_place(struct store *s, struct arena *a, const struct archive_place *p,
                       const struct archive_load_options *o, const struct watcher *w,
                       const struct log *log, struct archive_loaded **ret, size_t *ret_n,
                       struct err *e);

/* ---- saving ---- */

struct archive_image {
        const struct image *image;
        struct strings names; /* full names (layouts: bare tags too) that it gets; may be none */
};
struct archive_save_options {
        enum archive_format format;
        const char *compression; /* "none", "gzip", "zstd"; NULL: as the manifest has it;
                                  * docker-archive knows no other than none */
        int level;               /* 0: the compression's default */
        bool add; /* oci-dir: to a layout that is there already, replacing an entry of that name */
};
/* Writes to path (a file or directory, complete or not there at all), or to out where path is
 * NULL. *ret_exact: every manifest was saved as it is. */
int archive_save(struct store *s, const struct archive_image *images, size_t n, const char *path,
                 int out, const struct archive_save_options *o, const struct watcher *w,
                 const struct log *log, bool *ret_exact, struct err *e);
