#include "monitor/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "codec/json.h"

/* The file at its name, locked: another writer may have renamed it while we waited. */
static int open_locked(int dir)
{
        struct stat mine, named;

        for (int tries = 0; tries < 100; tries++) {
                int fd = openat(dir, "journal", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

                if (fd < 0)
                        return -errno;
                if (flock(fd, LOCK_EX) == 0 && fstat(fd, &mine) == 0 &&
                    fstatat(dir, "journal", &named, 0) == 0 && mine.st_ino == named.st_ino)
                        return fd;
                fd_close(fd);
        }
        return -EBUSY;
}

/* Of one line; false: it has none, for a power cut may leave zeros where a line was to be. */
static bool line_number(const char *line, size_t n, uint64_t *ret)
{
        static const char key[] = "{\"seq\":";
        uint64_t v = 0;

        if (n < sizeof key || memcmp(line, key, sizeof key - 1) != 0)
                return false;
        for (size_t i = sizeof key - 1; i < n && line[i] >= '0' && line[i] <= '9'; i++)
                if (__builtin_mul_overflow(v, 10, &v) ||
                    __builtin_add_overflow(v, line[i] - '0', &v))
                        return false;
        *ret = v;
        return v > 0;
}

size_t journal_whole(const char *tail, size_t n, uint64_t *ret)
{
        const char *end = memrchr(tail, '\n', n), *line;
        size_t whole = end ? (size_t)(end + 1 - tail) : 0;

        for (; end; end = line) {
                line = memrchr(tail, '\n', (size_t)(end - tail));
                if (line_number(line ? line + 1 : tail, (size_t)(end - (line ? line + 1 : tail)),
                                ret))
                        break;
        }
        return whole;
}

/* The number of the last event; cuts off a torn line, or the zeros that a power cut left. */
static int last_number(int fd, off_t size, uint64_t *ret)
{
        char tail[2 * JOURNAL_LINE_MAX]; /* so that each line is whole in one of them */
        off_t keep = 0;

        *ret = 0;
        for (off_t from = size; from > 0 && *ret == 0;) {
                ssize_t n;
                size_t whole;

                from = MAX(from - JOURNAL_LINE_MAX, (off_t)0);
                n = pread(fd, tail, sizeof tail, from);
                if (n < 0)
                        return -errno;
                whole = journal_whole(tail, (size_t)n, ret);
                if (whole && keep == 0)
                        keep = from + (off_t)whole;
        }
        return keep < size && ftruncate(fd, keep) < 0 ? -errno : 0;
}

static void put_event(const struct event *event, uint64_t seq, struct buf *out)
{
        struct json_writer w = { .out = out };

        json_open(&w, NULL, '{');
        json_put_u64(&w, "seq", seq);
        json_put_i64(&w, "time", event->time_ns ? event->time_ns : clock_now_ns());
        json_put_str(&w, "type", event->type);
        json_put_str(&w, "action", event->action);
        json_put_str(&w, "id", event->id);
        json_put_str(&w, "name", event->name);
        json_put_key_values(&w, "attributes", &event->attributes);
        json_close(&w, '}');
        buf_putc(out, '\n');
}

int journal_append(int dir, const struct event *event)
{
        AUTO_FD int fd = open_locked(dir);
        AUTO_BUF line = { 0 };
        struct stat st;
        uint64_t seq;
        int r;

        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        r = last_number(fd, st.st_size, &seq);
        if (r < 0)
                return r;
        if (st.st_size > JOURNAL_MAX) {
                /* The numbers go on: the new file begins with this event. */
                if (renameat(dir, "journal", dir, "journal.1") < 0)
                        return -errno;
                fd_close(fd);
                fd = open_locked(dir);
                if (fd < 0)
                        return fd;
        }
        put_event(event, seq + 1, &line);
        if (line.len > JOURNAL_LINE_MAX)
                return -E2BIG;
        return fd_write_all(fd, line.s, line.len);
}
