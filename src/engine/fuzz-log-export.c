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
        char time[LOG_TIME_CAP];
        struct log_record r;

        for (const char *before = at; log_export_read(&at, end, time, &r); before = at)
                if (at <= before || at > end || !memchr(time, 0, sizeof time) ||
                    (r.len && (r.text < before || r.text + r.len > at)))
                        abort();
        if (at != text && n > 1) {
                const char *first = text;

                /* The first entry is whole without its last byte in no case. */
                at = text;
                log_export_read(&at, end, time, &r);
                end = at - 1;
                if (log_export_read(&first, end, time, &r) && first > end)
                        abort();
        }
        return 0;
}
