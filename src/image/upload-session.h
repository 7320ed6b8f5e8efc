/* struct upload_session: an upload that a registry has opened (distribution-spec, "Pushing
 * blobs"). Each answer names where the next request goes. */
#pragma once

#include "image/registry-internal.h"

struct upload_session {
        struct upload_session *next_session;
        struct fetcher *fetcher;   /* for uploads_forget() */
        const char *digest;        /* of a mount that opened it instead; else NULL */
        const char *at, *location; /* the last answer's URL and Location; NULL: not open */
        size_t endpoint;
        uint64_t next;      /* how many bytes the registry has */
        uint64_t chunk_min; /* OCI-Chunk-Min-Length, or 0 */
};

/* Opens one. Strings are in q's arena. */
int session_open(struct request *q, struct upload_session *s, const char *what, struct err *e);
/* Takes over what a 202 said. ERR_INVALID without a Location. */
int session_take(struct request *q, const struct exchange *x, struct upload_session *s,
                 struct err *e);
/* Fills x to go where s points. */
void session_aim(const struct upload_session *s, struct exchange *x);
/* Asks how far it is. Where the registry knows of it no more, or can't say, s is closed. */
void session_ask(struct request *q, struct upload_session *s, const char *what);
/* Gives it up, so that the registry need not keep what it has. */
void session_drop(struct request *q, struct upload_session *s, const char *what);
