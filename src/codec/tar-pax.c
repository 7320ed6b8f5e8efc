/* Extended headers: records "LENGTH KEY=VALUE\n" (POSIX pax, "pax Extended Header"), taken apart in
 * place. Global ones ('g') never get here: like every other reader of image layers we ignore
 * them, so that a layer means the same tree everywhere. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/tar-internal.h"

/* One record; both are ended by a NUL that the length does not count. */
struct record {
        char *key, *value;
        size_t n; /* of the value */
};

static int malformed(struct tar *t, const struct record *r)
{
        return tar_fail(t, -EINVAL, "extended header '%.60s' has an invalid value", r->key);
}

static int take_path(struct tar *t, const struct record *r)
{
        if (strlen(r->value) != r->n)
                return malformed(t, r);
        t->pax.path = r->n ? r->value : NULL; /* empty: as if it weren't there */
        return 0;
}

static int take_link(struct tar *t, const struct record *r)
{
        if (strlen(r->value) != r->n)
                return malformed(t, r);
        t->pax.link = r->n ? r->value : NULL;
        return 0;
}

static int take_sparse_name(struct tar *t, const struct record *r)
{
        if (strlen(r->value) != r->n)
                return malformed(t, r);
        t->pax.sparse = true;
        t->pax.sparse_name = r->n ? r->value : NULL;
        return 0;
}

static int take_number(struct tar *t, const struct record *r, uint64_t *ret, bool *ret_has)
{
        if (r->n == 0) {
                *ret_has = false;
                return 0;
        }
        /* Beyond 2^63 nothing can be, and sums of two stay in range. */
        if (strlen(r->value) != r->n || str_to_u64(r->value, ret) < 0 || *ret > INT64_MAX)
                return malformed(t, r);
        *ret_has = true;
        return 0;
}

static int take_size(struct tar *t, const struct record *r)
{
        return take_number(t, r, &t->pax.size, &t->pax.has_size);
}

static int take_id(struct tar *t, const struct record *r, uint32_t *ret, bool *ret_has)
{
        uint64_t v = 0;
        int e = take_number(t, r, &v, ret_has);

        if (e < 0)
                return e;
        if (v >= UINT32_MAX)
                return malformed(t, r);
        *ret = (uint32_t)v;
        return 0;
}

static int take_uid(struct tar *t, const struct record *r)
{
        return take_id(t, r, &t->pax.uid, &t->pax.has_uid);
}

static int take_gid(struct tar *t, const struct record *r)
{
        return take_id(t, r, &t->pax.gid, &t->pax.has_gid);
}

/* "[-]SECONDS[.FRACTION]": digits beyond nanoseconds are dropped; before 1970 seconds are rounded
 * down, so that the fraction is positive. */
static int take_mtime(struct tar *t, const struct record *r)
{
        char *dot = strchr(r->value, '.');
        bool negative = r->value[0] == '-';
        uint32_t ns = 0;
        unsigned digits = 0;
        int64_t s;

        if (r->n == 0) {
                t->pax.has_mtime = false;
                return 0;
        }
        if (strlen(r->value) != r->n)
                return malformed(t, r);
        if (dot)
                *dot++ = '\0';
        if (str_to_i64(r->value, &s) < 0)
                return malformed(t, r);
        for (; dot && *dot; dot++) {
                if (*dot < '0' || *dot > '9')
                        return malformed(t, r);
                if (digits++ < 9)
                        ns = ns * 10 + (uint32_t)(*dot - '0');
        }
        for (; digits < 9; digits++)
                ns *= 10;
        if (negative && ns > 0) {
                if (s == INT64_MIN)
                        return malformed(t, r);
                s--;
                ns = 1000000000 - ns;
        }
        t->pax.mtime = s;
        t->pax.mtime_ns = ns;
        t->pax.has_mtime = true;
        return 0;
}

/* ---- extended attributes ---- */

static int xattr_put(struct tar *t, const char *name, const void *value, size_t n)
{
        uint32_t i = 0;

        if (!*name)
                return tar_fail(t, -EINVAL, "extended attribute without a name");
        if (strlen(name) > 255) /* XATTR_NAME_MAX */
                return tar_fail(t, -E2BIG, "name of an extended attribute is over 255 bytes");
        if (n > t->limits.xattr_value)
                return tar_fail(t, -E2BIG, "extended attribute '%s' is over %u bytes", name,
                                t->limits.xattr_value);
        while (i < t->nxattrs && !str_eq(t->xattrs[i].name, name))
                i++;
        if (i == t->nxattrs) {
                if (i >= t->limits.xattrs)
                        return tar_fail(t, -E2BIG, "more than %u extended attributes",
                                        t->limits.xattrs);
                if (i == t->xattrs_cap) {
                        t->xattrs_cap = MAX(2 * i, 8u);
                        t->xattrs = mem_realloc(t->xattrs, t->xattrs_cap * sizeof *t->xattrs);
                }
                t->nxattrs++;
        }
        t->xattrs[i] = (struct tar_xattr){ name, value, (uint32_t)n };
        return 0;
}

static int take_schily(struct tar *t, const struct record *r)
{
        return xattr_put(t, r->key + strlen("SCHILY.xattr."), r->value, r->n);
}

static int hex(char c)
{
        return c >= '0' && c <= '9'                 ? c - '0'
               : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                    : -1;
}

/* "%41" to "A", in place. */
static bool url_decode(char *s)
{
        char *to = s;

        for (; *s; s++) {
                int v = (unsigned char)*s;

                if (*s == '%') {
                        if (hex(s[1]) < 0 || hex(s[2]) < 0)
                                return false;
                        v = hex(s[1]) << 4 | hex(s[2]);
                        s += 2;
                        if (v == 0)
                                return false;
                }
                *to++ = (char)v;
        }
        *to = '\0';
        return true;
}

/* base64 as libarchive writes it, without padding (or with it), in place. */
static bool unpadded_base64(char *s, size_t *n)
{
        static const char digits[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        size_t len = *n, out = 0;
        uint32_t bits = 0;
        unsigned have = 0;

        while (len > 0 && s[len - 1] == '=')
                len--;
        for (size_t i = 0; i < len; i++) {
                const char *d = s[i] ? strchr(digits, s[i]) : NULL;

                if (!d)
                        return false;
                bits = bits << 6 | (uint32_t)(d - digits);
                have += 6;
                if (have >= 8) {
                        have -= 8;
                        s[out++] = (char)(bits >> have);
                }
        }
        s[out] = '\0';
        *n = out;
        return true;
}

static int take_libarchive(struct tar *t, const struct record *r)
{
        char *name = r->key + strlen("LIBARCHIVE.xattr.");
        size_t n = r->n;

        if (!url_decode(name) || !unpadded_base64(r->value, &n))
                return malformed(t, r);
        return xattr_put(t, name, r->value, n);
}

/* ---- sparse files ---- */

static int take_major(struct tar *t, const struct record *r)
{
        t->pax.sparse = true;
        return take_number(t, r, &t->pax.major, &(bool){ 0 });
}

static int take_minor(struct tar *t, const struct record *r)
{
        t->pax.sparse = true;
        return take_number(t, r, &t->pax.minor, &(bool){ 0 });
}

static int take_real_size(struct tar *t, const struct record *r)
{
        t->pax.sparse = true;
        return take_number(t, r, &t->pax.real_size, &t->pax.has_real_size);
}

static int take_offset(struct tar *t, const struct record *r)
{
        bool has;

        if (t->pax.half)
                return malformed(t, r);
        t->pax.sparse = t->pax.half = true;
        return take_number(t, r, &t->pax.offset, &has);
}

static int take_numbytes(struct tar *t, const struct record *r)
{
        uint64_t len = 0;
        bool has;
        int e = take_number(t, r, &len, &has);

        if (e == 0 && !t->pax.half)
                e = malformed(t, r);
        t->pax.half = false;
        return e < 0 ? e : tar_extent_add(t, t->pax.offset, len);
}

static int take_map(struct tar *t, const struct record *r)
{
        const char *at = r->value;
        uint64_t v[2] = { 0, 0 };
        unsigned n = 0;

        t->pax.sparse = true;
        t->nextents = 0;
        t->extents_sum = 0;
        while (at < r->value + r->n) {
                char *end = strchrnul(at, ',');
                struct record number = { r->key, (char *)at, (size_t)(end - at) };
                bool has;
                int e;

                *end = '\0';
                e = take_number(t, &number, &v[n], &has);
                if (e == 0 && !has)
                        e = malformed(t, r);
                if (e == 0 && n == 1)
                        e = tar_extent_add(t, v[0], v[1]);
                if (e < 0)
                        return e;
                n ^= 1;
                at = end + 1;
        }
        return n ? malformed(t, r) : 0;
}

/* ---- records ---- */

static const struct key {
        const char *name; /* a final '.' makes it a prefix */
        int (*take)(struct tar *t, const struct record *r);
} keys[] = {
        { "path", take_path },
        { "linkpath", take_link },
        { "size", take_size },
        { "uid", take_uid },
        { "gid", take_gid },
        { "mtime", take_mtime },
        { "SCHILY.xattr.", take_schily },
        { "LIBARCHIVE.xattr.", take_libarchive },
        { "GNU.sparse.major", take_major },
        { "GNU.sparse.minor", take_minor },
        { "GNU.sparse.name", take_sparse_name },
        { "GNU.sparse.size", take_real_size },
        { "GNU.sparse.realsize", take_real_size },
        { "GNU.sparse.offset", take_offset },
        { "GNU.sparse.numbytes", take_numbytes },
        { "GNU.sparse.map", take_map },
};

static const struct key *key_find(const char *name)
{
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                const char *rest = str_after(name, keys[i].name);

                if (rest && (!*rest || str_ends(keys[i].name, ".")))
                        return &keys[i];
        }
        return NULL;
}

/* Takes the record at p off the text that ends at end: its length, or -EINVAL. */
static ssize_t record_next(char *p, const char *end, struct record *ret)
{
        size_t len = 0;
        char *at = p, *equals;

        while (at < end && *at >= '0' && *at <= '9' && len < (size_t)(end - p))
                len = len * 10 + (size_t)(*at++ - '0');
        if (at == p || at == end || *at != ' ' || len > (size_t)(end - p))
                return -EINVAL;
        at++;
        if (len < (size_t)(at - p) + 2 || p[len - 1] != '\n')
                return -EINVAL;
        equals = memchr(at, '=', len - (size_t)(at - p));
        if (!equals || equals == at || memchr(at, '\0', (size_t)(equals - at)))
                return -EINVAL;
        *equals = '\0';
        p[len - 1] = '\0';
        *ret = (struct record){ at, equals + 1, (size_t)(p + len - 1 - (equals + 1)) };
        return (ssize_t)len;
}

int tar_pax_parse(struct tar *t)
{
        char *p = t->pax_text.s, *end = p + t->pax_text.len;

        tar_pax_reset(t);
        while (p < end) {
                struct record record;
                ssize_t len = record_next(p, end, &record);
                const struct key *key;
                int r = 0;

                if (len < 0)
                        return tar_fail(t, -EINVAL, "extended header is malformed");
                key = key_find(record.key);
                if (key)
                        r = key->take(t, &record);
                if (r < 0)
                        return r;
                p += len;
        }
        return t->pax.half ? tar_fail(t, -EINVAL, "map of a sparse file is incomplete") : 0;
}

void tar_pax_reset(struct tar *t)
{
        t->pax = (struct tar_pax){ .path = NULL };
        t->nxattrs = 0;
        t->nextents = 0;
        t->extents_sum = 0;
}
