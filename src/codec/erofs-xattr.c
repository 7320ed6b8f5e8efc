/* Extended attributes: all of them shared, each value kept once. */
#include <errno.h>

#include "base/str.h"
#include "codec/erofs-internal.h"

/* The namespaces that the format knows. An attribute whose name is a prefix in full is written with
 * an empty rest; only those of access control lists may be. */
static const struct {
        const char *prefix;
        uint8_t index;
        bool whole;
} spaces[] = {
        { "user.", 1, false },
        { "system.posix_acl_access", 2, true },
        { "system.posix_acl_default", 3, true },
        { "trusted.", 4, false },
        { "security.", 6, false },
};

static const struct xattr *intern(struct erofs *x, uint8_t index, const char *name,
                                  const void *value, uint32_t len)
{
        uint32_t name_len = (uint32_t)strlen(name);
        uint32_t size = (uint32_t)round_to(4 + (uint64_t)name_len + len, 4);
        struct xattr *a = arena_alloc(&x->a, sizeof *a + size);
        struct xattr **bucket, *found;

        a->bytes[0] = (uint8_t)name_len;
        a->bytes[1] = index;
        put16(a->bytes + 2, (uint16_t)len);
        memcpy(a->bytes + 4, name, name_len);
        if (len)
                memcpy(a->bytes + 4 + name_len, value, len);
        a->size = size;
        a->hash = hash_of(0, a->bytes, size);
        bucket = &x->xattr_table[a->hash % ARRAY_SIZE(x->xattr_table)];
        for (found = *bucket; found; found = found->chain)
                if (found->hash == a->hash && found->size == size &&
                    !memcmp(found->bytes, a->bytes, size))
                        return found;
        a->id = (uint32_t)(x->xattr_bytes / 4);
        x->xattr_bytes += size;
        a->chain = *bucket;
        *bucket = a;
        *x->xattrs_end = a;
        x->xattrs_end = &a->next;
        return a;
}

static const struct xattr_set *intern_set(struct erofs *x, const struct xattr *const *of,
                                          uint32_t n)
{
        uint32_t hash = hash_of(n, of, sizeof(*of) * n);
        struct xattr_set **bucket = &x->set_table[hash % ARRAY_SIZE(x->set_table)], *s;

        if (n == 0)
                return NULL;
        for (s = *bucket; s; s = s->chain)
                if (s->hash == hash && s->n == n && !memcmp(s->of, of, sizeof(*of) * n))
                        return s;
        s = arena_alloc(&x->a, sizeof *s + sizeof(*of) * n);
        s->hash = hash;
        s->n = n;
        memcpy(s->of, of, sizeof(*of) * n);
        s->chain = *bucket;
        *bucket = s;
        return s;
}

/* 0: dropped, for no image holds it. */
static int intern_one(struct erofs *x, const struct tar_xattr *a, const struct xattr **ret)
{
        if (str_after(a->name, "trusted.overlay."))
                return 0;
        for (size_t i = 0; i < ARRAY_SIZE(spaces); i++) {
                const char *rest = str_after(a->name, spaces[i].prefix);

                if (!rest || spaces[i].whole != !*rest)
                        continue;
                if (strlen(rest) > NAME_LIMIT || a->len > UINT16_MAX)
                        return erofs_complain(x, "its attribute '%.80s' is too large", a->name);
                *ret = intern(x, spaces[i].index, rest, a->value, a->len);
                return 1;
        }
        return 0;
}

int xattr_set_of(struct erofs *x, const struct tar_entry *t, const struct xattr_set **ret)
{
        const struct xattr *of[XATTR_LIMIT];
        uint32_t n = 0;

        for (uint32_t i = 0; i < t->nxattrs; i++) {
                int r;

                if (n == XATTR_LIMIT - 1) /* the last is the opaque marker's */
                        return erofs_complain(x, "it has more than %d attributes", n);
                r = intern_one(x, &t->xattrs[i], &of[n]);
                if (r < 0)
                        return r;
                n += (uint32_t)r;
        }
        *ret = intern_set(x, of, n);
        return 0;
}

const struct xattr_set *xattr_set_opaque(struct erofs *x, const struct xattr_set *s)
{
        const struct xattr *of[XATTR_LIMIT];
        uint32_t n = s ? s->n : 0;

        if (n)
                memcpy(of, s->of, sizeof(*of) * n);
        of[n] = intern(x, 4, "overlay.opaque", "y", 1);
        return intern_set(x, of, n + 1);
}
