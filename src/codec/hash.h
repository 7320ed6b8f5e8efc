/* Digests as the image specification writes them, "sha256:<64 hex digits>", and computing them.
 *
 * OpenSSL's SHA-2 alone is linked (its low-level interface: the rest of libcrypto would come with
 * the other one), which uses the processor's own instructions where it has them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

enum hash_alg { HASH_SHA256, HASH_SHA512, HASH_ALG_MAX };

/* "sha512:", 128 digits and the NUL. */
#define DIGEST_CAP 136

/* Checks the whole grammar of a digest (image-spec descriptor.md, "Digests") with an algorithm that
 * is known here: lower-case hex of exactly the right length, so that a digest that passes can be
 * part of a path. 0; -EINVAL: no digest at all; -EOPNOTSUPP: well-formed, of another algorithm. */
int digest_check(const char *s, enum hash_alg *ret_alg);
/* The hex digits of a checked digest: what follows the colon. */
const char *digest_hex(const char *s);

struct hash {
        enum hash_alg alg;
        union {
                SHA256_CTX sha256;
                SHA512_CTX sha512;
        };
};
void hash_init(struct hash *h, enum hash_alg alg);
void hash_update(struct hash *h, const void *p, size_t n);
void hash_final(struct hash *h, char ret_digest[DIGEST_CAP]); /* h is used up */
/* The digest of p[0..n). */
void hash_bytes(enum hash_alg alg, const void *p, size_t n, char ret_digest[DIGEST_CAP]);
