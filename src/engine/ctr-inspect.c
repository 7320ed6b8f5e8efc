/* What `inspect` shows of a container, under docker's and podman's names, from what lies on disk:
 * its record, config.json, monitor.json, its state, and the evidence of its exits. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "engine/ctr-internal.h"
#include "kernel/signals.h"
#include "monitor/evidence.h"
#include "monitor/health.h"

#define FILE_LIMIT (16u << 20)
/* What docker and podman print for a time that was not. */
#define NEVER "0001-01-01T00:00:00Z"

struct inspection {
        struct arena arena;
        const struct engine *g;
        const struct ctr *c;
        struct ctr_state s;
        const struct json *config; /* config.json; NULL: can't be read */
        struct monitor_config monitor;
        const struct json *health_log; /* of its monitor; or NULL */
        const char *dir;               /* the container's, as a path */
        bool size;                     /* docker's SizeRw and SizeRootFs are asked for */
};

/* ---- reading ---- */

static const struct json *read_json(struct arena *a, int dir, const char *name)
{
        struct json *j = arena_new(a, struct json);
        AUTO_FREE char *text = NULL;
        size_t n;

        if (fd_read_regular_at(dir, name, FILE_LIMIT, &text, &n) < 0 ||
            json_parse(a, text, n, NULL, j, NULL) < 0)
                return NULL;
        return j;
}

static void read_monitor(struct inspection *i, int dir)
{
        AUTO_FREE char *text = NULL;
        struct monitor_config m;
        size_t n;

        if (fd_read_regular_at(dir, "monitor.json", FILE_LIMIT, &text, &n) == 0 &&
            monitor_config_read(&i->arena, arena_strndup(&i->arena, text, n), n, &m, NULL) == 0)
                i->monitor = m;
}

static const struct json *config_at(const struct inspection *i, const char *path)
{
        return json_path(i->config, path);
}

static int64_t number_at(const struct inspection *i, const char *path, int64_t fallback)
{
        int64_t v;

        return json_to_i64(config_at(i, path), &v) ? v : fallback;
}

static bool bool_at(const struct inspection *i, const char *path)
{
        return json_is_true(config_at(i, path));
}

/* ---- writing ---- */

static void put_time(struct json_writer *w, const char *name, int64_t ns)
{
        time_t seconds = ns / 1000000000;
        char text[64];
        struct tm tm;
        size_t n;

        if (ns <= 0) {
                json_put_str(w, name, NEVER);
                return;
        }
        gmtime_r(&seconds, &tm);
        n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(text + n, sizeof text - n, ".%09" PRId64 "Z", ns % 1000000000);
        json_put_str(w, name, text);
}

/* A list of the record or of config.json; what isn't there is empty, for templates. */
static void put_list(struct json_writer *w, const char *name, const struct json *list)
{
        if (list && list->type == JSON_ARRAY) {
                json_put(w, name, list);
                return;
        }
        json_open(w, name, '[');
        json_close(w, ']');
}

static void put_health(const struct inspection *i, struct json_writer *w)
{
        const struct monitor_state *m = &i->s.monitor;

        if (!i->monitor.health.test.n)
                return;
        json_open(w, "Health", '{');
        json_put_str(w, "Status",
                     m->health == HEALTH_OFF ? health_status_names[HEALTH_BEGINNING]
                                             : health_status_names[m->health]);
        json_put_u64(w, "FailingStreak", m->health_failures);
        put_list(w, "Log", i->health_log);
        json_close(w, '}');
}

static void put_state(const struct inspection *i, struct json_writer *w)
{
        const struct ctr_state *s = &i->s;
        bool up = s->status == CTR_RUNNING || s->status == CTR_PAUSED || s->status == CTR_STOPPING;

        json_open(w, "State", '{');
        json_put_str(w, "OciVersion", json_str(config_at(i, "ociVersion"), ""));
        json_put_str(w, "Status", ctr_status_names[s->status]);
        json_put_bool(w, "Running", up);
        json_put_bool(w, "Paused", s->status == CTR_PAUSED);
        json_put_bool(w, "Restarting", s->status == CTR_RESTARTING);
        json_put_bool(w, "OOMKilled", s->monitor.oom_killed);
        json_put_bool(w, "Dead", s->status == CTR_LOST);
        json_put_i64(w, "Pid", up ? s->monitor.pid : 0);
        json_put_i64(w, "ConmonPid", ctr_is_up(s) ? s->monitor.monitor : 0);
        json_put_i64(w, "ExitCode", up ? 0 : s->monitor.exit_code);
        json_put_str(w, "Error", s->monitor.error);
        put_time(w, "StartedAt", s->monitor.started_ns);
        put_time(w, "FinishedAt", s->monitor.finished_ns);
        put_health(i, w);
        json_put_str(w, "CgroupPath", json_str(config_at(i, "linux.cgroupsPath"), ""));
        json_close(w, '}');
}

/* ---- Config ---- */

/* docker's: in ns, the test with its kind in front. */
static void put_health_config(const struct inspection *i, struct json_writer *w)
{
        const struct health_config *h = &i->monitor.health;
        bool shell =
                h->test.n == 3 && str_eq(h->test.v[0], "/bin/sh") && str_eq(h->test.v[1], "-c");

        if (!h->test.n)
                return;
        json_open(w, "Healthcheck", '{');
        json_open(w, "Test", '[');
        json_put_str(w, NULL, shell ? "CMD-SHELL" : "CMD");
        for (size_t k = shell ? 2 : 0; k < h->test.n; k++)
                json_put_str(w, NULL, h->test.v[k]);
        json_close(w, ']');
        json_put_i64(w, "Interval", h->interval_ms * 1000000);
        json_put_i64(w, "Timeout", h->timeout_ms * 1000000);
        json_put_i64(w, "StartPeriod", h->start_period_ms * 1000000);
        if (h->start_interval_ms)
                json_put_i64(w, "StartInterval", h->start_interval_ms * 1000000);
        json_put_i64(w, "Retries", h->retries);
        json_close(w, '}');
        json_put_str(w, "HealthcheckOnFailureAction", health_action_names[h->on_failure]);
}

static void put_stop(const struct inspection *i, struct json_writer *w)
{
        const char *name = signal_name((int)i->monitor.stop_signal);
        char number[16];

        snprintf(number, sizeof number, "%d", (int)i->monitor.stop_signal);
        json_put_str(w, "StopSignal", name ? name : number);
        json_put_bool(w, "SystemdMode", json_is_true(json_get(i->c->record, "systemd")));
        json_put_i64(w, "StopTimeout", i->monitor.stop_timeout_ms / 1000);
        json_put_i64(w, "Timeout", i->monitor.timeout_ms / 1000);
}

static void put_config(const struct inspection *i, struct json_writer *w)
{
        const struct ctr *c = i->c;

        json_open(w, "Config", '{');
        json_put_str(w, "Hostname", json_str(config_at(i, "hostname"), ""));
        json_put_str(w, "Domainname", json_str(config_at(i, "domainname"), ""));
        json_put_str(w, "User", c->user);
        json_put_bool(w, "AttachStdin", false);
        json_put_bool(w, "AttachStdout", false);
        json_put_bool(w, "AttachStderr", false);
        json_put_bool(w, "Tty", c->tty);
        json_put_bool(w, "OpenStdin", c->open_stdin);
        json_put_bool(w, "StdinOnce", false);
        put_list(w, "Env", config_at(i, "process.env"));
        if (c->command.n > c->entrypoint)
                json_put_strings(w, "Cmd",
                                 &(struct strings){ c->command.v + c->entrypoint,
                                                    c->command.n - c->entrypoint });
        else
                json_put_null(w, "Cmd");
        json_put_str(w, "Image", c->image_name);
        json_put_str(w, "WorkingDir", json_str(config_at(i, "process.cwd"), ""));
        if (c->entrypoint)
                json_put_strings(w, "Entrypoint", &(struct strings){ c->command.v, c->entrypoint });
        else
                json_put_null(w, "Entrypoint");
        json_put_key_values(w, "Labels", &c->labels);
        if (config_at(i, "annotations"))
                json_put(w, "Annotations", config_at(i, "annotations"));
        put_stop(i, w);
        put_health_config(i, w);
        put_list(w, "Secrets", json_get(c->record, "secrets"));
        put_list(w, "CreateCommand", json_get(c->record, "commandLine"));
        json_close(w, '}');
}

/* ---- HostConfig ---- */

static void put_log(const struct inspection *i, struct json_writer *w)
{
        const struct monitor_config *m = &i->monitor;
        AUTO_ARENA a = { 0 };

        json_open(w, "LogConfig", '{');
        json_put_str(w, "Type", log_driver_names[m->log_driver]);
        json_open(w, "Config", '{');
        if (m->log_tag)
                json_put_str(w, "tag", m->log_tag);
        if (m->log_max_size)
                json_put_str(w, "max-size", arena_printf(&a, "%" PRIu64, m->log_max_size));
        if (m->log_max_files)
                json_put_str(w, "max-file", arena_printf(&a, "%" PRId64, m->log_max_files));
        json_close(w, '}');
        json_put_str(w, "Path",
                     m->log_driver == LOG_DRIVER_NONE ? ""
                                                      : arena_printf(&a, "%s/ctr.log", i->dir));
        json_close(w, '}');
}

static bool has_namespace(const struct inspection *i, const char *type)
{
        const struct json *list = config_at(i, "linux.namespaces");

        for (uint32_t k = 0; list && list->type == JSON_ARRAY && k < list->n; k++)
                if (str_eq(json_str(json_get(&list->items[k], "type"), ""), type))
                        return true;
        return false;
}

static void put_map(const char *name, const struct id_mappings *m, struct json_writer *w)
{
        AUTO_ARENA a = { 0 };

        json_open(w, name, '[');
        for (size_t i = 0; i < m->n; i++)
                json_put_str(w, NULL,
                             arena_printf(&a, "%u:%u:%u", m->v[i].container_id, m->v[i].host_id,
                                          m->v[i].size));
        json_close(w, ']');
}

/* podman's; where there is no user namespace it is left out. */
static void put_id_mappings(const struct inspection *i, struct json_writer *w)
{
        AUTO_ARENA a = { 0 };
        struct userns u;

        userns_read(&a, i->c->record, &u);
        if (u.mode == USERNS_HOST)
                return;
        json_open(w, "IDMappings", '{');
        put_map("UidMap", &u.uids, w);
        put_map("GidMap", &u.gids, w);
        json_close(w, '}');
}

static void put_resources(const struct inspection *i, struct json_writer *w)
{
        static const struct {
                const char *name, *path;
        } rows[] = {
                { "Memory", "linux.resources.memory.limit" },
                { "MemoryReservation", "linux.resources.memory.reservation" },
                { "MemorySwap", "linux.resources.memory.swap" },
                { "CpuShares", "linux.resources.cpu.shares" },
                { "CpuPeriod", "linux.resources.cpu.period" },
                { "CpuQuota", "linux.resources.cpu.quota" },
                { "CpuRealtimePeriod", "linux.resources.cpu.realtimePeriod" },
                { "CpuRealtimeRuntime", "linux.resources.cpu.realtimeRuntime" },
                { "BlkioWeight", "linux.resources.blockIO.weight" },
                { "PidsLimit", "linux.resources.pids.limit" },
                { "OomScoreAdj", "process.oomScoreAdj" },
        };
        int64_t quota = number_at(i, "linux.resources.cpu.quota", 0);
        int64_t period = number_at(i, "linux.resources.cpu.period", 100000);

        for (size_t k = 0; k < ARRAY_SIZE(rows); k++)
                json_put_i64(w, rows[k].name, number_at(i, rows[k].path, 0));
        json_put_i64(w, "NanoCpus", quota > 0 && period > 0 ? quota * 1000000 / period * 1000 : 0);
        json_put_str(w, "CpusetCpus", json_str(config_at(i, "linux.resources.cpu.cpus"), ""));
        json_put_str(w, "CpusetMems", json_str(config_at(i, "linux.resources.cpu.mems"), ""));
}

static void put_host_config(const struct inspection *i, struct json_writer *w)
{
        const struct json *asked = json_get(i->c->record, "hostConfig");

        json_open(w, "HostConfig", '{');
        for (uint32_t k = 0; asked && asked->type == JSON_OBJECT && k < asked->n; k++)
                json_put(w, asked->members[k].name, &asked->members[k].value);
        json_put_str(w, "NetworkMode", i->c->network);
        json_put_str(w, "UsernsMode", has_namespace(i, "user") ? "private" : "");
        put_log(i, w);
        put_id_mappings(i, w);
        json_open(w, "PortBindings", '{');
        json_close(w, '}');
        json_open(w, "RestartPolicy", '{');
        json_put_str(w, "Name", restart_policy_names[i->monitor.restart]);
        json_put_i64(w, "MaximumRetryCount", i->monitor.restart_max);
        json_close(w, '}');
        json_put_bool(w, "AutoRemove", i->c->auto_remove);
        json_put_bool(w, "PublishAllPorts", false);
        json_put_bool(w, "ReadonlyRootfs", bool_at(i, "root.readonly"));
        json_put_bool(w, "NoNewPrivileges", bool_at(i, "process.noNewPrivileges"));
        json_put_str(w, "Runtime", "berth-oci");
        put_list(w, "MaskedPaths", config_at(i, "linux.maskedPaths"));
        put_list(w, "ReadonlyPaths", config_at(i, "linux.readonlyPaths"));
        put_resources(i, w);
        json_close(w, '}');
}

/* ---- Mounts ---- */

/* What was asked for, and the image's volumes; not the mounts that every container has. */
static void put_mount(const struct json *m, struct json_writer *w)
{
        bool volume = str_eq(json_str(json_get(m, "type"), ""), "volume");

        json_open(w, NULL, '{');
        json_put_str(w, "Type", json_str(json_get(m, "type"), ""));
        if (volume)
                json_put_str(w, "Name", json_str(json_get(m, "name"), ""));
        json_put_str(w, "Source", json_str(json_get(m, "source"), ""));
        json_put_str(w, "Destination", json_str(json_get(m, "destination"), ""));
        json_put_str(w, "Driver", volume ? "local" : "");
        json_put_str(w, "Mode", "");
        put_list(w, "Options", json_get(m, "options"));
        json_put_bool(w, "RW", json_is_true(json_get(m, "rw")));
        json_put_str(w, "Propagation", json_str(json_get(m, "propagation"), ""));
        json_close(w, '}');
}

static void put_mounts(const struct inspection *i, struct json_writer *w)
{
        const struct json *list = json_get(i->c->record, "mounts");

        json_open(w, "Mounts", '[');
        for (uint32_t k = 0; list && list->type == JSON_ARRAY && k < list->n; k++)
                put_mount(&list->items[k], w);
        json_close(w, ']');
}

static void put_network(const struct inspection *i, struct json_writer *w)
{
        json_open(w, "NetworkSettings", '{');
        json_put_str(w, "IPAddress", "");
        json_put_i64(w, "IPPrefixLen", 0);
        json_put_str(w, "Gateway", "");
        json_put_str(w, "MacAddress", "");
        json_open(w, "Ports", '{');
        json_close(w, '}');
        json_open(w, "Networks", '{');
        json_close(w, '}');
        json_close(w, '}');
}

/* ---- ours ---- */

static void put_exits(const struct inspection *i, int dir, struct json_writer *w)
{
        unsigned numbers[EVIDENCE_KEPT];
        int n = evidence_list(dir, numbers);

        json_open(w, "Exits", '[');
        for (int k = 0; k < n; k++) {
                AUTO_ARENA a = { 0 };
                const struct json *j =
                        read_json(&a, dir, arena_printf(&a, "exits/%u.json", numbers[k]));

                if (j)
                        json_put(w, NULL, j);
        }
        json_close(w, ']');
}

static void put_berth(const struct inspection *i, int dir, struct json_writer *w)
{
        const struct ctr *c = i->c;
        AUTO_ARENA a = { 0 };

        json_open(w, "Berth", '{');
        json_put_str(w, "Directory", i->dir);
        json_put_str(w, "RunDirectory",
                     arena_printf(&a, "%s/containers/%s", i->g->places.run, c->id));
        json_put_i64(w, "Monitor", ctr_is_up(&i->s) ? i->s.monitor.monitor : 0);
        json_put_u64(w, "LogLost", i->s.monitor.log_lost);
        json_put_strings(w, "Layers", &c->layers);
        put_exits(i, dir, w);
        json_close(w, '}');
}

/* ---- where its files are ---- */

static void put_file(const struct inspection *i, const char *member, const char *name,
                     struct json_writer *w)
{
        AUTO_ARENA a = { 0 };
        const char *path = arena_printf(&a, "%s/etc/%s", i->dir, name);

        json_put_str(w, member, access(path, F_OK) == 0 ? path : "");
}

/* Its root is mounted where nobody else sees it: while it runs, procfs leads there. */
static void put_graph(const struct inspection *i, struct json_writer *w)
{
        AUTO_ARENA a = { 0 };

        json_open(w, "GraphDriver", '{');
        json_put_str(w, "Name", "overlay");
        json_open(w, "Data", '{');
        if (ctr_is_up(&i->s) && i->s.monitor.pid > 0)
                json_put_str(w, "MergedDir", arena_printf(&a, "/proc/%d/root", i->s.monitor.pid));
        json_put_str(w, "UpperDir", arena_printf(&a, "%s/upper", i->dir));
        json_put_str(w, "WorkDir", arena_printf(&a, "%s/work", i->dir));
        json_close(w, '}');
        json_close(w, '}');
}

/* An image that is gone counts as nothing. */
static void put_size(const struct inspection *i, struct json_writer *w)
{
        uint64_t written = i->size ? ctr_written(i->g, i->c) : 0;
        AUTO_ARENA a = { 0 };
        struct image image = { 0 };

        if (!i->size)
                return;
        store_image_find(i->g->store, &a, i->c->image_digest, &image, NULL);
        json_put_u64(w, "SizeRw", written);
        json_put_u64(w, "SizeRootFs", written + image.size);
}

/* ---- the whole ---- */

static void put_all(const struct inspection *i, int dir, struct json_writer *w)
{
        const struct ctr *c = i->c;
        AUTO_ARENA a = { 0 };
        size_t first = MIN(c->command.n, (size_t)1);

        json_open(w, NULL, '{');
        json_put_str(w, "Id", c->id);
        put_time(w, "Created", c->created_ns);
        json_put_str(w, "Path", first ? c->command.v[0] : "");
        json_put_strings(w, "Args",
                         &(struct strings){ c->command.v + first, c->command.n - first });
        put_state(i, w);
        json_put_str(w, "Image", c->image_id);
        json_put_str(w, "ImageDigest", c->image_digest);
        json_put_str(w, "ImageName", c->image_name);
        json_put_str(w, "OCIConfigPath", arena_printf(&a, "%s/config.json", i->dir));
        json_put_str(w, "OCIRuntime", "berth-oci");
        json_put_str(w, "LogPath",
                     i->monitor.log_driver == LOG_DRIVER_NONE
                             ? ""
                             : arena_printf(&a, "%s/ctr.log", i->dir));
        put_file(i, "ResolvConfPath", "resolv.conf", w);
        put_file(i, "HostnamePath", "hostname", w);
        put_file(i, "HostsPath", "hosts", w);
        json_put_str(w, "PidFile", i->monitor.pid_file ? i->monitor.pid_file : "");
        json_put_str(w, "Name", c->name);
        json_put_u64(w, "RestartCount", i->s.monitor.restarts);
        json_put_str(w, "Driver", "berth");
        json_put_str(w, "Platform", "linux");
        json_put_str(w, "AppArmorProfile", json_str(config_at(i, "process.apparmorProfile"), ""));
        json_put_str(w, "ProcessLabel", json_str(config_at(i, "process.selinuxLabel"), ""));
        json_put_str(w, "MountLabel", json_str(config_at(i, "linux.mountLabel"), ""));
        put_graph(i, w);
        put_size(i, w);
        put_list(w, "EffectiveCaps", config_at(i, "process.capabilities.effective"));
        put_list(w, "BoundingCaps", config_at(i, "process.capabilities.bounding"));
        put_mounts(i, w);
        put_network(i, w);
        put_config(i, w);
        put_host_config(i, w);
        put_berth(i, dir, w);
        json_close(w, '}');
}

int ctr_inspect(struct engine *g, const struct ctr *c, bool size, struct json_writer *w,
                struct err *e)
{
        struct inspection i = { .g = g, .c = c, .size = size };
        AUTO_FD int dir = ctr_dir(g, c->id, e);

        if (dir < 0)
                return -1;
        i.dir = arena_printf(&i.arena, "%s/containers/%s", store_path(g->store), c->id);
        i.config = read_json(&i.arena, dir, "config.json");
        read_monitor(&i, dir);
        AUTO_FD int run = ctr_run_dir(g, c->id, false, &(struct err){ 0 });
        i.health_log = run < 0 ? NULL : read_json(&i.arena, run, HEALTH_LOG);
        ctr_state(g, c, &i.s);
        put_all(&i, dir, w);
        arena_done(&i.arena);
        return 0;
}
