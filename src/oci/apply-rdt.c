/* linux.intelRdt: the resctrl class is made or found before init, which is then moved into it. */
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "kernel/rdt.h"
#include "oci/launch.h"

static const char *class_name(const struct launch *l)
{
        const struct spec_intel_rdt *r = l->plan->spec->linux_.intel_rdt;

        return r->clos_id ? r->clos_id : l->container->id;
}

static int rdt_err(struct err *e, int root, int error, const char *what, const char *name)
{
        char words[256];

        rdt_last_status(root, words, sizeof words);
        err_sys(e, error, "linux.intelRdt: cannot %s class \"%s\"", what, name);
        if (*words && !str_eq(words, "ok"))
                err_hint(e, "resctrl says: %.120s", words);
        return -1;
}

/* config-linux.md: l3CacheSchema, then memBwSchema, then schemata. */
static size_t lines_of(const struct spec_intel_rdt *r, const char **out)
{
        size_t n = 0;

        if (r->l3_cache_schema)
                out[n++] = r->l3_cache_schema;
        if (r->mem_bw_schema)
                out[n++] = r->mem_bw_schema;
        for (size_t i = 0; i < r->schemata.n; i++)
                out[n++] = r->schemata.v[i];
        return n;
}

static int set_schemata(struct launch *l, int root, bool made, struct err *e)
{
        const struct spec_intel_rdt *r = l->plan->spec->linux_.intel_rdt;
        const char **lines = arena_array(l->arena, const char *, r->schemata.n + 2);
        const char *name = class_name(l);
        size_t n = lines_of(r, lines), bad = 0;
        int rc;

        if (n == 0)
                return 0;
        /* A class that was there already belongs to others too: it must match, not be changed. */
        if (!made && r->clos_id) {
                rc = rdt_schemata_match(l->rdt, lines, n, &bad);
                if (rc == 0)
                        return err_set(e, ERR_STATE,
                                       "linux.intelRdt: class \"%s\" exists with other values "
                                       "than \"%s\"",
                                       name, lines[bad]);
                return rc < 0 ? rdt_err(e, root, rc, "read", name) : 0;
        }
        rc = rdt_schemata_write(l->rdt, lines, n);
        return rc < 0 ? rdt_err(e, root, rc, "set the schemata of", name) : 0;
}

int runtime_rdt_make(struct launch *l, const struct op *op, struct err *e)
{
        const struct spec_intel_rdt *r = l->plan->spec->linux_.intel_rdt;
        bool make = !r->clos_id || r->l3_cache_schema || r->mem_bw_schema || r->schemata.n;
        const char *name = class_name(l);
        AUTO_FD int root = rdt_open();
        int rc;

        if (root < 0) {
                err_sys(e, root, "linux.intelRdt: cannot open /sys/fs/resctrl");
                return err_hint(e, "mount it: mount -t resctrl resctrl /sys/fs/resctrl");
        }
        l->container->rdt = name;
        /* Ours to remove only if we make it; said before, kept by whoever deletes (C2). */
        l->rdt = rdt_class_open(root, name, false, NULL);
        if (l->rdt < 0 && make) {
                l->container->rdt_made = true;
                if (container_save(l->container, e) < 0)
                        return -1;
                l->rdt = rdt_class_open(root, name, true, &l->container->rdt_made);
        }
        if (l->rdt < 0)
                return rdt_err(e, root, l->rdt, make ? "make" : "find", name);
        if (set_schemata(l, root, l->container->rdt_made, e) < 0)
                return -1;
        if (!r->enable_monitoring && !r->enable_cmt && !r->enable_mbm)
                return 0;
        l->container->rdt_monitor = true;
        rc = rdt_monitor_make(l->rdt, l->container->id);
        return rc < 0 ? rdt_err(e, root, rc, "make a monitoring group in", name) : 0;
}

int runtime_rdt_assign(struct launch *l, const struct op *op, struct err *e)
{
        AUTO_FD int root = rdt_open();
        int rc;

        if (l->rdt < 0)
                l->rdt = root < 0 ? root : rdt_class_open(root, l->container->rdt, false, NULL);
        rc = l->rdt < 0 ? l->rdt
                        : rdt_assign(l->rdt, l->container->rdt_monitor ? l->container->id : NULL,
                                     l->init);
        return rc < 0 ? rdt_err(e, root, rc, "move init into", l->container->rdt) : 0;
}
