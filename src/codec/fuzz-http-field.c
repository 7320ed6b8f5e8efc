/* Every reader of fields sees every text; what is accepted keeps the header's promises. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec/http-field.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_challenges(struct arena *a, const char *field)
{
        struct http_challenges c = { 0 };

        if (http_challenges_add(a, field, &c) < 0 && c.n)
                abort();
        for (size_t i = 0; i < c.n; i++) {
                if (!*c.v[i].scheme || c.v[i].nparams > HTTP_PARAMS_MAX)
                        abort();
                for (size_t j = 0; j < c.v[i].nparams; j++)
                        if (!c.v[i].params[j].name[0] || !c.v[i].params[j].value)
                                abort();
        }
}

static void check_numbers(const char *field)
{
        struct http_range range;
        struct http_rate rate;
        uint64_t next;
        uint32_t seconds;

        if (http_content_range(field, &range) == 0 && !range.unsatisfied &&
            (range.first > range.last || range.last >= range.size))
                abort();
        if (http_retry_after(field, 0, &seconds) == 0 && seconds > 86400)
                abort();
        http_upload_range(field, &next);
        http_rate(field, &rate);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO_ARENA a = { 0 };
        const char *field = arena_strndup(&a, (const char *)data, size), *text = NULL;

        check_challenges(&a, field);
        check_numbers(field);
        if (http_link(&a, field, "next", &text) == 0 && strlen(text) >= size)
                abort();
        if (http_warning(&a, field, &text) == 0 && strlen(text) >= size)
                abort();
        return 0;
}
