/* A template, a NUL, and the JSON that it is run over: whatever they are, it ends within its
 * limits, and a second run gives the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char usual[] = "{\"A\":[1,\"x\",{\"B\":null}],\"C\":{\"d\":true},\"E\":\"f\"}";
        AUTO_ARENA a = { 0 };
        AUTO_BUF once = { 0 };
        AUTO_BUF again = { 0 };
        const char *text = arena_strndup(&a, (const char *)data, size), *json = usual;
        size_t n = strlen(text);
        struct template *t;
        struct err e = { 0 };
        struct json dot;
        int first;

        if (size > 4096)
                return 0;
        if (n < size)
                json = text + n + 1;
        if (json_parse(&a, json, strlen(json), NULL, &dot, NULL) < 0)
                return 0;
        if (template_parse(&a, text, &t, &e) < 0) {
                if (!*e.chain)
                        abort();
                return 0;
        }
        first = template_run(t, &a, &dot, &once, &e);
        if (first < 0 && !*e.chain)
                abort();
        if (template_run(t, &a, &dot, &again, NULL) != first ||
            !str_eq(buf_str(&once), buf_str(&again)))
                abort();
        return 0;
}
