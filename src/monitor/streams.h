/* The container's standard streams: from its pipes or its terminal into the log and to whoever is
 * attached, and from those to its input.
 *
 * One chunk is under way at a time: read, logged, sent to every attached client. A client that
 * does not keep up holds the next chunk back: the primary one (the terminal of `berth run`) for
 * as long as it likes, as a pipe would; any other for STREAMS_PATIENCE_MS, then it is dropped, so
 * that nobody who forgot a terminal stops a service. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "monitor/log-file.h"
#include "monitor/wire.h"

#define STREAMS_CLIENTS 64
#define STREAMS_PATIENCE_MS 1000
#define STREAMS_IDLE_MS 100 /* after which an unfinished line is logged as a piece */

struct streams_client {
        int sock; /* -1: free */
        uint32_t flags;
        uint32_t op;      /* 0: its request has not come; WIRE_ATTACH, or what it waits for */
        bool owes;        /* the chunk under way has not been sent to it */
        bool patient;     /* it is waited for as long as it likes */
        int64_t deadline; /* ms, monotonic: until when we wait for it */
};

struct streams {
        struct log_file log;
        bool tty;
        int out[LOG_STREAM_MAX]; /* read ends, or the pty's master; -1: ended */
        int in;                  /* its input: a write end, or the pty's master (out[0]); or -1 */
        struct streams_client clients[STREAMS_CLIENTS];
        char chunk[WIRE_PACKET_MAX]; /* a packet: its kind, then data */
        size_t chunk_len;            /* 0: nothing under way */
        char typed[WIRE_PACKET_MAX]; /* input that waits for the container to read */
        size_t typed_at, typed_len;
        int64_t last_ms;              /* when output came last */
        ssize_t left[LOG_STREAM_MAX]; /* bytes that streams_drain() still takes */
};

/* What to poll for; streams_poll() fills STREAMS_SLOTS entries, streams_ready() acts upon them. */
#define STREAMS_SLOTS (3 + STREAMS_CLIENTS)
void streams_init(struct streams *s);
void streams_poll(const struct streams *s, struct pollfd p[STREAMS_SLOTS]);
/* Calls fn for each request that is no attach (the client then waits, see streams_reply()). */
typedef void streams_request_fn(void *ctx, struct streams_client *c, const struct wire_request *q);
void streams_ready(struct streams *s, const struct pollfd p[STREAMS_SLOTS], int64_t now_ms,
                   streams_request_fn *fn, void *ctx);
/* ms until something is due, or -1. */
int streams_due(const struct streams *s, int64_t now_ms);
/* Does what is due: unfinished lines, impatient ends. */
void streams_tick(struct streams *s, int64_t now_ms);
/* A new connection; where there is no room, one that has not asked yet makes some, or this one is
 * closed. Who would take the last place to wait or be attached is refused: -EUSERS. */
void streams_accept(struct streams *s, int sock);
/* A client that was there before the container: attached before its first byte. */
void streams_accept_first(struct streams *s, int sock);
/* Answers a client that waits, and lets it go. */
void streams_reply(struct streams_client *c, const struct wire_reply *r);
/* Answers all that wait for op. */
void streams_reply_all(struct streams *s, uint32_t op, const struct wire_reply *r);
/* The container has ended. What its pipes hold by now is all that streams_drain() takes: with the
 * host's PID namespace, processes that it left behind may write for ever. */
void streams_ending(struct streams *s);
/* What its pipes still hold goes where it belongs; never waits for more. */
void streams_drain(struct streams *s);
/* Tells the attached how it ended and lets them go, but for a primary client: its connection is the
 * caller's, or -1. */
int streams_finish(struct streams *s, int exit_code);
/* Somebody wants the container to end: from now on nobody is waited for longer than
 * STREAMS_PATIENCE_MS. */
void streams_hurry(struct streams *s, int64_t now_ms);
/* Whether a chunk still waits for a client. */
bool streams_busy(const struct streams *s);
void streams_close(struct streams *s); /* the container's ends; clients and log stay */
