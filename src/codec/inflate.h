/* Decompressing a stream, whatever compressed it: gzip (RFC 1952, any number of members) by ISA-L's
 * igzip, zstd (RFC 8878, any number of frames, skippable ones too) by libzstd, or nothing.
 * zstd:chunked and eStargz are plain zstd and gzip here. Linked into berth-layer alone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD, COMPRESSION_MAX };
extern const char *const compression_names[COMPRESSION_MAX]; /* "none", "gzip", "zstd" */

/* Which one the first bytes of a stream show: media types are often wrong. n >= 4 decides. */
enum compression compression_sniff(const void *p, size_t n);

struct inflate;
/* window_log_max: the largest zstd window accepted, as a power of two (27: 128 MiB). */
struct inflate *inflate_new(enum compression c, unsigned window_log_max);
void inflate_free(struct inflate *z); /* takes NULL */
/* Takes input from *in (advancing *in and *n) and puts output into out[0..cap). Returns bytes put;
 * 0 once all input is taken and nothing is left to put; -EINVAL: corrupt, wrong CRC; -E2BIG:
 * window too large (inflate_problem() has the words). Call again while it returns a number above
 * 0. */
int64_t inflate_run(struct inflate *z, const uint8_t **in, size_t *n, void *out, size_t cap);
/* Whether the stream may end here: 0, or -EINVAL where it is cut off. */
int inflate_finish(struct inflate *z);
const char *inflate_problem(const struct inflate *z);

/* ---- the other way; berth-layer's `pack` ---- */

struct deflate;
/* level 0: the default of the format (gzip 6 by zlib, zstd 3). The output depends on nothing but
 * input, format and level: no time, no name. */
struct deflate *deflate_new(enum compression c, int level);
void deflate_free(struct deflate *z);
/* As inflate_run(); with last, ends the stream once all input is taken. */
int64_t deflate_run(struct deflate *z, const uint8_t **in, size_t *n, void *out, size_t cap,
                    bool last);
