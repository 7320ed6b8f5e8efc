/* berth manifest inspect: of a list here, or of anything in a registry, without pulling it. */
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/manifest.h"
#include "cli/prompt.h"
#include "cli/registry-args.h"
#include "codec/json.h"
#include "image/fetch.h"
#include "image/registry-config.h"
#include "image/store.h"

struct inspect_args {
        bool raw, verbose;
        struct registry_args registry;
};

static const struct opt opts[] = {
        FLAG(struct inspect_args, raw, 0, "raw", "Print the exact bytes instead of indented JSON"),
        IGNORED('v', "verbose", "Accepted for docker's sake", .hidden = true),
        IGNORED(0, "insecure", "As --tls-verify=false in docker", .hidden = true),
        REGISTRY_OPTS(struct inspect_args, registry),
        {}
};

static int print(const char *text, size_t n, bool raw, struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_BUF out = { 0 };
        struct json j;
        int r;

        if (raw || json_parse(&a, text, n, NULL, &j, NULL) < 0) {
                buf_add(&out, text, n);
        } else {
                json_put(&(struct json_writer){ .out = &out, .indent = 4 }, NULL, &j);
                buf_putc(&out, '\n');
        }
        r = fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return r < 0 ? err_sys(e, r, "cannot print the manifest") : 0;
}

/* 1: there is none here. */
static int local(struct ctx *c, const char *name, const char **ret, size_t *ret_n, struct err *e)
{
        struct err inner = { 0 };
        struct store *s;
        struct image i;
        int r;

        if (store_open(c->globals.root, &c->log, &s, e) < 0)
                return -1;
        r = store_image_find(s, &c->arena, name, &i, &inner);
        if (r == 0)
                r = store_blob_read(s, &c->arena, i.digest, MANIFEST_MAX, ret, ret_n, e);
        else if (inner.code == ERR_NOT_FOUND)
                r = 1;
        else
                *e = inner;
        store_close(s);
        return r;
}

static int ask(struct ctx *c, const struct reference *ref, const struct fetch_options *o,
               const char **ret, size_t *ret_n, struct err *e)
{
        struct fetched_manifest got = { .data = NULL };
        struct fetch *f;
        int r;

        if (fetch_open(ref, o, &c->log, &f, e) < 0)
                return -1;
        r = fetch_manifest(f, &c->arena, ref->digest ? ref->digest : ref->tag, false, &got, e);
        fetch_close(f);
        *ret = got.data;
        *ret_n = got.n;
        return r;
}

/* The registries that a short name may mean are asked in turn. */
static int remote(struct ctx *c, const struct inspect_args *args, const char *name,
                  const char **ret, size_t *ret_n, struct err *e)
{
        struct short_name all = { .n = 0 };
        struct registry_options places;
        struct fetch_options o;
        struct reference ref;

        if (registry_args_take(&args->registry, &o, e) < 0 ||
            reference_parse(&c->arena, name, &ref, e) < 0)
                return -1;
        places = (struct registry_options){ .registries_conf = o.registries_conf,
                                            .tls_verify = o.tls_verify };
        if (ref.host) {
                all.candidates = &ref;
                all.n = 1;
        } else if (registry_short_name_settle(&c->arena, &ref, &places, prompt_short_name(), &all,
                                              e) < 0) {
                return -1;
        }
        for (size_t i = 0; i < all.n; i++) {
                reference_default(&c->arena, &all.candidates[i]);
                if (ask(c, &all.candidates[i], &o, ret, ret_n, e) == 0)
                        return 0;
        }
        return err_in(e, "cannot inspect \"%s\"", name);
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct inspect_args *args = p;
        const char *name = str_after(argv[0], "docker://"), *text;
        int r = 1;
        size_t n;

        if (!name)
                r = local(c, argv[0], &text, &n, e);
        if (r == 1)
                r = remote(c, args, name ? name : argv[0], &text, &n, e);
        return r < 0 ? -1 : print(text, n, args->raw, e);
}

static const struct inspect_args defaults = { .registry = REGISTRY_ARGS_DEFAULTS };

const struct command cmd_manifest_inspect = {
        .name = "manifest inspect",
        .usage = "LIST|IMAGE",
        .help = "Show a list, or the manifest of an image in a registry",
        .about = "What is not here is asked for at its registry, and not pulled; with docker:// "
                 "before its name the registry is asked in any case.",
        .opts = opts,
        .min = 1,
        .max = 1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_IMAGE },
        .args_size = sizeof(struct inspect_args),
        .defaults = &defaults,
        .run = run,
};
