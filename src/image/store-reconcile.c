/* S1: the index is made to tell what the disk tells. Within a transaction, so that others see the
 * old index or the new one. Who makes one in memory, without the lock, leaves the disk as it is.
 *
 * Rows and records are compared by name: what both have is taken for equal, since records are only
 * ever replaced under the lock, and a rebuild starts with an empty index. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/str.h"
#include "image/store-container.h"
#include "image/store-internal.h"

struct pass {
        struct store *store;
        struct findings *findings;
        struct arena arena;
        struct strings seen;
        struct err *e;
};

void finding_add(struct findings *f, bool repaired, const char *object, const char *problem,
                 const char *remedy)
{
        if (!f)
                return;
        if ((f->n & (f->n - 1)) == 0) {
                struct finding *grown = arena_array(f->a, struct finding, f->n ? f->n * 2 : 1);

                if (f->n)
                        memcpy(grown, f->v, f->n * sizeof *grown);
                f->v = grown;
        }
        f->v[f->n++] = (struct finding){ arena_strdup(f->a, object), arena_strdup(f->a, problem),
                                         remedy ? arena_strdup(f->a, remedy) : NULL, repaired };
}

/* A record that can't be read, or whose parts are gone: out of the way, and said. Somebody may
 * still want its bytes, so it is kept in trash/ until that is emptied. */
static void discard(struct pass *p, int dir, const char *kind, const char *name, const char *why)
{
        AUTO_FREE char *object = mem_printf("%s %s", kind, name);

        finding_add(p->findings, true, object, why, NULL);
        if (!p->store->locked)
                return;
        log_warning(p->store->log, "%s %s is dropped: %s", kind, name, why);
        trash_take(p->store, dir, name);
}

/* What a writer who was killed left: writers hold the lock, as we do. */
static int drop_file(struct pass *p, int dir, const char *name)
{
        if (p->store->locked)
                unlinkat(dir, name, 0);
        return 0;
}

/* ---- layers ---- */

static int take_layer(void *ctx, int dir, const char *name)
{
        struct pass *p = ctx;
        struct err why = { 0 };
        struct layer l;

        if (record_layer_read(dir, name, &l, &why) < 0) {
                discard(p, dir, "layer", name, why.chain);
                return 0;
        }
        strings_add(&p->arena, &p->seen, arena_strdup(&p->arena, l.key));
        return index_layer(p->store, &l, p->e);
}

/* ---- images ---- */

static int take_image(void *ctx, int dir, const char *name)
{
        struct pass *p = ctx;
        AUTO_ARENA a = { 0 };
        struct err why = { 0 };
        struct image i;

        if (*name == '.')
                return drop_file(p, dir, name);
        if (record_image_read(dir, name, &a, &i, &why) < 0 ||
            image_present(p->store, &i, &why) < 0 || index_image(p->store, &i, &why) < 0) {
                /* A full disk is no reason to drop an image. */
                if (why.code == ERR_LIMIT || why.code == ERR_SYSTEM || why.code == ERR_DENIED) {
                        if (p->e)
                                *p->e = why;
                        return -1;
                }
                discard(p, dir, "image", name, why.chain);
                return 0;
        }
        strings_add(&p->arena, &p->seen, arena_strdup(&p->arena, i.digest));
        return 0;
}

/* ---- tags ---- */

static int take_ref(void *ctx, int dir, const char *name)
{
        struct pass *p = ctx;
        AUTO_ARENA a = { 0 };
        struct err why = { 0 };
        const char *tag, *digest;
        AUTO_ROWS rows = { 0 };

        if (*name == '.')
                return drop_file(p, dir, name);
        if (record_ref_read(dir, name, &a, &tag, &digest, &why) < 0) {
                discard(p, dir, "tag", name, why.chain);
                return 0;
        }
        if (db_query(p->store, Q_IMAGE_BY_DIGEST, &rows, p->e, "s", digest) < 0)
                return -1;
        switch (db_next(&rows)) {
        case 1:
                strings_add(&p->arena, &p->seen, arena_strdup(&p->arena, tag));
                return db_run(p->store, Q_REF_SET, p->e, "ss", tag, digest);
        case 0: /* its image was being removed, or dropped above */
                log_debug(p->store->log, "tag %s has no image", tag);
                return drop_file(p, dir, name);
        default:
                return -1;
        }
}

/* ---- containers ---- */

static int take_container(void *ctx, int dir, const char *name)
{
        struct pass *p = ctx;
        AUTO_FREE char *text = NULL;
        struct err why = { 0 };
        size_t n;
        int r;

        if (*name == '.')
                return drop_file(p, dir, name);
        r = fd_read_regular_at(dir, name, CONTAINER_RECORD_MAX, &text, &n);
        if (r < 0)
                return err_sys(p->e, r, "cannot read the record of container %s", name);
        if (index_container(p->store, name, text, &why) < 0) {
                discard(p, dir, "container", name, why.chain);
                return 0;
        }
        strings_add(&p->arena, &p->seen, arena_strdup(&p->arena, name));
        return 0;
}

/* ---- rows of what is gone ---- */

static int compare(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int drop_unseen(struct pass *p, enum query list, enum query del)
{
        struct strings gone = { 0 };
        int more;

        if (p->seen.n)
                qsort(p->seen.v, p->seen.n, sizeof *p->seen.v, compare);
        {
                AUTO_ROWS rows = { 0 };

                if (db_query(p->store, list, &rows, p->e, NULL) < 0)
                        return -1;
                while ((more = db_next(&rows)) > 0) {
                        const char *name = db_str(&rows, &p->arena, 0);

                        if (!p->seen.n ||
                            !bsearch(&name, p->seen.v, p->seen.n, sizeof name, compare))
                                strings_add(&p->arena, &gone, name);
                }
                if (more < 0)
                        return -1;
        }
        for (size_t i = 0; i < gone.n; i++)
                if (db_run(p->store, del, p->e, "s", gone.v[i]) < 0)
                        return -1;
        p->seen = (struct strings){ 0 };
        return 0;
}

int store_reconcile(struct store *s, struct findings *f, struct err *e)
{
        static const struct {
                enum store_sub sub;
                int (*take)(void *, int, const char *);
                enum query list, del;
        } passes[] = { { SUB_LAYERS, take_layer, Q_LAYERS, Q_LAYER_DEL },
                       { SUB_IMAGES, take_image, Q_IMAGE_DIGESTS, Q_IMAGE_DEL },
                       { SUB_REFS, take_ref, Q_REFS, Q_REF_DEL },
                       { SUB_RECORDS, take_container, Q_CTR_IDS, Q_CTR_DEL } };
        struct pass p = { .store = s, .findings = f, .e = e };
        int r = 0;

        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(passes); i++) {
                r = each_entry(s, passes[i].sub, passes[i].take, &p, e);
                if (r == 0)
                        r = drop_unseen(&p, passes[i].list, passes[i].del);
        }
        arena_done(&p.arena);
        return r < 0 ? -1 : 0;
}
