#include "kernel/rdt.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "kernel/sys.h"

#define RDT_FILE_MAX 65536 /* schemata: a line a resource, an entry a cache */

int rdt_open(void)
{
        AUTO_FD int fd = open("/sys/fs/resctrl", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct statfs st;

        if (fd < 0 || fstatfs(fd, &st) < 0)
                return -errno;
        return st.f_type == RDTGROUP_SUPER_MAGIC ? TAKE_FD(fd) : -ENODEV;
}

bool rdt_name_ok(const char *name, bool class)
{
        static const char *const taken[] = { "", ".", "..", "info", "mon_groups", "mon_data" };

        if (class && str_eq(name, "/"))
                return true;
        return STR_INDEX(taken, name) < 0 && !strpbrk(name, "/\n") && strlen(name) < 256;
}

static int dir_open(int dir, const char *name)
{
        int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

int rdt_class_open(int root, const char *name, bool make, bool *ret_made)
{
        bool made = false;
        int fd;

        if (str_eq(name, "/"))
                name = ".";
        else if (make) {
                made = mkdirat(root, name, 0755) == 0;
                if (!made && errno != EEXIST)
                        return -errno;
        }
        fd = dir_open(root, name);
        if (fd >= 0 && ret_made)
                *ret_made = made;
        return fd;
}

int rdt_schemata_write(int class, const char *const *lines, size_t n)
{
        AUTO_BUF text = { 0 };

        for (size_t i = 0; i < n; i++) {
                if (strchr(lines[i], '\n'))
                        return -EINVAL;
                buf_printf(&text, "%s\n", lines[i]);
        }
        return n ? fd_put_at(class, "schemata", buf_str(&text)) : 0;
}

/* ---- comparing ---- */

struct span {
        const char *p;
        size_t n;
};

static struct span trimmed(const char *p, size_t n)
{
        while (n && (*p == ' ' || *p == '\t')) {
                p++;
                n--;
        }
        while (n && (p[n - 1] == ' ' || p[n - 1] == '\t' || p[n - 1] == '\n'))
                n--;
        return (struct span){ p, n };
}

/* Cuts s at the first c into *ret_head and *ret_tail. */
static bool cut(struct span s, char c, struct span *ret_head, struct span *ret_tail)
{
        const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

        if (!at)
                return false;
        *ret_head = trimmed(s.p, (size_t)(at - s.p));
        *ret_tail = trimmed(at + 1, s.n - (size_t)(at - s.p) - 1);
        return true;
}

/* Cache masks are hexadecimal and bandwidths decimal, but the same number has the same digits. */
static bool number_eq(struct span a, struct span b)
{
        while (a.n > 1 && *a.p == '0') {
                a.p++;
                a.n--;
        }
        while (b.n > 1 && *b.p == '0') {
                b.p++;
                b.n--;
        }
        return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

/* The value of cache id in "0=ff;1=f0". */
static bool value_of(struct span list, struct span id, struct span *ret)
{
        struct span entry, key;

        while (list.n) {
                if (!cut(list, ';', &entry, &list)) {
                        entry = list;
                        list.n = 0;
                }
                if (cut(entry, '=', &key, ret) && number_eq(key, id))
                        return true;
        }
        return false;
}

/* The list of a resource ("L3") in the file's text. */
static bool list_of(const char *text, struct span resource, struct span *ret)
{
        const char *at = text, *line;
        struct span name;
        size_t n;

        while (str_next(&at, '\n', &line, &n))
                if (cut(trimmed(line, n), ':', &name, ret) && name.n == resource.n &&
                    memcmp(name.p, resource.p, name.n) == 0)
                        return true;
        return false;
}

static int line_match(const char *text, const char *line)
{
        struct span resource, want, have, entry, id, a, b;

        if (!cut(trimmed(line, strlen(line)), ':', &resource, &want) || !want.n)
                return -EINVAL;
        if (!list_of(text, resource, &have))
                return 0;
        while (want.n) {
                if (!cut(want, ';', &entry, &want)) {
                        entry = want;
                        want.n = 0;
                }
                if (!cut(entry, '=', &id, &a))
                        return -EINVAL;
                if (!value_of(have, id, &b) || !number_eq(a, b))
                        return 0;
        }
        return 1;
}

int rdt_schemata_match(int class, const char *const *lines, size_t n, size_t *ret_line)
{
        AUTO_FREE char *text = NULL;
        size_t len;
        int r;

        r = fd_read_file_at(class, "schemata", RDT_FILE_MAX, &text, &len);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                r = line_match(text, lines[i]);
                if (r == 1)
                        continue;
                if (ret_line)
                        *ret_line = i;
                return r;
        }
        return 1;
}

/* ---- groups and tasks ---- */

struct path {
        char s[320];
};

static struct path monitor_path(const char *name, const char *file)
{
        struct path p;

        snprintf(p.s, sizeof p.s, "mon_groups/%s%s", name, file);
        return p;
}

int rdt_monitor_make(int class, const char *name)
{
        if (mkdirat(class, monitor_path(name, "").s, 0755) < 0 && errno != EEXIST)
                return -errno;
        return 0;
}

int rdt_assign(int class, const char *mon, pid_t pid)
{
        char text[16];
        int r;

        snprintf(text, sizeof text, "%d", pid);
        r = fd_put_at(class, "tasks", text);
        /* In this order: a task can only be monitored by a group of its own class. */
        if (r < 0 || !mon)
                return r;
        return fd_put_at(class, monitor_path(mon, "/tasks").s, text);
}

static int dir_remove(int dir, const char *path)
{
        return unlinkat(dir, path, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int rdt_monitor_remove(int class, const char *name)
{
        return dir_remove(class, monitor_path(name, "").s);
}

int rdt_class_remove(int root, const char *name)
{
        return dir_remove(root, name);
}

void rdt_last_status(int root, char *buf, size_t cap)
{
        buf[0] = 0;
        if (fd_read_text_at(root, "info/last_cmd_status", buf, cap) < 0)
                buf[0] = 0;
        buf[strcspn(buf, "\n")] = 0;
        if (str_eq(buf, "ok"))
                buf[0] = 0;
}
