/* berth-layer: the program that turns a stranger's blob into a layer, and a layer into a blob.
 *
 * It reads the compressed bytes on standard input, and in one pass: digest and size, inflates,
 * diffID, tar, unpacks. It is a process of its own because it parses what strangers wrote: with
 * the EROFS backend it opens two files and then drops every privilege (uid nobody, no
 * capabilities, seccomp, Landlock without any path); with directories it keeps the capabilities
 * that ownership needs and Landlock confines it to the staged directory. It is also where igzip
 * and libzstd are linked.
 *
 * A staged layer's files:
 *   layer.tar, layer.erofs    backend erofs: the archive as it came (and, behind it, what the
 *                             index had to have copied), and the index over it (codec/erofs.h)
 *   fs/, layer.headers        backend directory: the tree, with overlayfs whiteouts; and the
 *                             archive's bytes that are no file's content, from which with the
 *                             files the exact tar can be made again (image/unpack-headers.h)
 *   replaced/                 of a directory: what entries of the same name have replaced
 *   lean                      of a directory: what it leans on in lower layers, where it does
 *   spool                     compressed bytes so far, for blobs of at least LAYER_SPOOL_MIN: a
 *                             pull that was killed goes on from here. Gone once the layer is
 *                             complete, unless it is to be kept. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/log.h"
#include "codec/hash.h"
#include "codec/tar.h"
#include "image/store.h"

#define LAYER_SPOOL_MIN (8u << 20)

struct layer_job {
        enum layer_backend backend;
        int stage;           /* the staged directory */
        int input;           /* the blob's bytes from `resume` on; a pipe or a file */
        const char *digest;  /* of the blob; NULL: unknown (import, archives without one) */
        uint64_t size;       /* of the blob, exactly: no more is read. 0: to the end of input */
        const char *diff_id; /* NULL: unknown */
        uint64_t resume;     /* bytes of the spool that come first */
        bool keep_blob;      /* leave the spool as the complete blob */
        bool spool;          /* write it; blobs below LAYER_SPOOL_MIN have none unless kept */
        unsigned threads;    /* 1-3: hashing and unpacking beside each other */
        bool userxattr;      /* rootless: user.overlay.*, no devices, unless mknod is permitted */
        struct tar_limits limits;
};

/* What berth-layer reports, in one write to the result pipe. */
struct layer_result {
        struct err err;     /* code ERR_NONE: it is complete and verified */
        bool corrupt_spool; /* the error is that of resumed bytes: start over without the spool */
        char digest[DIGEST_CAP], diff_id[DIGEST_CAP];
        uint64_t size; /* of the blob */
        uint64_t tar_size;
        uint64_t entries;
        bool leans;
};

/* A running berth-layer. */
struct layer_process {
        pid_t pid;
        int pidfd;
        int result; /* readable once it has ended or failed */
        /* Its input, whose offset says how far it is: a description that both of us have open.
         * Packing has none to read, and moves that of an empty file. */
        int progress; /* -1: a pipe, that tells nothing */
        off_t begin;  /* where it began */
        /* Of its job: */
        int stage; /* not ours to close; must stay open until layer_wait() */
        bool keep_blob;
        char digest[DIGEST_CAP];
};
/* Starts it; job's descriptors stay the caller's. */
int layer_start(const struct layer_job *job, const struct log *log, struct layer_process *ret,
                struct err *e);
/* Waits for its end and takes its result; a death by signal or by its filter is an error that
 * says so. */
int layer_wait(struct layer_process *p, struct layer_result *ret, struct err *e);
void layer_kill(struct layer_process *p); /* SIGKILL and reap; takes an unused one (pid 0) */

/* How many bytes of the spool may be trusted to be there (its length), 0 where there is none. */
uint64_t layer_spooled(int stage);

/* Settles what the staged layer leans on: lower is an O_PATH descriptor of the mounted lower
 * layers' root (-1: there are none: implied directories become 0755 root, hard links an error).
 * Runs berth-layer again where the index must be written anew. */
int layer_settle(enum layer_backend backend, int stage, int lower, const struct log *log,
                 struct err *e);

/* Writes the layer's exact tar to out (verified against its diffID as it goes). layer: a
 * directory of the store. */
int layer_tar(const struct layer *l, int dir, int out, const struct log *log, struct err *e);
/* The same in the background; compression: as a blob to push or save, NULL: plain. */
int layer_pack_start(const struct layer *l, int dir, int out, const char *compression, int level,
                     const struct log *log, struct layer_process *ret, struct err *e);
/* Waits for its end: digest and size of what was written. */
int layer_pack_end(struct layer_process *p, char ret_digest[DIGEST_CAP], uint64_t *ret_size,
                   struct err *e);
/* How far it is: bytes that were read of a blob in a file, or of a layer's tar. */
uint64_t layer_progress(const struct layer_process *p);
/* Decompresses in to out (whatever compressed it), for archives: `berth load` of a .tar.gz. At most
 * 1 TiB. */
int layer_inflate(int in, int out, const struct log *log, struct err *e);
