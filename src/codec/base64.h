/* base64 (RFC 4648 section 4): padded, strict: no blanks, no other alphabet, no stray bits. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"

/* Bytes that decoding n characters gives at the most. */
#define BASE64_DECODED_MAX(n) ((n) / 4 * 3)

/* Decodes text[0..n) into out, which holds BASE64_DECODED_MAX(n). The length, or -EINVAL. */
ssize_t base64_decode(const char *text, size_t n, void *out);
/* Appends the text of p[0..n). */
void base64_put(struct buf *out, const void *p, size_t n);
