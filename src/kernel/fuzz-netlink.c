/* Answers that are none: whatever lengths they claim, no more than the bytes received is looked at,
 * and the walk comes to its end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/macro.h"
#include "kernel/netlink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(const void *p, size_t n, const void *in, size_t in_n)
{
        const char *a = p, *b = in;

        if (a < b || n > in_n || (size_t)(a - b) > in_n - n)
                abort();
}

static unsigned attrs(const void *p, size_t n, size_t at, int depth)
{
        struct netlink_attr a;
        unsigned count = 0;
        const char *text;
        uint32_t v;
        int r;

        while ((r = netlink_attr_next(p, n, &at, &a)) == 1) {
                inside(a.p, a.n, p, n);
                if (++count > n / 4)
                        abort();
                if (netlink_attr_str(&a, &text) == 0 && strlen(text) + 1 != a.n)
                        abort();
                netlink_attr_u32(&a, &v);
                if (depth < 4)
                        attrs(a.p, a.n, 0, depth + 1);
        }
        return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct netlink_msg m;
        size_t at = 0;

        while (netlink_next(data, size, &at, &m) == 1) {
                inside(m.body, m.n, data, size);
                attrs(m.body, m.n, MIN(m.n, (size_t)16), 0);
        }
        return 0;
}
