/* Certificates beside the configuration: docker-certs.d(5). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "image/registries-internal.h"

#define CERTS_MAX 256 /* files of one directory */

int pem_read(struct arena *a, const char *path, struct pem *ret, struct err *e)
{
        AUTO_FREE char *text = NULL;
        size_t n;
        int r = fd_read_file_at(AT_FDCWD, path, PEM_MAX, &text, &n);

        if (r < 0)
                return err_sys(e, r, "cannot read the certificate or key '%s'", path);
        if (!strstr(text, "-----BEGIN "))
                return err_set(e, ERR_INVALID, "'%s' is no PEM file", path);
        *ret = (struct pem){ arena_strdup(a, path), arena_strndup(a, text, n), n };
        explicit_bzero(text, n);
        return 0;
}

/* NAME.cert goes with NAME.key: each is an error without the other. */
static int add_client(struct arena *a, const char *dir, const char *name, struct endpoint *ep,
                      struct err *e)
{
        char *base = arena_strndup(a, name, strlen(name) - strlen(".cert"));
        char *cert = arena_printf(a, "%s/%s", dir, name);
        char *key = arena_printf(a, "%s/%s.key", dir, base);
        struct client_cert *c = &ep->clients[ep->nclients];

        if (pem_read(a, cert, &c->cert, e) < 0)
                return -1;
        if (pem_read(a, key, &c->key, e) < 0)
                return err_in(e, "client certificate '%s' needs its key", cert);
        ep->nclients++;
        return 0;
}

static int check_key(struct arena *a, const char *dir, const char *name, struct err *e)
{
        char *base = arena_strndup(a, name, strlen(name) - strlen(".key"));
        struct stat st;

        if (stat(arena_printf(a, "%s/%s.cert", dir, base), &st) == 0)
                return 0;
        return err_set(e, ERR_INVALID, "key '%s/%s' has no '%s.cert' beside it", dir, name, base);
}

static int add_named(struct arena *a, const char *dir, const char *name, struct endpoint *ep,
                     struct err *e)
{
        if (str_ends(name, ".crt")) {
                if (pem_read(a, arena_printf(a, "%s/%s", dir, name), &ep->ca[ep->nca], e) < 0)
                        return -1;
                ep->nca++;
                return 0;
        }
        if (str_ends(name, ".cert"))
                return add_client(a, dir, name, ep, e);
        return str_ends(name, ".key") ? check_key(a, dir, name, e) : 0;
}

static int add_directory(struct arena *a, const char *dir, struct endpoint *ep, struct err *e)
{
        struct strings names;
        int r = dir_names(AT_FDCWD, dir, a, &names);

        if (r < 0)
                return err_sys(e, r, "cannot read certificates from '%s'", dir);
        if (names.n > CERTS_MAX)
                return err_set(e, ERR_LIMIT, "'%s' holds more than %d files", dir, CERTS_MAX);
        ep->ca = arena_array(a, struct pem, names.n + 1);
        ep->clients = arena_array(a, struct client_cert, names.n + 1);
        for (size_t i = 0; i < names.n; i++)
                if (add_named(a, dir, names.v[i], ep, e) < 0)
                        return -1;
        return 0;
}

int certs_load(struct arena *a, const struct registry_options *o, const char *host,
               struct endpoint *ep, struct err *e)
{
        static const char *const places[] = { "/etc/berth", "/etc/containers", "/etc/docker",
                                              "/etc/containerd" };
        const char *home = registries_home(a, o), *root = o->root ? o->root : "";
        struct stat st;
        char *dir;

        if (o->cert_dir)
                return add_directory(a, o->cert_dir, ep, e);
        if (home) {
                dir = arena_printf(a, "%s/.config/containers/certs.d/%s", home, host);
                if (stat(dir, &st) == 0)
                        return add_directory(a, dir, ep, e);
        }
        for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
                dir = arena_printf(a, "%s%s/certs.d/%s", root, places[i], host);
                if (stat(dir, &st) == 0)
                        return add_directory(a, dir, ep, e);
        }
        return 0;
}
