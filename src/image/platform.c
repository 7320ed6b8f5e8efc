#include "image/platform.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/str.h"

/* Spellings of an architecture, by uname(2) and by people, as GOARCH and variant. NULL leaves the
 * variant that was given. */
static const struct {
        const char *name, *architecture, *variant;
} spellings[] = {
        { "x86_64", "amd64", NULL },
        { "x86-64", "amd64", NULL },
        { "i386", "386", NULL },
        { "i486", "386", NULL },
        { "i586", "386", NULL },
        { "i686", "386", NULL },
        { "x86", "386", NULL },
        { "aarch64", "arm64", NULL },
        { "armhf", "arm", "v7" },
        { "armel", "arm", "v6" },
        { "armv5l", "arm", "v5" },
        { "armv5tel", "arm", "v5" },
        { "armv5tejl", "arm", "v5" },
        { "armv6l", "arm", "v6" },
        { "armv7l", "arm", "v7" },
        { "armv8l", "arm", "v8" },
        { "loongarch64", "loong64", NULL },
        { "ppc64el", "ppc64le", NULL },
        { "mipsel", "mipsle", NULL },
        { "mips64el", "mips64le", NULL },
};

/* What an absent variant means. */
static const struct {
        const char *architecture, *variant;
} implied[] = { { "arm", "v7" }, { "arm64", "v8" }, { "amd64", "v1" } };

static const char *const systems[] = { "linux",   "windows", "darwin",  "freebsd",
                                       "netbsd",  "openbsd", "solaris", "illumos",
                                       "android", "wasip1",  "plan9",   "dragonfly" };

static const char *or_empty(const char *s)
{
        return s ? s : "";
}

static const char *implied_variant(const char *architecture)
{
        for (size_t i = 0; i < ARRAY_SIZE(implied); i++)
                if (str_eq(implied[i].architecture, architecture))
                        return implied[i].variant;
        return "";
}

/* "7" -> "v7"; others as they are. */
static const char *variant_spelling(const char *variant)
{
        static const char *const versions[] = {
                "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9"
        };

        return variant[0] >= '1' && variant[0] <= '9' && !variant[1] ? versions[variant[0] - '1']
                                                                     : variant;
}

/* One spelling for what means the same; the variant is always said where there is one. */
static struct platform normal(const struct platform *p)
{
        struct platform r = { or_empty(p->os), or_empty(p->architecture),
                              variant_spelling(or_empty(p->variant)), or_empty(p->os_version) };

        for (size_t i = 0; i < ARRAY_SIZE(spellings); i++)
                if (str_eq(spellings[i].name, r.architecture)) {
                        r.architecture = spellings[i].architecture;
                        if (spellings[i].variant && !*r.variant)
                                r.variant = spellings[i].variant;
                        break;
                }
        if (str_eq(r.os, "macos"))
                r.os = "darwin";
        if (!*r.variant)
                r.variant = implied_variant(r.architecture);
        return r;
}

static bool word_ok(const char *s, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (!isalnum((unsigned char)s[i]) && !strchr("_.-", s[i]))
                        return false;
        return n > 0 && n <= 64;
}

static const char *lower(struct arena *a, const char *s, size_t n)
{
        char *copy = arena_strndup(a, s, n);

        for (char *c = copy; *c; c++)
                *c = (char)tolower((unsigned char)*c);
        return copy;
}

int platform_parse(struct arena *a, const char *text, struct platform *ret, struct err *e)
{
        const char *parts[3] = { "", "", "" }, *at = text, *part;
        struct platform host, r;
        size_t n = 0, len;

        while (str_next(&at, '/', &part, &len)) {
                if (n == 3 || !word_ok(part, len))
                        goto bad;
                parts[n++] = lower(a, part, len);
        }
        platform_host(&host);
        r = (struct platform){ parts[0], parts[1], parts[2], "" };
        if (n == 1 && STR_INDEX(systems, parts[0]) < 0 && !str_eq(parts[0], "macos"))
                r = (struct platform){ "linux", parts[0], "", "" };
        else if (n == 1)
                r = (struct platform){ parts[0], host.architecture, host.variant, "" };
        *ret = normal(&r);
        return 0;
bad:
        err_set(e, ERR_INVALID, "\"%s\" is no platform", text);
        return err_hint(e, "A platform is OS/ARCHITECTURE[/VARIANT], such as linux/arm64.");
}

#ifdef __x86_64__
/* The levels of the x86-64 psABI: the features that tell each from the one before. */
static const char *host_level(void)
{
        __builtin_cpu_init();
        if (!__builtin_cpu_supports("ssse3") || !__builtin_cpu_supports("sse4.2") ||
            !__builtin_cpu_supports("popcnt"))
                return "v1";
        if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi") ||
            !__builtin_cpu_supports("bmi2") || !__builtin_cpu_supports("fma"))
                return "v2";
        if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
            !__builtin_cpu_supports("avx512cd") || !__builtin_cpu_supports("avx512dq") ||
            !__builtin_cpu_supports("avx512vl"))
                return "v3";
        return "v4";
}
#endif

void platform_host(struct platform *ret)
{
        struct utsname u = { 0 };
        struct platform p = { "linux", "", "", "" };

        uname(&u);
        p.architecture = u.machine;
        p = normal(&p);
        /* A machine that the table does not know has the kernel's name for it, which outlives u. */
        if (p.architecture == u.machine) {
                static const char *const known[] = { "riscv64", "s390x", "ppc64le", "ppc64",
                                                     "mips64",  "mips",  "sparc64" };
                int i = STR_INDEX(known, u.machine);

                p.architecture = i >= 0 ? known[i] : "unknown";
        }
#ifdef __x86_64__
        if (str_eq(p.architecture, "amd64"))
                p.variant = host_level();
#endif
        *ret = p;
}

/* "v3" -> 3; 0 for anything else. */
static int level_of(const char *variant)
{
        return variant[0] == 'v' && variant[1] >= '1' && variant[1] <= '9' && !variant[2]
                       ? variant[1] - '0'
                       : 0;
}

/* A processor runs what was made for lesser ones of its kind, and some those of its older kind. */
static int distance(const struct platform *want, const struct platform *have)
{
        int w = level_of(want->variant), h = level_of(have->variant);

        if (str_eq(want->architecture, have->architecture)) {
                if (str_eq(want->variant, have->variant))
                        return 0;
                return w && h && h < w ? w - h : -1;
        }
        if (str_eq(want->architecture, "arm64") && str_eq(have->architecture, "arm"))
                return h <= 8 ? 20 + 8 - h : -1;
        if (str_eq(want->architecture, "amd64") && str_eq(have->architecture, "386"))
                return 20;
        return -1;
}

int platform_match(const struct platform *want, const struct platform *have)
{
        struct platform w = normal(want), h = normal(have);

        if (!str_eq(w.os, h.os))
                return -1;
        if (*w.os_version && *h.os_version && !str_eq(w.os_version, h.os_version))
                return -1;
        return distance(&w, &h);
}

char *platform_str(struct arena *a, const struct platform *p)
{
        const char *variant = or_empty(p->variant);

        /* Every amd64 is at least v1, and every arm64 v8: nobody writes those. An arm is not. */
        if (!str_eq(or_empty(p->architecture), "arm") &&
            str_eq(variant, implied_variant(or_empty(p->architecture))))
                variant = "";
        return arena_printf(a, "%s/%s%s%s", or_empty(p->os), or_empty(p->architecture),
                            *variant ? "/" : "", variant);
}
