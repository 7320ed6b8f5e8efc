/* Talking to berth-fetch, the only program with HTTP and TLS.
 *
 * One process per repository: berth-fetch reads configuration and credentials for it
 * (registries.conf, certs.d, hosts.toml, auth.json, credential helpers) while it still has its
 * caller's rights, then becomes nobody with a seccomp filter and Landlock rules, and only then
 * opens a connection. Requests and answers are JSON texts over one SOCK_SEQPACKET socket,
 * descriptors travel with them; bodies of blobs flow through pipes that the caller made, straight
 * into whoever unpacks them. Many requests run at once over one HTTP/2 connection.
 * fetch-protocol.h has the messages. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/value.h"
#include "codec/hash.h"
#include "image/interrupts.h"
#include "image/manifest.h"
#include "image/reference.h"

struct fetch;

struct fetch_options {
        const char *authfile;        /* NULL: the usual places */
        const char *creds;           /* "USER:PASSWORD", or NULL */
        const char *cert_dir;        /* NULL: certs.d */
        const char *registries_conf; /* NULL: the usual places */
        const char *root;            /* in front of the usual places, for tests; or NULL */
        int tls_verify;              /* -1: as configured; 0: no; 1: yes */
        bool push;                   /* tokens are asked for with push rights */
        uint32_t retries;            /* 0: none; commands' default is 3 */
        uint32_t retry_delay_ms;     /* 0: 1 s doubling, Retry-After wins */
        /* Repositories of the same registry that a push may mount from. */
        struct strings mount_from;
};

/* Starts berth-fetch for ref's repository. The caller's to close. */
int fetch_open(const struct reference *ref, const struct fetch_options *o, const struct log *log,
               struct fetch **ret, struct err *e);
void fetch_close(struct fetch *f);   /* takes NULL; ends the process */
int fetch_fd(const struct fetch *f); /* poll it for POLLIN, then fetch_next() */
/* Whatever waits ends with EINTR as i says (not owned), from now on. */
void fetch_interruptible(struct fetch *f, const struct interrupts *i);
/* As fetch_close(), but first uploads that are open are deleted at the registry; blocks for some
 * seconds at most. 1: that was done; 0: there were none; -1: the registry keeps one, until it
 * forgets it. */
int fetch_give_up(struct fetch *f);

struct fetched_manifest {
        const char *data; /* exact bytes; NULL of a HEAD */
        size_t n;
        /* Verified against the body, the reference and Docker-Content-Digest. */
        char digest[DIGEST_CAP];
        const char *content_type;
};
/* GET (or HEAD) of a manifest by tag or digest; waits. ERR_NOT_FOUND: 404. HEAD without a digest
 * header falls back to GET. */
int fetch_manifest(struct fetch *f, struct arena *a, const char *tag_or_digest, bool head,
                   struct fetched_manifest *ret, struct err *e);
/* A whole small blob (a config), verified; waits. */
int fetch_small_blob(struct fetch *f, struct arena *a, const struct descriptor *d, const char **ret,
                     size_t *ret_n, struct err *e);

/* Starts a download of d from offset into out (a pipe's write end, passed on and closed here).
 * Digest and size are not checked here: the reader does. It retries and resumes inside; a server
 * that ignores Range is read over from the start, dropping what is known. id comes back in the
 * events. */
int fetch_blob(struct fetch *f, unsigned id, const struct descriptor *d, uint64_t offset, int out,
               struct err *e);

enum fetch_event_kind {
        FETCH_PROGRESS, /* .bytes so far, offset included */
        FETCH_DONE,     /* the pipe has been closed */
        FETCH_FAILED,   /* .err; the pipe has been closed */
        /* .text: a warning of the registry (Warning: 299), a retry and why, a mirror that was
         * skipped */
        FETCH_NOTE,
        FETCH_RATE /* .text: "76 of 100 pulls left in 6 h" */
};
struct fetch_event {
        enum fetch_event_kind kind;
        unsigned id;
        uint64_t bytes;
        struct err err;
        char text[400];
};
/* The next event; timeout in ms, -1 for ever. 1: got one; 0: none in time; -1: berth-fetch is
 * gone. */
int fetch_next(struct fetch *f, int timeout_ms, struct fetch_event *ret, struct err *e);

/* ---- push; all wait ---- */

/* Whether the repository holds the blob. */
int fetch_blob_exists(struct fetch *f, const char *digest, bool *ret, struct err *e);
/* Cross-repository mount; *ret_mounted false where the registry wants an upload instead. */
int fetch_mount(struct fetch *f, const char *digest, const char *from_repository, bool *ret_mounted,
                struct err *e);
/* Starts an upload read from in (a file, or a pipe; passed on). Monolithic where the size is
 * known and in can be read again, else chunked. FETCH_PROGRESS, FETCH_DONE or FETCH_FAILED
 * follow. */
int fetch_upload(struct fetch *f, unsigned id, const char *digest, uint64_t size, int in,
                 struct err *e);
/* PUT of a manifest; with a subject and no OCI-Subject answer the referrers tag is updated
 * (distribution-spec, "Pushing manifests with subject"). */
int fetch_put_manifest(struct fetch *f, const char *tag_or_digest, const char *media_type,
                       const void *data, size_t n, struct err *e);
int fetch_delete_manifest(struct fetch *f, const char *digest, struct err *e);
int fetch_tags(struct fetch *f, struct arena *a, struct strings *ret, struct err *e);
/* The referrers index of a digest (referrers API, or the tag schema where it answers 404). */
int fetch_referrers(struct fetch *f, struct arena *a, const char *digest,
                    struct fetched_manifest *ret, struct err *e);
/* GET /v2/ with these credentials: login. */
int fetch_login(struct fetch *f, struct err *e);
