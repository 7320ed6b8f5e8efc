/* Parsers of procfs and cgroup texts. Strict where the kernel writes numbers, tolerant where the
 * target chose the bytes: names may hold anything, so the fixed fields are found from the end
 * that the target can't reach (proc(5): comm in parentheses, octal escapes in mountinfo). */
#include "diag/procfs.h"

#include "base/str.h"

struct span span_of(const char *s)
{
        return (struct span){ s, strlen(s) };
}

bool span_eq(struct span a, const char *s)
{
        return a.n == strlen(s) && memcmp(a.s, s, a.n) == 0;
}

bool span_next(struct span *at, char sep, struct span *ret)
{
        const char *end;

        if (!at->s)
                return false;
        end = at->n ? memchr(at->s, sep, at->n) : NULL;
        ret->s = at->s;
        if (!end) {
                ret->n = at->n;
                *at = (struct span){ NULL, 0 };
                return true;
        }
        ret->n = (size_t)(end - at->s);
        at->s = end + 1;
        at->n -= ret->n + 1;
        return true;
}

static void span_skip_blanks(struct span *at)
{
        while (at->n && (*at->s == ' ' || *at->s == '\t')) {
                at->s++;
                at->n--;
        }
}

bool span_word(struct span *at, struct span *ret)
{
        span_skip_blanks(at);
        *ret = (struct span){ at->s, 0 };
        while (at->n && *at->s != ' ' && *at->s != '\t') {
                at->s++;
                at->n--;
                ret->n++;
        }
        return ret->n > 0;
}

bool span_to_u64(struct span s, unsigned base, uint64_t *ret)
{
        uint64_t v = 0;

        if (s.n == 0)
                return false;
        for (size_t i = 0; i < s.n; i++) {
                char c = s.s[i];
                unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                                 : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                        : 99;

                if (digit >= base || __builtin_mul_overflow(v, base, &v) ||
                    __builtin_add_overflow(v, digit, &v))
                        return false;
        }
        *ret = v;
        return true;
}

bool span_to_i64(struct span s, int64_t *ret)
{
        bool minus = s.n && *s.s == '-';
        uint64_t v;

        if (!span_to_u64((struct span){ s.s + minus, s.n - minus }, 10, &v) ||
            v > (uint64_t)INT64_MAX)
                return false;
        *ret = minus ? -(int64_t)v : (int64_t)v;
        return true;
}

static bool word_u64(struct span *at, uint64_t *ret)
{
        struct span w;

        return span_word(at, &w) && span_to_u64(w, 10, ret);
}

struct span text_field(const char *text, const char *key, char sep)
{
        struct span at = span_of(text), line;
        size_t n = strlen(key);

        while (span_next(&at, '\n', &line)) {
                if (line.n <= n || memcmp(line.s, key, n) != 0 || line.s[n] != sep)
                        continue;
                line.s += n + 1;
                line.n -= n + 1;
                span_skip_blanks(&line);
                return line;
        }
        return (struct span){ NULL, 0 };
}

struct num text_num(const char *text, const char *key, char sep)
{
        struct span field = text_field(text, key, sep), word, unit;
        uint64_t v;

        if (!field.s)
                return (struct num){ NUM_ABSENT, 0 };
        if (!span_word(&field, &word))
                return (struct num){ NUM_BAD, 0 };
        if (span_eq(word, "max"))
                return (struct num){ NUM_MAX, 0 };
        if (!span_to_u64(word, 10, &v))
                return (struct num){ NUM_BAD, 0 };
        if (span_word(&field, &unit) && span_eq(unit, "kB") &&
            __builtin_mul_overflow(v, (uint64_t)1024, &v))
                return (struct num){ NUM_BAD, 0 };
        return num_of(v);
}

struct num text_one(const char *text)
{
        struct span at = span_of(text), line, word, rest;
        uint64_t v;

        if (!span_next(&at, '\n', &line) || !span_word(&line, &word) || span_word(&line, &rest))
                return (struct num){ NUM_BAD, 0 };
        if (span_eq(word, "max"))
                return (struct num){ NUM_MAX, 0 };
        return span_to_u64(word, 10, &v) ? num_of(v) : (struct num){ NUM_BAD, 0 };
}

bool procfs_stat(const char *text, struct stat_line *ret)
{
        /* The name may hold ") R 1 2": only the last parenthesis is the kernel's. */
        const char *close = strrchr(text, ')');
        struct stat_line s = { 0 };
        struct span at, w;

        if (!close)
                return false;
        at = span_of(close + 1);
        for (unsigned field = 3; field <= 22; field++) {
                if (!span_word(&at, &w))
                        return false;
                if (field == 3)
                        s.state = w.s[0];
                else if ((field == 4 && !span_to_i64(w, &s.parent)) ||
                         (field == 9 && !span_to_u64(w, 10, &s.flags)) ||
                         (field == 14 && !span_to_u64(w, 10, &s.utime)) ||
                         (field == 15 && !span_to_u64(w, 10, &s.stime)) ||
                         (field == 22 && !span_to_u64(w, 10, &s.start)))
                        return false;
        }
        *ret = s;
        return true;
}

bool procfs_cgroup_next(struct span *at, struct cgroup_line *ret)
{
        struct span line, id;

        while (span_next(at, '\n', &line)) {
                struct cgroup_line c;

                if (span_next(&line, ':', &id) && span_to_u64(id, 10, &c.id) &&
                    span_next(&line, ':', &c.controllers) && line.s && line.n && line.s[0] == '/') {
                        c.path = line;
                        *ret = c;
                        return true;
                }
        }
        return false;
}

/* The kernel escapes blank, tab, newline, backslash and (in super options) '#' as \ooo. */
static const char *unescape(struct arena *a, struct span s)
{
        char *out = arena_alloc(a, s.n + 1), *to = out;

        for (size_t i = 0; i < s.n; i++) {
                const char *c = s.s + i;

                if (*c == '\\' && i + 3 < s.n && c[1] >= '0' && c[1] <= '3' && c[2] >= '0' &&
                    c[2] <= '7' && c[3] >= '0' && c[3] <= '7') {
                        *to++ = (char)((c[1] - '0') * 64 + (c[2] - '0') * 8 + (c[3] - '0'));
                        i += 3;
                } else {
                        *to++ = *c;
                }
        }
        return out;
}

static bool mount_tag(struct span w, const char *name, uint32_t *ret)
{
        size_t n = strlen(name);
        uint64_t v;

        if (w.n <= n || memcmp(w.s, name, n) != 0 ||
            !span_to_u64((struct span){ w.s + n, w.n - n }, 10, &v) || v > UINT32_MAX)
                return false;
        *ret = (uint32_t)v;
        return true;
}

static bool mount_device(struct span w, struct mount_line *m)
{
        struct span major;
        uint64_t maj, min;

        if (!span_next(&w, ':', &major) || !w.s || !span_to_u64(major, 10, &maj) ||
            !span_to_u64(w, 10, &min) || maj > UINT32_MAX || min > UINT32_MAX)
                return false;
        m->major = (unsigned)maj;
        m->minor = (unsigned)min;
        return true;
}

/* The optional fields, up to the lone hyphen. */
static bool mount_tags(struct span *line, struct mount_line *m)
{
        struct span w;

        while (span_word(line, &w)) {
                if (span_eq(w, "-"))
                        return true;
                if (!mount_tag(w, "shared:", &m->shared) && !mount_tag(w, "master:", &m->master) &&
                    span_eq(w, "unbindable"))
                        m->unbindable = true;
        }
        return false;
}

static bool mount_parse(struct arena *a, struct span line, struct mount_line *ret)
{
        struct span device, root, point, options, type, source;
        struct mount_line m = { 0 };

        if (!word_u64(&line, &m.id) || !word_u64(&line, &m.parent) || !span_word(&line, &device) ||
            !mount_device(device, &m) || !span_word(&line, &root) || !span_word(&line, &point) ||
            !span_word(&line, &options) || !mount_tags(&line, &m) || !span_word(&line, &type))
                return false;
        /* The source may be empty: two blanks in a row, which span_word() would swallow. */
        if (line.n)
                line = (struct span){ line.s + 1, line.n - 1 };
        if (!span_next(&line, ' ', &source))
                return false;
        m.root = unescape(a, root);
        m.point = unescape(a, point);
        m.options = unescape(a, options);
        m.type = unescape(a, type);
        m.source = unescape(a, source);
        m.super = unescape(a, line.s ? line : (struct span){ "", 0 });
        *ret = m;
        return true;
}

bool procfs_mount_next(struct arena *a, struct span *at, struct mount_line *ret, size_t *ret_bad)
{
        struct span line;

        while (span_next(at, '\n', &line)) {
                if (line.n == 0)
                        continue;
                if (mount_parse(a, line, ret))
                        return true;
                if (ret_bad)
                        ++*ret_bad;
        }
        return false;
}

bool options_have(const char *options, const char *name)
{
        struct span at = span_of(options), o;

        while (span_next(&at, ',', &o))
                if (span_eq(o, name))
                        return true;
        return false;
}

/* The next option, a backslash keeping a comma inside. */
static bool option_next(struct span *at, struct span *ret)
{
        size_t i = 0;

        if (!at->s)
                return false;
        while (i < at->n && at->s[i] != ',')
                i += at->s[i] == '\\' && i + 1 < at->n ? 2 : 1;
        *ret = (struct span){ at->s, i };
        if (i >= at->n)
                *at = (struct span){ NULL, 0 };
        else
                *at = (struct span){ at->s + i + 1, at->n - i - 1 };
        return true;
}

const char *options_value(struct arena *a, const char *options, const char *name, size_t n)
{
        struct span at = span_of(options), o;
        size_t len = strlen(name);
        char *out, *to;

        while (option_next(&at, &o)) {
                if (o.n <= len || memcmp(o.s, name, len) != 0 || o.s[len] != '=' || n-- > 0)
                        continue;
                out = to = arena_alloc(a, o.n - len);
                for (size_t i = len + 1; i < o.n; i++) {
                        /* "\:" is a colon in a directory's name, not the end of one: kept for
                         * whoever splits the list. */
                        if (o.s[i] == '\\' && i + 1 < o.n && o.s[i + 1] != ':')
                                i++;
                        *to++ = o.s[i];
                }
                return out;
        }
        return NULL;
}

struct id_map procfs_id_map(struct arena *a, const char *text)
{
        struct span at = span_of(text), line;
        struct id_map m = { NUM_KNOWN, NULL, 0, true };

        m.v = arena_array(a, struct map_range, FACTS_MAP_MAX);
        while (m.n < FACTS_MAP_MAX && span_next(&at, '\n', &line)) {
                uint64_t v[3];

                if (!word_u64(&line, &v[0]) || !word_u64(&line, &v[1]) || !word_u64(&line, &v[2]) ||
                    v[0] > UINT32_MAX || v[1] > UINT32_MAX || v[2] > UINT32_MAX)
                        continue;
                m.identity = m.identity && v[0] == v[1];
                m.v[m.n++] = (struct map_range){ (uint32_t)v[0], (uint32_t)v[1], (uint32_t)v[2] };
        }
        return m;
}

struct num id_map_inside(const struct id_map *m, uint32_t outside)
{
        if (m->is != NUM_KNOWN)
                return (struct num){ m->is, 0 };
        for (size_t i = 0; i < m->n; i++)
                if (outside >= m->v[i].outside && outside - m->v[i].outside < m->v[i].count)
                        return num_of((uint64_t)m->v[i].inside + (outside - m->v[i].outside));
        return (struct num){ NUM_ABSENT, 0 };
}

static struct num limit_value(struct span w)
{
        uint64_t v;

        if (span_eq(w, "unlimited"))
                return (struct num){ NUM_MAX, 0 };
        return span_to_u64(w, 10, &v) ? num_of(v) : (struct num){ NUM_BAD, 0 };
}

bool procfs_limit(const char *text, const char *title, struct num *ret_soft, struct num *ret_hard)
{
        struct span field = text_field(text, title, ' '), soft, hard;

        if (!field.s || !span_word(&field, &soft) || !span_word(&field, &hard))
                return false;
        *ret_soft = limit_value(soft);
        *ret_hard = limit_value(hard);
        return true;
}

/* "12.34" -> 1234 */
static struct num percent(struct span w)
{
        struct span whole;
        uint64_t a, b;

        if (!span_next(&w, '.', &whole) || !w.s || w.n != 2 || !span_to_u64(whole, 10, &a) ||
            !span_to_u64(w, 10, &b) || a > 100)
                return (struct num){ NUM_BAD, 0 };
        return num_of(a * 100 + b);
}

struct psi_line procfs_psi(const char *text, const char *which)
{
        struct span line = text_field(text, which, ' '), w, key;
        struct num none = { NUM_ABSENT, 0 };
        struct psi_line p = { none, none, none, none, { NUM_UNREAD, 0 } };

        while (line.s && span_word(&line, &w) && span_next(&w, '=', &key) && w.s) {
                uint64_t v;

                if (span_eq(key, "avg10"))
                        p.avg10 = percent(w);
                else if (span_eq(key, "avg60"))
                        p.avg60 = percent(w);
                else if (span_eq(key, "avg300"))
                        p.avg300 = percent(w);
                else if (span_eq(key, "total"))
                        p.total_us =
                                span_to_u64(w, 10, &v) ? num_of(v) : (struct num){ NUM_BAD, 0 };
        }
        return p;
}

struct num cpu_list_count(struct span list)
{
        uint64_t count = 0;
        struct span item, first;

        while (span_next(&list, ',', &item)) {
                uint64_t a, b;

                if (!span_next(&item, '-', &first) || !span_to_u64(first, 10, &a))
                        return (struct num){ NUM_BAD, 0 };
                b = a;
                if (item.s && !span_to_u64(item, 10, &b))
                        return (struct num){ NUM_BAD, 0 };
                if (b < a || b >= 1u << 20 || count > 1u << 20)
                        return (struct num){ NUM_BAD, 0 };
                count += b - a + 1;
        }
        return num_of(count);
}

bool procfs_time_offset(const char *text, const char *clock, int64_t *ret_secs, uint32_t *ret_ns)
{
        struct span line = text_field(text, clock, ' '), w;
        int64_t secs;
        uint64_t ns;

        if (!line.s || !span_word(&line, &w) || !span_to_i64(w, &secs) || !word_u64(&line, &ns) ||
            ns >= 1000000000)
                return false;
        *ret_secs = secs;
        *ret_ns = (uint32_t)ns;
        return true;
}

size_t procfs_args(struct arena *a, const char *data, size_t n, const char ***ret, bool *ret_cut)
{
        const char **args = arena_array(a, const char *, FACTS_ARGS_MAX);
        size_t count = 0;

        for (size_t i = 0; i < n;) {
                size_t len = strnlen(data + i, n - i);

                if (count == FACTS_ARGS_MAX) {
                        *ret_cut = true;
                        break;
                }
                args[count++] = arena_strndup(a, data + i, len);
                i += len + 1;
        }
        *ret = args;
        return count;
}

static void num_sum(struct num *to, uint64_t v)
{
        if (to->is == NUM_BAD || __builtin_add_overflow(to->v, v, &to->v))
                to->is = NUM_BAD;
        else
                to->is = NUM_KNOWN;
}

void procfs_io_v1(const char *text, struct num *ret_read, struct num *ret_write)
{
        struct span at = span_of(text), line, device, op;

        *ret_read = *ret_write = num_of(0);
        while (span_next(&at, '\n', &line)) {
                uint64_t v;

                if (!span_word(&line, &device) || !span_word(&line, &op) || !word_u64(&line, &v))
                        continue;
                if (span_eq(op, "Read"))
                        num_sum(ret_read, v);
                else if (span_eq(op, "Write"))
                        num_sum(ret_write, v);
        }
}

void procfs_io_v2(const char *text, struct num *ret_read, struct num *ret_write)
{
        struct span at = span_of(text), line, w, key;

        *ret_read = *ret_write = num_of(0);
        while (span_next(&at, '\n', &line))
                while (span_word(&line, &w)) {
                        uint64_t v;

                        if (!span_next(&w, '=', &key) || !w.s || !span_to_u64(w, 10, &v))
                                continue;
                        if (span_eq(key, "rbytes"))
                                num_sum(ret_read, v);
                        else if (span_eq(key, "wbytes"))
                                num_sum(ret_write, v);
                }
}

static int64_t device_number(struct span w)
{
        uint64_t v;

        return span_to_u64(w, 10, &v) && v <= UINT32_MAX ? (int64_t)v : -1;
}

size_t procfs_devices(struct arena *a, const char *text, struct device_fact **ret, bool *ret_all)
{
        struct span at = span_of(text), line;
        size_t n = 0, cap = 1;

        for (const char *c = text; *c; c++)
                cap += *c == '\n';
        *ret = arena_array(a, struct device_fact, cap);
        *ret_all = false;
        while (n < cap && span_next(&at, '\n', &line)) {
                struct span type, number, major, access;
                struct device_fact d = { 0 };

                if (!span_word(&line, &type) || type.n != 1 || !span_word(&line, &number) ||
                    !span_next(&number, ':', &major) || !number.s || !span_word(&line, &access) ||
                    access.n > 3)
                        continue;
                d.type = type.s[0];
                d.major = device_number(major);
                d.minor = device_number(number);
                memcpy(d.access, access.s, access.n);
                *ret_all = *ret_all || (d.type == 'a' && access.n == 3);
                (*ret)[n++] = d;
        }
        return n;
}
