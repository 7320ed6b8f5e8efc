/* Fields of HTTP answers that a registry sends, as values. Pure, fuzzed; nothing is unescaped
 * beyond what the field's own grammar says. Values may hold any byte but NUL, CR and LF: whoever
 * prints them cleans them.
 *
 * All return 0, or -EINVAL for text that is none, -E2BIG beyond the limits below. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

#define HTTP_FIELD_MAX 65536 /* bytes of one field's value */
#define HTTP_CHALLENGES_MAX 16
#define HTTP_PARAMS_MAX 32

struct http_param {
        const char *name; /* lower-case */
        const char *value;
};
/* One challenge of WWW-Authenticate (RFC 9110, section 11.6.1). */
struct http_challenge {
        const char *scheme;  /* lower-case: "bearer", "basic" */
        const char *token68; /* or NULL */
        struct http_param params[HTTP_PARAMS_MAX];
        size_t nparams;
};
struct http_challenges {
        struct http_challenge v[HTTP_CHALLENGES_MAX];
        size_t n;
};
/* Adds the challenges of one field to what others of the same answer gave; ret starts zeroed.
 * Strings are in a. A field with an error adds nothing. */
int http_challenges_add(struct arena *a, const char *field, struct http_challenges *ret);
/* The first of that scheme (lower-case), or NULL. */
const struct http_challenge *http_challenge_find(const struct http_challenges *c,
                                                 const char *scheme);
/* The value of a parameter (lower-case), or NULL. Of a repeated one the first. */
const char *http_challenge_param(const struct http_challenge *c, const char *name);

/* The target of the first link with that relation (RFC 8288, section 3); in a. -ENOENT: none. */
int http_link(struct arena *a, const char *field, const char *rel, const char **ret);

/* Content-Range in bytes (RFC 9110, section 14.4): "bytes 0-9/100"; a star for the size makes it
 * UINT64_MAX, a star for the range means unsatisfied. */
struct http_range {
        bool unsatisfied;
        uint64_t first, last; /* last is included; not set where unsatisfied */
        uint64_t size;
};
int http_content_range(const char *field, struct http_range *ret);
/* The distribution-spec's Range of an upload's status: "0-1023", "bytes=0-1023"; nothing there
 * yet is "0-0" or "0--1", by the registry. *ret_next is where to go on. */
int http_upload_range(const char *field, uint64_t *ret_next);

/* Retry-After (RFC 9110, section 10.2.3): seconds, or one of the three dates; now is the present
 * in seconds since 1970. At most a day; a date that is past is 0. */
int http_retry_after(const char *field, int64_t now, uint32_t *ret_seconds);
/* IMF-fixdate, RFC 850's and asctime's dates, as seconds since 1970. */
int http_date(const char *field, int64_t *ret);

/* The text of a Warning with code 299 (distribution-spec, "Warnings"); in a. -ENOENT: another
 * code. */
int http_warning(struct arena *a, const char *field, const char **ret);

/* ratelimit-limit, ratelimit-remaining: "100;w=21600". window is 0 where it isn't given. */
struct http_rate {
        uint64_t count;
        uint64_t window; /* seconds */
};
int http_rate(const char *field, struct http_rate *ret);
