#include "cli/image-list.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "image/reference.h"

/* ---- filters ---- */

/* "1h30m", as Go writes durations. */
static int parse_duration(const char *text, int64_t *ret)
{
        static const struct {
                char unit;
                int64_t seconds;
        } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
        int64_t total = 0;

        do {
                char *end;
                double v = strtod(text, &end);
                size_t i = 0;

                if (end == text || v < 0 || v > 1e9)
                        return -1;
                while (i < ARRAY_SIZE(units) && units[i].unit != *end)
                        i++;
                if (i == ARRAY_SIZE(units))
                        return -1;
                total += (int64_t)(v * (double)units[i].seconds);
                text = end + 1;
        } while (*text);
        *ret = total;
        return 0;
}

int parse_until(const char *text, int64_t now, int64_t *ret, struct err *e)
{
        AUTO_FREE char *whole = mem_printf("%sT00:00:00Z", text);
        int64_t v;

        if (parse_duration(text, &v) == 0)
                *ret = now - v;
        else if (str_to_i64(text, &v) == 0)
                *ret = v;
        else if ((v = image_time(text)) != 0 || (v = image_time(whole)) != 0)
                *ret = v;
        else
                return err_set(e, ERR_INVALID,
                               "\"%.60s\" is no time such as 24h, 1716000000 or 2024-05-18", text);
        return 0;
}

static int parse_bool(const char *text, int *ret, struct err *e)
{
        if (str_eq(text, "true") || str_eq(text, "1"))
                *ret = 1;
        else if (str_eq(text, "false") || str_eq(text, "0"))
                *ret = 0;
        else
                return err_set(e, ERR_INVALID, "\"%.60s\" is neither true nor false", text);
        return 0;
}

static void add_label(struct arena *a, struct image_filters *f, const char *label)
{
        size_t n = 0;
        const char **more;

        while (f->f.labels && f->f.labels[n])
                n++;
        more = arena_array(a, const char *, n + 2);
        for (size_t i = 0; i < n; i++)
                more[i] = f->f.labels[i];
        more[n] = label;
        f->f.labels = more;
}

static int parse_filter(struct arena *a, const char *key, const char *value, int64_t now,
                        struct image_filters *f, struct err *e)
{
        if (str_eq(key, "reference"))
                f->f.reference = value;
        else if (str_eq(key, "label"))
                add_label(a, f, value);
        else if (str_eq(key, "before"))
                f->f.before = value;
        else if (str_eq(key, "since") || str_eq(key, "after"))
                f->f.since = value;
        else if (str_eq(key, "id"))
                f->id = value;
        else if (str_eq(key, "dangling"))
                return parse_bool(value, &f->f.dangling, e);
        else if (str_eq(key, "containers"))
                return parse_bool(value, &f->containers, e);
        else if (str_eq(key, "until"))
                return parse_until(value, now, &f->f.until, e);
        else if (!str_eq(key, "intermediate") && !str_eq(key, "readonly"))
                return err_set(e, ERR_INVALID, "there is no filter \"%.40s\"", key);
        return 0;
}

int image_filters_parse(struct arena *a, const struct strings *filters, int64_t now,
                        struct image_filters *ret, struct err *e)
{
        struct image_filters f = { .f = { .dangling = -1 }, .containers = -1 };

        for (size_t i = 0; i < filters->n; i++) {
                const char *eq = strchr(filters->v[i], '=');

                if (!eq)
                        return err_set(e, ERR_INVALID, "--filter: \"%.60s\" is not KEY=VALUE",
                                       filters->v[i]);
                if (parse_filter(a, arena_strndup(a, filters->v[i], (size_t)(eq - filters->v[i])),
                                 eq + 1, now, &f, e) < 0) {
                        err_hint(e, "There are reference, label, before, since, until, dangling, "
                                    "containers and id.");
                        return err_in(e, "--filter");
                }
        }
        *ret = f;
        return 0;
}

int image_filters_list(struct store *s, struct arena *a, const struct image_filters *f,
                       struct image **ret, size_t *ret_n, struct err *e)
{
        struct image *v;
        size_t n, kept = 0;

        if (store_images(s, a, &f->f, &v, &n, e) < 0)
                return -1;
        for (size_t i = 0; i < n; i++) {
                const char *hex = digest_hex(v[i].id);

                if (f->id && strncmp(hex, f->id, strlen(f->id)) != 0 &&
                    strncmp(v[i].id, f->id, strlen(f->id)) != 0)
                        continue;
                if (f->containers >= 0 && f->containers != (v[i].containers > 0))
                        continue;
                v[kept++] = v[i];
        }
        *ret = v;
        *ret_n = kept;
        return 0;
}

/* ---- names ---- */

void name_split(struct arena *a, const char *name, const char **ret_repository,
                const char **ret_tag, const char **ret_digest)
{
        struct reference r = { 0 };

        *ret_repository = *ret_tag = *ret_digest = "<none>";
        if (!name)
                return;
        if (reference_parse(a, name, &r, NULL) < 0) {
                *ret_repository = name;
                return;
        }
        if (r.tag)
                *ret_tag = r.tag;
        if (r.digest)
                *ret_digest = r.digest;
        r.tag = r.digest = NULL;
        *ret_repository = reference_familiar(a, &r);
}

bool image_tagged(const struct image *i)
{
        return i->names.n > 0 && !strchr(i->names.v[0], '@');
}

const char *image_label(struct arena *a, const struct image *i)
{
        struct reference r;

        if (i->names.n == 0 || reference_parse(a, i->names.v[0], &r, NULL) < 0)
                return arena_strndup(a, digest_hex(i->id), 12);
        return reference_familiar(a, &r);
}

/* ---- sharing ---- */

struct layer_users {
        const char **keys; /* sorted, one for each image that has it */
        size_t n;
};

static int compare(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct layer_users *layer_users(struct arena *a, const struct image *v, size_t n)
{
        struct layer_users *u = arena_new(a, struct layer_users);
        size_t total = 0;

        for (size_t i = 0; i < n; i++)
                total += v[i].layers.n;
        u->keys = arena_array(a, const char *, total + 1);
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < v[i].layers.n; k++)
                        u->keys[u->n++] = v[i].layers.v[k];
        qsort(u->keys, u->n, sizeof *u->keys, compare);
        return u;
}

size_t layer_users_of(const struct layer_users *u, const char *key)
{
        size_t low = 0, high = u->n, n = 0;

        while (low < high) {
                size_t mid = (low + high) / 2;

                if (strcmp(u->keys[mid], key) < 0)
                        low = mid + 1;
                else
                        high = mid;
        }
        for (; low < u->n && str_eq(u->keys[low], key); low++)
                n++;
        return n;
}

void image_sharing(struct store *s, const struct layer_users *u, const struct image *i,
                   uint64_t *ret_shared, uint64_t *ret_unique)
{
        uint64_t shared = 0, unique = 0;

        for (size_t k = 0; k < i->layers.n && k < i->diff_ids.n; k++) {
                AUTO_FREE char *chain = mem_printf("sha256:%s", i->layers.v[k]);
                struct layer l;

                if (store_layer_find(s, i->diff_ids.v[k], chain, &l, NULL) < 0)
                        continue;
                if (layer_users_of(u, i->layers.v[k]) > 1)
                        shared += l.size;
                else
                        unique += l.size;
        }
        *ret_shared = shared;
        *ret_unique = unique;
}

/* ---- asking ---- */

bool confirm(const char *warning)
{
        AUTO_BUF text = { 0 };
        char answer[16];
        ssize_t n;

        buf_printf(&text, "%s\nAre you sure you want to continue? [y/N] ", warning);
        fd_write_all(STDOUT_FILENO, text.s, text.len);
        n = read(STDIN_FILENO, answer, sizeof answer);
        return n > 0 && (answer[0] == 'y' || answer[0] == 'Y');
}
