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
/* One log that is being read, maybe beside others. */
struct log_source;
/* q must last as long. */
int logs_open(const struct log_query *q, struct log_source **ret, struct err *e);
/* Puts out all that is there; true: that was all, for without follow it is, and with it alive()
 * says no. Else to be called again when logs_fd() can be read, and every LOGS_QUIET_MS. */
bool logs_step(struct log_source *s);
int logs_fd(const struct log_source *s);
void logs_close(struct log_source *s); /* NULL is fine */
#define LOGS_QUIET_MS 500

/* The same of LOG_DRIVER_JOURNALD. */
struct log_journal;
int log_journal_open(const struct log_query *q, struct log_journal **ret, struct err *e);
bool log_journal_step(struct log_journal *j);
int log_journal_fd(const struct log_journal *j);
void log_journal_close(struct log_journal *j);
