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

#define LINE_MAX_BYTES 8192

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

/* The number of the last whole line; cuts off a torn one after it. */
static int last_number(int fd, off_t size, uint64_t *ret)
{
        char tail[LINE_MAX_BYTES + 1], *end, *line;
        off_t from = MAX(size - LINE_MAX_BYTES, (off_t)0);
        ssize_t n = pread(fd, tail, LINE_MAX_BYTES, from);

        *ret = 0;
        if (n < 0)
                return -errno;
        tail[n] = 0;
        end = memrchr(tail, '\n', (size_t)n);
        if (!end || end + 1 != tail + n)
                if (ftruncate(fd, end ? from + (end + 1 - tail) : 0) < 0)
                        return -errno;
        if (!end)
                return 0;
        *end = 0;
        line = memrchr(tail, '\n', (size_t)(end - tail));
        line = strstr(line ? line : tail, "\"seq\":");
        if (line)
                *ret = strtoull(line + 6, NULL, 10);
        return 0;
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
        if (line.len > LINE_MAX_BYTES)
                return -E2BIG;
        return fd_write_all(fd, line.s, line.len);
}
