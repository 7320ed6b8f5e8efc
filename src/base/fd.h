/* File descriptors: ownership, whole reads and writes, and passing them over a socket.
 *
 * Every descriptor is born close-on-exec. Functions return 0 (or a descriptor) or -errno. */
#pragma once

#include <stddef.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/macro.h"

/* Closes fd unless it is negative; keeps errno. Always returns -1: `fd = fd_close(fd)`. */
int fd_close(int fd);

static inline void fd_close_p(int *fd)
{
        fd_close(*fd);
}
/* Unused ones too hold what they opened until the end of their scope. */
#define AUTO_FD __attribute__((cleanup(fd_close_p), unused))
#define TAKE_FD(fd)                                                                                \
        ({                                                                                         \
                int take_ = (fd);                                                                  \
                (fd) = -1;                                                                         \
                take_;                                                                             \
        })

/* Writes all n bytes, over EINTR and short writes. A write to a cgroup or procfs file must be one
 * call: use write(2) itself there, through fd_put_at(). */
int fd_write_all(int fd, const void *p, size_t n);
/* Opens dir/path for writing and writes text with a single write(2). */
int fd_put_at(int dir, const char *path, const char *text);

/* Reads until the end of the file or until cap - 1 bytes, and ends buf with a NUL. Returns the
 * length, or -EFBIG where the file holds more. */
ssize_t fd_read_text(int fd, char *buf, size_t cap);
ssize_t fd_read_text_at(int dir, const char *path, char *buf, size_t cap);
/* Reads a whole file into the heap, ended by a NUL: *ret_data is the caller's to free, *ret_len
 * does not count the NUL. -EFBIG beyond limit bytes, without having read the rest. */
int fd_read_file_at(int dir, const char *path, size_t limit, char **ret_data, size_t *ret_len);
/* The same of a regular file; -EINVAL for anything else, without waiting for a FIFO's writer. */
int fd_read_regular_at(int dir, const char *path, size_t limit, char **ret_data, size_t *ret_len);

/* Replaces dir/name by data: written to a temporary in dir, then renamed over it. With sync, file
 * and directory are flushed, so that a power cut leaves the old content or the new. */
int fd_replace_at(int dir, const char *name, const void *data, size_t n, mode_t mode, int sync);

/* Sends or receives n bytes with up to FD_PASS_MAX descriptors as one message (unix(7)
 * SCM_RIGHTS). fd_recv returns the length, 0 at the end; *nfds is in: room, out: how many came.
 * Of a message that did not fit (-EMSGSIZE) no descriptor is kept. */
#define FD_PASS_MAX 64
int fd_send(int sock, const void *p, size_t n, const int *fds, size_t nfds);
ssize_t fd_recv(int sock, void *p, size_t n, int *fds, size_t *nfds);

/* A path that names fd in this process's procfs view: "/proc/self/fd/N". */
struct fd_path {
        char s[32];
};
struct fd_path fd_path(int fd);
