#include "codec/http-field.h"

#include <errno.h>
#include <strings.h>

#include "base/str.h"

/* ---- scanning ---- */

/* tchar of RFC 9110, section 5.6.2. */
static bool is_token(char c)
{
        return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
               (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token68(char c)
{
        return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
               (c && strchr("-._~+/", c));
}

static const char *skip_blanks(const char *s)
{
        return s + strspn(s, " \t");
}

/* Elements of a list may be empty (RFC 9110, section 5.6.1.2). */
static const char *skip_commas(const char *s)
{
        return s + strspn(s, " \t,");
}

static size_t token_length(const char *s)
{
        size_t n = 0;

        while (is_token(s[n]))
                n++;
        return n;
}

static char *lower(struct arena *a, const char *s, size_t n)
{
        char *copy = arena_strndup(a, s, n);

        for (char *p = copy; *p; p++)
                if (*p >= 'A' && *p <= 'Z')
                        *p |= 0x20;
        return copy;
}

/* A quoted-string at *at (its opening quote): what it stands for. */
static int quoted(struct arena *a, const char **at, const char **ret)
{
        const char *s = *at + 1, *end = s;
        size_t n = 0;
        char *out;

        for (; *end != '"'; end++) {
                if (*end == '\\')
                        end++;
                if (!*end || *end == '\r' || *end == '\n')
                        return -EINVAL;
        }
        out = arena_alloc(a, (size_t)(end - s) + 1);
        for (; s < end; s++) {
                if (*s == '\\')
                        s++;
                out[n++] = *s;
        }
        *at = end + 1;
        *ret = out;
        return 0;
}

/* A parameter's value: a quoted-string, or what reaches to the next blank or one of ends. More
 * than a token is taken there, since registries forget to quote URLs. */
static int value(struct arena *a, const char **at, const char *ends, const char **ret)
{
        size_t n;

        if (**at == '"')
                return quoted(a, at, ret);
        n = strcspn(*at, ends);
        if (n == 0)
                return -EINVAL;
        *ret = arena_strndup(a, *at, n);
        *at += n;
        return 0;
}

/* NAME = VALUE at *at; -ENOENT, without moving, where something else is there. */
static int parameter(struct arena *a, const char **at, const char *ends, struct http_param *ret)
{
        size_t n = token_length(*at);
        const char *s = skip_blanks(*at + n);
        int r;

        if (n == 0 || *s != '=')
                return -ENOENT;
        s = skip_blanks(s + 1);
        r = value(a, &s, ends, &ret->value);
        if (r < 0)
                return r;
        ret->name = lower(a, *at, n);
        *at = s;
        return 0;
}

/* ---- WWW-Authenticate ---- */

/* A token68 is all there is up to the end of the challenge: "Basic YWJj==". */
static bool token68(struct arena *a, const char **at, struct http_challenge *c)
{
        const char *s = *at;

        while (is_token68(*s))
                s++;
        if (s == *at)
                return false;
        s += strspn(s, "=");
        if (*skip_blanks(s) && *skip_blanks(s) != ',')
                return false;
        c->token68 = arena_strndup(a, *at, (size_t)(s - *at));
        *at = s;
        return true;
}

/* The parameters of a challenge; it ends where a token follows that has no '='. */
static int parameters(struct arena *a, const char **at, struct http_challenge *c)
{
        for (;;) {
                struct http_param p;
                int r = parameter(a, at, " \t,\"", &p);

                if (r == -ENOENT)
                        return 0;
                if (r < 0)
                        return r;
                if (c->nparams == HTTP_PARAMS_MAX)
                        return -E2BIG;
                c->params[c->nparams++] = p;
                *at = skip_blanks(*at);
                if (**at && **at != ',')
                        return -EINVAL;
                *at = skip_commas(*at);
        }
}

static int challenge(struct arena *a, const char **at, struct http_challenge *ret)
{
        size_t n = token_length(*at);
        const char *s = *at + n;

        if (n == 0)
                return -EINVAL;
        *ret = (struct http_challenge){ .scheme = lower(a, *at, n) };
        if (*s == ' ' || *s == '\t') {
                const char *first = s = skip_blanks(s);
                int r = token68(a, &s, ret) ? 0 : parameters(a, &s, ret);

                if (r < 0)
                        return r;
                if (ret->nparams == 0 && s == first && *s && *s != ',')
                        return -EINVAL;
        } else if (*s && *s != ',') {
                return -EINVAL;
        }
        *at = skip_commas(s);
        return 0;
}

int http_challenges_add(struct arena *a, const char *field, struct http_challenges *ret)
{
        size_t n = ret->n;
        const char *s;

        if (strnlen(field, HTTP_FIELD_MAX + 1) > HTTP_FIELD_MAX)
                return -E2BIG;
        for (s = skip_commas(field); *s;) {
                int r;

                if (n == HTTP_CHALLENGES_MAX)
                        return -E2BIG;
                r = challenge(a, &s, &ret->v[n]);
                if (r < 0)
                        return r;
                n++;
        }
        ret->n = n;
        return 0;
}

const struct http_challenge *http_challenge_find(const struct http_challenges *c,
                                                 const char *scheme)
{
        for (size_t i = 0; i < c->n; i++)
                if (str_eq(c->v[i].scheme, scheme))
                        return &c->v[i];
        return NULL;
}

const char *http_challenge_param(const struct http_challenge *c, const char *name)
{
        for (size_t i = 0; i < c->nparams; i++)
                if (str_eq(c->params[i].name, name))
                        return c->params[i].value;
        return NULL;
}

/* ---- Link ---- */

/* Whether a list of relation types, separated by blanks, has rel. */
static bool has_relation(const char *list, const char *rel)
{
        const char *field;
        size_t n;

        while (str_next(&list, ' ', &field, &n))
                if (n == strlen(rel) && strncasecmp(field, rel, n) == 0)
                        return true;
        return false;
}

/* The parameters of one link; *ret_found whether its first rel (RFC 8288, section 3.3) is rel. */
static int link_parameters(struct arena *a, const char **at, const char *rel, bool *ret_found)
{
        bool seen = false;

        *ret_found = false;
        for (;;) {
                struct http_param p;
                size_t n;
                int r;

                *at = skip_blanks(*at);
                if (**at != ';')
                        return **at && **at != ',' ? -EINVAL : 0;
                *at = skip_blanks(*at + 1);
                r = parameter(a, at, " \t,;\"", &p);
                if (r == -ENOENT) { /* a name alone, or nothing between two semicolons */
                        n = token_length(*at);
                        *at += n;
                        continue;
                }
                if (r < 0)
                        return r;
                if (!seen && str_eq(p.name, "rel")) {
                        seen = true;
                        *ret_found = has_relation(p.value, rel);
                }
        }
}

int http_link(struct arena *a, const char *field, const char *rel, const char **ret)
{
        const char *s;

        if (strnlen(field, HTTP_FIELD_MAX + 1) > HTTP_FIELD_MAX)
                return -E2BIG;
        for (s = skip_commas(field); *s; s = skip_commas(s)) {
                const char *target = s + 1, *end = strchr(s, '>');
                bool found;
                int r;

                if (*s != '<' || !end)
                        return -EINVAL;
                s = end + 1;
                r = link_parameters(a, &s, rel, &found);
                if (r < 0)
                        return r;
                if (found) {
                        *ret = arena_strndup(a, target, (size_t)(end - target));
                        return 0;
                }
        }
        return -ENOENT;
}

/* ---- ranges and rates ---- */

/* Decimal digits at *at. */
static int number(const char **at, uint64_t *ret)
{
        uint64_t v = 0;
        const char *s = *at;

        for (; *s >= '0' && *s <= '9'; s++)
                if (__builtin_mul_overflow(v, 10u, &v) ||
                    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
                        return -EINVAL;
        if (s == *at)
                return -EINVAL;
        *at = s;
        *ret = v;
        return 0;
}

static bool at_end(const char *s)
{
        return !*skip_blanks(s);
}

int http_content_range(const char *field, struct http_range *ret)
{
        struct http_range range = { .size = UINT64_MAX };
        const char *s = skip_blanks(field);

        if (strncasecmp(s, "bytes", 5) != 0 || (s[5] != ' ' && s[5] != '\t'))
                return -EINVAL;
        s = skip_blanks(s + 5);
        if (*s == '*') {
                range.unsatisfied = true;
                s++;
        } else if (number(&s, &range.first) < 0 || *s++ != '-' || number(&s, &range.last) < 0 ||
                   range.last < range.first) {
                return -EINVAL;
        }
        if (*s++ != '/')
                return -EINVAL;
        if (*s == '*' && !range.unsatisfied)
                s++;
        else if (number(&s, &range.size) < 0)
                return -EINVAL;
        if (!at_end(s) || (!range.unsatisfied && range.last >= range.size))
                return -EINVAL;
        *ret = range;
        return 0;
}

int http_upload_range(const char *field, uint64_t *ret_next)
{
        const char *s = skip_blanks(field);
        uint64_t first, last;

        if (strncasecmp(s, "bytes", 5) == 0)
                s += 5 + (s[5] == '=' || s[5] == ' ');
        if (number(&s, &first) < 0 || first != 0 || *s++ != '-')
                return -EINVAL;
        if (str_eq(s, "-1")) {
                *ret_next = 0;
                return 0;
        }
        if (number(&s, &last) < 0 || !at_end(s) || last == UINT64_MAX)
                return -EINVAL;
        /* The last byte's place, so that one byte and none look the same: "0-0" is taken for none,
         * which sends that byte twice and is answered by 416 at the worst. */
        *ret_next = last ? last + 1 : 0;
        return 0;
}

int http_rate(const char *field, struct http_rate *ret)
{
        struct http_rate rate = { 0 };
        const char *s = skip_blanks(field);

        if (number(&s, &rate.count) < 0)
                return -EINVAL;
        for (s = skip_blanks(s); *s == ';'; s = skip_blanks(s)) {
                s = skip_blanks(s + 1);
                if ((s[0] == 'w' || s[0] == 'W') && s[1] == '=') {
                        s += 2;
                        if (number(&s, &rate.window) < 0)
                                return -EINVAL;
                } else {
                        s += strcspn(s, ";,");
                }
        }
        if (*s && *s != ',') /* a list of policies: the first is the one that counts */
                return -EINVAL;
        *ret = rate;
        return 0;
}

int http_warning(struct arena *a, const char *field, const char **ret)
{
        const char *s = skip_blanks(field), *text;
        uint64_t code;
        int r;

        if (strnlen(field, HTTP_FIELD_MAX + 1) > HTTP_FIELD_MAX)
                return -E2BIG;
        if (number(&s, &code) < 0 || *s != ' ')
                return -EINVAL;
        if (code != 299)
                return -ENOENT;
        s = skip_blanks(s);
        s += strcspn(s, " \t"); /* the agent: "-" */
        s = skip_blanks(s);
        if (*s != '"')
                return -EINVAL;
        r = quoted(a, &s, &text);
        if (r < 0)
                return r;
        *ret = text;
        return 0;
}
