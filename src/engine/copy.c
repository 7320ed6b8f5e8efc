#include "engine/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "engine/changes.h"
#include "image/tree-tar.h"
#include "image/tree-untar.h"
#include "kernel/caps.h"
#include "kernel/resolve.h"

#define CHUNK (256u << 10)

/* A place, opened. */
struct side {
        const struct copy_place *place;
        int root, lock;
        int dir;          /* what is to be read or written in */
        const char *name; /* in it; NULL: all of dir */
        bool is_dir;
        struct id_owners owners; /* of a container that runs in a user namespace */
};
struct copy {
        struct engine *g;
        struct arena a;
        const struct copy_options *o;
        struct side from, to;
        struct untar *untar;
        struct err why; /* of the sink */
};

/* ---- places ---- */

/* Of a container that is not up, volumes and the like are not mounted. */
static int check_mounts(struct copy *c, const struct side *s, struct err *e)
{
        struct strings points;
        char clean[4096];

        if (ctr_mount_points(c->g, &c->a, s->place->ctr, &points, e) < 0 ||
            path_join("/", s->place->path, clean, sizeof clean) < 0)
                return -1;
        for (size_t i = 0; i < points.n; i++)
                if (path_below(clean, arena_printf(&c->a, "/%s", points.v[i]))) {
                        err_set(e, ERR_STATE, "\"/%s\" is mounted only while the container runs",
                                points.v[i]);
                        return err_hint(e, "start it first: `berth start %.60s`",
                                        s->place->ctr->name);
                }
        return 0;
}

static int check_writable(struct copy *c, const struct side *s, struct err *e)
{
        bool read_only;

        if (s != &c->to)
                return 0;
        if (ctr_read_only(c->g, &c->a, s->place->ctr, &read_only, e) < 0)
                return -1;
        return read_only ? err_set(e, ERR_DENIED, "the container's root is read-only") : 0;
}

static int side_open(struct copy *c, struct side *s, struct err *e)
{
        if (!s->place->path)
                return 0;
        if (s->place->ctr) {
                if (ctr_root(c->g, s->place->ctr, &s->root, &s->lock, e) < 0)
                        return -1;
                if (s->lock < 0) { /* what it has mounted decides */
                        s->owners = ctr_owners(&c->a, s->place->ctr);
                        return 0;
                }
                return check_mounts(c, s, e) < 0 ? -1 : check_writable(c, s, e);
        }
        s->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return s->root < 0 ? err_sys(e, errno, "cannot open \"/\"") : 0;
}

static void side_close(struct side *s)
{
        fd_close(s->dir);
        fd_close(s->root);
        fd_close(s->lock);
}

/* Whether the path names what is in a directory, not the directory: "d/.", ".". */
static bool names_content(const char *path)
{
        return str_eq(path, ".") || str_ends(path, "/.") || path[strspn(path, "/")] == 0;
}

/* The directory that holds the last component, and that. */
static int open_parent(struct copy *c, struct side *s, struct err *e)
{
        char *path = arena_strdup(&c->a, s->place->path), *slash;
        size_t n = strlen(path);

        while (n > 1 && path[n - 1] == '/')
                path[--n] = 0;
        slash = strrchr(path, '/');
        s->name = slash ? slash + 1 : path;
        if (str_empty(s->name) || str_eq(s->name, "..") || str_eq(s->name, "."))
                return err_set(e, ERR_INVALID, "\"%s\" has no last name", s->place->path);
        if (slash)
                *slash = 0;
        s->dir = resolve_in(s->root, slash && *path ? path : "/", O_DIRECTORY, 0);
        return s->dir < 0 ? err_sys(e, s->dir, "cannot open \"%s\"", slash && *path ? path : "/")
                          : 0;
}

/* ---- source ---- */

/* A link that is followed is read where it leads; of what it leads to the name is the link's. */
static int open_source(struct copy *c, struct err *e)
{
        struct side *s = &c->from;
        const char *path = s->place->path;
        AUTO_FD int fd =
                resolve_in(s->root, path, c->o->follow || str_ends(path, "/") ? 0 : O_NOFOLLOW, 0);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return err_sys(e, fd < 0 ? fd : errno, "cannot open \"%s\"", path);
        s->is_dir = S_ISDIR(st.st_mode);
        if (names_content(path)) {
                if (!s->is_dir)
                        return err_set(e, ERR_INVALID, "\"%s\" is no directory", path);
                s->dir = TAKE_FD(fd);
                return 0;
        }
        if (open_parent(c, s, e) < 0)
                return -1;
        if (c->o->follow || str_ends(path, "/")) {
                struct stat link = { 0 };

                if (fstatat(s->dir, s->name, &link, AT_SYMLINK_NOFOLLOW) == 0 &&
                    S_ISLNK(link.st_mode) && !s->is_dir)
                        return err_set(e, ERR_UNSUPPORTED,
                                       "\"%s\" is a link to a file: name that file", path);
                if (S_ISLNK(link.st_mode)) {
                        fd_close(s->dir);
                        s->dir = TAKE_FD(fd);
                        s->name = NULL;
                }
        }
        return 0;
}

/* ---- destination ---- */

static int open_new(struct copy *c, struct err *e)
{
        struct side *s = &c->to;

        if (str_ends(s->place->path, "/") && !c->from.is_dir)
                return err_set(e, ERR_NOT_FOUND, "there is no directory \"%s\"", s->place->path);
        return open_parent(c, s, e);
}

/* docker's rules: into a directory that is there, else under the name that is given. */
static int open_destination(struct copy *c, struct err *e)
{
        struct side *s = &c->to;
        AUTO_FD int fd = resolve_in(s->root, s->place->path, 0, 0);
        struct stat st;

        if (fd == -ENOENT && c->from.place->path)
                return open_new(c, e);
        if (fd < 0 || fstat(fd, &st) < 0)
                return err_sys(e, fd < 0 ? fd : errno, "cannot open \"%s\"", s->place->path);
        if (S_ISDIR(st.st_mode)) {
                s->dir = TAKE_FD(fd);
                s->name = c->from.name;
                return 0;
        }
        if (!c->from.place->path || c->from.is_dir)
                return err_set(e, ERR_INVALID, "\"%s\" is no directory", s->place->path);
        return open_parent(c, s, e);
}

/* ---- between them ---- */

static int to_untar(void *ctx, const void *p, size_t n)
{
        struct copy *c = ctx;

        return untar_feed(c->untar, p, n, &c->why) < 0 ? -EIO : 0;
}

static int from_stream(struct copy *c, struct err *e)
{
        AUTO_FREE char *chunk = mem_alloc(CHUNK);
        ssize_t n;

        while ((n = read(c->from.place->stream, chunk, CHUNK)) != 0) {
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_sys(e, errno, "cannot read the archive");
                if (untar_feed(c->untar, chunk, (size_t)n, e) < 0)
                        return -1;
        }
        return 0;
}

static int from_tree(struct copy *c, struct err *e)
{
        int out = c->to.place->stream;
        bool streams = !c->to.place->path;
        struct tree_tar t = { .dir = c->from.dir,
                              .latest = INT64_MAX,
                              .only = c->from.name,
                              .as = streams ? NULL : c->to.name,
                              .cross = true,
                              .owners = &c->from.owners,
                              .put = streams ? tree_tar_to_fd : to_untar,
                              .ctx = streams ? (void *)&out : c };
        int r = tree_tar_write(&t, e);

        if (r < 0 && c->why.code != ERR_NONE)
                *e = c->why;
        return r;
}

/* A directory's content under a new name: that directory is made first. */
static int make_renamed(struct copy *c, struct err *e)
{
        struct side *s = &c->to;
        AUTO_FD int made = -1;

        if (c->from.name || !s->name)
                return 0;
        if (mkdirat(s->dir, s->name, 0755) < 0 && errno != EEXIST)
                return err_sys(e, errno, "cannot make \"%s\"", s->place->path);
        made = resolve_in(s->dir, s->name, O_DIRECTORY | O_NOFOLLOW, 0);
        if (made < 0)
                return err_sys(e, made, "cannot open \"%s\"", s->place->path);
        fd_close(s->dir);
        s->dir = TAKE_FD(made);
        s->name = NULL;
        return 0;
}

/* Root of the host is nobody in a user namespace, and can't own a file there even for a moment. */
static int unpack(struct copy *c, struct err *e)
{
        const struct id_owners *o = &c->to.owners;
        uint32_t uid, gid;
        bool other = id_to_host(&o->uids, 0, &uid) && id_to_host(&o->gids, 0, &gid);
        int r;

        if (other && (r = caps_act_as(uid, gid)) < 0)
                return err_sys(e, r, "cannot act as the container's root");
        r = c->from.place->path ? from_tree(c, e) : from_stream(c, e);
        if (r == 0)
                r = untar_finish(c->untar, e);
        if (other)
                caps_act_as(geteuid(), getegid());
        return r;
}

static int transfer(struct copy *c, struct err *e)
{
        bool host = !c->to.place->ctr;
        int r;

        if (!c->to.place->path)
                return from_tree(c, e);
        if (c->from.place->path && make_renamed(c, e) < 0)
                return -1;
        c->untar = untar_new(c->to.dir,
                             c->o->archive ? UNTAR_ARCHIVE
                             : host        ? UNTAR_STRANGERS
                                           : UNTAR_INSIDE,
                             host ? geteuid() : 0, host ? getegid() : 0);
        untar_owners(c->untar, &c->to.owners);
        r = unpack(c, e);
        untar_free(c->untar);
        return r;
}

int ctr_copy(struct engine *g, const struct copy_place *from, const struct copy_place *to,
             const struct copy_options *o, struct err *e)
{
        struct copy c = { .g = g,
                          .o = o,
                          .from = { .place = from, .root = -1, .lock = -1, .dir = -1 },
                          .to = { .place = to, .root = -1, .lock = -1, .dir = -1 } };
        int r = side_open(&c, &c.from, e);

        if (r == 0)
                r = side_open(&c, &c.to, e);
        if (r == 0 && from->path)
                r = open_source(&c, e);
        if (r == 0 && to->path)
                r = open_destination(&c, e);
        if (r == 0)
                r = transfer(&c, e);
        side_close(&c.from);
        side_close(&c.to);
        arena_done(&c.a);
        return r < 0 ? -1 : 0;
}
