#include "engine/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#define NS 1000000000ll
#define SECONDS_MAX 9000000000ll /* what 64 bits of nanoseconds hold: until 2255 */
/* A record at its longest: a JSON line whose bytes are all escaped. */
#define LINE_CAP (8 * LOG_LINE_MAX)
#define FILES_MAX 1000
#define LOOKS_MAX 1000 /* at files that are renamed all the time */

/* ---- times ---- */

static bool two(const char *s, int *ret)
{
        if (s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9')
                return false;
        *ret = (s[0] - '0') * 10 + (s[1] - '0');
        return true;
}

/* "Z", "+02:00"; seconds east of UTC. */
static bool parse_zone(const char *s, int *ret)
{
        int h, m;

        if (str_eq(s, "Z") || str_eq(s, "z")) {
                *ret = 0;
                return true;
        }
        if ((*s != '+' && *s != '-') || strlen(s) != 6 || s[3] != ':' || !two(s + 1, &h) ||
            !two(s + 4, &m))
                return false;
        *ret = (*s == '-' ? -1 : 1) * (h * 3600 + m * 60);
        return true;
}

/* "2006-01-02T15:04:05": what follows is at *ret_rest. */
static bool parse_civil(const char *text, struct tm *ret, const char **ret_rest)
{
        static const char shape[] = "0000-00-00T00:00:00";
        int century = 0, year = 0;

        for (size_t i = 0; shape[i]; i++) {
                bool digit = text[i] >= '0' && text[i] <= '9';

                if (shape[i] == '0' ? !digit
                                    : text[i] != shape[i] && !(shape[i] == 'T' && text[i] == ' '))
                        return false;
        }
        two(text, &century);
        two(text + 2, &year);
        two(text + 5, &ret->tm_mon);
        two(text + 8, &ret->tm_mday);
        two(text + 11, &ret->tm_hour);
        two(text + 14, &ret->tm_min);
        two(text + 17, &ret->tm_sec);
        ret->tm_year = century * 100 + year - 1900;
        ret->tm_mon--;
        *ret_rest = text + sizeof shape - 1;
        return ret->tm_mon >= 0 && ret->tm_mon < 12 && ret->tm_mday >= 1 && ret->tm_mday <= 31 &&
               ret->tm_hour < 24 && ret->tm_min < 60 && ret->tm_sec <= 60;
}

int log_time_parse(const char *text, int64_t *ret_ns)
{
        int zone, scale = 100000000;
        int64_t fraction = 0, seconds;
        struct tm tm = { 0 };
        const char *at;

        if (!parse_civil(text, &tm, &at))
                return -EINVAL;
        if (*at == '.')
                for (at++; *at >= '0' && *at <= '9'; at++, scale /= 10)
                        fraction += (*at - '0') * scale;
        if (!parse_zone(at, &zone))
                return -EINVAL;
        seconds = (int64_t)timegm(&tm) - zone;
        if (seconds < -SECONDS_MAX || seconds > SECONDS_MAX)
                return -EINVAL;
        *ret_ns = seconds * NS + fraction;
        return 0;
}

/* "1h30m", "90s", "1.5h": ns. */
static int parse_duration(const char *text, int64_t *ret_ns)
{
        static const struct {
                const char *name;
                double seconds;
        } units[] = { { "ms", 0.001 }, { "h", 3600 }, { "m", 60 }, { "s", 1 }, { "d", 86400 } };
        double total = 0;

        if (!*text)
                return -EINVAL;
        while (*text) {
                char *end;
                double v = strtod(text, &end);
                size_t i = 0;

                if (end == text || v < 0 || v > 1e9 || *text < '.' || *text > '9')
                        return -EINVAL;
                while (i < ARRAY_SIZE(units) && !str_after(end, units[i].name))
                        i++;
                if (i == ARRAY_SIZE(units))
                        return -EINVAL;
                total += v * units[i].seconds;
                text = end + strlen(units[i].name);
        }
        if (total > SECONDS_MAX)
                return -EINVAL;
        *ret_ns = (int64_t)(total * 1e9);
        return 0;
}

int log_time_arg(const char *text, int64_t now_ns, int64_t *ret_ns)
{
        char whole[64], *end;
        double seconds;
        int64_t ago;

        if (log_time_parse(text, ret_ns) == 0)
                return 0;
        if (parse_duration(text, &ago) == 0) {
                *ret_ns = now_ns - ago;
                return 0;
        }
        seconds = strtod(text, &end);
        if (end != text && !*end && seconds >= 0 && seconds < 9e9) {
                *ret_ns = (int64_t)(seconds * 1e9);
                return 0;
        }
        /* A date, or a date and time without a zone: UTC. */
        if (strlen(text) == 10)
                snprintf(whole, sizeof whole, "%sT00:00:00Z", text);
        else if (strlen(text) == 16)
                snprintf(whole, sizeof whole, "%s:00Z", text);
        else
                snprintf(whole, sizeof whole, "%.40sZ", text);
        return log_time_parse(whole, ret_ns);
}

int log_range_arg(const char *since, const char *until, int64_t now_ns, int64_t *ret_since,
                  int64_t *ret_until, struct err *e)
{
        if (since && log_time_arg(since, now_ns, ret_since) < 0)
                return err_set(e, ERR_INVALID, "--since: \"%s\" is no time", since);
        if (until && log_time_arg(until, now_ns, ret_until) < 0)
                return err_set(e, ERR_INVALID, "--until: \"%s\" is no time", until);
        return 0;
}

/* ---- records ---- */

static bool set_time(const char *text, size_t n, char time[LOG_TIME_CAP], struct log_record *r)
{
        if (n >= LOG_TIME_CAP)
                return false;
        memcpy(time, text, n);
        time[n] = 0;
        r->time = time;
        return log_time_parse(time, &r->time_ns) == 0;
}

/* "TIME stdout F TEXT" */
static bool parse_k8s(const char *line, size_t n, char time[LOG_TIME_CAP], struct log_record *r)
{
        const char *blank = memchr(line, ' ', n);
        size_t at = blank ? (size_t)(blank - line) : n;

        if (at + 9 > n || !set_time(line, at, time, r))
                return false;
        if (memcmp(line + at, " stdout ", 8) == 0)
                r->stream = LOG_STDOUT;
        else if (memcmp(line + at, " stderr ", 8) == 0)
                r->stream = LOG_STDERR;
        else
                return false;
        at += 8;
        if ((line[at] != 'F' && line[at] != 'P') || (at + 1 < n && line[at + 1] != ' '))
                return false;
        r->partial = line[at] == 'P';
        r->text = line + MIN(at + 2, n);
        r->len = n - MIN(at + 2, n);
        return true;
}

static int hex4(const char *s)
{
        int v = 0;

        for (int i = 0; i < 4; i++) {
                int c = s[i] | 0x20, d = s[i] >= '0' && s[i] <= '9' ? s[i] - '0'
                                         : c >= 'a' && c <= 'f'     ? c - 'a' + 10
                                                                    : -1;

                if (d < 0)
                        return -1;
                v = v * 16 + d;
        }
        return v;
}

/* One \-escape at *at, put to *to (which is never ahead of *at). */
static bool unescape_one(char **at, const char *end, char **to)
{
        static const char from[] = "nrtbf\"\\/", into[] = "\n\r\t\b\f\"\\/";
        char c = (*at)[1];
        const char *known = c ? strchr(from, c) : NULL;
        int v;

        if (known) {
                *(*to)++ = into[known - from];
                *at += 2;
                return true;
        }
        if (c != 'u' || end - *at < 6)
                return false;
        v = hex4(*at + 2);
        if (v < 0)
                return false;
        if (v < 0x80) {
                *(*to)++ = (char)v;
        } else if (v < 0x800) {
                *(*to)++ = (char)(0xc0 | v >> 6);
                *(*to)++ = (char)(0x80 | (v & 0x3f));
        } else {
                *(*to)++ = (char)(0xe0 | v >> 12);
                *(*to)++ = (char)(0x80 | (v >> 6 & 0x3f));
                *(*to)++ = (char)(0x80 | (v & 0x3f));
        }
        *at += 6;
        return true;
}

/* Unescapes a JSON string whose first byte is at *at, in place; *at ends behind its quote. A log
 * holds what the container wrote, valid UTF-8 or not, so codec/json.h would refuse some. */
static bool take_string(char **at, char *end, char **ret, size_t *ret_len)
{
        char *to = *at, *from = *at;

        *ret = to;
        while (from < end && *from != '"') {
                if (*from != '\\')
                        *to++ = *from++;
                else if (end - from < 2 || !unescape_one(&from, end, &to))
                        return false;
        }
        if (from >= end)
                return false;
        *ret_len = (size_t)(to - *ret);
        *at = from + 1;
        return true;
}

static bool json_member(struct log_record *r, const char *name, size_t nlen, char *value, size_t n,
                        char time[LOG_TIME_CAP], bool *have_time)
{
        if (nlen == 3 && memcmp(name, "log", 3) == 0) {
                r->partial = n == 0 || value[n - 1] != '\n';
                r->text = value;
                r->len = r->partial ? n : n - 1;
        } else if (nlen == 6 && memcmp(name, "stream", 6) == 0) {
                r->stream = n == 6 && memcmp(value, "stderr", 6) == 0 ? LOG_STDERR : LOG_STDOUT;
        } else if (nlen == 4 && memcmp(name, "time", 4) == 0) {
                *have_time = set_time(value, n, time, r);
                return *have_time;
        }
        return true;
}

/* {"log":"...","stream":"...","time":"..."}: strings only, as docker writes it. */
static bool parse_json(char *line, size_t n, char time[LOG_TIME_CAP], struct log_record *r)
{
        char *at = line, *end = line + n, *name, *value;
        bool have_time = false;
        size_t nlen, len;

        if (n < 2 || *at++ != '{')
                return false;
        while (at < end && *at == '"') {
                at++;
                if (!take_string(&at, end, &name, &nlen) || end - at < 2 || at[0] != ':' ||
                    at[1] != '"')
                        return false;
                at += 2;
                if (!take_string(&at, end, &value, &len) ||
                    !json_member(r, name, nlen, value, len, time, &have_time))
                        return false;
                if (at < end && *at == ',')
                        at++;
        }
        return have_time && at < end && *at == '}' && r->text;
}

bool log_record_parse(enum log_driver driver, char *line, size_t n, char time[LOG_TIME_CAP],
                      struct log_record *ret)
{
        struct log_record r = { 0 };

        if (!(driver == LOG_DRIVER_JSON ? parse_json(line, n, time, &r)
                                        : parse_k8s(line, n, time, &r)))
                return false;
        *ret = r;
        return true;
}

/* ---- records of a file ---- */

struct reader {
        const struct log_query *q;
        int fd;        /* the file at hand; not ours */
        char *buf;     /* LINE_CAP */
        size_t len;    /* of an unfinished line */
        bool skipping; /* a line beyond LINE_CAP: to its end */
        int64_t skip;  /* records to leave out, for --tail */
        bool ended;    /* put() or --until wants no more */
};

static int put_line(struct reader *r, char *line, size_t n)
{
        char time[LOG_TIME_CAP];
        struct log_record record;

        if (!log_record_parse(r->q->driver, line, n, time, &record))
                return 0; /* torn by a power cut, or not ours */
        if (r->q->since && record.time_ns < r->q->since)
                return 0;
        if (r->q->until && record.time_ns > r->q->until) {
                /* Who follows has waited for that; else the clock may have gone back since. */
                r->ended = r->q->follow;
                return 0;
        }
        if (r->skip > 0) {
                r->skip -= !record.partial;
                return 0;
        }
        return r->q->put(r->q->ctx, &record);
}

/* Hands out the whole lines that are in buf. */
static int put_lines(struct reader *r)
{
        char *at = r->buf, *end = r->buf + r->len, *newline;
        int status = 0;

        while (status == 0 && !r->ended && (newline = memchr(at, '\n', (size_t)(end - at)))) {
                if (!r->skipping)
                        status = put_line(r, at, (size_t)(newline - at));
                r->skipping = false;
                at = newline + 1;
        }
        r->len = (size_t)(end - at);
        memmove(r->buf, at, r->len);
        if (r->len == LINE_CAP) {
                r->skipping = true;
                r->len = 0;
        }
        return status;
}

/* Everything that the file has now, up to this offset. 0, or what put() said. */
static int read_on(struct reader *r, off_t end)
{
        off_t at = lseek(r->fd, 0, SEEK_CUR);
        ssize_t n;
        int status = 0;

        while (status == 0 && !r->ended && at < end) {
                n = read(r->fd, r->buf + r->len, MIN(LINE_CAP - r->len, (uint64_t)(end - at)));
                if (n <= 0)
                        break;
                at += n;
                r->len += (size_t)n;
                status = put_lines(r);
        }
        r->ended = r->ended || status != 0;
        return status;
}

#define TO_ITS_END INT64_MAX

static int read_file(struct reader *r, int fd, off_t end)
{
        r->fd = fd;
        r->len = 0;
        r->skipping = false;
        return read_on(r, end);
}

/* ---- the files ----
 *
 * They are renamed while we look: ctr.log.new appears, ctr.log.1 becomes ctr.log.2, ctr.log
 * ctr.log.1, ctr.log.new ctr.log (monitor/log-file.c). So all are opened before one is read, the
 * newest first: a file that is renamed meanwhile is found under its next name. */

struct file {
        int fd;
        ino_t ino;
        off_t size; /* when it was opened */
};
struct files {
        struct file *v; /* the newest first */
        size_t n;
};

static void files_close(struct files *f)
{
        for (size_t i = 0; i < f->n; i++)
                fd_close(f->v[i].fd);
        free(f->v);
        *f = (struct files){ 0 };
}

static const char *file_name(unsigned i, char buf[32])
{
        if (i < 2)
                return i == 0 ? "ctr.log.new" : "ctr.log";
        snprintf(buf, 32, "ctr.log.%u", i - 1);
        return buf;
}

static bool has_inode(const struct files *f, ino_t ino)
{
        for (size_t i = 0; i < f->n; i++)
                if (f->v[i].ino == ino)
                        return true;
        return false;
}

/* Whether it was there; *ret_ino is 0 where it was not. */
static bool open_one(struct files *f, int dir, const char *name, ino_t *ret_ino)
{
        int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        struct stat st;

        *ret_ino = 0;
        if (fd < 0)
                return false;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
                fd_close(fd);
                return true;
        }
        *ret_ino = st.st_ino;
        if (has_inode(f, st.st_ino))
                fd_close(fd);
        else
                f->v[f->n++] = (struct file){ fd, st.st_ino, st.st_size };
        return true;
}

static ino_t inode_of(int dir, const char *name)
{
        struct stat st;

        return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_ino;
}

/* One look. Whether the two newest are still those that it found: no file has got another name
 * meanwhile then, for that ends with them. */
static bool look(int dir, struct files *f)
{
        ino_t newest[2], ino;
        unsigned missing = 0;
        char name[32];

        f->v = mem_alloc(mem_mul(sizeof *f->v, FILES_MAX + 2));
        for (unsigned i = 0; i < 2; i++)
                open_one(f, dir, file_name(i, name), &newest[i]);
        /* While they are renamed one number is nobody's. */
        for (unsigned i = 2; i < FILES_MAX && missing < 2; i++)
                missing = open_one(f, dir, file_name(i, name), &ino) ? 0 : missing + 1;
        return inode_of(dir, "ctr.log.new") == newest[0] && inode_of(dir, "ctr.log") == newest[1];
}

static void files_open(int dir, struct files *f)
{
        for (unsigned tries = 0; !look(dir, f) && tries < LOOKS_MAX; tries++)
                files_close(f);
}

/* As they were when they were opened, the oldest first. */
static int read_files(struct reader *r, const struct files *f)
{
        int status = 0;

        for (size_t i = f->n; i-- > 0 && status == 0 && !r->ended;)
                status = read_file(r, f->v[i].fd, f->v[i].size);
        return status;
}

/* Lines that --since and --until let through, for --tail: counted in a first pass. */
static int count_record(void *ctx, const struct log_record *record)
{
        *(int64_t *)ctx += !record->partial;
        return 0;
}

static int64_t count_records(const struct log_query *q, const struct files *f, char *buf)
{
        int64_t n = 0;
        struct log_query counting = *q;
        struct reader r = { .q = &counting, .fd = -1, .buf = buf };

        counting.put = count_record;
        counting.ctx = &n;
        read_files(&r, f);
        for (size_t i = 0; i < f->n; i++)
                lseek(f->v[i].fd, 0, SEEK_SET);
        return n;
}

/* ---- following ---- */

/* One file that others emptied: from its beginning. */
static void see_truncation(struct reader *r)
{
        struct stat st;

        if (r->fd >= 0 && fstat(r->fd, &st) == 0 && st.st_size < lseek(r->fd, 0, SEEK_CUR))
                lseek(r->fd, 0, SEEK_SET);
}

/* Newer ones have come: what is left of ours, which nobody writes any more, then each of them. */
static int go_on(struct reader *r, struct files *f)
{
        ino_t ours = f->n ? f->v[0].ino : 0;
        struct files now = { 0 };
        size_t newer;
        int status = f->n ? read_on(r, TO_ITS_END) : 0;

        files_open(r->q->dir, &now);
        for (newer = 0; newer < now.n && now.v[newer].ino != ours; newer++)
                ;
        if (newer == 0) { /* renamed, no more */
                files_close(&now);
                return status;
        }
        while (newer-- > 0 && status == 0 && !r->ended)
                status = read_file(r, now.v[newer].fd, TO_ITS_END);
        files_close(f);
        *f = now;
        return status;
}

static int follow_step(struct reader *r, struct files *f)
{
        ino_t ours = f->n ? f->v[0].ino : 0, newest;
        int status = 0;

        if (f->n) {
                see_truncation(r);
                status = read_on(r, TO_ITS_END);
        }
        newest = inode_of(r->q->dir, "ctr.log.new");
        if (newest == 0)
                newest = inode_of(r->q->dir, "ctr.log");
        return status || r->ended || newest == ours || newest == 0 ? status : go_on(r, f);
}

/* ---- one log ---- */

struct log_source {
        const struct log_query *q;
        struct log_journal *journal; /* LOG_DRIVER_JOURNALD; and nothing else */
        struct reader r;
        struct files f;
        int watch; /* inotify on q->dir; or -1 */
        bool begun;
};

static int open_files(struct log_source *s, struct err *e)
{
        const struct log_query *q = s->q;

        /* Before the files, so that nothing comes in between unseen. */
        s->watch = q->follow ? inotify_init1(IN_CLOEXEC | IN_NONBLOCK) : -1;
        if (s->watch >= 0)
                inotify_add_watch(s->watch, fd_path(q->dir).s, IN_MODIFY | IN_CREATE | IN_MOVED_TO);
        s->r = (struct reader){ .q = q, .fd = -1, .buf = mem_alloc(LINE_CAP) };
        files_open(q->dir, &s->f);
        if (s->f.n == 0 && faccessat(q->dir, "ctr.log", R_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
            errno != ENOENT)
                return err_sys(e, errno, "cannot read the log");
        if (q->tail >= 0)
                s->r.skip = MAX(count_records(q, &s->f, s->r.buf) - q->tail, (int64_t)0);
        return 0;
}

int logs_open(const struct log_query *q, struct log_source **ret, struct err *e)
{
        struct log_source *s = mem_alloc(sizeof *s);
        int r;

        s->q = q;
        s->watch = -1;
        r = q->driver == LOG_DRIVER_JOURNALD ? log_journal_open(q, &s->journal, e)
                                             : open_files(s, e);
        if (r == 0)
                *ret = s;
        else
                logs_close(s);
        return r;
}

bool logs_step(struct log_source *s)
{
        const struct log_query *q = s->q;
        char events[4096];
        bool last;

        if (s->journal)
                return log_journal_step(s->journal);
        while (s->watch >= 0 && read(s->watch, events, sizeof events) > 0)
                ;
        if (!s->begun) {
                s->begun = true;
                if (read_files(&s->r, &s->f) != 0 || s->r.ended || !q->follow)
                        return true;
        }
        /* Asked before reading: what came in between is still read. */
        last = !q->alive || !q->alive(q->ctx);
        return follow_step(&s->r, &s->f) != 0 || s->r.ended || last;
}

int logs_fd(const struct log_source *s)
{
        return s->journal ? log_journal_fd(s->journal) : s->watch;
}

void logs_close(struct log_source *s)
{
        if (!s)
                return;
        log_journal_close(s->journal);
        fd_close(s->watch);
        files_close(&s->f);
        free(s->r.buf);
        free(s);
}
