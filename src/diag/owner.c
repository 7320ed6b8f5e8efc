#include "diag/owner.h"

#include "base/path.h"
#include "base/str.h"
#include "codec/json.h"
#include "diag/procfs.h"

/* ---- cgroup paths ---- */

/* What engines call a container's cgroup: PREFIX ID SUFFIX. */
static const struct cgroup_name {
        const char *prefix;
        const char *kind, *engine, *runtime;
        bool hex; /* the id is 64 hexadecimal digits */
        bool monitor;
} cgroup_names[] = {
        { "libpod-conmon-", "container monitor", "podman", NULL, true, true },
        { "libpod-payload-", "container", "podman", NULL, true, false },
        { "libpod-", "container", "podman", NULL, true, false },
        { "crio-conmon-", "container monitor", "cri-o", NULL, true, true },
        { "crio-", "container", "cri-o", NULL, true, false },
        { "cri-containerd-", "container", "containerd", NULL, true, false },
        { "docker-", "container", "docker", NULL, true, false },
        { "nerdctl-", "container", "nerdctl", NULL, true, false },
        { "berth-", "container", "berth", "berth-oci", false, false },
        { "runc-", "container", NULL, "runc", false, false },
        { "crun-", "container", NULL, "crun", false, false },
        { "lxc.payload.", "container", "lxc", NULL, false, false },
        { "lxc.monitor.", "container monitor", "lxc", NULL, false, true },
        { "machine-", "machine", "systemd-machined", NULL, false, false },
        { "systemd-nspawn@", "container", "systemd-nspawn", NULL, false, false },
};

/* A bare 64-digit name is a container of whoever owns the directory above. */
static const struct {
        const char *parent, *engine;
} cgroup_parents[] = {
        { "docker", "docker" },     { "libpod_parent", "podman" }, { "default", "containerd" },
        { "k8s.io", "containerd" }, { "moby", "docker" },          { "berth", "berth" },
};

static size_t hex_digits(struct span s)
{
        size_t n = 0;

        while (n < s.n && ((s.s[n] >= '0' && s.s[n] <= '9') || (s.s[n] >= 'a' && s.s[n] <= 'f')))
                n++;
        return n;
}

static struct span without_suffix(struct span s)
{
        static const char *const suffixes[] = { ".scope", ".service", ".slice" };

        for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
                size_t n = strlen(suffixes[i]);

                if (s.n > n && memcmp(s.s + s.n - n, suffixes[i], n) == 0)
                        s.n -= n;
        }
        return s;
}

static bool span_starts(struct span s, const char *prefix)
{
        return s.n > strlen(prefix) && memcmp(s.s, prefix, strlen(prefix)) == 0;
}

static bool span_ends(struct span s, const char *suffix)
{
        size_t n = strlen(suffix);

        return s.n > n && memcmp(s.s + s.n - n, suffix, n) == 0;
}

static bool named_container(struct arena *a, struct span part, struct owner_clue *c)
{
        for (size_t i = 0; i < ARRAY_SIZE(cgroup_names); i++) {
                const struct cgroup_name *n = &cgroup_names[i];
                struct span id;

                if (!span_starts(part, n->prefix))
                        continue;
                id = without_suffix(
                        (struct span){ part.s + strlen(n->prefix), part.n - strlen(n->prefix) });
                if (n->hex ? (id.n != 64 || hex_digits(id) != 64)
                           : (!str_ends(n->prefix, ".") && !span_ends(part, ".scope") &&
                              !span_ends(part, ".service")))
                        continue;
                c->container = !n->monitor;
                c->monitor = n->monitor;
                c->kind = n->kind;
                c->engine = n->engine;
                c->runtime = n->runtime;
                c->id = arena_strndup(a, id.s, id.n);
                return true;
        }
        return false;
}

static bool bare_container(struct arena *a, struct span part, struct span parent,
                           struct owner_clue *c)
{
        if (part.n != 64 || hex_digits(part) != 64)
                return false;
        c->container = true;
        c->kind = "container";
        c->id = arena_strndup(a, part.s, part.n);
        for (size_t i = 0; i < ARRAY_SIZE(cgroup_parents); i++)
                if (span_eq(parent, cgroup_parents[i].parent))
                        c->engine = cgroup_parents[i].engine;
        return true;
}

static bool lxc_container(struct arena *a, struct span part, struct span parent,
                          struct owner_clue *c)
{
        if (!span_eq(parent, "lxc"))
                return false;
        c->container = true;
        c->kind = "container";
        c->engine = "lxc";
        c->id = arena_strndup(a, part.s, part.n);
        return true;
}

static bool unit(struct arena *a, struct span part, struct owner_clue *c)
{
        if (c->kind)
                return false;
        if (span_ends(part, ".service"))
                c->kind = "systemd service";
        else if (span_starts(part, "session-") && span_ends(part, ".scope"))
                c->kind = "login session";
        else if (span_ends(part, ".scope"))
                c->kind = "systemd scope";
        else
                return false;
        c->name = arena_strndup(a, part.s, part.n);
        return true;
}

/* "pod1234-..." or "kubepods-burstable-pod1234_....slice" */
static void pod(struct arena *a, struct span part, struct owner_clue *c)
{
        struct span id = without_suffix(part);
        char *uid;

        if (c->pod_uid)
                return;
        if (span_starts(id, "kubepods"))
                for (size_t i = 8; i + 4 < id.n; i++)
                        if (memcmp(id.s + i, "-pod", 4) == 0) {
                                id = (struct span){ id.s + i + 1, id.n - i - 1 };
                                break;
                        }
        if (!span_starts(id, "pod") || id.n < 3 + 32)
                return;
        c->pod_uid = uid = arena_strndup(a, id.s + 3, id.n - 3);
        for (; *uid; uid++)
                if (*uid == '_')
                        *uid = '-';
}

bool owner_from_path(struct arena *a, const char *path, struct owner_clue *ret)
{
        struct owner_clue c = { 0 };
        size_t end = strlen(path);
        bool found = false;

        /* From the leaf up: a container may have made cgroups of its own below its own. */
        while (end > 0) {
                size_t start = end, above;
                struct span part, parent;

                while (start > 0 && path[start - 1] != '/')
                        start--;
                part = (struct span){ path + start, end - start };
                above = start > 0 ? start - 1 : 0;
                start = above;
                while (start > 0 && path[start - 1] != '/')
                        start--;
                parent = (struct span){ path + start, above - start };
                if (!found && part.n &&
                    (named_container(a, part, &c) || bare_container(a, part, parent, &c) ||
                     lxc_container(a, part, parent, &c))) {
                        c.name = NULL; /* of a unit below it, inside the container */
                        c.part = arena_strndup(a, part.s, part.n);
                        found = true;
                } else if (!found && part.n && unit(a, part, &c)) {
                        c.part = arena_strndup(a, part.s, part.n);
                }
                pod(a, part, &c);
                end = above;
        }
        if (!c.kind)
                return false;
        *ret = c;
        return true;
}

bool owner_from_cgroups(struct arena *a, const char *text, struct owner_clue *ret)
{
        struct span at = span_of(text);
        struct cgroup_line line;
        bool found = false;

        while (procfs_cgroup_next(&at, &line)) {
                struct owner_clue c;

                if (!owner_from_path(a, arena_strndup(a, line.path.s, line.path.n), &c))
                        continue;
                if (!found || ((c.container || c.monitor) && !ret->container && !ret->monitor))
                        *ret = c;
                found = true;
        }
        return found;
}

/* ---- monitors ---- */

static const struct monitor {
        const char *comm; /* at most 15 bytes are kept by the kernel */
        const char *kind, *engine;
        struct {
                const char *name; /* "-id", or NULL */
        } id, label, bundle, runtime, space;
} monitors[] = {
        { "containerd-shim",
          "container",
          "containerd",
          { "-id" },
          { NULL },
          { "-bundle" },
          { NULL },
          { "-namespace" } },
        { "conmon", "container", "podman", { "-c" }, { "-n" }, { "-b" }, { "-r" }, { NULL } },
        { "berth-monitor",
          "container",
          "berth",
          { "--id" },
          { "--name" },
          { "--bundle" },
          { NULL },
          { NULL } },
        { "systemd-nspawn",
          "container",
          "systemd-nspawn",
          { NULL },
          { "-M" },
          { NULL },
          { NULL },
          { NULL } },
        { "lxc-start", "container", "lxc", { "-n" }, { "-n" }, { NULL }, { NULL }, { NULL } },
        { "bwrap", "sandbox", "bubblewrap", { NULL }, { NULL }, { NULL }, { NULL }, { NULL } },
        { "firejail", "sandbox", "firejail", { NULL }, { NULL }, { NULL }, { NULL }, { NULL } },
        { "unshare", "namespaces", "unshare", { NULL }, { NULL }, { NULL }, { NULL }, { NULL } },
};

static const struct monitor *monitor_of(const char *name)
{
        const char *rest;

        for (size_t i = 0; i < ARRAY_SIZE(monitors); i++)
                if ((rest = str_after(name, monitors[i].comm)) && (!*rest || *rest == '-'))
                        return &monitors[i];
        return NULL;
}

bool owner_is_monitor(const char *comm)
{
        return monitor_of(comm) != NULL;
}

/* The value of "-x VALUE" or "--long=VALUE", before any "--". */
static const char *arg_value(const char *const *args, size_t n, const char *name)
{
        for (size_t i = 1; name && i < n && !str_eq(args[i], "--"); i++) {
                const char *rest = str_after(args[i], name);

                if (!rest)
                        continue;
                if (*rest == '=')
                        return rest + 1;
                if (!*rest && i + 1 < n)
                        return args[i + 1];
        }
        return NULL;
}

static bool args_mention(const char *const *args, size_t n, const char *what)
{
        for (size_t i = 0; i < n; i++)
                if (strstr(args[i], what))
                        return true;
        return false;
}

bool owner_from_args(struct arena *a, const char *const *args, size_t n, struct owner_clue *ret)
{
        const struct monitor *m = n ? monitor_of(path_base(args[0])) : NULL;
        const char *runtime, *space;

        if (!m)
                return false;
        *ret = (struct owner_clue){ .container = str_eq(m->kind, "container"),
                                    .kind = m->kind,
                                    .engine = m->engine };
        ret->id = arg_value(args, n, m->id.name);
        ret->name = arg_value(args, n, m->label.name);
        ret->bundle = arg_value(args, n, m->bundle.name);
        runtime = arg_value(args, n, m->runtime.name);
        if (runtime)
                ret->runtime = path_base(runtime);
        space = arg_value(args, n, m->space.name);
        if (space && str_eq(space, "moby"))
                ret->engine = "docker";
        if (str_eq(m->comm, "containerd-shim")) {
                const char *version = str_after(path_base(args[0]), "containerd-shim-");

                if (version)
                        ret->runtime = arena_strndup(a, version, strcspn(version, "-"));
        }
        if (str_eq(m->comm, "conmon") && args_mention(args, n, "crio"))
                ret->engine = "cri-o";
        return true;
}

/* ---- state files ---- */

static bool state_runc(struct arena *a, const struct json *j, struct owner_state *s)
{
        const struct json *labels = json_path(j, "config.labels");

        if (!json_to_i64(json_get(j, "init_process_pid"), &s->pid))
                return false;
        s->runtime = "runc";
        s->id = json_str(json_get(j, "id"), NULL);
        s->created = json_str(json_get(j, "created"), NULL);
        s->rootfs = json_str(json_path(j, "config.rootfs"), NULL);
        json_to_u64(json_get(j, "init_process_start"), &s->start);
        for (uint32_t i = 0; labels && labels->type == JSON_ARRAY && i < labels->n; i++) {
                const char *bundle = str_after(json_str(&labels->items[i], ""), "bundle=");

                if (bundle)
                        s->bundle = arena_strdup(a, bundle);
        }
        return true;
}

bool owner_from_state(struct arena *a, const struct json *j, struct owner_state *ret)
{
        static const char *const starts[] = { "process-start-time", "pidStart", "startTime" };
        struct owner_state s = { 0 };

        if (!state_runc(a, j, &s)) {
                if (!json_to_i64(json_get(j, "pid"), &s.pid))
                        return false;
                s.runtime = json_get(j, "process-start-time") ? "crun"
                            : json_get(j, "pidStart")         ? "berth-oci"
                                                              : NULL;
                s.id = json_str(json_get(j, "id"), NULL);
                s.bundle = json_str(json_get(j, "bundle"), NULL);
                s.created = json_str(json_get(j, "created"), NULL);
                s.rootfs = json_str(json_get(j, "rootfs"), NULL);
                s.owner = json_str(json_get(j, "owner"), NULL);
                for (size_t i = 0; i < ARRAY_SIZE(starts) && !s.start; i++)
                        json_to_u64(json_get(j, starts[i]), &s.start);
        }
        if (s.pid <= 0 || s.pid > INT32_MAX)
                return false;
        *ret = s;
        return true;
}

/* ---- what engines keep on disk ---- */

void owner_from_annotations(const struct json *config, struct owner_clue *ret)
{
        const struct {
                const char *key;
                const char **to;
        } keys[] = {
                { "io.kubernetes.cri.container-name", &ret->name },
                { "io.kubernetes.container.name", &ret->name },
                { "nerdctl/name", &ret->name },
                { "io.kubernetes.cri.image-name", &ret->image },
                { "io.kubernetes.cri-o.ImageName", &ret->image },
                { "io.kubernetes.cri.sandbox-name", &ret->pod_name },
                { "io.kubernetes.pod.name", &ret->pod_name },
                { "io.kubernetes.cri.sandbox-namespace", &ret->pod_namespace },
                { "io.kubernetes.pod.namespace", &ret->pod_namespace },
                { "io.kubernetes.cri.sandbox-uid", &ret->pod_uid },
                { "io.kubernetes.pod.uid", &ret->pod_uid },
        };
        const struct json *annotations = json_get(config, "annotations");

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                const char *value = json_str(json_get(annotations, keys[i].key), NULL);

                if (value && !*keys[i].to)
                        *keys[i].to = value;
        }
}

bool owner_from_storage(struct arena *a, const struct json *containers, const char *id,
                        struct owner_clue *ret)
{
        for (uint32_t i = 0; containers && containers->type == JSON_ARRAY && i < containers->n;
             i++) {
                const struct json *c = &containers->items[i], *names = json_get(c, "names");
                const char *metadata = json_str(json_get(c, "metadata"), "");
                struct json more;

                if (!str_eq(json_str(json_get(c, "id"), ""), id))
                        continue;
                if (!ret->name && names && names->type == JSON_ARRAY && names->n)
                        ret->name = json_str(&names->items[0], NULL);
                if (!ret->image &&
                    json_parse(a, metadata, strlen(metadata), NULL, &more, NULL) == 0)
                        ret->image = json_str(json_get(&more, "image-name"), NULL);
                if (str_empty(ret->image))
                        ret->image = json_str(json_get(c, "image"), NULL);
                return true;
        }
        return false;
}

const char *owner_storage_id(const struct json *containers, const char *name)
{
        for (uint32_t i = 0; containers && containers->type == JSON_ARRAY && i < containers->n;
             i++) {
                const struct json *c = &containers->items[i], *names = json_get(c, "names");

                for (uint32_t k = 0; names && names->type == JSON_ARRAY && k < names->n; k++)
                        if (str_eq(json_str(&names->items[k], ""), name))
                                return json_str(json_get(c, "id"), NULL);
        }
        return NULL;
}

void owner_from_record(const struct json *record, struct owner_clue *ret)
{
        if (!ret->name)
                ret->name = json_str(json_get(record, "name"), NULL);
        if (!ret->image)
                ret->image = json_str(json_path(record, "image.name"), NULL);
}

void owner_from_docker(const struct json *config, struct owner_clue *ret)
{
        const char *name = json_str(json_get(config, "Name"), NULL);

        if (!ret->name && name)
                ret->name = *name == '/' ? name + 1 : name;
        if (!ret->image)
                ret->image = json_str(json_path(config, "Config.Image"), NULL);
}
