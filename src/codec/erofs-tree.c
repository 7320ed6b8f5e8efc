/* The tree of names: a table from (directory, name) to node, and the walk of paths through it. */
#include <errno.h>
#include <stdlib.h>

#include "base/str.h"
#include "codec/erofs-internal.h"

#define LINKS_MAX 40 /* as the kernel's MAXSYMLINKS */

bool inode_is_whiteout(const struct inode *i)
{
        return S_ISCHR(i->mode) && i->rdev == 0;
}

struct inode *inode_make(struct erofs *x, uint32_t mode)
{
        struct inode *i = arena_new(&x->a, struct inode);

        i->mode = (uint16_t)mode;
        return i;
}

struct inode *directory_make(struct erofs *x, const struct inode *dir)
{
        struct inode *i = inode_make(x, S_IFDIR | 0755);

        i->block = dir->block + 1;
        if (i->block < DEPTH_MAX)
                return i;
        erofs_complain(x, "its directories are nested too deeply");
        return NULL;
}

/* The table is keyed by the directory's address, which no output depends on: nothing iterates it.
 */
static uint32_t name_hash(const struct inode *dir, const char *name, size_t len)
{
        uint64_t where = (uintptr_t)dir;

        return hash_of((uint32_t)(where >> 4) * 0x9e3779b1u, name, len);
}

struct node *tree_find(const struct erofs *x, const struct inode *dir, const char *name, size_t len)
{
        uint32_t hash = name_hash(dir, name, len);
        struct node *n = x->names[hash & (x->names_cap - 1)];

        while (n && (n->hash != hash || n->parent != dir || n->len != len ||
                     memcmp(n->name, name, len) != 0))
                n = n->chain;
        return n;
}

static void table_grow(struct erofs *x)
{
        uint32_t cap = x->names_cap * 2;
        struct node **names = mem_alloc(mem_mul(sizeof *names, cap));

        for (uint32_t b = 0; b < x->names_cap; b++)
                for (struct node *n = x->names[b], *next; n; n = next) {
                        next = n->chain;
                        n->chain = names[n->hash & (cap - 1)];
                        names[n->hash & (cap - 1)] = n;
                }
        free(x->names);
        x->names = names;
        x->names_cap = cap;
}

struct node *tree_make(struct erofs *x, struct inode *dir, const char *name, size_t len)
{
        struct node *n = arena_alloc(&x->a, sizeof *n + len + 1);

        if (x->nnames++ >= x->names_cap)
                table_grow(x);
        n->parent = dir;
        n->hash = name_hash(dir, name, len);
        n->len = (uint8_t)len;
        memcpy(n->name, name, len);
        n->chain = x->names[n->hash & (x->names_cap - 1)];
        x->names[n->hash & (x->names_cap - 1)] = n;
        n->next = dir->children;
        dir->children = n;
        x->count++;
        return n;
}

static struct inode *imply(struct erofs *x, struct inode *dir, struct node *n, const char *name,
                           size_t len)
{
        struct inode *i = directory_make(x, dir);
        struct leaning *l = arena_new(&x->a, struct leaning);

        if (!i)
                return NULL;
        i->flags = INODE_IMPLIED;
        if (n)
                i->flags |= INODE_OPAQUE | INODE_WHITED;
        else
                n = tree_make(x, dir, name, len);
        n->inode = i;
        i->name = n;
        l->node = n;
        *x->leanings_end = l;
        x->leanings_end = &l->next;
        return i;
}

/* One component. NULL: it leads nowhere. */
static struct inode *step(struct erofs *x, struct inode *dir, const char *name, size_t len,
                          unsigned *links, bool make)
{
        struct node *n = tree_find(x, dir, name, len);
        struct inode *i = n ? n->inode : NULL;

        if (i && S_ISDIR(i->mode))
                return i;
        if (i && S_ISLNK(i->mode)) {
                if (++*links > LINKS_MAX) {
                        erofs_complain(x, "its path leads through more than %d symlinks",
                                       LINKS_MAX);
                        return NULL;
                }
                return tree_walk(x, i->target[0] == '/' ? x->root : dir, i->target, i->size, links,
                                 make);
        }
        if (i && !inode_is_whiteout(i)) {
                erofs_complain(x, "'%.*s' in its path is no directory", (int)MIN(len, (size_t)80),
                               name);
                return NULL;
        }
        if (!make)
                return NULL;
        if (len > NAME_LIMIT) {
                erofs_complain(x, "a symlink in its path has a component longer than %d bytes",
                               NAME_LIMIT);
                return NULL;
        }
        return imply(x, dir, n, name, len);
}

struct inode *tree_walk(struct erofs *x, struct inode *dir, const char *path, size_t len,
                        unsigned *links, bool make)
{
        const char *end = path + len;

        while (dir && path < end) {
                const char *slash = memchr(path, '/', (size_t)(end - path));
                size_t n = (size_t)((slash ? slash : end) - path);

                if (n == 2 && path[0] == '.' && path[1] == '.')
                        dir = dir == x->root ? dir : dir->name->parent;
                else if (n && !(n == 1 && path[0] == '.'))
                        dir = step(x, dir, path, n, links, make);
                path = slash ? slash + 1 : end;
        }
        return dir;
}

bool node_lives(const struct erofs *x, const struct node *n)
{
        while (n->parent != x->root) {
                const struct node *up = n->parent->name;

                if (up->inode != n->parent)
                        return false;
                n = up;
        }
        return true;
}

void node_path(const struct erofs *x, const struct node *n, struct buf *ret)
{
        size_t len = n->len, at;
        const struct node *up;

        for (up = n; up->parent != x->root; up = up->parent->name)
                len += up->parent->name->len + 1u;
        buf_clear(ret);
        for (size_t i = 0; i < len; i++)
                buf_putc(ret, '/');
        for (at = len, up = n;; up = up->parent->name) {
                at -= up->len;
                memcpy(ret->s + at, up->name, up->len);
                if (up->parent == x->root)
                        break;
                at--;
        }
}
