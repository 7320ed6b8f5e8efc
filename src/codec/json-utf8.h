/* UTF-8 as RFC 3629 defines it, for the JSON reader and writer: no overlong forms, no surrogates,
 * nothing above U+10FFFF. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The length of the well-formed sequence that s[0..n) begins with, or 0 where there is none. */
size_t json_utf8_len(const char *s, size_t n);
/* Writes code point c, which must be a Unicode scalar value, and returns its length (1..4). */
size_t json_utf8_put(char out[static 4], uint32_t c);
