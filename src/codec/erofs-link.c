/* What an archive leans on in lower layers (codec/erofs.h). */
#include <errno.h>

#include "base/str.h"
#include "codec/erofs-internal.h"

/* The node's inode where it still waits for an answer. */
static struct inode *waiting(const struct erofs *x, const struct node *n)
{
        struct inode *i = n->inode;

        if (!node_lives(x, n))
                return NULL;
        if (i->flags & INODE_PENDING)
                return i;
        return (i->flags & INODE_IMPLIED) && !(i->flags & INODE_WHITED) ? i : NULL;
}

/* Archives name a link's target before the link; those that don't can still be understood. Links to
 * pending links become what these are, so that chains shorten by half in each round; circles end
 * as one pending link. */
void leanings_resolve(struct erofs *x)
{
        bool again = true;

        for (int round = 0; again && round < 64; round++) {
                again = false;
                for (struct leaning *l = x->leanings; l; l = l->next) {
                        struct inode *i = l->node->inode, *to;
                        bool bad;

                        if (!(i->flags & INODE_PENDING))
                                continue;
                        to = erofs_link_target(x, i->target, &bad);
                        if (!to || to == i)
                                continue;
                        l->node->inode = to;
                        again = true;
                }
        }
        x->problem[0] = '\0';
}

void link_clean(const char *path, struct buf *ret)
{
        const char *at = path, *c;
        size_t n;

        buf_clear(ret);
        while (str_next(&at, '/', &c, &n)) {
                if (n == 0 || (n == 1 && c[0] == '.'))
                        continue;
                if (ret->len)
                        buf_putc(ret, '/');
                buf_add(ret, c, n);
        }
}

int erofs_leans(struct erofs *x, int (*fn)(void *ctx, const struct lean *l), void *ctx)
{
        AUTO_BUF path = { 0 };
        int r = 0;

        leanings_resolve(x);
        x->generation++;
        for (const struct leaning *l = x->leanings; l && r == 0; l = l->next) {
                struct inode *i = waiting(x, l->node);
                struct lean lean = { 0 };

                if (!i || i->at == x->generation)
                        continue;
                i->at = x->generation; /* links of one target are asked for once */
                node_path(x, l->node, &path);
                lean.path = path.s;
                if (i->flags & INODE_PENDING)
                        lean.target = i->target;
                r = fn(ctx, &lean);
        }
        return r;
}

int erofs_settle(struct erofs *x, const char *path, const struct tar_entry *t)
{
        const char *slash = strrchr(path, '/');
        const char *name = slash ? slash + 1 : path;
        struct inode *dir = x->root, *i;
        struct node *n;
        unsigned links = 0;

        x->problem[0] = '\0';
        if (slash)
                dir = tree_walk(x, x->root, path, (size_t)(slash - path), &links, false);
        n = dir ? tree_find(x, dir, name, strlen(name)) : NULL;
        i = n ? waiting(x, n) : NULL;
        if (!i)
                return -ENOENT;
        if ((i->flags & INODE_IMPLIED) ? t->type != TAR_DIR
                                       : t->type == TAR_DIR || t->type == TAR_HARDLINK)
                return erofs_complain(x, "lower layers have another type of file");
        i->flags &= (uint8_t) ~(INODE_IMPLIED | INODE_PENDING);
        return erofs_fill(x, i, t);
}
