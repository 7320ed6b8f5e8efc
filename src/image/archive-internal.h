/* Private to archive-*.c: what an archive was found to hold, before any of it is stored, and the
 * place where an archive is written to. */
#pragma once

#include <stdint.h>

#include "image/archive.h"
#include "image/layout.h"
#include "image/members.h"

/* ---- archive-find.c: reading ---- */

#define ARCHIVE_IMAGES_MAX 1024

struct found_layer {
        const char *member; /* that holds its blob */
        const char *digest; /* of the blob, verified as it is read; NULL: not known */
        uint64_t size;      /* of the blob; layout: by its descriptor */
};
struct found_image {
        /* NULL: the archive has none (docker-archive): one is made of what was unpacked. */
        const char *manifest;
        size_t nmanifest;
        const char *digest, *media_type;
        const char *index, *index_digest; /* that it was chosen from; NULL: none */
        size_t nindex;
        const char *config;
        size_t nconfig;
        const char *id; /* digest of the configuration */
        struct image_config c;
        struct found_layer *layers; /* one for each of c.diff_ids */
        struct strings names;       /* full */
};

struct finding_context {
        const struct members *members;
        struct arena *arena;
        const struct archive_load_options *o;
        const struct watcher *w;
};
/* What members hold, whatever its format; what names it in errors is its caller's to add. Pure
 * but for the members. */
int archive_find(const struct finding_context *f, struct found_image **ret, size_t *ret_n,
                 struct err *e);
/* Tells the watcher, if there is one. */
void archive_note(const struct watcher *w, const char *text);

/* ---- archive-sink.c: writing ---- */

/* Named members written one after another, to a tar or below a directory. */
struct sink {
        int fd; /* of the tar, or the directory */
        bool tar;
        uint64_t expected; /* bytes of the member that is open */
        int member; /* directories: the open file, under a temporary name until it is whole */
        char temporary[24];
        struct strings written;
        struct arena arena;
};
void sink_init(struct sink *k, int fd, bool tar);
void sink_done(struct sink *k);
bool sink_has(const struct sink *k, const char *name);
int sink_put(struct sink *k, const char *name, const void *p, size_t n, struct err *e);
/* A descriptor that takes exactly size bytes, the sink's; then sink_end(). */
int sink_begin(struct sink *k, const char *name, uint64_t size, int *ret_fd, struct err *e);
int sink_end(struct sink *k, struct err *e);
/* The zero blocks that end a tar. */
int sink_finish(struct sink *k, struct err *e);

/* What the archive becomes: under a temporary name until it is whole. */
struct archive_target {
        int fd;
        char path[4096];
        char *temporary; /* NULL: written where it stands */
        bool owned;      /* the descriptor is ours */
};
/* path NULL: the descriptor out. A file may be there, a directory only if it is empty, or with add
 * an OCI layout. */
int archive_target_open(const char *path, int out, bool tar, bool add, struct archive_target *ret,
                        struct err *e);
/* Puts it in its place, or, with keep false, removes it. */
int archive_target_close(struct archive_target *t, bool keep, struct err *e);
