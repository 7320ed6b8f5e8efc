/* Which kernel parameters a container may set: those that one of its own namespaces holds. The rest
 * would change the host. */
#include "base/macro.h"
#include "base/str.h"
#include "oci/spec-check.h"
#include "oci/spec-decode.h"

/* A key ending in a slash stands for all below it. Paths below /proc/sys. */
static const struct sysctl_rule {
        const char *path;
        enum spec_ns ns;
} rules[] = {
        { "kernel/msgmax", NS_IPC },     { "kernel/msgmnb", NS_IPC },
        { "kernel/msgmni", NS_IPC },     { "kernel/sem", NS_IPC },
        { "kernel/shmall", NS_IPC },     { "kernel/shmmax", NS_IPC },
        { "kernel/shmmni", NS_IPC },     { "kernel/shm_rmid_forced", NS_IPC },
        { "fs/mqueue/", NS_IPC },        { "net/", NS_NET },
        { "kernel/domainname", NS_UTS }, { "user/", NS_USER },
};

/* sysctl.d(5): where the first separator is a slash, slashes separate and dots belong to names. */
bool spec_sysctl_path(const char *key, char *buf, size_t cap)
{
        size_t first = strcspn(key, "./"), n = strlen(key);
        bool slashes = key[first] == '/';

        if (n >= cap || n == 0)
                return false;
        for (size_t i = 0; i <= n; i++)
                buf[i] = !slashes && key[i] == '.' ? '/' : !slashes && key[i] == '/' ? '.' : key[i];
        return true;
}

/* No component may be empty, "." or "..": it would lead out of the directory that was checked. */
static bool path_ok(const char *path)
{
        const char *part;
        size_t n;

        while (str_next(&path, '/', &part, &n))
                if (n == 0 || (n == 1 && part[0] == '.') ||
                    (n == 2 && part[0] == '.' && part[1] == '.'))
                        return false;
        return true;
}

static const struct sysctl_rule *find_rule(const char *path)
{
        for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
                if (str_ends(rules[i].path, "/") ? str_after(path, rules[i].path) != NULL
                                                 : str_eq(path, rules[i].path))
                        return &rules[i];
        return NULL;
}

static int check_one(const struct spec *s, const char *key, struct err *e)
{
        const struct sysctl_rule *rule;
        char path[256];

        if (!spec_sysctl_path(key, path, sizeof path) || !path_ok(path))
                return err_set(e, ERR_INVALID, "linux.sysctl[%s]: not the name of a parameter",
                               spec_quote(key).s);
        if (str_eq(path, "kernel/hostname"))
                return err_set(e, ERR_INVALID,
                               "linux.sysctl[%s]: conflicts with the \"hostname\" field",
                               spec_quote(key).s);
        rule = find_rule(path);
        if (!rule)
                return err_set(e, ERR_INVALID,
                               "linux.sysctl[%s]: is not in a separate kernel namespace",
                               spec_quote(key).s);
        if (!s->linux_.namespaces[rule->ns].present)
                return err_set(e, ERR_INVALID,
                               "linux.sysctl[%s]: not allowed in the host's %s namespace",
                               spec_quote(key).s, spec_ns_names[rule->ns]);
        return 0;
}

int spec_check_sysctl(const struct spec *s, struct err *e)
{
        for (size_t i = 0; i < s->linux_.sysctl.n; i++)
                if (check_one(s, s->linux_.sysctl.v[i].key, e) < 0)
                        return -1;
        return 0;
}
