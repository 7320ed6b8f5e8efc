#include "monitor/log-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/mem.h"
#include "monitor/log-journald.h"

const char *const log_driver_names[LOG_DRIVER_MAX + 1] = {
        [LOG_DRIVER_K8S] = "k8s-file",      [LOG_DRIVER_JSON] = "json-file",
        [LOG_DRIVER_JOURNALD] = "journald", [LOG_DRIVER_PASSTHROUGH] = "passthrough",
        [LOG_DRIVER_NONE] = "none",
};
static const char *const stream_names[LOG_STREAM_MAX] = { "stdout", "stderr" };

/* A JSON line at its longest: each byte as \u00XX. */
#define RECORD_MAX (6 * LOG_LINE_MAX + 256)
#define OUT_CAP (2 * RECORD_MAX)

#define TIME_LEN 30 /* 2006-01-02T15:04:05.000000000Z */

static void format_time(char ret[TIME_LEN])
{
        struct timespec now;
        char text[128];
        struct tm tm;

        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &tm);
        snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec);
        memcpy(ret, text, TIME_LEN);
}

/* ---- files ---- */

static int open_file(struct log_file *l, const char *name, int flags)
{
        struct stat st;
        int fd = openat(l->dir, name,
                        O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | flags, 0640);

        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
                fd_close(fd);
                return -EINVAL;
        }
        fd_close(l->fd);
        l->fd = fd;
        l->size = (uint64_t)st.st_size;
        return 0;
}

/* A file's name: NAME, NAME.1, ... */
static const char *old_name(const struct log_file *l, unsigned i, char buf[80])
{
        if (i == 0)
                snprintf(buf, 80, "%s", l->name);
        else
                snprintf(buf, 80, "%s.%u", l->name, i);
        return buf;
}

static const char *new_name(const struct log_file *l, char buf[80])
{
        snprintf(buf, 80, "%s.new", l->name);
        return buf;
}

/* Rotation, the first half: from now on lines go to NAME.new. */
static int rotate(struct log_file *l)
{
        char name[80];
        int r = open_file(l, new_name(l, name), O_TRUNC);

        l->rotating = r == 0;
        return r;
}

/* The second half, when it has its first lines, so that the log is never empty for those who
 * look: NAME.2 becomes NAME.3, NAME.1 NAME.2, NAME NAME.1, NAME.new NAME; the oldest goes. Readers
 * open all of them and keep what they have open (engine/logs.c). */
static int publish(struct log_file *l)
{
        char from[80], to[80];

        l->rotating = false;
        for (unsigned i = MAX(l->max_files, 1u) - 1; i > 0; i--)
                if (renameat(l->dir, old_name(l, i - 1, from), l->dir, old_name(l, i, to)) < 0 &&
                    errno != ENOENT)
                        return -errno;
        return renameat(l->dir, new_name(l, from), l->dir, l->name) < 0 ? -errno : 0;
}

/* Cuts at the end of the last line that is wholly on disk, so that a later one is not glued to
 * half a record. */
static void write_failed(struct log_file *l, int sys, size_t done)
{
        if (done && ftruncate(l->fd, (off_t)l->size) < 0)
                sys = errno;
        l->failed = sys;
        l->lost += l->out_len;
        if (l->rotating) /* empty, but the oldest goes, and gives its space back */
                publish(l);
}

static void flush_out(struct log_file *l)
{
        size_t done = 0;

        if (l->out_len == 0)
                return;
        if (l->max_size && l->size && l->size + l->out_len > l->max_size) {
                int r = rotate(l);

                if (r < 0)
                        l->failed = -r; /* go on in the file that is open */
        }
        while (done < l->out_len) {
                ssize_t n = write(l->fd, l->out + done, l->out_len - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) {
                        write_failed(l, errno, done);
                        l->out_len = 0;
                        return;
                }
                done += (size_t)n;
        }
        l->size += done;
        l->failed = l->rotating ? -publish(l) : 0;
        l->out_len = 0;
}

/* ---- records ---- */

static char *put(char *at, const void *p, size_t n)
{
        memcpy(at, p, n);
        return at + n;
}

static char *put_escaped(char *at, const char *p, size_t n)
{
        static const char hex[] = "0123456789abcdef";

        for (size_t i = 0; i < n; i++) {
                unsigned char c = (unsigned char)p[i];

                if (c == '"' || c == '\\') {
                        *at++ = '\\';
                        *at++ = (char)c;
                } else if (c >= 0x20) {
                        *at++ = (char)c; /* invalid UTF-8 too: docker's readers replace it */
                } else if (c == '\n' || c == '\t' || c == '\r') {
                        *at++ = '\\';
                        *at++ = c == '\n' ? 'n' : c == '\t' ? 't' : 'r';
                } else {
                        at = put(at, "\\u00", 4);
                        *at++ = hex[c >> 4];
                        *at++ = hex[c & 15];
                }
        }
        return at;
}

static void put_journald(struct log_file *l, enum log_stream s, bool full,
                         const struct log_pending *head, const char *p, size_t n)
{
        const struct log_journald_line line = {
                .fields = l->fields,
                .fields_len = l->fields_len,
                .is_error = s == LOG_STDERR,
                .partial = !full,
                .head = head->text,
                .head_len = head->len,
                .text = p,
                .text_len = n,
        };
        int r = log_journald_send(l->fd, &line);

        l->failed = -r;
        if (r < 0)
                l->lost += head->len + n;
}

/* One record: a line (full: it ends here) or a piece of one. head is the beginning that was
 * pending. */
static void put_record(struct log_file *l, enum log_stream s, const char *time, bool full,
                       const struct log_pending *head, const char *p, size_t n)
{
        char *at;

        if (l->driver == LOG_DRIVER_JOURNALD) {
                put_journald(l, s, full, head, p, n);
                return;
        }
        if (l->out_len + RECORD_MAX > OUT_CAP)
                flush_out(l);
        at = l->out + l->out_len;
        if (l->driver == LOG_DRIVER_K8S) {
                at = put(at, time, TIME_LEN);
                at = put(at, s == LOG_STDOUT ? " stdout " : " stderr ", 8);
                at = put(at, full ? "F " : "P ", 2);
                at = put(at, head->text, head->len);
                at = put(at, p, n);
                *at++ = '\n';
        } else {
                at = put(at, "{\"log\":\"", 8);
                at = put_escaped(at, head->text, head->len);
                at = put_escaped(at, p, n);
                at = put(at, full ? "\\n" : "", full ? 2 : 0);
                at = put(at, "\",\"stream\":\"", 12);
                at = put(at, stream_names[s], 6);
                at = put(at, "\",\"time\":\"", 10);
                at = put(at, time, TIME_LEN);
                at = put(at, "\"}\n", 3);
        }
        l->out_len = (size_t)(at - l->out);
}

static void keep_pending(struct log_pending *w, const char *p, size_t n)
{
        memcpy(w->text + w->len, p, n);
        w->len += n;
}

void log_file_put(struct log_file *l, enum log_stream s, const char *p, size_t n)
{
        struct log_pending *w = &l->pending[s];
        char time[TIME_LEN];

        if (!l->out)
                return;
        format_time(time);
        while (n > 0) {
                size_t room = LOG_LINE_MAX - w->len;
                const char *end = memchr(p, '\n', MIN(n, room + 1));
                size_t take = end ? (size_t)(end - p) : MIN(n, room);

                if (!end && take == n && take < room) {
                        keep_pending(w, p, n);
                        break;
                }
                put_record(l, s, time, end, w, p, take);
                w->len = 0;
                w->partial = !end;
                take += end ? 1 : 0;
                p += take;
                n -= take;
        }
        flush_out(l);
}

bool log_file_waiting(const struct log_file *l)
{
        return l->pending[LOG_STDOUT].len || l->pending[LOG_STDERR].len;
}

/* at_end: nothing more will come, so what is there is the line's last piece. */
static void put_pending(struct log_file *l, bool at_end)
{
        char time[TIME_LEN];

        format_time(time);
        for (int s = 0; s < LOG_STREAM_MAX; s++) {
                struct log_pending *w = &l->pending[s];

                /* JSON's reader wants the newline that never came; the others' want an end. */
                bool ends = at_end && l->driver != LOG_DRIVER_JSON;

                if (w->len == 0 && !(ends && w->partial))
                        continue;
                put_record(l, (enum log_stream)s, time, ends, w, "", 0);
                w->partial = !at_end;
                w->len = 0;
        }
        flush_out(l);
}

void log_file_idle(struct log_file *l)
{
        if (log_file_waiting(l))
                put_pending(l, false);
}

void log_file_end(struct log_file *l)
{
        if (l->out)
                put_pending(l, true);
        l->pending[LOG_STDOUT].partial = l->pending[LOG_STDERR].partial = false;
}

/* ---- life ---- */

static int open_files(struct log_file *l)
{
        char name[80];

        /* A monitor that was killed between the halves. */
        if (faccessat(l->dir, new_name(l, name), F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                publish(l);
        return open_file(l, l->name, 0);
}

int log_file_open(struct log_file *l)
{
        int r;

        l->fd = -1;
        if (l->driver == LOG_DRIVER_NONE || l->driver == LOG_DRIVER_PASSTHROUGH)
                return 0;
        if (l->driver == LOG_DRIVER_JOURNALD)
                r = l->fd = log_journald_open();
        else
                r = open_files(l);
        if (r < 0)
                return r;
        l->out = mem_alloc(OUT_CAP);
        for (int s = 0; s < LOG_STREAM_MAX; s++)
                l->pending[s].text = mem_alloc(LOG_LINE_MAX);
        return 0;
}

int log_file_reopen(struct log_file *l)
{
        if (!log_driver_is_file(l->driver))
                return 0;
        if (l->rotating)
                publish(l);
        return open_file(l, l->name, 0);
}

void log_file_close(struct log_file *l)
{
        log_file_end(l);
        l->fd = fd_close(l->fd);
        free(TAKE_PTR(l->out));
        for (int s = 0; s < LOG_STREAM_MAX; s++)
                free(TAKE_PTR(l->pending[s].text));
}
