/* Where a repository is looked for, by each kind of file and by several at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "image/registry-config.h"
#include "image/test-scratch.h"

/* A directory in front of /etc and of $HOME, which is /home. */
struct place {
        struct scratch at;
        struct registry_options o;
};

static int setup(void **state)
{
        struct place *p = mem_alloc(sizeof *p);

        *p = (struct place){ .at = { .dir = "" } };
        if (scratch_open(&p->at) < 0)
                return -1;
        setenv("HOME", "/home", 1);
        setenv("XDG_RUNTIME_DIR", "/run/user", 1);
        p->o = (struct registry_options){ .root = p->at.dir, .tls_verify = -1 };
        *state = p;
        return 0;
}

static int teardown(void **state)
{
        struct place *p = *state;

        scratch_done(&p->at);
        free(p);
        return 0;
}

static const char *put(struct place *p, const char *name, const char *text)
{
        return scratch_put(&p->at, name, text, 0600);
}

static void describe(struct buf *b, const struct endpoint *ep)
{
        static const char *const schemes[] = { "https", "http", "https|http" };

        buf_printf(b, "%s://%s%s %s%s%s%s%s%s", schemes[ep->scheme], ep->host, ep->path,
                   ep->repository, ep->can & ENDPOINT_PULL ? " pull" : "",
                   ep->can & ENDPOINT_RESOLVE ? " resolve" : "",
                   ep->can & ENDPOINT_PUSH ? " push" : "", ep->mirror ? " mirror" : "",
                   ep->skip_verify ? " insecure" : "");
        if (ep->ns)
                buf_printf(b, " ns=%s", ep->ns);
        if (ep->nca || ep->nclients)
                buf_printf(b, " ca=%zu clients=%zu", ep->nca, ep->nclients);
        for (size_t i = 0; i < ep->headers.n; i++)
                buf_printf(b, " %s:%s", ep->headers.v[i].key, ep->headers.v[i].value);
        if (ep->credentials.kind != CREDENTIALS_NONE)
                buf_printf(b, " as %s", ep->credentials.user);
}

/* Each endpoint a line, or the error. */
static const char *found(struct place *p, const char *name)
{
        AUTO_BUF b = { 0 };
        struct err e = { 0 };
        struct reference ref;
        struct registry r;

        assert_int_equal(reference_parse(&p->at.a, name, &ref, &e), 0);
        if (registry_config(&p->at.a, &ref, &p->o, NULL, &r, &e) < 0)
                return arena_printf(&p->at.a, "error: %s", e.chain);
        for (size_t i = 0; i < r.n; i++) {
                buf_puts(&b, i ? "\n" : "");
                describe(&b, &r.endpoints[i]);
        }
        return arena_strdup(&p->at.a, buf_str(&b));
}

static void check(struct place *p, const char *name, const char *expected)
{
        const char *is = found(p, name);

        if (!str_eq(is, expected))
                fail_msg("%s:\n%s\nexpected:\n%s", name, is, expected);
}

static void check_error(struct place *p, const char *name, const char *part)
{
        const char *is = found(p, name);

        if (!str_after(is, "error: ") || !strstr(is, part))
                fail_msg("%s: %s\nexpected: %s", name, is, part);
}

#define ALL " pull resolve push"

static void test_defaults(void **state)
{
        struct place *p = *state;

        check(p, "docker.io/library/x", "https://registry-1.docker.io/v2 library/x" ALL);
        check(p, "h.io:80/a/b:t", "https://h.io:80/v2 a/b" ALL);
        check(p, "localhost:5000/a", "https|http://localhost:5000/v2 a" ALL " insecure");
        check(p, "127.0.0.9/a", "https|http://127.0.0.9/v2 a" ALL " insecure");
        check(p, "127.evil.io/a", "https://127.evil.io/v2 a" ALL);
        check(p, "localhost.io/a", "https://localhost.io/v2 a" ALL);
        p->o.tls_verify = 1;
        check(p, "localhost:5000/a", "https://localhost:5000/v2 a" ALL);
        p->o.tls_verify = 0;
        check(p, "h.io/a", "https|http://h.io/v2 a" ALL " insecure");
        p->o.tls_verify = -1;
        p->o.creds = "me:secret";
        check(p, "h.io/a", "https://h.io/v2 a" ALL " as me");
}

static void test_mirrors(void **state)
{
        struct place *p = *state;

        put(p, "etc/containers/registries.conf",
            "[[registry]]\nprefix='docker.io'\nlocation='docker.io'\n"
            "[[registry.mirror]]\nlocation='m1.io/hub'\n"
            "[[registry.mirror]]\nlocation='m2.io'\ninsecure=true\npull-from-mirror='tag-only'\n"
            "[[registry.mirror]]\nlocation='m3.io'\npull-from-mirror='digest-only'\n");
        p->o.creds = "me:secret";
        check(p, "docker.io/library/x:t",
              "https://m1.io/v2 hub/library/x pull resolve mirror\n"
              "https|http://m2.io/v2 library/x pull resolve mirror insecure\n"
              "https://registry-1.docker.io/v2 library/x" ALL " as me");
        check(p,
              "docker.io/library/x@sha256:"
              "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
              "https://m1.io/v2 hub/library/x pull resolve mirror\n"
              "https://m3.io/v2 library/x pull resolve mirror\n"
              "https://registry-1.docker.io/v2 library/x" ALL " as me");
        p->o.push = true;
        check(p, "docker.io/library/x", "https://registry-1.docker.io/v2 library/x" ALL " as me");
}

static void test_digest_only(void **state)
{
        struct place *p = *state;

        put(p, "etc/containers/registries.conf",
            "[[registry]]\nlocation='h.io'\nmirror-by-digest-only=true\n"
            "[[registry.mirror]]\nlocation='m.io'\n");
        check(p, "h.io/x:t", "https://h.io/v2 x" ALL);
        check(p, "h.io/x",
              "https://m.io/v2 x pull mirror\n"
              "https://h.io/v2 x" ALL);
}

static void test_prefixes(void **state)
{
        struct place *p = *state;

        put(p, "etc/containers/registries.conf",
            "[[registry]]\nprefix='h.io'\nlocation='one.io'\n"
            "[[registry]]\nprefix='h.io/ns'\nlocation='two.io/deep/'\n"
            "[[registry]]\nprefix='h.io/ns/bad'\nlocation='h.io'\nblocked=true\n"
            "[[registry]]\nprefix='*.wild.io'\ninsecure=true\n"
            "[[registry]]\nprefix='*.a.wild.io'\nlocation='three.io'\n"
            "[[registry]]\nlocation='plain.io:80'\ninsecure=true\n");
        check(p, "h.io/x", "https://one.io/v2 x" ALL);
        check(p, "h.io/nsx/y", "https://one.io/v2 nsx/y" ALL);
        check(p, "h.io/ns/y", "https://two.io/v2 deep/y" ALL);
        check_error(p, "h.io/ns/bad", "'h.io/ns/bad' is blocked by");
        check_error(p, "h.io/ns/bad/deep", "is blocked by");
        check(p, "hh.io/x", "https://hh.io/v2 x" ALL);
        check(p, "b.wild.io:1/x", "https|http://b.wild.io:1/v2 x" ALL " insecure");
        check(p, "b.a.wild.io/x", "https://three.io/v2 x" ALL);
        check(p, "wild.io/x", "https://wild.io/v2 x" ALL);
        check(p, "h.org/b.wild.io/x", "https://h.org/v2 b.wild.io/x" ALL);
        check(p, "plain.io:80/x", "https|http://plain.io:80/v2 x" ALL " insecure");
        p->o.tls_verify = 1;
        check(p, "plain.io:80/x", "https://plain.io:80/v2 x" ALL);
}

static void test_drop_ins(void **state)
{
        struct place *p = *state;

        put(p, "etc/containers/registries.conf", "[[registry]]\nlocation='h.io'\nblocked=true\n");
        check_error(p, "h.io/x", "blocked");
        put(p, "etc/containers/registries.conf.d/10.conf",
            "[[registry]]\nlocation='h.io'\ninsecure=true\n");
        put(p, "etc/containers/registries.conf.d/20.txt", "broken");
        check(p, "h.io/x", "https|http://h.io/v2 x" ALL " insecure");
        put(p, "etc/berth/registries.conf.d/05.conf",
            "[[registry]]\nprefix='h.io'\nlocation='b.io'\n");
        check(p, "h.io/x", "https://b.io/v2 x" ALL);
        put(p, "home/.config/containers/registries.conf.d/01.conf",
            "[[registry]]\nprefix='h.io'\nlocation='c.io'\n");
        check(p, "h.io/x", "https://c.io/v2 x" ALL);
        put(p, "home/.config/containers/registries.conf", "");
        check(p, "h.io/x", "https://c.io/v2 x" ALL);
        put(p, "home/.config/containers/registries.conf.d/01.conf", "");
        check(p, "h.io/x", "https://h.io/v2 x" ALL);
        p->o.registries_conf = put(p, "named.conf", "[[registry]]\nprefix='h.io'\nlocation='n.io'");
        check(p, "h.io/x", "https://b.io/v2 x" ALL);
        p->o.registries_conf = "/nowhere/registries.conf";
        check_error(p, "h.io/x", "cannot read '/nowhere/registries.conf'");
}

static void test_conf_errors(void **state)
{
        static const struct {
                const char *text, *part;
        } cases[] = {
                { "[[registry]]\nlocation = x", "line 2, column 12: no such value" },
                { "[[registry]]\n", "without prefix and location" },
                { "[[registry]]\nlocation='https://x'", "no scheme" },
                { "[[registry]]\nlocation='x.*.y'", "wildcard" },
                { "[[registry]]\nlocation=1", "'location' is no string" },
                { "[[registry]]\nlocation='x'\ninsecure='yes'", "'insecure' is no boolean" },
                { "[[registry]]\nlocation='x'\npull-from-mirror='all'", "belongs into" },
                { "[[registry]]\nlocation='x'\n[[registry]]\nprefix='x'", "two [[registry]]" },
                { "[[registry]]\nlocation='x'\n[[registry.mirror]]", "without 'location'" },
                { "[[registry]]\nlocation='x'\n[[registry.mirror]]\nlocation='y'\n"
                  "pull-from-mirror='never'",
                  "all, digest-only or tag-only" },
                { "[[registry]]\nlocation='x'\nmirror-by-digest-only=true\n[[registry.mirror]]\n"
                  "location='y'\npull-from-mirror='all'",
                  "contradict" },
                { "[registries.search]\nregistries=['x']", "version 1" },
                { "unqualified-search-registries=[1]", "no array of strings" },
                { "short-name-mode='maybe'", "can't be 'maybe'" },
                { "[registry]\nlocation='x'", "[[registry]]" },
                { "[aliases]\nx=1", "no string as alias 'x'" },
        };
        struct place *p = *state;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                put(p, "etc/containers/registries.conf", cases[i].text);
                check_error(p, "h.io/x", cases[i].part);
        }
}

static void test_hosts(void **state)
{
        struct place *p = *state;

        put(p, "etc/containerd/certs.d/docker.io/hosts.toml",
            "server = 'https://registry-1.docker.io'\n"
            "[host.'https://m.io:5000']\ncapabilities=['pull']\nskip_verify=true\n"
            "[host.'http://n.io/proxy/']\n[host.'http://n.io/proxy/'.header]\nx-a=['1','2']\nx-b="
            "'3'\n"
            "[host.'https://o.io/hub']\noverride_path=true\n"
            "[host.'https://p.io/v2/hub/v2']\n");
        check(p, "docker.io/library/x",
              "https://m.io:5000/v2 library/x pull mirror insecure ns=docker.io\n"
              "http://n.io/proxy/v2 library/x" ALL " mirror ns=docker.io x-a:1 x-a:2 x-b:3\n"
              "https://o.io/hub library/x" ALL " mirror ns=docker.io\n"
              "https://p.io/v2/hub/v2 library/x" ALL " mirror ns=docker.io\n"
              "https://registry-1.docker.io/v2 library/x" ALL);
        p->o.push = true;
        check(p, "docker.io/library/x",
              "http://n.io/proxy/v2 library/x" ALL " ns=docker.io "
              "x-a:1 x-a:2 x-b:3");
}

static void test_hosts_names(void **state)
{
        struct place *p = *state;

        put(p, "etc/containerd/certs.d/_default/hosts.toml", "[host.'https://any.io']\n");
        check(p, "h.io/x",
              "https://any.io/v2 x" ALL " mirror ns=h.io\n"
              "https://h.io/v2 x" ALL);
        put(p, "etc/containerd/certs.d/h.io:80/hosts.toml", "server='colon.io'\n");
        check(p, "h.io:80/x", "https://colon.io/v2 x" ALL " ns=h.io:80");
        put(p, "etc/containerd/certs.d/h.io_80_/hosts.toml", "server='port.io'\n");
        check(p, "h.io:80/x", "https://port.io/v2 x" ALL " ns=h.io:80");
        put(p, "etc/berth/certs.d/h.io:80/hosts.toml", "capabilities=['pull']\nskip_verify=true");
        check(p, "h.io:80/x", "https://h.io:80/v2 x pull insecure");
        p->o.push = true;
        check_error(p, "h.io:80/x", "takes pushes");
        p->o.push = false;
        put(p, "etc/containers/registries.conf", "[[registry]]\nlocation='h.io:80'\n");
        check(p, "h.io:80/x", "https://h.io:80/v2 x" ALL);
}

static void test_hosts_errors(void **state)
{
        static const struct {
                const char *text, *part;
        } cases[] = {
                { "[host.'ftp://x']", "no address" },
                { "[host.'https://u:p@x']", "no address" },
                { "server='https:///v2'", "no address" },
                { "capabilities=['fly']", "capability 'fly'" },
                { "ca='missing.pem'", "missing.pem'" },
                { "ca='hosts.toml'", "is no PEM file" },
                { "client=[['a','b','c']]", "pairs of files" },
                { "[header]\n'x y'='1'", "header 'x y'" },
                { "[header]\nx=\"a\\nb\"", "header 'x'" },
                { "host=1", "'host' is no table" },
                { "skip_verify=1", "'skip_verify' is no boolean" },
        };
        struct place *p = *state;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                put(p, "etc/berth/certs.d/h.io/hosts.toml", cases[i].text);
                check_error(p, "h.io/x", cases[i].part);
        }
}

#define PEM "-----BEGIN X-----\n"

static void test_certificates(void **state)
{
        struct place *p = *state;

        put(p, "etc/docker/certs.d/h.io:80/a.crt", PEM);
        put(p, "etc/docker/certs.d/h.io:80/b.crt", PEM);
        put(p, "etc/docker/certs.d/h.io:80/c.cert", PEM);
        put(p, "etc/docker/certs.d/h.io:80/c.key", PEM);
        put(p, "etc/docker/certs.d/h.io:80/README", "x");
        check(p, "h.io:80/x", "https://h.io:80/v2 x" ALL " ca=2 clients=1");
        check(p, "h.io/x", "https://h.io/v2 x" ALL);
        put(p, "etc/containers/certs.d/h.io:80/a.crt", PEM);
        check(p, "h.io:80/x", "https://h.io:80/v2 x" ALL " ca=1 clients=0");
        put(p, "home/.config/containers/certs.d/h.io:80/c.cert", PEM);
        check_error(p, "h.io:80/x", "needs its key");
        put(p, "home/.config/containers/certs.d/h.io:80/c.key", PEM);
        check(p, "h.io:80/x", "https://h.io:80/v2 x" ALL " ca=0 clients=1");
        put(p, "home/.config/containers/certs.d/h.io:80/d.key", PEM);
        check_error(p, "h.io:80/x", "no 'd.cert' beside it");
        put(p, "named/a.crt", PEM);
        p->o.cert_dir = arena_printf(&p->at.a, "%s/named", p->at.dir);
        check(p, "h.io:80/x", "https://h.io:80/v2 x" ALL " ca=1 clients=0");
        check(p, "localhost/x", "https|http://localhost/v2 x" ALL " ca=1 clients=0");
        p->o.cert_dir = "/nowhere";
        check_error(p, "h.io:80/x", "'/nowhere'");
        p->o.cert_dir = NULL;
        put(p, "etc/berth/certs.d/t.io/both.pem", PEM);
        put(p, "etc/berth/certs.d/t.io/hosts.toml", "ca=['both.pem']\nclient='both.pem'");
        check(p, "t.io/x", "https://t.io/v2 x" ALL " ca=1 clients=1");
}

static void test_credentials(void **state)
{
        struct place *p = *state;

        put(p, "etc/containers/registries.conf",
            "[[registry]]\nlocation='docker.io'\n[[registry.mirror]]\nlocation='m.io/hub'\n");
        put(p, "run/user/containers/auth.json",
            "{\"auths\":{\"docker.io/library\":{\"auth\":\"dXA6MQ==\"},\"m.io/hub\":{\"auth\":"
            "\"bWk6MQ==\"}}}");
        check(p, "docker.io/library/x",
              "https://m.io/v2 hub/library/x pull resolve mirror as mi\n"
              "https://registry-1.docker.io/v2 library/x" ALL " as up");
        p->o.creds = "cli:1";
        check(p, "docker.io/library/x",
              "https://m.io/v2 hub/library/x pull resolve mirror as mi\n"
              "https://registry-1.docker.io/v2 library/x" ALL " as cli");
        p->o.creds = "cli";
        check_error(p, "docker.io/library/x", "USER:PASSWORD");
}

static const char *short_name(struct place *p, const char *text)
{
        AUTO_BUF b = { 0 };
        struct err e = { 0 };
        struct reference ref;
        struct short_name n;

        assert_int_equal(reference_parse(&p->at.a, text, &ref, &e), 0);
        assert_null(ref.host);
        if (registry_short_name(&p->at.a, &ref, &p->o, &n, &e) < 0)
                return arena_printf(&p->at.a, "error: %s", e.chain);
        for (size_t i = 0; i < n.n; i++)
                buf_printf(&b, "%s ", reference_str(&p->at.a, &n.candidates[i]));
        buf_printf(&b, "%d%s", (int)n.mode, n.alias ? " alias" : "");
        return arena_strdup(&p->at.a, buf_str(&b));
}

static void test_short_names(void **state)
{
        struct place *p = *state;

        assert_string_equal(short_name(p, "x:t"), "docker.io/library/x:t 1");
        put(p, "etc/containers/registries.conf",
            "unqualified-search-registries=['a.io','docker.io']\nshort-name-mode='enforcing'");
        put(p, "etc/containers/registries.conf.d/1.conf",
            "[aliases]\nx='q.io/ns/x'\ny='q.io/y'\nz='nohost'");
        put(p, "etc/containers/registries.conf.d/2.conf", "[aliases]\ny=''\n");
        assert_string_equal(short_name(p, "x:t"), "q.io/ns/x:t 0 alias");
        assert_string_equal(short_name(p, "y"), "a.io/y docker.io/library/y 0");
        assert_non_null(strstr(short_name(p, "z"), "names no registry"));
        put(p, "etc/containers/registries.conf.d/3.conf", "short-name-mode='disabled'\n");
        assert_string_equal(short_name(p, "x:t"), "a.io/x:t docker.io/library/x:t 2");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                CASE(test_defaults),     CASE(test_mirrors),     CASE(test_digest_only),
                CASE(test_prefixes),     CASE(test_drop_ins),    CASE(test_conf_errors),
                CASE(test_hosts),        CASE(test_hosts_names), CASE(test_hosts_errors),
                CASE(test_certificates), CASE(test_credentials), CASE(test_short_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
