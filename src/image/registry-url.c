/* URLs and words that come from strangers. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "base/str.h"
#include "image/registry-internal.h"

/* What curl_url_get() allocates. */
static void curl_text_free(char **s)
{
        curl_free(*s);
}
#define AUTO_CURL_TEXT __attribute__((cleanup(curl_text_free))) char *
static void curl_url_free(CURLU **u)
{
        curl_url_cleanup(*u);
}
#define AUTO_CURLU __attribute__((cleanup(curl_url_free))) CURLU *

static CURLUcode resolve(CURLU *u, const char *base, const char *reference, char **ret)
{
        unsigned flags = CURLU_URLENCODE | CURLU_ALLOW_SPACE;
        CURLUcode r = base ? curl_url_set(u, CURLUPART_URL, base, 0) : CURLUE_OK;
        AUTO_CURL_TEXT scheme = NULL;

        if (r == CURLUE_OK)
                r = curl_url_set(u, CURLUPART_URL, reference, flags);
        if (r == CURLUE_OK)
                r = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0);
        if (r == CURLUE_OK && !str_eq(scheme, "http") && !str_eq(scheme, "https"))
                r = CURLUE_UNSUPPORTED_SCHEME;
        if (r == CURLUE_OK)
                r = curl_url_set(u, CURLUPART_USER, NULL, 0);
        if (r == CURLUE_OK)
                r = curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
        if (r == CURLUE_OK)
                r = curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
        return r == CURLUE_OK ? curl_url_get(u, CURLUPART_URL, ret, 0) : r;
}

int url_resolve(struct arena *a, const char *base, const char *reference, const char **ret,
                struct err *e)
{
        AUTO_CURLU u = curl_url();
        AUTO_CURL_TEXT url = NULL;
        CURLUcode r = resolve(u, base, reference, &url);

        if (r != CURLUE_OK)
                return err_set(e, ERR_INVALID, "'%s' is no URL that can be followed: %s",
                               text_clean(a, reference, strlen(reference), 120),
                               r == CURLUE_UNSUPPORTED_SCHEME ? "neither http nor https"
                                                              : curl_url_strerror(r));
        *ret = arena_strdup(a, url);
        return 0;
}

static bool part(CURLU *u, CURLUPart which, unsigned flags, char *buf, size_t cap)
{
        AUTO_CURL_TEXT text = NULL;

        return curl_url_get(u, which, &text, flags) == CURLUE_OK &&
               snprintf(buf, cap, "%s", text) < (int)cap;
}

int url_origin(const char *url, struct origin *ret)
{
        AUTO_CURLU u = curl_url();

        if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
            !part(u, CURLUPART_SCHEME, 0, ret->scheme, sizeof ret->scheme) ||
            !part(u, CURLUPART_HOST, 0, ret->host, sizeof ret->host) ||
            !part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT, ret->port, sizeof ret->port))
                return -1;
        return 0;
}

bool origin_equal(const struct origin *a, const struct origin *b)
{
        return str_eq(a->scheme, b->scheme) && strcasecmp(a->host, b->host) == 0 &&
               str_eq(a->port, b->port);
}

bool host_is_loopback(const char *host)
{
        char name[256];
        struct in_addr v4;
        struct in6_addr v6;
        const char *colon = strrchr(host, ':');
        size_t n = strlen(host);

        if (*host == '[') {
                host++;
                n = strcspn(host, "]");
        } else if (colon && strchr(host, ':') == colon) {
                n = (size_t)(colon - host);
        }
        if (n >= sizeof name)
                return false;
        memcpy(name, host, n);
        name[n] = 0;
        if (strcasecmp(name, "localhost") == 0)
                return true;
        if (inet_pton(AF_INET, name, &v4) == 1)
                return ntohl(v4.s_addr) >> 24 == 127;
        return inet_pton(AF_INET6, name, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

void url_add_query(struct buf *b, const char *name, const char *value)
{
        char *escaped = curl_easy_escape(NULL, value, 0);

        buf_printf(b, "%c%s=%s", strchr(buf_str(b), '?') ? '&' : '?', name, escaped ? escaped : "");
        curl_free(escaped);
}

char *text_clean(struct arena *a, const char *s, size_t n, size_t max)
{
        char *out = arena_alloc(a, MIN(n, max) + 4);
        size_t len = MIN(n, max);

        for (size_t i = 0; i < len; i++) {
                unsigned char c = (unsigned char)s[i];

                out[i] = c < 0x20 || c == 0x7f || c >= 0x80 ? '?' : (char)c;
                if (c == '\n' || c == '\t' || c == '\r')
                        out[i] = ' ';
        }
        if (n > max)
                memcpy(out + len, "...", 4);
        return out;
}
