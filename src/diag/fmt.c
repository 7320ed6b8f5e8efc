#include "diag/fmt.h"

#include <stdio.h>
#include <string.h>

struct fmt fmt_u64(uint64_t v)
{
        struct fmt f;

        snprintf(f.s, sizeof f.s, "%llu", (unsigned long long)v);
        return f;
}

struct fmt fmt_bytes(uint64_t bytes)
{
        static const char units[] = "KMGTPE";
        uint64_t tenths = bytes;
        int unit = -1;
        struct fmt f;

        if (bytes < 1024)
                return fmt_u64(bytes);
        /* Tenths of the unit, rounded down, without losing the top bits. */
        while (tenths >= 1024) {
                bytes = tenths;
                tenths /= 1024;
                unit++;
        }
        if (tenths < 10 && bytes % 1024 * 10 / 1024 > 0)
                snprintf(f.s, sizeof f.s, "%u.%u%c", (unsigned)tenths,
                         (unsigned)(bytes % 1024 * 10 / 1024), units[unit]);
        else
                snprintf(f.s, sizeof f.s, "%u%c", (unsigned)tenths, units[unit]);
        return f;
}

struct fmt fmt_milli(uint64_t milli)
{
        unsigned hundredths = (unsigned)(milli % 1000 / 10);
        struct fmt f;

        if (hundredths == 0)
                return fmt_u64(milli / 1000);
        snprintf(f.s, sizeof f.s, "%llu.%02u", (unsigned long long)(milli / 1000), hundredths);
        return f;
}

struct fmt fmt_ms(uint64_t ms)
{
        uint64_t s = ms / 1000;
        struct fmt f;

        if (ms < 1000)
                snprintf(f.s, sizeof f.s, "%ums", (unsigned)ms);
        else if (s < 60)
                snprintf(f.s, sizeof f.s, "%llu.%us", (unsigned long long)s,
                         (unsigned)(ms % 1000 / 100));
        else if (s < 3600)
                snprintf(f.s, sizeof f.s, "%llum%02us", (unsigned long long)(s / 60),
                         (unsigned)(s % 60));
        else if (s < 86400)
                snprintf(f.s, sizeof f.s, "%lluh%02um", (unsigned long long)(s / 3600),
                         (unsigned)(s / 60 % 60));
        else
                snprintf(f.s, sizeof f.s, "%llud%02uh", (unsigned long long)(s / 86400),
                         (unsigned)(s / 3600 % 24));
        return f;
}

struct fmt fmt_num(struct num n, struct fmt (*known)(uint64_t))
{
        struct fmt f;

        if (num_known(n))
                return known(n.v);
        snprintf(f.s, sizeof f.s, "%s", n.is == NUM_MAX ? "unlimited" : "unavailable");
        return f;
}
