/* Reading a container's log files, across rotations, in the formats of monitor/log-file.h. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "monitor/log-file.h"

struct log_record {
        int64_t time_ns;  /* since 1970 */
        const char *time; /* as it is written, ended by a NUL */
        enum log_stream stream;
        bool partial; /* no newline follows: the rest is in the next record */
        const char *text;
        size_t len;
};
/* Parses one line without its newline (pure; fuzzed). time must have LOG_TIME_CAP bytes; a JSON
 * line's text is unescaped in place. False: it is none. */
#define LOG_TIME_CAP 40
bool log_record_parse(enum log_driver driver, char *line, size_t n, char time[LOG_TIME_CAP],
                      struct log_record *ret);
/* "2026-01-02T15:04:05.5Z", with an offset too: ns since 1970. 0 or -EINVAL. */
int log_time_parse(const char *text, int64_t *ret_ns);
/* The same, or "10m", "1h30m" ago, or seconds since 1970 ("1700000000.5"): what --since takes. */
int log_time_arg(const char *text, int64_t now_ns, int64_t *ret_ns);

/* --since and --until, either of which may be NULL; what isn't given stays as it is.
 * ERR_INVALID. */
int log_range_arg(const char *since, const char *until, int64_t now_ns, int64_t *ret_since,
                  int64_t *ret_until, struct err *e);

struct log_query {
        enum log_driver driver;
        int dir;              /* of ctr.log */
        const char *id;       /* of the container */
        int64_t since, until; /* ns; 0: no limit */
        int64_t tail;         /* records (lines) from the end; -1: all */
        bool follow;
        /* Whether more may come; NULL: never. Asked before each wait while following. */
        bool (*alive)(void *ctx);
        /* Called for each record; nonzero ends it. */
        int (*put)(void *ctx, const struct log_record *r);
        void *ctx;
};
#define LOG_CURSOR_CAP 512
struct log_export {
        char time[LOG_TIME_CAP];
        char cursor[LOG_CURSOR_CAP]; /* journalctl's name for it */
        struct log_record r;
};
/* One entry of the journal's export format at *at, which moves past it: its text stays where it is.
 * False: it is not whole yet. Pure, and fuzzed. */
bool log_export_read(const char **at, const char *end, struct log_export *ret);
/* logs_read() of LOG_DRIVER_JOURNALD. */
int logs_read_journald(const struct log_query *q, struct err *e);
/* Reads; with follow waits for more (inotify) until alive() says no and everything was read. */
int logs_read(const struct log_query *q, struct err *e);
