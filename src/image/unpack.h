/* berth-layer's inside (libunpack): a blob's bytes through digest, inflating, diffID and tar into
 * a sink, which is one of the two forms of a layer.
 *
 *   input ──> pump ──> chunks of the tar ──┬─> diffID
 *     │         (digest, inflate)          └─> sink: tar parser ──> files, or layer.tar + index
 *     └─> spool
 *
 * The sink sees bytes that nobody has verified. What it makes is staged: it becomes visible only
 * after all of the blob has come and size, digest and diffID are right. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "codec/tar.h"
#include "image/layer.h"

#define UNPACK_INPUT (256u << 10)
#define UNPACK_CHUNK (256u << 10)

/* Where the bytes of a layer's tar go. */
struct sink {
        /* The next bytes of the archive. */
        int (*feed)(struct sink *s, const uint8_t *p, size_t n, struct err *e);
        /* All bytes have been fed and verified: completes the layer. */
        int (*finish)(struct sink *s, struct err *e);
        void (*free)(struct sink *s);
        uint64_t entries;
        bool leans;
};
/* NULL with e filled. stage: the staged directory; from then on it needs no path outside. */
struct sink *sink_erofs_new(const struct layer_job *j, struct err *e);
struct sink *sink_dir_new(const struct layer_job *j, struct err *e);
/* Makes an entry that the archive does not have; before anything is fed. */
int sink_dir_seed(struct sink *s, const struct tar_entry *t, struct err *e);

/* Names come from strangers: this is how messages show them. Returns buf. */
const char *unpack_name(const char *path, char buf[200]);
/* What is wrong with entry number n, by which rule. code: -EINVAL, -E2BIG. */
int unpack_refuse_entry(struct err *e, uint64_t n, const char *path, int code, const char *rule);
/* A parser's or builder's answer -code about an entry, as an error. */
int unpack_refuse(struct err *e, int code, const char *problem);

/* Carries the whole blob through the sink and finishes it; fills ret (not ret->err). spool: -1, or
 * open for reading and writing. */
int unpack_pump(const struct layer_job *j, int spool, struct sink *s, struct layer_result *ret,
                struct err *e);

/* Reads all n bytes at offset; -EIO where there are fewer. */
int unpack_pread(int fd, void *p, size_t n, uint64_t offset);

/* Settles what a staged layer leans on (layer_settle of layer.h). */
int unpack_settle_erofs(int stage, int lower, struct err *e);
int unpack_settle_dir(int stage, int lower, struct err *e);

/* The tar of a layer, piece by piece: from layer.tar (size bytes), or put together from fs/ and
 * layer.headers. fn's answer below 0 ends it. */
typedef int unpack_tar_fn(void *ctx, const uint8_t *p, size_t n, struct err *e);
int unpack_tar_erofs(int dir, uint64_t size, unpack_tar_fn *fn, void *ctx, struct err *e);
int unpack_tar_dir(int dir, unpack_tar_fn *fn, void *ctx, struct err *e);
