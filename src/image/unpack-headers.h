/* layer.headers: how to put the exact archive together again from an unpacked tree. It holds the
 * archive's bytes that are no file's content, and for those that are, which file has them.
 *
 * A zstd stream of "berth-headers 1\n" and records; numbers are LEB128, paths are relative:
 *   L n bytes      these n bytes come next
 *   D n path       the directory of the files that follow ("": the root)
 *   F n name       a file in it; C begins at its byte 0
 *   S offset       C goes on at this byte
 *   C n            n bytes of the file come next
 *   M n path k     what was at path until here is now replaced/k
 *   E              the end */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct deflate;
struct headers_writer {
        int fd;
        struct deflate *deflate;
        struct buf records;
        struct buf dir;    /* the last D */
        uint64_t at, data; /* position in the file; bytes of it not yet in a record */
        int error;
};
void headers_begin(struct headers_writer *h, int fd); /* fd becomes h's */
void headers_literal(struct headers_writer *h, const void *p, size_t n);
void headers_file(struct headers_writer *h, const char *dir, const char *name);
void headers_data(struct headers_writer *h, uint64_t offset, size_t n);
void headers_moved(struct headers_writer *h, const char *path, uint64_t number);
/* Writes the rest. 0, or the first error of them all (-errno). */
int headers_end(struct headers_writer *h);
void headers_done(struct headers_writer *h);
