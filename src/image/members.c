/* What an archive holds, by name.
 *
 * Of a tar only the headers are read: when the parser has said how much data follows an entry,
 * it is given as many zeros from memory, and the file's bytes are passed over. */
#include "image/members.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "codec/tar.h"
#include "kernel/resolve.h"

#define BLOCK 512
#define MEMBERS_MAX 65536
#define NAMES_MAX (16u << 20) /* bytes of all names */
#define LINKS_MAX 8           /* from one to the next */
#define PATH_CAP 1024         /* archives of images have none longer than 120 */

struct member {
        const char *name; /* clean and relative */
        const char *link; /* the member that it stands for, likewise; NULL: it is a file */
        uint64_t at, size;
        size_t order;
        bool again; /* the name is there twice; this is the last one */
};

struct members {
        int fd;
        bool tar;
        struct arena arena;
        struct member *v; /* by name; on the heap */
        size_t n, cap;
};

static int by_name(const void *p, const void *q)
{
        const struct member *a = p, *b = q;
        int r = strcmp(a->name, b->name);

        return r ? r : (a->order > b->order) - (a->order < b->order);
}

/* ---- indexing ---- */

struct index {
        struct members *m;
        uint64_t at;   /* of the next byte to be read */
        uint64_t data; /* bytes of data that follow, padding included */
        uint64_t file_size;
        struct err *e;
};

/* Whether a component of path is "..". */
static bool climbs(const char *path)
{
        const char *part;
        size_t n;

        while (str_next(&path, '/', &part, &n))
                if (n == 2 && strncmp(part, "..", 2) == 0)
                        return true;
        return false;
}

static int check_name(const char *path, struct err *e)
{
        if (*path == '/' || climbs(path))
                return err_set(e, ERR_INVALID, "member \"%s\" leaves the archive", path);
        return 0;
}

static int clean_name(struct members *m, const char *path, const char **ret, struct err *e)
{
        char buf[PATH_CAP];

        if (path_clean(path, buf, sizeof buf) < 0)
                return err_set(e, ERR_LIMIT, "the name of a member is longer than %d bytes",
                               PATH_CAP - 1);
        *ret = arena_strdup(&m->arena, buf);
        return 0;
}

/* Where a link leads: a symbolic one from its directory, a hard one from the top. */
static int clean_link(struct members *m, const char *name, const struct tar_entry *t,
                      const char **ret, struct err *e)
{
        const char *slash = strrchr(name, '/');
        char dir[PATH_CAP] = ".", buf[PATH_CAP];

        if (t->type == TAR_SYMLINK && slash) {
                memcpy(dir, name, (size_t)(slash - name));
                dir[slash - name] = 0;
        }
        if (path_join(dir, t->link, buf, sizeof buf) < 0)
                return err_set(e, ERR_LIMIT, "the link of member \"%s\" is too long", name);
        if (*buf == '/' || climbs(buf))
                return err_set(e, ERR_INVALID, "member \"%s\" links out of the archive, to \"%s\"",
                               name, t->link);
        *ret = arena_strdup(&m->arena, buf);
        return 0;
}

static int add(struct index *x, const struct tar_entry *t)
{
        struct members *m = x->m;
        struct member new = { .at = t->data_at, .size = t->size, .order = m->n };

        if (m->n == MEMBERS_MAX || m->arena.used > NAMES_MAX)
                return err_set(x->e, ERR_LIMIT, "it has more than %d members", MEMBERS_MAX);
        if (clean_name(m, t->path, &new.name, x->e) < 0)
                return -1;
        if (t->link && clean_link(m, new.name, t, &new.link, x->e) < 0)
                return -1;
        if (t->extents)
                return err_set(x->e, ERR_UNSUPPORTED, "member \"%s\" is stored as a sparse file",
                               new.name);
        if (m->n == m->cap) {
                m->cap = m->cap ? 2 * m->cap : 64;
                m->v = mem_realloc(m->v, mem_mul(m->cap, sizeof *m->v));
        }
        m->v[m->n++] = new;
        return 0;
}

static int on_entry(void *ctx, const struct tar_entry *t)
{
        struct index *x = ctx;

        x->data = t->stored + tar_padding(t->stored);
        if (t->data_at + t->stored > x->file_size)
                return err_set(x->e, ERR_INVALID, "it is cut off in member \"%s\"", t->path);
        if (check_name(t->path, x->e) < 0)
                return -1;
        if (t->type == TAR_DIR)
                return 0;
        if (t->type != TAR_FILE && !t->link)
                return err_set(x->e, ERR_INVALID, "member \"%s\" is no file", t->path);
        return add(x, t);
}

static int on_data(void *ctx, uint64_t offset, const void *p, size_t n)
{
        return 0;
}

static int on_end(void *ctx)
{
        return 0;
}

/* Tells the parser that the current entry's data has gone by. */
static int pass_over(struct index *x, struct tar *t)
{
        static const char zeros[65536];

        while (x->data) {
                size_t n = MIN(x->data, sizeof zeros);
                int r = tar_feed(t, zeros, n);

                if (r < 0)
                        return r;
                x->data -= n;
                x->at += n;
        }
        return 0;
}

static bool is_zero(const char *block)
{
        return *block == 0 && memcmp(block, block + 1, BLOCK - 1) == 0;
}

/* A block at a time, until the file or the archive (two blocks of zeros) ends. */
static int read_headers(struct index *x, struct tar *t)
{
        char block[BLOCK];
        int zeros = 0, r;

        while (zeros < 2) {
                ssize_t n = pread(x->m->fd, block, sizeof block, (off_t)x->at);

                if (n < 0)
                        return err_sys(x->e, errno, "cannot read the archive");
                if (n == 0)
                        break;
                zeros = n == BLOCK && is_zero(block) ? zeros + 1 : 0;
                x->at += (uint64_t)n;
                r = tar_feed(t, block, (size_t)n);
                if (r == 0)
                        r = pass_over(x, t);
                if (r < 0)
                        return r;
        }
        return tar_finish(t);
}

static void sort(struct members *m)
{
        if (m->n)
                qsort(m->v, m->n, sizeof *m->v, by_name);
        for (size_t i = 1; i < m->n; i++)
                m->v[i].again = str_eq(m->v[i].name, m->v[i - 1].name);
}

int members_of_tar(int fd, struct members **ret, struct err *e)
{
        static const struct tar_handler handler = { on_entry, on_data, on_end };
        struct members *m = mem_alloc(sizeof *m);
        struct index x = { .m = m, .e = e };
        struct tar *t = tar_new(&tar_limits_default, &handler, &x);
        struct stat st;
        int r = -1;

        *m = (struct members){ .fd = fd, .tar = true };
        err_clear(e);
        if (fstat(fd, &st) < 0) {
                err_sys(e, errno, "cannot read the archive");
        } else {
                x.file_size = (uint64_t)st.st_size;
                r = read_headers(&x, t);
                if (r < 0 && e->code == ERR_NONE)
                        err_set(e, r == -E2BIG ? ERR_LIMIT : ERR_INVALID, "%s%s",
                                x.at <= BLOCK ? "it is no tar file: " : "", tar_problem(t));
        }
        tar_free(t);
        if (r < 0) {
                members_free(m);
                return -1;
        }
        sort(m);
        *ret = m;
        return 0;
}

int members_of_dir(int dir, struct members **ret, struct err *e)
{
        *ret = mem_alloc(sizeof **ret);
        (*ret)->fd = dir;
        return 0;
}

void members_free(struct members *m)
{
        if (!m)
                return;
        arena_done(&m->arena);
        free(m->v);
        free(m);
}

bool members_are_tar(const struct members *m)
{
        return m->tar;
}

/* ---- looking up ---- */

/* The last member of that name: a later one replaces an earlier one, as when unpacking. */
static const struct member *find_one(const struct members *m, const char *name)
{
        size_t low = 0, high = m->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (strcmp(m->v[middle].name, name) <= 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low && str_eq(m->v[low - 1].name, name) ? &m->v[low - 1] : NULL;
}

static const struct member *find(const struct members *m, const char *name, struct err *e)
{
        const char *at = name;

        for (int i = 0; i < LINKS_MAX; i++) {
                const struct member *found = find_one(m, at);

                if (!found) {
                        err_set(e, ERR_NOT_FOUND, "the archive has no member \"%s\"", at);
                        return NULL;
                }
                if (!found->link)
                        return found;
                at = found->link;
        }
        err_set(e, ERR_INVALID, "member \"%s\" links in a circle", name);
        return NULL;
}

/* Never waits for a FIFO, never opens a device: what a directory holds may be a stranger's. */
static int open_file(const struct members *m, const char *name, int *ret_fd, uint64_t *ret_size,
                     struct err *e)
{
        AUTO_FD int fd = resolve_open(m->fd, name, O_RDONLY | O_NONBLOCK, 0, 0);
        struct stat st;

        if (fd < 0)
                return err_sys(e, fd, "cannot open \"%s\"", name);
        if (fstat(fd, &st) < 0)
                return err_sys(e, errno, "cannot open \"%s\"", name);
        if (!S_ISREG(st.st_mode))
                return err_set(e, ERR_INVALID, "\"%s\" is no regular file", name);
        *ret_fd = TAKE_FD(fd);
        *ret_size = (uint64_t)st.st_size;
        return 0;
}

bool members_has(const struct members *m, const char *name)
{
        AUTO_FD int fd = -1;
        uint64_t size;

        return m->tar ? find(m, name, NULL) != NULL : open_file(m, name, &fd, &size, NULL) == 0;
}

bool members_are_apart(const struct members *m)
{
        AUTO_FD int fd = m->tar ? open(fd_path(m->fd).s, O_RDONLY | O_CLOEXEC) : -1;

        return !m->tar || fd >= 0;
}

int members_open(const struct members *m, const char *name, int *ret_fd, uint64_t *ret_size,
                 struct err *e)
{
        const struct member *found;
        AUTO_FD int fd = -1;

        if (!m->tar)
                return open_file(m, name, ret_fd, ret_size, e);
        if (!(found = find(m, name, e)))
                return -1;
        /* Opened again it has an offset of its own; where that is denied, it shares ours. */
        fd = open(fd_path(m->fd).s, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                fd = fcntl(m->fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0 || lseek(fd, (off_t)found->at, SEEK_SET) < 0)
                return err_sys(e, errno, "cannot read member \"%s\"", name);
        *ret_fd = TAKE_FD(fd);
        *ret_size = found->size;
        return 0;
}

int members_read(const struct members *m, struct arena *a, const char *name, size_t limit,
                 const char **ret, size_t *ret_n, struct err *e)
{
        const struct member *found = m->tar ? find(m, name, e) : NULL;
        AUTO_FD int fd = -1;
        uint64_t size;
        char *text;

        if (m->tar && !found)
                return -1;
        if (found && found->again)
                return err_set(e, ERR_INVALID, "the archive has member \"%s\" twice", name);
        if (members_open(m, name, &fd, &size, e) < 0)
                return -1;
        if (size > limit)
                return err_set(e, ERR_LIMIT, "\"%s\" has %llu bytes; the limit is %zu", name,
                               (unsigned long long)size, limit);
        text = arena_alloc(a, (size_t)size + 1);
        for (size_t got = 0; got < size;) {
                ssize_t n = read(fd, text + got, (size_t)size - got);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return err_sys(e, n < 0 ? errno : EIO, "cannot read \"%s\"", name);
                got += (size_t)n;
        }
        *ret = text;
        *ret_n = (size_t)size;
        return 0;
}
