/* monitor.json: the engine's own, but whoever can write the store can edit it. What was read is
 * written and read again: the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "monitor/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int read_again(const struct buf *first)
{
        struct monitor_config c = { 0 };
        AUTO_ARENA a = { 0 };
        struct err e = { 0 };
        AUTO_BUF second = { 0 };

        if (monitor_config_read(&a, first->s, first->len, &c, &e) < 0)
                return -1;
        monitor_config_write(&c, &second);
        return first->len == second.len && memcmp(first->s, second.s, second.len) == 0 ? 0 : -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct monitor_config c = { 0 };
        AUTO_ARENA a = { 0 };
        struct err e = { 0 };
        AUTO_BUF text = { 0 };

        if (monitor_config_read(&a, (const char *)data, n, &c, &e) < 0)
                return 0;
        monitor_config_write(&c, &text);
        if (read_again(&text) < 0)
                abort();
        return 0;
}
