/* The config.json of a sandbox. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"
#include "engine/sandbox-internal.h"
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

/* HOME is the user's, unless the image or the caller say otherwise. */
static void put_env(const struct run *r, struct json_writer *w, const struct user *u)
{
        const struct strings *env = &r->settings.env;
        AUTO_ARENA a = { 0 };
        bool home = false;

        json_open(w, "env", '[');
        for (size_t i = 0; i < env->n; i++) {
                json_put_str(w, NULL, env->v[i]);
                home |= str_after(env->v[i], "HOME=") != NULL;
        }
        if (!home)
                json_put_str(w, NULL, arena_printf(&a, "HOME=%s", u->home));
        json_close(w, ']');
}

static void put_user(struct json_writer *w, const struct user *u)
{
        json_open(w, "user", '{');
        json_put_u64(w, "uid", u->uid);
        json_put_u64(w, "gid", u->gid);
        json_open(w, "additionalGids", '[');
        for (size_t i = 0; i < u->ngids; i++)
                json_put_u64(w, NULL, u->gids[i]);
        json_close(w, ']');
        json_close(w, '}');
}

static void put_process(const struct run *r, struct json_writer *w, const struct user *u)
{
        json_open(w, "process", '{');
        json_put_bool(w, "terminal", r->s->tty);
        put_user(w, u);
        json_open(w, "args", '[');
        for (size_t i = 0; i < r->settings.args.n; i++)
                json_put_str(w, NULL, r->settings.args.v[i]);
        json_close(w, ']');
        put_env(r, w, u);
        json_put_str(w, "cwd", r->settings.workdir);
        json_open(w, "capabilities", '{');
        put_cap_set(r->s, w, "bounding");
        if (u->uid == 0) {
                put_cap_set(r->s, w, "effective");
                put_cap_set(r->s, w, "permitted");
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

/* image-spec conversion.md. Labels are not copied: a runtime acts on annotations, and an image is
 * not to tell it what to do. */
static void put_annotations(const struct run *r, struct json_writer *w)
{
        json_open(w, "annotations", '{');
        if (r->settings.stop_signal)
                json_put_str(w, "org.opencontainers.image.stopSignal", r->settings.stop_signal);
        json_close(w, '}');
}

int sandbox_config(struct run *r, struct err *e)
{
        struct json_writer w = { .out = &r->json, .fresh = true };
        const struct sandbox *s = r->s;
        AUTO_ARENA a = { 0 };
        struct user u;

        if (user_find(&a, r->root, r->settings.user, &s->group_add, &u, e) < 0)
                return err_in(e, s->user ? "--user" : "the image's user");
        json_open(&w, NULL, '{');
        json_put_str(&w, "ociVersion", "1.3.0");
        json_open(&w, "root", '{');
        json_put_str(&w, "path", r->root_path);
        json_put_bool(&w, "readonly", s->read_only);
        json_close(&w, '}');
        json_put_str(&w, "hostname", s->hostname ? s->hostname : s->name);
        put_process(r, &w, &u);
        mounts_write(s, &r->mounts, &w);
        put_linux(s, &w);
        put_annotations(r, &w);
        json_close(&w, '}');
        return 0;
}
