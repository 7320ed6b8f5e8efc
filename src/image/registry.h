/* The HTTP side of berth-fetch: requests of the caller, tasks, exchanges with a registry. Private
 * to registry-*.c and upload-*.c.
 *
 * One thread, one curl multi handle, and for each request of the caller a task: a coroutine with a
 * stack of its own. So an operation is written in the order in which things happen, and waits where
 * it has to: exchange_run() returns when the registry has answered, task_sleep() when the time has
 * come; meanwhile the loop (registry-loop.c) runs other tasks.
 *
 *   fetcher_run ── message ──> request ── its task ──> operation.run()
 *        │                                               └ exchange_run()     endpoints, tokens,
 *        │                                                    │               redirects, retries
 *        └── curl_multi, pipes, timers <── transfer_run() ────┘  one request, one answer
 *
 * R1  Authorization is added in registry-exchange.c alone, hop by hop, and only where scheme, host
 *     and port are those of the endpoint that the credentials belong to. curl follows no redirect
 *     and is given no password.
 * R2  Whatever an answer can make grow has a limit: its fields, its body, a token.
 * R3  Nothing waits but the loop's poll: names are resolved in a thread of curl's, a pipe that is
 *     full pauses its transfer alone.
 * R4  A retry counts only where the one before made no progress.
 * R5  A caller that is gone, or was killed, leaves no upload open at the registry: what was under
 *     way is broken off, each upload deleted, and then the process ends. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "codec/json.h"
#include "image/registry-config.h"

struct fetcher; /* the program's context: registry-internal.h */
struct task;

/* ---- requests of the caller (registry-serve.c) ---- */

#define REQUEST_FDS_MAX 2

struct request {
        struct fetcher *f;
        const struct operation *op;
        uint32_t id;
        struct arena arena; /* for whatever lives as long as the request */
        struct json json;   /* the message: json_str(json_get(&q->json, "digest"), NULL) */
        int fds[REQUEST_FDS_MAX];
        size_t nfds;
        /* What the "done" event says beside its id: members are written with json_put_...() to w,
         * and a descriptor may travel with it (owned). */
        struct json_writer w;
        struct buf answer;
        int answer_fd;
        uint64_t told_ms; /* when progress was last reported */
};

/* Adding an operation: a row in the table of the file that implements it. run() is called in a task
 * of its own; 0 sends "done" with what was written to q->w, -1 sends "failed" with e. q and what
 * it owns (descriptors, arena) are freed after it. */
struct operation {
        const char *name; /* "op" of the message */
        unsigned nfds;    /* descriptors that must come with it, exactly */
        int (*run)(struct request *q, struct err *e);
};
/* Ended by a NULL name. */
extern const struct operation pull_operations[];   /* registry-pull.c */
extern const struct operation upload_operations[]; /* upload-*.c */

/* A string member of the message. ERR_INVALID where it is missing or of another type. */
int request_str(const struct request *q, const char *name, const char **ret, struct err *e);
int request_u64(const struct request *q, const char *name, uint64_t *ret, struct err *e);
/* "progress", at most ten times a second; `last` in any case. */
void request_progress(struct request *q, uint64_t bytes, bool last);
/* "note": what a person should know; goes nowhere where the same has been said. */
void request_note(struct request *q, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Makes data[0..n) the descriptor that travels with "done" (a sealed memfd) and writes "size". */
int request_answer_data(struct request *q, const void *data, size_t n, struct err *e);

/* ---- tasks ---- */

void task_sleep(struct fetcher *f, uint64_t ms);
uint64_t clock_ms(void); /* CLOCK_MONOTONIC */

/* ---- exchanges (registry-exchange.c) ---- */

enum method {
        METHOD_GET,
        METHOD_HEAD,
        METHOD_PUT,
        METHOD_POST,
        METHOD_PATCH,
        METHOD_DELETE,
        METHOD_MAX
};
extern const char *const method_names[METHOD_MAX];

#define BODY_UNKNOWN UINT64_MAX

/* What is to be sent; all zero: nothing (with "Content-Length: 0" for PUT, POST and PATCH). */
struct body {
        const void *data;      /* size bytes of memory, */
        bool use_fd;           /* or of fd: a file from offset on (pread), or a pipe as it comes */
        int fd;                /* not owned */
        uint64_t offset, size; /* BODY_UNKNOWN: until the end of the pipe */
        bool progress;         /* request_progress() as it is sent, base first */
        uint64_t base;
};

#define ANSWER_FIELD_MAX 8192 /* of the fields below; longer ones count as absent */

/* The fields of an answer that anybody asks for; "" where absent. In the exchange's arena. */
struct answer {
        int status;
        const char *content_type, *location, *content_range, *range, *docker_content_digest,
                *oci_subject, *oci_filters, *oci_chunk_min, *upload_uuid, *link, *retry_after,
                *etag, *rate_limit, *rate_remaining;
        uint64_t content_length; /* UINT64_MAX: not told */
        const char *url;         /* that gave it: what a relative Location or Link refers to */
        struct buf body;         /* up to limit bytes; exchange_done() frees it */
};

struct flow; /* registry-flow.h: a blob on its way into a pipe */

/* Zeroed, then the first part filled by whoever asks; exchange_done() afterwards, always. It can
 * be run again after exchange_clear(). */
struct exchange {
        enum method method;
        unsigned can; /* ENDPOINT_ rights that the endpoint must have; ENDPOINT_PUSH: upstream */
        /* What is asked for, either below /v2/NAME: "/manifests/latest",
         * "/blobs/uploads/?mount=..."; or, with at set, as an earlier answer's Location said it,
         * relative to at. */
        const char *path;
        const char *at;
        bool root;                  /* "/v2/" itself; no path */
        bool upstream;              /* only the registry itself, no mirror */
        const char *const *headers; /* "Name: value", ended by NULL; or NULL */
        struct body body;
        size_t limit;     /* of the answer's body; 0: 64 KiB; more is an error (of a 2xx) */
        const char *what; /* for messages: "manifest 'latest'", "blob sha256:..." */
        bool once; /* not to be repeated after it may have been acted upon: an upload's chunk.
                           * Only failures to connect, 429 and 503 are tried again */
        struct flow *flow; /* where a 2xx body goes instead of answer.body */

        struct answer answer;
        size_t endpoint; /* the one that answered; with at: the one to use (the task's exchanges
                          * of one upload go to one endpoint) */
        struct arena arena;
};

/* Asks, with tokens, redirects (GET and HEAD, and 307 and 308 of others), mirrors and retries. 0:
 * there is an answer, of whatever status but 401, 403, 429 and 5xx; those, once retries are used
 * up, and having no answer are -1. */
int exchange_run(struct request *q, struct exchange *x, struct err *e);
/* Makes the error of an answer whose status is not what was wanted, from its body as the
 * distribution-spec writes it ("Error Codes"). Always -1. */
int exchange_refused(struct request *q, const struct exchange *x, struct err *e);
void exchange_clear(struct exchange *x); /* forgets the answer */
void exchange_done(struct exchange *x);

/* HOST[:PORT]/NAME as people know it, for messages. */
const char *fetcher_repository(const struct fetcher *f);
/* fetch_options.mount_from */
const struct strings *fetcher_mount_from(const struct fetcher *f);
