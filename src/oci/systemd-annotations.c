/* Annotations "org.systemd.property.NAME": unit properties of the user's own, their values in
 * GVariant's text format, as runc takes them: 'text', true, 5 (int32), uint64 5, @t 5, ['a',
 * 'b'], @as []. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "oci/systemd-internal.h"
#include "oci/systemd.h"

static const struct {
        const char *keyword;
        char type;
} keywords[] = {
        { "boolean", 'b' }, { "byte", 'y' },   { "int16", 'n' },      { "uint16", 'q' },
        { "int32", 'i' },   { "uint32", 'u' }, { "int64", 'x' },      { "uint64", 't' },
        { "double", 'd' },  { "string", 's' }, { "objectpath", 'o' }, { "signature", 'g' },
};

struct parser {
        const char *at;
        char type;        /* of values, 0 until known */
        struct buf words; /* protocol words */
};

static void skip_blanks(struct parser *p)
{
        p->at += strspn(p->at, " \t\n");
}

static int string_parse(struct parser *p)
{
        AUTO_BUF text = {};
        char quote = *p->at++;

        for (; *p->at != quote; p->at++) {
                if (*p->at == '\\')
                        p->at++;
                if (!*p->at)
                        return -1;
                buf_putc(&text, *p->at);
        }
        p->at++;
        if (!p->type)
                p->type = 's';
        systemd_put_word(&p->words, buf_str(&text), text.len);
        return strchr("sog", p->type) ? 0 : -1;
}

static int word_parse(struct parser *p)
{
        size_t n = strcspn(p->at, " \t\n,[]()'\"");
        char word[64];
        uint64_t u;
        int64_t i;

        if (n == 0 || n >= sizeof word)
                return -1;
        memcpy(word, p->at, n);
        word[n] = 0;
        p->at += n;
        if (str_eq(word, "true") || str_eq(word, "false")) {
                if (p->type && p->type != 'b')
                        return -1;
                p->type = 'b';
                systemd_put_word(&p->words, str_eq(word, "true") ? "1" : "0", 1);
                return 0;
        }
        if (!p->type)
                p->type = strpbrk(word, ".eE") ? 'd' : 'i';
        systemd_put_word(&p->words, word, n);
        if (p->type == 'd')
                return word[strspn(word, "0123456789.eE+-")] ? -1 : 0;
        if (strchr("nix", p->type))
                return str_to_i64(word, &i);
        return strchr("yqut", p->type) ? str_to_u64(word, &u) : -1;
}

/* A type written before the value: "uint64 " or "@as ". *array is set by the latter. */
static int type_parse(struct parser *p, bool *array)
{
        size_t n;

        skip_blanks(p);
        if (*p->at == '@') {
                p->at++;
                *array = *p->at == 'a';
                p->at += *array;
                if (!*p->at || !strchr("ybnqiuxtdsog", *p->at))
                        return -1;
                p->type = *p->at++;
                skip_blanks(p);
                return 0;
        }
        n = strcspn(p->at, " ");
        for (size_t i = 0; i < ARRAY_SIZE(keywords); i++)
                if (strlen(keywords[i].keyword) == n &&
                    strncmp(keywords[i].keyword, p->at, n) == 0) {
                        p->type = keywords[i].type;
                        p->at += n;
                        skip_blanks(p);
                }
        return 0;
}

static int value_parse(struct parser *p)
{
        bool array;

        if (type_parse(p, &array) < 0)
                return -1;
        return *p->at == '\'' || *p->at == '"' ? string_parse(p) : word_parse(p);
}

static int array_parse(struct parser *p)
{
        p->at++;
        skip_blanks(p);
        while (*p->at != ']') {
                if (value_parse(p) < 0)
                        return -1;
                skip_blanks(p);
                if (*p->at == ',')
                        p->at++;
                else if (*p->at != ']')
                        return -1;
                skip_blanks(p);
        }
        p->at++;
        return p->type ? 0 : -1; /* an empty array needs its type: @as [] */
}

/* The whole text; signature gets "s" or "as". */
static int variant_parse(struct parser *p, char signature[3])
{
        bool array = false;

        if (type_parse(p, &array) < 0 || array != (*p->at == '[' && array))
                return -1;
        array = *p->at == '[';
        if ((array ? array_parse(p) : value_parse(p)) < 0)
                return -1;
        skip_blanks(p);
        if (*p->at)
                return -1;
        signature[0] = array ? 'a' : p->type;
        signature[1] = array ? p->type : 0;
        signature[2] = 0;
        return 0;
}

/* Seconds as microseconds: "TimeoutStopSec" is "TimeoutStopUSec" on the bus. */
static int put_seconds(const char *name, size_t stem, const struct parser *p, struct buf *out)
{
        const char *word = buf_str(&p->words) + 1;
        double seconds = strtod(word, NULL);

        if (!strchr("yqutnixd", p->type) || seconds < 0 || seconds > 1e12)
                return -1;
        buf_printf(out, "property %.*sUSec t %llu\n", (int)stem, name,
                   (unsigned long long)(seconds * 1e6 + 0.5));
        return 0;
}

static int put_annotation(const char *name, const char *value, struct buf *out)
{
        struct parser p = { .at = value };
        size_t n = strlen(name);
        char signature[3];
        int r = variant_parse(&p, signature);

        if (r == 0 && n > 3 && str_ends(name, "Sec") && !str_ends(name, "USec") &&
            signature[0] != 'a') {
                r = put_seconds(name, n - 3, &p, out);
        } else if (r == 0) {
                systemd_put_property(out, name, signature, 0);
                buf_add(out, buf_str(&p.words), p.words.len);
                buf_putc(out, '\n');
        }
        buf_done(&p.words);
        return r < 0 ? -1 : 0;
}

static bool is_property_name(const char *s)
{
        size_t n = 0;

        for (; s[n]; n++)
                if (!isascii(s[n]) || !isalpha(s[n]))
                        return false;
        return n >= 3 && n < 128;
}

int systemd_annotations(const struct key_values *annotations, struct buf *out, struct err *e)
{
        for (size_t i = 0; i < annotations->n; i++) {
                const char *key = annotations->v[i].key;
                const char *name = str_after(key, "org.systemd.property.");

                if (!name)
                        continue;
                if (!is_property_name(name))
                        return err_set(e, ERR_INVALID,
                                       "annotations[\"%.120s\"]: '%.80s' is no property name", key,
                                       name);
                if (put_annotation(name, annotations->v[i].value, out) < 0) {
                        err_set(e, ERR_INVALID, "annotations[\"%.120s\"]: cannot parse '%.80s'",
                                key, annotations->v[i].value);
                        return err_hint(e, "Values are in GVariant's text format: 'text', true, "
                                           "uint64 5, ['a', 'b'].");
                }
        }
        return 0;
}
