/* The member "hostConfig" of container.json: what was asked for, under docker's names, as inspect
 * shows it below HostConfig. What came of it is in config.json. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "engine/ctr-internal.h"
#include "kernel/caps.h"

/* ---- lists that are shown as they were given ---- */

static const struct {
        const char *name;
        size_t offset;
} lists[] = {
        { "VolumesFrom", offsetof(struct sandbox, volumes_from) },
        { "GroupAdd", offsetof(struct sandbox, group_add) },
        { "Dns", offsetof(struct sandbox, dns) },
        { "DnsOptions", offsetof(struct sandbox, dns_options) },
        { "DnsSearch", offsetof(struct sandbox, dns_search) },
        { "ExtraHosts", offsetof(struct sandbox, add_hosts) },
        { "SecurityOpt", offsetof(struct sandbox, security) },
        { "DeviceCgroupRules", offsetof(struct sandbox, device_rules) },
};

static void put_lists(const struct sandbox *s, struct json_writer *w)
{
        for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
                json_put_strings(w, lists[i].name,
                                 (const struct strings *)((const char *)s + lists[i].offset));
}

/* A volume without a source has no bind: it is in Mounts. */
static void put_binds(const struct strings *volumes, struct json_writer *w)
{
        json_open(w, "Binds", '[');
        for (size_t i = 0; i < volumes->n; i++)
                if (strchr(volumes->v[i], ':'))
                        json_put_str(w, NULL, volumes->v[i]);
        json_close(w, ']');
}

/* "net_admin,CHOWN": with their whole names. */
static void put_caps(const char *name, const struct strings *caps, struct json_writer *w)
{
        json_open(w, name, '[');
        for (size_t i = 0; i < caps->n; i++) {
                const char *at = caps->v[i], *one;
                size_t len;

                while (str_next(&at, ',', &one, &len)) {
                        bool whole = strncasecmp(one, "CAP_", 4) == 0 ||
                                     (len == 3 && strncasecmp(one, "ALL", 3) == 0);
                        char text[64];

                        snprintf(text, sizeof text, "%s%.*s", whole ? "" : "CAP_", (int)len, one);
                        for (char *c = text; *c; c++)
                                *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 0x20 : *c);
                        json_put_str(w, NULL, text);
                }
        }
        json_close(w, ']');
}

/* ---- pairs ---- */

/* An object of what is before and after sep; of a name given twice the last counts. */
static void put_pairs(const char *name, const struct strings *list, char sep, struct json_writer *w)
{
        AUTO_ARENA a = { 0 };

        json_open(w, name, '{');
        for (size_t i = 0; i < list->n; i++) {
                const char *text = list->v[i], *at = strchr(text, sep);
                size_t n = at ? (size_t)(at - text) : strlen(text);
                bool again = false;

                for (size_t k = i + 1; k < list->n; k++)
                        again |= strncmp(list->v[k], text, n) == 0 &&
                                 (list->v[k][n] == sep || !list->v[k][n]);
                if (!again)
                        json_put_str(w, arena_strndup(&a, text, n), at ? at + 1 : "");
        }
        json_close(w, '}');
}

/* "HOST[:INSIDE[:ACCESS]]"; those of CDI files are requests, as docker has them. */
static void put_devices(const struct strings *devices, struct json_writer *w)
{
        AUTO_ARENA a = { 0 };

        json_open(w, "Devices", '[');
        for (size_t i = 0; i < devices->n; i++) {
                const char *at = devices->v[i], *part, *v[3] = { NULL };
                size_t n = 0, len;
                bool access;

                if (*at != '/')
                        continue;
                while (n < ARRAY_SIZE(v) && str_next(&at, ':', &part, &len))
                        v[n++] = arena_strndup(&a, part, len);
                access = n == 2 && *v[1] != '/';
                json_open(w, NULL, '{');
                json_put_str(w, "PathOnHost", v[0]);
                json_put_str(w, "PathInContainer", n > 1 && !access ? v[1] : v[0]);
                json_put_str(w, "CgroupPermissions", n > 2 ? v[2] : access ? v[1] : "rwm");
                json_close(w, '}');
        }
        json_close(w, ']');
}

static int64_t limit_of(const char *text)
{
        return str_after(text, "unlimited") ? -1 : strtoll(text, NULL, 10);
}

/* They have been checked (limits.c). */
static void put_ulimits(const struct strings *ulimits, struct json_writer *w)
{
        AUTO_ARENA a = { 0 };

        json_open(w, "Ulimits", '[');
        for (size_t i = 0; i < ulimits->n; i++) {
                const char *text = ulimits->v[i], *eq = strchr(text, '='),
                           *colon = eq ? strchr(eq, ':') : NULL;

                if (!eq)
                        continue;
                json_open(w, NULL, '{');
                json_put_str(w, "Name", arena_strndup(&a, text, (size_t)(eq - text)));
                json_put_i64(w, "Soft", limit_of(eq + 1));
                json_put_i64(w, "Hard", limit_of(colon ? colon + 1 : eq + 1));
                json_close(w, '}');
        }
        json_close(w, ']');
}

/* "DEVICE:VALUE" */
static void put_throttle(const char *name, const char *member, const struct strings *list,
                         struct json_writer *w)
{
        AUTO_ARENA a = { 0 };

        json_open(w, name, '[');
        for (size_t i = 0; i < list->n; i++) {
                const char *colon = strrchr(list->v[i], ':');
                int64_t n = 0;

                if (!colon || str_to_size(colon + 1, &n) < 0)
                        continue;
                json_open(w, NULL, '{');
                json_put_str(w, "Path",
                             arena_strndup(&a, list->v[i], (size_t)(colon - list->v[i])));
                json_put_i64(w, member, n);
                json_close(w, '}');
        }
        json_close(w, ']');
}

static void put_throttles(const struct limits *l, struct json_writer *w)
{
        put_throttle("BlkioWeightDevice", "Weight", &l->weight_devices, w);
        put_throttle("BlkioDeviceReadBps", "Rate", &l->read_bps, w);
        put_throttle("BlkioDeviceWriteBps", "Rate", &l->write_bps, w);
        put_throttle("BlkioDeviceReadIOps", "Rate", &l->read_iops, w);
        put_throttle("BlkioDeviceWriteIOps", "Rate", &l->write_iops, w);
}

/* ---- namespaces ---- */

static void put_modes(const struct sandbox *s, struct json_writer *w)
{
        static const char *const names[KIND_MAX] = { [KIND_PID] = "PidMode",
                                                     [KIND_IPC] = "IpcMode",
                                                     [KIND_UTS] = "UTSMode",
                                                     [KIND_CGROUP] = "CgroupnsMode" };
        AUTO_ARENA a = { 0 };

        for (int i = 0; i < KIND_MAX; i++) {
                const struct ns_choice *c = &s->ns[i];

                if (!names[i])
                        continue;
                json_put_str(w, names[i],
                             c->mode == MODE_HOST ? "host"
                             : c->mode == MODE_CONTAINER
                                     ? arena_printf(&a, "container:%s", c->container)
                             : c->word ? c->word
                                       : "private");
        }
}

void ctr_asked_write(const struct ctr_options *o, const struct sandbox *s, struct json_writer *w)
{
        const struct limits *l = &s->limits;

        json_open(w, "hostConfig", '{');
        put_binds(&s->volumes, w);
        put_pairs("Tmpfs", &s->tmpfs, ':', w);
        put_caps("CapAdd", &s->cap_add, w);
        put_caps("CapDrop", &s->cap_drop, w);
        put_lists(s, w);
        put_devices(&s->devices, w);
        put_ulimits(&l->ulimits, w);
        put_throttles(l, w);
        put_pairs("Sysctls", &l->sysctls, '=', w);
        put_pairs("Annotations", &s->annotations, '=', w);
        put_modes(s, w);
        json_put_bool(w, "Privileged", s->privileged);
        json_put_bool(w, "Init", s->init);
        json_put_str(w, "CgroupParent", s->cgroup_parent ? s->cgroup_parent : "");
        json_put_str(w, "ContainerIDFile", o->cid_file ? o->cid_file : "");
        json_put_str(w, "VolumeDriver", "");
        json_put_i64(w, "ShmSize", l->shm_size.set ? l->shm_size.v : 64 << 20);
        json_put_i64(w, "MemorySwappiness", l->swappiness.set ? l->swappiness.v : -1);
        json_put_bool(w, "OomKillDisable", false);
        json_close(w, '}');
}
