/* One header block: v7, ustar, GNU and star fields. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "codec/tar-internal.h"

struct field {
        unsigned at, n;
};
static const struct field f_name = { 0, 100 }, f_mode = { 100, 8 }, f_uid = { 108, 8 },
                          f_gid = { 116, 8 }, f_size = { 124, 12 }, f_mtime = { 136, 12 },
                          f_link = { 157, 100 }, f_major = { 329, 8 }, f_minor = { 337, 8 },
                          f_prefix = { 345, 155 }, f_real_size = { 483, 12 };
#define AT_SUM 148
#define AT_TYPE 156
#define AT_MAGIC 257
#define AT_OLD_MAP 386
#define AT_STAR_MAGIC 508

static int base_256(const uint8_t *p, size_t n, int64_t *ret)
{
        bool negative = p[0] & 0x40;
        uint64_t v = negative ? ~(uint64_t)0x3f | (p[0] & 0x3f) : p[0] & 0x3f;

        for (size_t i = 1; i < n; i++) {
                int64_t top = (int64_t)v >> 55; /* all that is shifted out must be the sign */

                if (top != 0 && top != -1)
                        return -EINVAL;
                v = v << 8 | p[i];
        }
        *ret = (int64_t)v;
        return 0;
}

int tar_number(const uint8_t *p, size_t n, int64_t *ret)
{
        uint64_t v = 0;
        size_t i = 0;

        if (p[0] & 0x80)
                return base_256(p, n, ret);
        while (i < n && (p[i] == ' ' || p[i] == '\0'))
                i++;
        for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
                v = v << 3 | (uint64_t)(p[i] - '0'); /* 12 digits at most: 36 bits */
        if (i < n && p[i] != ' ' && p[i] != '\0')
                return -EINVAL;
        *ret = (int64_t)v;
        return 0;
}

static int number(const uint8_t *block, struct field f, int64_t *ret)
{
        return tar_number(block + f.at, f.n, ret);
}

/* Writers have summed signed bytes as well as unsigned ones; POSIX says unsigned. */
static int checksum(const uint8_t *b, bool *ret_zero)
{
        static const struct field f_sum = { AT_SUM, 8 };
        uint32_t sum = 0, high = 0;
        int64_t want;

        for (unsigned i = 0; i < TAR_BLOCK_SIZE; i++) {
                sum += b[i];
                high += b[i] >> 7;
        }
        *ret_zero = sum == 0;
        for (unsigned i = AT_SUM; i < AT_SUM + 8; i++) {
                sum -= b[i];
                high -= b[i] >> 7;
        }
        sum += 8 * ' ';
        if (number(b, f_sum, &want) < 0 || (want != sum && want != (int64_t)sum - 256 * high))
                return -EINVAL;
        return 0;
}

static size_t copy(char *to, const uint8_t *block, unsigned at, unsigned n)
{
        size_t len = strnlen((const char *)block + at, n);

        memcpy(to, block + at, len);
        to[len] = '\0';
        return len;
}

/* ustar's prefix; star keeps times in the last 24 bytes of it, GNU something else in all of it. */
static void name_of(struct tar *t, const uint8_t *b)
{
        bool star = memcmp(b + AT_STAR_MAGIC, "tar", 4) == 0;
        size_t n = 0;

        if (memcmp(b + AT_MAGIC, "ustar", 6) == 0 && b[f_prefix.at]) {
                n = copy(t->name, b, f_prefix.at, star ? 131 : f_prefix.n);
                t->name[n++] = '/';
        }
        copy(t->name + n, b, f_name.at, f_name.n);
}

static int type_of(struct tar *t, char letter)
{
        static const enum tar_type types[] = {
                ['0'] = TAR_FILE, ['1'] = TAR_HARDLINK, ['2'] = TAR_SYMLINK,
                ['3'] = TAR_CHAR, ['4'] = TAR_BLOCK,    ['5'] = TAR_DIR,
                ['6'] = TAR_FIFO, ['7'] = TAR_FILE,     ['S'] = TAR_FILE
        };

        if (letter == '\0') /* v7 had no directories but by name */
                t->entry.type = str_ends(t->entry.path, "/") ? TAR_DIR : TAR_FILE;
        else if (letter == 'S' || (letter >= '0' && letter <= '7'))
                t->entry.type = types[(unsigned char)letter];
        else
                return tar_fail(t, -EINVAL, "entry of unknown type '%c'",
                                letter > ' ' && letter < 127 ? letter : '?');
        return 0;
}

static int id_of(const uint8_t *b, struct field f, uint32_t *ret)
{
        int64_t v;

        if (number(b, f, &v) < 0 || v < 0 || v >= UINT32_MAX)
                return -EINVAL;
        *ret = (uint32_t)v;
        return 0;
}

static int numbers(struct tar *t, const uint8_t *b)
{
        struct tar_entry *e = &t->entry;
        int64_t mode, major = 0, minor = 0;

        if (number(b, f_mode, &mode) < 0)
                return tar_fail(t, -EINVAL, "mode is no number");
        e->mode = mode & 07777;
        /* A wrong one does not matter where an extended header has the right one. */
        if (!t->pax.has_uid && id_of(b, f_uid, &e->uid) < 0)
                return tar_fail(t, -EINVAL, "user ID is no number below 2^32 - 1");
        if (!t->pax.has_gid && id_of(b, f_gid, &e->gid) < 0)
                return tar_fail(t, -EINVAL, "group ID is no number below 2^32 - 1");
        if (!t->pax.has_mtime && number(b, f_mtime, &e->mtime) < 0)
                return tar_fail(t, -EINVAL, "modification time is no number");
        if (e->type == TAR_CHAR || e->type == TAR_BLOCK) {
                if (number(b, f_major, &major) < 0 || number(b, f_minor, &minor) < 0 || major < 0 ||
                    minor < 0 || major > 0xfff || minor > 0xfffff)
                        return tar_fail(t, -EINVAL, "device number is out of range");
                e->major = (uint32_t)major;
                e->minor = (uint32_t)minor;
        }
        return 0;
}

static int old_sparse(struct tar *t, const uint8_t *b)
{
        int64_t size;

        if (number(b, f_real_size, &size) < 0 || size < 0)
                return tar_fail(t, -EINVAL, "size of a sparse file is no number");
        t->pax.sparse = t->pax.has_real_size = true;
        t->pax.real_size = (uint64_t)size;
        t->pax.major = t->pax.minor = 0;
        t->nextents = 0;
        t->extents_sum = 0;
        return tar_old_map(t, b + AT_OLD_MAP, 4);
}

static int fill(struct tar *t, const uint8_t *b, char letter)
{
        struct tar_entry *e = &t->entry;
        const char *path = t->pax.path;
        int r;

        *e = (struct tar_entry){ .path = t->name };
        if (path || t->has_long_path)
                e->path = path ? path : buf_str(&t->long_path);
        else
                name_of(t, b);
        r = type_of(t, letter);
        if (r == 0)
                r = numbers(t, b);
        if (r < 0)
                return r;
        if (e->type == TAR_SYMLINK || e->type == TAR_HARDLINK) {
                e->link = t->pax.link        ? t->pax.link
                          : t->has_long_link ? buf_str(&t->long_link)
                                             : t->target;
                if (e->link == t->target)
                        copy(t->target, b, f_link.at, f_link.n);
        }
        return letter == 'S' ? old_sparse(t, b) : 0;
}

int tar_header(struct tar *t, const uint8_t *b, char *ret_type, uint64_t *ret_size)
{
        char letter = (char)b[AT_TYPE];
        bool zero;
        int64_t size;

        if (checksum(b, &zero) < 0)
                return zero ? -ENOENT : tar_fail(t, -EINVAL, "header checksum is wrong");
        if (number(b, f_size, &size) < 0 || size < 0)
                return tar_fail(t, -EINVAL, "size is no number");
        *ret_type = letter;
        *ret_size = (uint64_t)size;
        return letter && strchr("xXgLK", letter) ? 0 : fill(t, b, letter);
}

int tar_apply(struct tar *t)
{
        const struct tar_pax *p = &t->pax;
        struct tar_entry *e = &t->entry;

        if (p->sparse && p->sparse_name && e->type == TAR_FILE)
                e->path = p->sparse_name;
        if (p->has_uid)
                e->uid = p->uid;
        if (p->has_gid)
                e->gid = p->gid;
        if (p->has_mtime) {
                e->mtime = p->mtime;
                e->mtime_ns = p->mtime_ns;
        }
        e->xattrs = t->xattrs;
        e->nxattrs = t->nxattrs;
        if (!*e->path)
                return tar_fail(t, -EINVAL, "an entry has no name");
        if (strlen(e->path) >= t->limits.path || (e->link && strlen(e->link) >= t->limits.path))
                return tar_fail(t, -E2BIG, "name or link target of %u bytes or more",
                                t->limits.path);
        if (e->link && !*e->link)
                return tar_fail(t, -EINVAL, "link without a target");
        return 0;
}
