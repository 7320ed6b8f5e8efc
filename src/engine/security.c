#include "engine/security.h"

#include <fnmatch.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "engine/seccomp-default.h"
#include "engine/settings.h"
#include "kernel/caps.h"

#define BIT(cap) (1ull << (cap))

/* podman's default set. docker's has MKNOD, NET_RAW and AUDIT_WRITE besides, for which a container
 * has no use. */
#define DEFAULT_CAPS                                                                               \
        (BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_FSETID) |              \
         BIT(CAP_KILL) | BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SETFCAP) | BIT(CAP_SETGID) |          \
         BIT(CAP_SETPCAP) | BIT(CAP_SETUID) | BIT(CAP_SYS_CHROOT))

static const char *const masked[] = {
        "/proc/acpi",
        "/proc/asound",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
};
static const char *const readonly[] = {
        "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

/* ---- capabilities ---- */

static int parse_caps(const char *option, const struct strings *list, uint64_t *ret, bool *ret_all,
                      struct err *e)
{
        for (size_t i = 0; i < list->n; i++) {
                const char *text = list->v[i], *one;
                size_t len;

                while (str_next(&text, ',', &one, &len)) {
                        char name[64];
                        int n;

                        snprintf(name, sizeof name, "%s%.*s",
                                 strncasecmp(one, "CAP_", 4) == 0 ? "" : "CAP_", (int)len, one);
                        for (char *c = name; *c; c++)
                                *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 0x20 : *c);
                        n = caps_number(name);
                        if (str_eq(name, "CAP_ALL"))
                                *ret_all = true;
                        else if (n < 0)
                                return err_set(e, ERR_INVALID, "--%s: \"%.*s\" is no capability",
                                               option, (int)len, one);
                        else
                                *ret |= BIT(n);
                }
        }
        return 0;
}

static int take_caps(const struct sandbox *s, struct security *c, struct err *e)
{
        uint64_t add = 0, drop = 0;
        bool add_all = s->privileged, drop_all = false;

        if (parse_caps("cap-add", &s->cap_add, &add, &add_all, e) < 0 ||
            parse_caps("cap-drop", &s->cap_drop, &drop, &drop_all, e) < 0)
                return -1;
        if (add & drop)
                return err_set(e, ERR_INVALID, "%s is both added and dropped",
                               caps_name((unsigned)__builtin_ctzll(add & drop)));
        c->caps = add_all ? caps_known() : drop_all ? 0 : DEFAULT_CAPS;
        c->caps = (c->caps & ~drop) | add;
        c->added = add_all ? c->caps : add;
        return 0;
}

static void put_set(struct json_writer *w, const char *name, uint64_t caps)
{
        json_open(w, name, '[');
        for (unsigned i = 0; i < 64; i++)
                if (caps & BIT(i) && caps_name(i))
                        json_put_str(w, NULL, caps_name(i));
        json_close(w, ']');
}

/* Without root there is no way to gain the others, so what was asked for by name is given. */
void security_write_caps(const struct security *c, bool root, struct json_writer *w)
{
        uint64_t now = root ? c->caps : c->added & c->caps;

        json_open(w, "capabilities", '{');
        put_set(w, "bounding", c->caps);
        if (now) {
                put_set(w, "effective", now);
                put_set(w, "permitted", now);
        }
        if (now && !root) {
                put_set(w, "inheritable", now);
                put_set(w, "ambient", now);
        }
        json_close(w, '}');
}

/* ---- --security-opt ---- */

struct option {
        struct arena *a;
        struct security *c;
        struct strings mask, unmask;
        struct err *e;
};

static int bad(const struct option *o, const char *name, const char *value, const char *is)
{
        return err_set(o->e, ERR_INVALID, "--security-opt: %s=%s: it is %s", name, value, is);
}

static int take_nnp(struct option *o, const char *value)
{
        if (!str_eq(value, "") && !str_eq(value, "true") && !str_eq(value, "false"))
                return bad(o, "no-new-privileges", value, "true or false");
        o->c->no_new_privs = !str_eq(value, "false");
        return 0;
}

static int take_seccomp(struct option *o, const char *value)
{
        bool ours = str_eq(value, "default") || str_eq(value, "builtin");

        o->c->no_seccomp = str_eq(value, "unconfined");
        o->c->seccomp = ours || o->c->no_seccomp ? NULL : value;
        return *value ? 0 : bad(o, "seccomp", value, "default, unconfined or a file");
}

static int take_apparmor(struct option *o, const char *value)
{
        o->c->apparmor = str_eq(value, "unconfined") ? NULL : value;
        return *value ? 0 : bad(o, "apparmor", value, "unconfined or a loaded profile");
}

static int take_label(struct option *o, const char *value)
{
        if (str_eq(value, "disable") || str_eq(value, "nested"))
                return 0;
        err_set(o->e, ERR_UNSUPPORTED, "--security-opt: label=%s: labels are not computed", value);
        return err_hint(o->e, "containers keep the label of their monitor, as with label=disable");
}

static int push_paths(struct option *o, const char *name, const char *value, struct strings *list)
{
        const char *path;
        size_t len;

        while (str_next(&value, ':', &path, &len)) {
                if (*path != '/' && strncasecmp(path, "all", len) != 0)
                        return bad(o, name, value ? value : path, "absolute paths, or ALL");
                strings_add(o->a, list, arena_strndup(o->a, path, len));
        }
        return 0;
}

static int take_mask(struct option *o, const char *value)
{
        return push_paths(o, "mask", value, &o->mask);
}

static int take_unmask(struct option *o, const char *value)
{
        return push_paths(o, "unmask", value, &o->unmask);
}

static int take_systempaths(struct option *o, const char *value)
{
        if (!str_eq(value, "unconfined"))
                return bad(o, "systempaths", value, "unconfined");
        strings_add(o->a, &o->unmask, "ALL");
        return 0;
}

static const struct {
        const char *name;
        int (*take)(struct option *o, const char *value);
} options[] = {
        { "no-new-privileges", take_nnp },
        { "seccomp", take_seccomp },
        { "apparmor", take_apparmor },
        { "label", take_label },
        { "mask", take_mask },
        { "unmask", take_unmask },
        { "systempaths", take_systempaths },
};

static int take_option(struct option *o, const char *text)
{
        size_t n = strcspn(text, "=:"); /* docker's old separator is the colon */

        for (size_t i = 0; i < ARRAY_SIZE(options); i++)
                if (strlen(options[i].name) == n && strncmp(options[i].name, text, n) == 0)
                        return options[i].take(o, text[n] ? text + n + 1 : "");
        err_set(o->e, ERR_INVALID, "--security-opt: \"%s\" is not known", text);
        return err_hint(o->e, "no-new-privileges, seccomp, apparmor, label, mask, unmask, "
                              "systempaths");
}

/* ---- paths ---- */

static bool unmasked(const struct option *o, const char *path)
{
        for (size_t i = 0; i < o->unmask.n; i++)
                if (strcasecmp(o->unmask.v[i], "ALL") == 0 ||
                    fnmatch(o->unmask.v[i], path, FNM_PATHNAME) == 0)
                        return true;
        return false;
}

static void take_paths(struct option *o, bool privileged)
{
        for (size_t i = 0; !privileged && i < ARRAY_SIZE(masked); i++)
                if (!unmasked(o, masked[i]))
                        strings_add(o->a, &o->c->masked, masked[i]);
        for (size_t i = 0; !privileged && i < ARRAY_SIZE(readonly); i++)
                if (!unmasked(o, readonly[i]))
                        strings_add(o->a, &o->c->readonly, readonly[i]);
        for (size_t i = 0; i < o->mask.n; i++)
                strings_add(o->a, &o->c->masked, o->mask.v[i]);
}

int security_take(struct arena *a, const struct sandbox *s, struct security *ret, struct err *e)
{
        struct option o = { .a = a, .c = ret, .e = e };

        *ret = (struct security){ .no_new_privs = !s->privileged, .no_seccomp = s->privileged };
        for (size_t i = 0; i < s->security.n; i++)
                if (take_option(&o, s->security.v[i]) < 0)
                        return -1;
        take_paths(&o, s->privileged);
        return take_caps(s, ret, e);
}

/* ---- writing ---- */

static void put_paths(struct json_writer *w, const char *name, const struct strings *paths)
{
        json_open(w, name, '[');
        for (size_t i = 0; i < paths->n; i++)
                json_put_str(w, NULL, paths->v[i]);
        json_close(w, ']');
}

int security_write(const struct security *c, struct json_writer *w, struct err *e)
{
        if (c->seccomp && seccomp_profile_write(c->seccomp, c->caps, w, e) < 0)
                return -1;
        if (!c->seccomp && !c->no_seccomp)
                seccomp_default_write(c->caps, w);
        put_paths(w, "maskedPaths", &c->masked);
        put_paths(w, "readonlyPaths", &c->readonly);
        return 0;
}
