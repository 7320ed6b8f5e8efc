/* Pulling an image: resolve, compare, download and unpack in parallel, commit.
 *
 *   1  the manifest by tag or digest; of an index, that of the platform
 *   2  a HEAD whose digest is here already ends it
 *   3  the configuration; which layers are missing
 *   4  biggest first, `jobs` at once: berth-fetch -> pipe -> berth-layer
 *   5  each layer is committed as it completes
 *   6  image and tag are recorded
 *
 * Killed anywhere it leaves complete layers (found by the next pull, or collected) and spools
 * (resumed). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "image/fetch.h"
#include "image/store.h"

struct layer_job;
struct short_name_asker;

/* What a pull, push, load or save tells whoever watches: one row per layer. Called in the
 * caller's process. */
enum transfer_state {
        TRANSFER_WAITING,
        TRANSFER_DOWNLOADING, /* and unpacking */
        TRANSFER_UPLOADING,
        TRANSFER_PACKING,   /* for an upload or an archive: bytes and size are the tar's */
        TRANSFER_LOADING,   /* from an archive */
        TRANSFER_SAVING,    /* to one */
        TRANSFER_VERIFYING, /* all bytes are here */
        TRANSFER_DONE,
        TRANSFER_REUSED,    /* was here already */
        TRANSFER_ELSEWHERE, /* another process is at it: waiting for it */
        TRANSFER_STATE_MAX
};
struct transfer {
        unsigned n, of;     /* row */
        const char *digest; /* of the blob or layer */
        uint64_t bytes, size, resumed;
        enum transfer_state state;
};
struct watcher {
        void (*transfer)(void *ctx, const struct transfer *t);
        void (*note)(void *ctx, const char *text); /* warnings, retries, rate limits */
        void *ctx;
};

enum pull_policy { PULL_ALWAYS, PULL_MISSING, PULL_NEWER, PULL_NEVER, PULL_POLICY_MAX };
extern const char *const pull_policy_names[PULL_POLICY_MAX + 1];

struct pull_options {
        struct fetch_options fetch;
        enum pull_policy policy;
        struct platform platform; /* os "": this machine's */
        bool all_platforms;
        bool keep_blobs;
        unsigned jobs;                        /* 0: as many as processors, at most 4 */
        const struct short_name_asker *asker; /* NULL: there is nobody to ask */
        uint64_t max_size;                    /* unpacked bytes per layer; 0: 64 GiB */
};

/* Pulls text (any reference) into s. ret (in a) is the image as stored; *ret_changed false where
 * all was there. */
int image_pull(struct store *s, struct arena *a, const char *text, const struct pull_options *o,
               const struct watcher *w, const struct log *log, struct image *ret, bool *ret_changed,
               struct err *e);
/* Unpacks a layer whose blob is a local file or pipe through berth-layer and commits it: load,
 * import, commit. lower_n: how many of diff_ids lie below it and are in the store. */
int image_layer_add(struct store *s, int input, const struct layer_job *job,
                    const struct strings *diff_ids, size_t lower_n, const struct log *log,
                    struct layer *ret, struct err *e);
