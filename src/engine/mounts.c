#include "engine/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

struct fixed {
        const char *destination, *type, *source;
        const char *options[7];
};
static const struct fixed always[] = {
        { "/proc", "proc", "proc", { "nosuid", "noexec", "nodev" } },
        { "/dev", "tmpfs", "tmpfs", { "nosuid", "strictatime", "mode=755", "size=65536k" } },
        { "/dev/pts",
          "devpts",
          "devpts",
          { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5" } },
        { "/dev/shm", "tmpfs", "shm", { "nosuid", "noexec", "nodev", "mode=1777", "size=65536k" } },
        { "/dev/mqueue", "mqueue", "mqueue", { "nosuid", "noexec", "nodev" } },
};
/* Without a network namespace of its own, a fresh sysfs would be the host's: bound read-only
 * then. */
static const struct fixed sys[] = {
        [NETWORK_NONE] = { "/sys", "sysfs", "sysfs", { "nosuid", "noexec", "nodev", "ro" } },
        [NETWORK_HOST] = { "/sys",
                           "bind",
                           "/sys",
                           { "rbind", "nosuid", "noexec", "nodev", "rro" } },
};
static const struct fixed cgroups = {
        "/sys/fs/cgroup", "cgroup", "cgroup", { "nosuid", "noexec", "nodev", "relatime", "ro" }
};
/* In the host's root these hold sockets and files of its services. */
static const struct fixed host_only[] = {
        { "/run", "tmpfs", "tmpfs", { "nosuid", "nodev", "mode=755" } },
        { "/tmp", "tmpfs", "tmpfs", { "nosuid", "nodev", "mode=1777" } },
};

/* ---- the list ---- */

struct mount_row *mounts_add(struct arena *a, struct mounts *m)
{
        if (m->n == m->cap) {
                struct mount_row *v;

                m->cap = m->cap ? m->cap * 2 : 8;
                v = arena_array(a, struct mount_row, m->cap);
                if (m->n)
                        memcpy(v, m->v, m->n * sizeof *v);
                m->v = v;
        }
        m->v[m->n] = (struct mount_row){ 0 };
        return &m->v[m->n++];
}

bool mounts_has(const struct mounts *m, const char *destination)
{
        for (size_t i = 0; i < m->n; i++)
                if (str_eq(m->v[i].destination, destination))
                        return true;
        return false;
}

void mounts_bind(struct arena *a, struct mounts *m, const char *source, const char *destination,
                 const char *const *options)
{
        struct mount_row *row = mounts_add(a, m);

        row->type = "bind";
        row->source = source;
        row->destination = destination;
        settings_push(a, &row->options, "rbind");
        settings_push(a, &row->options, "rprivate");
        for (; *options; options++)
                settings_push(a, &row->options, *options);
}

/* ---- files of /etc ---- */

#define HOST_FILE_MAX (1u << 20)

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

static void put_hostname(const struct sandbox *s, struct buf *out)
{
        buf_printf(out, "%s\n", host_name(s));
}

/* In the host's network its names are right; with loopback alone there is only ourselves. */
static void put_hosts(const struct sandbox *s, struct buf *out)
{
        if (s->network == NETWORK_HOST) {
                put_host_file(out, "/etc/hosts");
                return;
        }
        buf_puts(out, "127.0.0.1\tlocalhost\n"
                      "::1\tlocalhost ip6-localhost ip6-loopback\n");
        buf_printf(out, "127.0.0.1\t%s\n", host_name(s));
}

static void put_resolv_conf(const struct sandbox *s, struct buf *out)
{
        if (s->network == NETWORK_HOST)
                put_host_file(out, "/etc/resolv.conf");
}

static const struct {
        const char *name, *destination;
        void (*put)(const struct sandbox *s, struct buf *out);
} etc_files[] = {
        { "etc/hosts", "/etc/hosts", put_hosts },
        { "etc/hostname", "/etc/hostname", put_hostname },
        { "etc/resolv.conf", "/etc/resolv.conf", put_resolv_conf },
};

int mounts_etc(struct arena *a, const struct sandbox *s, const struct workspace *w, bool dry,
               struct mounts *m, struct err *e)
{
        const char *const options[] = { "nosuid", "nodev", "noexec", s->read_only ? "ro" : NULL,
                                        NULL };

        if (!dry && mkdirat(w->dir, "etc", 0755) < 0)
                return err_sys(e, errno, "cannot make \"%s/etc\"", w->path);
        for (size_t i = 0; i < ARRAY_SIZE(etc_files); i++) {
                AUTO_BUF text = { 0 };
                int r;

                if (mounts_has(m, etc_files[i].destination))
                        continue;
                etc_files[i].put(s, &text);
                AUTO_FD int fd = dry ? -1
                                     : openat(w->dir, etc_files[i].name,
                                              O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
                r = dry ? 0 : fd < 0 ? -errno : fd_write_all(fd, buf_str(&text), text.len);
                if (r == 0 && fd >= 0 && fchmod(fd, 0644) < 0) /* whatever our umask */
                        r = -errno;
                if (r < 0)
                        return err_sys(e, r, "cannot write \"%s/%s\"", w->path, etc_files[i].name);
                mounts_bind(a, m, arena_printf(a, "%s/%s", w->path, etc_files[i].name),
                            etc_files[i].destination, options);
        }
        return 0;
}

/* ---- writing ---- */

static void put_fixed(struct json_writer *w, const struct fixed *m)
{
        json_open(w, NULL, '{');
        json_put_str(w, "destination", m->destination);
        json_put_str(w, "type", m->type);
        json_put_str(w, "source", m->source);
        json_open(w, "options", '[');
        for (size_t i = 0; i < ARRAY_SIZE(m->options) && m->options[i]; i++)
                json_put_str(w, NULL, m->options[i]);
        json_close(w, ']');
        json_close(w, '}');
}

static void put_row(struct json_writer *w, const struct mount_row *m)
{
        json_open(w, NULL, '{');
        json_put_str(w, "destination", m->destination);
        json_put_str(w, "type", m->type);
        json_put_str(w, "source", m->source);
        json_open(w, "options", '[');
        for (size_t i = 0; i < m->options.n; i++)
                json_put_str(w, NULL, m->options.v[i]);
        json_close(w, ']');
        json_close(w, '}');
}

static int by_depth(const void *pa, const void *pb)
{
        const struct mount_row *a = pa, *b = pb;
        size_t depth[2] = { 0 };

        for (const char *c = a->destination; *c; c++)
                depth[0] += *c == '/';
        for (const char *c = b->destination; *c; c++)
                depth[1] += *c == '/';
        if (depth[0] != depth[1])
                return depth[0] < depth[1] ? -1 : 1;
        return strcmp(a->destination, b->destination);
}

void mounts_write(const struct sandbox *s, struct mounts *m, struct json_writer *w)
{
        json_open(w, "mounts", '[');
        for (size_t i = 0; i < ARRAY_SIZE(always); i++)
                put_fixed(w, &always[i]);
        put_fixed(w, &sys[s->network]);
        put_fixed(w, &cgroups);
        for (size_t i = 0; !s->rootfs && !s->image && i < ARRAY_SIZE(host_only); i++)
                put_fixed(w, &host_only[i]);
        if (m->n)
                qsort(m->v, m->n, sizeof *m->v, by_depth);
        for (size_t i = 0; i < m->n; i++)
                put_row(w, &m->v[i]);
        json_close(w, ']');
}
