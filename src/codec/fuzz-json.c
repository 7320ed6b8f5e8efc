/* Whatever the reader accepts, the writer must write so that it reads back as the same text. */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/str.h"
#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct json_limits limits = { .bytes = 1 << 20,
                                                   .depth = 32,
                                                   .memory = 4 << 20 };
        AUTO_ARENA a = { 0 };
        AUTO_BUF once = { 0 };
        AUTO_BUF again = { 0 };
        struct json_error e = { 0 };
        struct json j;

        if (json_parse(&a, (const char *)data, size, &limits, &j, &e) < 0) {
                if (!e.what || e.offset > size || e.line == 0 || e.column == 0)
                        abort();
                return 0;
        }
        json_put(&(struct json_writer){ .out = &once, .indent = size % 3 }, NULL, &j);
        if (json_parse(&a, once.s, once.len, NULL, &j, &e) < 0)
                abort();
        json_put(&(struct json_writer){ .out = &again, .indent = size % 3 }, NULL, &j);
        if (!str_eq(buf_str(&once), buf_str(&again)))
                abort();
        return 0;
}
