/* What a registry says about a failure, and about its limits. */
#include <errno.h>
#include <stdio.h>

#include "base/str.h"
#include "image/registry-internal.h"

static const struct json_limits error_limits = { .bytes = ERROR_BODY_MAX,
                                                 .depth = 16,
                                                 .memory = 1u << 20 };

/* ---- no answer ---- */

static const char *aborted_why(const struct transfer *t, char *buf, size_t cap)
{
        const struct flow *flow = t->x->flow;

        switch (t->aborted) {
        case ABORT_TOO_LARGE:
                snprintf(buf, cap, "%s is larger than %zu bytes", t->x->what,
                         t->x->limit ? t->x->limit : ERROR_BODY_MAX);
                return buf;
        case ABORT_FIELDS:
                return "its header is too large";
        case ABORT_SOURCE:
                return "what is to be sent could not be read to its end";
        case ABORT_FLOW:
                switch (flow->state) {
                case FLOW_TOO_LONG:
                        snprintf(buf, cap, "%s has more bytes than its descriptor says (%llu)",
                                 t->x->what, (unsigned long long)flow->size);
                        return buf;
                case FLOW_BAD_RANGE:
                        return "another part than the one asked for was sent";
                default:
                        snprintf(buf, cap, "cannot write to the pipe: %s", strerror(flow->error));
                        return buf;
                }
        default:
                return *t->text ? t->text : curl_easy_strerror(t->result);
        }
}

static int untrusted(const struct transfer *t, const struct fetcher *f, const char *host,
                     struct err *e)
{
        err_set(e, ERR_DENIED, "the certificate of '%s' cannot be trusted: %s", host, t->text);
        return err_hint(e,
                        "Put its CA into /etc/berth/certs.d/%.60s/ca.crt, or use "
                        "--tls-verify=false.",
                        f->ref.host);
}

static int no_handshake(const struct transfer *t, const char *host, struct err *e)
{
        if (strstr(t->text, "wrong version number")) {
                err_set(e, ERR_UNAVAILABLE, "'%s' does not speak TLS", host);
                return err_hint(e, "Use --tls-verify=false for a registry that speaks plain HTTP.");
        }
        return err_set(e, ERR_UNAVAILABLE, "no TLS connection to '%s' could be made: %s", host,
                       t->text);
}

int transfer_fail(const struct transfer *t, const struct hop *hop, struct err *e)
{
        const struct fetcher *f = t->q->f;
        char host[300], text[300];
        struct origin o;

        if (url_origin(hop->url, &o) < 0)
                snprintf(host, sizeof host, "%s", hop->endpoint->host);
        else
                snprintf(host, sizeof host, "%s:%s", o.host, o.port);
        switch ((int)t->result) {
        case CURLE_COULDNT_RESOLVE_HOST:
                err_set(e, ERR_UNAVAILABLE, "the name '%s' cannot be resolved", o.host);
                return err_hint(e, "Check the registry's name and /etc/resolv.conf.");
        case CURLE_COULDNT_CONNECT:
                return err_set(e, ERR_UNAVAILABLE, "cannot connect to '%s': %s", host,
                               t->os_error ? strerror(t->os_error) : t->text);
        case CURLE_OPERATION_TIMEDOUT:
                return err_set(e, ERR_UNAVAILABLE, "'%s' did not answer in time: %s", host,
                               t->text);
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_ISSUER_ERROR:
                return untrusted(t, f, host, e);
        case CURLE_SSL_CONNECT_ERROR:
                return no_handshake(t, host, e);
        case CURLE_SSL_CERTPROBLEM:
                return err_set(e, ERR_INVALID, "the client certificate for '%s' cannot be used: %s",
                               host, t->text);
        default:
                if (t->aborted == ABORT_FLOW && t->x->flow->state == FLOW_CLOSED)
                        return err_sys(e, EPIPE, "nobody reads %s any more", t->x->what);
                return err_set(e,
                               t->aborted == ABORT_TOO_LARGE || t->aborted == ABORT_FLOW
                                       ? ERR_INVALID
                                       : ERR_UNAVAILABLE,
                               "%s from '%s' failed: %s", t->x->what, host,
                               aborted_why(t, text, sizeof text));
        }
}

/* ---- an answer that says no ---- */

/* A string where it may be nested, as some registries do ({"detail":{"message":..}}). */
static const char *word(const struct json *j, const char *name)
{
        const char *s = json_str(json_get(j, name), "");

        return *s ? s : NULL;
}

const char *error_body(struct arena *a, const char *body, size_t n, const char **ret_code)
{
        struct json j;
        const struct json *errors, *first = NULL;
        const char *code, *message;

        *ret_code = "";
        if (n == 0 || json_parse(a, body, n, &error_limits, &j, NULL) < 0)
                return NULL;
        errors = json_get(&j, "errors");
        if (errors && errors->type == JSON_ARRAY && errors->n > 0)
                first = &errors->items[0];
        else
                first = &j; /* {"code","message"} and {"details"}: token servers */
        code = word(first, "code");
        message = word(first, "message");
        if (!message)
                message = word(first, "details");
        if (!message)
                message = word(first, "error_description");
        if (!message)
                message = word(first, "error");
        *ret_code = code ? text_clean(a, code, strlen(code), 40) : "";
        if (!message)
                return code ? *ret_code : NULL;
        return text_clean(a, message, strlen(message), 200);
}

static void put_span(uint64_t s, char *buf, size_t cap)
{
        if (s % 3600 == 0)
                snprintf(buf, cap, "%llu h", (unsigned long long)s / 3600);
        else if (s % 60 == 0)
                snprintf(buf, cap, "%llu min", (unsigned long long)s / 60);
        else
                snprintf(buf, cap, "%llu s", (unsigned long long)s);
}

bool rate_text(const char *limit, const char *remaining, char *buf, size_t cap)
{
        struct http_rate l, r;
        char span[40];

        if (http_rate(limit, &l) < 0 || http_rate(remaining, &r) < 0)
                return false;
        if (l.window == 0)
                l.window = r.window;
        if (l.window == 0)
                return snprintf(buf, cap, "%llu of %llu pulls left", (unsigned long long)r.count,
                                (unsigned long long)l.count) < (int)cap;
        put_span(l.window, span, sizeof span);
        return snprintf(buf, cap, "%llu of %llu pulls left in %s", (unsigned long long)r.count,
                        (unsigned long long)l.count, span) < (int)cap;
}
