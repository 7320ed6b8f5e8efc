/* --security-opt seccomp=FILE: docker's and podman's format to config.json's. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/fd.h"
#include "base/str.h"
#include "engine/seccomp-default.h"
#include "image/platform.h"
#include "kernel/caps.h"

#define PROFILE_MAX (4u << 20)

struct where {
        uint64_t caps;
        const char *arch; /* "amd64" */
        unsigned major, minor;
};

static bool any_cap(const struct json *list, uint64_t caps, bool *ret_all)
{
        bool any = false;

        *ret_all = true;
        for (uint32_t i = 0; i < list->n; i++) {
                const char *name = json_str(&list->items[i], "");
                int n = caps_number(name);
                bool here = n >= 0 && caps >> n & 1;

                any |= here;
                *ret_all &= here;
        }
        return any;
}

static bool has_arch(const struct json *list, const char *arch)
{
        for (uint32_t i = 0; i < list->n; i++)
                if (str_eq(json_str(&list->items[i], ""), arch))
                        return true;
        return false;
}

static bool kernel_reaches(const char *text, const struct where *h)
{
        char buf[16] = "";
        const char *dot = strchr(text, '.');
        uint32_t major = 0, minor = 0;

        if (!dot || (size_t)(dot - text) >= sizeof buf)
                return true;
        memcpy(buf, text, (size_t)(dot - text));
        if (str_to_u32(buf, &major) < 0 || str_to_u32(dot + 1, &minor) < 0)
                return true;
        return h->major != major ? h->major > major : h->minor >= minor;
}

/* All that an "includes" lists must be so; nothing that an "excludes" lists. */
static bool applies(const struct json *rule, const struct where *h)
{
        const struct json *caps = json_path(rule, "includes.caps");
        const struct json *arches = json_path(rule, "includes.arches");
        const char *kernel = json_str(json_path(rule, "includes.minKernel"), NULL);
        bool all;

        if (caps && caps->type == JSON_ARRAY && (any_cap(caps, h->caps, &all), !all))
                return false;
        if (arches && arches->type == JSON_ARRAY && arches->n && !has_arch(arches, h->arch))
                return false;
        if (kernel && !kernel_reaches(kernel, h))
                return false;
        caps = json_path(rule, "excludes.caps");
        arches = json_path(rule, "excludes.arches");
        kernel = json_str(json_path(rule, "excludes.minKernel"), NULL);
        if (caps && caps->type == JSON_ARRAY && any_cap(caps, h->caps, &all))
                return false;
        if (arches && arches->type == JSON_ARRAY && has_arch(arches, h->arch))
                return false;
        return !kernel || !kernel_reaches(kernel, h);
}

static void put_rule(const struct json *rule, struct json_writer *w)
{
        static const char *const drop[] = { "includes", "excludes", "comment", "errno", "name" };
        const char *name = json_str(json_get(rule, "name"), NULL);

        json_open(w, NULL, '{');
        for (uint32_t i = 0; i < rule->n; i++) {
                const struct json_member *m = &rule->members[i];
                bool dropped = m->value.type == JSON_NULL;

                for (size_t k = 0; k < ARRAY_SIZE(drop); k++)
                        dropped |= str_eq(m->name, drop[k]);
                if (!dropped)
                        json_put(w, m->name, &m->value);
        }
        if (name && *name && !json_get(rule, "names")) { /* the oldest profiles */
                json_open(w, "names", '[');
                json_put_str(w, NULL, name);
                json_close(w, ']');
        }
        json_close(w, '}');
}

/* "architectures", or of the "archMap" its every name: the runtime takes what this machine
 * executes. */
static void put_architectures(const struct json *j, struct json_writer *w)
{
        const struct json *plain = json_get(j, "architectures"), *map = json_get(j, "archMap");

        if (plain && plain->type == JSON_ARRAY && plain->n) {
                json_put(w, "architectures", plain);
                return;
        }
        if (!map || map->type != JSON_ARRAY)
                return;
        json_open(w, "architectures", '[');
        for (uint32_t i = 0; i < map->n; i++) {
                const struct json *sub = json_get(&map->items[i], "subArchitectures");
                const char *arch = json_str(json_get(&map->items[i], "architecture"), NULL);

                if (arch)
                        json_put_str(w, NULL, arch);
                for (uint32_t k = 0; sub && sub->type == JSON_ARRAY && k < sub->n; k++)
                        json_put(w, NULL, &sub->items[k]);
        }
        json_close(w, ']');
}

static void put_profile(const struct json *j, const struct where *h, struct json_writer *w)
{
        static const char *const kept[] = { "defaultAction", "defaultErrnoRet", "flags",
                                            "listenerPath", "listenerMetadata" };
        const struct json *rules = json_get(j, "syscalls");

        json_open(w, "seccomp", '{');
        for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
                const struct json *value = json_get(j, kept[i]);

                if (value && value->type != JSON_NULL)
                        json_put(w, kept[i], value);
        }
        put_architectures(j, w);
        json_open(w, "syscalls", '[');
        for (uint32_t i = 0; rules && rules->type == JSON_ARRAY && i < rules->n; i++)
                if (applies(&rules->items[i], h))
                        put_rule(&rules->items[i], w);
        json_close(w, ']');
        json_close(w, '}');
}

int seccomp_profile_write(const char *path, uint64_t caps, struct json_writer *w, struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_FREE char *text = NULL;
        struct platform here;
        struct utsname u;
        struct json j;
        size_t len;
        int r = fd_read_regular_at(AT_FDCWD, path, PROFILE_MAX, &text, &len);

        if (r < 0)
                return err_sys(e, r, "--security-opt: cannot read \"%s\"", path);
        if (json_parse(&a, text, len, NULL, &j, NULL) < 0 || !json_get(&j, "defaultAction"))
                return err_set(e, ERR_INVALID, "--security-opt: \"%s\" is no seccomp profile",
                               path);
        platform_host(&here);
        uname(&u);
        struct where h = { .caps = caps, .arch = here.architecture };
        char *dot = strchr(u.release, '.');
        if (dot) {
                char *end = dot + 1 + strspn(dot + 1, "0123456789");

                *dot = *end = 0;
                str_to_u32(u.release, &h.major);
                str_to_u32(dot + 1, &h.minor);
        }
        put_profile(&j, &h, w);
        return 0;
}
