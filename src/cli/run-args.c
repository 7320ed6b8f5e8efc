/* What can be said of a container that is to be, as options. */
#include "cli/run-args.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "engine/settings.h"
#include "kernel/signals.h"

static const char *const networks[] = { [NETWORK_NONE] = "none", [NETWORK_HOST] = "host", NULL };

const struct opt run_opts[] = {
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
        LIST(struct run_args, mounts, 0, "mount", "KEY=VALUE,...",
             "Mount by keys: type=volume (the default), bind or tmpfs, source, destination, ro, ..."),
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
        HEADING("Its life"),
        FLAG(struct run_args, detach, 'd', "detach", "Print its id and return once it runs"),
        FLAG(struct run_args, rm, 0, "rm", "Remove the container when it ends"),
        STR(struct run_args, restart, 0, "restart", "POLICY",
            "When it ends, start it again: no, on-failure[:MAX], always, unless-stopped"),
        STR(struct run_args, stop_signal, 0, "stop-signal", "SIGNAL",
            "What asks it to stop; the image's, or SIGTERM", .complete = COMPLETE_SIGNAL),
        INT(struct run_args, stop_timeout, 0, "stop-timeout", "SECONDS",
            "Kill it when it has not stopped after so long; 10 by default", .min = -1,
            .max = 1 << 30),
        INT(struct run_args, timeout, 0, "timeout", "SECONDS",
            "Stop it when it has run for so long; 0: never", .min = 0, .max = 1 << 30),
        STR(struct run_args, health_cmd, 0, "health-cmd", "COMMAND",
            "Check its health by COMMAND: for a shell, a JSON array, or none"),
        STR(struct run_args, health_interval, 0, "health-interval", "TIME",
            "Between checks; 30s by default"),
        STR(struct run_args, health_timeout, 0, "health-timeout", "TIME",
            "After which a check counts as failed; 30s by default"),
        STR(struct run_args, health_start, 0, "health-start-period", "TIME",
            "At the start, in which failures do not count"),
        INT(struct run_args, health_retries, 0, "health-retries", "N",
            "Failures in a row that make it unhealthy; 3 by default", .min = 0, .max = 1000),
        ENUM(struct run_args, health_on_failure, 0, "health-on-failure", "ACTION",
             health_action_names, "What to do when it is unhealthy: none, kill, restart, stop"),
        FLAG(struct run_args, no_health, 0, "no-healthcheck",
             "No health checks, whatever the image says"),
        ENUM(struct run_args, log_driver, 0, "log-driver", "DRIVER", log_driver_names,
             "How its output is kept: k8s-file (the default), json-file (docker's), none"),
        LIST(struct run_args, log_opts, 0, "log-opt", "KEY=VALUE",
             "max-size=10m: rotate at that size; max-file=3: keep so many"),
        LIST(struct run_args, labels, 'l', "label", "KEY[=VALUE]", "Label it"),
        STR(struct run_args, cidfile, 0, "cidfile", "FILE",
            "Write its id to FILE, which must not exist", .complete = COMPLETE_FILE),
        STR(struct run_args, detach_keys, 0, "detach-keys", "KEYS",
            "What leaves a terminal's container running; ctrl-p,ctrl-q by default"),
        STR_OPTIONAL(struct run_args, sig_proxy, 0, "sig-proxy", "BOOL", "true",
                     "Whether signals that we get go to the container (true without --tty)"),
        HEADING("Berth"),
        FLAG(struct run_args, plan, 0, "plan",
             "Print the operations, one a line in their order, and make none of them"),
        REFUSED('p', "publish", "networks are not built yet: use --network host"),
        REFUSED(0, "privileged", "name what is needed with --cap-add and --volume instead"),
        {}
};

const struct run_args run_defaults = { .pids_limit = 2048,
                                       .stop_timeout = -1,
                                       .pull = PULL_MISSING,
                                       .registry = REGISTRY_ARGS_DEFAULTS };

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

/* The first argument is an image or `host`, unless --rootfs names a directory. */
static int take_root(const struct run_args *args, struct sandbox *s, int argc, char **argv,
                     struct err *e)
{
        if (!args->rootfs && argc == 0) {
                err_set(e, ERR_INVALID, "an image is needed, or host");
                return err_hint(e,
                                "`berth run IMAGE`, or `berth run host CMD` for a sandbox of this "
                                "machine's own root");
        }
        if (!args->rootfs) {
                s->image = str_eq(argv[0], "host") ? NULL : argv[0];
                argc--;
                argv++;
        }
        s->args = (struct strings){ (const char **)argv, (size_t)argc };
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

/* ---- its life ---- */

/* "on-failure:5" */
static int take_restart(const struct run_args *args, struct monitor_config *m, struct err *e)
{
        const char *text = args->restart, *max = text ? strchr(text, ':') : NULL;
        size_t n = max ? (size_t)(max - text) : text ? strlen(text) : 0;
        uint32_t times = 0;

        for (int i = 0; text && i < RESTART_POLICY_MAX; i++) {
                const char *name = restart_policy_names[i];

                if (strlen(name) != n || strncmp(name, text, n) != 0)
                        continue;
                if (max && (i != RESTART_ON_FAILURE || str_to_u32(max + 1, &times) < 0))
                        break;
                m->restart = (enum restart_policy)i;
                m->restart_max = times;
                return args->rm && i != RESTART_NO
                               ? err_set(e, ERR_INVALID, "--restart and --rm exclude each other")
                               : 0;
        }
        if (!text)
                return 0;
        return err_set(e, ERR_INVALID,
                       "--restart: \"%s\" is none of no, on-failure[:MAX], always, unless-stopped",
                       text);
}

static int take_time(const char *option, const char *text, int64_t *ret_ms, struct err *e)
{
        uint32_t ms;

        if (!text)
                return 0;
        if (registry_args_delay(text, &ms, e) < 0)
                return err_set(e, ERR_INVALID, "--%s: \"%s\" is no time such as 30s", option, text);
        *ret_ms = ms;
        return 0;
}

/* A JSON array is the command itself, another text is for a shell. */
static int take_health_command(struct ctx *c, const char *text, struct strings *ret, struct err *e)
{
        struct json j;

        if (*text != '[') {
                settings_push(&c->arena, ret, "/bin/sh");
                settings_push(&c->arena, ret, "-c");
                settings_push(&c->arena, ret, text);
                return 0;
        }
        if (json_parse(&c->arena, text, strlen(text), NULL, &j, NULL) < 0)
                return err_set(e, ERR_INVALID, "--health-cmd: \"%s\" is no JSON array", text);
        for (uint32_t i = 0; i < j.n; i++) {
                const char *word = json_str(&j.items[i], NULL);

                if (!word)
                        return err_set(e, ERR_INVALID,
                                       "--health-cmd: \"%s\" holds more than strings", text);
                /* As in an image's configuration. */
                if (i > 0 || (!str_eq(word, "CMD") && !str_eq(word, "NONE")))
                        settings_push(&c->arena, ret, word);
        }
        return 0;
}

static int take_health(struct ctx *c, const struct run_args *args, struct ctr_options *o,
                       struct err *e)
{
        struct health_config *h = &o->monitor.health;

        h->on_failure = args->health_on_failure;
        o->no_health = args->no_health || (args->health_cmd && str_eq(args->health_cmd, "none"));
        h->retries = args->health_retries;
        if (take_time("health-interval", args->health_interval, &h->interval_ms, e) < 0 ||
            take_time("health-timeout", args->health_timeout, &h->timeout_ms, e) < 0 ||
            take_time("health-start-period", args->health_start, &h->start_period_ms, e) < 0)
                return -1;
        if (o->no_health || !args->health_cmd)
                return 0;
        o->health_given = true;
        return take_health_command(c, args->health_cmd, &h->test, e);
}

static int take_log(const struct run_args *args, struct monitor_config *m, struct err *e)
{
        m->log_driver = args->log_driver;
        m->log_max_files = 1;
        for (size_t i = 0; i < args->log_opts.n; i++) {
                const char *text = args->log_opts.v[i], *value;
                int64_t n;

                if ((value = str_after(text, "max-size=")) && str_to_size(value, &n) == 0 && n > 0)
                        m->log_max_size = (uint64_t)n;
                else if ((value = str_after(text, "max-file=")) && str_to_i64(value, &n) == 0 &&
                         n > 0 && n < 1000)
                        m->log_max_files = n;
                else
                        return err_set(e, ERR_INVALID,
                                       "--log-opt: \"%s\" is neither max-size=BYTES nor max-file=N",
                                       text);
        }
        return 0;
}

static void take_labels(struct ctx *c, const struct run_args *args, struct ctr_options *o)
{
        o->labels.v = arena_array(&c->arena, struct key_value, args->labels.n + 1);
        for (size_t i = 0; i < args->labels.n; i++) {
                const char *text = args->labels.v[i], *eq = strchr(text, '=');

                o->labels.v[o->labels.n++] =
                        (struct key_value){ eq ? arena_strndup(&c->arena, text, (size_t)(eq - text))
                                               : text,
                                            eq ? eq + 1 : "" };
        }
}

static int take_life(struct ctx *c, const struct run_args *args, struct ctr_options *o,
                     struct err *e)
{
        struct monitor_config *m = &o->monitor;

        o->auto_remove = args->rm;
        m->stop_timeout_ms = args->stop_timeout < 0 ? -1 : args->stop_timeout * 1000;
        m->timeout_ms = args->timeout * 1000;
        if (args->stop_signal) {
                int sig = signal_parse(args->stop_signal);

                if (sig <= 0)
                        return err_set(e, ERR_INVALID, "--stop-signal: \"%s\" is no signal",
                                       args->stop_signal);
                m->stop_signal = sig;
                o->stop_signal_given = true;
        }
        take_labels(c, args, o);
        if (take_restart(args, m, e) < 0 || take_log(args, m, e) < 0)
                return -1;
        return take_health(c, args, o, e);
}

int run_args_take(struct ctx *c, const struct run_args *args, int argc, char **argv,
                  struct ctr_options *ret, struct err *e)
{
        struct ctr_options o = { .box = { .rootfs = args->rootfs,
                                          .name = args->name,
                                          .hostname = args->hostname,
                                          .workdir = args->workdir,
                                          .user = args->user,
                                          .entrypoint = args->entrypoint,
                                          .env = args->env,
                                          .env_files = args->env_files,
                                          .group_add = args->group_add,
                                          .volumes = args->volumes,
                                          .tmpfs = args->tmpfs,
                                          .mounts = args->mounts,
                                          .cap_add = args->cap_add,
                                          .cap_drop = args->cap_drop,
                                          .memory = args->memory,
                                          .pids_limit = args->pids_limit,
                                          .interactive = args->interactive,
                                          .tty = args->tty,
                                          .read_only = args->read_only,
                                          .network = args->network } };

        for (char **word = c->argv; *word; word++)
                settings_push(&c->arena, &o.command_line, *word);
        if (take_root(args, &o.box, argc, argv, e) < 0 || take_image(c, args, &o.box, e) < 0 ||
            (args->cpus && parse_cpus(args->cpus, &o.box.cpus_milli, e) < 0) ||
            take_life(c, args, &o, e) < 0)
                return -1;
        *ret = o;
        return 0;
}

int run_args_direct(const struct run_args *args, struct err *e)
{
        const char *given = args->detach        ? "detach"
                            : args->restart     ? "restart"
                            : args->cidfile     ? "cidfile"
                            : args->health_cmd  ? "health-cmd"
                            : args->timeout     ? "timeout"
                            : args->labels.n    ? "label"
                            : args->log_opts.n  ? "log-opt"
                            : args->stop_signal ? "stop-signal"
                                                : NULL;

        if (!given)
                return 0;
        err_set(e, ERR_UNSUPPORTED, "--%s is for containers of an image", given);
        return err_hint(e,
                        "a sandbox of host or --rootfs has no monitor: it ends with this command");
}
