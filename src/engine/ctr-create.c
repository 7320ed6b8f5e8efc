/* Creating a container: a table of steps (sandbox-internal.h), each undone where a later one
 * fails. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "codec/hash.h"
#include "engine/ctr-internal.h"
#include "engine/names.h"
#include "engine/placement.h"
#include "engine/sandbox-internal.h"
#include "image/snapshot.h"
#include "image/store-container.h"
#include "kernel/signals.h"
#include "oci/id-map.h"

#define DEFAULT_STOP_TIMEOUT_MS 10000
#define START_TIMEOUT_MS 120000 /* enough for hooks, and for a machine under load */
#define NAME_TRIES 10

/* struct run with what is ours beside it. */
struct creation {
        struct run run; /* first: steps get it */
        struct engine *g;
        const struct ctr_options *o;
        struct arena *a; /* of the result */
        struct ctr ctr;
        struct sandbox box;
        bool name_taken;         /* index and name */
        struct standby *standby; /* its monitor; NULL: it is not to be started */
        int ranges;              /* the lock of userns.h, U1; or -1 */
};

static const char *const network_names[NETWORK_MAX] = { "none", "host", "container" };

static struct creation *creation_of(struct run *r)
{
        return (struct creation *)r;
}

/* ---- what it is ---- */

static const char *or_empty(const char *s)
{
        return s ? s : "";
}

/* settings_merge()'s rules, backwards: which words are the entrypoint's. */
static size_t entrypoint_words(const struct run *r)
{
        size_t n = r->settings.args.n;

        if (r->s->args.n)
                return n - MIN(n, r->s->args.n);
        return r->s->entrypoint ? (*r->s->entrypoint ? n : 0) : MIN(n, r->config.entrypoint.n);
}

static int fill_ctr(struct run *r, struct err *e)
{
        struct creation *c = creation_of(r);

        c->ctr.systemd = r->settings.systemd;
        c->ctr.mounts = &r->mounts;
        c->ctr.secrets = &r->secrets;
        c->ctr.image_name = arena_strdup(c->a, r->s->image);
        c->ctr.image_digest = arena_strdup(c->a, r->image.digest);
        c->ctr.image_id = arena_strdup(c->a, r->image.id);
        for (size_t i = 0; i < r->image.layers.n; i++)
                strings_add(c->a, &c->ctr.layers, arena_strdup(c->a, r->image.layers.v[i]));
        for (size_t i = 0; i < r->settings.args.n; i++)
                strings_add(c->a, &c->ctr.command, arena_strdup(c->a, r->settings.args.v[i]));
        c->ctr.entrypoint = entrypoint_words(r);
        c->ctr.user = arena_strdup(c->a, r->s->user ? r->s->user : or_empty(r->config.user));
        return 0;
}

/* The image's labels, then the caller's, which win. */
static int merge_labels(struct run *r, struct err *e)
{
        struct creation *c = creation_of(r);
        const struct key_values *from[] = { &r->config.labels, &c->o->labels };
        struct key_values *to = &c->ctr.labels;

        to->v = arena_array(c->a, struct key_value, from[0]->n + from[1]->n + 1);
        for (size_t k = 0; k < ARRAY_SIZE(from); k++)
                for (size_t i = 0; i < from[k]->n; i++) {
                        size_t at = 0;

                        while (at < to->n && !str_eq(to->v[at].key, from[k]->v[i].key))
                                at++;
                        to->v[at].key = arena_strdup(c->a, from[k]->v[i].key);
                        to->v[at].value = arena_strdup(c->a, from[k]->v[i].value);
                        to->n = MAX(to->n, at + 1);
                }
        return 0;
}

/* ---- its user namespace ---- */

/* The image is looked at as it is on disk: users, groups and owners there are those inside. */
static int mount_image(struct run *r, struct err *e)
{
        struct snapshot n = {
                .layers = &r->image.layers, .upper = -1, .work = -1, .userns = -1, .run = r->p->run
        };

        return snapshot_mount(r->store, &n, &r->root, e) < 0
                       ? err_in(e, "image \"%s\"", r->s->image)
                       : 0;
}

static int settle_userns(struct run *r, struct err *e)
{
        struct creation *c = creation_of(r);
        struct userns *u = &c->box.userns;

        if (u->mode == USERNS_HOST)
                return 0;
        if (mount_image(r, e) < 0 || userns_settle(r->store, c->a, r->root, u, &c->ranges, e) < 0)
                return -1;
        r->userns = id_map_userns(&u->uids, &u->gids, e);
        return r->userns < 0 ? -1 : 0;
}

/* Its record has them now. */
static int release_ranges(struct run *r, struct err *e)
{
        struct creation *c = creation_of(r);

        c->ranges = fd_close(c->ranges);
        return 0;
}

/* ---- its root ---- */

/* Mounted with its upper directory at once: `run` starts it with this mount. */
static int mount_root(struct run *r, struct err *e)
{
        if (mkdirat(r->workspace.dir, "upper", 0755) < 0 ||
            mkdirat(r->workspace.dir, "work", 0700) < 0 ||
            mkdirat(r->workspace.dir, "rootfs", 0755) < 0)
                return err_sys(e, errno, "cannot make directories in \"%s\"", r->workspace.path);
        AUTO_FD int upper = openat(r->workspace.dir, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        AUTO_FD int work = openat(r->workspace.dir, "work", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct snapshot n = { .layers = &r->image.layers,
                              .upper = upper,
                              .work = work,
                              .userns = r->userns,
                              .upper_new = true,
                              .volatile_ = creation_of(r)->o->auto_remove,
                              .run = r->p->run };

        if (upper < 0 || work < 0)
                return err_sys(e, errno, "cannot open the container's upper directory");
        if (snapshot_mount(r->store, &n, &r->mount, e) < 0)
                return err_in(e, "image \"%s\"", r->s->image);
        if (r->root < 0)
                r->root = fcntl(r->mount, F_DUPFD_CLOEXEC, 0);
        r->root_path = "rootfs";
        return r->root < 0 ? err_sys(e, errno, "cannot open the root") : 0;
}

/* ---- its files ---- */

/* docker's HEALTHCHECK: {"CMD", arg...}, {"CMD-SHELL", text}, {"NONE"}. */
static void take_health(struct creation *c, struct monitor_config *m)
{
        const struct image_config *image = &c->run.config;
        const struct strings *test = &image->health_test;
        struct health_config *h = &m->health;
        struct arena *a = &c->run.arena;

        if (c->o->no_health || c->o->health_given || test->n < 2)
                return;
        *h = (struct health_config){ .interval_ms = image->health_interval_ns / 1000000,
                                     .timeout_ms = image->health_timeout_ns / 1000000,
                                     .start_period_ms = image->health_start_ns / 1000000,
                                     .start_interval_ms = image->health_start_interval_ns / 1000000,
                                     .retries = image->health_retries,
                                     .on_failure = m->health.on_failure };
        if (str_eq(test->v[0], "CMD-SHELL")) {
                strings_add(a, &h->test, "/bin/sh");
                strings_add(a, &h->test, "-c");
        }
        for (size_t i = 1; i < test->n; i++)
                strings_add(a, &h->test, test->v[i]);
}

static void health_defaults(struct health_config *h)
{
        h->interval_ms = h->interval_ms > 0 ? h->interval_ms : 30000;
        h->timeout_ms = h->timeout_ms > 0 ? h->timeout_ms : 30000;
        h->retries = h->retries > 0 ? h->retries : 3;
}

static int stop_signal(const struct run *r, struct err *e)
{
        int sig = r->settings.stop_signal ? signal_parse(r->settings.stop_signal) : SIGTERM;

        return sig < 0 ? err_set(e, ERR_INVALID, "the image's stop signal: \"%s\" is none",
                                 r->settings.stop_signal)
                       : sig;
}

static int put_file(const struct run *r, const char *name, const struct buf *text, struct err *e)
{
        AUTO_FD int fd =
                openat(r->workspace.dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        int status = fd < 0 ? -errno : fd_write_all(fd, buf_str(text), text->len);

        return status < 0 ? err_sys(e, status, "cannot write \"%s/%s\"", r->workspace.path, name)
                          : 0;
}

/* One of docker's and podman's names in --log-opt tag=; false: it is none. */
static bool put_tag_word(const struct ctr *c, const char *name, size_t n, struct buf *out)
{
        const char *image = digest_hex(c->image_id);
        const struct {
                const char *name, *value;
                int cap;
        } known[] = {
                { ".ID", c->id, 12 },      { ".FullID", c->id, 64 },
                { ".Name", c->name, 255 }, { ".ImageName", c->image_name, 255 },
                { ".ImageID", image, 12 }, { ".ImageFullID", image, 64 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (strlen(known[i].name) == n && memcmp(name, known[i].name, n) == 0) {
                        buf_printf(out, "%.*s", known[i].cap, known[i].value);
                        return true;
                }
        return false;
}

static int expand_tag(const struct creation *c, const char **tag, struct err *e)
{
        const char *at = *tag, *open, *end;
        AUTO_BUF b = { 0 };

        while ((open = strstr(at, "{{")) && (end = strstr(open, "}}"))) {
                buf_add(&b, at, (size_t)(open - at));
                if (!put_tag_word(&c->ctr, open + 2, (size_t)(end - open - 2), &b)) {
                        err_set(e, ERR_INVALID, "--log-opt tag: \"%.*s\" is not known",
                                (int)(end + 2 - open), open);
                        return err_hint(e, "there are {{.ID}}, {{.FullID}}, {{.Name}}, "
                                           "{{.ImageName}}, {{.ImageID}} and {{.ImageFullID}}");
                }
                at = end + 2;
        }
        buf_puts(&b, at);
        *tag = arena_strdup(c->a, buf_str(&b));
        return 0;
}

/* The monitor's runtime reads it, and plans, while the rest is made. */
static int write_config(struct run *r, struct err *e)
{
        const struct creation *c = creation_of(r);

        if (put_file(r, "config.json", &r->json, e) < 0)
                return -1;
        if (c->standby)
                wire_send_ahead(c->standby->sock, START_TIMEOUT_MS, r->s->tty,
                                notify_is_own(c->o->monitor.notify), c->ctr.id, r->workspace.path,
                                r->p->oci);
        return 0;
}

/* What berth is to do when it has ended for good and nobody attends; words: how berth is called. */
static void plan_end(struct run *r, struct strings *words)
{
        static const char *const removal[] = { "rm", "--force" }, *const cleanup[] = { "container",
                                                                                       "cleanup" };
        const struct creation *c = creation_of(r);
        const char *const *verb = c->o->auto_remove            ? removal
                                  : c->ctr.mounts->own_volumes ? cleanup
                                                               : NULL;

        if (!verb) {
                words->n = 0;
                return;
        }
        for (size_t i = 0; i < 2; i++)
                strings_add(&r->arena, words, verb[i]);
        strings_add(&r->arena, words, c->ctr.id);
}

static int write_monitor_config(struct run *r, struct err *e)
{
        struct creation *c = creation_of(r);
        struct monitor_config m = c->o->monitor;
        AUTO_BUF text = { 0 };
        int sig = c->o->stop_signal_given ? (int)m.stop_signal : stop_signal(r, e);

        if (sig < 0 || (m.log_tag && expand_tag(c, &m.log_tag, e) < 0))
                return -1;
        plan_end(r, &m.on_exit);
        m.id = c->ctr.id;
        m.name = c->ctr.name;
        m.bundle = r->workspace.path;
        m.oci_root = r->p->oci;
        m.auto_remove = c->o->auto_remove;
        m.tty = r->s->tty;
        m.open_stdin = r->s->interactive;
        m.stop_signal = sig;
        m.stop_timeout_ms = m.stop_timeout_ms >= 0 ? m.stop_timeout_ms : DEFAULT_STOP_TIMEOUT_MS;
        m.start_timeout_ms = START_TIMEOUT_MS;
        take_health(c, &m);
        if (m.health.test.n)
                health_defaults(&m.health);
        monitor_config_write(&m, &text);
        return put_file(r, "monitor.json", &text, e);
}

/* ---- its record: from here on it exists ---- */

static int try_name(struct creation *c, const char *name, struct err *e)
{
        AUTO_BUF text = { 0 };

        c->ctr.name = name;
        ctr_record_write(&c->ctr, c->o, &c->box, &text);
        return store_container_put(c->g->store, c->ctr.id, buf_str(&text), e);
}

/* Who has it may be one that a killed command left. */
static int try_given(struct creation *c, const char *name, struct err *e)
{
        int r = try_name(c, name, e);

        if (r == 0 || e->code != ERR_EXISTS || !c->run.sweep_later ||
            sandbox_sweep(c->run.p, c->run.store) == 0)
                return r;
        err_clear(e);
        return try_name(c, name, e);
}

/* Before the bundle: monitor.json has the name. */
static int take_name(struct run *r, struct err *e)
{
        struct creation *c = creation_of(r);
        int status = -1;

        if (c->o->box.name)
                status = try_given(c, arena_strdup(c->a, c->o->box.name), e);
        for (unsigned i = 0; !c->o->box.name && i < NAME_TRIES && status < 0; i++) {
                err_clear(e);
                status = try_name(c, name_make(c->a, i), e);
                if (status < 0 && e->code != ERR_EXISTS)
                        break;
        }
        c->name_taken = status == 0;
        return status;
}

static void release_name(struct run *r)
{
        struct creation *c = creation_of(r);

        if (c->name_taken)
                store_container_remove(c->g->store, c->ctr.id, &(struct err){ 0 });
}

static int settle(struct run *r, struct err *e)
{
        struct creation *c = creation_of(r);
        AUTO_BUF text = { 0 };

        ctr_record_write(&c->ctr, c->o, &c->box, &text);
        if (ctr_record_read(c->a, arena_strdup(c->a, buf_str(&text)), &c->ctr, e) < 0)
                return -1;
        return workspace_settle(&r->workspace, buf_str(&text), text.len, c->standby, e);
}

/* Its /proc could be neither mounted nor bound: the host's shows all of the host's processes. */
static int check_pid(const struct sandbox *s, struct err *e)
{
        const struct ns_choice *pid = &s->ns[KIND_PID], *user = &s->ns[KIND_USER];

        if (s->userns.mode == USERNS_HOST || pid->mode != MODE_CONTAINER ||
            str_eq0(user->container, pid->container))
                return 0;
        err_set(e, ERR_INVALID,
                "--pid=container: with a user namespace that is not that container's");
        return err_hint(e, "add --userns=container:%.12s", pid->container);
}

/* A run starts them; a create asks only that they are there. */
static int find_required(struct run *r, struct err *e)
{
        struct creation *c = creation_of(r);

        for (size_t i = 0; i < c->o->required.n; i++) {
                struct ctr one;

                if (ctr_find(c->g, c->a, c->o->required.v[i], &one, e) < 0)
                        return err_in(e, "--requires");
                strings_add(c->a, &c->ctr.required, one.id);
        }
        return c->standby ? ctr_start_required(c->g, &c->ctr, e) : 0;
}

static int join_others(struct run *r, struct err *e)
{
        struct creation *c = creation_of(r);

        if (ctr_join(c->g, c->a, &c->box, e) < 0)
                return -1;
        if (c->box.userns.mode == USERNS_CONTAINER)
                c->box.userns.from = c->box.ns[KIND_USER].container;
        return check_pid(&c->box, e);
}

static int place(struct run *r, struct err *e)
{
        struct creation *c = creation_of(r);
        const char *parent = r->s->cgroup_parent;

        if (r->p->systemd)
                c->ctr.slice = parent ? arena_strdup(c->a, parent) : PLACEMENT_SLICE;
        return placement_path(&r->arena, r->p->systemd, parent, c->ctr.id, &r->cgroups_path, e);
}

static int start_monitor(struct run *r, struct err *e)
{
        struct creation *c = creation_of(r);

        return c->standby ? standby_start(c->standby, &c->ctr, e) : 0;
}

static void dismiss_monitor(struct run *r)
{
        if (creation_of(r)->standby)
                standby_dismiss(creation_of(r)->standby);
}

static int volumes_from(struct run *r, struct err *e)
{
        return ctr_volumes_from(creation_of(r)->g, &r->arena, &r->s->volumes_from, &r->mounts, e);
}

static const struct step create_steps[] = {
        { .make = place },
        { .make = find_required },
        { .make = join_others },
        { .make = find_image },
        { .make = step_settings },
        { .make = volumes_from },
        { .make = step_signals, .undo = undo_signals },
        { .make = start_monitor, .undo = dismiss_monitor },
        { .make = hold_image, .undo = release_image },
        { .make = step_workspace, .undo = undo_workspace },
        { .make = settle_userns },
        { .make = mount_root },
        { .make = make_files },
        { .make = make_volumes },
        { .make = make_secrets },
        { .make = sandbox_config },
        { .make = write_config },
        { .make = fill_ctr },
        { .make = merge_labels },
        { .make = take_name, .undo = release_name },
        { .make = release_ranges },
        { .make = write_monitor_config },
        { .make = settle },
        {},
};

/* ---- the whole ---- */

/* What outlives its creation, the caller's; nothing after a failure. */
struct made {
        int root;      /* mounted */
        int dir;       /* its directory, locked (E1) */
        sigset_t mask; /* signals as they were: they are held back, for who was not told of the
                          container can't remove it */
};

static void made_close(struct made *m)
{
        m->root = fd_close(m->root);
        m->dir = fd_close(m->dir);
}

/* standby: NULL where it is not to be started; there is none after a failure. */
static int create(struct engine *g, struct arena *a, const struct ctr_options *o,
                  struct standby *standby, struct ctr *ret, struct made *made, struct err *e)
{
        struct creation c = {
                .g = g, .o = o, .a = a, .box = o->box, .standby = standby, .ranges = -1
        };
        size_t n;
        int status;

        c.run = (struct run){ .s = &c.box,
                              .p = &g->places,
                              .store = g->store,
                              .sweep_later = standby != NULL,
                              .workspace = WORKSPACE_INIT,
                              .mount = -1,
                              .root = -1,
                              .userns = -1 };
        c.ctr = (struct ctr){ .id = id_make(a),
                              .created_ns = clock_now_ns(),
                              .tty = o->box.tty,
                              .open_stdin = o->box.interactive,
                              .auto_remove = o->auto_remove,
                              .passthrough = o->monitor.log_driver == LOG_DRIVER_PASSTHROUGH,
                              .network = network_names[o->box.network] };
        c.box.name = c.ctr.id;
        if (!c.box.hostname)
                c.box.hostname = arena_strndup(a, c.ctr.id, 12);
        if (o->box.name && name_check(o->box.name) < 0)
                return err_set(e, ERR_INVALID,
                               "--name: \"%s\" may hold letters, digits, '_', '.' and '-', and "
                               "begins with a letter or digit",
                               o->box.name);
        status = steps_make(&c.run, create_steps, &n, e);
        if (status < 0) {
                steps_undo(&c.run, create_steps, n);
                store_full_hint(g->store, e);
        } else {
                release_image(&c.run);
                ctr_event(g, &c.ctr, "create", NULL, NULL);
                *made = (struct made){ TAKE_FD(c.run.mount), TAKE_FD(c.run.workspace.dir),
                                       c.run.mask };
                workspace_close(&c.run.workspace);
                *ret = c.ctr;
                ret->preserve_fds = o->preserve_fds; /* of no record: it is for this start alone */
        }
        fd_close(c.ranges);
        run_done(&c.run);
        return status;
}

/* A signal came before there was anything to send it to: all is undone, then it takes effect. */
static int undo_if_ended(struct engine *g, const struct ctr *c, struct err *e)
{
        if (!signals_wait())
                return 0;
        ctr_remove(g, c, true, 0, &(struct err){ 0 });
        return err_set(e, ERR_STATE, "ended by a signal before the container was there");
}

int ctr_create(struct engine *g, struct arena *a, const struct ctr_options *o, struct ctr *ret,
               struct err *e)
{
        struct made made;

        if (create(g, a, o, NULL, ret, &made, e) < 0)
                return -1;
        made_close(&made);
        if (undo_if_ended(g, ret, e) == 0)
                return 0;
        sigprocmask(SIG_SETMASK, &made.mask, NULL);
        return -1;
}

/* Where it can't be started, a container that removes itself goes, another stays, created. */
static int launch(struct engine *g, const struct ctr *c, const struct attach *attach,
                  struct standby *standby, struct made *made, int *ret_sock, struct err *e)
{
        int pair[2] = { -1, -1 }, r;

        r = attach ? ctr_attach_pair(attach, pair, e) : 0;
        if (r == 0)
                r = ctr_launch(g, c, made->dir, standby, TAKE_FD(made->root), pair[1], e);
        standby_dismiss(standby);
        fd_close(pair[1]);
        if (r == 0 && attach)
                r = *ret_sock = attach_accepted(pair[0], e);
        else
                fd_close(pair[0]);
        if (r < 0 && !c->auto_remove)
                workspace_release(made->dir);
        made->dir = fd_close(made->dir);
        if (r < 0 && c->auto_remove)
                ctr_remove(g, c, true, 0, &(struct err){ 0 });
        return r < 0 ? -1 : 0;
}

int ctr_run(struct engine *g, struct arena *a, const struct ctr_options *o,
            const struct attach *attach, int *ret_sock, struct ctr *ret, struct err *e)
{
        struct standby standby = { .sock = -1 };
        struct made made;
        sigset_t forwarded;
        int r;

        sigemptyset(&forwarded);
        attach_signals(attach, &forwarded);
        if (create(g, a, o, &standby, ret, &made, e) < 0)
                return -1;
        sigprocmask(SIG_BLOCK, &forwarded, NULL);
        if (signals_wait()) {
                made_close(&made);
                standby_dismiss(&standby);
                r = undo_if_ended(g, ret, e);
        } else {
                r = launch(g, ret, attach, &standby, &made, ret_sock, e);
                made_close(&made);
        }
        attach_signals(r == 0 ? attach : NULL, &made.mask); /* for the container from now on */
        if (r < 0 || attach)
                sigprocmask(SIG_SETMASK, &made.mask, NULL);
        return r;
}
