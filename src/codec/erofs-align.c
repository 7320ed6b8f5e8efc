/* Sparse files whose pieces lie at odd places of the archive: tar puts pieces one behind the other,
 * of any length. They are copied to where blocks can be mapped. */
#include <errno.h>
#include <stdlib.h>

#include "codec/erofs-internal.h"

#define COPY_UNIT 4096u /* of the copy: so that chunks are not smaller than pages */
#define COPY_SIZE 65536u

struct copier {
        struct erofs *x;
        const struct erofs_device *d;
        uint64_t *size;
        uint8_t *buf; /* COPY_SIZE bytes of the file, from `base` on */
};

/* Fills buf with [base, base + n) of the file. */
static int gather(struct copier *c, const struct sparse *s, uint32_t first, uint64_t base, size_t n)
{
        memset(c->buf, 0, n);
        for (uint32_t p = first; p < s->n && s->pieces[p].offset < base + n; p++) {
                const struct piece *w = &s->pieces[p];
                uint64_t from = w->offset > base ? w->offset : base;
                uint64_t to = w->offset + w->len < base + n ? w->offset + w->len : base + n;
                int r;

                if (from >= to)
                        continue;
                r = c->d->read(c->d->ctx, w->at + (from - w->offset), c->buf + (from - base),
                               (size_t)(to - from));
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The stretch [from, to) of the file, of whole units but at its end. */
static int copy(struct copier *c, const struct sparse *s, uint32_t first, uint64_t from,
                uint64_t to)
{
        for (uint64_t at = from; at < to; at += COPY_SIZE) {
                size_t n = to - at < COPY_SIZE ? (size_t)(to - at) : COPY_SIZE;
                size_t whole = (size_t)round_to(n, BLOCK);
                int r;

                while (first < s->n && s->pieces[first].offset + s->pieces[first].len <= at)
                        first++;
                memset(c->buf + n, 0, whole - n);
                r = gather(c, s, first, at, n);
                if (r == 0)
                        r = c->d->append(c->d->ctx, c->buf, whole);
                if (r < 0)
                        return r;
                *c->size += whole;
        }
        return 0;
}

static int align(struct copier *c, struct inode *i)
{
        const struct sparse *s = i->sparse;
        struct sparse *to = arena_alloc(&c->x->a, sizeof *to + mem_mul(sizeof *to->pieces, s->n));

        for (uint32_t p = 0; p < s->n;) {
                uint64_t from = s->pieces[p].offset / COPY_UNIT * COPY_UNIT, end = from;
                uint64_t at = *c->size;
                uint32_t first = p;
                int r;

                /* Pieces that share or touch a unit become one. */
                for (; p < s->n && (p == first || s->pieces[p].offset <= end); p++)
                        end = round_to(s->pieces[p].offset + s->pieces[p].len, COPY_UNIT);
                if (end > i->size)
                        end = i->size;
                r = copy(c, s, first, from, end);
                if (r < 0)
                        return r;
                to->pieces[to->n++] = (struct piece){ from, end - from, at };
        }
        i->sparse = to;
        return 0;
}

int erofs_align(struct erofs *x, const struct erofs_device *d, uint64_t *size)
{
        struct copier c = { .x = x, .d = d, .size = size };
        int r = 0;

        if (!x->odd)
                return 0;
        if (*size % BLOCK)
                return -EINVAL;
        c.buf = mem_alloc(COPY_SIZE + BLOCK);
        for (struct inode *i = x->odd; i && r == 0; i = i->placed)
                r = align(&c, i);
        free(c.buf);
        x->odd = NULL;
        x->odd_end = &x->odd;
        return r;
}
