/* A container's output on disk: lines with their time and stream, in one of two formats that other
 * tools read, in files that rotate by size.
 *
 *   k8s-file    2006-01-02T15:04:05.000000000Z stdout F text   (Kubernetes' CRI logging format)
 *   json-file   {"log":"text\n","stream":"stdout","time":"2006-01-02T15:04:05.000000000Z"}
 *   (docker's)
 *
 * A line is what ends in a newline. One longer than LOG_LINE_MAX is written in pieces, each but
 * the last marked (tag P; in JSON no "\n"), which readers join. Bytes that have come without
 * their newline wait for it; log_file_idle() writes them as a piece, so that a prompt is seen.
 *
 * Nothing is allocated after log_file_open(). Functions return 0 or -errno. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_driver {
        LOG_DRIVER_K8S,
        LOG_DRIVER_JSON,
        LOG_DRIVER_JOURNALD,    /* log-journald.h; no file */
        LOG_DRIVER_PASSTHROUGH, /* the caller's own streams: nothing comes here */
        LOG_DRIVER_NONE,
        LOG_DRIVER_MAX
};
/* Whether it writes files. */
static inline bool log_driver_is_file(enum log_driver d)
{
        return d == LOG_DRIVER_K8S || d == LOG_DRIVER_JSON;
}
extern const char
        *const log_driver_names[LOG_DRIVER_MAX + 1]; /* "k8s-file", ...; for option tables */

enum log_stream { LOG_STDOUT, LOG_STDERR, LOG_STREAM_MAX };

#define LOG_LINE_MAX 16384 /* what docker and Kubernetes' readers expect */

struct log_file {
        enum log_driver driver;
        int dir;            /* of the file; not ours */
        char name[64];      /* NAME; older ones are NAME.1, NAME.2, ...; for a moment, NAME.new */
        uint64_t max_size;  /* bytes after which it rotates; 0: never */
        unsigned max_files; /* how many are kept, the current one counted; at least 1 */
        const char *fields; /* of journald's entries, see log-journald.h */
        size_t fields_len;
        int fd;
        uint64_t size;
        bool rotating; /* fd is NAME.new yet */
        struct log_pending {
                char *text; /* the beginning of a line */
                size_t len;
                bool partial; /* pieces of this line are on disk already */
        } pending[LOG_STREAM_MAX];
        char *out; /* formatted lines that are not written yet */
        size_t out_len;
        uint64_t lost; /* bytes of output that could not be written (a full disk) */
        int failed;    /* the errno of that, until a write succeeds again */
};

/* Opens (appending) or creates it; zero *l but for driver, dir, name and the limits. */
int log_file_open(struct log_file *l);
/* Takes n bytes that the container wrote to a stream. It always takes them: where they can't be
 * written, they are counted in lost, for a full disk must not stop the container. */
void log_file_put(struct log_file *l, enum log_stream s, const char *p, size_t n);
/* Writes what waits for a newline. */
void log_file_idle(struct log_file *l);
/* Ends the lines that were begun: whoever wrote them is gone. */
void log_file_end(struct log_file *l);
bool log_file_waiting(const struct log_file *l);
/* Starts over in a new file of this name: whoever rotates from outside has renamed the old one. */
int log_file_reopen(struct log_file *l);
/* Writes what is left (the last line may lack its newline) and closes. */
void log_file_close(struct log_file *l);
