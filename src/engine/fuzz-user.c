/* /etc/passwd and /etc/group of a container: whatever it wrote there. The first byte says whom to
 * look for, the rest is both files. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        static const char *const whom[] = {
                "root", "0", "web:", "web:web", "1000:1000", ":web", ""
        };
        static const char *groups[] = { "web", "12" };
        const struct strings add = { groups, 2 };
        AUTO_ARENA a = { 0 };
        struct err e = { 0 };
        struct user u;
        const char *text;

        if (n == 0)
                return 0;
        text = arena_strndup(&a, (const char *)data + 1, n - 1);
        if (user_largest_in(text, 65534) > 65534)
                abort();
        if (user_find_in(&a, text, text, whom[data[0] % 7], &add, &u, &e) == 0 &&
            (u.ngids == 0 || u.gids[0] != u.gid || !u.home))
                abort();
        return 0;
}
