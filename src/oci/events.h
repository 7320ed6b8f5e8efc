/* events: a container's statistics and out-of-memory kills as a stream of JSON lines, as runc's. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "oci/runtime.h"

/* Calls put with each line (ended by a newline). once: one line of statistics. Otherwise one every
 * interval_ms, and one at each "oom", until the container stops. */
int runtime_events(const struct runtime *rt, const char *id, bool once, int64_t interval_ms,
                   void (*put)(const struct buf *line), struct err *e);
