/* Platforms by their names, and any two strings as an index might pair them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "image/platform.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO_ARENA a = { 0 };
        const char *text = arena_strndup(&a, (const char *)data, size);
        struct platform p, again, raw;

        if (platform_parse(&a, text, &p, NULL) < 0)
                return 0;
        if (platform_match(&p, &p) != 0)
                abort();
        if (platform_parse(&a, platform_str(&a, &p), &again, NULL) < 0 ||
            platform_match(&p, &again) != 0)
                abort();
        raw = (struct platform){ p.os, text, NULL, NULL };
        if (platform_match(&p, &raw) > 100)
                abort();
        return 0;
}
