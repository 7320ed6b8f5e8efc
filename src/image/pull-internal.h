/* Private to pull*.c.
 *
 * pull.c decides what is to be had: names, policy, manifest, platform. pull-layers.c brings an
 * image's layers in, in one loop over downloads, unpackers and signals. pull-work.c is one layer
 * between its stage and the store, also for who has a blob in a file. pull-blobs.c stores an
 * artifact's blobs as they are.
 *
 * P1  A lease is held from before the first look at what the store has until the image is
 *     recorded, so that nothing that was found is collected meanwhile.
 * P2  One stage per layer, named by its diffID: whoever holds its lock unpacks it, everybody else
 *     waits for the lock and then finds the layer.
 * P3  A layer that leans on lower ones is settled when all of those are in the store. It keeps its
 *     stage until then; who waits for a lower one that another process has, while holding such a
 *     stage, does not wait for ever (two images may have the same layers in another order).
 * P4  Whatever fails, spools stay: the next pull goes on from them. Not when the disk is full. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/layer.h"
#include "image/manifest.h"
#include "image/pull.h"

/* Milliseconds of a clock that nobody sets. */
int64_t pull_now(void);

/* Layers whose blobs lie in an archive. */
struct pull_source {
        /* A descriptor whose next bytes are the blob's, the caller's to close. */
        int (*open)(void *ctx, size_t place, int *ret_fd, struct err *e);
        const char *const *names;   /* of each layer's blob, for errors */
        const char *const *digests; /* of each; NULL: not known, though a descriptor has one */
        void *ctx;
};

struct pull {
        struct store *store;
        struct arena *arena;
        const struct pull_options *options;
        const struct watcher *watcher; /* or NULL */
        const struct log *log;
        struct reference ref; /* with a host */
        const char *name;     /* ref as text */
        struct platform want;
        struct fetch *fetch;              /* NULL until pull_fetch() */
        const struct pull_source *source; /* load: instead of a registry; else NULL */
};

/* Starts berth-fetch unless it runs. */
int pull_fetch(struct pull *p, struct err *e);
void pull_note(const struct pull *p, const char *text);
void pull_report(const struct pull *p, const struct transfer *t);

/* ---- pull-work.c ---- */

struct work {
        struct store *store;
        const struct log *log;
        struct stage stage; /* .dir -1: none is held */
        struct layer_process process;
        struct layer_result result;
};
void work_init(struct work *w, struct store *s, const struct log *log);
/* Takes the stage `name`; ERR_STATE with nowait where another process has it. */
int work_open(struct work *w, const char *name, bool nowait, struct err *e);
/* How much of the blob an earlier try left in the stage; everything else there is removed, and
 * all of it where it is another blob's. */
uint64_t work_resume(struct work *w, const char *digest);
/* The spool turned out to be damaged. */
void work_forget(struct work *w);
/* Starts berth-layer; job's stage is ours. */
int work_start(struct work *w, const struct layer_job *job, struct err *e);
/* Waits for it; an error of its is e's. result is filled. */
int work_wait(struct work *w, struct err *e);
/* Puts what was unpacked into the store: settles it on the n layers below (keys) where it leans,
 * verifies diff_id unless that is NULL, commits. chain: its chainID. The stage is used up on
 * success. */
int work_commit(struct work *w, const struct layer_job *job, const struct strings *below,
                const char *chain, struct layer *ret, struct err *e);
/* Kills, and lets go of the stage: with keep its spool stays for the next try. */
void work_abandon(struct work *w, bool keep);

/* ---- the rest ---- */

/* Brings in every layer of c that is missing: pull, and load. ret: one for each diffID. */
int pull_layers(struct pull *p, const struct manifest *m, const struct image_config *c,
                struct layer *ret, bool *ret_changed, struct err *e);
/* The configuration and blobs of an artifact. */
int pull_blobs(struct pull *p, const struct manifest *m, struct err *e);
