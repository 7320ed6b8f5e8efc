#include "image/unpack-headers.h"

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "codec/inflate.h"
#include "image/unpack.h"

#define FLUSH_AT (64u << 10)
#define LEVEL 1

static void drain(struct headers_writer *h, bool last)
{
        const uint8_t *in = (const uint8_t *)buf_str(&h->records);
        size_t n = h->records.len;
        uint8_t out[16384];
        int64_t got;

        while ((got = deflate_run(h->deflate, &in, &n, out, sizeof out, last)) > 0)
                if (h->error == 0)
                        h->error = fd_write_all(h->fd, out, (size_t)got);
        buf_clear(&h->records);
}

static void number(struct headers_writer *h, uint64_t v)
{
        for (; v >= 0x80; v >>= 7)
                buf_putc(&h->records, (char)(v | 0x80));
        buf_putc(&h->records, (char)v);
}

static void data_flush(struct headers_writer *h)
{
        if (h->data == 0)
                return;
        buf_putc(&h->records, 'C');
        number(h, h->data);
        h->data = 0;
}

static void record(struct headers_writer *h, char tag, const void *p, size_t n)
{
        data_flush(h);
        if (h->records.len >= FLUSH_AT)
                drain(h, false);
        buf_putc(&h->records, tag);
        number(h, n);
        buf_add(&h->records, p, n);
}

void headers_begin(struct headers_writer *h, int fd)
{
        *h = (struct headers_writer){ .fd = fd };
        h->deflate = deflate_new(COMPRESSION_ZSTD, LEVEL);
        buf_puts(&h->records, "berth-headers 1\n");
}

void headers_literal(struct headers_writer *h, const void *p, size_t n)
{
        if (n > 0)
                record(h, 'L', p, n);
}

void headers_file(struct headers_writer *h, const char *dir, const char *name)
{
        if (strcmp(buf_str(&h->dir), dir) != 0) {
                buf_clear(&h->dir);
                buf_puts(&h->dir, dir);
                record(h, 'D', dir, strlen(dir));
        }
        record(h, 'F', name, strlen(name));
        h->at = 0;
}

void headers_data(struct headers_writer *h, uint64_t offset, size_t n)
{
        if (offset != h->at) {
                data_flush(h);
                buf_putc(&h->records, 'S');
                number(h, offset);
        }
        h->data += n;
        h->at = offset + n;
}

void headers_moved(struct headers_writer *h, const char *path, uint64_t k)
{
        record(h, 'M', path, strlen(path));
        number(h, k);
}

int headers_end(struct headers_writer *h)
{
        data_flush(h);
        buf_putc(&h->records, 'E');
        drain(h, true);
        return h->error;
}

void headers_done(struct headers_writer *h)
{
        h->fd = fd_close(h->fd);
        deflate_free(h->deflate);
        buf_done(&h->records);
        buf_done(&h->dir);
}
