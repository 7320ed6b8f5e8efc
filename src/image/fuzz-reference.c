/* Names as strangers type them. What is accepted reads the same when it is written and read. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "image/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO_ARENA a = { 0 };
        const char *text = arena_strndup(&a, (const char *)data, size);
        struct reference r, again;
        const char *full;

        if (reference_parse(&a, text, &r, NULL) < 0)
                return 0;
        if (strstr(r.path, "..") || r.path[0] == '/' || (r.tag && !reference_tag_ok(r.tag)))
                abort();
        reference_default(&a, &r);
        full = reference_str(&a, &r);
        if (reference_parse(&a, full, &again, NULL) < 0 || !str_eq(reference_str(&a, &again), full))
                abort();
        if (reference_parse(&a, reference_familiar(&a, &r), &again, NULL) < 0)
                abort();
        reference_default(&a, &again);
        if (!str_eq(reference_str(&a, &again), full))
                abort();
        return 0;
}
