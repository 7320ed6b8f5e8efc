/* berth images: what is here. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/image.h"
#include "cli/image-list.h"
#include "cli/table.h"

enum sort { SORT_CREATED, SORT_ID, SORT_REPOSITORY, SORT_SIZE, SORT_TAG };
static const char *const sorts[] = {
        [SORT_CREATED] = "created", [SORT_ID] = "id",   [SORT_REPOSITORY] = "repository",
        [SORT_SIZE] = "size",       [SORT_TAG] = "tag", NULL
};

struct images_args {
        bool all, quiet, digests, no_trunc, no_heading, names;
        const char *format;
        struct strings filters;
        enum sort sort;
};

static const struct opt opts[] = {
        REFUSED(0, "history", "`berth history` shows it"),
        REFUSED(0, "tree", "`berth image tree` shows it"),
        FLAG(struct images_args, all, 'a', "all", "Show all images, as is done anyway"),
        FLAG(struct images_args, digests, 0, "digests", "Show manifests' digests"),
        LIST(struct images_args, filters, 'f', "filter", "KEY=VALUE",
             "Show those alone that pass: reference=GLOB, label=KEY[=VALUE], before=IMAGE, "
             "since=IMAGE, until=TIME, dangling=BOOL, containers=BOOL, id=PREFIX"),
        STR(struct images_args, format, 0, "format", "TEMPLATE",
            "Print by a Go template such as {{.ID}}, by `table TEMPLATE`, or `json`"),
        FLAG(struct images_args, no_heading, 'n', "noheading", "Print no headings"),
        FLAG(struct images_args, no_trunc, 0, "no-trunc", "Shorten nothing"),
        FLAG(struct images_args, quiet, 'q', "quiet", "Print IDs alone"),
        ENUM(struct images_args, sort, 0, "sort", "BY", sorts,
             "Sort by created (the default), id, repository, size or tag"),
        FLAG(struct images_args, names, 0, "names", "Print names alone", .hidden = true),
        {}
};

/* One line: an image under one of its names. */
struct row {
        const struct image *i;
        const char *repository, *tag, *digest;
        int64_t now;
};

/* ---- columns ---- */

static const char *text_id(struct arena *a, const void *p, const struct table_options *o)
{
        const struct row *r = p;

        return o->no_trunc ? r->i->id : arena_strndup(a, digest_hex(r->i->id), 12);
}
static struct json value_id(struct arena *a, const void *p)
{
        return json_of_str(a, digest_hex(((const struct row *)p)->i->id));
}
static const char *text_repository(struct arena *a, const void *p, const struct table_options *o)
{
        return ((const struct row *)p)->repository;
}
static const char *text_tag(struct arena *a, const void *p, const struct table_options *o)
{
        return ((const struct row *)p)->tag;
}
static const char *text_digest(struct arena *a, const void *p, const struct table_options *o)
{
        return ((const struct row *)p)->i->digest;
}
static const char *text_created_since(struct arena *a, const void *p, const struct table_options *o)
{
        const struct row *r = p;

        return text_ago(a, r->i->created, r->now);
}
static const char *text_created_at(struct arena *a, const void *p, const struct table_options *o)
{
        return text_time(a, ((const struct row *)p)->i->created);
}
static struct json value_created_at(struct arena *a, const void *p)
{
        return json_of_str(a, text_rfc3339(a, ((const struct row *)p)->i->created));
}
static struct json value_created(struct arena *a, const void *p)
{
        return json_of_i64(((const struct row *)p)->i->created);
}
static const char *text_bytes(struct arena *a, const void *p, const struct table_options *o)
{
        return text_size(a, ((const struct row *)p)->i->size);
}
static struct json value_bytes(struct arena *a, const void *p)
{
        return json_of_i64((int64_t)((const struct row *)p)->i->size);
}
static struct json value_containers(struct arena *a, const void *p)
{
        return json_of_i64(((const struct row *)p)->i->containers);
}
static const char *text_containers(struct arena *a, const void *p, const struct table_options *o)
{
        return arena_printf(a, "%u", ((const struct row *)p)->i->containers);
}
static struct json value_zero(struct arena *a, const void *p)
{
        return json_of_i64(0);
}
static const char *text_unknown(struct arena *a, const void *p, const struct table_options *o)
{
        return "N/A";
}
static struct json value_empty(struct arena *a, const void *p)
{
        return json_of_str(a, "");
}
static struct json value_dangling(struct arena *a, const void *p)
{
        return json_of_bool(!image_tagged(((const struct row *)p)->i));
}
static struct json value_false(struct arena *a, const void *p)
{
        return json_of_bool(false);
}

static struct json names_of(struct arena *a, const struct image *i, bool digests)
{
        size_t tags = 0;

        while (tags < i->names.n && !strchr(i->names.v[tags], '@'))
                tags++;
        return digests ? json_of_list(a, i->names.v + tags, i->names.n - tags)
                       : json_of_list(a, i->names.v, tags);
}
static struct json value_tags(struct arena *a, const void *p)
{
        return names_of(a, ((const struct row *)p)->i, false);
}
static struct json value_digests(struct arena *a, const void *p)
{
        return names_of(a, ((const struct row *)p)->i, true);
}
static struct json value_labels(struct arena *a, const void *p)
{
        const struct key_values *l = &((const struct row *)p)->i->labels;
        struct json_member *m = arena_array(a, struct json_member, l->n + 1);

        for (size_t i = 0; i < l->n; i++)
                m[i] = (struct json_member){ l->v[i].key, json_of_str(a, l->v[i].value) };
        return (struct json){ .type = JSON_OBJECT, .n = (uint32_t)l->n, .members = m };
}
static const char *text_platform(struct arena *a, const void *p, const struct table_options *o)
{
        return platform_str(a, &((const struct row *)p)->i->platform);
}

/* docker's columns, and what podman's templates and JSON have beyond them. */
static const struct column columns[] = {
        { .name = "Repository", .text = text_repository, .shown = true },
        { .name = "Tag", .text = text_tag, .shown = true },
        { .name = "Digest", .text = text_digest, .json = "Digest", .optional = true },
        { .name = "ID",
          .heading = "IMAGE ID",
          .text = text_id,
          .json = "Id",
          .value = value_id,
          .shown = true },
        { .name = "CreatedSince", .heading = "CREATED", .text = text_created_since, .shown = true },
        { .name = "Size", .text = text_bytes, .json = "Size", .value = value_bytes, .shown = true },
        { .name = "CreatedAt",
          .heading = "CREATED AT",
          .text = text_created_at,
          .json = "CreatedAt",
          .value = value_created_at },
        { .name = "Created", .json = "Created", .value = value_created },
        { .name = "Containers",
          .text = text_containers,
          .json = "Containers",
          .value = value_containers },
        { .name = "ParentID", .json = "ParentId", .value = value_empty },
        { .name = "SharedSize",
          .heading = "SHARED SIZE",
          .text = text_unknown,
          .json = "SharedSize",
          .value = value_zero },
        { .name = "UniqueSize", .heading = "UNIQUE SIZE", .text = text_unknown },
        { .name = "VirtualSize",
          .heading = "VIRTUAL SIZE",
          .text = text_bytes,
          .json = "VirtualSize",
          .value = value_bytes },
        { .name = "Names", .json = "Names", .value = value_tags },
        { .name = "RepoTags", .json = "RepoTags", .value = value_tags },
        { .name = "RepoDigests", .json = "RepoDigests", .value = value_digests },
        { .name = "Labels", .json = "Labels", .value = value_labels },
        { .name = "Dangling", .json = "Dangling", .value = value_dangling },
        { .name = "ReadOnly", .value = value_false },
        { .name = "Platform", .text = text_platform, .json = "Platform" },
        {}
};

/* ---- rows ---- */

struct rows {
        struct row *v;
        size_t n;
};

static void add_row(struct arena *a, struct rows *rows, const struct image *i, const char *name)
{
        struct row *r = &rows->v[rows->n++];

        r->i = i;
        r->now = time(NULL);
        name_split(a, name, &r->repository, &r->tag, &r->digest);
}

/* As docker does it, a line for each tag; without any, one for each repository it was pulled from
 * by digest; else one. In JSON an image is one object. */
static struct rows make_rows(struct arena *a, const struct image *v, size_t n,
                             const struct images_args *args, const char *pattern)
{
        struct rows rows = { 0 };
        bool once = args->quiet || (args->format && str_eq(args->format, "json"));
        size_t most = 0;

        for (size_t i = 0; i < n; i++)
                most += v[i].names.n + 1;
        rows.v = arena_array(a, struct row, most + 1);
        for (size_t i = 0; i < n; i++) {
                bool tagged = image_tagged(&v[i]);
                size_t had = rows.n;

                for (size_t k = 0; k < v[i].names.n && !(once && rows.n > had); k++) {
                        const char *name = v[i].names.v[k];

                        if ((tagged && strchr(name, '@')) ||
                            (pattern && !image_name_matches(a, pattern, name)))
                                continue;
                        add_row(a, &rows, &v[i], name);
                }
                if (rows.n == had)
                        add_row(a, &rows, &v[i], NULL);
        }
        return rows;
}

static int by_id(const void *x, const void *y)
{
        return strcmp(((const struct row *)x)->i->id, ((const struct row *)y)->i->id);
}
static int by_tag(const void *x, const void *y)
{
        return strcmp(((const struct row *)x)->tag, ((const struct row *)y)->tag);
}
static int by_repository(const void *x, const void *y)
{
        int r = strcmp(((const struct row *)x)->repository, ((const struct row *)y)->repository);

        return r ? r : by_tag(x, y);
}
static int by_size(const void *x, const void *y)
{
        uint64_t a = ((const struct row *)x)->i->size, b = ((const struct row *)y)->i->size;

        return (a > b) - (a < b);
}

static void print_names(const struct image *v, size_t n, struct buf *out)
{
        AUTO_ARENA a = { 0 };

        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < v[i].names.n; k++) {
                        const char *repository, *tag, *digest;

                        name_split(&a, v[i].names.v[k], &repository, &tag, &digest);
                        if (!strchr(v[i].names.v[k], '@'))
                                buf_printf(out, "%s:%s\n", repository, tag);
                }
}

static int print(const struct images_args *args, const struct rows *rows, struct buf *out,
                 struct err *e)
{
        static int (*const orders[])(const void *, const void *) = {
                [SORT_ID] = by_id,
                [SORT_REPOSITORY] = by_repository,
                [SORT_SIZE] = by_size,
                [SORT_TAG] = by_tag,
        };
        struct table t = { columns, args->digests ? "Digest" : NULL };
        struct table_options o = { .format = args->format,
                                   .no_heading = args->no_heading,
                                   .no_trunc = args->no_trunc };

        if (args->sort != SORT_CREATED)
                qsort(rows->v, rows->n, sizeof *rows->v, orders[args->sort]);
        if (args->quiet && !args->format)
                o.format = "{{.ID}}";
        return table_print(&t, rows->v, rows->n, sizeof *rows->v, &o, out, e);
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct images_args *args = p;
        struct image_filters f;
        struct store *s;
        struct image *v;
        struct rows rows;
        AUTO_BUF out = { 0 };
        size_t n;
        int r;

        if (image_filters_parse(&c->arena, &args->filters, time(NULL), &f, e) < 0)
                return -1;
        if (argc > 0)
                f.f.reference = argv[0];
        f.f.all = args->all;
        if (store_open(c->globals.root, &c->log, &s, e) < 0)
                return -1;
        r = image_filters_list(s, &c->arena, &f, &v, &n, e);
        store_close(s);
        if (r < 0)
                return -1;
        if (args->names) {
                print_names(v, n, &out);
        } else {
                rows = make_rows(&c->arena, v, n, args, f.f.reference);
                if (print(args, &rows, &out, e) < 0)
                        return -1;
        }
        fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return 0;
}

const struct command cmd_images = {
        .name = "images",
        .alias = { "image ls", "image list" },
        .usage = "[REPOSITORY[:TAG]]",
        .help = "List the images that are here",
        .about = "Newest first, a line for each of their names. SIZE is what the layers hold, "
                 "unpacked; layers that images share are counted with each of them, and stored "
                 "once (see `berth system df`).",
        .opts = opts,
        .max = 1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_IMAGE },
        .args_size = sizeof(struct images_args),
        .run = run,
};
