/* From text to a checked struct spec: codec/json.h reads, spec-tables.c says what may be there, and
 * spec-check*.c what goes together. */
#include "oci/spec.h"

#include <errno.h>

#include "base/macro.h"
#include "base/str.h"
#include "codec/json.h"
#include "oci/spec-check.h"
#include "oci/spec-decode.h"

const char *const spec_hook_names[HOOK_MAX] = {
        [HOOK_PRESTART] = "prestart",
        [HOOK_CREATE_RUNTIME] = "createRuntime",
        [HOOK_CREATE_CONTAINER] = "createContainer",
        [HOOK_START_CONTAINER] = "startContainer",
        [HOOK_POSTSTART] = "poststart",
        [HOOK_POSTSTOP] = "poststop",
};

const char *const spec_ns_names[NS_MAX] = {
        [NS_USER] = "user", [NS_PID] = "pid",       [NS_NET] = "network", [NS_IPC] = "ipc",
        [NS_UTS] = "uts",   [NS_CGROUP] = "cgroup", [NS_TIME] = "time",   [NS_MOUNT] = "mount",
};

/* A document of structs can grow beyond its text, as "{}" in a list does: the second bound is for
 * tree and structs together. Both are far above what engines write (some 100 KB). */
static const struct json_limits limits = {
        .bytes = SPEC_MAX_BYTES,
        .depth = 64,
        .memory = 32u << 20,
};
#define MEMORY_MAX (48u << 20)

static int read_json(struct arena *a, const char *text, size_t n, struct json *ret, struct err *e)
{
        struct json_error je = { 0 };
        int r = json_parse(a, text, n, &limits, ret, &je);

        if (r == 0)
                return 0;
        if (r == -E2BIG && je.offset == 0 && n > limits.bytes)
                return err_set(e, ERR_LIMIT, "the document is larger than %u MiB",
                               SPEC_MAX_BYTES >> 20);
        return err_set(e, r == -E2BIG ? ERR_LIMIT : ERR_INVALID, "line %u, column %u: %s%s%s",
                       je.line, je.column, je.what, je.key[0] ? " " : "",
                       je.key[0] ? spec_quote(je.key).s : "");
}

/* at names the object within a config.json, for messages; NULL: the document itself. */
static int parse(struct arena *a, const char *text, size_t n, const struct spec_table *t,
                 const struct spec_at *at, void *ret, struct err *e)
{
        struct spec_decoder d = { .arena = a, .memory = a->used + MEMORY_MAX, .e = e };
        struct json j;

        if (read_json(a, text, n, &j, e) < 0)
                return -1;
        if (j.type != JSON_OBJECT)
                return err_set(e, ERR_INVALID, "expected an object, found %s",
                               json_type_name(j.type));
        return spec_decode(&d, &j, t, at, ret);
}

int spec_parse(struct arena *a, const char *text, size_t n, struct spec *ret, struct err *e)
{
        struct spec s = { 0 };

        if (parse(a, text, n, &spec_table_config, NULL, &s, e) < 0)
                return -1;
        /* As runc: an empty profile switches seccomp off. */
        if (s.linux_.seccomp && !s.linux_.seccomp->default_action && !s.linux_.seccomp->rules)
                s.linux_.seccomp = NULL;
        if (spec_check(&s, e) < 0)
                return -1;
        *ret = s;
        return 0;
}

int spec_parse_process(struct arena *a, const char *text, size_t n, struct spec_process *ret,
                       struct err *e)
{
        static const struct spec_at at = { .name = "process" };
        struct spec_process p = { 0 };

        if (parse(a, text, n, &spec_table_process, &at, &p, e) < 0 || spec_check_process(&p, e) < 0)
                return -1;
        *ret = p;
        return 0;
}

int spec_parse_resources(struct arena *a, const char *text, size_t n, struct spec_resources *ret,
                         struct err *e)
{
        static const struct spec_at lin = { .name = "linux" };
        static const struct spec_at at = { .up = &lin, .name = "resources" };
        struct spec_resources r = { 0 };

        if (parse(a, text, n, &spec_table_resources, &at, &r, e) < 0 ||
            spec_check_resources(&r, e) < 0)
                return -1;
        *ret = r;
        return 0;
}

const char *spec_annotation(const struct spec *s, const char *key)
{
        for (size_t i = 0; i < s->annotations.n; i++)
                if (str_eq(s->annotations.v[i].key, key))
                        return s->annotations.v[i].value;
        return NULL;
}
