/* containerd's hosts.toml (containerd: docs/hosts.md). */
#include <sys/stat.h>

#include "base/str.h"
#include "image/registries-internal.h"

#define HOSTS_MAX 64
#define PEMS_MAX 64

/* A path in a file is relative to the file's directory. */
static const char *beside(struct arena *a, const char *dir, const char *path)
{
        return *path == '/' ? path : arena_printf(a, "%s/%s", dir, path);
}

static int read_cas(struct arena *a, const char *dir, const struct strings *paths,
                    struct hosts_entry *h, struct err *e)
{
        if (paths->n > PEMS_MAX)
                return err_set(e, ERR_LIMIT, "more than %d certificates in '%s'", PEMS_MAX, dir);
        h->ca = arena_array(a, struct pem, paths->n);
        for (; h->nca < paths->n; h->nca++)
                if (pem_read(a, beside(a, dir, paths->v[h->nca]), &h->ca[h->nca], e) < 0)
                        return -1;
        return 0;
}

/* [cert, key], or [cert] and "cert" where the key is in the same file. */
static int read_client(struct arena *a, const char *dir, const struct json *j,
                       struct client_cert *ret, struct err *e)
{
        const struct json *first = j->type == JSON_ARRAY && j->n ? &j->items[0] : j;
        const struct json *last = j->type == JSON_ARRAY && j->n > 1 ? &j->items[1] : first;
        const char *cert = json_str(first, NULL), *key = json_str(last, "");

        if (!cert || (j->type == JSON_ARRAY && j->n > 2))
                return err_set(e, ERR_INVALID,
                               "'%s/hosts.toml': 'client' is a file, or pairs of files", dir);
        if (pem_read(a, beside(a, dir, cert), &ret->cert, e) < 0)
                return -1;
        if (!*key || last == first) {
                ret->key = ret->cert;
                return 0;
        }
        return pem_read(a, beside(a, dir, key), &ret->key, e);
}

static int read_clients(struct arena *a, const char *dir, const struct json *j,
                        struct hosts_entry *h, struct err *e)
{
        bool many = j && j->type == JSON_ARRAY;
        uint32_t n = !j ? 0 : many ? j->n : 1;

        if (n > PEMS_MAX)
                return err_set(e, ERR_LIMIT, "more than %d certificates in '%s'", PEMS_MAX, dir);
        h->clients = arena_array(a, struct client_cert, n);
        for (; h->nclients < n; h->nclients++)
                if (read_client(a, dir, many ? &j->items[h->nclients] : j, &h->clients[h->nclients],
                                e) < 0)
                        return -1;
        return 0;
}

static bool header_ok(const char *s)
{
        for (; *s; s++)
                if ((unsigned char)*s < ' ' || *s == 0x7f)
                        return false;
        return true;
}

static int add_header(const char *dir, const char *name, const struct json *value,
                      struct key_values *to, struct err *e)
{
        const char *text = json_str(value, NULL);

        if (!text || !header_ok(text) || !header_ok(name) || !*name || strpbrk(name, ": \""))
                return err_set(e, ERR_INVALID, "'%s/hosts.toml': header '%s' can't be sent", dir,
                               name);
        to->v[to->n++] = (struct key_value){ name, text };
        return 0;
}

static int read_headers(struct arena *a, const char *dir, const struct json *j,
                        struct hosts_entry *h, struct err *e)
{
        size_t n = 0;

        if (!j)
                return 0;
        if (j->type != JSON_OBJECT)
                return err_set(e, ERR_INVALID, "'%s/hosts.toml': 'header' is no table", dir);
        for (uint32_t i = 0; i < j->n; i++)
                n += j->members[i].value.type == JSON_ARRAY ? j->members[i].value.n : 1;
        h->headers.v = arena_array(a, struct key_value, n);
        for (uint32_t i = 0; i < j->n; i++) {
                const struct json *v = &j->members[i].value;

                if (v->type != JSON_ARRAY) {
                        if (add_header(dir, j->members[i].name, v, &h->headers, e) < 0)
                                return -1;
                        continue;
                }
                for (uint32_t k = 0; k < v->n; k++)
                        if (add_header(dir, j->members[i].name, &v->items[k], &h->headers, e) < 0)
                                return -1;
        }
        return 0;
}

struct entry_fields {
        struct strings capabilities, ca;
        bool skip_verify, override_path;
};

/* What a table says of its host; the file's own keys are those of the server. */
static int read_entry(struct arena *a, const char *dir, const struct json *j, struct hosts_entry *h,
                      struct err *e)
{
        static const char *const known[] = { "pull", "resolve", "push" };
        static const struct toml_field fields[] = {
                { "capabilities", JSON_ARRAY, offsetof(struct entry_fields, capabilities) },
                { "ca", JSON_ARRAY, offsetof(struct entry_fields, ca) },
                { "skip_verify", JSON_BOOL, offsetof(struct entry_fields, skip_verify) },
                { "override_path", JSON_BOOL, offsetof(struct entry_fields, override_path) },
        };
        struct entry_fields in = { .skip_verify = false };

        if (registries_fields(a, arena_printf(a, "%s/hosts.toml", dir), j, fields,
                              ARRAY_SIZE(fields), &in, e) < 0)
                return -1;
        for (size_t i = 0; i < in.capabilities.n; i++)
                if (STR_INDEX(known, in.capabilities.v[i]) < 0)
                        return err_set(e, ERR_INVALID,
                                       "'%s/hosts.toml': a host can't have the capability '%s'",
                                       dir, in.capabilities.v[i]);
        h->capabilities = in.capabilities;
        h->has_capabilities = in.capabilities.n > 0;
        h->skip_verify = in.skip_verify;
        h->override_path = in.override_path;
        return read_cas(a, dir, &in.ca, h, e) < 0 ||
                               read_clients(a, dir, json_get(j, "client"), h, e) < 0
                       ? -1
                       : read_headers(a, dir, json_get(j, "header"), h, e);
}

static int read_hosts(struct arena *a, const char *dir, const char *host, const struct json *j,
                      struct hosts *ret, struct err *e)
{
        const struct json *hosts = json_get(j, "host");
        const char *server = json_str(json_get(j, "server"), "");
        uint32_t n = hosts && hosts->type == JSON_OBJECT ? hosts->n : 0;

        if (hosts && hosts->type != JSON_OBJECT)
                return err_set(e, ERR_INVALID, "'%s/hosts.toml': 'host' is no table", dir);
        if (n > HOSTS_MAX)
                return err_set(e, ERR_LIMIT, "'%s/hosts.toml' names more than %d hosts", dir,
                               HOSTS_MAX);
        ret->v = arena_array(a, struct hosts_entry, n + 1);
        for (; ret->n < n; ret->n++) {
                ret->v[ret->n].url = hosts->members[ret->n].name;
                if (read_entry(a, dir, &hosts->members[ret->n].value, &ret->v[ret->n], e) < 0)
                        return err_in(e, "host '%s'", ret->v[ret->n].url);
        }
        ret->v[ret->n].url = *server ? server : host;
        if (read_entry(a, dir, j, &ret->v[ret->n], e) < 0)
                return -1;
        ret->n++;
        return 0;
}

/* HOST_PORT_ where there is a port: some file systems dislike colons. */
static const char *port_name(struct arena *a, const char *host)
{
        const char *colon = strrchr(host, ':');

        if (!colon || strchr(colon, ']'))
                return host;
        return arena_printf(a, "%.*s_%s_", (int)(colon - host), host, colon + 1);
}

int hosts_load(struct arena *a, const struct registry_options *o, const char *host,
               struct hosts *ret, bool *ret_there, struct err *e)
{
        static const char *const places[] = { "/etc/berth", "/etc/containerd", "/etc/docker" };
        const char *names[] = { port_name(a, host), host, "_default" };
        struct json j;

        *ret = (struct hosts){ .n = 0 };
        *ret_there = false;
        for (size_t i = 0; i < ARRAY_SIZE(places) * ARRAY_SIZE(names) && !*ret_there; i++) {
                const char *dir =
                        arena_printf(a, "%s%s/certs.d/%s", o->root ? o->root : "",
                                     places[i / ARRAY_SIZE(names)], names[i % ARRAY_SIZE(names)]);

                if (registries_read(a, arena_printf(a, "%s/hosts.toml", dir), false, &j, ret_there,
                                    e) < 0)
                        return -1;
                if (*ret_there)
                        return read_hosts(a, dir, host, &j, ret, e);
        }
        return 0;
}
