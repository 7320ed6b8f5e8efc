/* Reading the journal of events (monitor/journal.h): what was, and then what comes, across
 * rotations, each event once and in order. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "codec/json.h"
#include "engine/ctr.h"

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
