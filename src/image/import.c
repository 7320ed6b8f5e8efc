#include "image/import.h"

#include "base/str.h"
#include "image/compose.h"
#include "image/layer.h"
#include "image/pull.h"
#include "image/record.h"

static const char *fallback(const char *given, const char *otherwise)
{
        return str_empty(given) ? otherwise : given;
}

/* What is not said is this machine's; a variant only where it is its architecture's. A level of
 * x86-64 is none: it says what this processor can do, not what the image's programs need. */
static struct platform platform_of(const struct platform *given)
{
        struct platform host;
        bool own;

        platform_host(&host);
        own = str_empty(given->architecture) && !str_eq(host.architecture, "amd64");
        return (struct platform){
                .os = fallback(given->os, host.os),
                .architecture = fallback(given->architecture, host.architecture),
                .variant = fallback(given->variant, own ? host.variant : ""),
                .os_version = fallback(given->os_version, ""),
        };
}

static int make_config(struct arena *a, const struct import_options *o, const struct layer *l,
                       struct buf *out, struct err *e)
{
        struct image_history history = { .created_by = "berth import", .comment = o->message };
        struct image_config c = { .platform = platform_of(&o->platform),
                                  .diff_ids = { arena_array(a, const char *, 1), 1 },
                                  .history = &history,
                                  .nhistory = 1 };
        int64_t now;

        if (compose_time(&now, e) < 0 || compose_change(a, &o->changes, &c, e) < 0)
                return -1;
        c.created = history.created = compose_time_str(a, now);
        c.diff_ids.v[0] = l->diff_id;
        compose_config(&c, out);
        return 0;
}

static void make_manifest(const struct layer *l, const struct buf *config, struct buf *out)
{
        char digest[DIGEST_CAP];
        struct descriptor layer = { .media_type = MEDIA_OCI_LAYER,
                                    .digest = l->diff_id,
                                    .size = l->size };
        struct manifest m = {
                .config = { .media_type = MEDIA_OCI_CONFIG, .digest = digest, .size = config->len },
                .layers = &layer,
                .nlayers = 1
        };

        hash_bytes(HASH_SHA256, config->s, config->len, digest);
        compose_manifest(&m, out);
}

static int add(struct store *s, struct arena *a, int input, const struct import_options *o,
               const struct log *log, struct image *ret, struct err *e)
{
        struct layer_job job = { .backend = store_backend(s),
                                 .input = input,
                                 .threads = 2,
                                 .limits = tar_limits_default };
        AUTO_BUF config = { 0 };
        AUTO_BUF manifest = { 0 };
        const char *names[] = { o->name };
        struct record r = { .names = { names, o->name ? 1 : 0 } };
        struct layer l;

        if (image_layer_add(s, input, &job, &(struct strings){ 0 }, 0, log, &l, e) < 0 ||
            make_config(a, o, &l, &config, e) < 0)
                return -1;
        make_manifest(&l, &config, &manifest);
        r.config = config.s;
        r.nconfig = config.len;
        r.manifest = manifest.s;
        r.nmanifest = manifest.len;
        r.layers = &l;
        r.nlayers = 1;
        return image_record(s, a, &r, ret, e);
}

int image_import(struct store *s, struct arena *a, int input, const struct import_options *o,
                 const struct log *log, struct image *ret, struct err *e)
{
        struct image_config check = { 0 };
        int64_t now;
        int lease, r;

        /* What can be known to be wrong is said before a gigabyte is unpacked. */
        if (compose_time(&now, e) < 0 || compose_change(a, &o->changes, &check, e) < 0 ||
            store_lease(s, "import", &lease, e) < 0)
                return -1;
        r = add(s, a, input, o, log, ret, e);
        store_lease_end(s, lease);
        if (r < 0) {
                store_full_hint(s, e);
                store_collect(s, 0, NULL, NULL);
        }
        return r;
}
