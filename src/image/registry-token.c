/* Tokens (distribution-spec's companion, distribution: docs/spec/auth/token, oauth): what a 401
 * asks for, from whom, and how long it lasts.
 *
 * A token is kept per endpoint and scope; tasks that need the same one wait for the first that
 * asks. The scope is what the challenge names, widened to pushing where this process pushes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "codec/base64.h"
#include "image/registry-internal.h"

#define CLIENT_ID "berth"
#define LIFE_S 60u /* where the answer says nothing, or less */
#define TOKEN_MAX 65536u

static const struct json_limits token_limits = { .bytes = TOKEN_ANSWER_MAX,
                                                 .depth = 16,
                                                 .memory = 8u << 20 };

/* ---- what is known ---- */

static enum token_use use_of(const struct fetcher *f, enum method method)
{
        if (method == METHOD_DELETE)
                return TOKEN_DELETE;
        /* Where this process pushes, every token is for both. */
        return f->push || (method != METHOD_GET && method != METHOD_HEAD) ? TOKEN_PUSH : TOKEN_PULL;
}

const char *token_present(struct fetcher *f, size_t i, enum method method)
{
        const struct endpoint_state *s = &f->state[i];
        const struct token *t = s->current[use_of(f, method)];

        if (t && t->value && t->ends_ms > clock_ms())
                return t->value;
        return s->basic;
}

static struct token *token_find(struct fetcher *f, size_t i, const char *scopes)
{
        struct token *t;

        for (t = f->tokens; t; t = t->next)
                if (t->endpoint == i && str_eq(t->scopes, scopes))
                        return t;
        t = mem_alloc(sizeof *t);
        *t = (struct token){ .next = f->tokens, .endpoint = i, .scopes = mem_strdup(scopes) };
        f->tokens = t;
        return t;
}

static char *basic_field(const struct credentials *c)
{
        AUTO_BUF plain = {}, out = {};

        buf_printf(&plain, "%s:%s", c->user ? c->user : "", c->password ? c->password : "");
        buf_puts(&out, "Basic ");
        base64_put(&out, plain.s, plain.len);
        explicit_bzero(plain.s, plain.len);
        return buf_take(&out);
}

/* ---- scopes ---- */

/* "repository:NAME:pull" of a challenge becomes "...:pull,push" where this process pushes, so that
 * one token does for everything. */
static void put_scope(const struct fetcher *f, const char *scope, size_t n, struct buf *out)
{
        const char *colon = memrchr(scope, ':', n);

        if (out->len > 0)
                buf_putc(out, ' ');
        buf_add(out, scope, n);
        if (f->push && colon && n > 11 && strncmp(scope, "repository:", 11) == 0 &&
            (size_t)(scope + n - colon) == 5 && strncmp(colon, ":pull", 5) == 0)
                buf_puts(out, ",push");
}

/* All scopes to ask for, separated by blanks; "" for a login. */
static void scopes_fill(const struct fetcher *f, size_t i, const char *challenged,
                        enum method method, struct buf *out)
{
        const char *at = challenged, *word;
        size_t n;

        while (str_next(&at, ' ', &word, &n))
                if (n > 0)
                        put_scope(f, word, n, out);
        if (out->len == 0 && str_empty(challenged) && !f->login)
                buf_printf(out, "repository:%s:%s", f->config.endpoints[i].repository,
                           method == METHOD_DELETE ? "delete"
                           : f->push               ? "pull,push"
                                                   : "pull");
        /* A blob can be mounted from where one may pull. */
        for (size_t k = 0; f->push && k < f->mount_from.n; k++)
                buf_printf(out, " repository:%s:pull", f->mount_from.v[k]);
}

/* ---- asking the token server ---- */

/* Whether credentials may go to realm: encrypted, or to where this registry is insecure anyway. */
static int realm_check(const struct endpoint *p, const char *realm, struct err *e)
{
        struct origin o;

        if (url_origin(realm, &o) < 0 || (!str_eq(o.scheme, "https") && !str_eq(o.scheme, "http")))
                return err_set(e, ERR_INVALID, "'%s' names a token server that is no URL", p->host);
        if (str_eq(o.scheme, "https") || p->skip_verify || p->scheme != ENDPOINT_HTTPS ||
            host_is_loopback(o.host))
                return 0;
        return err_set(e, ERR_DENIED,
                       "'%s' names the token server '%s', which is not encrypted, for credentials",
                       p->host, o.host);
}

struct ask {
        const char *realm, *service, *scopes;
        const struct credentials *credentials;
        bool oauth; /* POST with a refresh token */
};

static void add_scopes(struct buf *b, const char *scopes, bool form)
{
        const char *at = scopes, *word;
        size_t n;

        if (form) { /* one parameter, separated by blanks: RFC 6749, 3.3 */
                if (*scopes)
                        url_add_query(b, "scope", scopes);
                return;
        }
        while (str_next(&at, ' ', &word, &n)) {
                AUTO_FREE char *one = mem_printf("%.*s", (int)n, word);

                if (n > 0)
                        url_add_query(b, "scope", one);
        }
}

static void get_fill(const struct ask *k, struct buf *url)
{
        buf_puts(url, k->realm);
        if (k->service)
                url_add_query(url, "service", k->service);
        add_scopes(url, k->scopes, false);
        if (k->credentials->kind == CREDENTIALS_BASIC)
                url_add_query(url, "account", k->credentials->user);
}

static void post_fill(const struct ask *k, struct buf *form)
{
        AUTO_BUF q = {};

        url_add_query(&q, "grant_type", "refresh_token");
        url_add_query(&q, "client_id", CLIENT_ID);
        if (k->service)
                url_add_query(&q, "service", k->service);
        add_scopes(&q, k->scopes, true);
        url_add_query(&q, "refresh_token", k->credentials->token);
        buf_puts(form, q.s + 1); /* without the '?' */
        explicit_bzero(q.s, q.len);
}

/* The answer's token becomes t->value. */
static int token_take(struct arena *a, const struct answer *answer, const char *host,
                      struct token *t, struct err *e)
{
        struct json j;
        struct json_error je;
        const char *value;
        uint64_t life = 0;

        if (json_parse(a, buf_str(&answer->body), answer->body.len, &token_limits, &j, &je) < 0)
                return err_set(e, ERR_INVALID, "the token server of '%s' answered no JSON: %s",
                               host, je.what);
        value = json_str(json_get(&j, "token"), "");
        if (!*value)
                value = json_str(json_get(&j, "access_token"), "");
        if (!*value || strlen(value) > TOKEN_MAX || value[strcspn(value, "\r\n")])
                return err_set(e, ERR_INVALID, "the token server of '%s' answered no token", host);
        json_to_u64(json_get(&j, "expires_in"), &life);
        life = MAX(life, (uint64_t)LIFE_S);
        free(t->value);
        t->value = mem_printf("Bearer %s", value);
        t->ends_ms = clock_ms() + MIN(life, (uint64_t)86400) * 900; /* a tenth earlier */
        return 0;
}

static int token_refused(struct request *q, const struct exchange *x, const struct endpoint *p,
                         struct err *e)
{
        const char *code;
        const char *said =
                error_body(&q->arena, buf_str(&x->answer.body), x->answer.body.len, &code);
        int status = x->answer.status;
        bool denied = status == 401 || status == 403 || status == 400;

        err_set(e, denied ? ERR_DENIED : ERR_UNAVAILABLE,
                "the token server of '%s' answered with status %d%s%s", p->host, status,
                said ? ": " : "", said ? said : "");
        if (denied && p->credentials.kind == CREDENTIALS_NONE)
                return err_hint(e, "Log in with `berth login %s`, or check the name.",
                                q->f->ref.host);
        if (denied)
                return err_hint(e,
                                "The credentials of '%.60s' were refused: try `berth login %s` "
                                "again.",
                                p->credentials.source ? p->credentials.source : "the command line",
                                q->f->ref.host);
        return -1;
}

static bool worth_retrying(const struct transfer *t, int status)
{
        if (t->result != CURLE_OK)
                return t->result != CURLE_PEER_FAILED_VERIFICATION &&
                       t->result != CURLE_COULDNT_RESOLVE_HOST && t->aborted == ABORT_NONE;
        return status == 429 || status >= 500;
}

static int token_ask(struct request *q, size_t i, const struct ask *k, struct token *t,
                     struct err *e)
{
        const struct endpoint *p = &q->f->config.endpoints[i];
        struct patience patience = {};
        AUTO_BUF url = {}, form = {};
        AUTO_FREE char *basic = NULL;
        int r = -1;

        if (k->oauth) {
                buf_puts(&url, k->realm);
                post_fill(k, &form);
        } else {
                get_fill(k, &url);
        }
        if (k->credentials->kind == CREDENTIALS_BASIC)
                basic = basic_field(k->credentials);
        for (;;) {
                struct exchange x = { .method = METHOD_GET,
                                      .limit = TOKEN_ANSWER_MAX,
                                      .what = "a token" };
                struct transfer transfer = {};
                uint32_t after = 0;
                bool again;

                r = exchange_follow(q, &x, i, url.s, basic, k->oauth ? form.s : NULL, &transfer, e);
                if (r == 0 && x.answer.status / 100 == 2) {
                        r = token_take(&x.arena, &x.answer, p->host, t, e);
                        again = false;
                } else {
                        r = r == 0 ? token_refused(q, &x, p, e) : -1;
                        again = worth_retrying(&transfer, x.answer.status);
                        if (http_retry_after(x.answer.retry_after, time(NULL), &after) < 0)
                                after = 0;
                }
                transfer_done(&transfer);
                exchange_done(&x);
                if (!again || !patience_wait(q, &patience, e, after))
                        break;
        }
        if (form.s)
                explicit_bzero(form.s, form.len);
        return r;
}

/* ---- challenges ---- */

static int bearer(struct request *q, size_t i, enum method method,
                  const struct http_challenge *challenge, const char *used, const char **ret,
                  struct err *e)
{
        struct fetcher *f = q->f;
        const struct endpoint *p = &f->config.endpoints[i];
        const char *challenged = http_challenge_param(challenge, "scope");
        struct ask k = { .realm = http_challenge_param(challenge, "realm"),
                         .service = http_challenge_param(challenge, "service"),
                         .credentials = &p->credentials };
        AUTO_BUF scopes = {};
        struct token *t;
        int r = 0;

        if (!k.realm)
                return err_set(e, ERR_INVALID, "'%s' asks for a token without saying from where",
                               p->host);
        if (p->credentials.kind != CREDENTIALS_NONE && realm_check(p, k.realm, e) < 0)
                return -1;
        scopes_fill(f, i, challenged ? challenged : "", method, &scopes);
        k.scopes = buf_str(&scopes);
        k.oauth = p->credentials.kind == CREDENTIALS_IDENTITY;
        t = token_find(f, i, k.scopes);
        while (t->busy)
                task_sleep(f, 5);
        /* Another task may just have got it; one that was refused is asked for anew. */
        if (!t->value || t->ends_ms <= clock_ms() || (used && str_eq(used, t->value))) {
                t->busy = true;
                r = token_ask(q, i, &k, t, e);
                t->busy = false;
        }
        if (r < 0)
                return err_in(e, "cannot get a token for '%s'", f->repository);
        f->state[i].current[use_of(f, method)] = t;
        *ret = arena_strdup(&q->arena, t->value);
        return 0;
}

static int denied(struct request *q, const struct endpoint *p, const char *why, struct err *e)
{
        err_set(e, ERR_DENIED, "'%s' %s", p->host, why);
        return err_hint(e, "Log in with `berth login %s`.", q->f->ref.host);
}

int token_answer(struct request *q, size_t i, enum method method,
                 const struct http_challenges *challenges, const char *used, const char **ret,
                 struct err *e)
{
        const struct endpoint *p = &q->f->config.endpoints[i];
        struct endpoint_state *s = &q->f->state[i];
        const struct http_challenge *c = http_challenge_find(challenges, "bearer");

        if (p->credentials.kind == CREDENTIALS_BEARER) {
                if (used)
                        return denied(q, p, "refused the token that is kept for it", e);
                if (!s->basic)
                        s->basic = mem_printf("Bearer %s", p->credentials.token);
                *ret = s->basic;
                return 0;
        }
        if (c)
                return bearer(q, i, method, c, used, ret, e);
        c = http_challenge_find(challenges, "basic");
        if (!c)
                return denied(q, p, "wants credentials of a kind that is not known here", e);
        if (p->credentials.kind != CREDENTIALS_BASIC)
                return denied(q, p, "wants a user name and a password", e);
        if (used)
                return denied(q, p, "refused the user name or the password", e);
        if (!s->basic)
                s->basic = basic_field(&p->credentials);
        *ret = s->basic;
        return 0;
}
