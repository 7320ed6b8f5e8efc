/* What unit tests include: cmocka with the headers that it wants first, and repeatable random
 * numbers. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* xorshift64*: the same sequence everywhere; *seed must not be 0. */
static inline uint64_t test_random(uint64_t *seed)
{
        *seed ^= *seed >> 12;
        *seed ^= *seed << 25;
        *seed ^= *seed >> 27;
        return *seed * 0x2545f4914f6cdd1dull;
}

/* Skips the rest of a test; the reason is listed by ./check. */
#define test_skip(reason)                                                                          \
        do {                                                                                       \
                print_message("SKIP: %s\n", reason);                                               \
                skip();                                                                            \
        } while (0)
