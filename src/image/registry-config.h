/* Where a repository is to be reached, with what certificates, and as whom.
 *
 * Read, as peers read them:
 *   registries.conf   containers-registries.conf(5), version 2: $CONTAINERS_REGISTRIES_CONF; or
 *                     ~/.config/containers/registries.conf and its registries.conf.d; or
 *                     /etc/berth/registries.conf, else /etc/containers/registries.conf, and then
 *                     /etc/containers/registries.conf.d, /etc/berth/registries.conf.d and
 *                     ~/.config/containers/registries.conf.d (a later file's table of the same
 *                     prefix, or alias of the same name, replaces the earlier one)
 *   hosts.toml        containerd's, of /etc/berth/certs.d, /etc/containerd/certs.d and
 *                     /etc/docker/certs.d: HOST, or HOST_PORT_ where there is a port, or _default;
 *                     the first that is there
 *   HOST[:PORT]/      *.crt, *.cert with *.key (docker-registry certificates) of
 *                     ~/.config/containers/certs.d, /etc/berth/certs.d, /etc/containers/certs.d
 *                     and /etc/docker/certs.d: the first directory that is there
 *   auth.json         image/auth.h
 *
 * W1  A [[registry]] that matches (the longest prefix) decides alone: hosts.toml is not looked at.
 * W2  Otherwise hosts.toml decides; otherwise HTTPS to the name itself.
 * W3  Options on the command line (--tls-verify, --cert-dir, --creds) win over every file; --creds
 *     are for the upstream alone, never for a mirror on another host.
 * W4  Files that were named and can't be read, and errors of syntax, are errors, never skipped.
 *
 * Certificates and keys are read here, into memory: whoever connects has no rights to files. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/value.h"
#include "image/auth.h"
#include "image/reference.h"

enum endpoint_can {
        ENDPOINT_PULL = 1 << 0,    /* blobs, and manifests by digest */
        ENDPOINT_RESOLVE = 1 << 1, /* manifests by tag */
        ENDPOINT_PUSH = 1 << 2,
};

enum endpoint_scheme {
        ENDPOINT_HTTPS,
        ENDPOINT_HTTP,
        /* HTTPS, and where nothing speaks TLS there, HTTP: insecure registries, and loopback
         * addresses unless --tls-verify was given (which need no good certificate either, as long
         * as no CA is configured for them). */
        ENDPOINT_HTTPS_OR_HTTP,
};

/* A PEM file's text; data NULL: there is none. */
struct pem {
        const char *path; /* for messages */
        const char *data;
        size_t n;
};
struct client_cert {
        struct pem cert, key; /* the key may be in the certificate's file: then equal */
};

struct endpoint {
        const char *host; /* HOST[:PORT] to connect to: "registry-1.docker.io" */
        enum endpoint_scheme scheme;
        /* What follows scheme and host before /NAME/manifests/...: "/v2", or "/v2/docker-hub";
         * no slash at its end. */
        const char *path;
        const char *repository; /* NAME there: "library/busybox" */
        const char *ns; /* query parameter ns=... to send: "docker.io"; NULL: none (no proxy) */
        unsigned can;   /* enum endpoint_can; by tag only with ENDPOINT_RESOLVE, by digest only
                         * with ENDPOINT_PULL */
        bool mirror;    /* a failure, of any kind, makes the next one the one to ask */
        bool skip_verify;
        struct pem *ca; /* added to the system's */
        size_t nca;
        struct client_cert *clients;
        size_t nclients;
        struct key_values headers; /* sent with each request to this host alone */
        struct credentials credentials;
};

struct registry {
        struct endpoint *endpoints; /* in the order to try; one at least; the upstream is last */
        size_t n;
};

/* --authfile, --creds and so on; the same as in struct fetch_options. */
struct registry_options {
        const char *root;            /* in front of /etc and $HOME, for tests; NULL or "": none */
        const char *registries_conf; /* NULL: the usual places */
        const char *authfile, *creds, *cert_dir;
        int tls_verify; /* -1: as configured */
        bool push;      /* only endpoints that take pushes */
};

/* What ref's repository (host and path set) means; everything lives in a. Runs credential helpers,
 * so it can take a while. ERR_DENIED: blocked by configuration; ERR_INVALID: a file with an
 * error, named with line and column. */
int registry_config(struct arena *a, const struct reference *ref, const struct registry_options *o,
                    const struct log *log, struct registry *ret, struct err *e);

/* Where credentials are kept: in --authfile, else by the programs of registries.conf's
 * credential-helpers, in which AUTH_HELPER_FILES stands for the usual files, else in those (W3). */
int registry_auth_places(struct arena *a, const struct registry_options *o, struct auth_places *ret,
                         struct err *e);

enum short_name_mode {
        SHORT_NAME_ENFORCING, /* without an alias and with several candidates: ask, or refuse */
        SHORT_NAME_PERMISSIVE,
        SHORT_NAME_DISABLED, /* try all, aliases are not looked at */
};
/* The full names, in order, that the short name r (host NULL) may stand for: that of an alias, or
 * one per unqualified-search registry, or docker.io's where none is configured. References in a,
 * with r's tag and digest. */
struct short_name {
        struct reference *candidates;
        size_t n;
        bool alias, chosen;
        enum short_name_mode mode;
};
/* Asks somebody which of the candidates of name is meant. */
struct short_name_asker {
        int (*ask)(const char *name, const struct short_name *s, size_t *ret, struct err *e);
};
int registry_short_name(struct arena *a, const struct reference *r,
                        const struct registry_options *o, struct short_name *ret, struct err *e);
/* The same, and where several may be meant and the mode is not disabled, one is chosen: by asker,
 * where there is somebody to ask (else NULL). Then permissive leaves all of them, and enforcing is
 * ERR_INVALID, with a hint. What was chosen is to be recorded once it turned out to be there. */
int registry_short_name_settle(struct arena *a, const struct reference *r,
                               const struct registry_options *o,
                               const struct short_name_asker *asker, struct short_name *ret,
                               struct err *e);
/* Records full as what r stands for from now on, where podman finds it too:
 * /var/cache/containers/short-name-aliases.conf, for users ~/.cache/containers/. */
int registry_short_name_record(struct arena *a, const struct reference *r,
                               const struct reference *full, const struct registry_options *o,
                               struct err *e);
