/* The files that exec --process and update --resources read. */
#include <stdint.h>
#include <stdlib.h>

#include "oci/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO_ARENA a = { 0 };
        struct spec_resources r;
        struct spec_process p;
        struct err e = { 0 };

        if (spec_parse_process(&a, (const char *)data, size, &p, &e) < 0) {
                if (e.code == ERR_NONE || !e.chain[0])
                        abort();
        } else if (p.cwd[0] != '/' || p.args.n == 0) {
                abort();
        }
        if (spec_parse_resources(&a, (const char *)data, size, &r, &e) < 0 && !e.chain[0])
                abort();
        return 0;
}
