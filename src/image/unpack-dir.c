/* The directory form of a layer: a tree of files, overlayfs's whiteouts among them, and what it
 * takes to write the same archive again. Each entry costs as few system calls as there can be:
 * a file open, write, utimensat, close, and chown only where it isn't root's. */
#include "image/unpack-dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

int dir_refuse(struct sink_dir *x, int code, const char *rule)
{
        unpack_refuse_entry(x->err, x->s.entries + 1, x->entry->path, code, rule);
        return -ECANCELED;
}

int dir_failed(struct sink_dir *x, int error, const char *what)
{
        char name[200];

        if (abs(error) == EOVERFLOW)
                return dir_refuse(x, -E2BIG, "too many directories are replaced by other entries");
        err_sys(x->err, error, "cannot %s '%s'", what, unpack_name(x->entry->path, name));
        if (abs(error) == EPERM || abs(error) == EINVAL)
                err_hint(x->err, "Files of other owners take root, or a user namespace that has"
                                 " their IDs (subuid(5)).");
        return -ECANCELED;
}

/* ---- from the parser ---- */

static int on_entry(void *ctx, const struct tar_entry *t)
{
        struct sink_dir *x = ctx;
        const char *rule;
        int r;

        x->entry = t;
        x->fd = -1;
        x->at_path = false;
        if (place_parse(t->path, &x->place, &rule) < 0)
                return dir_refuse(x, -EINVAL, rule);
        if (x->place.ignored)
                return 0;
        r = dir_entry_make(x);
        if (r == 0 && x->dirs.count > x->job->limits.entries)
                r = dir_refuse(x, -E2BIG, "the layer has too many directories");
        return r;
}

static int on_data(void *ctx, uint64_t offset, const void *p, size_t n)
{
        struct sink_dir *x = ctx;
        int r = 0;

        if (x->fd < 0)
                return 0;
        headers_literal(&x->headers, x->mark, (size_t)((const uint8_t *)p - x->mark));
        headers_data(&x->headers, offset, n);
        x->mark = (const uint8_t *)p + n;
        if (offset != x->at && lseek(x->fd, (off_t)offset, SEEK_SET) < 0)
                r = -errno;
        if (r == 0)
                r = fd_write_all(x->fd, p, n);
        x->at = offset + n;
        return r < 0 ? dir_failed(x, r, "write") : 0;
}

static int on_end(void *ctx)
{
        struct sink_dir *x = ctx;
        int r = 0;

        if (x->fd >= 0) {
                if (x->at < x->entry->size && ftruncate(x->fd, (off_t)x->entry->size) < 0)
                        r = dir_failed(x, errno, "extend");
                if (r == 0)
                        r = dir_attrs_file(x);
                x->fd = fd_close(x->fd);
        } else if (x->at_path) {
                r = dir_attrs_node(x);
        }
        x->s.entries++;
        return r;
}

static const struct tar_handler handler = { on_entry, on_data, on_end };

/* ---- the sink ---- */

static int feed(struct sink *s, const uint8_t *p, size_t n, struct err *e)
{
        struct sink_dir *x = (struct sink_dir *)s;
        int r;

        x->err = e;
        x->mark = p;
        r = tar_feed(x->tar, p, n);
        if (r < 0)
                return r == -ECANCELED ? -1 : unpack_refuse(e, r, tar_problem(x->tar));
        headers_literal(&x->headers, x->mark, (size_t)(p + n - x->mark));
        if (x->headers.error < 0)
                return err_sys(e, x->headers.error, "cannot write the layer's headers");
        return 0;
}

int sink_dir_seed(struct sink *s, const struct tar_entry *t, struct err *e)
{
        struct sink_dir *x = (struct sink_dir *)s;

        x->err = e;
        if (on_entry(x, t) < 0 || on_end(x) < 0)
                return -1;
        x->s.entries = 0;
        return 0;
}

/* What leans: 'd' path NUL, or 'l' path NUL target NUL; parents first. */
static void lean_list(struct sink_dir *x, struct buf *ret)
{
        for (struct dir *d = x->dirs.root->next; d; d = d->next) {
                if (!(d->flags & DIR_IMPLIED) || (d->flags & DIR_WHITED) ||
                    !dirs_lives(&x->dirs, d))
                        continue;
                dirs_path(d, &x->path);
                buf_putc(ret, 'd');
                buf_add(ret, buf_str(&x->path), x->path.len + 1);
        }
        for (struct pending *p = x->pending; p; p = p->next) {
                if (p->done)
                        continue;
                dirs_path(p->dir, &x->path);
                buf_putc(ret, 'l');
                if (x->path.len)
                        buf_printf(ret, "%s/", x->path.s);
                buf_add(ret, p->name, strlen(p->name) + 1);
                buf_add(ret, p->target, strlen(p->target) + 1);
        }
}

static int lean_write(struct sink_dir *x, struct err *e)
{
        AUTO_BUF list = { .s = NULL };
        int r;

        buf_putc(&list, x->job->userxattr ? 'u' : 't');
        lean_list(x, &list);
        x->s.leans = list.len > 1;
        if (!x->s.leans)
                return 0;
        r = fd_replace_at(x->stage, "lean", list.s, list.len, 0600, 0);
        return r < 0 ? err_sys(e, r, "cannot write what the layer leans on") : 0;
}

static int finish(struct sink *s, struct err *e)
{
        struct sink_dir *x = (struct sink_dir *)s;
        int r = tar_finish(x->tar);

        if (r < 0)
                return unpack_refuse(e, r, tar_problem(x->tar));
        x->err = e;
        if (dir_links_settle(x) < 0 || lean_write(x, e) < 0 || dir_attrs_all(x) < 0)
                return -1;
        r = headers_end(&x->headers);
        return r < 0 ? err_sys(e, r, "cannot write the layer's headers") : 0;
}

static void sink_free(struct sink *s)
{
        struct sink_dir *x = (struct sink_dir *)s;

        tar_free(x->tar);
        dirs_done(&x->dirs);
        headers_done(&x->headers);
        buf_done(&x->path);
        fd_close(x->fd);
        fd_close(x->replaced);
        free(x);
}

/* An empty directory of root's, which has inherited nothing from the store's own. */
static int root_make(int stage, const char *name)
{
        AUTO_FD int fd = -1;

        if (mkdirat(stage, name, 0755) < 0)
                return -errno;
        fd = openat(stage, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        fremovexattr(fd, "system.posix_acl_default");
        fremovexattr(fd, "system.posix_acl_access");
        if (fchown(fd, 0, 0) < 0 && geteuid() == 0)
                return -errno;
        return fchmod(fd, 0755) < 0 ? -errno : TAKE_FD(fd);
}

struct sink *sink_dir_new(const struct layer_job *j, struct err *e)
{
        struct sink_dir *x;
        int root = root_make(j->stage, "fs"), headers;

        if (root < 0) {
                err_sys(e, root, "cannot create the layer's directory");
                return NULL;
        }
        headers = openat(j->stage, "layer.headers",
                         O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (headers < 0) {
                err_sys(e, errno, "cannot create the layer's headers");
                fd_close(root);
                return NULL;
        }
        x = mem_alloc(sizeof *x);
        x->s = (struct sink){ .feed = feed, .finish = finish, .free = sink_free };
        x->job = j;
        x->stage = j->stage;
        x->fd = x->replaced = -1;
        x->pending_end = &x->pending;
        x->tar = tar_new(&j->limits, &handler, x);
        dirs_init(&x->dirs, root);
        headers_begin(&x->headers, headers);
        return &x->s;
}
