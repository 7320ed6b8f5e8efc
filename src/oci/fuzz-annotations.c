/* Annotations "org.systemd.property.*": any value (before 0xff a name) gives an error or exactly
 * one line of the helper's protocol, without bytes that could end it early. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "oci/systemd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const struct buf *out)
{
        const char *text = buf_str(out), *end = strchr(text, '\n');

        if (!str_after(text, "property ") || !end || end[1] || strlen(text) != out->len)
                abort();
        for (const char *s = text; s < end; s++)
                if (*s < ' ' || *s > '~')
                        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO_ARENA a = {};
        AUTO_BUF out = {};
        char *text = arena_strndup(&a, (const char *)data, size);
        char *value = memchr(text, 0xff, size);
        struct key_value pair = { "org.systemd.property.Xyz", text };
        struct key_values all = { &pair, 1 };
        struct err e;

        if (value) {
                *value++ = 0;
                pair.key = arena_printf(&a, "org.systemd.property.%s", text);
                pair.value = value;
        }
        if (systemd_annotations(&all, &out, &e) == 0)
                check_line(&out);
        return 0;
}
