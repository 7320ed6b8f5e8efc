/* update: new limits for a running container. */
#include <errno.h>
#include <fcntl.h>

#include "base/fd.h"
#include "kernel/rdt.h"
#include "oci/cgroup-apply.h"
#include "oci/runtime.h"
#include "oci/systemd.h"

static int update_scope(struct arena *a, const struct container *c, const struct cgroup_plan *p,
                        struct err *e)
{
        AUTO_BUF properties = { 0 };
        AUTO_FREE char *devices = NULL;
        struct systemd_unit unit;
        size_t n;

        if (!c->scope)
                return 0;
        fd_read_file_at(AT_FDCWD, "/proc/devices", 1 << 16, &devices, &n);
        if (systemd_unit_parse(a, c->scope, c->id, c->scope_user, &unit, e) < 0 ||
            systemd_properties(p, devices, &properties, e) < 0)
                return -1;
        return properties.len ? systemd_update(&unit, buf_str(&properties), e) : 0;
}

static int update_rdt(const struct container *c, const struct update_options *o, struct err *e)
{
        const char *lines[2];
        size_t n = 0;
        int r;

        if (o->l3_cache_schema)
                lines[n++] = o->l3_cache_schema;
        if (o->mem_bw_schema)
                lines[n++] = o->mem_bw_schema;
        if (n == 0)
                return 0;
        if (!c->rdt)
                return err_set(e, ERR_STATE, "container \"%s\" was created without intelRdt",
                               c->id);
        AUTO_FD int root = rdt_open();
        AUTO_FD int class = root < 0 ? root : rdt_class_open(root, c->rdt, false, NULL);
        r = class < 0 ? class : rdt_schemata_write(class, lines, n);
        return r < 0 ? err_sys(e, r, "cannot update resctrl class \"%s\"", c->rdt) : 0;
}

int runtime_update(const struct runtime *rt, const char *id, const struct update_options *o,
                   struct err *e)
{
        AUTO_ARENA a = { 0 };
        AUTO_CONTAINER c = CONTAINER_INIT;
        struct cgroup_now now;
        struct cgroup_plan plan;
        struct cgroup cgroup;

        if (runtime_open(rt, &a, id, true, &c, e) < 0 || container_cgroup(&a, &c, &cgroup, e) < 0)
                return -1;
        if (container_status(&c) == STATUS_STOPPED)
                return err_set(e, ERR_STATE, "container not running: \"%s\" has stopped", id);
        if (cgroup.n == 0)
                return err_set(e, ERR_UNSUPPORTED, "container \"%s\" has no cgroup to update", id);
        cgroup_now_read(&cgroup, &now);
        if (plan_cgroup_resources(&a, &cgroup, o->resources, &now,
                                  CGROUP_PLAN_UPDATE | (rt->rootless ? CGROUP_PLAN_NO_DEVICES : 0),
                                  &plan, e) < 0)
                return -1;
        for (size_t i = 0; i < plan.warnings.n; i++)
                log_warning(rt->log, "%s", plan.warnings.v[i]);
        if (update_scope(&a, &c, &plan, e) < 0 || cgroup_plan_apply(&cgroup, &plan, e) < 0)
                return -1;
        return update_rdt(&c, o, e);
}
