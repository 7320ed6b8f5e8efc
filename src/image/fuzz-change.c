/* --change: what is accepted gives a configuration that is JSON without duplicate keys. */
#include <stdint.h>
#include <stdlib.h>

#include "codec/json.h"
#include "image/compose.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF out = { 0 };
        const char *text = arena_strndup(&a, (const char *)data, size);
        struct strings changes = { (const char *[]){ text, text }, 2 };
        struct image_config c = { 0 };
        struct json j;
        struct err e = { 0 };

        if (compose_change(&a, &changes, &c, &e) < 0)
                return 0;
        compose_config(&c, &out);
        if (json_parse(&a, out.s, out.len, NULL, &j, NULL) < 0)
                abort();
        return 0;
}
