/* berth system check: whether the store is whole. */
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/system.h"
#include "cli/ctr-args.h"
#include "codec/json.h"
#include "engine/sandbox.h"
#include "image/store.h"

struct check_args {
        bool repair, deep, quick, quiet, json;
        const char *format;
};

static const struct opt opts[] = {
        FLAG(struct check_args, deep, 0, "deep",
             "Read every layer, and compare its bytes with the digest that names it"),
        STR(struct check_args, format, 0, "format", "json", "Print what was found as JSON"),
        FLAG(struct check_args, json, 0, "json", "The same"),
        FLAG(struct check_args, quick, 0, "quick", "Don't read layers, as is the default"),
        FLAG(struct check_args, quiet, 'q', "quiet", "Print nothing where all is well"),
        FLAG(struct check_args, repair, 'r', "repair",
             "Make the index again from what is on disk, drop what is broken, and finish what was "
             "interrupted"),
        {}
};

static void put_json(const struct finding *v, size_t n, struct buf *out)
{
        struct json_writer w = { .out = out, .indent = 4 };

        json_open(&w, NULL, '[');
        for (size_t i = 0; i < n; i++) {
                json_open(&w, NULL, '{');
                json_put_str(&w, "object", v[i].object);
                json_put_str(&w, "problem", v[i].problem);
                json_put_str(&w, "remedy", v[i].remedy);
                json_put_bool(&w, "repaired", v[i].repaired);
                json_close(&w, '}');
        }
        json_close(&w, ']');
        buf_putc(out, '\n');
}

static void put_text(const struct check_args *args, const struct finding *v, size_t n,
                     struct buf *out)
{
        for (size_t i = 0; i < n; i++) {
                buf_printf(out, "%s: %s%s\n", v[i].object, v[i].problem,
                           v[i].repaired ? " (repaired)" : "");
                if (v[i].remedy && !v[i].repaired)
                        buf_printf(out, "  %s\n", v[i].remedy);
        }
        if (n == 0 && !args->quiet)
                buf_printf(out, "The store is whole%s.\n",
                           args->deep ? "" : " (layers were not read: --deep does)");
        if (n > 0)
                buf_printf(out, "%zu problem%s%s\n", n, n == 1 ? "" : "s",
                           args->repair ? "" : " found: --repair makes good what it can");
}

static struct finding *both(struct arena *a, const struct finding *one, size_t *n,
                            const struct finding *other, size_t nother)
{
        struct finding *v = arena_array(a, struct finding, *n + nother + 1);

        for (size_t i = 0; i < *n; i++)
                v[i] = one[i];
        for (size_t i = 0; i < nother; i++)
                v[*n + i] = other[i];
        *n += nother;
        return v;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct check_args *args = p;
        struct finding *found, *more;
        size_t n, nmore, open = 0;
        AUTO_BUF out = { 0 };
        struct engine g;
        int r;

        if (args->format && !str_eq(args->format, "json"))
                return err_set(e, ERR_INVALID, "--format: only json is understood");
        if (args->deep && args->quick)
                return err_set(e, ERR_INVALID, "--deep and --quick exclude each other");
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        if (args->repair)
                sandbox_sweep(&g.places, g.store);
        r = store_check(g.store, &c->arena, args->deep, args->repair, &found, &n, e);
        if (r == 0)
                r = ctr_check(&g, &c->arena, args->repair, &more, &nmore, e);
        engine_close(&g);
        if (r < 0)
                return -1;
        found = both(&c->arena, found, &n, more, nmore);
        if (args->json || args->format)
                put_json(found, n, &out);
        else
                put_text(args, found, n, &out);
        fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        for (size_t i = 0; i < n; i++)
                open += !found[i].repaired;
        return open > 0;
}

const struct command cmd_system_check = {
        .name = "system check",
        .help = "See whether everything in the store is whole, and repair it",
        .about = "Compares the index with what is on disk, and blobs with the digests that name "
                 "them; with --deep also all layers, which reads them. Exit status 1 says that "
                 "something is wrong, and was not repaired.",
        .opts = opts,
        .needs = NEED_STORE,
        .args_size = sizeof(struct check_args),
        .run = run,
};
