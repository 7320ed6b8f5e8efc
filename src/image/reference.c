#include "image/reference.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "codec/hash.h"

#define NAME_MAX_BYTES 255 /* host and path together, as every peer has it */
#define TAG_MAX_BYTES 128

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* path-component ::= alphanumeric (separator alphanumeric)*, separator ::= [_.] | "__" | "-"+ */
static bool component_ok(const char *s, size_t n)
{
        size_t at = 0;

        for (;;) {
                size_t word = 0, gap = 0;

                while (at + word < n && strchr(LOWER DIGITS, s[at + word]))
                        word++;
                if (word == 0)
                        return false;
                at += word;
                if (at == n)
                        return true;
                while (at + gap < n && strchr("_.-", s[at + gap]))
                        gap++;
                if (gap == 0)
                        return false;
                for (size_t i = 1; i < gap; i++)
                        if (s[at + i] != s[at])
                                return false;
                if ((s[at] == '.' && gap > 1) || (s[at] == '_' && gap > 2))
                        return false;
                at += gap;
        }
}

static bool path_ok(const char *path)
{
        const char *at = path, *part;
        size_t n;

        while (str_next(&at, '/', &part, &n))
                if (!component_ok(part, n))
                        return false;
        return true;
}

static bool label_ok(const char *s, size_t n)
{
        if (n == 0 || s[0] == '-' || s[n - 1] == '-')
                return false;
        for (size_t i = 0; i < n; i++)
                if (!strchr(LOWER UPPER DIGITS "-", s[i]))
                        return false;
        return true;
}

/* An IPv6 address in brackets; its own grammar is the resolver's business. */
static size_t bracketed(const char *host)
{
        size_t n = host[0] == '[' ? 1 + strspn(host + 1, "0123456789abcdefABCDEF:.") : 0;

        return n > 1 && host[n] == ']' ? n + 1 : 0;
}

static bool host_ok(const char *host)
{
        size_t n = bracketed(host);
        const char *port;

        if (n == 0) {
                n = strcspn(host, ":");
                for (size_t at = 0, len; at <= n; at += len + 1) {
                        const char *dot = memchr(host + at, '.', n - at);

                        len = dot ? (size_t)(dot - host) - at : n - at;
                        if (!label_ok(host + at, len))
                                return false;
                }
        }
        if (!host[n])
                return true;
        port = host + n + 1;
        return host[n] == ':' && *port && strlen(port) <= 5 && !port[strspn(port, DIGITS)];
}

bool reference_tag_ok(const char *tag)
{
        size_t n = strlen(tag);

        return n > 0 && n <= TAG_MAX_BYTES && !strchr(".-", tag[0]) &&
               strspn(tag, LOWER UPPER DIGITS "_.-") == n;
}

/* Whether what stands before the first slash is a host, by docker's rule: no path component can
 * hold these characters, or it is `localhost`. */
static bool looks_like_host(const char *s, size_t n)
{
        if (n == strlen("localhost") && memcmp(s, "localhost", n) == 0)
                return true;
        for (size_t i = 0; i < n; i++)
                if (strchr(".:[" UPPER, s[i]))
                        return true;
        return false;
}

static int refuse_path(const struct reference *r, const char *text, struct err *e)
{
        err_set(e, ERR_INVALID, "\"%s\" is no name of an image", text);
        if (strpbrk(r->path, UPPER))
                return err_hint(e, "Write the repository in lower case.");
        return err_hint(e, "A name is [HOST[:PORT]/]PATH[:TAG][@DIGEST], its path of lower-case "
                           "letters, digits, and single '.', '_', '-' between them.");
}

/* sha256 and no more could be a repository, or an image ID; peers refuse it too. */
static bool only_hex(const char *path)
{
        return strlen(path) == 64 && strspn(path, DIGITS "abcdef") == 64;
}

/* Of a short name: what it becomes in docker's hub. */
static size_t full_length(const struct reference *r)
{
        const char *host = r->host ? r->host : "docker.io";
        bool official = strstr(host, "docker.io") && !strchr(r->path, '/');

        return strlen(host) + 1 + (official ? strlen("library/") : 0) + strlen(r->path);
}

static int check(const struct reference *r, const char *text, struct err *e)
{
        if (r->host && !host_ok(r->host)) {
                err_set(e, ERR_INVALID, "\"%s\": \"%s\" is no host", text, r->host);
                return err_hint(e, "A host is a name or an address, with a port after a colon.");
        }
        if (!path_ok(r->path))
                return refuse_path(r, text, e);
        if (full_length(r) > NAME_MAX_BYTES)
                return err_set(e, ERR_INVALID, "the name \"%.40s...\" is longer than %d bytes",
                               text, NAME_MAX_BYTES);
        if (!r->host && only_hex(r->path))
                return err_set(e, ERR_INVALID, "\"%s\" is an image ID, not a name", text);
        if (r->tag && !reference_tag_ok(r->tag)) {
                err_set(e, ERR_INVALID, "\"%s\": \"%.130s\" is no tag", text, r->tag);
                return err_hint(e, "A tag has up to 128 letters, digits, '_', '.' and '-', and "
                                   "begins with a letter, a digit or '_'.");
        }
        return 0;
}

static int check_digest(const struct reference *r, const char *text, struct err *e)
{
        int rc = r->digest ? digest_check(r->digest, NULL) : 0;

        if (rc == -EOPNOTSUPP)
                return err_set(e, ERR_UNSUPPORTED,
                               "\"%s\": digests of this algorithm are not supported", text);
        if (rc < 0) {
                err_set(e, ERR_INVALID, "\"%s\": \"%.140s\" is no digest", text, r->digest);
                return err_hint(e, "A digest is sha256: and 64 lower-case hex digits.");
        }
        return 0;
}

/* docker's hub has three spellings, and images of its own without a namespace. */
static void normalise_hub(struct arena *a, struct reference *r)
{
        if (!r->host || (!str_eq(r->host, "docker.io") && !str_eq(r->host, "index.docker.io")))
                return;
        r->host = "docker.io";
        if (!strchr(r->path, '/'))
                r->path = arena_printf(a, "library/%s", r->path);
}

int reference_parse(struct arena *a, const char *text, struct reference *ret, struct err *e)
{
        struct reference r = { 0 };
        char *rest, *at, *slash, *colon;

        if (strlen(text) > 2 * NAME_MAX_BYTES + TAG_MAX_BYTES + DIGEST_CAP)
                return err_set(e, ERR_INVALID, "the name \"%.40s...\" is too long", text);
        rest = arena_strdup(a, text);
        if ((at = strchr(rest, '@'))) {
                *at = 0;
                r.digest = at + 1;
        }
        slash = strrchr(rest, '/');
        if ((colon = strrchr(slash ? slash : rest, ':'))) {
                *colon = 0;
                r.tag = colon + 1;
        }
        if ((slash = strchr(rest, '/')) && looks_like_host(rest, (size_t)(slash - rest))) {
                *slash = 0;
                r.host = rest;
                rest = slash + 1;
        }
        r.path = rest;
        if (check(&r, text, e) < 0 || check_digest(&r, text, e) < 0)
                return -1;
        normalise_hub(a, &r);
        *ret = r;
        return 0;
}

void reference_default(struct arena *a, struct reference *r)
{
        if (!r->host) {
                r->host = "docker.io";
                normalise_hub(a, r);
        }
        if (!r->tag && !r->digest)
                r->tag = "latest";
}

static char *with_suffix(struct arena *a, const char *name, const struct reference *r)
{
        return arena_printf(a, "%s%s%s%s%s", name, r->tag ? ":" : "", r->tag ? r->tag : "",
                            r->digest ? "@" : "", r->digest ? r->digest : "");
}

char *reference_repository(struct arena *a, const struct reference *r)
{
        return arena_printf(a, "%s%s%s", r->host ? r->host : "", r->host ? "/" : "", r->path);
}

char *reference_str(struct arena *a, const struct reference *r)
{
        return with_suffix(a, reference_repository(a, r), r);
}

/* Whether a path reads as docker's hub's when no host stands before it. */
static bool stands_alone(const char *path)
{
        const char *slash = strchr(path, '/');

        return !only_hex(path) && !(slash && looks_like_host(path, (size_t)(slash - path)));
}

char *reference_familiar(struct arena *a, const struct reference *r)
{
        const char *official = str_after(r->path, "library/");
        const char *path = official && !strchr(official, '/') ? official : r->path;

        if (!r->host || !str_eq(r->host, "docker.io") || !stands_alone(path))
                return reference_str(a, r);
        return with_suffix(a, path, r);
}

int reference_parse_name(struct arena *a, const char *text, const char **ret, struct err *e)
{
        struct reference r;

        if (reference_parse(a, text, &r, e) < 0)
                return -1;
        if (r.digest)
                return err_set(e, ERR_INVALID, "\"%s\": a name is chosen, a digest is not", text);
        reference_default(a, &r);
        *ret = reference_str(a, &r);
        return 0;
}
