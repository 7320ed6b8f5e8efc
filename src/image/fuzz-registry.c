/* What berth-fetch reads of strangers' answers beside the fields of HTTP itself: bodies of errors,
 * Locations, limits, and where an answer says that its bytes belong. The first byte tells which. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "image/registry-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void printable(const char *s)
{
        for (; *s; s++)
                if ((unsigned char)*s < 0x20 || (unsigned char)*s >= 0x7f)
                        abort();
}

static void read_error(struct arena *a, const char *text, size_t n)
{
        const char *code;
        const char *said = error_body(a, text, n, &code);

        printable(code);
        if (said)
                printable(said);
}

static void read_location(struct arena *a, const char *text, size_t n)
{
        const char *reference = arena_strndup(a, text, n), *url;
        struct origin o;

        if (url_resolve(a, "https://registry.test:5000/v2/a/b/blobs/x?y=z", reference, &url, NULL) <
            0)
                return;
        if (!str_after(url, "http://") && !str_after(url, "https://"))
                abort();
        if (url_origin(url, &o) == 0 && strchr(o.host, '@'))
                abort();
}

static void read_rate(struct arena *a, const char *text, size_t n)
{
        char out[80], *limit = arena_strndup(a, text, n), *remaining = strchr(limit, '\n');

        if (!remaining)
                return;
        *remaining++ = 0;
        if (rate_text(limit, remaining, out, sizeof out))
                printable(out);
}

/* A blob of 1000 bytes of which 100 are there; what follows the line is what comes. */
static void read_range(struct arena *a, const char *text, size_t n)
{
        char *field = arena_strndup(a, text, n), *rest = strchr(field, '\n');
        struct flow f = { .fd = open("/dev/null", O_WRONLY | O_CLOEXEC), .size = 1000, .at = 100 };

        if (rest) {
                *rest++ = 0;
                if (flow_begin(&f, 206, field)) {
                        if (f.pos > f.at)
                                abort();
                        flow_put(&f, rest, n - (size_t)(rest - field));
                        if (f.at > f.size || f.at < 100)
                                abort();
                }
        }
        flow_done(&f);
        close(f.fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static void (*const readers[])(struct arena * a, const char *text,
                                       size_t n) = { read_error, read_location, read_rate,
                                                     read_range };
        AUTO_ARENA a = {};

        if (size > 0 && data[0] >= 'a' && data[0] < 'a' + (int)ARRAY_SIZE(readers))
                readers[data[0] - 'a'](&a, (const char *)data + 1, size - 1);
        return 0;
}
