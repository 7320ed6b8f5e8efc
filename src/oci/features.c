#include "oci/features.h"

#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/macro.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"
#include "kernel/caps.h"
#include "kernel/mount.h"
#include "kernel/sched.h"
#include "kernel/seccomp.h"
#include "oci/seccomp-names.h"
#include "oci/spec.h"

/* Lists are sorted by name, as runc's are: people compare them with diff. */
static int by_name(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Writes the names that begin the structs of a table, up to a NULL name; stride is their size. */
static void put_table(struct json_writer *w, const char *name, const void *table, size_t stride,
                      bool sorted)
{
        AUTO_FREE const char **names = NULL;
        size_t n = 0;

        for (const char *at = table, *s;; at += stride, n++) {
                memcpy(&s, at, sizeof s);
                if (!s)
                        break;
                names = mem_realloc(names, mem_mul(n + 1, sizeof *names));
                names[n] = s;
        }
        if (sorted && n > 0)
                qsort(names, n, sizeof *names, by_name);
        json_open(w, name, '[');
        for (size_t i = 0; i < n; i++)
                json_put_str(w, NULL, names[i]);
        json_close(w, ']');
}
#define PUT_TABLE(w, name, table, sorted) put_table((w), (name), (table), sizeof *(table), (sorted))
static_assert(offsetof(struct mount_opt, name) == 0 && offsetof(struct str_flag, name) == 0 &&
                      offsetof(struct seccomp_name, name) == 0 &&
                      offsetof(struct seccomp_arch, name) == 0,
              "put_table() reads the name there");

static void put_namespaces(struct json_writer *w)
{
        const char *names[NS_MAX];

        memcpy(names, spec_ns_names, sizeof names);
        qsort(names, NS_MAX, sizeof *names, by_name);
        json_open(w, "namespaces", '[');
        for (int i = 0; i < NS_MAX; i++)
                json_put_str(w, NULL, names[i]);
        json_close(w, ']');
}

static void put_enabled(struct json_writer *w, const char *name)
{
        json_open(w, name, '{');
        json_put_bool(w, "enabled", true);
        json_close(w, '}');
}

static void put_cgroup(struct json_writer *w, const struct features_input *in)
{
        json_open(w, "cgroup", '{');
        json_put_bool(w, "v1", true);
        json_put_bool(w, "v2", true);
        json_put_bool(w, "systemd", in->systemd);
        json_put_bool(w, "systemdUser", in->systemd_user);
        json_put_bool(w, "rdma", true);
        json_close(w, '}');
}

static void put_seccomp(struct json_writer *w)
{
        json_open(w, "seccomp", '{');
        json_put_bool(w, "enabled", true);
        PUT_TABLE(w, "actions", seccomp_actions, true);
        PUT_TABLE(w, "operators", seccomp_operators, true);
        PUT_TABLE(w, "archs", seccomp_archs, true);
        PUT_TABLE(w, "knownFlags", seccomp_flags, true);
        json_open(w, "supportedFlags", '[');
        for (const struct seccomp_name *f = seccomp_flags; f->name; f++)
                if (seccomp_has_flag(f->value))
                        json_put_str(w, NULL, f->name);
        json_close(w, ']');
        json_close(w, '}');
}

static void put_linux(struct json_writer *w, const struct features_input *in)
{
        json_open(w, "linux", '{');
        put_namespaces(w);
        json_open(w, "capabilities", '[');
        for (unsigned i = 0; caps_name(i); i++)
                json_put_str(w, NULL, caps_name(i));
        json_close(w, ']');
        put_cgroup(w, in);
        put_seccomp(w);
        put_enabled(w, "apparmor");
        put_enabled(w, "selinux");
        json_open(w, "intelRdt", '{');
        json_put_bool(w, "enabled", true);
        json_put_bool(w, "schemata", true);
        json_put_bool(w, "monitoring", true);
        json_close(w, '}');
        json_open(w, "memoryPolicy", '{');
        PUT_TABLE(w, "modes", sched_mem_modes, false);
        PUT_TABLE(w, "flags", sched_mem_flags, false);
        json_close(w, '}');
        json_open(w, "mountExtensions", '{');
        put_enabled(w, "idmap");
        json_close(w, '}');
        put_enabled(w, "netDevices");
        json_close(w, '}');
}

static void put_annotations(struct json_writer *w, const struct features_input *in)
{
        json_open(w, "annotations", '{');
        json_put_str(w, "io.github.seccomp.libseccomp.version", seccomp_tables_version());
        /* Callers look for runc's key before they offer checkpoints; crun has it as well. */
        json_put_str(w, "org.opencontainers.runc.checkpoint.enabled",
                     in->checkpoint ? "true" : "false");
        json_put_str(w, "org.berth.version", in->version);
        if (in->commit)
                json_put_str(w, "org.berth.commit", in->commit);
        json_close(w, '}');
}

void features_write(const struct features_input *in, struct buf *out)
{
        struct json_writer w = { .out = out, .indent = 4 };

        json_open(&w, NULL, '{');
        json_put_str(&w, "ociVersionMin", SPEC_VERSION_MIN);
        json_put_str(&w, "ociVersionMax", SPEC_VERSION_MAX);
        json_open(&w, "hooks", '[');
        for (int i = 0; i < HOOK_MAX; i++)
                json_put_str(&w, NULL, spec_hook_names[i]);
        json_close(&w, ']');
        PUT_TABLE(&w, "mountOptions", mount_opts, true);
        put_linux(&w, in);
        put_annotations(&w, in);
        json_open(&w, "potentiallyUnsafeConfigAnnotations", '[');
        for (const char *const *a = in->unsafe_annotations; a && *a; a++)
                json_put_str(&w, NULL, *a);
        json_close(&w, ']');
        json_close(&w, '}');
        buf_putc(out, '\n');
}
