/* --change: instructions of a Dockerfile that alter an image's configuration and run nothing. */
#include <ctype.h>
#include <strings.h>

#include "base/path.h"
#include "base/str.h"
#include "codec/json-utf8.h"
#include "codec/json.h"
#include "image/compose.h"
#include "kernel/signals.h"

#define PORTS_MAX 1024 /* of one range */

static void add(struct arena *a, struct strings *s, const char *text)
{
        const char **v = arena_array(a, const char *, s->n + 1);

        if (s->n)
                memcpy(v, s->v, s->n * sizeof *v);
        v[s->n] = text;
        *s = (struct strings){ v, s->n + 1 };
}

static void add_once(struct arena *a, struct strings *s, const char *text)
{
        for (size_t i = 0; i < s->n; i++)
                if (str_eq(s->v[i], text))
                        return;
        add(a, s, text);
}

/* ---- words ---- */

/* The next word at *at as a Dockerfile has them: blanks end it unless a quote or a backslash keeps
 * them. False at the end; *ret NULL where a quote is left open. */
static bool next_word(struct arena *a, const char **at, char **ret)
{
        const char *s = *at + strspn(*at, " \t");
        char *out, quote = 0;

        if (!*s)
                return false;
        *ret = out = arena_strdup(a, s); /* a word is no longer than its text */
        for (; *s && (quote || !strchr(" \t", *s)); s++) {
                if (*s == quote)
                        quote = 0;
                else if (!quote && strchr("\"'", *s))
                        quote = *s;
                else if (*s == '\\' && quote != '\'' && s[1])
                        *out++ = *++s;
                else
                        *out++ = *s;
        }
        *out = 0;
        *at = s;
        if (quote)
                *ret = NULL;
        return true;
}

static int split(struct arena *a, const char *value, struct strings *ret, struct err *e)
{
        char *word;

        ret->v = arena_array(a, const char *, strlen(value) / 2 + 1);
        while (next_word(a, &value, &word)) {
                if (!word)
                        return err_set(e, ERR_INVALID, "a quote is not closed");
                ret->v[ret->n++] = word;
        }
        return 0;
}

/* ["a", "b"]: true with *ret filled. Anything else is text, as docker takes it. */
static bool parse_array(struct arena *a, const char *value, struct strings *ret)
{
        struct json j;

        if (*value != '[' || json_parse(a, value, strlen(value), NULL, &j, NULL) < 0 ||
            j.type != JSON_ARRAY)
                return false;
        for (uint32_t i = 0; i < j.n; i++)
                if (j.items[i].type != JSON_STRING || strlen(j.items[i].s) != j.items[i].n)
                        return false;
        *ret = (struct strings){ arena_array(a, const char *, j.n + 1), j.n };
        for (uint32_t i = 0; i < j.n; i++)
                ret->v[i] = j.items[i].s;
        return true;
}

/* ---- instructions ---- */

static struct strings command(struct arena *a, const struct image_config *c, const char *value)
{
        static const char *const sh[] = { "/bin/sh", "-c" };
        struct strings s = { 0 };

        if (parse_array(a, value, &s))
                return s;
        for (size_t i = 0; i < (c->shell.n ? c->shell.n : ARRAY_SIZE(sh)); i++)
                add(a, &s, c->shell.n ? c->shell.v[i] : sh[i]);
        add(a, &s, value);
        return s;
}

static int change_cmd(struct arena *a, struct image_config *c, const char *value, struct err *e)
{
        c->cmd = command(a, c, value);
        c->has_cmd = true;
        return 0;
}

static int change_entrypoint(struct arena *a, struct image_config *c, const char *value,
                             struct err *e)
{
        c->entrypoint = command(a, c, value);
        c->has_entrypoint = true;
        return 0;
}

/* Calls put for each NAME=VALUE of value; "NAME VALUE..." is one pair, as docker still takes it. */
static int change_pairs(struct arena *a, struct image_config *c, const char *value,
                        void (*put)(struct arena *a, struct image_config *c, char *name,
                                    const char *v),
                        struct err *e)
{
        size_t name = strcspn(value, " \t=\"'");
        struct strings words = { 0 };

        if (name && value[name] && strchr(" \t", value[name])) {
                put(a, c, arena_strndup(a, value, name),
                    value + name + strspn(value + name, " \t"));
                return 0;
        }
        if (split(a, value, &words, e) < 0)
                return -1;
        for (size_t i = 0; i < words.n; i++) {
                const char *equals = strchr(words.v[i], '=');

                if (!equals || equals == words.v[i])
                        return err_set(e, ERR_INVALID, "\"%s\" is not NAME=VALUE", words.v[i]);
                put(a, c, arena_strndup(a, words.v[i], (size_t)(equals - words.v[i])), equals + 1);
        }
        return 0;
}

static void put_env(struct arena *a, struct image_config *c, char *name, const char *value)
{
        const char *text = arena_printf(a, "%s=%s", name, value);
        size_t n = strlen(name) + 1;

        for (size_t i = 0; i < c->env.n; i++)
                if (strncmp(c->env.v[i], text, n) == 0) {
                        c->env.v[i] = text;
                        return;
                }
        add(a, &c->env, text);
}

static int change_env(struct arena *a, struct image_config *c, const char *value, struct err *e)
{
        return change_pairs(a, c, value, put_env, e);
}

static void put_label(struct arena *a, struct image_config *c, char *name, const char *value)
{
        struct key_value *v;

        for (size_t i = 0; i < c->labels.n; i++)
                if (str_eq(c->labels.v[i].key, name)) {
                        c->labels.v[i].value = value;
                        return;
                }
        v = arena_array(a, struct key_value, c->labels.n + 1);
        if (c->labels.n)
                memcpy(v, c->labels.v, c->labels.n * sizeof *v);
        v[c->labels.n] = (struct key_value){ name, value };
        c->labels = (struct key_values){ v, c->labels.n + 1 };
}

static int change_label(struct arena *a, struct image_config *c, const char *value, struct err *e)
{
        return change_pairs(a, c, value, put_label, e);
}

/* "80", "80/udp", "8000-8010/tcp". */
static int expose(struct arena *a, struct image_config *c, const char *word, struct err *e)
{
        static const char *const protocols[] = { "tcp", "udp", "sctp" };
        char *text = arena_strdup(a, word), *slash = strchr(text, '/'), *dash;
        int protocol = 0;
        uint32_t first, last;

        if (slash) {
                *slash++ = 0;
                for (char *p = slash; *p; p++)
                        *p = (char)tolower((unsigned char)*p);
                protocol = STR_INDEX(protocols, slash);
        }
        if ((dash = strchr(text, '-')))
                *dash++ = 0;
        if (protocol < 0 || str_to_u32(text, &first) < 0 ||
            str_to_u32(dash ? dash : text, &last) < 0 || first < 1 || last > 65535 || first > last)
                return err_set(e, ERR_INVALID, "\"%s\" is no port, such as 80 or 53/udp", word);
        if (last - first >= PORTS_MAX)
                return err_set(e, ERR_LIMIT, "\"%s\" is more than %d ports", word, PORTS_MAX);
        for (uint32_t p = first; p <= last; p++)
                add_once(a, &c->exposed_ports, arena_printf(a, "%u/%s", p, protocols[protocol]));
        return 0;
}

static int change_expose(struct arena *a, struct image_config *c, const char *value, struct err *e)
{
        struct strings words = { 0 };

        if (split(a, value, &words, e) < 0)
                return -1;
        for (size_t i = 0; i < words.n; i++)
                if (expose(a, c, words.v[i], e) < 0)
                        return -1;
        return 0;
}

static int change_onbuild(struct arena *a, struct image_config *c, const char *value, struct err *e)
{
        static const char *const refused[] = { "ONBUILD", "FROM", "MAINTAINER" };
        size_t n = strcspn(value, " \t");

        for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
                if (n == strlen(refused[i]) && strncasecmp(value, refused[i], n) == 0)
                        return err_set(e, ERR_INVALID, "%s is not allowed there", refused[i]);
        add(a, &c->onbuild, value);
        return 0;
}

static int change_stop_signal(struct arena *a, struct image_config *c, const char *value,
                              struct err *e)
{
        if (signal_parse(value) < 0)
                return err_set(e, ERR_INVALID, "\"%s\" is no signal", value);
        c->stop_signal = value;
        return 0;
}

static int change_user(struct arena *a, struct image_config *c, const char *value, struct err *e)
{
        c->user = value;
        return 0;
}

static int change_volume(struct arena *a, struct image_config *c, const char *value, struct err *e)
{
        struct strings paths = { 0 };

        if (!parse_array(a, value, &paths) && split(a, value, &paths, e) < 0)
                return -1;
        for (size_t i = 0; i < paths.n; i++) {
                if (str_empty(paths.v[i]))
                        return err_set(e, ERR_INVALID, "a volume needs a path");
                add_once(a, &c->volumes, paths.v[i]);
        }
        return 0;
}

static int change_workdir(struct arena *a, struct image_config *c, const char *value, struct err *e)
{
        char path[4096];

        if (path_join(str_empty(c->workdir) ? "/" : c->workdir, value, path, sizeof path) < 0)
                return err_set(e, ERR_LIMIT, "the path is too long");
        c->workdir = arena_strdup(a, path);
        return 0;
}

static const struct instruction {
        const char *name;
        int (*apply)(struct arena *a, struct image_config *c, const char *value, struct err *e);
} instructions[] = {
        { "CMD", change_cmd },
        { "ENTRYPOINT", change_entrypoint },
        { "ENV", change_env },
        { "EXPOSE", change_expose },
        { "LABEL", change_label },
        { "ONBUILD", change_onbuild },
        { "STOPSIGNAL", change_stop_signal },
        { "USER", change_user },
        { "VOLUME", change_volume },
        { "WORKDIR", change_workdir },
};

/* Splits "NAME VALUE" or "NAME=VALUE"; NULL where it is neither or the name is not known. */
static const struct instruction *parse(struct arena *a, const char *text, const char **ret_value)
{
        const char *name = text + strspn(text, " \t");
        size_t n = strcspn(name, " \t="), end;
        const char *value = name + n;

        for (size_t i = 0; *value && i < ARRAY_SIZE(instructions); i++) {
                if (strlen(instructions[i].name) != n ||
                    strncasecmp(instructions[i].name, name, n) != 0)
                        continue;
                value++;
                value += strspn(value, " \t");
                for (end = strlen(value); end && strchr(" \t\r\n", value[end - 1]); end--)
                        ;
                *ret_value = arena_strndup(a, value, end);
                return end ? &instructions[i] : NULL;
        }
        return NULL;
}

/* JSON has no other texts: what is none would be written as another. */
static bool is_utf8(const char *s)
{
        size_t n = strlen(s), len = 1;

        for (size_t i = 0; i < n && len; i += len)
                len = json_utf8_len(s + i, n - i);
        return len > 0;
}

int compose_change(struct arena *a, const struct strings *changes, struct image_config *c,
                   struct err *e)
{
        bool cmd = false, entrypoint = false;

        for (size_t i = 0; i < changes->n; i++) {
                const char *value;
                const struct instruction *in = parse(a, changes->v[i], &value);

                if (!is_utf8(changes->v[i]))
                        return err_set(e, ERR_INVALID, "change %zu is not UTF-8", i + 1);
                if (!in) {
                        err_set(e, ERR_INVALID, "change \"%s\" is not understood", changes->v[i]);
                        return err_hint(e, "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, "
                                           "STOPSIGNAL, USER, VOLUME and WORKDIR can be changed, "
                                           "as in --change 'CMD [\"sh\"]'");
                }
                if (in->apply(a, c, value, e) < 0)
                        return err_in(e, "change \"%s\"", changes->v[i]);
                cmd |= in->apply == change_cmd;
                entrypoint |= in->apply == change_entrypoint;
        }
        if (entrypoint && !cmd) {
                c->cmd = (struct strings){ 0 };
                c->has_cmd = false;
        }
        return 0;
}
