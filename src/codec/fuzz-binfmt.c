/* A program that a container brought along, looked at by the runtime. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec/binfmt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct file {
        const uint8_t *data;
        size_t size;
};

static ssize_t read_file(void *context, void *buf, size_t n, uint64_t offset)
{
        const struct file *f = context;

        if (offset >= f->size)
                return 0;
        if (n > f->size - offset)
                n = f->size - offset;
        memcpy(buf, f->data + offset, n);
        return (ssize_t)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct file f = { data, size };
        struct binfmt_source s = { read_file, &f, size };
        struct binfmt b;

        if (binfmt_inspect(&s, &b) < 0 || b.kind >= BINFMT_KIND_MAX || b.fault >= BINFMT_FAULT_MAX)
                abort();
        if ((size == 0) != (b.kind == BINFMT_EMPTY) || (b.kind == BINFMT_OTHER) != (b.what != NULL))
                abort();
        if (!memchr(b.path, 0, sizeof b.path) || !memchr(b.argument, 0, sizeof b.argument))
                abort();
        if (b.kind == BINFMT_SCRIPT && b.fault == BINFMT_FINE && !b.path[0])
                abort();
        return 0;
}
