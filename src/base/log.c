#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/safe.h"

const char *const log_level_names[] = {
        [LOG_LEVEL_DEBUG] = "debug",
        [LOG_LEVEL_INFO] = "info",
        [LOG_LEVEL_WARNING] = "warning",
        [LOG_LEVEL_ERROR] = "error",
};
static_assert(ARRAY_SIZE(log_level_names) == LOG_LEVEL_MAX, "each level has a name");

static void put_quoted(struct buf *b, const char *s)
{
        buf_putc(b, '"');
        for (; *s; s++) {
                unsigned char c = (unsigned char)*s;

                if (c == '"' || c == '\\')
                        buf_printf(b, "\\%c", c);
                else if (c == '\n')
                        buf_puts(b, "\\n");
                else if (c < 0x20)
                        buf_printf(b, "\\u%04x", c);
                else
                        buf_putc(b, (char)c);
        }
        buf_putc(b, '"');
}

static void put_json(struct buf *b, enum log_level level, const char *text)
{
        struct timespec now;
        struct tm tm;

        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &tm);
        buf_printf(b, "{\"level\":\"%s\",\"msg\":", log_level_names[level]);
        put_quoted(b, text);
        buf_printf(b, ",\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ\"}\n", tm.tm_year + 1900,
                   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec);
}

/* Control characters would be commands to the reader's terminal; the line break before a hint is
 * ours. */
static void put_plain(struct buf *b, const char *text)
{
        while (*text) {
                size_t n = strcspn(text, "\n");

                safe_add(b, text, n);
                text += n;
                if (*text)
                        buf_putc(b, *text++);
        }
}

static void put_record(const struct log *l, enum log_level level, const char *text)
{
        AUTO_BUF line = { 0 };

        if (l->format == LOG_FORMAT_JSON)
                put_json(&line, level, text);
        else {
                buf_printf(&line, "%s: ", l->program ? l->program : "berth");
                if (level != LOG_LEVEL_ERROR)
                        buf_printf(&line, "%s: ", log_level_names[level]);
                put_plain(&line, text);
                buf_putc(&line, '\n');
        }
        fd_write_all(l->fd, line.s, line.len);
}

void log_write(const struct log *l, enum log_level level, const char *fmt, ...)
{
        AUTO_BUF text = { 0 };
        va_list ap;

        if (!l || l->fd < 0 || level < l->level)
                return;
        va_start(ap, fmt);
        buf_vprintf(&text, fmt, ap);
        va_end(ap);
        put_record(l, level, buf_str(&text));
}

void log_err(const struct log *l, enum log_level level, const struct err *e)
{
        AUTO_BUF text = { 0 };

        if (!l || l->fd < 0 || level < l->level)
                return;
        buf_puts(&text, e->chain[0] ? e->chain : err_code_name(e->code));
        if (e->hint[0] && l->format == LOG_FORMAT_JSON)
                buf_printf(&text, " (hint: %s)", e->hint);
        else if (e->hint[0])
                buf_printf(&text, "\nhint: %s", e->hint);
        put_record(l, level, buf_str(&text));
}
