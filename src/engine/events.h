/* The journal of events (monitor/journal.h). Reading: what was, and then what comes, across
 * rotations, each event once and in order. Writing, for what monitors know nothing of. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "codec/json.h"
#include "engine/ctr.h"
#include "image/store.h"
#include "monitor/journal.h"

struct event_query {
        int64_t since, until; /* ns since 1970; 0: no limit */
        bool past;            /* what was, too; false: only what comes from now on */
        bool follow;          /* wait for more, until `until` */
        int reader;           /* whoever gets it: it ends when this pipe is closed; or -1 */
        /* Called with each event, as journal.h describes it, which lives until it returns; with
         * NULL before each wait, to flush. Nonzero ends it. */
        int (*put)(void *ctx, const struct json *event);
        void *ctx;
};
int events_read(const struct engine *g, const struct event_query *q, struct err *e);

/* Writing. What happened has happened: that it can't be written down is nobody's failure. */
void event_append(const struct store *s, const struct event *event);
/* action: pull, push, tag, untag, remove, import, load, save. The id is told without "sha256:", as
 * those of containers. name: the one that it happened to, NULL: the image's own. */
void event_image(const struct store *s, const char *action, const struct image *i,
                 const char *name);
/* action: create, remove. */
void event_volume(const struct store *s, const char *action, const char *name);
/* After the events of what was removed, as docker has it; bytes: given back by all of it. type:
 * container, image, volume. */
void event_prune(const struct store *s, const char *type, uint64_t bytes);
