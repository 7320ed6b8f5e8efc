#include "oci/events.h"

#include <errno.h>
#include <poll.h>

#include "base/fd.h"
#include "codec/json.h"
#include "kernel/sys.h"
#include "oci/cgroup-stats.h"

static void put_event(const struct container *c, const struct cgroup *cgroup, const char *type,
                      void (*put)(const struct buf *line))
{
        AUTO_BUF line = { 0 };
        struct json_writer w = { .out = &line, .fresh = true };

        json_open(&w, NULL, '{');
        json_put_str(&w, "type", type);
        json_put_str(&w, "id", c->id);
        if (cgroup)
                cgroup_stats_json(cgroup, &w, "data");
        json_close(&w, '}');
        buf_putc(&line, '\n');
        put(&line);
}

int runtime_events(const struct runtime *rt, const char *id, bool once, int64_t interval_ms,
                   void (*put)(const struct buf *line), struct err *e)
{
        struct cgroup_oom oom = CGROUP_OOM_INIT;
        AUTO_ARENA a = { 0 };
        AUTO_CONTAINER c = CONTAINER_INIT;
        struct cgroup cgroup;

        if (runtime_open(rt, &a, id, false, &c, e) < 0 || container_cgroup(&a, &c, &cgroup, e) < 0)
                return -1;
        if (container_status(&c) == STATUS_STOPPED)
                return err_set(e, ERR_STATE, "container not running: \"%s\" has stopped", id);
        if (once) {
                put_event(&c, &cgroup, "stats", put);
                return 0;
        }
        AUTO_FD int pidfd = sys_pidfd_open(c.pid);
        cgroup_oom_open(&cgroup, &oom);
        for (;;) {
                struct pollfd p[] = { { pidfd, POLLIN, 0 }, { oom.fd, POLLIN, 0 } };
                int n = poll(p, 2, (int)interval_ms);

                if (n < 0 && errno != EINTR)
                        break;
                if (p[1].revents && cgroup_oom_check(&oom) == 1)
                        put_event(&c, NULL, "oom", put);
                if (n > 0 && p[0].revents)
                        break;
                if (n == 0)
                        put_event(&c, &cgroup, "stats", put);
        }
        cgroup_oom_done(&oom);
        return 0;
}
