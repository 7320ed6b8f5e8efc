/* An exchange: one question to the repository, until there is an answer to it. Three loops: over
 * the endpoints (exchange_run), over the attempts at one (endpoint_try), over the hops of one
 * attempt (exchange_follow). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/str.h"
#include "image/registry-internal.h"

#define DELAY_MS 1000u
#define DELAY_MAX_MS 30000u
#define RETRY_AFTER_MAX_S 300u /* a registry that asks for more is told on, not waited for */

/* ---- one attempt ---- */

static const char *endpoint_scheme(struct fetcher *f, size_t i)
{
        const struct endpoint *p = &f->config.endpoints[i];
        const struct endpoint_state *s = &f->state[i];

        if (p->scheme == ENDPOINT_HTTPS_OR_HTTP)
                return s->plain ? "http" : "https";
        return p->scheme == ENDPOINT_HTTP ? "http" : "https";
}

/* Whether url is where the endpoint's own credentials may go. */
static bool is_own(struct fetcher *f, size_t i, const char *url)
{
        struct origin own, there;
        char text[400];

        snprintf(text, sizeof text, "%s://%s/", endpoint_scheme(f, i), f->config.endpoints[i].host);
        return url_origin(text, &own) == 0 && url_origin(url, &there) == 0 &&
               origin_equal(&own, &there);
}

static bool is_redirect(const struct exchange *x, const char *form)
{
        int status = x->answer.status;

        if (form || !*x->answer.location)
                return false;
        if (status == 307 || status == 308)
                return true;
        return (x->method == METHOD_GET || x->method == METHOD_HEAD) && status >= 301 &&
               status <= 303;
}

static bool is_insecure(const struct endpoint *p)
{
        return p->scheme != ENDPOINT_HTTPS || p->skip_verify;
}

static int redirect(struct request *q, struct exchange *x, const struct endpoint *p,
                    const char **url, struct err *e)
{
        const char *next;

        if (url_resolve(&x->arena, *url, x->answer.location, &next, e) < 0)
                return err_in(e, "cannot follow the redirection of %s by %s", x->what, p->host);
        if (str_after(*url, "https:") && str_after(next, "http:") && !is_insecure(p))
                return err_set(e, ERR_DENIED,
                               "'%s' redirects %s from https to http, which is not followed",
                               p->host, x->what);
        *url = next;
        return 0;
}

int exchange_follow(struct request *q, struct exchange *x, size_t i, const char *url,
                    const char *authorization, const char *form, struct transfer *t, struct err *e)
{
        const struct endpoint *p = &q->f->config.endpoints[i];
        struct origin first, here;

        if (url_origin(url, &first) < 0)
                return err_set(e, ERR_INVALID, "'%s' is no URL",
                               text_clean(&x->arena, url, strlen(url), 120));
        for (unsigned hops = 0; hops <= REDIRECTS_MAX; hops++) {
                struct hop hop = { .url = url, .endpoint = p, .form = form };

                hop.own = is_own(q->f, i, url);
                if (url_origin(url, &here) == 0 && origin_equal(&first, &here))
                        hop.authorization = authorization; /* R1 */
                transfer_done(t);
                transfer_run(q, x, &hop, t);
                if (t->result != CURLE_OK)
                        return transfer_fail(t, &hop, e);
                if (!is_redirect(x, form))
                        return 0;
                if (redirect(q, x, p, &url, e) < 0)
                        return -1;
        }
        return err_set(e, ERR_INVALID, "'%s' redirects %s more than %d times", p->host, x->what,
                       REDIRECTS_MAX);
}

/* ---- the URL at an endpoint ---- */

static int endpoint_url(struct request *q, struct exchange *x, size_t i, const char **ret,
                        struct err *e)
{
        const struct endpoint *p = &q->f->config.endpoints[i];
        AUTO_BUF url = {};

        if (x->at)
                return url_resolve(&x->arena, x->at, x->path, ret, e);
        buf_printf(&url, "%s://%s%s", endpoint_scheme(q->f, i), p->host, p->path);
        if (x->root)
                buf_puts(&url, "/");
        else
                buf_printf(&url, "/%s%s", p->repository, x->path);
        if (p->ns)
                url_add_query(&url, "ns", p->ns);
        *ret = arena_strdup(&x->arena, url.s);
        return 0;
}

/* ---- verdicts ---- */

enum verdict { ANSWERED, AGAIN, AT_ONCE, OTHER_SCHEME, HOPELESS };

/* Which failures of curl are worth another try. Before a host has ever answered, a name that can't
 * be resolved and a port that nobody listens on are more likely a mistake than an accident. */
static enum verdict curl_verdict(const struct fetcher *f, size_t i, const struct exchange *x,
                                 const struct transfer *t)
{
        bool answered = f->state[i].answered;

        switch ((int)t->result) {
        case CURLE_COULDNT_RESOLVE_PROXY:
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_CONNECT:
        case CURLE_SSL_CONNECT_ERROR:
                return answered ? AGAIN : HOPELESS;
        case CURLE_OPERATION_TIMEDOUT:
                if (!answered && x->answer.status == 0 && !t->sent)
                        return HOPELESS;
                return x->once ? HOPELESS : AGAIN;
        case CURLE_SEND_ERROR:
        case CURLE_RECV_ERROR:
        case CURLE_GOT_NOTHING:
        case CURLE_PARTIAL_FILE:
        case CURLE_HTTP2:
        case CURLE_HTTP2_STREAM:
        case CURLE_WEIRD_SERVER_REPLY:
                return x->once ? HOPELESS : AGAIN;
        case CURLE_WRITE_ERROR:
                return t->aborted == ABORT_FLOW && x->flow->state == FLOW_BAD_RANGE &&
                                       !x->flow->whole
                               ? AT_ONCE
                               : HOPELESS;
        default:
                return HOPELESS;
        }
}

static enum verdict status_verdict(const struct exchange *x)
{
        switch (x->answer.status) {
        case 408:
        case 500:
        case 502:
        case 504:
                return x->once ? HOPELESS : AGAIN;
        case 429:
        case 503:
                return AGAIN;
        case 401:
        case 403:
                return HOPELESS;
        case 416: /* we know more than the server has, or it can't do ranges */
                return x->flow && x->flow->at > 0 && !x->flow->whole ? AT_ONCE : ANSWERED;
        default:
                return x->answer.status >= 500 ? HOPELESS : ANSWERED;
        }
}

/* 2xx, but not the whole blob. */
static bool is_short(const struct exchange *x)
{
        return x->flow && x->answer.status / 100 == 2 && x->flow->at < x->flow->size;
}

/* ---- http or https ---- */

/* Whether what answered plain HTTP on a loopback port is rather a TLS server: those say 400, or
 * break off. */
static bool looks_like_tls(const struct exchange *x, const struct transfer *t)
{
        switch ((int)t->result) {
        case CURLE_OK:
                return x->answer.status == 400;
        case CURLE_UNSUPPORTED_PROTOCOL: /* "HTTP/0.9" */
        case CURLE_WEIRD_SERVER_REPLY:
        case CURLE_RECV_ERROR:
        case CURLE_GOT_NOTHING:
                return x->answer.status == 0;
        default:
                return false;
        }
}

/* Finds out what an endpoint speaks that may speak either, by asking for its greeting, without
 * credentials: on loopback HTTP first, elsewhere HTTPS. */
static void scheme_probe(struct request *q, size_t i)
{
        struct endpoint_state *s = &q->f->state[i];
        const struct endpoint *p = &q->f->config.endpoints[i];
        struct exchange x = { .method = METHOD_GET, .root = true, .what = "its greeting" };
        struct transfer t = {};
        const char *url;
        bool plain_first = host_is_loopback(p->host), ok;

        s->deciding = true;
        s->plain = plain_first;
        ok = endpoint_url(q, &x, i, &url, NULL) == 0 &&
             exchange_follow(q, &x, i, url, NULL, NULL, &t, NULL) == 0;
        if (plain_first && looks_like_tls(&x, &t)) {
                s->plain = false;
        } else if (!plain_first && !ok && t.result != CURLE_COULDNT_RESOLVE_HOST) {
                s->plain = true;
                exchange_clear(&x);
                ok = endpoint_url(q, &x, i, &url, NULL) == 0 &&
                     exchange_follow(q, &x, i, url, NULL, NULL, &t, NULL) == 0;
                s->plain = ok; /* else HTTPS's error is the one to show */
        }
        s->deciding = false;
        s->decided = true;
        transfer_done(&t);
        exchange_done(&x);
}

/* Where it is not known: on loopback plain HTTP is assumed until the first answer (it is what test
 * registries speak, and costs no handshake; credentials are sent only when an answer has asked for
 * them), elsewhere it is probed for. */
static void scheme_decide(struct request *q, size_t i, bool doubtful)
{
        struct endpoint_state *s = &q->f->state[i];
        const struct endpoint *p = &q->f->config.endpoints[i];

        while (s->deciding) /* in another task */
                task_sleep(q->f, 5);
        if (p->scheme != ENDPOINT_HTTPS_OR_HTTP || s->decided)
                return;
        if (doubtful || !host_is_loopback(p->host))
                scheme_probe(q, i);
        else
                s->plain = true;
}

/* Whether an attempt by HTTP ended so that it should have been HTTPS. */
static bool scheme_is_wrong(struct request *q, size_t i, const struct exchange *x, const char *url,
                            const struct transfer *t)
{
        struct endpoint_state *s = &q->f->state[i];

        if (x->at || !str_after(url, "http:") || (s->decided && s->plain) || !looks_like_tls(x, t))
                return false;
        scheme_decide(q, i, true);
        return !s->plain;
}

/* ---- one endpoint ---- */

static int refused_err(struct request *q, const struct exchange *x, size_t i, struct err *e);

/* One attempt with tokens: at most three times, since the first token may have expired and the
 * second may be for less than what is asked now. */
static enum verdict attempt(struct request *q, struct exchange *x, size_t i, struct err *e)
{
        struct fetcher *f = q->f;
        struct transfer t = {};
        enum verdict v = HOPELESS;
        const char *url, *authorization;

        if (endpoint_url(q, x, i, &url, e) < 0)
                return HOPELESS;
        authorization = is_own(f, i, url) ? token_present(f, i, x->method) : NULL;
        if (authorization) /* another task may renew it meanwhile */
                authorization = arena_strdup(&x->arena, authorization);
        for (unsigned asked = 0;; asked++) {
                int r = exchange_follow(q, x, i, url, authorization, NULL, &t, e);

                if (scheme_is_wrong(q, i, x, url, &t)) {
                        v = OTHER_SCHEME;
                        break;
                }
                if (r < 0) {
                        v = t.result == CURLE_OK ? HOPELESS : curl_verdict(f, i, x, &t);
                        break;
                }
                f->state[i].answered = f->state[i].decided = true;
                v = status_verdict(x);
                if (x->answer.status != 401 || asked == 2 || !is_own(f, i, x->answer.url)) {
                        if (v != ANSWERED)
                                refused_err(q, x, i, e);
                        break;
                }
                if (token_answer(q, i, x->method, &t.challenges, authorization, &authorization, e) <
                    0)
                        break;
        }
        transfer_done(&t);
        return v;
}

bool patience_wait(struct request *q, struct patience *p, const struct err *why, uint32_t after_s)
{
        struct fetcher *f = q->f;
        uint64_t delay = f->retry_delay_ms;

        if (f->closed || p->failures >= f->retries || after_s > RETRY_AFTER_MAX_S)
                return false;
        if (delay == 0)
                delay = MIN((uint64_t)DELAY_MS << MIN(p->failures, 10u), (uint64_t)DELAY_MAX_MS);
        p->failures++;
        if (after_s > 0)
                delay = after_s * 1000ull;
        request_note(q, "%s; trying again in %llu.%llu s (%u of %u)", why->chain,
                     (unsigned long long)delay / 1000, (unsigned long long)delay % 1000 / 100,
                     p->failures, f->retries);
        task_sleep(f, delay);
        return !f->closed;
}

static uint32_t retry_after(const struct exchange *x)
{
        uint32_t s = 0;

        if (!*x->answer.retry_after || http_retry_after(x->answer.retry_after, time(NULL), &s) < 0)
                return 0;
        return s;
}

/* 0: answered; -1: given up. */
static int endpoint_try(struct request *q, struct exchange *x, size_t i, bool impatient,
                        struct err *e)
{
        struct patience patience = {};

        scheme_decide(q, i, false);
        for (;;) {
                uint64_t before = x->flow ? x->flow->at : 0;
                enum verdict v = attempt(q, x, i, e);

                if (v == ANSWERED && is_short(x)) {
                        err_set(e, ERR_UNAVAILABLE, "%s ended after %llu of %llu bytes", x->what,
                                (unsigned long long)x->flow->at, (unsigned long long)x->flow->size);
                        v = AGAIN;
                }
                if (v == ANSWERED)
                        return 0;
                if (v == HOPELESS)
                        return -1;
                if (v == OTHER_SCHEME) {
                        exchange_clear(x);
                        continue;
                }
                if (x->flow && x->flow->at > before)
                        patience.failures = 0; /* R4 */
                if (v == AT_ONCE)
                        x->flow->whole = true;
                else if ((impatient && patience.failures == 0 &&
                          (!x->flow || x->flow->at == before)) ||
                         !patience_wait(q, &patience, e, retry_after(x)))
                        return -1;
                exchange_clear(x);
        }
}

/* ---- all endpoints ---- */

static bool usable(const struct fetcher *f, const struct exchange *x, size_t i)
{
        const struct endpoint *p = &f->config.endpoints[i];

        if (x->upstream)
                return i == f->config.n - 1;
        return (p->can & x->can) == x->can && !f->state[i].skipped;
}

static bool another(const struct fetcher *f, const struct exchange *x, size_t i)
{
        while (++i < f->config.n)
                if (usable(f, x, i))
                        return true;
        return false;
}

/* What a mirror can't give, the next one may. */
static void mirror_failed(struct request *q, struct exchange *x, size_t i, bool answered,
                          const struct err *e)
{
        const struct endpoint *p = &q->f->config.endpoints[i];

        if (answered)
                request_note(q, "the mirror '%s' does not have %s (HTTP status %d)", p->host,
                             x->what, x->answer.status);
        else
                request_note(q, "the mirror '%s' is of no use: %s", p->host, e->chain);
        if (!answered && !q->f->state[i].answered)
                q->f->state[i].skipped = true;
        exchange_clear(x);
}

int exchange_run(struct request *q, struct exchange *x, struct err *e)
{
        struct fetcher *f = q->f;
        size_t last = f->config.n - 1;
        int r;

        if (f->closed && x->method != METHOD_DELETE) /* R5 */
                return err_set(e, ERR_UNAVAILABLE, "%s: nobody waits for it any more", x->what);
        if (x->at)
                return endpoint_try(q, x, x->endpoint, false, e);
        for (size_t i = 0; i < f->config.n; i++) {
                bool more = another(f, x, i);

                if (!usable(f, x, i))
                        continue;
                x->endpoint = i;
                r = endpoint_try(q, x, i, more, e);
                if (r == 0 && (x->answer.status / 100 == 2 || !more))
                        return 0;
                if (!more)
                        return -1;
                mirror_failed(q, x, i, r == 0, e);
        }
        return err_set(e, ERR_UNSUPPORTED,
                       "nothing that is configured for '%s' can be asked for %s",
                       f->config.endpoints[last].host, x->what);
}

void exchange_clear(struct exchange *x)
{
        buf_done(&x->answer.body);
        x->answer = (struct answer){};
        if (x->flow) /* may be tried for as long as it makes progress */
                arena_done(&x->arena);
}

void exchange_done(struct exchange *x)
{
        buf_done(&x->answer.body);
        arena_done(&x->arena);
}

/* ---- errors ---- */

/* What to try after a refusal. */
static void refused_hint(const struct fetcher *f, const struct endpoint *p, int status,
                         struct err *e)
{
        const char *host = f->ref.host;

        if (status == 429)
                err_hint(e, "Log in with `berth login %s` for a higher limit, or use a mirror.",
                         host);
        else if ((status == 401 || status == 403) && p->credentials.kind == CREDENTIALS_NONE)
                err_hint(e, "Log in with `berth login %s`, or check the name.", host);
        else if (status == 401 || status == 403)
                err_hint(e, "The credentials of '%.60s' were refused: try `berth login %s` again.",
                         p->credentials.source ? p->credentials.source : "the command line", host);
}

static int refused_err(struct request *q, const struct exchange *x, size_t i, struct err *e)
{
        static const struct {
                int status;
                enum err_code code;
        } codes[] = { { 400, ERR_INVALID },   { 401, ERR_DENIED },      { 403, ERR_DENIED },
                      { 404, ERR_NOT_FOUND }, { 405, ERR_UNSUPPORTED }, { 413, ERR_LIMIT },
                      { 416, ERR_STATE },     { 429, ERR_LIMIT } };
        const struct endpoint *p = &q->f->config.endpoints[i];
        AUTO_ARENA a = {};
        const struct answer *answer = &x->answer;
        const char *code, *said = error_body(&a, buf_str(&answer->body), answer->body.len, &code);
        enum err_code kind = ERR_UNAVAILABLE;

        for (size_t k = 0; k < ARRAY_SIZE(codes); k++)
                if (codes[k].status == answer->status)
                        kind = codes[k].code;
        err_set(e, kind, "'%s' answered %s of %s with status %d%s%s", p->host,
                method_names[x->method], x->what, answer->status, said ? ": " : "",
                said ? said : "");
        refused_hint(q->f, p, answer->status, e);
        return -1;
}

int exchange_refused(struct request *q, const struct exchange *x, struct err *e)
{
        if (x->answer.status == 404 && (x->can & ENDPOINT_PUSH) == 0)
                err_set(e, ERR_NOT_FOUND, "%s does not exist in '%s'", x->what, q->f->repository);
        else
                refused_err(q, x, x->endpoint, e);
        return -1;
}
