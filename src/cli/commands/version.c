/* berth version, berth info. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/commands/system.h"
#include "cli/commit.h"
#include "cli/ctr-args.h"
#include "cli/show.h"
#include "engine/ctr.h"
#include "engine/placement.h"
#include "image/layer.h"
#include "image/platform.h"
#include "kernel/cgroup.h"
#include "oci/spec.h"

struct show_args {
        const char *format;
};

static void put_version(struct json_writer *w, const char *name)
{
        AUTO_ARENA a = { 0 };
        struct platform p;

        platform_host(&p);
        json_open(w, name, '{');
        json_put_str(w, "Version", BERTH_VERSION);
        json_put_str(w, "GitCommit", BERTH_COMMIT);
        json_put_str(w, "Os", p.os);
        json_put_str(w, "Arch", p.architecture);
        json_put_str(w, "OsArch", arena_printf(&a, "%s/%s", p.os, p.architecture));
        json_put_str(w, "OciSpec", SPEC_VERSION_MAX);
        json_close(w, '}');
}

/* ---- version ---- */

static void version_text(struct buf *out)
{
        struct platform p;

        platform_host(&p);
        buf_printf(out,
                   "Client:       berth\n"
                   "Version:      %s\n"
                   "Git commit:   %s\n"
                   "OS/Arch:      %s/%s\n"
                   "OCI spec:     %s\n",
                   BERTH_VERSION, BERTH_COMMIT, p.os, p.architecture, SPEC_VERSION_MAX);
}

static int run_version(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        const struct show_args *a = args;
        AUTO_BUF text = { 0 };
        AUTO_BUF out = { 0 };
        struct json_writer w = { .out = &text, .indent = 2 };

        json_open(&w, NULL, '{');
        put_version(&w, "Client");
        json_close(&w, '}');
        if (!a->format)
                version_text(&out);
        else if (show_one(c, a->format, &text, &out, e) < 0)
                return -1;
        fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return 0;
}

static const struct opt version_opts[] = {
        STR(struct show_args, format, 'f', "format", "TEMPLATE",
            "Print by a Go template such as {{.Client.Version}}, or `json`"),
        {}
};
const struct command cmd_version = {
        .name = "version",
        .help = "Show which berth this is",
        .about = "There is no server, so there is no part about one.",
        .opts = version_opts,
        .args_size = sizeof(struct show_args),
        .run = run_version,
};

/* ---- info ---- */

/* NAME="value" or NAME=value in os-release(5). */
static const char *os_release(struct arena *a, const char *name)
{
        AUTO_FREE char *text = NULL;
        size_t n, len = strlen(name);

        if (fd_read_file_at(AT_FDCWD, "/etc/os-release", 65536, &text, &n) < 0)
                return "";
        for (const char *at = text, *line; str_next(&at, '\n', &line, &n);) {
                if (n <= len || strncmp(line, name, len) != 0 || line[len] != '=')
                        continue;
                line += len + 1;
                n -= len + 1;
                if (n >= 2 && (*line == '"' || *line == '\''))
                        line++, n -= 2;
                return arena_strndup(a, line, n);
        }
        return "";
}

static void put_cgroups(const struct engine *g, struct json_writer *w)
{
        AUTO_ARENA a = { 0 };
        struct cgroup_layout l;

        if (cgroup_layout_read(&a, &l) < 0)
                return;
        json_put_str(w, "cgroupManager",
                     cgroup_manager_names[g->places.systemd ? MANAGER_SYSTEMD : MANAGER_CGROUPFS]);
        json_put_str(w, "cgroupVersion", cgroup_layout_unified(&l) ? "v2" : "v1");
        json_open(w, "cgroupControllers", '[');
        for (int k = 0; k < CGROUP_CONTROLLER_MAX; k++)
                if (l.of[k] >= 0 && cgroup_controller_name(k, l.v[l.of[k]].v2))
                        json_put_str(w, NULL, cgroup_controller_name(k, l.v[l.of[k]].v2));
        json_close(w, ']');
        json_open(w, "cgroupLayout", '{');
        for (int k = 0; k < CGROUP_CONTROLLER_MAX; k++)
                if (l.of[k] >= 0 && cgroup_controller_name(k, l.v[l.of[k]].v2))
                        json_put_str(w, cgroup_controller_name(k, l.v[l.of[k]].v2),
                                     l.v[l.of[k]].v2 ? "v2" : "v1");
        json_close(w, '}');
}

static void put_host(const struct engine *g, struct json_writer *w)
{
        struct platform p;
        struct sysinfo s = { 0 };
        struct utsname u = { 0 };
        AUTO_ARENA a = { 0 };

        platform_host(&p);
        uname(&u);
        sysinfo(&s);
        json_open(w, "host", '{');
        json_put_str(w, "arch", p.architecture);
        put_cgroups(g, w);
        json_put_i64(w, "cpus", sysconf(_SC_NPROCESSORS_ONLN));
        json_open(w, "distribution", '{');
        json_put_str(w, "distribution", os_release(&a, "ID"));
        json_put_str(w, "version", os_release(&a, "VERSION_ID"));
        json_close(w, '}');
        json_put_str(w, "hostname", u.nodename);
        json_put_str(w, "kernel", u.release);
        json_put_u64(w, "memFree", (uint64_t)s.freeram * s.mem_unit);
        json_put_u64(w, "memTotal", (uint64_t)s.totalram * s.mem_unit);
        json_open(w, "ociRuntime", '{');
        json_put_str(w, "name", "berth-oci");
        json_put_str(w, "version", BERTH_VERSION);
        json_close(w, '}');
        json_put_str(w, "os", p.os);
        json_put_u64(w, "swapFree", (uint64_t)s.freeswap * s.mem_unit);
        json_put_u64(w, "swapTotal", (uint64_t)s.totalswap * s.mem_unit);
        json_put_i64(w, "uptimeSeconds", s.uptime);
        json_close(w, '}');
}

static int put_store(struct ctx *c, struct engine *g, struct json_writer *w, struct err *e)
{
        int running = 0, paused = 0;
        struct image *images;
        struct ctr *v;
        size_t n, nimages;

        if (ctr_list(g, &c->arena, &v, &n, e) < 0 ||
            store_images(g->store, &c->arena, NULL, &images, &nimages, e) < 0)
                return -1;
        for (size_t i = 0; i < n; i++) {
                struct ctr_state s;

                ctr_state(g, &v[i], &s);
                paused += s.status == CTR_PAUSED;
                running += ctr_is_up(&s) && s.status != CTR_PAUSED;
        }
        json_open(w, "store", '{');
        json_open(w, "containerStore", '{');
        json_put_u64(w, "number", n);
        json_put_i64(w, "paused", paused);
        json_put_i64(w, "running", running);
        json_put_i64(w, "stopped", (int64_t)n - running - paused);
        json_close(w, '}');
        json_put_str(w, "graphDriverName", layer_backend_names[store_backend(g->store)]);
        json_put_str(w, "graphRoot", store_path(g->store));
        json_open(w, "imageStore", '{');
        json_put_u64(w, "number", nimages);
        json_close(w, '}');
        json_put_str(w, "runRoot", g->places.run);
        json_close(w, '}');
        return 0;
}

static void print_tree(const struct json *j, unsigned depth, struct buf *out);

/* "name: value", or the name and below it what is in it. */
static void print_member(const struct json *j, unsigned depth, const char *lead, struct buf *out)
{
        buf_printf(out, "%*s%s", (int)depth * 2, "", lead);
        if (j->type == JSON_OBJECT || j->type == JSON_ARRAY) {
                buf_puts(out, "\n");
                print_tree(j, depth + 1, out);
        } else if (j->type == JSON_STRING) {
                buf_printf(out, "%s%s\n", *j->s ? " " : "", j->s);
        } else {
                struct json_writer w = { .out = out };

                buf_putc(out, ' ');
                json_put(&w, NULL, j);
                buf_putc(out, '\n');
        }
}

static void print_tree(const struct json *j, unsigned depth, struct buf *out)
{
        AUTO_ARENA a = { 0 };

        for (uint32_t i = 0; i < j->n; i++)
                if (j->type == JSON_OBJECT)
                        print_member(&j->members[i].value, depth,
                                     arena_printf(&a, "%s:", j->members[i].name), out);
                else
                        print_member(&j->items[i], depth, "-", out);
}

static int run_info(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        const struct show_args *a = args;
        AUTO_BUF text = { 0 };
        AUTO_BUF out = { 0 };
        struct json_writer w = { .out = &text, .indent = 2 };
        struct engine g;
        struct json j;
        int r;

        if (ctr_engine(c, &g, e) < 0)
                return -1;
        json_open(&w, NULL, '{');
        put_host(&g, &w);
        r = put_store(c, &g, &w, e);
        put_version(&w, "version");
        json_close(&w, '}');
        engine_close(&g);
        if (r < 0)
                return -1;
        if (a->format && show_one(c, a->format, &text, &out, e) < 0)
                return -1;
        if (!a->format && json_parse(&c->arena, text.s, text.len, NULL, &j, NULL) == 0)
                print_tree(&j, 0, &out);
        fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return 0;
}

static const struct opt info_opts[] = {
        STR(struct show_args, format, 'f', "format", "TEMPLATE",
            "Print by a Go template such as {{.host.kernel}}, or `json`"),
        {}
};
const struct command cmd_info = {
        .name = "info",
        .alias = { "system info" },
        .help = "Show what berth has to do with: the host, the store, counts",
        .about = "The members are podman's. cgroupLayout says of each controller which version of "
                 "cgroups carries it.",
        .opts = info_opts,
        .needs = NEED_STORE,
        .args_size = sizeof(struct show_args),
        .run = run_info,
};
