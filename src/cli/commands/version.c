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
#include "kernel/lsm.h"
#include "oci/spec.h"

struct show_args {
        const char *format;
};

/* server: with what docker says of one, for the scripts that ask it whether it is there. */
static void put_version(struct json_writer *w, const char *name, bool server)
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
        if (server) {
                struct utsname u = { 0 };

                uname(&u);
                json_put_str(w, "KernelVersion", u.release);
                json_put_bool(w, "Experimental", false);
                json_open(w, "Platform", '{');
                json_put_str(w, "Name", "berth");
                json_close(w, '}');
        }
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
        put_version(&w, "Client", false);
        put_version(&w, "Server", true);
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
        .about = "There is no server: what templates and JSON have as one is this program too.",
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

static const char *manager(const struct engine *g)
{
        return cgroup_manager_names[g->places.systemd ? MANAGER_SYSTEMD : MANAGER_CGROUPFS];
}

/* podman's templates name the field cgroupsVersion, its JSON cgroupVersion. */
static void put_cgroups(const struct engine *g, struct json_writer *w)
{
        AUTO_ARENA a = { 0 };
        struct cgroup_layout l;

        if (cgroup_layout_read(&a, &l) < 0)
                return;
        json_put_str(w, "cgroupManager", manager(g));
        json_put_str(w, "cgroupVersion", cgroup_layout_unified(&l) ? "v2" : "v1");
        json_put_str(w, "cgroupsVersion", cgroup_layout_unified(&l) ? "v2" : "v1");
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

static bool has_module(enum lsm_kind kind)
{
        AUTO_FD int sysfs = open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);

        return sysfs >= 0 && lsm_enabled(sysfs, kind);
}

/* podman's. */
static void put_security(struct json_writer *w)
{
        json_open(w, "security", '{');
        json_put_bool(w, "apparmorEnabled", has_module(LSM_APPARMOR));
        json_put_bool(w, "rootless", geteuid() != 0);
        json_put_bool(w, "seccompEnabled", true);
        json_put_bool(w, "selinuxEnabled", has_module(LSM_SELINUX));
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
        json_put_str(w, "logDriver", log_driver_names[LOG_DRIVER_K8S]);
        json_put_u64(w, "memFree", (uint64_t)s.freeram * s.mem_unit);
        json_put_u64(w, "memTotal", (uint64_t)s.totalram * s.mem_unit);
        json_open(w, "ociRuntime", '{');
        json_put_str(w, "name", "berth-oci");
        json_put_str(w, "version", BERTH_VERSION);
        json_close(w, '}');
        json_put_str(w, "os", p.os);
        put_security(w);
        json_put_u64(w, "swapFree", (uint64_t)s.freeswap * s.mem_unit);
        json_put_u64(w, "swapTotal", (uint64_t)s.totalswap * s.mem_unit);
        json_put_i64(w, "uptimeSeconds", s.uptime);
        json_close(w, '}');
}

struct counts {
        size_t containers, running, paused, images;
};

static int count(struct ctx *c, struct engine *g, struct counts *ret, struct err *e)
{
        struct image *images;
        struct ctr *v;

        if (ctr_list(g, &c->arena, &v, &ret->containers, e) < 0 ||
            store_images(g->store, &c->arena, NULL, &images, &ret->images, e) < 0)
                return -1;
        for (size_t i = 0; i < ret->containers; i++) {
                struct ctr_state s;

                ctr_state(g, &v[i], &s);
                ret->paused += s.status == CTR_PAUSED;
                ret->running += ctr_is_up(&s) && s.status != CTR_PAUSED;
        }
        return 0;
}

static void put_store(struct engine *g, const struct counts *n, struct json_writer *w)
{
        json_open(w, "store", '{');
        json_open(w, "containerStore", '{');
        json_put_u64(w, "number", n->containers);
        json_put_u64(w, "paused", n->paused);
        json_put_u64(w, "running", n->running);
        json_put_u64(w, "stopped", n->containers - n->running - n->paused);
        json_close(w, '}');
        json_put_str(w, "graphDriverName", layer_backend_names[store_backend(g->store)]);
        json_put_str(w, "graphRoot", store_path(g->store));
        json_open(w, "imageStore", '{');
        json_put_u64(w, "number", n->images);
        json_close(w, '}');
        json_put_str(w, "runRoot", g->places.run);
        json_close(w, '}');
}

/* ---- docker's members, for templates and JSON ---- */

static void put_counts(const struct counts *n, struct json_writer *w)
{
        json_put_u64(w, "Containers", n->containers);
        json_put_u64(w, "ContainersRunning", n->running);
        json_put_u64(w, "ContainersPaused", n->paused);
        json_put_u64(w, "ContainersStopped", n->containers - n->running - n->paused);
        json_put_u64(w, "Images", n->images);
}

static void put_machine(struct json_writer *w)
{
        struct sysinfo s = { 0 };
        struct utsname u = { 0 };
        AUTO_ARENA a = { 0 };

        uname(&u);
        sysinfo(&s);
        json_put_str(w, "Name", u.nodename);
        json_put_i64(w, "NCPU", sysconf(_SC_NPROCESSORS_ONLN));
        json_put_u64(w, "MemTotal", (uint64_t)s.totalram * s.mem_unit);
        json_put_str(w, "OperatingSystem", os_release(&a, "PRETTY_NAME"));
        json_put_str(w, "OSVersion", os_release(&a, "VERSION_ID"));
        json_put_str(w, "OSType", "linux");
        json_put_str(w, "Architecture", u.machine);
        json_put_str(w, "KernelVersion", u.release);
}

static void put_options(struct json_writer *w)
{
        json_open(w, "SecurityOptions", '[');
        if (has_module(LSM_APPARMOR))
                json_put_str(w, NULL, "name=apparmor");
        json_put_str(w, NULL, "name=seccomp,profile=builtin");
        if (has_module(LSM_SELINUX))
                json_put_str(w, NULL, "name=selinux");
        json_put_str(w, NULL, "name=cgroupns");
        json_close(w, ']');
}

static void put_plugins(struct json_writer *w)
{
        json_open(w, "Plugins", '{');
        json_open(w, "Volume", '[');
        json_put_str(w, NULL, "local");
        json_close(w, ']');
        json_open(w, "Network", '[');
        json_put_str(w, NULL, "host");
        json_put_str(w, NULL, "none");
        json_close(w, ']');
        json_open(w, "Log", '[');
        for (int i = 0; log_driver_names[i]; i++)
                json_put_str(w, NULL, log_driver_names[i]);
        json_close(w, ']');
        json_close(w, '}');
}

static void put_docker(const struct engine *g, const struct counts *n, struct json_writer *w)
{
        AUTO_ARENA a = { 0 };
        struct cgroup_layout l;

        put_counts(n, w);
        put_machine(w);
        json_put_str(w, "ServerVersion", BERTH_VERSION);
        json_put_str(w, "Driver", layer_backend_names[store_backend(g->store)]);
        json_open(w, "DriverStatus", '[');
        json_close(w, ']');
        json_put_str(w, "DockerRootDir", store_path(g->store));
        json_put_str(w, "LoggingDriver", log_driver_names[LOG_DRIVER_K8S]);
        json_put_str(w, "CgroupDriver", manager(g));
        if (cgroup_layout_read(&a, &l) == 0)
                json_put_str(w, "CgroupVersion", cgroup_layout_unified(&l) ? "2" : "1");
        json_put_str(w, "DefaultRuntime", "berth-oci");
        json_open(w, "Runtimes", '{');
        json_open(w, "berth-oci", '{');
        json_close(w, '}');
        json_close(w, '}');
        put_options(w);
        put_plugins(w);
        json_open(w, "Swarm", '{');
        json_put_str(w, "LocalNodeState", "inactive");
        json_put_bool(w, "ControlAvailable", false);
        json_close(w, '}');
        json_put_str(w, "IndexServerAddress", "https://index.docker.io/v1/");
        json_put_bool(w, "LiveRestoreEnabled", true);
        json_put_bool(w, "ExperimentalBuild", false);
        json_open(w, "Warnings", '[');
        json_close(w, ']');
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
        struct counts n = { 0 };
        struct engine g;
        struct json j;
        int r;

        if (ctr_engine(c, &g, e) < 0)
                return -1;
        json_open(&w, NULL, '{');
        r = count(c, &g, &n, e);
        put_host(&g, &w);
        put_store(&g, &n, &w);
        put_version(&w, "version", false);
        if (a->format)
                put_docker(&g, &n, &w);
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
        .about = "The members are podman's; for templates and JSON docker's are there too. "
                 "cgroupLayout says of each controller which version of "
                 "cgroups carries it.",
        .opts = info_opts,
        .needs = NEED_STORE,
        .args_size = sizeof(struct show_args),
        .run = run_info,
};
