/* checkpoint: has CRIU write a container's processes to files. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "oci/cgroup-apply.h"
#include "oci/checkpoint-criu.h"
#include "oci/checkpoint-images.h"
#include "oci/checkpoint-mounts.h"
#include "oci/runtime.h"
#include "oci/sd-notify.h"

#define THAW_TIMEOUT_MS 10000

struct checkpoint {
        const struct runtime *rt;
        const struct checkpoint_options *o;
        struct arena arena;
        struct container container;
        struct spec spec;
        struct plan plan; /* of a create, for what it says about mounts */
        struct cgroup cgroup;
        struct checkpoint_images images;
        struct criu criu;
        struct criu_opts opts;
        bool paused; /* before we came */
};

/* ---- what to ask ---- */

static int check_status(struct checkpoint *c, struct err *e)
{
        enum status s = container_status(&c->container);

        c->paused = s == STATUS_PAUSED;
        if (s == STATUS_RUNNING || s == STATUS_PAUSED)
                return 0;
        return err_set(e, ERR_STATE,
                       "container \"%s\" cannot be checkpointed: it is %s, container not running",
                       c->o->id, status_names[s]);
}

static int make_plan(struct checkpoint *c, struct err *e)
{
        struct plan_input in = { .spec = &c->spec,
                                 .id = c->o->id,
                                 .bundle = c->container.bundle,
                                 .state_dir = "",
                                 .flags = PLAN_NO_CGROUP | (c->rt->rootless ? PLAN_ROOTLESS : 0),
                                 .notify_socket = c->container.notify_socket };

        return plan_create(&c->arena, &in, &c->plan, e);
}

/* What CRIU would get wrong without a word is refused. */
static int check_supported(const struct checkpoint *c, struct err *e)
{
        for (size_t i = 0; i < c->plan.n; i++) {
                const struct op *op = &c->plan.ops[i];

                if (op->kind == OP_MOUNT && op->mount->idmap)
                        return err_set(e, ERR_UNSUPPORTED,
                                       "%s: criu cannot restore an idmapped mount",
                                       op->mount->field);
        }
        return 0;
}

static int parent_path(struct checkpoint *c, struct err *e)
{
        const char *parent = c->o->criu.parent_img;
        struct stat st;

        if (str_empty(parent)) {
                c->opts.parent_img = NULL;
                return 0;
        }
        if (*parent == '/')
                return err_set(e, ERR_INVALID,
                               "--parent-path: \"%s\" must be relative to --image-path", parent);
        if (fstatat(c->images.images, parent, &st, 0) < 0)
                return err_sys(e, errno, "--parent-path: cannot use \"%s\"", parent);
        if (!S_ISDIR(st.st_mode))
                return err_sys(e, ENOTDIR, "--parent-path: cannot use \"%s\"", parent);
        c->opts.track_mem = true;
        return 0;
}

/* ADDRESS:PORT; the address may be IPv6 in brackets. */
static int page_server(struct checkpoint *c, struct err *e)
{
        struct criu_page_server *ps = arena_new(&c->arena, struct criu_page_server);
        const char *text = c->o->page_server, *colon;
        uint32_t port;

        if (!text)
                return 0;
        colon = strrchr(text, ':');
        if (!colon || colon == text || str_to_u32(colon + 1, &port) < 0 || port == 0 ||
            port > 65535)
                return err_set(e, ERR_INVALID, "--page-server: \"%s\" is not ADDRESS:PORT", text);
        ps->port = (int32_t)port;
        if (*text == '[' && colon[-1] == ']')
                ps->address = arena_strndup(&c->arena, text + 1, (size_t)(colon - text - 2));
        else
                ps->address = arena_strndup(&c->arena, text, (size_t)(colon - text));
        c->opts.page_server = ps;
        return 0;
}

static void add_external(struct checkpoint *c, const char *text)
{
        c->opts.external.v[c->opts.external.n++] = text;
}

/* A namespace that the container was put into stays outside of the images; restore gives CRIU
 * the one that the configuration names then. */
static int external_namespaces(struct checkpoint *c, struct err *e)
{
        static const struct {
                enum spec_ns kind;
                const char *file, *key;
        } table[] = { { NS_NET, "net", "extRootNetNS" }, { NS_PID, "pid", "extRootPidNS" } };
        const struct spec_namespace *ns = c->spec.linux_.namespaces;

        for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
                char path[64];
                struct stat st;

                if (!ns[table[i].kind].path)
                        continue;
                snprintf(path, sizeof path, "/proc/%d/ns/%s", c->container.pid, table[i].file);
                if (stat(path, &st) < 0)
                        return err_sys(e, errno, "cannot look at the %s namespace", table[i].file);
                add_external(c, arena_printf(&c->arena, "%s[%llu]:%s", table[i].file,
                                             (unsigned long long)st.st_ino, table[i].key));
        }
        return 0;
}

static int external_mounts(struct checkpoint *c, struct err *e)
{
        struct mount_view view = { .plan = &c->plan,
                                   .cgroup = &c->cgroup,
                                   .notify = SD_NOTIFY_DIR,
                                   .pid = c->container.pid,
                                   .root = "/" };
        struct key_values found;

        if (checkpoint_mounts(&c->arena, &view, &found, e) < 0)
                return -1;
        c->opts.external.v = arena_array(&c->arena, const char *, found.n + 8);
        for (size_t i = 0; i < found.n; i++) {
                bool mask = str_eq(found.v[i].value, CHECKPOINT_MASK) &&
                            !str_eq(found.v[i].key, CHECKPOINT_MASK);

                add_external(c, arena_printf(&c->arena, "mnt[%s]:%s", found.v[i].key,
                                             mask ? CHECKPOINT_MASK : found.v[i].key));
        }
        return 0;
}

/* The directory by which our own pause freezes, so that CRIU sees a paused container as that. */
static const char *freezer(const struct cgroup *c)
{
        const struct cgroup_dir *d = cgroup_dir_of(c, CGROUP_FREEZER);

        if (c->n && c->v2 >= 0)
                return c->v[c->v2].path;
        return d ? d->path : NULL;
}

static int set_options(struct checkpoint *c, struct err *e)
{
        c->opts = c->o->criu;
        checkpoint_common(&c->images, &c->spec, "dump.log", &c->opts, &c->criu);
        c->opts.pid = c->container.pid;
        c->opts.root = c->container.rootfs;
        c->opts.freeze_cgroup = freezer(&c->cgroup);
        if (c->spec.linux_.namespaces[NS_NET].present)
                c->opts.empty_ns = CLONE_NEWNET; /* devices are the engine's, or hooks', to make */
        if (parent_path(c, e) < 0 || page_server(c, e) < 0)
                return -1;
        return external_mounts(c, e) < 0 ? -1 : external_namespaces(c, e);
}

/* ---- doing it ---- */

static int on_notify(void *context, const struct criu_notify *n, int *fd, struct err *e)
{
        struct checkpoint *c = context;

        if (!str_eq(n->script, "status-ready") || c->o->status_fd < 0)
                return 0;
        /* The page server of --lazy-pages listens: whoever migrates may connect. */
        if (write((int)c->o->status_fd, "", 1) != 1)
                log_warning(c->rt->log, "--status-fd: %s", strerror(errno));
        close((int)c->o->status_fd);
        return 0;
}

static int check_features(struct checkpoint *c, struct err *e)
{
        struct criu_features pages = { .lazy_pages = true }, memory = { .mem_track = true };

        if (c->o->criu.lazy_pages && criu_need(&c->criu, &pages, "--lazy-pages", e) < 0)
                return -1;
        if ((c->o->pre_dump || c->opts.track_mem) &&
            criu_need(&c->criu, &memory, c->o->pre_dump ? "--pre-dump" : "--parent-path", e) < 0)
                return -1;
        return 0;
}

static int check_status_fd(const struct checkpoint *c, struct err *e)
{
        int flags;

        if (c->o->status_fd < 0)
                return 0;
        flags = c->o->status_fd > 65536 ? -1 : fcntl((int)c->o->status_fd, F_GETFL);
        if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY)
                return 0;
        return err_set(e, ERR_INVALID, "--status-fd: %lld is no descriptor that can be written to",
                       (long long)c->o->status_fd);
}

/* CRIU may have died with everything frozen. */
static void thaw(const struct checkpoint *c)
{
        struct cgroup_fail f = { 0 };

        if (c->cgroup.n && !c->paused && cgroup_is_frozen(&c->cgroup) == 1)
                cgroup_thaw(&c->cgroup, THAW_TIMEOUT_MS, &f);
}

static int dump(struct checkpoint *c, struct err *e)
{
        struct criu_child child = { 0 };
        struct criu_response r;
        int type = c->o->pre_dump ? CRIU_SINGLE_PRE_DUMP : CRIU_DUMP;

        if (criu_start(&c->criu, &child, e) < 0 || criu_meet(&c->criu, e) < 0 ||
            check_features(c, e) < 0)
                return -1;
        if (!c->o->pre_dump &&
            checkpoint_descriptors_write(c->images.images, c->container.stdio, e) < 0)
                return -1;
        if (criu_work(&c->criu, type, &c->opts, on_notify, c, &r, e) == 0)
                return 0;
        criu_done(&c->criu);
        thaw(c);
        return -1;
}

static int prepare(struct checkpoint *c, struct err *e)
{
        if (runtime_open(c->rt, &c->arena, c->o->id, true, &c->container, e) < 0 ||
            check_status(c, e) < 0 || check_status_fd(c, e) < 0 ||
            container_spec(&c->arena, &c->container, &c->spec, e) < 0 ||
            container_cgroup(&c->arena, &c->container, &c->cgroup, e) < 0 || make_plan(c, e) < 0 ||
            check_supported(c, e) < 0)
                return -1;
        if (checkpoint_images_open(c->o->image_path, c->o->work_path, true, &c->images, e) < 0)
                return -1;
        return set_options(c, e);
}

int runtime_checkpoint(const struct runtime *rt, const struct checkpoint_options *o, struct err *e)
{
        struct checkpoint c = { .rt = rt,
                                .o = o,
                                .container = CONTAINER_INIT,
                                .images = CHECKPOINT_IMAGES_INIT,
                                .criu = CRIU_INIT };
        int r;

        c.criu.log = rt->log;
        c.criu.arena = &c.arena;
        c.criu.doing = "checkpoint the container";
        r = prepare(&c, e) < 0 ? -1 : dump(&c, e);
        criu_done(&c.criu);
        /* As runc: what was saved is gone, unless asked otherwise. */
        if (r == 0 && !o->pre_dump && !o->criu.leave_running)
                r = runtime_destroy(rt, &c.container, &c.spec, e);
        checkpoint_images_done(&c.images);
        container_done(&c.container);
        arena_done(&c.arena);
        return r;
}
