#include "codec/hash.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
        const char *prefix;
        size_t digits;
} algs[] = {
        [HASH_SHA256] = { "sha256:", 2 * SHA256_DIGEST_LENGTH },
        [HASH_SHA512] = { "sha512:", 2 * SHA512_DIGEST_LENGTH },
};

/* algorithm ::= component (separator component)*, encoded ::= [a-zA-Z0-9=_-]+ */
static bool well_formed(const char *s)
{
        size_t alg = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789+._-");
        const char *encoded = s + alg + 1;

        return alg > 0 && s[alg] == ':' && *encoded && strlen(encoded) < DIGEST_CAP &&
               !encoded[strspn(encoded, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789=_-")];
}

int digest_check(const char *s, enum hash_alg *ret_alg)
{
        for (int i = 0; i < HASH_ALG_MAX; i++) {
                size_t n = strlen(algs[i].prefix);

                if (strncmp(s, algs[i].prefix, n) != 0)
                        continue;
                if (strlen(s + n) != algs[i].digits || s[n + strspn(s + n, "0123456789abcdef")])
                        return -EINVAL;
                if (ret_alg)
                        *ret_alg = (enum hash_alg)i;
                return 0;
        }
        return well_formed(s) ? -EOPNOTSUPP : -EINVAL;
}

const char *digest_hex(const char *s)
{
        return strchr(s, ':') + 1;
}

void hash_init(struct hash *h, enum hash_alg alg)
{
        h->alg = alg;
        if (alg == HASH_SHA256)
                SHA256_Init(&h->sha256);
        else
                SHA512_Init(&h->sha512);
}

void hash_update(struct hash *h, const void *p, size_t n)
{
        if (h->alg == HASH_SHA256)
                SHA256_Update(&h->sha256, p, n);
        else
                SHA512_Update(&h->sha512, p, n);
}

void hash_final(struct hash *h, char ret_digest[DIGEST_CAP])
{
        static const char hex[] = "0123456789abcdef";
        unsigned char md[SHA512_DIGEST_LENGTH];
        size_t at = strlen(algs[h->alg].prefix), n = algs[h->alg].digits / 2;

        if (h->alg == HASH_SHA256)
                SHA256_Final(md, &h->sha256);
        else
                SHA512_Final(md, &h->sha512);
        memcpy(ret_digest, algs[h->alg].prefix, at);
        for (size_t i = 0; i < n; i++) {
                ret_digest[at++] = hex[md[i] >> 4];
                ret_digest[at++] = hex[md[i] & 15];
        }
        ret_digest[at] = '\0';
}

void hash_bytes(enum hash_alg alg, const void *p, size_t n, char ret_digest[DIGEST_CAP])
{
        struct hash h;

        hash_init(&h, alg);
        hash_update(&h, p, n);
        hash_final(&h, ret_digest);
}
