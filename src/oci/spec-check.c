/* Rules between the parts of a config.json: config.md and config-linux.md. */
#include "oci/spec-check.h"

#include <errno.h>
#include <inttypes.h>

#include "base/macro.h"
#include "base/str.h"
#include "kernel/bitlist.h"
#include "kernel/mount.h"
#include "kernel/netdev.h"
#include "kernel/rdt.h"
#include "oci/spec-decode.h"

static bool has_ns(const struct spec *s, enum spec_ns ns)
{
        return s->linux_.namespaces[ns].present;
}

static int check_root(const struct spec *s, struct err *e)
{
        return s->root.path ? 0 : err_set(e, ERR_INVALID, "root: required, but missing");
}

static int check_process(const struct spec *s, struct err *e)
{
        return s->process ? spec_check_process(s->process, e) : 0;
}

/* The kernel's limit is __NEW_UTS_LEN. */
static int check_uts_name(const struct spec *s, const char *name, const char *field, struct err *e)
{
        if (!name)
                return 0;
        if (!has_ns(s, NS_UTS))
                return err_set(e, ERR_INVALID, "%s: needs a uts namespace in linux.namespaces",
                               field);
        if (strlen(name) > 64)
                return err_set(e, ERR_INVALID, "%s: %s is longer than 64 bytes", field,
                               spec_quote(name).s);
        return 0;
}

static int check_uts(const struct spec *s, struct err *e)
{
        if (check_uts_name(s, s->hostname, "hostname", e) < 0)
                return -1;
        return check_uts_name(s, s->domainname, "domainname", e);
}

static int check_hooks(const struct spec *s, struct err *e)
{
        for (int kind = 0; kind < HOOK_MAX; kind++)
                for (size_t i = 0; i < s->hooks[kind].n; i++)
                        if (s->hooks[kind].v[i].path[0] != '/')
                                return err_set(
                                        e, ERR_INVALID,
                                        "hooks.%s[%zu].path: expected an absolute path, found %s",
                                        spec_hook_names[kind], i,
                                        spec_quote(s->hooks[kind].v[i].path).s);
        return 0;
}

static int check_annotations(const struct spec *s, struct err *e)
{
        for (size_t i = 0; i < s->annotations.n; i++)
                if (!s->annotations.v[i].key[0])
                        return err_set(e, ERR_INVALID, "annotations: a key is empty");
        return 0;
}

/* ---- mappings of ids ---- */

static bool overlap(uint32_t a, uint32_t a_size, uint32_t b, uint32_t b_size)
{
        return a < (uint64_t)b + b_size && b < (uint64_t)a + a_size;
}

/* user_namespaces(7): at most 340 lines, none empty, none overlapping on either side, and nothing
 * may map 4294967295, which is no id. */
int spec_check_id_mappings(const struct id_mappings *m, const char *field, struct err *e)
{
        if (m->n > 340)
                return err_set(e, ERR_INVALID, "%s: %zu entries are more than the kernel's 340",
                               field, m->n);
        for (size_t i = 0; i < m->n; i++) {
                const struct id_mapping *x = &m->v[i];

                if (x->size == 0)
                        return err_set(e, ERR_INVALID, "%s[%zu].size: must be above 0", field, i);
                if ((uint64_t)x->container_id + x->size > UINT32_MAX ||
                    (uint64_t)x->host_id + x->size > UINT32_MAX)
                        return err_set(e, ERR_INVALID, "%s[%zu].size: goes beyond the last id",
                                       field, i);
                for (size_t k = 0; k < i; k++)
                        if (overlap(x->container_id, x->size, m->v[k].container_id, m->v[k].size) ||
                            overlap(x->host_id, x->size, m->v[k].host_id, m->v[k].size))
                                return err_set(e, ERR_INVALID, "%s[%zu]: overlaps %s[%zu]", field,
                                               i, field, k);
        }
        return 0;
}

static bool maps_root(const struct id_mappings *m)
{
        for (size_t i = 0; i < m->n; i++)
                if (m->v[i].container_id == 0)
                        return true;
        return false;
}

static int check_user_map(const struct spec *s, const struct id_mappings *m, const char *field,
                          struct err *e)
{
        const struct spec_namespace *user = &s->linux_.namespaces[NS_USER];

        if (m->n > 0 && !user->present)
                return err_set(e, ERR_INVALID, "%s: needs a user namespace in linux.namespaces",
                               field);
        if (m->n == 0 && user->present && !user->path)
                return err_set(e, ERR_INVALID, "%s: required for a new user namespace, but missing",
                               field);
        if (spec_check_id_mappings(m, field, e) < 0)
                return -1;
        if (m->n > 0 && !maps_root(m))
                return err_set(e, ERR_INVALID, "%s: id 0 of the container is not mapped", field);
        return 0;
}

static int check_user_maps(const struct spec *s, struct err *e)
{
        if (check_user_map(s, &s->linux_.uid_mappings, "linux.uidMappings", e) < 0)
                return -1;
        return check_user_map(s, &s->linux_.gid_mappings, "linux.gidMappings", e);
}

/* ---- mounts ---- */

struct mount_traits {
        bool bind, idmap;
};

static struct mount_traits traits_of(const struct spec_mount *m)
{
        struct mount_traits t = { 0 };

        for (size_t i = 0; i < m->options.n; i++) {
                const struct mount_opt *o = mount_opt_find(m->options.v[i]);

                t.bind |= o && (o->kind == MOUNT_OPT_BIND || o->kind == MOUNT_OPT_RBIND);
                t.idmap |= o && (o->kind == MOUNT_OPT_IDMAP || o->kind == MOUNT_OPT_RIDMAP);
        }
        return t;
}

static int check_mount_maps(const struct spec *s, const struct spec_mount *m, size_t i,
                            struct err *e)
{
        struct mount_traits t = traits_of(m);
        bool uids = m->uid_mappings.n > 0, gids = m->gid_mappings.n > 0;
        char field[64];

        if (uids != gids)
                return err_set(e, ERR_INVALID, "mounts[%zu].%s: required with %s, but missing", i,
                               uids ? "gidMappings" : "uidMappings",
                               uids ? "uidMappings" : "gidMappings");
        if (!t.idmap && !uids)
                return 0;
        if (!t.bind)
                return err_set(e, ERR_INVALID,
                               "mounts[%zu]: id-mapped mounts are only supported for bind-mounts",
                               i);
        if (!uids && !has_ns(s, NS_USER))
                return err_set(e, ERR_INVALID,
                               "mounts[%zu].uidMappings: required for idmap without a user "
                               "namespace, but missing",
                               i);
        snprintf(field, sizeof field, "mounts[%zu].uidMappings", i);
        if (spec_check_id_mappings(&m->uid_mappings, field, e) < 0)
                return -1;
        snprintf(field, sizeof field, "mounts[%zu].gidMappings", i);
        return spec_check_id_mappings(&m->gid_mappings, field, e);
}

static int check_mounts(const struct spec *s, struct err *e)
{
        for (size_t i = 0; i < s->n_mounts; i++)
                if (check_mount_maps(s, &s->mounts[i], i, e) < 0)
                        return -1;
        return 0;
}

/* ---- linux ---- */

static int check_namespaces(const struct spec *s, struct err *e)
{
        const struct spec_linux *l = &s->linux_;
        bool offsets = l->time_offsets.monotonic.set || l->time_offsets.boottime.set;

        for (int ns = 0; ns < NS_MAX; ns++)
                if (l->namespaces[ns].path && l->namespaces[ns].path[0] != '/')
                        return err_set(e, ERR_INVALID,
                                       "linux.namespaces: expected an absolute path for the %s "
                                       "namespace, found %s",
                                       spec_ns_names[ns], spec_quote(l->namespaces[ns].path).s);
        if (offsets && !has_ns(s, NS_TIME))
                return err_set(e, ERR_INVALID,
                               "linux.timeOffsets: needs a time namespace in linux.namespaces");
        if (offsets && l->namespaces[NS_TIME].path)
                return err_set(
                        e, ERR_INVALID,
                        "linux.timeOffsets: can't be set for a time namespace that is joined");
        return 0;
}

static int check_paths(const struct spec *s, const struct strings *paths, const char *field,
                       struct err *e)
{
        if (paths->n > 0 && !has_ns(s, NS_MOUNT))
                return err_set(e, ERR_INVALID,
                               "linux.%s: needs a mount namespace in linux.namespaces", field);
        for (size_t i = 0; i < paths->n; i++)
                if (paths->v[i][0] != '/')
                        return err_set(e, ERR_INVALID,
                                       "linux.%s[%zu]: expected an absolute path, found %s", field,
                                       i, spec_quote(paths->v[i]).s);
        return 0;
}

static int check_restricted_paths(const struct spec *s, struct err *e)
{
        if (check_paths(s, &s->linux_.masked_paths, "maskedPaths", e) < 0)
                return -1;
        return check_paths(s, &s->linux_.readonly_paths, "readonlyPaths", e);
}

static int check_propagation(const struct spec *s, struct err *e)
{
        const char *name = s->linux_.rootfs_propagation;
        const struct mount_opt *o = name ? mount_opt_find(name) : NULL;

        if (!name ||
            (o && (o->kind == MOUNT_OPT_PROPAGATION || o->kind == MOUNT_OPT_PROPAGATION_REC)))
                return 0;
        return err_set(
                e, ERR_INVALID,
                "linux.rootfsPropagation: expected shared, slave, private or unbindable, found %s",
                spec_quote(name).s);
}

static int check_devices(const struct spec *s, struct err *e)
{
        for (size_t i = 0; i < s->linux_.n_devices; i++) {
                const struct spec_device *d = &s->linux_.devices[i];

                if (d->type != 'p' && (d->major < 0 || d->minor < 0))
                        return err_set(e, ERR_INVALID,
                                       "linux.devices[%zu].%s: required for a device of type %c", i,
                                       d->major < 0 ? "major" : "minor", d->type);
        }
        return 0;
}

static int check_net_devices(const struct spec *s, struct err *e)
{
        const struct spec_linux *l = &s->linux_;

        if (l->n_net_devices > 0 && !has_ns(s, NS_NET))
                return err_set(e, ERR_INVALID,
                               "linux.netDevices: needs a network namespace in linux.namespaces");
        for (size_t i = 0; i < l->n_net_devices; i++) {
                const struct spec_net_device *d = &l->net_devices[i];

                if (!netdev_name_ok(d->host_name, false))
                        return err_set(e, ERR_INVALID,
                                       "linux.netDevices[%s]: not the name of a network device",
                                       spec_quote(d->host_name).s);
                if (d->name && !netdev_name_ok(d->name, true))
                        return err_set(e, ERR_INVALID,
                                       "linux.netDevices[%s].name: %s can't name a network device",
                                       spec_quote(d->host_name).s, spec_quote(d->name).s);
        }
        return 0;
}

static int check_resources(const struct spec *s, struct err *e)
{
        return s->linux_.resources ? spec_check_resources(s->linux_.resources, e) : 0;
}

static int check_rdt(const struct spec *s, struct err *e)
{
        const struct spec_intel_rdt *r = s->linux_.intel_rdt;

        if (!r)
                return 0;
        if (r->clos_id && !rdt_name_ok(r->clos_id, true))
                return err_set(e, ERR_INVALID, "linux.intelRdt.closID: %s can't name a class",
                               spec_quote(r->clos_id).s);
        if (r->l3_cache_schema && strchr(r->l3_cache_schema, '\n'))
                return err_set(e, ERR_INVALID, "linux.intelRdt.l3CacheSchema: holds a newline");
        if (r->mem_bw_schema &&
            (!str_after(r->mem_bw_schema, "MB:") || strchr(r->mem_bw_schema, '\n')))
                return err_set(e, ERR_INVALID,
                               "linux.intelRdt.memBwSchema: expected one line beginning with MB:, "
                               "found %s",
                               spec_quote(r->mem_bw_schema).s);
        for (size_t i = 0; i < r->schemata.n; i++)
                if (strchr(r->schemata.v[i], '\n'))
                        return err_set(e, ERR_INVALID,
                                       "linux.intelRdt.schemata[%zu]: holds a newline", i);
        return 0;
}

/* set_mempolicy(2). */
static int check_memory_nodes(const struct spec_memory_policy *m, const struct bitlist *nodes,
                              struct err *e)
{
        static const char *const without[] = { "MPOL_DEFAULT", "MPOL_LOCAL" };
        static const char *const either[] = { "MPOL_PREFERRED" };

        if (STR_INDEX(either, m->mode) >= 0)
                return 0;
        if (STR_INDEX(without, m->mode) >= 0)
                return nodes->n == 0 ? 0
                                     : err_set(e, ERR_INVALID,
                                               "linux.memoryPolicy.nodes: %s takes none", m->mode);
        return nodes->n > 0
                       ? 0
                       : err_set(e, ERR_INVALID,
                                 "linux.memoryPolicy.nodes: %s requires at least one", m->mode);
}

static int check_memory_policy(const struct spec *s, struct err *e)
{
        const struct spec_memory_policy *m = s->linux_.memory_policy;
        struct bitlist nodes = { 0 };
        unsigned exclusive = 0;

        if (!m)
                return 0;
        if (m->nodes && bitlist_parse(m->nodes, &nodes) < 0)
                return err_set(e, ERR_INVALID,
                               "linux.memoryPolicy.nodes: expected a list of nodes such as 0-3,7, "
                               "found %s",
                               spec_quote(m->nodes).s);
        for (size_t i = 0; i < m->flags.n; i++)
                exclusive |= str_eq(m->flags.v[i], "MPOL_F_STATIC_NODES")     ? 1
                             : str_eq(m->flags.v[i], "MPOL_F_RELATIVE_NODES") ? 2
                                                                              : 0;
        if (exclusive == 3)
                return err_set(e, ERR_INVALID,
                               "linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and "
                               "MPOL_F_RELATIVE_NODES exclude each other");
        return check_memory_nodes(m, &nodes, e);
}

int spec_check(const struct spec *s, struct err *e)
{
        static int (*const checks[])(const struct spec *s, struct err *e) = {
                check_root,        check_process,      check_uts,
                check_hooks,       check_annotations,  check_namespaces,
                check_user_maps,   check_mounts,       check_restricted_paths,
                check_propagation, check_devices,      check_net_devices,
                check_resources,   check_rdt,          check_memory_policy,
                spec_check_sysctl, spec_check_seccomp,
        };

        for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
                if (checks[i](s, e) < 0)
                        return -1;
        return 0;
}
