/* Whatever is accepted is a tree that can be written as JSON and read back; errors are inside the
 * text. */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "codec/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF out = { 0 };
        struct toml_error e = { 0 };
        struct json j;

        if (toml_parse(&a, (const char *)data, size, &j, &e) < 0) {
                if (!e.what || e.line == 0 || e.column == 0 || e.line + e.column > size + 2)
                        abort();
                return 0;
        }
        json_put(&(struct json_writer){ .out = &out }, NULL, &j);
        /* Keys may hold what ours in JSON may not (nothing but U+0000, which neither takes). */
        if (json_parse(&a, out.s, out.len,
                       &(struct json_limits){
                               .bytes = 64u << 20, .depth = 4096, .memory = 256u << 20 },
                       &j, NULL) < 0)
                abort();
        return 0;
}
