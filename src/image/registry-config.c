#include "image/registry-config.h"

#include <stdlib.h>

#include "base/str.h"
#include "image/registries-internal.h"

#define CAN_ALL (ENDPOINT_PULL | ENDPOINT_RESOLVE | ENDPOINT_PUSH)

/* ---- what all kinds of endpoints share ---- */

static const char *hub_host(const char *host)
{
        return str_eq(host, "docker.io") || str_eq(host, "index.docker.io") ? "registry-1.docker.io"
                                                                            : host;
}

/* Whether host[:port] is this machine itself, whatever a name server says. */
static bool is_loopback(const char *host)
{
        size_t n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");

        return (n == 9 && strncmp(host, "localhost", n) == 0) ||
               (str_after(host, "127.") && strspn(host, "0123456789.") == n) ||
               (n == 5 && strncmp(host, "[::1]", n) == 0);
}

/* --tls-verify over what files said. */
static void decide_tls(const struct registry_options *o, bool insecure, struct endpoint *ep)
{
        if (o->tls_verify > 0) {
                ep->scheme = ENDPOINT_HTTPS;
                ep->skip_verify = false;
                return;
        }
        if (o->tls_verify == 0)
                insecure = true;
        ep->skip_verify = ep->skip_verify || insecure;
        if (ep->scheme == ENDPOINT_HTTPS && (insecure || is_loopback(ep->host)))
                ep->scheme = ENDPOINT_HTTPS_OR_HTTP;
}

/* Certificates of certs.d, unless there are others, and credentials. */
static int complete(struct arena *a, const struct registry_options *o,
                    const struct auth_places *places, const struct log *log, struct endpoint *ep,
                    struct err *e)
{
        bool hub = str_eq(ep->host, "registry-1.docker.io");
        const char *name = hub ? "docker.io" : ep->host;

        if (ep->nca == 0 && ep->nclients == 0 && ep->scheme != ENDPOINT_HTTP &&
            certs_load(a, o, name, ep, e) < 0)
                return -1;
        /* As docker does it: this machine need not prove who it is, unless somebody said how. */
        if (o->tls_verify < 0 && ep->nca == 0 && is_loopback(ep->host))
                ep->skip_verify = true;
        if (!o->creds || ep->mirror)
                return auth_find(a, places, name, ep->repository, log, &ep->credentials, e);
        if (auth_parse(a, o->creds, &ep->credentials, e) < 0)
                return -1;
        ep->credentials.source = "--creds";
        return 0;
}

/* ---- registries.conf ---- */

/* "LOCATION/PATH" of which the prefix's length was covered by a table. */
static int from_location(struct arena *a, const char *location, const char *rest, bool insecure,
                         const struct registry_options *o, struct endpoint *ep, struct err *e)
{
        const char *whole = arena_printf(a, "%s%s", location, rest);
        const char *slash = strchr(whole, '/');

        if (!slash || !slash[1])
                return err_set(e, ERR_INVALID, "location '%s' leaves no name of a repository",
                               location);
        *ep = (struct endpoint){
                .host = hub_host(arena_strndup(a, whole, (size_t)(slash - whole))),
                .path = "/v2",
                .repository = slash + 1,
                .can = CAN_ALL,
        };
        decide_tls(o, insecure, ep);
        return 0;
}

/* Whether a mirror is of use for what is wanted: an image by digest or by tag. */
static bool mirror_serves(const struct registries_mirror *m, const struct reference *ref)
{
        if (m->use == MIRROR_ALL || (!ref->tag && !ref->digest))
                return true;
        return (m->use == MIRROR_DIGEST_ONLY) == (ref->digest != NULL);
}

static int by_table(struct arena *a, const struct reference *ref, const char *name,
                    const struct registries_table *t, size_t covered,
                    const struct registry_options *o, struct registry *ret, struct err *e)
{
        const char *rest = name + covered;
        const char *location = *t->location ? t->location : arena_strndup(a, name, covered);

        if (t->blocked) {
                err_set(e, ERR_DENIED, "registry '%s' is blocked by '%s'", t->prefix, t->file);
                return err_hint(e, "Remove 'blocked' from the [[registry]] with that prefix.");
        }
        ret->endpoints = arena_array(a, struct endpoint, t->nmirrors + 1);
        for (size_t i = 0; i < t->nmirrors && !o->push; i++) {
                const struct registries_mirror *m = &t->mirrors[i];
                struct endpoint *ep = &ret->endpoints[ret->n];

                if (!mirror_serves(m, ref))
                        continue;
                if (from_location(a, m->location, rest, m->insecure, o, ep, e) < 0)
                        return err_in(e, "'%s'", t->file);
                ep->mirror = true;
                ep->can = ENDPOINT_PULL | ENDPOINT_RESOLVE;
                if (!ref->tag && !ref->digest && m->use != MIRROR_ALL)
                        ep->can = m->use == MIRROR_TAG_ONLY ? ENDPOINT_RESOLVE : ENDPOINT_PULL;
                ret->n++;
        }
        if (from_location(a, location, rest, t->insecure, o, &ret->endpoints[ret->n], e) < 0)
                return err_in(e, "'%s'", t->file);
        ret->n++;
        return 0;
}

/* ---- hosts.toml ---- */

static unsigned capabilities(const struct hosts_entry *h)
{
        static const struct str_flag bits[] = { { "pull", ENDPOINT_PULL },
                                                { "resolve", ENDPOINT_RESOLVE },
                                                { "push", ENDPOINT_PUSH },
                                                { NULL, 0 } };
        unsigned can = 0;

        if (!h->has_capabilities)
                return CAN_ALL;
        for (size_t i = 0; i < h->capabilities.n; i++)
                can |= (unsigned)str_flag_find(bits, h->capabilities.v[i])->value;
        return can;
}

/* The path before /NAME: as it is with override_path, else ending in /v2. */
static const char *base_path(struct arena *a, const char *path, bool override)
{
        size_t n = strlen(path);
        const char *trimmed;

        while (n && path[n - 1] == '/')
                n--;
        trimmed = arena_strndup(a, path, n);
        return override || str_ends(trimmed, "/v2") ? trimmed : arena_printf(a, "%s/v2", trimmed);
}

/* "[SCHEME://]HOST[:PORT][/PATH]" */
static int split_url(struct arena *a, const char *url, bool override, struct endpoint *ep,
                     struct err *e)
{
        const char *host = str_after(url, "https://");
        size_t n;

        ep->scheme = ENDPOINT_HTTPS;
        if (!host) {
                host = str_after(url, "http://");
                ep->scheme = host ? ENDPOINT_HTTP : ENDPOINT_HTTPS;
                host = host ? host : url;
        }
        n = strcspn(host, "/");
        if (n == 0 || strstr(host, "://") || memchr(host, '@', n) || strpbrk(host, "?# "))
                return err_set(e, ERR_INVALID, "'%s' is no address of a registry", url);
        ep->host = hub_host(arena_strndup(a, host, n));
        ep->path = base_path(a, host + n, override);
        return 0;
}

static int by_hosts(struct arena *a, const struct reference *ref, const struct hosts *hosts,
                    const struct registry_options *o, struct registry *ret, struct err *e)
{
        ret->endpoints = arena_array(a, struct endpoint, hosts->n);
        for (size_t i = 0; i < hosts->n; i++) {
                const struct hosts_entry *h = &hosts->v[i];
                struct endpoint *ep = &ret->endpoints[ret->n];

                *ep = (struct endpoint){ .repository = ref->path,
                                         .can = capabilities(h),
                                         .mirror = i + 1 < hosts->n,
                                         .skip_verify = h->skip_verify,
                                         .ca = h->ca,
                                         .nca = h->nca,
                                         .clients = h->clients,
                                         .nclients = h->nclients,
                                         .headers = h->headers };
                if (split_url(a, h->url, h->override_path, ep, e) < 0)
                        return -1;
                if (!str_eq(ep->host, hub_host(ref->host)))
                        ep->ns = ref->host;
                decide_tls(o, false, ep);
                if (o->push && !(ep->can & ENDPOINT_PUSH))
                        continue;
                if (o->push)
                        ep->mirror = false; /* a push goes to one place */
                ret->n++;
                if (o->push)
                        return 0;
        }
        if (ret->n == 0)
                return err_set(e, ERR_DENIED, "no host of '%s' takes pushes, says hosts.toml",
                               ref->host);
        return 0;
}

/* ---- the interface ---- */

static struct auth_places places_of(const struct registry_options *o, const struct registries *r)
{
        return (struct auth_places){ .root = o->root,
                                     .authfile = o->authfile,
                                     .helpers = o->authfile ? (struct strings){ 0 } : r->helpers };
}

int registry_auth_places(struct arena *a, const struct registry_options *o, struct auth_places *ret,
                         struct err *e)
{
        struct registries all;

        if (registries_load(a, o, &all, e) < 0)
                return -1;
        *ret = places_of(o, &all);
        return 0;
}

static int by_name(struct arena *a, const char *name, const struct registry_options *o,
                   struct registry *ret, struct err *e)
{
        ret->endpoints = arena_array(a, struct endpoint, 1);
        ret->n = 1;
        return from_location(a, "", name, false, o, ret->endpoints, e);
}

int registry_config(struct arena *a, const struct reference *ref, const struct registry_options *o,
                    const struct log *log, struct registry *ret, struct err *e)
{
        const char *name = arena_printf(a, "%s/%s", ref->host, ref->path);
        const struct registries_table *t;
        struct registry found = { .n = 0 };
        struct auth_places places;
        struct registries all;
        struct hosts hosts;
        size_t covered = 0;
        bool there = false;
        int r;

        if (registries_load(a, o, &all, e) < 0)
                return -1;
        t = registries_match(&all, name, &covered);
        if (!t && hosts_load(a, o, ref->host, &hosts, &there, e) < 0)
                return -1;
        r = t       ? by_table(a, ref, name, t, covered, o, &found, e)
            : there ? by_hosts(a, ref, &hosts, o, &found, e)
                    : by_name(a, name, o, &found, e);
        places = places_of(o, &all);
        for (size_t i = 0; r == 0 && i < found.n; i++)
                r = complete(a, o, &places, log, &found.endpoints[i], e);
        if (r == 0)
                *ret = found;
        return r;
}

/* ---- short names ---- */

static const char *alias_of(const struct registries *r, const char *name)
{
        for (size_t i = 0; i < r->aliases.n; i++)
                if (str_eq(r->aliases.v[i].key, name))
                        return r->aliases.v[i].value;
        return NULL;
}

static int candidate(struct arena *a, const char *text, const struct reference *r,
                     struct short_name *ret, struct err *e)
{
        struct reference full;

        if (reference_parse(a, text, &full, e) < 0)
                return -1;
        if (!full.host)
                return err_set(e, ERR_INVALID, "'%s' names no registry", text);
        full.tag = r->tag;
        full.digest = r->digest;
        ret->candidates[ret->n++] = full;
        return 0;
}

static enum short_name_mode mode_of(const struct registries *r)
{
        if (!r->mode || !*r->mode || str_eq(r->mode, "permissive"))
                return SHORT_NAME_PERMISSIVE;
        return str_eq(r->mode, "disabled") ? SHORT_NAME_DISABLED : SHORT_NAME_ENFORCING;
}

int registry_short_name(struct arena *a, const struct reference *r,
                        const struct registry_options *o, struct short_name *ret, struct err *e)
{
        static const char *const hub[] = { "docker.io" };
        struct registries all;
        const char *alias;
        size_t n;

        *ret = (struct short_name){ .n = 0 };
        if (registries_load(a, o, &all, e) < 0 || registries_chosen(a, o, &all, e) < 0)
                return -1;
        ret->mode = mode_of(&all);
        n = all.search.n ? all.search.n : ARRAY_SIZE(hub);
        ret->candidates = arena_array(a, struct reference, n);
        alias = ret->mode == SHORT_NAME_DISABLED ? NULL : alias_of(&all, r->path);
        if (!str_empty(alias)) {
                ret->alias = true;
                if (candidate(a, alias, r, ret, e) < 0)
                        return err_in(e, "alias of the short name '%s'", r->path);
                return 0;
        }
        for (size_t i = 0; i < n; i++) {
                const char *host = all.search.n ? all.search.v[i] : hub[i];

                if (candidate(a, arena_printf(a, "%s/%s", host, r->path), r, ret, e) < 0)
                        return err_in(e, "unqualified-search-registries: '%s'", host);
        }
        return 0;
}

int registry_short_name_settle(struct arena *a, const struct reference *r,
                               const struct registry_options *o,
                               const struct short_name_asker *asker, struct short_name *ret,
                               struct err *e)
{
        const char *name = reference_str(a, r);
        size_t i;

        if (registry_short_name(a, r, o, ret, e) < 0)
                return -1;
        if (ret->n == 1 || ret->mode == SHORT_NAME_DISABLED)
                return 0;
        if (asker) {
                if (asker->ask(name, ret, &i, e) < 0)
                        return -1;
                ret->candidates += i;
                ret->n = 1;
                ret->chosen = true;
                return 0;
        }
        if (ret->mode == SHORT_NAME_PERMISSIVE)
                return 0;
        err_set(e, ERR_INVALID,
                "the short name \"%s\" may mean several images, and short-name-mode = "
                "\"enforcing\" forbids to guess",
                name);
        return err_hint(e, "Write the full name, such as %s.",
                        reference_str(a, &ret->candidates[0]));
}
