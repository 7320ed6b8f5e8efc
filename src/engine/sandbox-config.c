/* The config.json of a sandbox. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "codec/json.h"
#include "engine/sandbox.h"
#include "engine/user.h"

/* podman's default set. docker's has MKNOD, NET_RAW and AUDIT_WRITE besides, for which a sandbox
 * has no use. */
const char *const sandbox_caps[] = {
        "CAP_CHOWN",   "CAP_DAC_OVERRIDE",     "CAP_FOWNER",     "CAP_FSETID",
        "CAP_KILL",    "CAP_NET_BIND_SERVICE", "CAP_SETFCAP",    "CAP_SETGID",
        "CAP_SETPCAP", "CAP_SETUID",           "CAP_SYS_CHROOT", NULL,
};

/* What reaches far into the kernel, or out of the sandbox, and is no part of ordinary programs. */
const char *const sandbox_denied_syscalls[] = {
        "acct",
        "add_key",
        "bpf",
        "delete_module",
        "finit_module",
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
        "init_module",
        "io_uring_enter",
        "io_uring_register",
        "io_uring_setup",
        "kexec_file_load",
        "kexec_load",
        "keyctl",
        "lookup_dcookie",
        "mount",
        "mount_setattr",
        "move_mount",
        "name_to_handle_at",
        "open_by_handle_at",
        "open_tree",
        "perf_event_open",
        "personality",
        "pivot_root",
        "quotactl",
        "reboot",
        "request_key",
        "setns",
        "swapoff",
        "swapon",
        "syslog",
        "umount2",
        "unshare",
        "userfaultfd",
        "vmsplice",
        NULL,
};

struct mount {
        const char *destination, *type, *source;
        const char *options[7];
};
static const struct mount mounts[] = {
        { "/proc", "proc", "proc", { "nosuid", "noexec", "nodev" } },
        { "/dev", "tmpfs", "tmpfs", { "nosuid", "strictatime", "mode=755", "size=65536k" } },
        { "/dev/pts",
          "devpts",
          "devpts",
          { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5" } },
        { "/dev/shm", "tmpfs", "shm", { "nosuid", "noexec", "nodev", "mode=1777", "size=65536k" } },
        { "/dev/mqueue", "mqueue", "mqueue", { "nosuid", "noexec", "nodev" } },
        { "/sys/fs/cgroup", "cgroup", "cgroup", { "nosuid", "noexec", "nodev", "relatime", "ro" } },
};
/* Without a network namespace of its own, a fresh sysfs would be the host's: bound read-only
 * then. */
static const struct mount sys_own = {
        "/sys", "sysfs", "sysfs", { "nosuid", "noexec", "nodev", "ro" }
};
static const struct mount sys_host = {
        "/sys", "bind", "/sys", { "rbind", "nosuid", "noexec", "nodev", "rro" }
};
/* In the host's root these hold sockets and files of its services. */
static const struct mount host_only[] = {
        { "/run", "tmpfs", "tmpfs", { "nosuid", "nodev", "mode=755" } },
        { "/tmp", "tmpfs", "tmpfs", { "nosuid", "nodev", "mode=1777" } },
};
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

static void put_mount(struct json_writer *w, const struct mount *m)
{
        json_open(w, NULL, '{');
        json_put_str(w, "destination", m->destination);
        json_put_str(w, "type", m->type);
        json_put_str(w, "source", m->source);
        json_open(w, "options", '[');
        for (size_t i = 0; i < ARRAY_SIZE(m->options) && m->options[i]; i++)
                json_put_str(w, NULL, m->options[i]);
        json_close(w, ']');
        json_close(w, '}');
}

/* SOURCE:DESTINATION[:OPTION,...]; options as in config.json, with ro, rw, and "rbind" implied. */
static int put_volume(struct json_writer *w, const char *text, struct err *e)
{
        AUTO_ARENA a = { 0 };
        const char *parts[3] = { NULL }, *at = text, *part, *option;
        size_t n = 0, len;

        while (n < 3 && str_next(&at, ':', &part, &len))
                parts[n++] = arena_strndup(&a, part, len);
        if (n < 2 || at || parts[0][0] != '/' || parts[1][0] != '/') {
                err_set(e, ERR_INVALID, "--volume: \"%s\" is not SOURCE:DESTINATION[:OPTIONS]",
                        text);
                return err_hint(e, "both must be absolute paths; named volumes are not built yet");
        }
        if (access(parts[0], F_OK) < 0)
                return err_sys(e, errno, "--volume: cannot use \"%s\"", parts[0]);
        json_open(w, NULL, '{');
        json_put_str(w, "destination", parts[1]);
        json_put_str(w, "type", "bind");
        json_put_str(w, "source", parts[0]);
        json_open(w, "options", '[');
        json_put_str(w, NULL, "rbind");
        json_put_str(w, NULL, "rprivate");
        json_put_str(w, NULL, "nosuid");
        json_put_str(w, NULL, "nodev");
        for (at = parts[2]; str_next(&at, ',', &option, &len);)
                json_put_str(w, NULL,
                             str_eq(arena_strndup(&a, option, len), "ro")
                                     ? "rro"
                                     : arena_strndup(&a, option, len));
        json_close(w, ']');
        json_close(w, '}');
        return 0;
}

static int put_mounts(const struct sandbox *s, struct json_writer *w, struct err *e)
{
        json_open(w, "mounts", '[');
        for (size_t i = 0; i < ARRAY_SIZE(mounts) - 1; i++)
                put_mount(w, &mounts[i]);
        if (s->network == NETWORK_HOST)
                put_mount(w, &sys_host);
        else
                put_mount(w, &sys_own);
        put_mount(w, &mounts[ARRAY_SIZE(mounts) - 1]);
        for (size_t i = 0; !s->rootfs && i < ARRAY_SIZE(host_only); i++)
                put_mount(w, &host_only[i]);
        for (size_t i = 0; i < s->volumes.n; i++)
                if (put_volume(w, s->volumes.v[i], e) < 0)
                        return -1;
        json_close(w, ']');
        return 0;
}

static bool named(const struct strings *list, const char *cap)
{
        for (size_t i = 0; i < list->n; i++)
                if (strcasecmp(list->v[i], cap) == 0 || strcasecmp(list->v[i], cap + 4) == 0 ||
                    strcasecmp(list->v[i], "ALL") == 0)
                        return true;
        return false;
}

static void put_cap(struct json_writer *w, const char *given)
{
        char name[64];

        snprintf(name, sizeof name, "%s%s", strncasecmp(given, "CAP_", 4) == 0 ? "" : "CAP_",
                 given);
        for (char *c = name; *c; c++)
                *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 0x20 : *c);
        json_put_str(w, NULL, name);
}

static void put_cap_set(const struct sandbox *s, struct json_writer *w, const char *set)
{
        json_open(w, set, '[');
        for (size_t i = 0; sandbox_caps[i]; i++)
                if (!named(&s->cap_drop, sandbox_caps[i]))
                        json_put_str(w, NULL, sandbox_caps[i]);
        for (size_t i = 0; i < s->cap_add.n; i++)
                put_cap(w, s->cap_add.v[i]);
        json_close(w, ']');
}

static void put_env(const struct sandbox *s, struct json_writer *w, const struct user *u)
{
        const char *term = getenv("TERM");
        AUTO_ARENA a = { 0 };

        json_open(w, "env", '[');
        json_put_str(w, NULL, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        json_put_str(w, NULL, arena_printf(&a, "HOME=%s", u->home));
        json_put_str(w, NULL, "container=berth");
        if (s->tty)
                json_put_str(w, NULL,
                             arena_printf(&a, "TERM=%s", str_empty(term) ? "xterm" : term));
        for (size_t i = 0; i < s->env.n; i++) {
                const char *value = strchr(s->env.v[i], '=') ? NULL : getenv(s->env.v[i]);

                /* A bare name passes on our own value, as with docker. */
                if (strchr(s->env.v[i], '='))
                        json_put_str(w, NULL, s->env.v[i]);
                else if (value)
                        json_put_str(w, NULL, arena_printf(&a, "%s=%s", s->env.v[i], value));
        }
        json_close(w, ']');
}

static void put_process(const struct sandbox *s, struct json_writer *w, const struct user *u)
{
        json_open(w, "process", '{');
        json_put_bool(w, "terminal", s->tty);
        json_open(w, "user", '{');
        json_put_u64(w, "uid", u->uid);
        json_put_u64(w, "gid", u->gid);
        json_close(w, '}');
        json_open(w, "args", '[');
        for (size_t i = 0; i < s->args.n; i++)
                json_put_str(w, NULL, s->args.v[i]);
        if (s->args.n == 0)
                json_put_str(w, NULL, "/bin/sh");
        json_close(w, ']');
        put_env(s, w, u);
        json_put_str(w, "cwd", s->workdir ? s->workdir : "/");
        json_open(w, "capabilities", '{');
        put_cap_set(s, w, "bounding");
        if (u->uid == 0) {
                put_cap_set(s, w, "effective");
                put_cap_set(s, w, "permitted");
        }
        json_close(w, '}');
        json_put_bool(w, "noNewPrivileges", true);
        json_close(w, '}');
}

static void put_resources(const struct sandbox *s, struct json_writer *w)
{
        json_open(w, "resources", '{');
        json_open(w, "devices", '[');
        json_open(w, NULL, '{');
        json_put_bool(w, "allow", false);
        json_put_str(w, "access", "rwm");
        json_close(w, '}');
        json_close(w, ']');
        if (s->memory > 0) {
                json_open(w, "memory", '{');
                json_put_i64(w, "limit", s->memory);
                json_close(w, '}');
        }
        if (s->cpus_milli > 0) {
                json_open(w, "cpu", '{');
                json_put_i64(w, "period", 100000);
                json_put_i64(w, "quota", s->cpus_milli * 100);
                json_close(w, '}');
        }
        json_open(w, "pids", '{');
        json_put_i64(w, "limit", s->pids_limit);
        json_close(w, '}');
        json_close(w, '}');
}

/* No user namespaces, the door to most kernel bugs: clone() is refused by its flag; clone3()
 * keeps its flags in memory, where a filter can't look, so it is missing and the C library uses
 * clone(). */
static void put_clone_rules(struct json_writer *w)
{
        json_open(w, NULL, '{');
        json_open(w, "names", '[');
        json_put_str(w, NULL, "clone");
        json_close(w, ']');
        json_put_str(w, "action", "SCMP_ACT_ERRNO");
        json_put_u64(w, "errnoRet", EPERM);
        json_open(w, "args", '[');
        json_open(w, NULL, '{');
        json_put_u64(w, "index", 0);
        json_put_u64(w, "value", CLONE_NEWUSER);
        json_put_u64(w, "valueTwo", CLONE_NEWUSER);
        json_put_str(w, "op", "SCMP_CMP_MASKED_EQ");
        json_close(w, '}');
        json_close(w, ']');
        json_close(w, '}');
        json_open(w, NULL, '{');
        json_open(w, "names", '[');
        json_put_str(w, NULL, "clone3");
        json_close(w, ']');
        json_put_str(w, "action", "SCMP_ACT_ERRNO");
        json_put_u64(w, "errnoRet", ENOSYS);
        json_close(w, '}');
}

static void put_seccomp(struct json_writer *w)
{
        json_open(w, "seccomp", '{');
        json_put_str(w, "defaultAction", "SCMP_ACT_ALLOW");
        json_open(w, "syscalls", '[');
        json_open(w, NULL, '{');
        json_open(w, "names", '[');
        for (size_t i = 0; sandbox_denied_syscalls[i]; i++)
                json_put_str(w, NULL, sandbox_denied_syscalls[i]);
        json_close(w, ']');
        json_put_str(w, "action", "SCMP_ACT_ERRNO");
        json_put_u64(w, "errnoRet", EPERM);
        json_close(w, '}');
        put_clone_rules(w);
        json_close(w, ']');
        json_close(w, '}');
}

static void put_paths(struct json_writer *w, const char *name, const char *const *paths, size_t n)
{
        json_open(w, name, '[');
        for (size_t i = 0; i < n; i++)
                json_put_str(w, NULL, paths[i]);
        json_close(w, ']');
}

static void put_linux(const struct sandbox *s, struct json_writer *w)
{
        static const char *const kinds[] = { "pid", "ipc", "uts", "mount", "cgroup", "network" };
        AUTO_ARENA a = { 0 };

        json_open(w, "linux", '{');
        json_put_str(w, "cgroupsPath", arena_printf(&a, "/berth-%s", s->name));
        json_open(w, "namespaces", '[');
        for (size_t i = 0; i < ARRAY_SIZE(kinds) - (s->network == NETWORK_HOST); i++) {
                json_open(w, NULL, '{');
                json_put_str(w, "type", kinds[i]);
                json_close(w, '}');
        }
        json_close(w, ']');
        put_resources(s, w);
        put_seccomp(w);
        put_paths(w, "maskedPaths", masked, ARRAY_SIZE(masked));
        put_paths(w, "readonlyPaths", readonly, ARRAY_SIZE(readonly));
        json_close(w, '}');
}

int sandbox_config(const struct sandbox *s, const char *root, struct buf *out, struct err *e)
{
        struct json_writer w = { .out = out, .fresh = true };
        AUTO_FD int dir = open(s->rootfs ? s->rootfs : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        AUTO_ARENA a = { 0 };
        struct user u;

        if (dir < 0)
                return err_sys(e, errno, "--rootfs: cannot open \"%s\"", s->rootfs);
        if (user_find(&a, dir, s->user ? s->user : "0", &u, e) < 0)
                return err_in(e, "--user");
        json_open(&w, NULL, '{');
        json_put_str(&w, "ociVersion", "1.3.0");
        json_open(&w, "root", '{');
        json_put_str(&w, "path", root);
        json_put_bool(&w, "readonly", s->read_only);
        json_close(&w, '}');
        json_put_str(&w, "hostname", s->hostname ? s->hostname : s->name);
        put_process(s, &w, &u);
        if (put_mounts(s, &w, e) < 0)
                return -1;
        put_linux(s, &w);
        json_close(&w, '}');
        return 0;
}
