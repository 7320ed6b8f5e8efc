/* berth system df: what is taken on disk. */
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/system.h"
#include "cli/ctr-args.h"
#include "cli/image-list.h"
#include "cli/table.h"
#include "engine/volume.h"

struct df_args {
        bool verbose;
        const char *format;
};

static const struct opt opts[] = {
        STR(struct df_args, format, 0, "format", "TEMPLATE",
            "Print by a Go template such as {{.Type}}, by `table TEMPLATE`, or `json`"),
        FLAG(struct df_args, verbose, 'v', "verbose", "Show each image and volume"),
        {}
};

/* ---- the sums ---- */

struct row {
        const char *type;
        uint64_t total, active, size, reclaimable;
};

static const char *text_type(struct arena *a, const void *p, const struct table_options *o)
{
        return ((const struct row *)p)->type;
}
static struct json value_total(struct arena *a, const void *p)
{
        return json_of_i64((int64_t)((const struct row *)p)->total);
}
static const char *text_total(struct arena *a, const void *p, const struct table_options *o)
{
        return arena_printf(a, "%llu", (unsigned long long)((const struct row *)p)->total);
}
static struct json value_active(struct arena *a, const void *p)
{
        return json_of_i64((int64_t)((const struct row *)p)->active);
}
static const char *text_active(struct arena *a, const void *p, const struct table_options *o)
{
        return arena_printf(a, "%llu", (unsigned long long)((const struct row *)p)->active);
}
static struct json value_raw_size(struct arena *a, const void *p)
{
        return json_of_i64((int64_t)((const struct row *)p)->size);
}
static struct json value_raw_reclaimable(struct arena *a, const void *p)
{
        return json_of_i64((int64_t)((const struct row *)p)->reclaimable);
}
static const char *text_bytes(struct arena *a, const void *p, const struct table_options *o)
{
        return text_size(a, ((const struct row *)p)->size);
}
static const char *text_reclaimable(struct arena *a, const void *p, const struct table_options *o)
{
        const struct row *r = p;
        const char *size = text_size(a, r->reclaimable);

        if (r->size == 0)
                return size;
        return arena_printf(a, "%s (%llu%%)", size,
                            (unsigned long long)(r->reclaimable * 100 / r->size));
}

static const struct column columns[] = {
        { .name = "Type", .text = text_type, .json = "Type", .shown = true },
        { .name = "TotalCount",
          .heading = "TOTAL",
          .text = text_total,
          .json = "Total",
          .value = value_total,
          .shown = true },
        { .name = "Active",
          .text = text_active,
          .json = "Active",
          .value = value_active,
          .shown = true },
        { .name = "Size", .text = text_bytes, .json = "Size", .shown = true },
        { .name = "Reclaimable", .text = text_reclaimable, .json = "Reclaimable", .shown = true },
        { .name = "Total", .text = text_total },
        { .name = "RawSize", .json = "RawSize", .value = value_raw_size },
        { .name = "RawReclaimable", .json = "RawReclaimable", .value = value_raw_reclaimable },
        {}
};

/* What those that are not up have written could be given back. */
static int sum_containers(struct ctx *c, struct engine *g, struct row *r, struct err *e)
{
        AUTO_FD int all = openat(store_dir(g->store), "containers",
                                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        struct ctr_state *states;
        struct ctr *v;
        size_t n;

        if (ctr_list_brief(g, &c->arena, &v, &n, e) < 0)
                return -1;
        states = arena_array(&c->arena, struct ctr_state, n + 1);
        ctr_states(g, v, n, states);
        r->active = 0;
        for (size_t i = 0; i < n; i++) {
                if (ctr_is_up(&states[i]))
                        r->active++;
                else if (all >= 0)
                        r->reclaimable += store_tree_size(all, v[i].id);
        }
        r->reclaimable = MIN(r->reclaimable, r->size);
        return 0;
}

static int sum_volumes(struct ctx *c, struct engine *g, struct row *r, struct err *e)
{
        struct volume_usage *u;
        struct volume *v;
        size_t n;

        if (volume_list(g->store, &c->arena, &v, &n, e) < 0 ||
            volume_usage(g, &c->arena, v, n, &u, e) < 0)
                return -1;
        r->total = n;
        for (size_t i = 0; i < n; i++) {
                r->active += u[i].users > 0;
                r->size += u[i].size;
                r->reclaimable += u[i].users ? 0 : u[i].size;
        }
        return 0;
}

static int print_sums(struct ctx *c, struct engine *g, const struct df_args *args, struct buf *out,
                      struct err *e)
{
        struct table t = { columns, NULL };
        struct table_options o = { .format = args->format };
        struct usage u;

        if (store_usage(g->store, &u, e) < 0)
                return -1;
        struct row rows[] = {
                { "Images", u.images.count, u.images.active, u.images.size + u.blobs.size,
                  u.images.reclaimable + u.blobs.reclaimable },
                { "Containers", u.containers.count, u.containers.active, u.containers.size, 0 },
                { .type = "Local Volumes" },
                { "Unfinished", u.stages.count, u.stages.active, u.stages.size,
                  u.stages.reclaimable },
                { "Being Deleted", u.trash.count, 0, u.trash.size, u.trash.reclaimable },
        };
        if (sum_containers(c, g, &rows[1], e) < 0 || sum_volumes(c, g, &rows[2], e) < 0)
                return -1;
        /* The last one is seldom there, and nobody's business then. */
        return table_print(&t, rows, ARRAY_SIZE(rows) - (u.trash.count == 0), sizeof *rows, &o, out,
                           e);
}

/* ---- each image ---- */

struct detail {
        const struct image *i;
        const char *repository, *tag;
        uint64_t shared, unique;
        int64_t now;
};

static const char *text_repository(struct arena *a, const void *p, const struct table_options *o)
{
        return ((const struct detail *)p)->repository;
}
static const char *text_tag(struct arena *a, const void *p, const struct table_options *o)
{
        return ((const struct detail *)p)->tag;
}
static const char *text_id(struct arena *a, const void *p, const struct table_options *o)
{
        return arena_strndup(a, digest_hex(((const struct detail *)p)->i->id), 12);
}
static const char *text_created(struct arena *a, const void *p, const struct table_options *o)
{
        const struct detail *d = p;

        return text_ago(a, d->i->created, d->now);
}
static const char *text_image_size(struct arena *a, const void *p, const struct table_options *o)
{
        return text_size(a, ((const struct detail *)p)->i->size);
}
static const char *text_shared(struct arena *a, const void *p, const struct table_options *o)
{
        return text_size(a, ((const struct detail *)p)->shared);
}
static const char *text_unique(struct arena *a, const void *p, const struct table_options *o)
{
        return text_size(a, ((const struct detail *)p)->unique);
}
static const char *text_containers(struct arena *a, const void *p, const struct table_options *o)
{
        return arena_printf(a, "%u", ((const struct detail *)p)->i->containers);
}

static const struct column details[] = {
        { .name = "Repository", .text = text_repository, .json = "Repository", .shown = true },
        { .name = "Tag", .text = text_tag, .json = "Tag", .shown = true },
        { .name = "ID", .heading = "IMAGE ID", .text = text_id, .json = "ID", .shown = true },
        { .name = "CreatedSince",
          .heading = "CREATED",
          .text = text_created,
          .json = "CreatedSince",
          .shown = true },
        { .name = "Size", .text = text_image_size, .json = "Size", .shown = true },
        { .name = "SharedSize",
          .heading = "SHARED SIZE",
          .text = text_shared,
          .json = "SharedSize",
          .shown = true },
        { .name = "UniqueSize",
          .heading = "UNIQUE SIZE",
          .text = text_unique,
          .json = "UniqueSize",
          .shown = true },
        { .name = "Containers", .text = text_containers, .json = "Containers", .shown = true },
        {}
};

static int print_details(struct ctx *c, struct store *s, const struct df_args *args,
                         struct buf *out, struct err *e)
{
        struct table t = { details, NULL };
        struct table_options o = { .format = args->format };
        struct layer_users *users;
        struct detail *rows;
        struct image *v;
        size_t n;

        if (store_images(s, &c->arena, NULL, &v, &n, e) < 0)
                return -1;
        users = layer_users(&c->arena, v, n);
        rows = arena_array(&c->arena, struct detail, n + 1);
        for (size_t i = 0; i < n; i++) {
                const char *digest;

                rows[i].i = &v[i];
                rows[i].now = time(NULL);
                name_split(&c->arena, v[i].names.n ? v[i].names.v[0] : NULL, &rows[i].repository,
                           &rows[i].tag, &digest);
                image_sharing(s, users, &v[i], &rows[i].shared, &rows[i].unique);
        }
        if (!args->format)
                buf_puts(out, "Images space usage:\n\n");
        return table_print(&t, rows, n, sizeof *rows, &o, out, e);
}

/* ---- each volume ---- */

struct volume_row {
        const struct volume *v;
        const struct volume_usage *u;
};

static const char *text_volume(struct arena *a, const void *p, const struct table_options *o)
{
        return ((const struct volume_row *)p)->v->name;
}
static const char *text_links(struct arena *a, const void *p, const struct table_options *o)
{
        return arena_printf(a, "%u", ((const struct volume_row *)p)->u->users);
}
static const char *text_volume_size(struct arena *a, const void *p, const struct table_options *o)
{
        return text_size(a, ((const struct volume_row *)p)->u->size);
}

static const struct column volume_columns[] = {
        { .name = "Name", .heading = "VOLUME NAME", .text = text_volume, .shown = true },
        { .name = "Links", .text = text_links, .shown = true },
        { .name = "Size", .text = text_volume_size, .shown = true },
        {}
};

static int print_volumes(struct ctx *c, struct engine *g, struct buf *out, struct err *e)
{
        const struct table t = { volume_columns, NULL };
        const struct table_options o = { 0 };
        struct volume_usage *u;
        struct volume_row *rows;
        struct volume *v;
        size_t n;

        if (volume_list(g->store, &c->arena, &v, &n, e) < 0 ||
            volume_usage(g, &c->arena, v, n, &u, e) < 0)
                return -1;
        rows = arena_array(&c->arena, struct volume_row, n + 1);
        for (size_t i = 0; i < n; i++)
                rows[i] = (struct volume_row){ &v[i], &u[i] };
        buf_puts(out, "\nLocal volumes space usage:\n\n");
        return table_print(&t, rows, n, sizeof *rows, &o, out, e);
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct df_args *args = p;
        AUTO_BUF out = { 0 };
        struct engine g;
        int r;

        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = args->verbose ? print_details(c, g.store, args, &out, e)
                          : print_sums(c, &g, args, &out, e);
        if (r == 0 && args->verbose && !args->format)
                r = print_volumes(c, &g, &out, e);
        engine_close(&g);
        if (r == 0)
                fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return r;
}

const struct command cmd_system_df = {
        .name = "system df",
        .help = "Show what is taken on disk, and what could be given back",
        .about = "A layer counts once, however many images have it. What no container uses can be "
                 "given back: `berth system prune --all`; so can what containers that don't run "
                 "have written, and volumes that no container has. Unfinished are downloads that "
                 "were "
                 "interrupted, which the next pull goes on with.",
        .opts = opts,
        .needs = NEED_STORE,
        .args_size = sizeof(struct df_args),
        .run = run,
};
