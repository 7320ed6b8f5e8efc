/* What the files of registry-*.c share: the program's context, its tasks, transfers and tokens.
 * registry.h has the theory of operation. */
#pragma once

#include <curl/curl.h>
#include <ucontext.h>

#include "base/log.h"
#include "codec/http-field.h"
#include "image/fetch-protocol.h"
#include "image/registry-flow.h"
#include "image/registry.h"

#define TASK_STACK (256u << 10) /* of address space; pages come as they are touched */
#define REDIRECTS_MAX 10
#define TOKEN_ANSWER_MAX (1u << 20)
#define ERROR_BODY_MAX (64u << 10)
#define FIELDS_MAX (256u << 10) /* all of an answer's fields together */

/* ---- tasks (registry-loop.c) ---- */

struct task {
        struct fetcher *f;
        struct task *next;
        ucontext_t at;
        char *stack; /* TASK_STACK bytes above a guard page */
        void (*run)(void *arg);
        void *arg;
        bool ready, over;
        uint64_t wake_ms; /* 0: no alarm */
};

/* Starts run(arg); it runs when the loop gets to it. */
void task_start(struct fetcher *f, void (*run)(void *arg), void *arg);
/* The running task waits until somebody calls task_wake() of it. */
void task_wait(struct fetcher *f);
void task_wake(struct task *t);

/* ---- curl's connections (registry-loop.c) ---- */

/* Two multi handles, for curl 7.88 must not have connections of HTTP/1.1 and HTTP/2 to one host in
 * one: it takes a busy one of the former for one that can be shared. */
enum pool_kind {
        POOL_SHARED, /* several transfers a connection, where the server speaks HTTP/2 */
        POOL_ALONE,  /* HTTP/1.1: a connection each */
        POOL_MAX
};
struct pool {
        struct fetcher *f;
        CURLM *multi;
        uint64_t due_ms; /* when curl wants to be called; UINT64_MAX: never */
};
struct watch { /* a connection that curl waits for */
        struct pool *pool;
        curl_socket_t fd;
        short events; /* of poll(2) */
};
/* 0 or -1. */
int pools_open(struct fetcher *f);

/* ---- transfers (registry-transfer.c) ---- */

struct origin { /* RFC 6454 */
        char scheme[8], host[256], port[8];
};

struct hop { /* where one request goes, and with what */
        const char *url;
        const struct endpoint *endpoint; /* whose certificates are meant */
        bool own;                        /* url is of the endpoint's origin */
        const char *authorization;       /* the field's value, or NULL */
        const char *form;                /* sent as a form (tokens), or NULL */
};

enum abort_reason { ABORT_NONE, ABORT_TOO_LARGE, ABORT_FIELDS, ABORT_FLOW, ABORT_SOURCE };

struct transfer {
        struct request *q;
        struct task *task;
        struct exchange *x;
        CURL *easy;
        CURLM *multi;
        struct curl_slist *fields;
        struct http_challenges challenges; /* of a 401 */
        size_t fields_size;
        bool body_begun, over;
        enum abort_reason aborted;
        CURLcode result;
        int os_error; /* errno of a connection that failed, or 0 */
        char text[CURL_ERROR_SIZE];
        uint64_t sent; /* of the body */
        bool recv_paused, send_paused;
        struct transfer *next;
};
/* One request and its answer, in x->answer and t (zeroed before; transfer_done() afterwards).
 * Waits. */
void transfer_run(struct request *q, struct exchange *x, const struct hop *hop, struct transfer *t);
void transfer_done(struct transfer *t);
/* What went wrong in t, as an error; code ERR_UNAVAILABLE unless something better is known. */
int transfer_fail(const struct transfer *t, const struct hop *hop, struct err *e);
/* For the loop: which descriptor t waits for (-1: none), and that it is ready. */
int transfer_waits(const struct transfer *t, short *ret_events);
void transfer_ready(struct transfer *t);

/* ---- tokens (registry-token.c) ---- */

/* What a token is for: requests of one use need the same one. */
enum token_use { TOKEN_PULL, TOKEN_PUSH, TOKEN_DELETE, TOKEN_USE_MAX };
struct token {
        struct token *next;
        size_t endpoint;
        char *scopes; /* separated by blanks */
        char *value;  /* the Authorization field; NULL: none yet */
        bool busy;    /* being asked for */
        uint64_t ends_ms;
};

/* ---- the context ---- */

struct endpoint_state {
        bool plain;             /* HTTPS_OR_HTTP: it turned out to be HTTP */
        bool deciding, decided; /* HTTPS_OR_HTTP: which of both is known */
        bool answered; /* at least once: from then on failures to connect are tried again */
        bool skipped;  /* a mirror that can't be reached */
        char *basic;   /* the Authorization field, once it was asked for */
        struct token *current[TOKEN_USE_MAX]; /* that was last asked for */
};

struct packet { /* an answer that the socket had no room for */
        struct packet *next;
        char *text;
        size_t n;
        int fd;
};

#define NOTES_MAX 64

struct fetcher {
        struct arena arena;
        const struct log *log;
        int socket; /* non-blocking */
        /* what "open" said */
        struct reference ref;
        const char *repository; /* HOST/PATH */
        struct strings mount_from;
        bool push, login;
        uint32_t retries, retry_delay_ms, stall_s;
        struct registry config;
        struct endpoint_state *state; /* one for each endpoint */
        const char *ca_file, *ca_dir; /* the system's */
        /* the loop */
        struct pool pools[POOL_MAX];
        struct watch *watches;
        size_t nwatches, watches_cap;
        CURLSH *share;
        struct task *tasks, *current;
        ucontext_t loop;
        char *spare_stack;
        struct transfer *transfers;
        size_t nrequests;
        bool closed;          /* the caller has gone: nothing is begun any more (R5) */
        size_t dropped, kept; /* uploads that were given up at the registry, or could not be */
        struct packet *packets, **packets_end;
        char *notes[NOTES_MAX]; /* that have been said */
        size_t nnotes;
        char rate[80]; /* the last that was said */
        struct token *tokens;
        struct upload_session *sessions; /* opened instead of mounts: upload-blob.c */
};

/* registry-url.c */

/* reference resolved against base (RFC 3986, 5); http and https only, user and password dropped.
 * In a. ERR_INVALID. */
int url_resolve(struct arena *a, const char *base, const char *reference, const char **ret,
                struct err *e);
int url_origin(const char *url, struct origin *ret);
bool origin_equal(const struct origin *a, const struct origin *b);
/* Whether the host is this machine: localhost, 127.0.0.0/8, ::1. */
bool host_is_loopback(const char *host);
/* Adds name=value to the query, value escaped; b holds an URL. */
void url_add_query(struct buf *b, const char *name, const char *value);
/* Text of strangers for messages: whatever is not printable ASCII becomes "?", at most max
 * bytes. */
char *text_clean(struct arena *a, const char *s, size_t n, size_t max);

/* registry-token.c */

/* The Authorization field to send with method to endpoint i, or NULL: none is known to be
 * needed. */
const char *token_present(struct fetcher *f, size_t i, enum method method);
/* Answers the challenges of a 401. used: the field that was sent, or NULL. *ret (owned by the
 * fetcher) is what to send instead. -1: ERR_DENIED, or why the token can't be had. */
int token_answer(struct request *q, size_t i, enum method method,
                 const struct http_challenges *challenges, const char *used, const char **ret,
                 struct err *e);

/* registry-exchange.c */

struct patience {
        uint32_t failures; /* without progress */
};
/* Follows url with this endpoint's certificates, redirects included, until an answer that is none.
 * authorization: a fixed field for the URL's own origin; NULL. t is that of the last hop. */
int exchange_follow(struct request *q, struct exchange *x, size_t i, const char *url,
                    const char *authorization, const char *form, struct transfer *t, struct err *e);
/* After a failure: says why, waits, and returns true to try again. after_s: Retry-After, or 0. */
bool patience_wait(struct request *q, struct patience *p, const struct err *why, uint32_t after_s);

/* registry-error.c */

/* The registry's own words in an answer's body ("code: message"), cleaned; NULL: none. */
const char *error_body(struct arena *a, const char *body, size_t n, const char **ret_code);
/* Text of ratelimit-limit and ratelimit-remaining: "76 of 100 pulls left in 6 h". False: none. */
bool rate_text(const char *limit, const char *remaining, char *buf, size_t cap);

/* upload-blob.c: begins to give up what refused mounts have opened. */
void uploads_forget(struct fetcher *f);

/* registry-serve.c */

/* Reads the "open" message. Waits. */
int fetcher_open(struct fetcher *f, struct err *e);
/* Prepares curl; still with rights. */
int fetcher_prepare(struct fetcher *f, struct err *e);
/* Answers "open" (e: it failed), then serves until the caller is gone. */
void fetcher_answer_open(struct fetcher *f, const struct err *e);
int fetcher_run(struct fetcher *f); /* returns enum fetch_exit */
void fetcher_done(struct fetcher *f);
/* What came on the socket, and what waits to be sent. */
void serve_input(struct fetcher *f);
void serve_flush(struct fetcher *f);
void serve_rate(struct request *q, const char *limit, const char *remaining);
