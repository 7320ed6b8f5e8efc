#include "base/value.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"

struct strings strings_both(struct arena *a, const struct strings *x, const struct strings *y)
{
        struct strings both = { arena_array(a, const char *, x->n + y->n + 1), 0 };

        for (size_t i = 0; i < x->n; i++)
                both.v[both.n++] = x->v[i];
        for (size_t i = 0; i < y->n; i++)
                both.v[both.n++] = y->v[i];
        return both;
}

struct key_values key_values_of(struct arena *a, const struct strings *list)
{
        struct key_values v = { arena_array(a, struct key_value, list->n + 1), list->n };

        for (size_t i = 0; i < list->n; i++) {
                const char *text = list->v[i], *eq = strchr(text, '=');

                v.v[i].key = eq ? arena_strndup(a, text, (size_t)(eq - text)) : text;
                v.v[i].value = eq ? eq + 1 : "";
        }
        return v;
}

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
