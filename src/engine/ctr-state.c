/* What a container is doing: its monitor's word while that lives, else what is on disk (E2). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "engine/ctr-internal.h"
#include "monitor/evidence.h"
#include "oci/runtime.h"

const char *const ctr_status_names[CTR_STATUS_MAX + 1] = {
        "created", "running", "paused", "stopping", "restarting", "exited", "dead",
};

/* The last exit record tells, if it is of the last life. */
static void from_record(const struct engine *g, const struct ctr *c, int dir, struct ctr_state *s)
{
        AUTO_FREE char *text = NULL;
        AUTO_ARENA a = { 0 };
        unsigned numbers[EVIDENCE_KEPT];
        int n = dir < 0 ? 0 : evidence_list(dir, numbers);
        char name[32];
        int64_t v = 0;
        struct json j;
        size_t len;

        if (n == 0)
                return;
        snprintf(name, sizeof name, "exits/%u.json", numbers[n - 1]);
        if (fd_read_regular_at(dir, name, 1 << 20, &text, &len) < 0 ||
            json_parse(&a, text, len, NULL, &j, NULL) < 0)
                return;
        json_to_i64(json_get(&j, "started"), &v);
        if (s->monitor.started_ns && v != s->monitor.started_ns)
                return; /* of an earlier life than the one that was lost */
        s->monitor.error[0] = 0;
        s->status = CTR_EXITED;
        s->monitor.started_ns = v;
        json_to_i64(json_get(&j, "finished"), &s->monitor.finished_ns);
        if (json_to_i64(json_get(&j, "exitCode"), &v))
                s->monitor.exit_code = (int)v;
        s->monitor.oom_killed = json_is_true(json_get(&j, "oomKilled"));
        s->monitor.pid = 0;
}

/* The run directory is gone (a reboot), or its monitor is. */
static void from_evidence(const struct engine *g, const struct ctr *c, struct ctr_state *s)
{
        AUTO_FD int dir = ctr_dir(g, c->id, &(struct err){ 0 });
        int64_t started;
        bool machine;

        if (dir >= 0 && evidence_underway(dir, &started, &machine)) {
                s->monitor.started_ns = started;
                s->monitor.pid = 0;
                if (machine)
                        s->status = CTR_EXITED;
                snprintf(s->monitor.error, sizeof s->monitor.error, "%s",
                         machine ? "the machine went down while it ran" : "its monitor was killed");
        }
        from_record(g, c, dir, s);
}

/* A container that started once says so on disk, for after a reboot its run directory is gone. */
static bool has_started(const struct engine *g, const struct ctr *c)
{
        AUTO_ARENA a = { 0 };

        return faccessat(store_dir(g->store), arena_printf(&a, "containers/%s/exits", c->id), F_OK,
                         AT_SYMLINK_NOFOLLOW) == 0;
}

/* The file is made by `berth pause`; the kernel decides. Without it the freezer is not asked: for
 * a list of hundreds that would cost more than all else. */
static bool is_paused(const struct engine *g, const struct ctr *c, int runs)
{
        AUTO_ARENA a = { 0 };
        AUTO_CONTAINER oci = CONTAINER_INIT;
        char path[96];

        snprintf(path, sizeof path, "%s/paused", c->id);
        return faccessat(runs, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
               container_open(&a, g->places.oci, c->id, &oci, NULL) == 0 &&
               container_status(&oci) == STATUS_PAUSED;
}

static enum ctr_status from_monitor(const struct engine *g, const struct ctr *c, int runs,
                                    const struct monitor_state *m)
{
        switch (m->status) {
        case MONITOR_STARTING:
                return CTR_CREATED;
        case MONITOR_STOPPING:
                return CTR_STOPPING;
        case MONITOR_RESTARTING:
                return CTR_RESTARTING;
        case MONITOR_EXITED: /* or it could not be started, ever */
                return m->finished_ns || has_started(g, c) ? CTR_EXITED : CTR_CREATED;
        default:
                return is_paused(g, c, runs) ? CTR_PAUSED : CTR_RUNNING;
        }
}

static void state_of(const struct engine *g, const struct ctr *c, int runs, struct ctr_state *ret)
{
        char path[96];
        int r;

        *ret = (struct ctr_state){ .status = CTR_CREATED };
        snprintf(path, sizeof path, "%s/state.json", c->id);
        r = runs < 0 ? -ENOENT : monitor_state_load(runs, path, &ret->monitor);
        if (r == 1 || (r == 0 && ret->monitor.status == MONITOR_EXITED)) {
                ret->status = from_monitor(g, c, runs, &ret->monitor);
                return;
        }
        if (r == 0 || has_started(g, c)) {
                ret->status = CTR_LOST;
                ret->monitor.exit_code = 255;
                from_evidence(g, c, ret);
        }
}

void ctr_states(const struct engine *g, const struct ctr *v, size_t n, struct ctr_state *ret)
{
        AUTO_FREE char *path = mem_printf("%s/containers", g->places.run);
        AUTO_FD int runs = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        for (size_t i = 0; i < n; i++)
                state_of(g, &v[i], runs, &ret[i]);
}

void ctr_state(const struct engine *g, const struct ctr *c, struct ctr_state *ret)
{
        ctr_states(g, c, 1, ret);
}

bool ctr_is_up(const struct ctr_state *s)
{
        return s->status == CTR_RUNNING || s->status == CTR_PAUSED || s->status == CTR_STOPPING ||
               s->status == CTR_RESTARTING;
}

bool ctr_starts_at_boot(const struct engine *g, const struct ctr *c)
{
        AUTO_ARENA a = { 0 };
        AUTO_FD int dir = ctr_dir(g, c->id, &(struct err){ 0 });
        struct monitor_config m;
        struct ctr_state s;
        bool stopped;

        if (dir < 0 || ctr_monitor_config(g, &a, c, &m, &(struct err){ 0 }) < 0)
                return false;
        stopped = faccessat(dir, CTR_STOPPED, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
        ctr_state(g, c, &s);
        if (s.status == CTR_CREATED)
                return false;
        switch (m.restart) {
        case RESTART_ALWAYS:
                return true;
        case RESTART_UNLESS_STOPPED:
                return !stopped;
        case RESTART_ON_FAILURE:
                return !stopped && s.monitor.exit_code != 0;
        default:
                return false;
        }
}

uint64_t ctr_written(const struct engine *g, const struct ctr *c)
{
        AUTO_FD int dir = ctr_dir(g, c->id, &(struct err){ 0 });

        return dir < 0 ? 0 : store_tree_size(dir, "upper");
}
