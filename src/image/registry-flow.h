/* A blob on its way into a pipe: written as it comes, straight from curl's buffer; what the pipe
 * has no room for is held, and the transfer paused until the pipe has taken it.
 *
 * Positions are the blob's, so that an answer may begin before what the pipe already has (a server
 * that ignores Range) or after an error somewhere else: bytes are written once and in order. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum flow_state {
        FLOW_OK,
        FLOW_CLOSED,    /* the reader has gone */
        FLOW_TOO_LONG,  /* more bytes than the blob has by its descriptor */
        FLOW_BAD_RANGE, /* the answer begins where we can't go on */
        FLOW_SYSTEM,    /* another error of the pipe: .error */
};

struct flow {
        int fd;        /* the pipe's write end, non-blocking; not owned */
        bool fits;     /* the pipe has room for all of it: nobody ever waits for its reader */
        uint64_t size; /* of the whole blob */
        uint64_t at;   /* where the pipe's next byte is; moved on by what is held, too */
        uint64_t pos;  /* where the next byte that comes from the server is */
        struct buf held;
        size_t held_at; /* what of held has been written */
        bool whole;     /* ask without Range: a range has been answered wrongly */
        enum flow_state state;
        int error; /* positive errno */
};

/* The server's answer begins: 206 with that Content-Range, or another 2xx, from the start. False:
 * it is of no use, and state says why. */
bool flow_begin(struct flow *f, int status, const char *content_range);
/* n bytes have come. False: end the transfer, see state. Afterwards more must not come while
 * flow_full(). */
bool flow_put(struct flow *f, const char *data, size_t n);
static inline bool flow_full(const struct flow *f)
{
        return f->held.len > 0;
}
/* Writes what is held, as far as there is room. False: end the transfer. */
bool flow_drain(struct flow *f);
static inline bool flow_complete(const struct flow *f)
{
        return f->at == f->size && !flow_full(f);
}
void flow_done(struct flow *f); /* frees what is held */
