/* Writing headers: ustar, and before it a pax header for what ustar can't say. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "codec/tar-internal.h"

#define OCTAL_11 077777777777ull
#define OCTAL_7 07777777u

static const char letters[TAR_TYPE_MAX] = { '0', '1', '2', '3', '4', '5', '6' };

static size_t digits(size_t n)
{
        size_t d = 1;

        for (; n >= 10; n /= 10)
                d++;
        return d;
}

/* A record's length counts its own digits. */
static void record(struct buf *pax, const char *key, const void *value, size_t n)
{
        size_t rest = strlen(key) + n + 3, len; /* " =\n" */

        len = rest + digits(rest);
        len = rest + digits(len); /* one digit more may carry over, once */
        buf_printf(pax, "%zu %s=", len, key);
        buf_add(pax, value, n);
        buf_putc(pax, '\n');
}

static void record_number(struct buf *pax, const char *key, uint64_t v)
{
        char text[24];
        int n = snprintf(text, sizeof text, "%llu", (unsigned long long)v);

        record(pax, key, text, (size_t)n);
}

static void record_time(struct buf *pax, int64_t s, uint32_t ns)
{
        bool up = s < 0 && ns > 0; /* -1.75 is stored as -2 and 250000000 */
        uint64_t whole = s < 0 ? (uint64_t) - (s + up) : (uint64_t)s;
        char text[40];
        int n = snprintf(text, sizeof text, "%s%llu", s < 0 ? "-" : "", (unsigned long long)whole);

        if (ns) {
                n += snprintf(text + n, sizeof text - (size_t)n, ".%09u",
                              up ? 1000000000 - ns : ns);
                while (text[n - 1] == '0')
                        n--;
        }
        record(pax, "mtime", text, (size_t)n);
}

static void octal(uint8_t *field, int n, uint64_t v)
{
        char text[24];

        snprintf(text, sizeof text, "%0*llo", n - 1, (unsigned long long)v);
        memcpy(field, text, (size_t)n);
}

/* Where to cut a long name so that ustar's prefix holds what is before: NULL if nowhere. */
static const char *cut(const char *path, size_t n)
{
        for (const char *s = path + n - MIN(n, (size_t)101); (s = strchr(s, '/')); s++)
                if (s > path && s - path <= 155 && s[1])
                        return s;
        return NULL;
}

static void header(struct buf *out, const struct tar_entry *t, const char *path, uint64_t size,
                   char letter)
{
        static const uint8_t magic[8] = { 'u', 's', 't', 'a', 'r', 0, '0', '0' };
        uint8_t b[TAR_BLOCK_SIZE] = { 0 };
        size_t n = strlen(path);
        const char *slash = n > 100 ? cut(path, n) : NULL;
        unsigned sum = 0;

        if (slash) {
                memcpy(b + 345, path, (size_t)(slash - path));
                path = slash + 1;
        }
        memcpy(b, path, strnlen(path, 100));
        octal(b + 100, 8, t->mode & 07777);
        octal(b + 108, 8, t->uid <= OCTAL_7 ? t->uid : 0);
        octal(b + 116, 8, t->gid <= OCTAL_7 ? t->gid : 0);
        octal(b + 124, 12, size <= OCTAL_11 ? size : 0);
        octal(b + 136, 12, t->mtime >= 0 && t->mtime <= (int64_t)OCTAL_11 ? (uint64_t)t->mtime : 0);
        memset(b + 148, ' ', 8);
        b[156] = (uint8_t)letter;
        if (t->link && letter != 'x')
                for (size_t i = 0; i < 100 && t->link[i]; i++)
                        b[157 + i] = (uint8_t)t->link[i]; /* a NUL only where there is room */
        memcpy(b + 257, magic, sizeof magic);
        octal(b + 329, 8, letter == '3' || letter == '4' ? t->major : 0);
        octal(b + 337, 8, letter == '3' || letter == '4' ? t->minor : 0);
        for (size_t i = 0; i < sizeof b; i++)
                sum += b[i];
        octal(b + 148, 7, sum);
        buf_add(out, b, sizeof b);
}

static void pad(struct buf *out, uint64_t n)
{
        static const char zeros[TAR_BLOCK_SIZE];

        buf_add(out, zeros, tar_padding(n));
}

void tar_put_header(struct buf *out, const struct tar_entry *t)
{
        AUTO_BUF pax = { .s = NULL }, path = { .s = NULL };
        uint64_t size = t->type == TAR_FILE ? t->size : 0;

        buf_puts(&path, t->path);
        if (t->type == TAR_DIR && !str_ends(t->path, "/"))
                buf_putc(&path, '/');
        if (path.len > 100 && !cut(path.s, path.len))
                record(&pax, "path", path.s, path.len);
        if (t->link && strlen(t->link) > 100)
                record(&pax, "linkpath", t->link, strlen(t->link));
        if (size > OCTAL_11)
                record_number(&pax, "size", size);
        if (t->uid > OCTAL_7)
                record_number(&pax, "uid", t->uid);
        if (t->gid > OCTAL_7)
                record_number(&pax, "gid", t->gid);
        if (t->mtime_ns || t->mtime < 0 || t->mtime > (int64_t)OCTAL_11)
                record_time(&pax, t->mtime, t->mtime_ns);
        for (uint32_t i = 0; i < t->nxattrs; i++) {
                AUTO_BUF key = { .s = NULL };

                buf_printf(&key, "SCHILY.xattr.%s", t->xattrs[i].name);
                record(&pax, key.s, t->xattrs[i].value, t->xattrs[i].len);
        }
        if (pax.len > 0) {
                const struct tar_entry x = { .mode = 0644 };

                header(out, &x, "././@PaxHeader", pax.len, 'x');
                buf_add(out, pax.s, pax.len);
                pad(out, pax.len);
        }
        header(out, t, path.s, size, letters[t->type]);
}

void tar_put_end(struct buf *out)
{
        static const char zeros[2 * TAR_BLOCK_SIZE];

        buf_add(out, zeros, sizeof zeros);
}
