/* A bounded ring of buffers between one producer and up to two consumers, each in a thread of its
 * own, all of whom see every buffer. Without consumers' threads (ring_start with none) each buffer
 * is consumed in the producer's. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_CHUNKS 6
#define RING_CONSUMERS 2

/* Not called again once it has returned false. */
typedef bool ring_fn(void *ctx, const uint8_t *p, size_t n);

struct ring;
struct ring_consumer {
        struct ring *ring;
        ring_fn *fn;
        void *ctx;
        pthread_t thread;
        uint64_t tail; /* chunks consumed */
        bool gave_up;  /* its fn returned false */
};
struct ring {
        pthread_mutex_t mutex;
        pthread_cond_t moved;
        uint8_t *chunks[RING_CHUNKS];
        size_t fill[RING_CHUNKS];
        size_t cap;
        uint64_t head; /* chunks produced */
        bool ended;
        bool threads;
        unsigned nconsumers;
        struct ring_consumer consumers[RING_CONSUMERS];
};

void ring_init(struct ring *r, size_t chunk);
void ring_consumer_add(struct ring *r, ring_fn *fn, void *ctx);
/* Starts a thread for each consumer. 0 or -errno (then none is left). */
int ring_start(struct ring *r);
/* The buffer to fill; waits for one to be free. */
uint8_t *ring_buffer(struct ring *r);
/* Hands it over with n bytes. False: a consumer wants no more. */
bool ring_put(struct ring *r, size_t n);
/* Waits until all is consumed and the threads have ended. */
void ring_end(struct ring *r);
void ring_done(struct ring *r);
