/* container.json: the engine's own, but whoever can write the store can edit it. Written again it
 * reads the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "engine/ctr-internal.h"
#include "engine/userns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        AUTO_ARENA a = { 0 };
        struct err e = { 0 };
        AUTO_BUF once = { 0 };
        AUTO_BUF twice = { 0 };
        struct ctr c, again;
        struct userns u;

        if (ctr_record_read(&a, arena_strndup(&a, (const char *)data, n), &c, &e) < 0)
                return 0;
        if (c.entrypoint > c.command.n)
                abort();
        userns_read(&a, c.record, &u);
        ctr_record_again(&c, &once);
        if (ctr_record_read(&a, buf_str(&once), &again, &e) < 0 || !str_eq(again.id, c.id) ||
            !str_eq(again.name, c.record->n ? c.name : ""))
                abort();
        ctr_record_again(&again, &twice);
        if (once.len != twice.len || memcmp(once.s, twice.s, once.len) != 0)
                abort();
        return 0;
}
