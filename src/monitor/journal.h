/* The journal of events: one JSON object a line, numbered without gaps, appended under a flock by
 * whoever makes something happen: engine and monitors. It lasts over reboots; at JOURNAL_MAX it
 * becomes journal.1, and the one before that goes.
 *
 *
 *   {"seq":7,"time":1700000000000000000,"type":"container","action":"die","id":"4f...",
 *    "name":"web","attributes":{"exitCode":"1"}}
 *
 * An event that was appended before a power cut may be lost with the page cache (a sync would
 * cost more than starting a container); a torn last line is dropped by the next writer. */
#pragma once

#include <stdint.h>

#include "base/value.h"

#define JOURNAL_MAX (4u << 20)
#define JOURNAL_LINE_MAX 8192

struct event {
        uint64_t seq;    /* given by journal_append() */
        int64_t time_ns; /* since 1970; 0: now */
        const char *type, *action, *id, *name;
        struct key_values attributes;
};
/* Of the journal's end: how many bytes are whole lines, and the number of the last event among
 * them (untouched where there is none). Pure, and fuzzed. */
size_t journal_whole(const char *tail, size_t n, uint64_t *ret);
/* dir: a descriptor of the directory of `journal`. 0 or -errno. */
int journal_append(int dir, const struct event *event);
