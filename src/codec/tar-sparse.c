/* Sparse files: GNU tar's four ways of saying where the data is. */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "codec/tar-internal.h"

int tar_extent_add(struct tar *t, uint64_t offset, uint64_t len)
{
        struct tar_extent *last = t->nextents ? &t->extents[t->nextents - 1] : NULL;

        /* Each is at most 2^63 - 1: what the fields allow. */
        if (offset + len > INT64_MAX || (last && offset < last->offset + last->len))
                return tar_fail(t, -EINVAL, "map of a sparse file is not in ascending order");
        if (len == 0) /* ends the file: its size says so too */
                return 0;
        t->extents_sum += len;
        if (last && offset == last->offset + last->len) {
                last->len += len;
                return 0;
        }
        if (t->nextents >= t->limits.extents)
                return tar_fail(t, -E2BIG, "sparse file of more than %u pieces", t->limits.extents);
        if (!t->extents || t->nextents == t->extents_cap) {
                t->extents_cap = MAX(2 * t->nextents, 16u);
                t->extents = mem_realloc(t->extents, t->extents_cap * sizeof *t->extents);
        }
        t->extents[t->nextents++] = (struct tar_extent){ offset, len };
        return 0;
}

int tar_old_map(struct tar *t, const uint8_t *pairs, unsigned n)
{
        uint8_t extended = pairs[24 * n];

        for (unsigned i = 0; i < n && pairs[0]; i++, pairs += 24) {
                int64_t offset, len;
                int r;

                if (tar_number(pairs, 12, &offset) < 0 || tar_number(pairs + 12, 12, &len) < 0 ||
                    offset < 0 || len < 0)
                        return tar_fail(t, -EINVAL, "map of a sparse file has no numbers");
                r = tar_extent_add(t, (uint64_t)offset, (uint64_t)len);
                if (r < 0)
                        return r;
        }
        return extended != 0;
}

/* One number of the map is complete: the count, then offset and length in turn. */
static int map_number(struct tar *t)
{
        uint64_t v = t->map_value;
        int r = 0;

        if (t->map_digits == 0)
                return tar_fail(t, -EINVAL, "map of a sparse file has no numbers");
        if (t->map_have == 0) {
                if (v > t->limits.extents)
                        return tar_fail(t, -E2BIG, "sparse file of more than %u pieces",
                                        t->limits.extents);
                t->map_want = 1 + 2 * v;
        } else if (t->map_have & 1) {
                t->map_offset = v;
        } else {
                r = tar_extent_add(t, t->map_offset, v);
        }
        t->map_have++;
        t->map_value = 0;
        t->map_digits = 0;
        return r;
}

int tar_map_block(struct tar *t, const uint8_t *block)
{
        for (unsigned i = 0; i < TAR_BLOCK_SIZE; i++) {
                uint8_t c = block[i];

                if (c >= '0' && c <= '9' && t->map_digits < 18) {
                        t->map_value = t->map_value * 10 + (c - '0');
                        t->map_digits++;
                } else if (c == '\n') {
                        int r = map_number(t);

                        if (r < 0)
                                return r;
                        if (t->map_have == t->map_want)
                                return 1;
                } else {
                        return tar_fail(t, -EINVAL, "map of a sparse file has no numbers");
                }
        }
        return 0;
}

int tar_sparse_done(struct tar *t)
{
        static const struct tar_extent none;
        const struct tar_extent *last = t->nextents ? &t->extents[t->nextents - 1] : NULL;
        struct tar_entry *e = &t->entry;

        if (last && last->offset + last->len > e->size)
                return tar_fail(t, -EINVAL, "map of a sparse file goes beyond its size");
        if (t->extents_sum != e->stored)
                return tar_fail(t, -EINVAL, "map of a sparse file does not match its data");
        e->extents = last ? t->extents : &none;
        e->nextents = t->nextents;
        return 0;
}
