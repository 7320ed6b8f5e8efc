/* What is to be had: names, policy, manifests, platforms; and the record in the end. */
#include "image/pull.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "image/pull-internal.h"
#include "image/record.h"
#include "image/registry-config.h"

#define INDEX_DEPTH_MAX 4 /* indexes of indexes */

const char *const pull_policy_names[PULL_POLICY_MAX + 1] = {
        [PULL_ALWAYS] = "always",
        [PULL_MISSING] = "missing",
        [PULL_NEWER] = "newer",
        [PULL_NEVER] = "never",
};

/* A manifest or index: its exact bytes. */
struct document {
        const char *text, *digest;
        const char *type; /* what the registry called it; NULL: it was here */
        size_t n;
};

void pull_note(const struct pull *p, const char *text)
{
        if (p->watcher && p->watcher->note)
                p->watcher->note(p->watcher->ctx, text);
}

void pull_report(const struct pull *p, const struct transfer *t)
{
        if (p->watcher && p->watcher->transfer)
                p->watcher->transfer(p->watcher->ctx, t);
}

int pull_fetch(struct pull *p, struct err *e)
{
        return p->fetch ? 0 : fetch_open(&p->ref, &p->options->fetch, p->log, &p->fetch, e);
}

/* ---- documents ---- */

/* Where what is a digest that is here, no request is made. */
static int document_get(struct pull *p, const char *what, struct document *ret, struct err *e)
{
        struct fetched_manifest got = { 0 };

        if (digest_check(what, NULL) == 0 && store_blob_has(p->store, what)) {
                *ret = (struct document){ .digest = what };
                return store_blob_read(p->store, p->arena, what, MANIFEST_MAX, &ret->text, &ret->n,
                                       e);
        }
        if (pull_fetch(p, e) < 0 || fetch_manifest(p->fetch, p->arena, what, false, &got, e) < 0)
                return -1;
        *ret = (struct document){ got.data, arena_strdup(p->arena, got.digest), got.content_type,
                                  got.n };
        return 0;
}

static int entry_get(struct pull *p, const struct descriptor *d, struct document *ret,
                     struct err *e)
{
        if (d->data) {
                *ret = (struct document){ d->data, d->digest, NULL, d->size };
                return 0;
        }
        if (document_get(p, d->digest, ret, e) < 0)
                return -1;
        if (ret->n != d->size)
                return err_set(e, ERR_INVALID, "manifest %s has %zu bytes; the index says %llu",
                               d->digest, ret->n, (unsigned long long)d->size);
        return 0;
}

static int parse(struct pull *p, const struct document *d, struct manifest *ret, struct err *e)
{
        if (manifest_parse(p->arena, d->text, d->n, d->type, ret, e) < 0)
                return err_in(e, "manifest %s", d->digest);
        return 0;
}

/* From an index down to the manifest of the platform. */
static int descend(struct pull *p, struct document *d, struct manifest *m, struct err *e)
{
        const struct descriptor *entry;

        for (int depth = 0; m->kind == MANIFEST_INDEX; depth++) {
                if (depth == INDEX_DEPTH_MAX)
                        return err_set(e, ERR_INVALID, "its indexes are nested too deeply");
                if (manifest_choose(m, &p->want, &entry, e) < 0 || entry_get(p, entry, d, e) < 0 ||
                    parse(p, d, m, e) < 0)
                        return -1;
        }
        return 0;
}

/* ---- recording ---- */

/* The names that the image gets: the tag that was asked for, and one by digest for each way in
 * which the registry knows it. */
static struct strings names_of(struct pull *p, const char *digest, const char *index, bool tag)
{
        const char *repository = reference_repository(p->arena, &p->ref);
        struct strings names = { arena_array(p->arena, const char *, 4), 0 };

        if (tag && p->ref.tag && !p->ref.digest)
                names.v[names.n++] = p->name;
        names.v[names.n++] = arena_printf(p->arena, "%s@%s", repository, digest);
        if (index && !str_eq(index, digest))
                names.v[names.n++] = arena_printf(p->arena, "%s@%s", repository, index);
        return names;
}

static bool has_names(const struct image *i, const struct strings *names)
{
        for (size_t k = 0; k < names->n; k++)
                if (str_index(i->names.v, i->names.n, names->v[k]) < 0)
                        return false;
        return true;
}

/* The image is here already; it only gets the names that it lacks. */
static int rename_image(struct pull *p, struct image *i, const struct strings *names,
                        bool *ret_changed, struct err *e)
{
        if (has_names(i, names))
                return 0;
        i->names = *names;
        *ret_changed = true;
        if (store_image_add(p->store, i, e) < 0)
                return -1;
        return store_image_find(p->store, p->arena, i->digest, i, e);
}

static int get_config(struct pull *p, const struct descriptor *d, struct record *r, struct err *e)
{
        if (d->size > CONFIG_MAX)
                return err_set(e, ERR_LIMIT, "the configuration has %llu bytes, more than %u",
                               (unsigned long long)d->size, CONFIG_MAX);
        r->nconfig = d->size;
        if ((r->config = d->data))
                return 0;
        if (store_blob_has(p->store, d->digest))
                return store_blob_read(p->store, p->arena, d->digest, CONFIG_MAX, &r->config,
                                       &r->nconfig, e);
        if (pull_fetch(p, e) < 0)
                return -1;
        return fetch_small_blob(p->fetch, p->arena, d, &r->config, &r->nconfig, e);
}

static int pull_runnable(struct pull *p, const struct document *d, const struct manifest *m,
                         const struct document *index, const struct strings *names,
                         struct image *ret, bool *ret_changed, struct err *e)
{
        struct record r = { .manifest = d->text,
                            .nmanifest = d->n,
                            .index = index ? index->text : NULL,
                            .nindex = index ? index->n : 0,
                            .nlayers = m->nlayers,
                            .names = *names };
        struct layer *layers = arena_array(p->arena, struct layer, m->nlayers + 1);
        struct image_config c;

        r.layers = layers;
        if (get_config(p, &m->config, &r, e) < 0)
                return err_in(e, "image configuration");
        if (image_config_parse(p->arena, r.config, r.nconfig, &c, e) < 0 ||
            pull_layers(p, m, &c, layers, ret_changed, e) < 0)
                return -1;
        return image_record(p->store, p->arena, &r, ret, e);
}

/* What isn't a runnable image is kept as it came: unknown types are no error (image-spec,
 * "Compatibility Matrix"). id: its configuration, or itself. */
static int record_plain(struct pull *p, const struct document *d, const struct manifest *m,
                        const struct document *index, const struct strings *names,
                        struct image *ret, struct err *e)
{
        struct image i = { .digest = d->digest,
                           .id = m->config.digest ? m->config.digest : d->digest,
                           .media_type = m->media_type,
                           .index_digest = index ? index->digest : NULL,
                           .artifact_type = m->artifact_type,
                           .platform = { "", "", "", "" },
                           .added = time(NULL),
                           .names = *names };

        if (!i.artifact_type && m->kind == MANIFEST_IMAGE)
                i.artifact_type = m->config.digest ? m->config.media_type : m->media_type;
        if ((index &&
             store_blob_put(p->store, index->text, index->n, index->digest, NULL, e) < 0) ||
            store_blob_put(p->store, d->text, d->n, d->digest, NULL, e) < 0 ||
            store_image_add(p->store, &i, e) < 0)
                return -1;
        *ret = i;
        return 0;
}

/* One manifest, with all that it needs. index: that it was chosen from, or NULL. */
static int pull_manifest(struct pull *p, const struct document *d, const struct manifest *m,
                         const struct document *index, bool tag, struct image *ret,
                         bool *ret_changed, struct err *e)
{
        struct strings names = names_of(p, d->digest, index ? index->digest : NULL, tag);
        int lease, rc;

        if (store_image_find(p->store, p->arena, d->digest, ret, NULL) == 0)
                return rename_image(p, ret, &names, ret_changed, e);
        *ret_changed = true;
        if (store_lease(p->store, "pull", &lease, e) < 0)
                return -1;
        if (manifest_is_image(m)) {
                rc = pull_runnable(p, d, m, index, &names, ret, ret_changed, e);
        } else {
                rc = pull_blobs(p, m, e);
                if (rc == 0)
                        rc = record_plain(p, d, m, index, &names, ret, e);
        }
        store_lease_end(p->store, lease);
        return rc;
}

/* Every entry of an index, attestations too, and the index itself. The tag goes to what would be
 * pulled without --all-platforms. */
static int pull_all(struct pull *p, const struct document *index, const struct manifest *list,
                    struct image *ret, bool *ret_changed, struct err *e)
{
        const struct descriptor *mine = NULL;
        struct strings names;
        struct image image;

        manifest_choose(list, &p->want, &mine, NULL);
        for (size_t i = 0; i < list->nlayers; i++) {
                const struct descriptor *d = &list->layers[i];
                struct document entry;
                struct manifest m;

                if (entry_get(p, d, &entry, e) < 0 || parse(p, &entry, &m, e) < 0)
                        return -1;
                if (m.kind == MANIFEST_INDEX)
                        return err_set(e, ERR_UNSUPPORTED, "it is an index of indexes");
                if (pull_manifest(p, &entry, &m, index, d == mine, &image, ret_changed, e) < 0)
                        return err_in(e, "platform %s", platform_str(p->arena, &d->platform));
                if (d == mine || (i == 0 && !mine))
                        *ret = image;
        }
        names = names_of(p, index->digest, NULL, !mine);
        if (store_image_find(p->store, p->arena, index->digest, &image, NULL) == 0)
                return rename_image(p, &image, &names, ret_changed, e);
        *ret_changed = true;
        return record_plain(p, index, list, NULL, &names, mine ? &image : ret, e);
}

/* ---- one name ---- */

static bool asks_platform(const struct pull_options *o)
{
        return !str_empty(o->platform.os);
}

/* Whether an image that is here is what is asked for. */
static bool serves(const struct pull *p, const struct image *i)
{
        return !asks_platform(p->options) || platform_match(&p->want, &i->platform) >= 0;
}

/* Whether the registry's answer for the name is what the image came from, and no other entry of
 * its index can be a better choice. */
static bool is_current(const struct pull *p, const struct image *i, const char *digest)
{
        if (p->options->all_platforms)
                return false;
        return str_eq(i->digest, digest) || (i->index_digest && str_eq(i->index_digest, digest) &&
                                             platform_match(&p->want, &i->platform) == 0);
}

/* What the name means now. *ret_digest in any case; the document unless it is here already. */
static int resolve(struct pull *p, const struct image *local, const char **ret_digest,
                   struct document *ret, struct err *e)
{
        struct fetched_manifest head = { 0 };

        *ret = (struct document){ 0 };
        if (p->ref.digest) {
                *ret_digest = p->ref.digest;
                return 0;
        }
        if (local) {
                if (pull_fetch(p, e) < 0 ||
                    fetch_manifest(p->fetch, p->arena, p->ref.tag, true, &head, e) < 0)
                        return -1;
                *ret_digest = arena_strdup(p->arena, head.digest);
                return 0;
        }
        if (document_get(p, p->ref.tag, ret, e) < 0)
                return -1;
        *ret_digest = ret->digest;
        return 0;
}

static int pull_name(struct pull *p, const struct image *local, struct image *ret,
                     bool *ret_changed, struct err *e)
{
        struct document index, d;
        struct manifest m;
        const char *digest;

        if (resolve(p, local, &digest, &d, e) < 0)
                return -1;
        if (local && is_current(p, local, digest)) {
                *ret = *local;
                return 0;
        }
        if ((!d.text && document_get(p, digest, &d, e) < 0) || parse(p, &d, &m, e) < 0)
                return -1;
        if (m.kind == MANIFEST_IMAGE)
                return pull_manifest(p, &d, &m, NULL, true, ret, ret_changed, e);
        index = d;
        if (p->options->all_platforms)
                return pull_all(p, &index, &m, ret, ret_changed, e);
        if (descend(p, &d, &m, e) < 0)
                return -1;
        return pull_manifest(p, &d, &m, &index, true, ret, ret_changed, e);
}

/* What the registry said meanwhile is shown even where nobody waited for an event. */
static void end_fetch(struct pull *p)
{
        struct fetch_event ev;
        struct err e = { 0 };

        while (p->fetch && fetch_next(p->fetch, 0, &ev, &e) > 0)
                if (ev.kind == FETCH_NOTE || ev.kind == FETCH_RATE)
                        pull_note(p, ev.text);
        fetch_close(p->fetch);
        p->fetch = NULL;
}

/* With berth-fetch beside us; it starts while the store is asked. */
static int pull_reference(struct pull *p, struct image *ret, bool *ret_changed, struct err *e)
{
        struct image local;
        bool here;
        int rc;

        reference_default(p->arena, &p->ref);
        p->name = reference_str(p->arena, &p->ref);
        rc = p->ref.digest ? 0 : pull_fetch(p, e);
        here = store_image_find(p->store, p->arena, p->name, &local, NULL) == 0;
        if (rc == 0)
                rc = pull_name(p, here ? &local : NULL, ret, ret_changed, e);
        end_fetch(p);
        if (rc < 0 && here && p->options->policy == PULL_NEWER && e->sys != EINTR &&
            serves(p, &local)) {
                pull_note(p, "the registry does not answer: using the image that is here");
                *ret = local;
                return 0;
        }
        if (rc < 0)
                store_full_hint(p->store, e);
        return rc < 0 ? err_in(e, "cannot pull \"%s\"", p->name) : 0;
}

/* ---- names and policies ---- */

/* A failure that another registry may not have. */
static bool try_next(const struct err *e)
{
        return e->sys != EINTR &&
               (e->code == ERR_NOT_FOUND || e->code == ERR_DENIED || e->code == ERR_UNAVAILABLE);
}

static int pull_short(struct pull *p, struct image *ret, bool *ret_changed, struct err *e)
{
        const struct fetch_options *o = &p->options->fetch;
        struct registry_options ro = { .registries_conf = o->registries_conf,
                                       .authfile = o->authfile,
                                       .creds = o->creds,
                                       .cert_dir = o->cert_dir,
                                       .tls_verify = o->tls_verify };
        struct short_name s;
        struct reference r = p->ref;
        struct err inner = { 0 };

        if (registry_short_name_settle(p->arena, &r, &ro, p->options->asker, &s, e) < 0)
                return -1;
        for (size_t i = 0; i < s.n; i++) {
                p->ref = s.candidates[i];
                if (s.n > 1)
                        pull_note(p, arena_printf(p->arena, "trying %s",
                                                  reference_str(p->arena, &p->ref)));
                if (pull_reference(p, ret, ret_changed, e) == 0)
                        break;
                if (!try_next(e) || i + 1 == s.n)
                        return -1;
        }
        /* That it is asked again the next time is no reason to fail. */
        if (s.chosen && registry_short_name_record(p->arena, &r, s.candidates, &ro, &inner) < 0)
                pull_note(p, arena_printf(p->arena, "the choice is not kept: %s", inner.chain));
        return 0;
}

static int never(const char *text, struct err *e)
{
        err_set(e, ERR_NOT_FOUND, "\"%s\" is not here, and is not to be pulled", text);
        return err_hint(e, "`berth pull %s` pulls it.", text);
}

int image_pull(struct store *s, struct arena *a, const char *text, const struct pull_options *o,
               const struct watcher *w, const struct log *log, struct image *ret, bool *ret_changed,
               struct err *e)
{
        struct pull p = {
                .store = s, .arena = a, .options = o, .watcher = w, .log = log, .want = o->platform
        };
        const char *name = str_after(text, "docker://");

        *ret_changed = false;
        if (!name)
                name = text;
        if (str_empty(p.want.os))
                platform_host(&p.want);
        if ((o->policy == PULL_MISSING || o->policy == PULL_NEVER) &&
            store_image_find(s, a, name, ret, NULL) == 0 && serves(&p, ret))
                return 0;
        if (o->policy == PULL_NEVER)
                return never(name, e);
        if (reference_parse(a, name, &p.ref, e) < 0)
                return -1;
        return p.ref.host ? pull_reference(&p, ret, ret_changed, e)
                          : pull_short(&p, ret, ret_changed, e);
}
