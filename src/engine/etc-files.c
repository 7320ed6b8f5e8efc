/* /etc/hosts, /etc/hostname, /etc/resolv.conf and /etc/localtime of a container. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "engine/mounts.h"

#define HOST_FILE_MAX (1u << 20)
#define ZONES "/usr/share/zoneinfo"

static void put_host_file(struct buf *out, const char *path)
{
        AUTO_FREE char *text = NULL;
        size_t len;

        if (fd_read_regular_at(AT_FDCWD, path, HOST_FILE_MAX, &text, &len) == 0)
                buf_add(out, text, len);
}

static const char *host_name(const struct sandbox *s)
{
        return s->hostname ? s->hostname : s->name;
}

static int put_hostname(const struct sandbox *s, struct buf *out, struct err *e)
{
        buf_printf(out, "%s\n", host_name(s));
        return 0;
}

/* --add-host NAME[;NAME...]:ADDRESS; an IPv6 address may be in brackets. '=' is docker's newer
 * separator. */
static int put_host(const char *text, struct buf *out, struct err *e)
{
        size_t n = strcspn(text, ":=");
        const char *address = text + n + (text[n] != 0);
        size_t len = strlen(address);

        if (n == 0 || len == 0)
                return err_set(e, ERR_INVALID, "--add-host: \"%s\" is not NAME:ADDRESS", text);
        if (str_eq(address, "host-gateway"))
                return err_set(e, ERR_UNSUPPORTED,
                               "--add-host: host-gateway needs a bridge, which is not built yet");
        if (address[0] == '[' && address[len - 1] == ']') {
                address++;
                len -= 2;
        }
        if (strspn(address, "0123456789abcdefABCDEF.:%") < len)
                return err_set(e, ERR_INVALID, "--add-host: \"%s\" is no address", address);
        buf_add(out, address, len);
        buf_putc(out, '\t');
        for (size_t i = 0; i < n; i++)
                buf_putc(out, text[i] == ';' ? ' ' : text[i]);
        buf_putc(out, '\n');
        return 0;
}

/* In the host's network its names are right; with loopback alone there is only ourselves. */
static int put_hosts(const struct sandbox *s, struct buf *out, struct err *e)
{
        for (size_t i = 0; i < s->add_hosts.n; i++)
                if (put_host(s->add_hosts.v[i], out, e) < 0)
                        return -1;
        if (s->network == NETWORK_HOST) {
                put_host_file(out, "/etc/hosts");
                return 0;
        }
        buf_puts(out, "127.0.0.1\tlocalhost\n"
                      "::1\tlocalhost ip6-localhost ip6-loopback\n");
        buf_printf(out, "127.0.0.1\t%s\n", host_name(s));
        return 0;
}

/* Whether what is given stands in the place of this line of the host's. */
static bool is_replaced(const struct sandbox *s, const char *line)
{
        if (s->dns_search.n && (str_after(line, "search") || str_after(line, "domain")))
                return true;
        return (s->dns.n && str_after(line, "nameserver")) ||
               (s->dns_options.n && str_after(line, "options"));
}

/* What is given replaces the host's line of that kind, as docker does. */
static int put_resolv_conf(const struct sandbox *s, struct buf *out, struct err *e)
{
        AUTO_BUF host = { 0 };
        const char *at, *line;
        size_t len;

        if (s->dns.n == 1 && str_eq(s->dns.v[0], "none"))
                return 0;
        if (s->network == NETWORK_HOST)
                put_host_file(&host, "/etc/resolv.conf");
        at = buf_str(&host);
        while (str_next(&at, '\n', &line, &len))
                if (len && !is_replaced(s, line)) {
                        buf_add(out, line, len);
                        buf_putc(out, '\n');
                }
        for (size_t i = 0; i < s->dns_search.n; i++)
                if (!str_eq(s->dns_search.v[i], "."))
                        buf_printf(out, "search %s\n", s->dns_search.v[i]);
        for (size_t i = 0; i < s->dns.n; i++) {
                if (s->dns.v[i][strspn(s->dns.v[i], "0123456789abcdefABCDEF.:%")] != 0)
                        return err_set(e, ERR_INVALID, "--dns: \"%s\" is no address", s->dns.v[i]);
                buf_printf(out, "nameserver %s\n", s->dns.v[i]);
        }
        for (size_t i = 0; i < s->dns_options.n; i++)
                buf_printf(out, "%s%s%s", i ? " " : "options ", s->dns_options.v[i],
                           i + 1 == s->dns_options.n ? "\n" : "");
        return 0;
}

enum { HOSTS, HOSTNAME, RESOLV };
static const struct {
        const char *name, *destination;
        int (*put)(const struct sandbox *s, struct buf *out, struct err *e);
} etc_files[] = {
        [HOSTS] = { "etc/hosts", "/etc/hosts", put_hosts },
        [HOSTNAME] = { "etc/hostname", "/etc/hostname", put_hostname },
        [RESOLV] = { "etc/resolv.conf", "/etc/resolv.conf", put_resolv_conf },
};

/* ---- the time zone ---- */

static int add_zone(struct arena *a, const struct sandbox *s, struct mounts *m, struct err *e)
{
        static const char *const options[] = { "nosuid", "nodev", "noexec", "ro", NULL };
        const char *path = str_eq(s->tz, "local") ? "/etc/localtime" : NULL;
        AUTO_FREE char *real = NULL;
        struct stat st;
        char clean[4096];

        if (!path && path_join(ZONES, s->tz, clean, sizeof clean) == 0 && path_below(clean, ZONES))
                path = clean;
        real = path ? realpath(path, NULL) : NULL;
        if (!real || stat(real, &st) < 0 || !S_ISREG(st.st_mode))
                return err_set(e, ERR_INVALID, "--tz: \"%s\" is no time zone of this host", s->tz);
        mounts_bind(a, m, arena_strdup(a, real), "/etc/localtime", options);
        return 0;
}

/* ---- all of them ---- */

static int make_file(const struct sandbox *s, const struct workspace *w, size_t i, bool dry,
                     struct err *e)
{
        AUTO_BUF text = { 0 };
        int r;

        if (etc_files[i].put(s, &text, e) < 0)
                return -1;
        if (dry)
                return 0;
        AUTO_FD int fd =
                openat(w->dir, etc_files[i].name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        r = fd < 0 ? -errno : fd_write_all(fd, buf_str(&text), text.len);
        if (r == 0 && fchmod(fd, 0644) < 0) /* whatever our umask */
                r = -errno;
        return r < 0 ? err_sys(e, r, "cannot write \"%s/%s\"", w->path, etc_files[i].name) : 0;
}

/* --chrootdirs: the same file in each of them. */
static int bind_in_roots(struct arena *a, const struct sandbox *s, const struct workspace *w,
                         size_t i, const char *const *options, struct mounts *m, struct err *e)
{
        for (size_t k = 0; k < s->chrootdirs.n; k++) {
                const char *dir = s->chrootdirs.v[k];
                char path[4096];

                if (*dir != '/' || path_join(dir, etc_files[i].name, path, sizeof path) < 0)
                        return err_set(e, ERR_INVALID,
                                       "--chrootdirs: \"%s\" is not an absolute path", dir);
                if (!mounts_has(m, path))
                        mounts_bind(a, m, arena_printf(a, "%s/%s", w->path, etc_files[i].name),
                                    arena_strdup(a, path), options)
                                ->stored = true;
        }
        return 0;
}

int mounts_etc(struct arena *a, const struct sandbox *s, const struct workspace *w, bool dry,
               struct mounts *m, struct err *e)
{
        const char *const options[] = { "nosuid", "nodev", "noexec", s->read_only ? "ro" : NULL,
                                        NULL };

        if (!dry && mkdirat(w->dir, "etc", 0755) < 0)
                return err_sys(e, errno, "cannot make \"%s/etc\"", w->path);
        if (s->tz && !mounts_has(m, "/etc/localtime") && add_zone(a, s, m, e) < 0)
                return -1;
        for (size_t i = 0; i < ARRAY_SIZE(etc_files); i++) {
                if (mounts_has(m, etc_files[i].destination) || (i == HOSTS && s->no_hosts))
                        continue;
                if (make_file(s, w, i, dry, e) < 0)
                        return -1;
                mounts_bind(a, m, arena_printf(a, "%s/%s", w->path, etc_files[i].name),
                            etc_files[i].destination, options)
                        ->stored = true;
                if (bind_in_roots(a, s, w, i, options, m, e) < 0)
                        return -1;
        }
        return 0;
}
