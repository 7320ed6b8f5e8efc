/* The parts of image/registry-config.h: TOML files, registries.conf, hosts.toml, certificates. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "codec/json.h"
#include "image/registry-config.h"

#define REGISTRIES_FILE_MAX (1u << 20)
#define PEM_MAX (1u << 20)

/* ---- reading (registries-toml.c) ---- */

/* Reads a TOML file. *ret_there false where it does not exist (an error if required). */
int registries_read(struct arena *a, const char *path, bool required, struct json *ret,
                    bool *ret_there, struct err *e);

/* A member that is bound to a field: JSON_STRING to const char *, JSON_BOOL to bool, JSON_ARRAY to
 * struct strings (a string alone is taken as an array of one). */
struct toml_field {
        const char *name;
        enum json_type type;
        size_t offset;
};
/* Fills out from table; absent members leave their field. ERR_INVALID names file and member. */
int registries_fields(struct arena *a, const char *file, const struct json *table,
                      const struct toml_field *fields, size_t n, void *out, struct err *e);

/* ---- registries.conf (registries-conf.c) ---- */

enum mirror_use { MIRROR_ALL, MIRROR_DIGEST_ONLY, MIRROR_TAG_ONLY, MIRROR_USE_MAX };

struct registries_mirror {
        const char *location, *pull_from;
        bool insecure;
        enum mirror_use use;
};
struct registries_table {
        const char *file;
        const char *prefix, *location; /* location "" (wildcards): as the name says */
        bool insecure, blocked, digest_only;
        struct registries_mirror *mirrors;
        size_t nmirrors;
};
struct registries {
        struct registries_table *tables;
        size_t n;
        struct strings search;
        bool has_search;
        struct strings helpers; /* credential-helpers */
        struct key_values aliases;
        const char *mode; /* NULL: not set */
};
int registries_load(struct arena *a, const struct registry_options *o, struct registries *ret,
                    struct err *e);
/* Adds what one file says. */
int registries_add(struct arena *a, const char *file, const struct json *j, struct registries *ret,
                   struct err *e);
/* Adds the [aliases] of one file; a later one of a name replaces the earlier. */
int registries_aliases(struct arena *a, const char *file, const struct json *j,
                       struct registries *ret, struct err *e);
/* Adds what was chosen before, which wins over every file (registries-alias.c). */
int registries_chosen(struct arena *a, const struct registry_options *o, struct registries *ret,
                      struct err *e);
/* The table of the longest prefix of name ("host/path"), and the prefix's length there; NULL:
 * none. */
const struct registries_table *registries_match(const struct registries *r, const char *name,
                                                size_t *ret_len);

/* ---- hosts.toml (registries-hosts.c) ---- */

/* A host as one file describes it. */
struct hosts_entry {
        const char *url;
        struct strings capabilities;
        bool has_capabilities, skip_verify, override_path;
        struct pem *ca;
        size_t nca;
        struct client_cert *clients;
        size_t nclients;
        struct key_values headers;
};
struct hosts {
        struct hosts_entry *v; /* in the order to try; the server last */
        size_t n;
};
/* What hosts.toml says about host; *ret_there false where there is none. */
int hosts_load(struct arena *a, const struct registry_options *o, const char *host,
               struct hosts *ret, bool *ret_there, struct err *e);

/* ---- certificates (registries-certs.c) ---- */

int pem_read(struct arena *a, const char *path, struct pem *ret, struct err *e);
/* certs.d, or --cert-dir, for host: added to ep. */
int certs_load(struct arena *a, const struct registry_options *o, const char *host,
               struct endpoint *ep, struct err *e);

/* $HOME with what the tests put in front of it; NULL: there is none. */
const char *registries_home(struct arena *a, const struct registry_options *o);
