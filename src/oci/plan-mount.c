/* Mounts, devices and links of the root file system, planned. */
#include <string.h>

#include "base/path.h"
#include "base/str.h"
#include "oci/plan.h"

/* config-linux.md, "Default Devices" and the links that come with them. */
static const struct spec_device default_devices[] = {
        { "/dev/null", 'c', 1, 3, { true, 0666 }, { 0 }, { 0 } },
        { "/dev/zero", 'c', 1, 5, { true, 0666 }, { 0 }, { 0 } },
        { "/dev/full", 'c', 1, 7, { true, 0666 }, { 0 }, { 0 } },
        { "/dev/random", 'c', 1, 8, { true, 0666 }, { 0 }, { 0 } },
        { "/dev/urandom", 'c', 1, 9, { true, 0666 }, { 0 }, { 0 } },
        { "/dev/tty", 'c', 5, 0, { true, 0666 }, { 0 }, { 0 } },
};
static const struct plan_link dev_links[] = {
        { "/proc/self/fd", "/dev/fd" },       { "/proc/self/fd/0", "/dev/stdin" },
        { "/proc/self/fd/1", "/dev/stdout" }, { "/proc/self/fd/2", "/dev/stderr" },
        { "pts/ptmx", "/dev/ptmx" },
};

static int bad(struct err *e, const struct plan_mount *m, const char *option, const char *why)
{
        return err_set(e, ERR_INVALID, "%s.options: \"%s\" %s", m->field, option, why);
}

static int add_propagation(struct plan_mount *m, const struct mount_opt *o, struct err *e)
{
        uint64_t rec = o->kind == MOUNT_OPT_PROPAGATION_REC ? 1 : 0;

        if (m->n_propagations == ARRAY_SIZE(m->propagations))
                return bad(e, m, o->name, "is one propagation mode too many");
        m->propagations[m->n_propagations++] = o->value | rec;
        return 0;
}

/* An attribute set by one option and cleared by a later one, or the reverse: the later counts. */
static void set_attr(uint64_t *on, uint64_t *off, uint64_t value)
{
        *on |= value;
        *off &= ~value;
}

static void add_param(struct arena *a, struct plan_mount *m, const char *option)
{
        const char *eq = strchr(option, '=');
        struct mount_param *param = &m->params[m->n_params++];

        param->key = eq ? arena_strndup(a, option, (size_t)(eq - option)) : option;
        param->value = eq ? eq + 1 : NULL;
}

static int add_option(struct arena *a, struct plan_mount *m, const char *option, struct err *e)
{
        const struct mount_opt *o = mount_opt_find(option);

        if (!o) {
                add_param(a, m, option);
                return 0;
        }
        switch (o->kind) {
        case MOUNT_OPT_SET:
                set_attr(&m->attrs.set, &m->attrs.clear, o->value);
                break;
        case MOUNT_OPT_CLEAR:
                set_attr(&m->attrs.clear, &m->attrs.set, o->value);
                break;
        case MOUNT_OPT_SET_REC:
                set_attr(&m->attrs.set_rec, &m->attrs.clear_rec, o->value);
                break;
        case MOUNT_OPT_CLEAR_REC:
                set_attr(&m->attrs.clear_rec, &m->attrs.set_rec, o->value);
                break;
        case MOUNT_OPT_PROPAGATION:
        case MOUNT_OPT_PROPAGATION_REC:
                return add_propagation(m, o, e);
        case MOUNT_OPT_RBIND:
                m->rec = true;
                m->bind = true;
                break;
        case MOUNT_OPT_BIND:
                m->bind = true;
                break;
        case MOUNT_OPT_FS:
                add_param(a, m, option);
                break;
        case MOUNT_OPT_RIDMAP:
                m->idmap_rec = true;
                m->idmap = true;
                break;
        case MOUNT_OPT_IDMAP:
                m->idmap = true;
                break;
        case MOUNT_OPT_TMPCOPYUP:
                m->tmpcopyup = true;
                break;
        case MOUNT_OPT_REMOUNT:
                m->remount = true;
                break;
        case MOUNT_OPT_IGNORE:
                break;
        }
        return 0;
}

/* idmap: needs a mapping of its own or a user namespace whose mapping to use (config.md). */
static int check_idmap(const struct plan *p, struct plan_mount *m, struct err *e)
{
        const struct spec_mount *s = m->spec;

        if (s->uid_mappings.n || s->gid_mappings.n) {
                if (!s->uid_mappings.n || !s->gid_mappings.n)
                        return err_set(e, ERR_INVALID,
                                       "%s: uidMappings and gidMappings must be given together",
                                       m->field);
                m->idmap = true;
        }
        if (!m->idmap)
                return 0;
        if (!m->bind)
                return err_set(e, ERR_INVALID, "%s: only a bind mount can be idmapped", m->field);
        if (!s->uid_mappings.n && !p->spec->linux_.uid_mappings.n)
                return err_set(e, ERR_INVALID,
                               "%s: \"idmap\" needs uidMappings, or a user namespace", m->field);
        return 0;
}

static int bind_source(struct arena *a, const char *bundle, struct plan_mount *m, struct err *e)
{
        char buf[4096];

        if (str_empty(m->spec->source))
                return err_set(e, ERR_INVALID, "%s.source: a bind mount needs one", m->field);
        if (path_join(bundle, m->spec->source, buf, sizeof buf) < 0)
                return err_set(e, ERR_INVALID, "%s.source: it is too long", m->field);
        m->source = arena_strdup(a, buf);
        m->params = NULL;
        m->n_params = 0;
        return 0;
}

/* What may be mounted inside /proc: what lxcfs provides, and what is procfs itself
 * (CVE-2019-16884: a file of the image's under /proc would be trusted by what writes labels
 * there). */
static int check_below_proc(const struct plan_mount *m, struct err *e)
{
        static const char *const allowed[] = {
                "/proc/cpuinfo",
                "/proc/diskstats",
                "/proc/meminfo",
                "/proc/stat",
                "/proc/swaps",
                "/proc/uptime",
                "/proc/loadavg",
                "/proc/slabinfo",
                "/proc/net/dev",
                "/proc/net/route",
                "/proc/sys/kernel/ns_last_pid",
                "/proc/sys/crypto/fips_enabled",
        };
        char dest[4096];

        if (path_join("/", m->spec->destination, dest, sizeof dest) < 0)
                return err_set(e, ERR_INVALID, "%s.destination: it is too long", m->field);
        if (!path_below(dest, "/proc") || str_eq0(m->spec->type, "proc"))
                return 0;
        if (str_eq(dest, "/proc") && m->bind)
                return 0; /* that it is a procfs is checked once it is opened */
        if (STR_INDEX(allowed, dest) >= 0)
                return 0;
        return err_set(e, ERR_INVALID,
                       "%s.destination: \"%s\" is inside /proc and can't be mounted on", m->field,
                       dest);
}

static bool is_dev(const struct spec_mount *s)
{
        char dest[4096];

        return path_join("/", s->destination, dest, sizeof dest) == 0 && str_eq(dest, "/dev");
}

static void finish_type(struct plan *p, struct plan_mount *m)
{
        const char *type = m->spec->type;
        bool tmpfs = str_eq0(type, "tmpfs");

        m->no_links = str_eq0(type, "proc") || str_eq0(type, "sysfs");
        if (!tmpfs || !(m->attrs.set & MOUNT_ATTR_RDONLY))
                return;
        m->readonly_late = m->tmpcopyup;
        if (is_dev(m->spec)) {
                m->attrs.set &= ~(uint64_t)MOUNT_ATTR_RDONLY;
                p->dev_readonly = true;
        }
}

static int read_options(struct arena *a, struct plan_mount *m, struct err *e)
{
        const struct spec_mount *s = m->spec;

        m->rec = str_eq0(s->type, "rbind");
        m->bind = m->rec || str_eq0(s->type, "bind");
        m->params = arena_array(a, struct mount_param, s->options.n + 1);
        for (size_t k = 0; k < s->options.n; k++)
                if (add_option(a, m, s->options.v[k], e) < 0)
                        return -1;
        return 0;
}

/* Whether the source must be opened on the host: init, in a user namespace, may not be able to. But
 * what lies in the root itself is looked up by init, after the mounts that come before. */
static bool opened_on_host(const struct plan *p, const struct plan_mount *m)
{
        if (!m->bind || m->remount)
                return false;
        return m->idmap ||
               (p->userns && !(p->flags & PLAN_ROOTLESS) && !path_below(m->source, p->rootfs));
}

static int add_mount(struct arena *a, const struct plan_input *in, struct plan *p, size_t i,
                     struct err *e)
{
        const struct spec_mount *s = &in->spec->mounts[i];
        struct plan_mount *m = arena_new(a, struct plan_mount);
        bool cgroup = s->type && (str_eq(s->type, "cgroup") || str_eq(s->type, "cgroup2"));

        m->spec = s;
        m->field = arena_printf(a, "mounts[%zu]", i);
        m->source = s->source;
        if (read_options(a, m, e) < 0 || check_idmap(p, m, e) < 0 || check_below_proc(m, e) < 0)
                return -1;
        if (m->bind && !m->remount && bind_source(a, in->bundle, m, e) < 0)
                return -1;
        if (!m->bind && str_empty(s->type))
                return err_set(e, ERR_INVALID,
                               "%s.type: it is required unless this is a bind mount", m->field);
        finish_type(p, m);
        if (opened_on_host(p, m)) {
                m->on_host = true;
                m->index = (int)p->n_sources++;
                plan_add(a, p, STAGE_HOST, OP_SOURCE)->mount = m;
        }
        plan_add(a, p, STAGE_MOUNT, cgroup && !m->bind ? OP_CGROUP_MOUNT : OP_MOUNT)->mount = m;
        return 0;
}

/* The files of /dev are ours to make unless the configuration brings a /dev of its own. */
static bool fills_dev(const struct spec *s)
{
        for (size_t i = 0; i < s->n_mounts; i++) {
                const struct spec_mount *m = &s->mounts[i];
                bool bind = str_eq0(m->type, "bind") || str_eq0(m->type, "rbind");

                for (size_t k = 0; k < m->options.n; k++)
                        bind |= str_eq(m->options.v[k], "bind") || str_eq(m->options.v[k], "rbind");
                if (bind && is_dev(m))
                        return false;
        }
        return true;
}

static bool configured(const struct spec_linux *l, const char *path)
{
        for (size_t i = 0; i < l->n_devices; i++)
                if (str_eq(l->devices[i].path, path))
                        return true;
        return false;
}

static void add_devices(struct arena *a, struct plan *p)
{
        const struct spec_linux *l = &p->spec->linux_;

        for (size_t i = 0; i < ARRAY_SIZE(default_devices); i++)
                if (!configured(l, default_devices[i].path))
                        plan_add(a, p, STAGE_MOUNT, OP_DEVICE)->device = &default_devices[i];
        for (size_t i = 0; i < l->n_devices; i++)
                plan_add(a, p, STAGE_MOUNT, OP_DEVICE)->device = &l->devices[i];
        for (size_t i = 0; i < ARRAY_SIZE(dev_links); i++)
                plan_add(a, p, STAGE_MOUNT, OP_DEV_LINK)->link = dev_links[i];
}

/* How the mount tree that init got a copy of is cut off from the host's: a slave unless the
 * root's propagation asks otherwise, so that host unmounts still arrive and nothing goes back.
 * "unbindable" must not reach the sources of bind mounts. */
static uint64_t tree_propagation(const struct spec_linux *l)
{
        static const char *const modes[][2] = {
                { "shared", "rshared" },      { "rshared", "rshared" },
                { "private", "rprivate" },    { "rprivate", "rprivate" },
                { "unbindable", "rprivate" }, { "runbindable", "rprivate" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
                if (str_eq0(l->rootfs_propagation, modes[i][0]))
                        return mount_opt_find(modes[i][1])->value;
        return mount_opt_find("rslave")->value;
}

int plan_mounts(struct arena *a, const struct plan_input *in, struct plan *p, struct err *e)
{
        const struct spec *s = in->spec;

        if (!s->linux_.namespaces[NS_MOUNT].present) {
                if (s->n_mounts)
                        return err_set(e, ERR_INVALID,
                                       "mounts: they need a mount namespace in linux.namespaces");
                return 0;
        }
        if (p->userns && !(in->flags & PLAN_ROOTLESS))
                plan_add(a, p, STAGE_HOST, OP_ROOT_SOURCE);
        plan_add(a, p, STAGE_MOUNT, OP_PROPAGATION)->flags = tree_propagation(&s->linux_);
        plan_add(a, p, STAGE_MOUNT, OP_ROOT_MOUNT)->text = p->rootfs;
        for (size_t i = 0; i < s->n_mounts; i++)
                if (add_mount(a, in, p, i, e) < 0)
                        return -1;
        p->devices = fills_dev(s);
        if (p->devices)
                add_devices(a, p);
        if (in->notify_socket)
                plan_add(a, p, STAGE_MOUNT, OP_NOTIFY_MOUNT);
        if (s->process && !str_eq(s->process->cwd, "/"))
                plan_add(a, p, STAGE_MOUNT, OP_CWD_MAKE)->text = s->process->cwd;
        if (s->process && s->process->terminal)
                plan_add(a, p, STAGE_MOUNT, OP_CONSOLE);
        return 0;
}
