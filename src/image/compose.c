/* One text for one meaning: each function writes its members in the order of their names. */
#include "image/compose.h"

#include <stdlib.h>
#include <time.h>

#include "base/str.h"
#include "codec/base64.h"
#include "codec/json.h"

static int by_text(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_key(const void *a, const void *b)
{
        return strcmp(((const struct key_value *)a)->key, ((const struct key_value *)b)->key);
}

/* ---- what both have ---- */

static void put_text(struct json_writer *w, const char *name, const char *value)
{
        if (!str_empty(value))
                json_put_str(w, name, value);
}

static void put_some(struct json_writer *w, const char *name, const struct strings *s)
{
        if (s->n)
                json_put_strings(w, name, s);
}

/* {"80/tcp": {}}: how the specification writes a set. */
static void put_set(struct json_writer *w, const char *name, const struct strings *s)
{
        AUTO_FREE const char **v = NULL;

        if (s->n == 0)
                return;
        v = mem_alloc(mem_mul(s->n, sizeof *v));
        memcpy(v, s->v, s->n * sizeof *v);
        qsort(v, s->n, sizeof *v, by_text);
        json_open(w, name, '{');
        for (size_t i = 0; i < s->n; i++) {
                if (i && str_eq(v[i], v[i - 1]))
                        continue;
                json_open(w, v[i], '{');
                json_close(w, '}');
        }
        json_close(w, '}');
}

static void put_pairs(struct json_writer *w, const char *name, const struct key_values *p)
{
        AUTO_FREE struct key_value *v = NULL;

        if (p->n == 0)
                return;
        v = mem_alloc(mem_mul(p->n, sizeof *v));
        memcpy(v, p->v, p->n * sizeof *v);
        qsort(v, p->n, sizeof *v, by_key);
        json_open(w, name, '{');
        for (size_t i = 0; i < p->n; i++)
                if (i == 0 || !str_eq(v[i].key, v[i - 1].key))
                        json_put_str(w, v[i].key, v[i].value);
        json_close(w, '}');
}

/* ---- configurations ---- */

static void put_number(struct json_writer *w, const char *name, int64_t v)
{
        if (v)
                json_put_i64(w, name, v);
}

static void put_health(struct json_writer *w, const struct image_config *c)
{
        if (c->health_test.n == 0)
                return;
        json_open(w, "Healthcheck", '{');
        put_number(w, "Interval", c->health_interval_ns);
        put_number(w, "Retries", c->health_retries);
        put_number(w, "StartPeriod", c->health_start_ns);
        put_number(w, "StartInterval", c->health_start_interval_ns);
        json_put_strings(w, "Test", &c->health_test);
        put_number(w, "Timeout", c->health_timeout_ns);
        json_close(w, '}');
}

static void put_process(struct json_writer *w, const struct image_config *c)
{
        json_open(w, "config", '{');
        if (c->has_cmd)
                json_put_strings(w, "Cmd", &c->cmd);
        if (c->has_entrypoint)
                json_put_strings(w, "Entrypoint", &c->entrypoint);
        put_some(w, "Env", &c->env);
        put_set(w, "ExposedPorts", &c->exposed_ports);
        put_health(w, c);
        put_pairs(w, "Labels", &c->labels);
        put_some(w, "OnBuild", &c->onbuild);
        put_some(w, "Shell", &c->shell);
        put_text(w, "StopSignal", c->stop_signal);
        put_text(w, "User", c->user);
        put_set(w, "Volumes", &c->volumes);
        put_text(w, "WorkingDir", c->workdir);
        json_close(w, '}');
}

static void put_history(struct json_writer *w, const struct image_config *c)
{
        if (c->nhistory == 0)
                return;
        json_open(w, "history", '[');
        for (size_t i = 0; i < c->nhistory; i++) {
                const struct image_history *h = &c->history[i];

                json_open(w, NULL, '{');
                put_text(w, "author", h->author);
                put_text(w, "comment", h->comment);
                put_text(w, "created", h->created);
                put_text(w, "created_by", h->created_by);
                if (h->empty_layer)
                        json_put_bool(w, "empty_layer", true);
                json_close(w, '}');
        }
        json_close(w, ']');
}

void compose_config(const struct image_config *c, struct buf *out)
{
        struct json_writer w = { .out = out };

        json_open(&w, NULL, '{');
        put_text(&w, "architecture", c->platform.architecture);
        put_text(&w, "author", c->author);
        put_process(&w, c);
        put_text(&w, "created", c->created);
        put_history(&w, c);
        put_text(&w, "os", c->platform.os);
        put_text(&w, "os.version", c->platform.os_version);
        json_open(&w, "rootfs", '{');
        json_put_strings(&w, "diff_ids", &c->diff_ids);
        json_put_str(&w, "type", "layers");
        json_close(&w, '}');
        put_text(&w, "variant", c->platform.variant);
        json_close(&w, '}');
}

/* ---- manifests ---- */

static void put_platform(struct json_writer *w, const struct platform *p)
{
        if (str_empty(p->os) && str_empty(p->architecture))
                return;
        json_open(w, "platform", '{');
        put_text(w, "architecture", p->architecture);
        put_text(w, "os", p->os);
        put_text(w, "os.version", p->os_version);
        put_text(w, "variant", p->variant);
        json_close(w, '}');
}

static void put_data(struct json_writer *w, const struct descriptor *d)
{
        AUTO_BUF text = { 0 };

        if (!d->data)
                return;
        base64_put(&text, d->data, (size_t)d->size);
        json_put_str(w, "data", buf_str(&text));
}

static void put_descriptor(struct json_writer *w, const char *name, const struct descriptor *d)
{
        json_open(w, name, '{');
        put_pairs(w, "annotations", &d->annotations);
        put_text(w, "artifactType", d->artifact_type);
        put_data(w, d);
        json_put_str(w, "digest", d->digest);
        json_put_str(w, "mediaType", d->media_type);
        put_platform(w, &d->platform);
        json_put_u64(w, "size", d->size);
        put_some(w, "urls", &d->urls);
        json_close(w, '}');
}

static const char *manifest_type(const struct manifest *m)
{
        if (m->media_type)
                return m->media_type;
        if (m->kind == MANIFEST_INDEX)
                return m->docker ? MEDIA_DOCKER_LIST : MEDIA_OCI_INDEX;
        return m->docker ? MEDIA_DOCKER_MANIFEST : MEDIA_OCI_MANIFEST;
}

void compose_manifest(const struct manifest *m, struct buf *out)
{
        struct json_writer w = { .out = out };

        json_open(&w, NULL, '{');
        if (!m->docker) {
                put_pairs(&w, "annotations", &m->annotations);
                put_text(&w, "artifactType", m->artifact_type);
        }
        if (m->kind == MANIFEST_IMAGE)
                put_descriptor(&w, "config", &m->config);
        json_open(&w, m->kind == MANIFEST_IMAGE ? "layers" : "manifests", '[');
        for (size_t i = 0; i < m->nlayers; i++)
                put_descriptor(&w, NULL, &m->layers[i]);
        json_close(&w, ']');
        json_put_str(&w, "mediaType", manifest_type(m));
        json_put_i64(&w, "schemaVersion", 2);
        if (!m->docker && m->subject)
                put_descriptor(&w, "subject", m->subject);
        json_close(&w, '}');
}

const char *compose_layer_type(bool docker, const char *compression)
{
        static const struct {
                const char *compression, *oci, *docker;
        } types[] = {
                { "none", MEDIA_OCI_LAYER, MEDIA_DOCKER_LAYER_TAR },
                { "gzip", MEDIA_OCI_LAYER "+gzip", MEDIA_DOCKER_LAYER },
                { "zstd", MEDIA_OCI_LAYER "+zstd", NULL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
                if (str_eq(types[i].compression, compression))
                        return docker ? types[i].docker : types[i].oci;
        return NULL;
}

/* ---- time ---- */

int compose_time(int64_t *ret, struct err *e)
{
        const char *epoch = getenv("SOURCE_DATE_EPOCH");

        if (str_empty(epoch)) {
                *ret = time(NULL);
                return 0;
        }
        if (str_to_i64(epoch, ret) < 0 || *ret < 0 || *ret > 253402300799) /* the year 9999 */
                return err_set(e, ERR_INVALID, "SOURCE_DATE_EPOCH \"%s\" is no number of seconds",
                               epoch);
        return 0;
}

char *compose_time_str(struct arena *a, int64_t seconds)
{
        time_t t = (time_t)seconds;
        struct tm tm = { 0 };
        char text[32];

        gmtime_r(&t, &tm);
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
        return arena_strdup(a, text);
}
