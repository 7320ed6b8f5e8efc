#include "cli/ctr-filter.h"

#include <regex.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "cli/image-list.h"
#include "cli/suggest.h"
#include "image/store.h"

struct filter {
        const struct engine *g;
        const struct kind *kind;
        const char *value;
        int64_t when; /* before, since: ns; until: s */
};

struct ctr_filters {
        struct filter *v;
        size_t n;
};

struct subject {
        const struct ctr *c;
        const struct ctr_state *s;
};

/* ---- one of each kind ---- */

/* An extended regular expression, as with docker and podman; what is none is a part of the name.
 * docker's names begin with a slash. */
static bool match_name(const struct subject *r, const struct filter *f)
{
        AUTO_ARENA a = { 0 };
        regex_t re;
        bool found;

        if (regcomp(&re, f->value, REG_EXTENDED | REG_NOSUB) != 0)
                return strstr(r->c->name, f->value) != NULL;
        found = regexec(&re, r->c->name, 0, NULL, 0) == 0 ||
                regexec(&re, arena_printf(&a, "/%s", r->c->name), 0, NULL, 0) == 0;
        regfree(&re);
        return found;
}
static bool match_id(const struct subject *r, const struct filter *f)
{
        return strncmp(r->c->id, f->value, strlen(f->value)) == 0;
}
static bool match_status(const struct subject *r, const struct filter *f)
{
        return str_eq(ctr_status_names[r->s->status], f->value) ||
               (str_eq(f->value, "stopped") && r->s->status == CTR_EXITED);
}
static bool match_label(const struct subject *r, const struct filter *f)
{
        return key_values_match(&r->c->labels, f->value);
}
static bool match_no_label(const struct subject *r, const struct filter *f)
{
        return !match_label(r, f);
}
/* The whole name, or its end from a slash on, with or without its tag; or an id's beginning. */
static bool match_ancestor(const struct subject *r, const struct filter *f)
{
        const char *image = r->c->image_name, *v = f->value, *at = strstr(image, v),
                   *id = digest_hex(r->c->image_id);

        if (at && (at == image || at[-1] == '/') &&
            (!at[strlen(v)] || at[strlen(v)] == ':' || at[strlen(v)] == '@'))
                return true;
        return strncmp(id, v, strlen(v)) == 0 || str_eq(r->c->image_id, v);
}
static bool match_exited(const struct subject *r, const struct filter *f)
{
        int64_t code;

        return r->s->status == CTR_EXITED && str_to_i64(f->value, &code) == 0 &&
               code == r->s->monitor.exit_code;
}
static bool match_health(const struct subject *r, const struct filter *f)
{
        const char *have = health_status_names[r->s->monitor.health];

        return str_eq(have, f->value) || (str_eq(f->value, "none") && !*have);
}
static bool match_network(const struct subject *r, const struct filter *f)
{
        return str_eq(r->c->network, f->value);
}
/* A volume's name, or where something is mounted. */
static bool match_volume(const struct subject *r, const struct filter *f)
{
        const struct json *list = json_get(r->c->record, "mounts");

        for (uint32_t i = 0; list && list->type == JSON_ARRAY && i < list->n; i++) {
                static const char *const members[] = { "name", "source", "destination" };

                for (size_t k = 0; k < ARRAY_SIZE(members); k++)
                        if (str_eq(json_str(json_get(&list->items[i], members[k]), ""), f->value))
                                return true;
        }
        return false;
}
static bool match_restart_policy(const struct subject *r, const struct filter *f)
{
        AUTO_ARENA a = { 0 };
        struct monitor_config m;

        return ctr_monitor_config(f->g, &a, r->c, &m, &(struct err){ 0 }) == 0 &&
               str_eq(restart_policy_names[m.restart], f->value);
}
static bool match_at_boot(const struct subject *r, const struct filter *f)
{
        return ctr_starts_at_boot(f->g, r->c) == str_eq(f->value, "true");
}
/* Published and exposed ports, pods: there are none yet. */
static bool match_none(const struct subject *r, const struct filter *f)
{
        return false;
}
/* docker's, of a swarm. */
static bool match_task(const struct subject *r, const struct filter *f)
{
        return str_eq(f->value, "false");
}
static bool match_before(const struct subject *r, const struct filter *f)
{
        return r->c->created_ns < f->when;
}
static bool match_since(const struct subject *r, const struct filter *f)
{
        return r->c->created_ns > f->when;
}
static bool match_until(const struct subject *r, const struct filter *f)
{
        return r->c->created_ns / 1000000000 < f->when;
}

static const struct kind {
        const char *key;
        bool (*match)(const struct subject *r, const struct filter *f);
        bool every; /* all of this key must pass */
        bool all;   /* see ctr_filters_want_all() */
} kinds[] = {
        { "name", match_name, false, false },
        { "id", match_id, false, false },
        { "status", match_status, false, true },
        { "label", match_label, true, false },
        { "label!", match_no_label, true, false },
        { "ancestor", match_ancestor, false, false },
        { "exited", match_exited, false, true },
        { "health", match_health, false, false },
        { "network", match_network, false, false },
        { "volume", match_volume, false, false },
        { "restart-policy", match_restart_policy, false, false },
        { "should-start-on-boot", match_at_boot, false, false },
        { "before", match_before, true, false },
        { "since", match_since, true, false },
        { "until", match_until, true, false },
        { "publish", match_none, false, false },
        { "expose", match_none, false, false },
        { "pod", match_none, false, false },
        { "is-task", match_task, false, false },
};

/* ---- parsing ---- */

static int bad_status(const char *value, struct err *e)
{
        struct suggest near = { .wrong = value };

        for (int i = 0; i < CTR_STATUS_MAX; i++)
                suggest_offer(&near, ctr_status_names[i]);
        err_set(e, ERR_INVALID, "--filter status: \"%s\" is no status", value);
        if (near.best)
                return err_hint(e, "Did you mean '%s'?", near.best);
        return err_hint(e, "there are created, running, paused, stopping, restarting, exited "
                           "and dead");
}

/* What a value has to be. */
static int check(struct ctx *c, struct engine *g, struct filter *f, struct err *e)
{
        struct ctr other;
        int64_t code;

        if (f->kind->match == match_status && !str_eq(f->value, "stopped") &&
            !str_eq(f->value, "removing") && STR_INDEX(ctr_status_names, f->value) < 0)
                return bad_status(f->value, e);
        if ((f->kind->match == match_at_boot || f->kind->match == match_task) &&
            !str_eq(f->value, "true") && !str_eq(f->value, "false"))
                return err_set(e, ERR_INVALID, "--filter %s: true or false, not \"%s\"",
                               f->kind->key, f->value);
        if (f->kind->match == match_restart_policy && STR_INDEX(restart_policy_names, f->value) < 0)
                return err_set(e, ERR_INVALID, "--filter %s: \"%s\" is no policy", f->kind->key,
                               f->value);
        if (f->kind->match == match_exited && str_to_i64(f->value, &code) < 0)
                return err_set(e, ERR_INVALID, "--filter exited: \"%s\" is no exit status",
                               f->value);
        if (f->kind->match == match_until && parse_until(f->value, time(NULL), &f->when, e) < 0)
                return err_in(e, "--filter until");
        if (f->kind->match != match_before && f->kind->match != match_since)
                return 0;
        if (ctr_find(g, &c->arena, f->value, &other, e) < 0)
                return err_in(e, "--filter %s", f->kind->key);
        f->when = other.created_ns;
        return 0;
}

static int parse_one(struct ctx *c, struct engine *g, const char *text, struct filter *ret,
                     struct err *e)
{
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                const char *value = str_after(text, kinds[i].key);

                if (!value || *value != '=')
                        continue;
                *ret = (struct filter){ .g = g, .kind = &kinds[i], .value = value + 1 };
                return check(c, g, ret, e);
        }
        err_set(e, ERR_INVALID, "--filter: \"%s\" is not known", text);
        return err_hint(e, "known are " CTR_FILTER_KEYS ", each with =VALUE");
}

int ctr_filters_parse(struct ctx *c, struct engine *g, const struct strings *list,
                      const struct ctr_filters **ret, struct err *e)
{
        struct ctr_filters *f = arena_new(&c->arena, struct ctr_filters);

        f->v = arena_array(&c->arena, struct filter, list->n + 1);
        for (; f->n < list->n; f->n++)
                if (parse_one(c, g, list->v[f->n], &f->v[f->n], e) < 0)
                        return -1;
        *ret = f;
        return 0;
}

/* ---- asking ---- */

bool ctr_filters_pass(const struct ctr_filters *f, const struct ctr *c, const struct ctr_state *s)
{
        bool wanted[ARRAY_SIZE(kinds)] = { 0 }, matched[ARRAY_SIZE(kinds)] = { 0 };
        const struct subject subject = { c, s };

        for (size_t i = 0; i < f->n; i++) {
                size_t k = (size_t)(f->v[i].kind - kinds);
                bool one = kinds[k].match(&subject, &f->v[i]);

                if (kinds[k].every && !one)
                        return false;
                wanted[k] = true;
                matched[k] |= one;
        }
        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
                if (wanted[k] && !matched[k])
                        return false;
        return true;
}

bool ctr_filters_want_all(const struct ctr_filters *f)
{
        for (size_t i = 0; i < f->n; i++)
                if (f->v[i].kind->all)
                        return true;
        return false;
}
