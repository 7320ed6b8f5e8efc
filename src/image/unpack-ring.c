#include "image/unpack-ring.h"

#include <stdlib.h>

#include "base/mem.h"

void ring_init(struct ring *r, size_t chunk)
{
        *r = (struct ring){ .cap = chunk };
        pthread_mutex_init(&r->mutex, NULL);
        pthread_cond_init(&r->moved, NULL);
}

void ring_consumer_add(struct ring *r, ring_fn *fn, void *ctx)
{
        r->consumers[r->nconsumers++] = (struct ring_consumer){ .ring = r, .fn = fn, .ctx = ctx };
}

static void *consume(void *arg)
{
        struct ring_consumer *c = arg;
        struct ring *r = c->ring;

        pthread_mutex_lock(&r->mutex);
        for (;;) {
                size_t i = c->tail % RING_CHUNKS;
                bool more = true;

                while (c->tail == r->head && !r->ended)
                        pthread_cond_wait(&r->moved, &r->mutex);
                if (c->tail == r->head)
                        break;
                if (!c->gave_up) {
                        pthread_mutex_unlock(&r->mutex);
                        more = c->fn(c->ctx, r->chunks[i], r->fill[i]);
                        pthread_mutex_lock(&r->mutex);
                }
                c->gave_up |= !more;
                c->tail++;
                pthread_cond_broadcast(&r->moved);
        }
        pthread_mutex_unlock(&r->mutex);
        return NULL;
}

int ring_start(struct ring *r)
{
        r->threads = true;
        for (unsigned i = 0; i < r->nconsumers; i++) {
                int error =
                        pthread_create(&r->consumers[i].thread, NULL, consume, &r->consumers[i]);

                if (error) {
                        r->nconsumers = i;
                        ring_end(r);
                        return -error;
                }
        }
        return 0;
}

/* Whether the buffer that comes next is still being read. */
static bool full(const struct ring *r)
{
        for (unsigned i = 0; i < r->nconsumers; i++)
                if (r->head - r->consumers[i].tail >= RING_CHUNKS)
                        return true;
        return false;
}

uint8_t *ring_buffer(struct ring *r)
{
        size_t i = r->threads ? r->head % RING_CHUNKS : 0;

        if (r->threads) {
                pthread_mutex_lock(&r->mutex);
                while (full(r))
                        pthread_cond_wait(&r->moved, &r->mutex);
                pthread_mutex_unlock(&r->mutex);
        }
        if (!r->chunks[i]) {
                r->chunks[i] = malloc(r->cap); /* not zeroed */
                if (!r->chunks[i])
                        abort();
        }
        return r->chunks[i];
}

static bool put_here(struct ring *r, size_t n)
{
        bool more = true;

        for (unsigned i = 0; i < r->nconsumers; i++) {
                struct ring_consumer *c = &r->consumers[i];

                if (!c->gave_up)
                        c->gave_up = !c->fn(c->ctx, r->chunks[0], n);
                more &= !c->gave_up;
        }
        return more;
}

bool ring_put(struct ring *r, size_t n)
{
        bool more = true;

        if (!r->threads)
                return put_here(r, n);
        pthread_mutex_lock(&r->mutex);
        r->fill[r->head++ % RING_CHUNKS] = n;
        for (unsigned i = 0; i < r->nconsumers; i++)
                more &= !r->consumers[i].gave_up;
        pthread_cond_broadcast(&r->moved);
        pthread_mutex_unlock(&r->mutex);
        return more;
}

void ring_end(struct ring *r)
{
        if (!r->threads)
                return;
        pthread_mutex_lock(&r->mutex);
        r->ended = true;
        pthread_cond_broadcast(&r->moved);
        pthread_mutex_unlock(&r->mutex);
        for (unsigned i = 0; i < r->nconsumers; i++)
                pthread_join(r->consumers[i].thread, NULL);
        r->threads = false;
}

void ring_done(struct ring *r)
{
        for (size_t i = 0; i < RING_CHUNKS; i++)
                free(r->chunks[i]);
        pthread_cond_destroy(&r->moved);
        pthread_mutex_destroy(&r->mutex);
}
