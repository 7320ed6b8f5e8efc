#include "engine/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
};
/* Only the owner of process numbers may mount them; bound, they are the host's for anyway. */
static const struct fixed proc_host = {
        "/proc", "bind", "/proc", { "rbind", "nosuid", "noexec", "nodev" }
};
/* Two that go with the IPC namespace. */
static const struct fixed ipc_own[] = {
        { "/dev/shm", "tmpfs", "shm", { "nosuid", "noexec", "nodev", "mode=1777" } },
        { "/dev/mqueue", "mqueue", "mqueue", { "nosuid", "noexec", "nodev" } },
};
static const struct fixed ipc_host[] = {
        { "/dev/shm", "bind", "/dev/shm", { "rbind", "nosuid", "noexec", "nodev" } },
        { "/dev/mqueue", "bind", "/dev/mqueue", { "rbind", "nosuid", "noexec", "nodev" } },
};
/* Without a network namespace of its own, a fresh sysfs would be the host's: bound read-only
 * then. */
static const struct fixed sys[] = {
        [NETWORK_NONE] = { "/sys", "sysfs", "sysfs", { "nosuid", "noexec", "nodev", "ro" } },
        [NETWORK_HOST] = { "/sys",
                           "bind",
                           "/sys",
                           { "rbind", "nosuid", "noexec", "nodev", "rro" } },
        [NETWORK_CONTAINER] = { "/sys", "sysfs", "sysfs", { "nosuid", "noexec", "nodev", "ro" } },
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

struct mount_row *mounts_bind(struct arena *a, struct mounts *m, const char *source,
                              const char *destination, const char *const *options)
{
        struct mount_row *row = mounts_add(a, m);

        row->type = "bind";
        row->source = source;
        row->destination = destination;
        strings_add(a, &row->options, "rbind");
        strings_add(a, &row->options, "rprivate");
        for (; *options; options++)
                strings_add(a, &row->options, *options);
        return row;
}

/* With a copy of what the image has there, and its mode. */
static void add_scratch(struct arena *a, struct mounts *m, const char *destination,
                        const char *const *options)
{
        struct mount_row *row;

        if (mounts_has(m, destination))
                return;
        row = mounts_add(a, m);
        *row = (struct mount_row){ .type = "tmpfs", .source = "tmpfs", .destination = destination };
        for (; *options; options++)
                strings_add(a, &row->options, *options);
}

void mounts_scratch(struct arena *a, const struct sandbox *s, bool systemd, struct mounts *m)
{
        static const char *const read_only[] = { "/run", "/tmp", "/var/tmp" };
        static const char *const of_systemd[] = { "/run", "/run/lock", "/tmp", "/var/log/journal" };
        static const char *const copied[] = { "nosuid", "nodev", "tmpcopyup", NULL };

        for (size_t i = 0; s->read_only && s->read_only_tmpfs && i < ARRAY_SIZE(read_only); i++)
                add_scratch(a, m, read_only[i], copied);
        for (size_t i = 0; systemd && i < ARRAY_SIZE(of_systemd); i++)
                add_scratch(a, m, of_systemd[i], copied);
}

/* ---- writing ---- */

/* A privileged container may write to /sys; extra, or NULL, is one option more. */
static void put_fixed(struct json_writer *w, const struct fixed *m, bool writable,
                      const char *extra)
{
        json_open(w, NULL, '{');
        json_put_str(w, "destination", m->destination);
        json_put_str(w, "type", m->type);
        json_put_str(w, "source", m->source);
        json_open(w, "options", '[');
        for (size_t i = 0; i < ARRAY_SIZE(m->options) && m->options[i]; i++)
                if (!writable || (!str_eq(m->options[i], "ro") && !str_eq(m->options[i], "rro")))
                        json_put_str(w, NULL, m->options[i]);
        if (extra)
                json_put_str(w, NULL, extra);
        json_close(w, ']');
        json_close(w, '}');
}

/* Whether the container has a user namespace of its own and this one is not that one's: what shows
 * it can't be mounted inside, only bound. */
static bool is_foreign(const struct sandbox *s, enum ns_kind kind)
{
        const struct ns_choice *n = &s->ns[kind], *user = &s->ns[KIND_USER];

        if (s->userns.mode == USERNS_HOST || n->mode == MODE_PRIVATE)
                return false;
        return n->mode == MODE_HOST || !str_eq0(user->container, n->container);
}

/* Terminals are the group tty's, where the container has it. */
static void put_basic(const struct sandbox *s, const struct fixed *f, struct json_writer *w)
{
        const struct fixed *proc = is_foreign(s, KIND_PID) ? &proc_host : &always[0];
        struct fixed pts = *f;
        uint32_t id;

        if (f == &always[0])
                f = proc;
        if (str_eq(f->type, "devpts") && s->userns.mode != USERNS_HOST &&
            !id_to_host(&s->userns.gids, 5, &id)) {
                pts.options[5] = NULL;
                f = &pts;
        }
        put_fixed(w, f, false, NULL);
}

/* What the host has none of (mqueue on a small one) can't be shared. */
static void put_ipc(const struct sandbox *s, const struct mounts *m, struct json_writer *w)
{
        bool host = s->ns[KIND_IPC].mode == MODE_HOST;
        char size[40];

        snprintf(size, sizeof size, "size=%lld",
                 s->limits.shm_size.set ? (long long)s->limits.shm_size.v : 64LL << 20);
        for (size_t i = 0; i < ARRAY_SIZE(ipc_own); i++) {
                const struct fixed *f = host ? &ipc_host[i] : &ipc_own[i];

                if (i == 1 && !host && is_foreign(s, KIND_IPC))
                        continue;
                if (i == 0 && str_eq0(s->ns[KIND_IPC].word, "none"))
                        continue;
                if (!mounts_has(m, f->destination) && (!host || access(f->source, F_OK) == 0))
                        put_fixed(w, f, false, !host && i == 0 ? size : NULL);
        }
}

static void put_row(const struct sandbox *s, struct json_writer *w, const struct mount_row *m)
{
        bool mapped = m->idmap || (m->stored && s->userns.mode != USERNS_HOST);

        json_open(w, NULL, '{');
        json_put_str(w, "destination", m->destination);
        json_put_str(w, "type", m->type);
        json_put_str(w, "source", m->source);
        json_open(w, "options", '[');
        for (size_t i = 0; i < m->options.n; i++)
                json_put_str(w, NULL, m->options.v[i]);
        if (mapped)
                json_put_str(w, NULL, "idmap");
        json_close(w, ']');
        if (m->uids.n)
                userns_write(&(struct userns){ .uids = m->uids, .gids = m->gids }, w);
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

/* On v1 a cgroup is its owner's to delegate: there it stays as it is. */
static bool may_change_cgroup(const struct sandbox *s, bool systemd)
{
        return s->privileged || (systemd && access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0);
}

void mounts_write(const struct sandbox *s, bool systemd, struct mounts *m, struct json_writer *w)
{
        json_open(w, "mounts", '[');
        for (size_t i = 0; i < ARRAY_SIZE(always); i++)
                put_basic(s, &always[i], w);
        put_ipc(s, m, w);
        put_fixed(w, &sys[is_foreign(s, KIND_NETWORK) ? NETWORK_HOST : s->network], s->privileged,
                  NULL);
        put_fixed(w, &cgroups, may_change_cgroup(s, systemd), NULL);
        for (size_t i = 0; !s->rootfs && !s->image && i < ARRAY_SIZE(host_only); i++)
                put_fixed(w, &host_only[i], false, NULL);
        if (m->n)
                qsort(m->v, m->n, sizeof *m->v, by_depth);
        for (size_t i = 0; i < m->n; i++)
                put_row(s, w, &m->v[i]);
        json_close(w, ']');
}
