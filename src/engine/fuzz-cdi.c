/* A vendor's CDI file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/devices.h"
#include "engine/mounts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        AUTO_ARENA a = { 0 };
        struct err e = { 0 };
        struct devices d = { 0 };
        struct mounts m = { 0 };

        if (!cdi_add_text(&a, "vendor.com/class=one", (const char *)data, n, &d, &m, &e))
                return 0;
        for (size_t i = 0; i < m.n; i++)
                if (m.v[i].destination[0] != '/')
                        abort();
        for (size_t i = 0; i < d.n_hooks; i++)
                if (!d.hooks[i].path)
                        abort();
        return 0;
}
