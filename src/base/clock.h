/* The clocks as one number. Timeouts use the monotonic one, which no jump of the other changes. */
#pragma once

#include <stdint.h>
#include <time.h>

/* ns since 1970. */
static inline int64_t clock_now_ns(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ms of the monotonic clock, for deadlines. */
static inline int64_t clock_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
