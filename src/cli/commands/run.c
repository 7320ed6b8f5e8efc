/* berth run, berth create: containers from an image; sandboxes of other roots, in the
 * foreground. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/commands/run.h"
#include "cli/ctr-args.h"
#include "cli/image-remove.h"
#include "cli/progress.h"
#include "cli/run-args.h"
#include "engine/names.h"
#include "engine/settings.h"
#include "image/helper.h"
#include "kernel/exe.h"
#include "oci/runtime.h"

/* Reported here, for its status is not what main would derive from the code. */
static int failed(struct ctx *c, const struct err *e)
{
        log_err(&c->log, LOG_LEVEL_ERROR, e);
        return runtime_failure_status(e);
}

/* ---- without a monitor: host, --rootfs; and every --plan ---- */

static const char *make_name(struct arena *a)
{
        unsigned char r[4] = { 0 };

        if (getrandom(r, sizeof r, 0) < 0)
                return arena_printf(a, "run-%d", getpid());
        return arena_printf(a, "run-%02x%02x%02x%02x", r[0], r[1], r[2], r[3]);
}

/* exe_detach() hides the program's own file, beside which its helpers are found. */
static int remember_helpers(struct err *e)
{
        char path[PATH_MAX];

        if (helper_path("berth-fetch", path, sizeof path, e) < 0)
                return -1;
        *strrchr(path, '/') = 0;
        return setenv("BERTH_LIBEXEC", path, 0) < 0 ? err_sys(e, errno, "cannot set a variable")
                                                    : 0;
}

static int run_direct(struct ctx *c, const struct run_args *args, struct ctr_options *o,
                      struct err *e)
{
        struct sandbox_places places;
        struct progress *progress;
        AUTO_BUF plan = { 0 };
        int status, r;

        if ((!args->plan && run_args_direct(args, e) < 0) || ctr_places(c, &places, e) < 0)
                return -1;
        if (!o->box.name)
                o->box.name = make_name(&c->arena);
        if (name_check(o->box.name) < 0)
                return err_set(e, ERR_INVALID,
                               "--name: \"%s\" may hold letters, digits, '_', '.' and '-', and "
                               "begins with a letter or digit",
                               o->box.name);
        if (o->box.image && remember_helpers(e) < 0)
                return -1;
        if (!args->plan && (r = exe_detach(c->argv)) < 0)
                return err_sys(e, r, "cannot let go of the program's own file");
        progress = progress_new(STDERR_FILENO, args->quiet);
        o->box.watcher = progress_watcher(progress);
        r = sandbox_run(&o->box, &places, args->plan ? &plan : NULL, &status, e);
        progress_free(progress);
        if (r < 0)
                return failed(c, e);
        fd_write_all(STDOUT_FILENO, buf_str(&plan), plan.len);
        return status;
}

/* ---- with one ---- */

static int write_cidfile(const char *path, const char *id, struct err *e)
{
        AUTO_FD int fd = -1;
        int r;

        if (!path)
                return 0;
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        r = fd < 0 ? -errno : fd_write_all(fd, id, strlen(id));
        return r < 0 ? err_sys(e, r, "--cidfile: cannot write \"%s\"", path) : 0;
}

static void print_id(const struct ctr *ctr)
{
        AUTO_BUF line = { 0 };

        buf_printf(&line, "%s\n", ctr->id);
        fd_write_all(STDOUT_FILENO, line.s, line.len);
}

/* How its monitor calls us when it has ended, to remove it or to unmount its volumes, where we have
 * been killed or have detached. */
static int plan_end(struct ctx *c, struct engine *g, struct ctr_options *o, struct err *e)
{
        char self[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        struct strings *words = &o->monitor.on_exit;

        if (n < 0)
                return err_sys(e, errno, "cannot find our own program");
        self[n] = 0;
        strings_add(&c->arena, words, arena_strdup(&c->arena, self));
        strings_add(&c->arena, words, "--root");
        strings_add(&c->arena, words, store_path(g->store));
        strings_add(&c->arena, words, "--runroot");
        strings_add(&c->arena, words, g->places.run);
        return 0;
}

/* --replace: by its whole name alone. */
static int replace(struct ctx *c, struct engine *g, const struct run_args *args, struct err *e)
{
        struct ctr old;

        if (!args->replace)
                return 0;
        if (ctr_find(g, &c->arena, args->name, &old, e) < 0) {
                if (e->code != ERR_NOT_FOUND)
                        return -1;
                err_clear(e);
                return 0;
        }
        return str_eq(old.name, args->name) ? ctr_remove(g, &old, true, 0, e) : 0;
}

/* --rmi: unless another container has it. Its own end is what this command's status tells. */
static void remove_image(struct ctx *c, struct engine *g, const struct ctr *ctr)
{
        struct strings one = { (const char **)&ctr->image_digest, 1 };
        AUTO_BUF out = { 0 };
        struct image i;

        if (store_image_find(g->store, &c->arena, ctr->image_digest, &i, NULL) == 0 &&
            i.containers == 0)
                images_remove_all(c, g->store, &one, false, &out);
}

static int run_ctr(struct ctx *c, struct engine *g, const struct run_args *args,
                   struct ctr_options *o, struct err *e)
{
        struct attach a = { .in = args->interactive,
                            .out = true,
                            .err = true,
                            .primary = true,
                            .tty = args->tty,
                            .forward_signals =
                                    args->sig_proxy ? args->sig_proxy[0] != 'f' : !args->tty,
                            .detach_keys = args->detach_keys };
        struct progress *progress = progress_new(STDERR_FILENO, args->quiet);
        int sock = -1, r;
        struct ctr ctr;

        o->box.watcher = progress_watcher(progress);
        r = run_args_attach(args, &a, e);
        if (o->monitor.log_driver == LOG_DRIVER_PASSTHROUGH)
                a.in = false; /* it reads our input itself */
        if (r == 0)
                r = replace(c, g, args, e);
        if (r == 0)
                r = ctr_run(g, &c->arena, o, args->detach ? NULL : &a, &sock, &ctr, e);
        progress_free(progress);
        if (r < 0)
                return failed(c, e);
        if (write_cidfile(args->cidfile, ctr.id, e) < 0)
                return -1;
        if (args->detach) {
                if (ctr_notify(g, &ctr, e) < 0)
                        return failed(c, e);
                print_id(&ctr);
                return 0;
        }
        r = ctr_attended(g, &ctr, &a, sock, e);
        if (args->rmi)
                remove_image(c, g, &ctr);
        return r;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct run_args *args = p;
        struct ctr_options o;
        struct engine g;
        int r;

        if (run_args_take(c, args, argc, argv, &o, e) < 0)
                return -1;
        if (!o.box.image || args->plan)
                return run_direct(c, args, &o, e);
        if (args->cidfile && access(args->cidfile, F_OK) == 0)
                return err_set(e, ERR_EXISTS, "--cidfile: \"%s\" exists already", args->cidfile);
        if (geteuid() != 0) {
                err_set(e, ERR_DENIED, "berth run needs root for now");
                return err_hint(e, "run it with sudo");
        }
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = plan_end(c, &g, &o, e);
        if (r == 0)
                r = run_ctr(c, &g, args, &o, e);
        engine_close(&g);
        return r;
}

static int create(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct run_args *args = p;
        struct progress *progress;
        struct ctr_options o;
        struct engine g;
        struct ctr ctr;
        int r;

        if (args->detach)
                return err_set(e, ERR_INVALID,
                               "create never starts a container: --detach is run's");
        if (args->preserve_fds)
                return err_set(e, ERR_INVALID,
                               "create never starts a container: --preserve-fds is run's");
        if (run_args_take(c, args, argc, argv, &o, e) < 0)
                return -1;
        if (!o.box.image || args->plan)
                return err_set(e, ERR_INVALID, "create takes an image");
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        progress = progress_new(STDERR_FILENO, args->quiet);
        o.box.watcher = progress_watcher(progress);
        r = plan_end(c, &g, &o, e);
        if (r == 0)
                r = ctr_create(&g, &c->arena, &o, &ctr, e);
        progress_free(progress);
        if (r == 0)
                r = write_cidfile(args->cidfile, ctr.id, e);
        if (r == 0)
                print_id(&ctr);
        engine_close(&g);
        return r;
}

const struct command cmd_run = {
        .name = "run",
        .alias = { "container run" },
        .usage = "IMAGE|host [COMMAND [ARG...]]",
        .help = "Run a command in a container",
        .about = "The container has namespaces, a cgroup and a root of its own, few capabilities, "
                 "no_new_privs, and a seccomp filter that refuses what reaches deep into the "
                 "kernel. A monitor of its own holds its output and outlives this command.",
        .opts = run_opts,
        .min = 0,
        .max = -1,
        .stop_at_positional = true,
        .complete = { COMPLETE_IMAGE, COMPLETE_COMMAND },
        .args_size = sizeof(struct run_args),
        .defaults = &run_defaults,
        .run = run,
};
const struct command cmd_create = {
        .name = "create",
        .alias = { "container create" },
        .usage = "IMAGE [COMMAND [ARG...]]",
        .help = "Make a container without starting it",
        .about = "It takes the options of `berth run`. Prints the container's id; `berth start` "
                 "starts it.",
        .opts = run_opts,
        .min = 0,
        .max = -1,
        .stop_at_positional = true,
        .needs = NEED_ROOT,
        .complete = { COMPLETE_IMAGE, COMPLETE_COMMAND },
        .args_size = sizeof(struct run_args),
        .defaults = &run_defaults,
        .run = create,
};
