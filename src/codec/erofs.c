/* Entries into a tree (codec/erofs.h). The tree's own functions are in erofs-tree.c, what waits for
 * lower layers in erofs-link.c, and the image's layout in erofs-write.c. */
#include "codec/erofs.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "codec/erofs-internal.h"

#define WHITEOUT ".wh."
#define WHITEOUT_META ".wh..wh."
#define OPAQUE_MARKER ".wh..wh..opq"

struct erofs *erofs_new(void)
{
        struct erofs *x = mem_alloc(sizeof *x);

        x->names_cap = 1024;
        x->names = mem_alloc(sizeof(*x->names) * x->names_cap);
        x->xattrs_end = &x->xattrs;
        x->leanings_end = &x->leanings;
        x->odd_end = &x->odd;
        x->root = inode_make(x, S_IFDIR | 0755);
        x->root->flags = INODE_IMPLIED;
        x->targets = inode_make(x, S_IFDIR);
        x->last_dir = x->root;
        return x;
}

void erofs_free(struct erofs *x)
{
        if (!x)
                return;
        arena_done(&x->a);
        free(x->names);
        free(x);
}

const char *erofs_problem(const struct erofs *x)
{
        return x->problem;
}

uint64_t erofs_count(const struct erofs *x)
{
        return x->count;
}

int erofs_complain(struct erofs *x, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(x->problem, sizeof x->problem, fmt, ap);
        va_end(ap);
        return -EINVAL;
}

/* A path in two: the directory's part and the last component, both pointing into it. */
struct place {
        const char *dir, *name;
        size_t dir_len, name_len; /* name_len 0: the root */
        bool ignored;
};

static bool begins(const char *name, size_t len, const char *with)
{
        size_t n = strlen(with);

        return len >= n && !memcmp(name, with, n);
}

static bool is_opaque_marker(const char *name, size_t len)
{
        return len == strlen(OPAQUE_MARKER) && !memcmp(name, OPAQUE_MARKER, len);
}

/* Looks at each component: what is forbidden is so wherever it stands. */
static int place_of(struct erofs *x, const char *path, struct place *ret)
{
        struct place p = { .dir = path };
        const char *at = path, *c;
        size_t n;

        while (str_next(&at, '/', &c, &n)) {
                if (n == 0 || (n == 1 && c[0] == '.'))
                        continue;
                if (n == 2 && c[0] == '.' && c[1] == '.')
                        return erofs_complain(x, "its path has a '..' component");
                if (n > NAME_LIMIT)
                        return erofs_complain(x, "a component of its path is longer than %d bytes",
                                              NAME_LIMIT);
                if (p.name_len && begins(p.name, p.name_len, WHITEOUT))
                        return erofs_complain(x, "it lies below a whiteout's name");
                p.ignored = begins(c, n, WHITEOUT_META) && !is_opaque_marker(c, n);
                if (p.ignored)
                        break;
                p.name = c;
                p.name_len = n;
        }
        if (p.name_len)
                p.dir_len = (size_t)(p.name - path);
        *ret = p;
        return 0;
}

static struct inode *parent_of(struct erofs *x, const struct place *p)
{
        struct inode *dir;
        unsigned links = 0;

        if (p->dir_len == x->last_len && !memcmp(x->last, p->dir, p->dir_len))
                return x->last_dir;
        dir = tree_walk(x, x->root, p->dir, p->dir_len, &links, true);
        if (dir && p->dir_len < sizeof x->last) {
                memcpy(x->last, p->dir, p->dir_len);
                x->last_len = (uint32_t)p->dir_len;
                x->last_dir = dir;
        }
        return dir;
}

/* Paths may lead elsewhere than they did. */
static void forget_last(struct erofs *x)
{
        x->last_len = 0;
        x->last_dir = x->root;
}

/* A whiteout hides what lower layers have, and nothing of this one (image-spec layer.md). */
static int add_whiteout(struct erofs *x, struct inode *dir, const char *name, size_t len)
{
        struct node *n;

        if (len == 0 || (len <= 2 && !strncmp(name, "..", len)))
                return erofs_complain(x, "it is a whiteout of no name");
        n = tree_find(x, dir, name, len);
        if (!n) {
                n = tree_make(x, dir, name, len);
                n->inode = inode_make(x, S_IFCHR);
        } else if (S_ISDIR(n->inode->mode)) {
                n->inode->flags |= INODE_OPAQUE | INODE_WHITED;
        }
        return 0;
}

static const uint16_t types[TAR_TYPE_MAX] = {
        [TAR_FILE] = S_IFREG,  [TAR_SYMLINK] = S_IFLNK, [TAR_CHAR] = S_IFCHR,
        [TAR_BLOCK] = S_IFBLK, [TAR_DIR] = S_IFDIR,     [TAR_FIFO] = S_IFIFO,
};

/* As new_encode_dev() of the kernel has them: 12 bits of major, 20 of minor. */
static uint32_t device_number(uint32_t major, uint32_t minor)
{
        return (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xfff00) << 12;
}

static struct sparse *sparse_of(struct erofs *x, const struct tar_entry *t)
{
        struct sparse *s = arena_alloc(&x->a, sizeof *s + mem_mul(sizeof *s->pieces, t->nextents));
        uint64_t at = t->data_at;

        for (uint32_t i = 0; i < t->nextents; i++) {
                const struct tar_extent *e = &t->extents[i];

                if (e->len == 0)
                        continue;
                s->pieces[s->n++] = (struct piece){ e->offset, e->len, at };
                if ((e->offset | at) % BLOCK || (e->len % BLOCK && e->offset + e->len != t->size))
                        s->odd = true;
                at += e->len;
        }
        return s;
}

static int check(struct erofs *x, const struct tar_entry *t)
{
        if (t->type == TAR_SYMLINK && str_empty(t->link))
                return erofs_complain(x, "it is a link to nothing");
        if (t->type == TAR_SYMLINK && strlen(t->link) >= 4096)
                return erofs_complain(x, "its target is longer than a path may be");
        if (t->type == TAR_FILE && t->data_at % BLOCK)
                return erofs_complain(x, "its data do not begin at a block");
        if ((t->type == TAR_CHAR || t->type == TAR_BLOCK) &&
            (t->major > 0xfff || t->minor > 0xfffff))
                return erofs_complain(x, "there is no device %u:%u", t->major, t->minor);
        return 0;
}

int erofs_fill(struct erofs *x, struct inode *i, const struct tar_entry *t)
{
        const struct xattr_set *xattrs;
        int r = check(x, t);

        if (r == 0)
                r = xattr_set_of(x, t, &xattrs);
        if (r < 0)
                return r;
        i->mode = (uint16_t)(types[t->type] | (t->mode & 07777));
        i->uid = t->uid;
        i->gid = t->gid;
        i->mtime = t->mtime;
        i->mtime_ns = t->mtime_ns < 1000000000 ? t->mtime_ns : 0;
        i->xattrs = xattrs;
        i->flags &= (uint8_t)~INODE_MARKED;
        if (t->type == TAR_FILE) {
                i->size = t->size;
                i->data = t->data_at;
                i->sparse = t->extents ? sparse_of(x, t) : NULL;
                if (i->sparse && i->sparse->odd) {
                        *x->odd_end = i;
                        x->odd_end = &i->placed;
                }
        } else if (t->type == TAR_SYMLINK) {
                i->target = arena_strdup(&x->a, t->link);
                i->size = strlen(i->target);
        } else if (t->type == TAR_CHAR || t->type == TAR_BLOCK) {
                i->rdev = device_number(t->major, t->minor);
        }
        return 0;
}

static int add_directory(struct erofs *x, struct inode *dir, const struct place *p,
                         const struct tar_entry *t)
{
        struct node *n = tree_find(x, dir, p->name, p->name_len);
        bool there = n && S_ISDIR(n->inode->mode);
        struct inode *i = there ? n->inode : directory_make(x, dir);
        int r = i ? erofs_fill(x, i, t) : -EINVAL;

        if (r < 0)
                return r;
        i->flags &= (uint8_t)~INODE_IMPLIED;
        if (there)
                return 0;
        if (n && inode_is_whiteout(n->inode))
                i->flags = INODE_OPAQUE | INODE_WHITED;
        if (n)
                forget_last(x);
        else
                n = tree_make(x, dir, p->name, p->name_len);
        n->inode = i;
        i->name = n;
        return 0;
}

struct inode *erofs_link_target(struct erofs *x, const char *path, bool *ret_bad)
{
        struct place p;
        struct inode *dir;
        struct node *n;
        unsigned links = 0;

        *ret_bad = true;
        if (place_of(x, path, &p) < 0) {
                erofs_complain(x, "the path of its target has a component that is forbidden");
                return NULL;
        }
        if (p.name_len == 0 || p.ignored || begins(p.name, p.name_len, WHITEOUT)) {
                erofs_complain(x, "it is a hard link to no file");
                return NULL;
        }
        x->problem[0] = '\0';
        dir = tree_walk(x, x->root, p.dir, p.dir_len, &links, false);
        *ret_bad = x->problem[0] != '\0';
        n = dir ? tree_find(x, dir, p.name, p.name_len) : NULL;
        if (!n || inode_is_whiteout(n->inode))
                return NULL;
        if (S_ISDIR(n->inode->mode)) {
                *ret_bad = true;
                erofs_complain(x, "it is a hard link to a directory");
                return NULL;
        }
        return n->inode;
}

/* The inode of links to a target that is not here: one for all that name it. */
static struct inode *pending(struct erofs *x, const char *path)
{
        AUTO_BUF clean = { 0 };
        const char *target;
        struct inode *i;
        struct node *n;
        size_t len;

        link_clean(path, &clean);
        target = buf_str(&clean);
        len = clean.len;
        n = len <= NAME_LIMIT ? tree_find(x, x->targets, target, len) : NULL;
        if (n)
                return n->inode;
        i = inode_make(x, S_IFREG);
        i->flags = INODE_PENDING;
        i->target = arena_strdup(&x->a, target);
        if (len <= NAME_LIMIT)
                tree_make(x, x->targets, target, len)->inode = i;
        return i;
}

static int add_link(struct erofs *x, struct inode *dir, const struct place *p,
                    const struct tar_entry *t)
{
        struct node *n;
        struct inode *i;
        bool bad;

        i = erofs_link_target(x, t->link ? t->link : "", &bad);
        if (bad)
                return -EINVAL;
        n = tree_find(x, dir, p->name, p->name_len);
        if (n && n->inode == i)
                return 0;
        if (!i)
                i = pending(x, t->link);
        if (!n)
                n = tree_make(x, dir, p->name, p->name_len);
        /* Each name of a file that is to come: all of them must be led to it. */
        if (i->flags & INODE_PENDING) {
                struct leaning *l = arena_new(&x->a, struct leaning);

                l->node = n;
                *x->leanings_end = l;
                x->leanings_end = &l->next;
        }
        n->inode = i;
        forget_last(x);
        return 0;
}

static int add_other(struct erofs *x, struct inode *dir, const struct place *p,
                     const struct tar_entry *t)
{
        struct node *n = tree_find(x, dir, p->name, p->name_len);
        struct inode *i = inode_make(x, S_IFREG);
        int r = erofs_fill(x, i, t);

        if (r < 0)
                return r;
        if (n)
                forget_last(x);
        else
                n = tree_make(x, dir, p->name, p->name_len);
        n->inode = i;
        return 0;
}

static int add_root(struct erofs *x, const struct tar_entry *t)
{
        int r;

        if (t->type != TAR_DIR)
                return erofs_complain(x, "it would replace the root by something else");
        r = erofs_fill(x, x->root, t);
        if (r == 0)
                x->root->flags &= (uint8_t)~INODE_IMPLIED;
        return r;
}

int erofs_add(struct erofs *x, const struct tar_entry *t)
{
        struct place p;
        struct inode *dir;
        int r;

        x->problem[0] = '\0';
        if ((r = place_of(x, t->path, &p)) < 0 || p.ignored)
                return r;
        if (p.name_len == 0)
                return add_root(x, t);
        dir = parent_of(x, &p);
        if (!dir)
                return -EINVAL;
        if (is_opaque_marker(p.name, p.name_len)) {
                dir->flags |= INODE_OPAQUE;
                return 0;
        }
        if (begins(p.name, p.name_len, WHITEOUT))
                return add_whiteout(x, dir, p.name + strlen(WHITEOUT),
                                    p.name_len - strlen(WHITEOUT));
        if (t->type == TAR_HARDLINK)
                return add_link(x, dir, &p, t);
        if (t->type == TAR_DIR)
                return add_directory(x, dir, &p, t);
        return add_other(x, dir, &p, t);
}
