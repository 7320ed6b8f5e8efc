/* Image configurations (image-spec config.md, docker's additions), and what follows from them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "image/manifest-json.h"
#include "image/manifest.h"

static const struct field top_fields[] = {
        { "os", FIELD_STR, offsetof(struct image_config, platform.os) },
        { "architecture", FIELD_STR, offsetof(struct image_config, platform.architecture) },
        { "variant", FIELD_STR, offsetof(struct image_config, platform.variant) },
        { "os.version", FIELD_STR, offsetof(struct image_config, platform.os_version) },
        { "created", FIELD_STR, offsetof(struct image_config, created) },
        { "author", FIELD_STR, offsetof(struct image_config, author) },
        {}
};
static const struct field config_fields[] = {
        { "User", FIELD_STR, offsetof(struct image_config, user) },
        { "WorkingDir", FIELD_STR, offsetof(struct image_config, workdir) },
        { "StopSignal", FIELD_STR, offsetof(struct image_config, stop_signal) },
        { "Env", FIELD_STRINGS, offsetof(struct image_config, env) },
        { "Entrypoint", FIELD_STRINGS, offsetof(struct image_config, entrypoint) },
        { "Cmd", FIELD_STRINGS, offsetof(struct image_config, cmd) },
        { "Shell", FIELD_STRINGS, offsetof(struct image_config, shell) },
        { "OnBuild", FIELD_STRINGS, offsetof(struct image_config, onbuild) },
        { "Volumes", FIELD_KEYS, offsetof(struct image_config, volumes) },
        { "ExposedPorts", FIELD_KEYS, offsetof(struct image_config, exposed_ports) },
        { "Labels", FIELD_PAIRS, offsetof(struct image_config, labels) },
        {}
};
static const struct field health_fields[] = {
        { "Test", FIELD_STRINGS, offsetof(struct image_config, health_test) },
        { "Interval", FIELD_I64, offsetof(struct image_config, health_interval_ns) },
        { "Timeout", FIELD_I64, offsetof(struct image_config, health_timeout_ns) },
        { "StartPeriod", FIELD_I64, offsetof(struct image_config, health_start_ns) },
        { "StartInterval", FIELD_I64, offsetof(struct image_config, health_start_interval_ns) },
        { "Retries", FIELD_I64, offsetof(struct image_config, health_retries) },
        {}
};
static const struct field history_fields[] = {
        { "created", FIELD_STR, offsetof(struct image_history, created) },
        { "created_by", FIELD_STR, offsetof(struct image_history, created_by) },
        { "author", FIELD_STR, offsetof(struct image_history, author) },
        { "comment", FIELD_STR, offsetof(struct image_history, comment) },
        { "empty_layer", FIELD_BOOL, offsetof(struct image_history, empty_layer) },
        {}
};

static int read_rootfs(struct arena *a, const struct json *j, struct image_config *c, struct err *e)
{
        static const struct field fields[] = {
                { "type", FIELD_STR, offsetof(struct key_value, value) }, {}
        };
        static const struct field ids[] = {
                { "diff_ids", FIELD_STRINGS, offsetof(struct image_config, diff_ids) }, {}
        };
        const struct json *rootfs = fields_get(j, "rootfs");
        struct key_value type = { 0 };

        if (!rootfs)
                return err_set(e, ERR_INVALID, "\"rootfs\" is missing");
        if (fields_read(a, "rootfs", rootfs, fields, &type, e) < 0 ||
            fields_read(a, "rootfs", rootfs, ids, c, e) < 0)
                return -1;
        if (!str_eq0(type.value, "layers"))
                return err_set(e, ERR_INVALID, "rootfs.type is \"%.40s\"; only \"layers\" is known",
                               type.value ? type.value : "");
        for (size_t i = 0; i < c->diff_ids.n; i++)
                if (digest_check(c->diff_ids.v[i], NULL) < 0)
                        return err_set(e, ERR_INVALID,
                                       "rootfs.diff_ids[%zu]: \"%.140s\" is no "
                                       "digest",
                                       i, c->diff_ids.v[i]);
        return 0;
}

static int read_config(struct arena *a, const struct json *j, struct image_config *c, struct err *e)
{
        const struct json *config = fields_get(j, "config");
        const struct json *health = config ? fields_get(config, "Healthcheck") : NULL;

        if (!config)
                return 0;
        if (fields_read(a, "config", config, config_fields, c, e) < 0)
                return -1;
        c->has_entrypoint = fields_get(config, "Entrypoint");
        c->has_cmd = fields_get(config, "Cmd");
        return health ? fields_read(a, "config.Healthcheck", health, health_fields, c, e) : 0;
}

static int read_history(struct arena *a, const struct json *j, struct image_config *c,
                        struct err *e)
{
        const struct json *list = fields_get(j, "history");
        char where[32];

        if (!list)
                return 0;
        if (list->type != JSON_ARRAY)
                return err_set(e, ERR_INVALID, "\"history\" is not a list");
        c->history = arena_array(a, struct image_history, list->n + 1);
        for (; c->nhistory < list->n; c->nhistory++) {
                snprintf(where, sizeof where, "history[%zu]", c->nhistory);
                if (fields_read(a, where, &list->items[c->nhistory], history_fields,
                                &c->history[c->nhistory], e) < 0)
                        return -1;
        }
        return 0;
}

int image_config_parse(struct arena *a, const char *text, size_t n, struct image_config *ret,
                       struct err *e)
{
        struct image_config c = { .platform = { "", "", "", "" } };
        struct json j;

        if (fields_parse(a, "image configuration", text, n, CONFIG_MAX, &j, e) < 0)
                return -1;
        if (fields_read(a, "the configuration", &j, top_fields, &c, e) < 0 ||
            read_rootfs(a, &j, &c, e) < 0 || read_config(a, &j, &c, e) < 0 ||
            read_history(a, &j, &c, e) < 0)
                return err_in(e, "image configuration");
        *ret = c;
        return 0;
}

void chain_id(const struct strings *diff_ids, size_t n, char ret[DIGEST_CAP])
{
        char text[2 * DIGEST_CAP + 2];

        ret[0] = 0;
        for (size_t i = 0; i < n; i++) {
                if (i == 0) {
                        snprintf(ret, DIGEST_CAP, "%s", diff_ids->v[0]);
                        continue;
                }
                snprintf(text, sizeof text, "%s %s", ret, diff_ids->v[i]);
                hash_bytes(HASH_SHA256, text, strlen(text), ret);
        }
}

/* "+02:00" or "Z" in seconds; false where it is neither. */
static bool zone_of(const char *s, int64_t *ret)
{
        unsigned h, m;
        int n = 0;

        if (str_eq(s, "Z") || str_eq(s, "z")) {
                *ret = 0;
                return true;
        }
        if ((s[0] != '+' && s[0] != '-') || strlen(s) != 6 || strspn(s + 1, "0123456789") != 2 ||
            s[3] != ':' || strspn(s + 4, "0123456789") != 2)
                return false;
        h = (unsigned)(s[1] - '0') * 10 + (unsigned)(s[2] - '0');
        m = (unsigned)(s[4] - '0') * 10 + (unsigned)(s[5] - '0');
        n = (int)(h * 3600 + m * 60);
        *ret = s[0] == '-' ? -n : n;
        return true;
}

int64_t image_time(const char *text)
{
        struct tm t = { 0 };
        const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &t) : NULL;
        int64_t zone;

        if (!rest)
                return 0;
        if (*rest == '.')
                rest += 1 + strspn(rest + 1, "0123456789");
        return zone_of(rest, &zone) ? (int64_t)timegm(&t) - zone : 0;
}
