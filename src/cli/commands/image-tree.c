/* berth image tree: an image's layers, and who shares them. */
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/image.h"
#include "cli/image-list.h"
#include "cli/table.h"
#include "image/manifest.h"

struct tree_args {
        bool no_trunc;
};

static const struct opt opts[] = {
        REFUSED(0, "whatrequires",
                "`berth image tree` of an image names those that share its layers"),
        FLAG(struct tree_args, no_trunc, 0, "no-trunc", "Shorten nothing"),
        {}
};

/* The others that have the layer, by name. */
static void put_sharers(struct ctx *c, const struct image *v, size_t n, const struct image *self,
                        const char *key, struct buf *out)
{
        size_t found = 0;

        for (size_t i = 0; i < n; i++) {
                if (str_eq(v[i].digest, self->digest))
                        continue;
                for (size_t k = 0; k < v[i].layers.n; k++)
                        if (str_eq(v[i].layers.v[k], key)) {
                                buf_printf(out, "%s%s", found++ ? ", " : "  also of ",
                                           image_label(&c->arena, &v[i]));
                                break;
                        }
        }
}

static int print(struct ctx *c, struct store *s, const struct tree_args *args, const char *name,
                 struct buf *out, struct err *e)
{
        int width = args->no_trunc ? 64 : 12;
        struct image i, *v;
        size_t n, last;

        if (store_image_find(s, &c->arena, name, &i, e) < 0 ||
            store_images(s, &c->arena, NULL, &v, &n, e) < 0)
                return -1;
        buf_printf(out, "Image ID: %.*s\nPlatform: %s\nTags:     [", width, digest_hex(i.id),
                   platform_str(&c->arena, &i.platform));
        for (size_t k = 0; k < i.names.n && !strchr(i.names.v[k], '@'); k++)
                buf_printf(out, "%s%s", k ? " " : "", i.names.v[k]);
        buf_printf(out, "]\nSize:     %s\nImage Layers\n", text_size(&c->arena, i.size));
        last = MIN(i.layers.n, i.diff_ids.n);
        for (size_t k = 0; k < last; k++) {
                char chain[DIGEST_CAP];
                struct layer l = { 0 };

                chain_id(&i.diff_ids, k + 1, chain);
                if (store_layer_find(s, i.diff_ids.v[k], chain, &l, e) < 0)
                        return -1;
                buf_printf(out, "%s ID: %.*s Size: %s (%s on disk, %llu files)",
                           k + 1 < last ? "├──" : "└──", width, digest_hex(l.diff_id),
                           text_size(&c->arena, l.size), text_size(&c->arena, l.disk),
                           (unsigned long long)l.entries);
                put_sharers(c, v, n, &i, i.layers.v[k], out);
                buf_putc(out, '\n');
        }
        return 0;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        AUTO_BUF out = { 0 };
        struct store *s;
        int r;

        if (store_open(c->globals.root, &c->log, &s, e) < 0)
                return -1;
        r = print(c, s, p, argv[0], &out, e);
        store_close(s);
        if (r == 0)
                fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return r;
}

const struct command cmd_image_tree = {
        .name = "image tree",
        .usage = "IMAGE",
        .help = "Show an image's layers, and which other images have them",
        .about = "The lowest first. A layer is kept once, however many images have it.",
        .opts = opts,
        .min = 1,
        .max = 1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_IMAGE },
        .args_size = sizeof(struct tree_args),
        .run = run,
};
