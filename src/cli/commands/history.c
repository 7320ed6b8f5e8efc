/* berth history: how an image was built. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/image.h"
#include "cli/table.h"
#include "image/manifest.h"
#include "image/store.h"

enum { CREATED_BY_MAX = 45 }; /* docker's */

struct history_args {
        bool human, quiet, no_trunc;
        const char *format;
};

static const struct opt opts[] = {
        REFUSED(0, "platform", "an image here is of one platform: name it, or its digest"),
        STR(struct history_args, format, 0, "format", "TEMPLATE",
            "Print by a Go template such as {{.CreatedBy}}, by `table TEMPLATE`, or `json`"),
        FLAG(struct history_args, human, 'H', "human",
             "Print sizes and times for people, as is the default; --human=false: exactly"),
        FLAG(struct history_args, no_trunc, 0, "no-trunc", "Shorten nothing"),
        FLAG(struct history_args, quiet, 'q', "quiet", "Print IDs alone"),
        {}
};

struct row {
        const char *id; /* of the image on the uppermost row, else NULL */
        const struct image_history *h;
        const struct history_args *args;
        struct strings tags;
        uint64_t size;
        int64_t created, now;
};

static const char *text_id(struct arena *a, const void *p, const struct table_options *o)
{
        const struct row *r = p;

        if (!r->id)
                return "<missing>";
        return o->no_trunc ? r->id : arena_strndup(a, digest_hex(r->id), 12);
}
static const char *text_since(struct arena *a, const void *p, const struct table_options *o)
{
        const struct row *r = p;

        return r->args->human ? text_ago(a, r->created, r->now) : text_rfc3339(a, r->created);
}
static const char *text_at(struct arena *a, const void *p, const struct table_options *o)
{
        return text_rfc3339(a, ((const struct row *)p)->created);
}
static struct json value_created(struct arena *a, const void *p)
{
        return json_of_str(a, text_rfc3339(a, ((const struct row *)p)->created));
}

/* What a stranger wrote is printed on one line, without what a terminal would obey. */
static const char *text_created_by(struct arena *a, const void *p, const struct table_options *o)
{
        const struct row *r = p;
        char *text = arena_strdup(a, r->h->created_by ? r->h->created_by : "");
        size_t at = CREATED_BY_MAX - 1;

        for (char *s = text; *s; s++)
                if ((unsigned char)*s < ' ' || *s == 0x7f)
                        *s = ' ';
        if (o->no_trunc || strlen(text) <= CREATED_BY_MAX)
                return text;
        while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
                at--;
        return arena_printf(a, "%.*s\xe2\x80\xa6", (int)at, text);
}
static struct json value_created_by(struct arena *a, const void *p)
{
        return json_of_str(a, ((const struct row *)p)->h->created_by);
}
static const char *text_bytes(struct arena *a, const void *p, const struct table_options *o)
{
        const struct row *r = p;

        return r->args->human ? text_size(a, r->size)
                              : arena_printf(a, "%llu", (unsigned long long)r->size);
}
static struct json value_bytes(struct arena *a, const void *p)
{
        return json_of_i64((int64_t)((const struct row *)p)->size);
}
static const char *text_comment(struct arena *a, const void *p, const struct table_options *o)
{
        const char *comment = ((const struct row *)p)->h->comment;

        return comment ? comment : "";
}
static struct json value_tags(struct arena *a, const void *p)
{
        const struct row *r = p;

        return json_of_list(a, r->tags.v, r->tags.n);
}

static const struct column columns[] = {
        { .name = "ID", .heading = "IMAGE", .text = text_id, .json = "id", .shown = true },
        { .name = "CreatedSince", .heading = "CREATED", .text = text_since, .shown = true },
        { .name = "CreatedBy",
          .heading = "CREATED BY",
          .text = text_created_by,
          .json = "CreatedBy",
          .value = value_created_by,
          .shown = true },
        { .name = "Size", .text = text_bytes, .json = "size", .value = value_bytes, .shown = true },
        { .name = "Comment", .text = text_comment, .json = "comment", .shown = true },
        { .name = "CreatedAt", .heading = "CREATED AT", .text = text_at },
        { .name = "Created", .text = text_since, .json = "created", .value = value_created },
        { .name = "Tags", .json = "tags", .value = value_tags },
        {}
};

static int layer_size(struct store *s, const struct image *i, size_t k, uint64_t *ret,
                      struct err *e)
{
        char chain[DIGEST_CAP];
        struct layer l;

        chain_id(&i->diff_ids, k + 1, chain);
        if (store_layer_find(s, i->diff_ids.v[k], chain, &l, e) < 0)
                return -1;
        *ret = l.size;
        return 0;
}

/* The uppermost first; each entry that is not empty made the next layer. */
static int make_rows(struct store *s, struct arena *a, const struct image *i,
                     const struct image_config *config, const struct history_args *args,
                     struct row **ret, struct err *e)
{
        struct row *rows = arena_array(a, struct row, config->nhistory + 1);
        size_t layer = 0, n = config->nhistory;

        for (size_t k = 0; k < n; k++) {
                struct row *r = &rows[n - 1 - k];

                *r = (struct row){ .h = &config->history[k],
                                   .args = args,
                                   .created = image_time(config->history[k].created),
                                   .now = time(NULL) };
                if (!config->history[k].empty_layer && layer < i->diff_ids.n &&
                    layer_size(s, i, layer++, &r->size, e) < 0)
                        return -1;
        }
        if (n > 0) {
                rows[0].id = i->id;
                while (rows[0].tags.n < i->names.n && !strchr(i->names.v[rows[0].tags.n], '@'))
                        rows[0].tags.n++;
                rows[0].tags.v = i->names.v;
        }
        *ret = rows;
        return 0;
}

static int print(struct ctx *c, struct store *s, const struct history_args *args, const char *name,
                 struct err *e)
{
        struct table t = { columns, NULL };
        struct table_options o = { .format = args->format, .no_trunc = args->no_trunc };
        struct image_config config;
        struct image i;
        AUTO_BUF out = { 0 };
        struct row *rows;
        const char *text;
        size_t n;

        if (store_image_find(s, &c->arena, name, &i, e) < 0 ||
            store_blob_read(s, &c->arena, i.id, CONFIG_MAX, &text, &n, e) < 0 ||
            image_config_parse(&c->arena, text, n, &config, e) < 0 ||
            make_rows(s, &c->arena, &i, &config, args, &rows, e) < 0)
                return -1;
        if (args->quiet && !args->format)
                o.format = "{{.ID}}";
        if (table_print(&t, rows, config.nhistory, sizeof *rows, &o, &out, e) < 0)
                return -1;
        fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return 0;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct store *s;
        int r;

        if (store_open(c->globals.root, &c->log, &s, e) < 0)
                return -1;
        r = print(c, s, p, argv[0], e);
        store_close(s);
        return r;
}

static const struct history_args defaults = { .human = true };

const struct command cmd_history = {
        .name = "history",
        .alias = { "image history" },
        .usage = "IMAGE",
        .help = "Show the steps that an image was built by",
        .about = "The last step first, as its configuration tells them; SIZE is that of the "
                 "layer, unpacked.",
        .opts = opts,
        .min = 1,
        .max = 1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_IMAGE },
        .args_size = sizeof(struct history_args),
        .defaults = &defaults,
        .run = run,
};
