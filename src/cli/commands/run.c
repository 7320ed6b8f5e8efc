/* berth run: a container from an image or another root, in the foreground. */
#include <errno.h>
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
#include "cli/progress.h"
#include "cli/registry-args.h"
#include "engine/sandbox.h"
#include "image/helper.h"
#include "kernel/exe.h"
#include "oci/container.h"

/* docker's and podman's. */
enum { EXIT_ENGINE = 125, EXIT_CANNOT_EXEC = 126, EXIT_NOT_FOUND = 127 };

struct run_args {
        bool interactive, tty, rm, read_only, plan, quiet;
        const char *rootfs, *name, *hostname, *cpus, *workdir, *user, *entrypoint, *platform;
        int64_t memory, pids_limit;
        struct strings cap_add, cap_drop, volumes, tmpfs, env, env_files, group_add;
        enum sandbox_network network;
        enum pull_policy pull;
        struct registry_args registry;
};

static const char *const networks[] = { [NETWORK_NONE] = "none", [NETWORK_HOST] = "host", NULL };

static const struct opt opts[] = {
        HEADING("The process"),
        FLAG(struct run_args, interactive, 'i', "interactive", "Keep standard input open"),
        FLAG(struct run_args, tty, 't', "tty", "Give it a terminal"),
        LIST(struct run_args, env, 'e', "env", "NAME[=VALUE]",
             "Set an environment variable, or pass on ours"),
        LIST(struct run_args, env_files, 0, "env-file", "FILE",
             "Set those of a file, one NAME=VALUE a line", .complete = COMPLETE_FILE),
        STR(struct run_args, entrypoint, 0, "entrypoint", "PROGRAM",
            "Replace the image's entrypoint, and its command; a JSON array has arguments too"),
        STR(struct run_args, workdir, 'w', "workdir", "DIR", "Start in DIR, made where missing"),
        STR(struct run_args, user, 'u', "user", "USER[:GROUP]",
            "Run as this user of the container, by name or number; by default the image's, or "
            "root"),
        LIST(struct run_args, group_add, 0, "group-add", "GROUP", "Give it a further group"),
        HEADING("What it sees"),
        STR(struct run_args, rootfs, 0, "rootfs", "DIR",
            "Use DIR as the root file system instead of an image", .complete = COMPLETE_DIR),
        FLAG(struct run_args, read_only, 0, "read-only", "Make the root read-only"),
        LIST(struct run_args, volumes, 'v', "volume", "SOURCE:DEST[:OPTIONS]",
             "Mount a directory or file of the host; options: ro, and those of mount(8); a DEST "
             "alone is an anonymous volume",
             .complete = COMPLETE_FILE),
        LIST(struct run_args, tmpfs, 0, "tmpfs", "DEST[:OPTIONS]", "Mount a tmpfs"),
        ENUM(struct run_args, network, 0, "network", "MODE", networks,
             "none (the default): loopback alone; host: the host's own network"),
        STR(struct run_args, name, 0, "name", "NAME", "Name the container"),
        STR(struct run_args, hostname, 'h', "hostname", "NAME",
            "Its host name; by default the container's name"),
        HEADING("What it may consume"),
        SIZE(struct run_args, memory, 'm', "memory", "BYTES", "Limit its memory, e.g. 64m"),
        STR(struct run_args, cpus, 0, "cpus", "N", "Limit its CPU time to N processors, e.g. 0.5"),
        INT(struct run_args, pids_limit, 0, "pids-limit", "N",
            "Limit its tasks; 2048 by default, -1 for no limit"),
        HEADING("What it may do"),
        LIST(struct run_args, cap_add, 0, "cap-add", "CAPABILITY", "Give it a capability"),
        LIST(struct run_args, cap_drop, 0, "cap-drop", "CAPABILITY",
             "Take away a capability, or ALL"),
        HEADING("Where the image comes from"),
        ENUM(struct run_args, pull, 0, "pull", "WHEN", pull_policy_names,
             "missing (the default), always, newer (when the registry has another), or never"),
        STR(struct run_args, platform, 0, "platform", "OS/ARCH[/VARIANT]",
            "Use the image for this platform instead of this machine's"),
        FLAG(struct run_args, quiet, 'q', "quiet", "Show no progress of a pull"),
        REGISTRY_OPTS(struct run_args, registry),
        HEADING("Berth"),
        FLAG(struct run_args, plan, 0, "plan",
             "Print the operations, one a line in their order, and make none of them"),
        FLAG(struct run_args, rm, 0, "rm",
             "Remove the container when it ends, as it is always yet"),
        REFUSED('d', "detach",
                "a container in the background needs the monitor, which is not built "
                "yet; use `&`"),
        REFUSED('p', "publish", "networks are not built yet: use --network host"),
        REFUSED(0, "privileged", "name what is needed with --cap-add and --volume instead"),
        {}
};

/* "1.5" -> 1500. */
static int parse_cpus(const char *text, int64_t *ret, struct err *e)
{
        uint32_t whole = 0, thousandths = 0;
        const char *dot = strchr(text, '.');
        size_t n = dot ? (size_t)(dot - text) : strlen(text);
        char digits[16] = "", frac[4] = "000";

        if (n < sizeof digits) {
                memcpy(digits, text, n);
                for (size_t i = 0; dot && i < 3 && dot[1 + i]; i++)
                        frac[i] = dot[1 + i];
                if ((n == 0 || str_to_u32(digits, &whole) == 0) &&
                    str_to_u32(frac, &thousandths) == 0 && whole < 100000 &&
                    (whole || thousandths >= 10)) {
                        *ret = (int64_t)whole * 1000 + thousandths;
                        return 0;
                }
        }
        return err_set(e, ERR_INVALID, "--cpus: \"%s\" is not a number such as 0.5, at least 0.01",
                       text);
}

/* docker's convention, from where in the life of a container it failed. */
static int status_of(const struct err *e)
{
        if (!str_after(e->chain, "exec: "))
                return EXIT_ENGINE;
        return e->code == ERR_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_CANNOT_EXEC;
}

static const char *make_name(struct arena *a)
{
        unsigned char r[4] = { 0 };

        if (getrandom(r, sizeof r, 0) < 0)
                return arena_printf(a, "run-%d", getpid());
        return arena_printf(a, "run-%02x%02x%02x%02x", r[0], r[1], r[2], r[3]);
}

/* The first argument is an image or `host`, unless --rootfs names a directory; what follows is the
 * command. */
static int take_root(struct run_args *args, struct sandbox *s, int *argc, char ***argv,
                     struct err *e)
{
        if (!args->rootfs && *argc == 0) {
                err_set(e, ERR_INVALID, "an image is needed, or host");
                return err_hint(e,
                                "`berth run IMAGE`, or `berth run host CMD` for a sandbox of this "
                                "machine's own root");
        }
        if (!args->rootfs) {
                s->image = str_eq((*argv)[0], "host") ? NULL : (*argv)[0];
                (*argc)--;
                (*argv)++;
        }
        s->args = (struct strings){ (const char **)*argv, (size_t)*argc };
        return 0;
}

/* What a pull needs to know. */
static int take_image(struct ctx *c, const struct run_args *args, struct sandbox *s, struct err *e)
{
        s->pull = (struct pull_options){ .policy = args->pull };
        if (registry_args_take(&args->registry, &s->pull.fetch, e) < 0)
                return -1;
        if (args->platform && platform_parse(&c->arena, args->platform, &s->pull.platform, e) < 0)
                return err_in(e, "--platform");
        s->platform_given = args->platform != NULL;
        if (!s->image && (args->entrypoint || args->platform))
                return err_set(e, ERR_INVALID, "--%s is for images only",
                               args->entrypoint ? "entrypoint" : "platform");
        return 0;
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

/* docker's names begin with a letter or digit. */
static bool name_ok(const char *name)
{
        return container_id_ok(name) && !strchr("+-_.", *name);
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct run_args *args = p;
        struct sandbox s = { .rootfs = args->rootfs,
                             .name = args->name ? args->name : make_name(&c->arena),
                             .hostname = args->hostname,
                             .workdir = args->workdir,
                             .user = args->user,
                             .entrypoint = args->entrypoint,
                             .env = args->env,
                             .env_files = args->env_files,
                             .group_add = args->group_add,
                             .volumes = args->volumes,
                             .tmpfs = args->tmpfs,
                             .cap_add = args->cap_add,
                             .cap_drop = args->cap_drop,
                             .memory = args->memory,
                             .pids_limit = args->pids_limit,
                             .interactive = args->interactive,
                             .tty = args->tty,
                             .read_only = args->read_only,
                             .network = args->network };
        struct sandbox_places places = { .store = c->globals.root,
                                         .run = c->globals.runroot ? c->globals.runroot
                                                                   : "/run/berth",
                                         .oci = ctx_oci_root(c),
                                         .log = &c->log };
        struct progress *progress;
        AUTO_BUF plan = { 0 };
        int status, r;

        if (take_root(args, &s, &argc, &argv, e) < 0 || take_image(c, args, &s, e) < 0 ||
            (args->cpus && parse_cpus(args->cpus, &s.cpus_milli, e) < 0))
                return -1;
        if (!name_ok(s.name))
                return err_set(e, ERR_INVALID,
                               "--name: \"%s\" may hold letters, digits and \"+-_.\", and begins "
                               "with a letter or digit",
                               s.name);
        if (s.image && remember_helpers(e) < 0)
                return -1;
        if (!args->plan && (r = exe_detach(c->argv)) < 0)
                return err_sys(e, r, "cannot let go of the program's own file");
        progress = progress_new(STDERR_FILENO, args->quiet);
        s.watcher = progress_watcher(progress);
        r = sandbox_run(&s, &places, args->plan ? &plan : NULL, &status, e);
        progress_free(progress);
        if (r < 0) {
                log_err(&c->log, LOG_LEVEL_ERROR, e);
                return status_of(e);
        }
        fd_write_all(STDOUT_FILENO, buf_str(&plan), plan.len);
        return status;
}

static const struct run_args defaults = { .pids_limit = 2048,
                                          .pull = PULL_MISSING,
                                          .registry = REGISTRY_ARGS_DEFAULTS };

const struct command cmd_run = {
        .name = "run",
        .usage = "IMAGE|host [COMMAND [ARG...]]",
        .help = "Run a command in a container",
        .about = "The container has namespaces, a cgroup and a root of its own, few capabilities, "
                 "no_new_privs, and a seccomp filter that refuses what reaches deep into the "
                 "kernel.",
        .opts = opts,
        .min = 0,
        .max = -1,
        .stop_at_positional = true,
        .complete = { COMPLETE_IMAGE, COMPLETE_COMMAND },
        .args_size = sizeof(struct run_args),
        .defaults = &defaults,
        .run = run,
};
