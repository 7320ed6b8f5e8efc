/* Where an archive is written to: a tar, whose members' headers depend on nothing but name and
 * size, or a directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "codec/tar.h"
#include "image/archive-internal.h"

void sink_init(struct sink *k, int fd, bool tar)
{
        *k = (struct sink){ .fd = fd, .tar = tar, .member = -1 };
        snprintf(k->temporary, sizeof k->temporary, ".berth-%d", getpid());
}

void sink_done(struct sink *k)
{
        if (k->member >= 0)
                unlinkat(k->fd, k->temporary, 0);
        k->member = fd_close(k->member);
        arena_done(&k->arena);
}

bool sink_has(const struct sink *k, const char *name)
{
        for (size_t i = 0; i < k->written.n; i++)
                if (str_eq(k->written.v[i], name))
                        return true;
        return false;
}

static void remember(struct sink *k, const char *name)
{
        size_t n = k->written.n;

        if ((n & (n - 1)) == 0) { /* room for twice as many */
                const char **v = arena_array(&k->arena, const char *, n ? 2 * n : 1);

                if (n)
                        memcpy(v, k->written.v, n * sizeof *v);
                k->written.v = v;
        }
        k->written.v[k->written.n++] = arena_strdup(&k->arena, name);
}

static int write_error(int r, struct err *e)
{
        return err_sys(e, r, "cannot write the archive");
}

static int tar_header(struct sink *k, const char *name, enum tar_type type, uint64_t size,
                      struct err *e)
{
        struct tar_entry t = { .type = type,
                               .path = name,
                               .size = size,
                               .stored = size,
                               .mode = type == TAR_DIR ? 0755 : 0644 };
        AUTO_BUF out = { 0 };
        int r;

        tar_put_header(&out, &t);
        r = fd_write_all(k->fd, out.s, out.len);
        return r < 0 ? write_error(r, e) : 0;
}

/* The directories on the way to name, each once. */
static int parents(struct sink *k, const char *name, struct err *e)
{
        for (const char *slash = name; (slash = strchr(slash, '/')); slash++) {
                char *dir = arena_strndup(&k->arena, name, (size_t)(slash - name) + k->tar);

                if (sink_has(k, dir))
                        continue;
                if (k->tar && tar_header(k, dir, TAR_DIR, 0, e) < 0)
                        return -1;
                if (!k->tar && mkdirat(k->fd, dir, 0755) < 0 && errno != EEXIST)
                        return err_sys(e, errno, "cannot make directory \"%s\"", dir);
                remember(k, dir);
        }
        return 0;
}

int sink_begin(struct sink *k, const char *name, uint64_t size, int *ret_fd, struct err *e)
{
        if (parents(k, name, e) < 0)
                return -1;
        k->expected = size;
        remember(k, name);
        if (k->tar) {
                *ret_fd = k->fd;
                return tar_header(k, name, TAR_FILE, size, e);
        }
        k->member = openat(k->fd, k->temporary,
                           O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (k->member < 0)
                return err_sys(e, errno, "cannot create \"%s\"", name);
        *ret_fd = k->member;
        return 0;
}

int sink_end(struct sink *k, struct err *e)
{
        static const char zeros[512];
        const char *name = k->written.v[k->written.n - 1];
        struct stat st;
        int r;

        if (k->tar) {
                r = fd_write_all(k->fd, zeros, tar_padding(k->expected));
                return r < 0 ? write_error(r, e) : 0;
        }
        if (fstat(k->member, &st) < 0)
                return write_error(errno, e);
        if ((uint64_t)st.st_size != k->expected)
                return err_set(e, ERR_INTERNAL, "\"%s\" was written with %lld bytes, not %llu",
                               name, (long long)st.st_size, (unsigned long long)k->expected);
        k->member = fd_close(k->member);
        if (renameat(k->fd, k->temporary, k->fd, name) < 0)
                return err_sys(e, errno, "cannot create \"%s\"", name);
        return 0;
}

int sink_put(struct sink *k, const char *name, const void *p, size_t n, struct err *e)
{
        int fd, r;

        if (sink_begin(k, name, n, &fd, e) < 0)
                return -1;
        r = fd_write_all(fd, p, n);
        if (r < 0)
                return write_error(r, e);
        return sink_end(k, e);
}

int sink_finish(struct sink *k, struct err *e)
{
        AUTO_BUF out = { 0 };
        int r;

        if (!k->tar)
                return 0;
        tar_put_end(&out);
        r = fd_write_all(k->fd, out.s, out.len);
        return r < 0 ? write_error(r, e) : 0;
}
