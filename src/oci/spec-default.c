#include "oci/spec-default.h"

#include "base/macro.h"
#include "base/str.h"
#include "codec/json.h"
#include "oci/spec.h"

static const char *const capabilities[] = { "CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE" };
static const char *const capability_sets[] = { "bounding", "effective", "permitted" };

static const struct mount {
        const char *destination, *type, *source;
        const char *options[8];
} mounts[] = {
        { "/proc", "proc", "proc", {} },
        { "/dev", "tmpfs", "tmpfs", { "nosuid", "strictatime", "mode=755", "size=65536k" } },
        { "/dev/pts",
          "devpts",
          "devpts",
          { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5" } },
        { "/dev/shm", "tmpfs", "shm", { "nosuid", "noexec", "nodev", "mode=1777", "size=65536k" } },
        { "/dev/mqueue", "mqueue", "mqueue", { "nosuid", "noexec", "nodev" } },
        { "/sys", "sysfs", "sysfs", { "nosuid", "noexec", "nodev", "ro" } },
        { "/sys/fs/cgroup", "cgroup", "cgroup", { "nosuid", "noexec", "nodev", "relatime", "ro" } },
};
/* A user namespace without a network namespace of its own may not mount sysfs. */
static const struct mount sys_rootless = {
        "/sys", "none", "/sys", { "rbind", "nosuid", "noexec", "nodev", "ro" }
};

static const char *const masked_paths[] = {
        "/proc/acpi",          "/proc/asound",     "/proc/kcore",       "/proc/keys",
        "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
        "/sys/firmware",       "/proc/scsi",
};

static const char *const readonly_paths[] = {
        "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

static void put_list(struct json_writer *w, const char *name, const char *const *list, size_t n)
{
        json_open(w, name, '[');
        for (size_t i = 0; i < n; i++)
                json_put_str(w, NULL, list[i]);
        json_close(w, ']');
}
#define PUT_LIST(w, name, list) put_list((w), (name), (list), ARRAY_SIZE(list))

static void put_process(struct json_writer *w)
{
        json_open(w, "process", '{');
        json_put_bool(w, "terminal", true);
        json_open(w, "user", '{');
        json_put_u64(w, "uid", 0);
        json_put_u64(w, "gid", 0);
        json_close(w, '}');
        PUT_LIST(w, "args", ((const char *const[]){ "sh" }));
        PUT_LIST(w, "env",
                 ((const char *const[]){
                         "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                         "TERM=xterm" }));
        json_put_str(w, "cwd", "/");
        json_open(w, "capabilities", '{');
        for (size_t i = 0; i < ARRAY_SIZE(capability_sets); i++)
                PUT_LIST(w, capability_sets[i], capabilities);
        json_close(w, '}');
        json_open(w, "rlimits", '[');
        json_open(w, NULL, '{');
        json_put_str(w, "type", "RLIMIT_NOFILE");
        json_put_u64(w, "hard", 1024);
        json_put_u64(w, "soft", 1024);
        json_close(w, '}');
        json_close(w, ']');
        json_put_bool(w, "noNewPrivileges", true);
        json_close(w, '}');
}

static void put_mount(struct json_writer *w, const struct mount *m, bool rootless)
{
        json_open(w, NULL, '{');
        json_put_str(w, "destination", m->destination);
        json_put_str(w, "type", m->type);
        json_put_str(w, "source", m->source);
        if (m->options[0])
                json_open(w, "options", '[');
        for (size_t i = 0; m->options[i]; i++)
                if (!rootless || !str_after(m->options[i], "gid=")) /* 5 is not mapped there */
                        json_put_str(w, NULL, m->options[i]);
        if (m->options[0])
                json_close(w, ']');
        json_close(w, '}');
}

static void put_mounts(struct json_writer *w, bool rootless)
{
        json_open(w, "mounts", '[');
        for (size_t i = 0; i < ARRAY_SIZE(mounts); i++)
                put_mount(w,
                          rootless && str_eq(mounts[i].destination, "/sys") ? &sys_rootless
                                                                            : &mounts[i],
                          rootless);
        json_close(w, ']');
}

static void put_mapping(struct json_writer *w, const char *name, uint64_t host_id)
{
        json_open(w, name, '[');
        json_open(w, NULL, '{');
        json_put_u64(w, "containerID", 0);
        json_put_u64(w, "hostID", host_id);
        json_put_u64(w, "size", 1);
        json_close(w, '}');
        json_close(w, ']');
}

static void put_resources(struct json_writer *w)
{
        json_open(w, "resources", '{');
        json_open(w, "devices", '[');
        json_open(w, NULL, '{');
        json_put_bool(w, "allow", false);
        json_put_str(w, "access", "rwm");
        json_close(w, '}');
        json_close(w, ']');
        json_close(w, '}');
}

static void put_namespaces(struct json_writer *w, const struct spec_default_input *in)
{
        const struct {
                enum spec_ns kind;
                bool wanted;
        } wanted[] = {
                { NS_PID, true },          { NS_NET, !in->rootless },
                { NS_IPC, true },          { NS_UTS, true },
                { NS_MOUNT, true },        { NS_CGROUP, in->cgroup_namespace },
                { NS_USER, in->rootless },
        };

        json_open(w, "namespaces", '[');
        for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
                if (!wanted[i].wanted)
                        continue;
                json_open(w, NULL, '{');
                json_put_str(w, "type", spec_ns_names[wanted[i].kind]);
                json_close(w, '}');
        }
        json_close(w, ']');
}

static void put_linux(struct json_writer *w, const struct spec_default_input *in)
{
        json_open(w, "linux", '{');
        if (in->rootless) {
                put_mapping(w, "uidMappings", in->uid);
                put_mapping(w, "gidMappings", in->gid);
        } else {
                put_resources(w);
        }
        put_namespaces(w, in);
        PUT_LIST(w, "maskedPaths", masked_paths);
        PUT_LIST(w, "readonlyPaths", readonly_paths);
        json_close(w, '}');
}

void spec_default_write(const struct spec_default_input *in, struct buf *out)
{
        struct json_writer w = { .out = out, .indent = 4 };

        json_open(&w, NULL, '{');
        json_put_str(&w, "ociVersion", SPEC_VERSION_MAX);
        put_process(&w);
        json_open(&w, "root", '{');
        json_put_str(&w, "path", "rootfs");
        json_put_bool(&w, "readonly", true);
        json_close(&w, '}');
        json_put_str(&w, "hostname", "berth");
        put_mounts(&w, in->rootless);
        put_linux(&w, in);
        json_close(&w, '}');
        buf_putc(out, '\n');
}
