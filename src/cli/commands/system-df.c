/* berth system df: what is taken on disk. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/system.h"
#include "cli/image-list.h"
#include "cli/table.h"

struct df_args {
        bool verbose;
        const char *format;
};

static const struct opt opts[] = {
        STR(struct df_args, format, 0, "format", "TEMPLATE",
            "Print by a Go template such as {{.Type}}, by `table TEMPLATE`, or `json`"),
        FLAG(struct df_args, verbose, 'v', "verbose", "Show each image"),
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

static int print_sums(struct store *s, const struct df_args *args, struct buf *out, struct err *e)
{
        struct table t = { columns, NULL };
        struct table_options o = { .format = args->format };
        struct usage u;

        if (store_usage(s, &u, e) < 0)
                return -1;
        struct row rows[] = {
                { "Images", u.images.count, u.images.active, u.images.size + u.blobs.size,
                  u.images.reclaimable + u.blobs.reclaimable },
                { "Containers", u.containers.count, u.containers.active, u.containers.size,
                  u.containers.reclaimable },
                { "Local Volumes", u.volumes.count, u.volumes.active, u.volumes.size,
                  u.volumes.reclaimable },
                { "Unfinished", u.stages.count, u.stages.active, u.stages.size,
                  u.stages.reclaimable },
                { "Being Deleted", u.trash.count, 0, u.trash.size, u.trash.reclaimable },
        };
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

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct df_args *args = p;
        AUTO_BUF out = { 0 };
        struct store *s;
        int r;

        if (store_open(c->globals.root, &c->log, &s, e) < 0)
                return -1;
        r = args->verbose ? print_details(c, s, args, &out, e) : print_sums(s, args, &out, e);
        store_close(s);
        if (r == 0)
                fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return r;
}

const struct command cmd_system_df = {
        .name = "system df",
        .help = "Show what is taken on disk, and what could be given back",
        .about = "A layer counts once, however many images have it. What no container uses can be "
                 "given back: `berth system prune --all`. Unfinished are downloads that were "
                 "interrupted, which the next pull goes on with.",
        .opts = opts,
        .needs = NEED_STORE,
        .args_size = sizeof(struct df_args),
        .run = run,
};
