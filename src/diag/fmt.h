/* Numbers as an operator reads them, short and fixed in form. Each returns its text by value. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "diag/facts.h"

struct fmt {
        char s[48];
};

struct fmt fmt_bytes(uint64_t bytes); /* "512", "182K", "1.5G": powers of 1024, three digits */
struct fmt fmt_ms(uint64_t ms);       /* "3h12m", "4.2s", "23ms" */
struct fmt fmt_milli(uint64_t milli); /* "0.20", "2", "12.5" */
struct fmt fmt_u64(uint64_t v);
/* The same for numbers that may be unknown: "unlimited", else "unavailable". */
struct fmt fmt_num(struct num n, struct fmt (*known)(uint64_t));
