/* systemd's journal as `journalctl --output=export` writes it: what is given piece by piece is read
 * as what is given whole. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/logs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        const char *text = (const char *)data, *at = text, *end = text + n;
        struct log_export x;

        for (const char *before = at; log_export_read(&at, end, &x); before = at)
                if (at <= before || at > end || !memchr(x.time, 0, sizeof x.time) ||
                    !memchr(x.cursor, 0, sizeof x.cursor) ||
                    (x.r.len && (x.r.text < before || x.r.text + x.r.len > at)))
                        abort();
        if (at != text && n > 1) {
                const char *first = text;

                /* The first entry is whole without its last byte in no case. */
                at = text;
                log_export_read(&at, end, &x);
                end = at - 1;
                if (log_export_read(&first, end, &x) && first > end)
                        abort();
        }
        return 0;
}
