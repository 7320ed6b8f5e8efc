#include "base/value.h"

#include <string.h>

#include "base/str.h"

bool key_values_match(const struct key_values *l, const char *wanted)
{
        const char *eq = strchr(wanted, '=');
        size_t n = eq ? (size_t)(eq - wanted) : strlen(wanted);

        for (size_t i = 0; i < l->n; i++)
                if (strlen(l->v[i].key) == n && memcmp(l->v[i].key, wanted, n) == 0 &&
                    (!eq || str_eq(l->v[i].value, eq + 1)))
                        return true;
        return false;
}
