/* berth image diff: what an image's topmost layer, or another image, makes different. */
#include <unistd.h>

#include "base/fd.h"
#include "base/safe.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/image.h"
#include "codec/json.h"
#include "image/difference.h"

struct diff_args {
        const char *format;
};

static const struct opt opts[] = { STR(struct diff_args, format, 0, "format", "json",
                                       "Print JSON: changed, added, deleted"),
                                   {} };

static void put_json(const struct difference *v, size_t n, struct buf *out)
{
        static const struct {
                char kind;
                const char *name;
        } kinds[] = { { 'C', "changed" }, { 'A', "added" }, { 'D', "deleted" } };
        struct json_writer w = { .out = out, .indent = 4 };

        json_open(&w, NULL, '{');
        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
                bool any = false;

                for (size_t i = 0; i < n; i++) {
                        if (v[i].kind != kinds[k].kind)
                                continue;
                        if (!any)
                                json_open(&w, kinds[k].name, '[');
                        any = true;
                        json_put_str(&w, NULL, v[i].path);
                }
                if (any)
                        json_close(&w, ']');
        }
        json_close(&w, '}');
        buf_putc(out, '\n');
}

/* A container chose its files' names. */
static void put_text(const struct difference *v, size_t n, struct buf *out)
{
        for (size_t i = 0; i < n; i++) {
                buf_printf(out, "%c ", v[i].kind);
                safe_put_cell(out, v[i].path);
                buf_putc(out, '\n');
        }
}

int differences_print(const struct difference *v, size_t n, bool json, struct err *e)
{
        AUTO_BUF out = { 0 };
        int r;

        (json ? put_json : put_text)(v, n, &out);
        r = fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return r < 0 ? err_sys(e, r, "cannot print the differences") : 0;
}

static int differences(struct ctx *c, struct store *s, char **names, struct difference **ret,
                       size_t *ret_n, struct err *e)
{
        struct image to, other;
        struct strings from;

        if (store_image_find(s, &c->arena, names[0], &to, e) < 0)
                return -1;
        from = to.layers;
        if (names[1]) {
                if (store_image_find(s, &c->arena, names[1], &other, e) < 0)
                        return -1;
                from = other.layers;
        } else if (from.n) {
                from.n--;
        }
        return image_differences(s, &c->arena, &from, &to.layers, c->globals.runroot, ret, ret_n,
                                 e);
}

static int run_diff(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct diff_args *args = p;
        struct difference *v;
        struct store *s;
        size_t n;
        int r;

        if (args->format && !str_eq(args->format, "json"))
                return err_set(e, ERR_INVALID, "--format takes nothing but 'json' here");
        if (geteuid() != 0)
                return err_set(e, ERR_DENIED, "mounting images needs root");
        if (store_open(c->globals.root, &c->log, &s, e) < 0)
                return -1;
        r = differences(c, s, argv, &v, &n, e);
        store_close(s);
        if (r < 0)
                return -1;
        return differences_print(v, n, args->format, e);
}

const struct command cmd_image_diff = {
        .name = "image diff",
        .usage = "IMAGE [IMAGE]",
        .help = "Show what an image's topmost layer, or another image, makes different",
        .about = "Of one image, its topmost layer is compared with what lies below it; of two, "
                 "the first with the second. A is added, C changed, D deleted. Only what layers "
                 "that the two don't share have is looked at.",
        .opts = opts,
        .min = 1,
        .max = 2,
        .needs = NEED_ROOT | NEED_STORE,
        .complete = { COMPLETE_IMAGE, COMPLETE_IMAGE },
        .args_size = sizeof(struct diff_args),
        .run = run_diff,
};
