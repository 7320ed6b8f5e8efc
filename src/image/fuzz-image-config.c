/* Image configurations, which anyone may have written. */
#include <stdint.h>
#include <stdlib.h>

#include "image/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO_ARENA a = { 0 };
        char chain[DIGEST_CAP];
        struct image_config c;

        if (image_config_parse(&a, (const char *)data, size, &c, NULL) < 0)
                return 0;
        for (size_t i = 0; i < c.diff_ids.n; i++)
                if (digest_check(c.diff_ids.v[i], NULL) < 0)
                        abort();
        if (c.diff_ids.n) {
                chain_id(&c.diff_ids, c.diff_ids.n > 8 ? 8 : c.diff_ids.n, chain);
                if (digest_check(chain, NULL) < 0)
                        abort();
        }
        image_time(c.created);
        for (size_t i = 0; i < c.nhistory; i++)
                image_time(c.history[i].created);
        return 0;
}
