/* berth image inspect: all about an image, as docker's JSON has it. */
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/image.h"
#include "cli/show.h"
#include "image/manifest.h"
#include "image/store.h"

struct inspect_args {
        const char *format;
};

static const struct opt opts[] = {
        REFUSED(0, "platform", "an image here is of one platform: name it, or its digest"),
        STR(struct inspect_args, format, 'f', "format", "TEMPLATE",
            "Print by a Go template such as {{.Config.Env}}, or `json`"),
        {}
};

static void put_names(struct json_writer *w, const char *name, const struct strings *names,
                      bool digests)
{
        json_open(w, name, '[');
        for (size_t i = 0; i < names->n; i++)
                if ((strchr(names->v[i], '@') != NULL) == digests)
                        json_put_str(w, NULL, names->v[i]);
        json_close(w, ']');
}

/* What templates ask for is there in any case, as null; then comes what else there is. */
static void put_config(struct json_writer *w, const struct json *config)
{
        static const char *const usual[] = { "User",       "ExposedPorts", "Env",
                                             "Entrypoint", "Cmd",          "Volumes",
                                             "WorkingDir", "Labels",       "StopSignal" };

        json_open(w, "Config", '{');
        for (size_t i = 0; i < ARRAY_SIZE(usual); i++) {
                const struct json *v = json_get(config, usual[i]);
                bool text = str_eq(usual[i], "User") || str_eq(usual[i], "WorkingDir");

                if (v)
                        json_put(w, usual[i], v);
                else if (text)
                        json_put_str(w, usual[i], "");
                else
                        json_put_null(w, usual[i]);
        }
        for (uint32_t i = 0; config && config->type == JSON_OBJECT && i < config->n; i++)
                if (STR_INDEX(usual, config->members[i].name) < 0)
                        json_put(w, config->members[i].name, &config->members[i].value);
        json_close(w, '}');
}

/* What is ours alone: where the layers are, and what they are. */
static void put_berth(struct json_writer *w, struct store *s, const struct image *i)
{
        json_open(w, "Berth", '{');
        json_put_str(w, "Store", store_path(s));
        json_put_str(w, "MediaType", i->media_type);
        json_put_str(w, "Index", i->index_digest);
        json_put_str(w, "ArtifactType", i->artifact_type);
        json_put_i64(w, "Added", i->added);
        json_put_u64(w, "Containers", i->containers);
        json_open(w, "Layers", '[');
        for (size_t k = 0; k < i->layers.n && k < i->diff_ids.n; k++) {
                char chain[DIGEST_CAP];
                struct layer l = { 0 };

                chain_id(&i->diff_ids, k + 1, chain);
                json_open(w, NULL, '{');
                json_put_str(w, "Key", i->layers.v[k]);
                json_put_str(w, "DiffID", i->diff_ids.v[k]);
                if (store_layer_find(s, i->diff_ids.v[k], chain, &l, NULL) == 0) {
                        json_put_str(w, "Backend", layer_backend_names[l.backend]);
                        json_put_u64(w, "Size", l.size);
                        json_put_u64(w, "Disk", l.disk);
                        json_put_u64(w, "Entries", l.entries);
                        json_put_bool(w, "Leans", l.leans);
                }
                json_close(w, '}');
        }
        json_close(w, ']');
        json_close(w, '}');
}

static const char *last_comment(const struct json *j)
{
        const struct json *history = json_get(j, "history");

        if (!history || history->type != JSON_ARRAY || history->n == 0)
                return "";
        return json_str(json_get(&history->items[history->n - 1], "comment"), "");
}

static void put_rootfs(struct json_writer *w, const struct image *i)
{
        json_open(w, "RootFS", '{');
        json_put_str(w, "Type", "layers");
        json_open(w, "Layers", '[');
        for (size_t k = 0; k < i->diff_ids.n; k++)
                json_put_str(w, NULL, i->diff_ids.v[k]);
        json_close(w, ']');
        json_close(w, '}');
}

static void put_image(struct json_writer *w, struct store *s, const struct image *i,
                      const struct json *j)
{
        const struct json *history = json_get(j, "history");

        json_open(w, NULL, '{');
        json_put_str(w, "Id", i->id);
        json_put_str(w, "Digest", i->digest);
        put_names(w, "RepoTags", &i->names, false);
        put_names(w, "RepoDigests", &i->names, true);
        json_put_str(w, "Parent", "");
        json_put_str(w, "Comment", last_comment(j));
        json_put_str(w, "Created", json_str(json_get(j, "created"), ""));
        json_put_str(w, "DockerVersion", json_str(json_get(j, "docker_version"), ""));
        json_put_str(w, "Author", json_str(json_get(j, "author"), ""));
        put_config(w, json_get(j, "config"));
        json_put_str(w, "Architecture", i->platform.architecture);
        if (*i->platform.variant)
                json_put_str(w, "Variant", i->platform.variant);
        json_put_str(w, "Os", i->platform.os);
        json_put_u64(w, "Size", i->size);
        json_put_u64(w, "VirtualSize", i->size);
        put_rootfs(w, i);
        json_put_key_values(w, "Labels", &i->labels);
        json_put_str(w, "ManifestType", i->media_type);
        if (history)
                json_put(w, "History", history);
        put_berth(w, s, i);
        json_close(w, '}');
}

/* An artifact's configuration may be anything, and that of an index is the index. */
static int read_config(struct store *s, struct arena *a, const struct image *i, struct json *ret,
                       struct err *e)
{
        const char *text;
        size_t n;

        *ret = (struct json){ .type = JSON_NULL };
        if (store_blob_read(s, a, i->id, CONFIG_MAX, &text, &n, e) < 0)
                return -1;
        if (json_parse(a, text, n, NULL, ret, NULL) < 0)
                *ret = (struct json){ .type = JSON_NULL };
        return 0;
}

int image_inspect(struct ctx *c, struct store *s, const char *name, struct json_writer *w,
                  struct err *e)
{
        struct image i;
        struct json j;

        if (store_image_find(s, &c->arena, name, &i, e) < 0 ||
            read_config(s, &c->arena, &i, &j, e) < 0)
                return -1;
        put_image(w, s, &i, &j);
        return 0;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct inspect_args *args = p;
        AUTO_BUF text = { 0 };
        AUTO_BUF out = { 0 };
        struct json_writer w = { .out = &text, .indent = 4 };
        struct store *s;
        int status = 0;

        if (store_open(c->globals.root, &c->log, &s, e) < 0)
                return -1;
        json_open(&w, NULL, '[');
        for (int i = 0; i < argc; i++) {
                struct err one = { 0 };

                /* What is there is shown, whatever else is asked for. */
                if (image_inspect(c, s, argv[i], &w, &one) < 0) {
                        log_err(&c->log, LOG_LEVEL_ERROR, &one);
                        status = 1;
                }
        }
        json_close(&w, ']');
        store_close(s);
        if (show_list(c, args->format, &text, &out, e) < 0)
                return -1;
        fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return status;
}

const struct command cmd_image_inspect = {
        .name = "image inspect",
        .usage = "IMAGE...",
        .help = "Show all about images, as JSON",
        .about = "The members are docker's and podman's; what is berth's own is below Berth: "
                 "where each layer is, how it is kept, and what it takes.",
        .opts = opts,
        .min = 1,
        .max = -1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_IMAGE, COMPLETE_IMAGE, COMPLETE_IMAGE },
        .args_size = sizeof(struct inspect_args),
        .run = run,
};
