/* berth generate systemd: a unit that runs a container that exists. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/commands/ctr.h"
#include "cli/ctr-args.h"

struct generate_args {
        bool name, no_header;
        const char *policy;
        struct strings after, wants, requires, env;
        int64_t stop_timeout, restart_sec, start_timeout;
};
static const struct generate_args defaults = { .stop_timeout = -1,
                                               .restart_sec = -1,
                                               .start_timeout = -1 };

static const struct opt opts[] = {
        LIST(struct generate_args, after, 0, "after", "UNIT", "Start it after UNIT"),
        REFUSED(0, "container-prefix", "the unit is printed: its file's name is yours"),
        LIST(struct generate_args, env, 'e', "env", "NAME=VALUE",
             "Set it in berth's environment, not in the container's"),
        REFUSED(0, "format", "the unit is printed as it is"),
        FLAG(struct generate_args, name, 'n', "name", "Call it by its name, not its id"),
        REFUSED(0, "new", "the unit runs a container that exists: make it with `berth create`"),
        REFUSED('f', "files", "the unit is printed: redirect it to a file"),
        REFUSED(0, "pod-prefix", "pods are not built yet"),
        LIST(struct generate_args, requires, 0, "requires", "UNIT",
             "Stop it when UNIT stops, and start UNIT with it"),
        REFUSED(0, "separator", "the unit is printed: its file's name is yours"),
        INT(struct generate_args, start_timeout, 0, "start-timeout", "SECONDS",
            "How long it may take to start", .min = 0, .max = 1 << 30),
        REFUSED(0, "template", "a unit is of one container"),
        LIST(struct generate_args, wants, 0, "wants", "UNIT", "Start UNIT with it"),
        FLAG(struct generate_args, no_header, 0, "no-header", "Leave out the comment above it"),
        STR(struct generate_args, policy, 0, "restart-policy", "POLICY",
            "systemd's Restart=, on-failure by default"),
        INT(struct generate_args, restart_sec, 0, "restart-sec", "SECONDS",
            "systemd's RestartSec=", .min = -1, .max = 1 << 30),
        INT(struct generate_args, stop_timeout, 't', "stop-timeout", "SECONDS",
            "How long it may take to stop before it is killed; the container's own by default",
            .min = -1, .max = 1 << 30),
        {}
};

static const char *const policies[] = { "no",          "on-success", "on-failure", "on-abnormal",
                                        "on-watchdog", "on-abort",   "always" };

/* A word of ExecStart=: '%' and '$' would be replaced, blanks would split it (systemd.service(5),
 * "COMMAND LINES"). */
static void put_word(const char *word, struct buf *out)
{
        bool quote = strpbrk(word, " \t\"'\\;") != NULL || !*word;

        if (quote)
                buf_putc(out, '"');
        for (const char *at = word; *at; at++) {
                if (*at == '%' || *at == '$')
                        buf_putc(out, *at);
                else if (*at == '"' || *at == '\\')
                        buf_putc(out, '\\');
                buf_putc(out, *at);
        }
        if (quote)
                buf_putc(out, '"');
}

static void put_command(struct ctx *c, const char *name, const char *const *words, struct buf *out)
{
        AUTO_ARENA a = { 0 };
        char self[4096];
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

        buf_printf(out, "%s=", name);
        put_word(n > 0 ? arena_strndup(&a, self, (size_t)n) : "/usr/local/bin/berth", out);
        if (c->globals.root) {
                buf_puts(out, " --root ");
                put_word(c->globals.root, out);
        }
        if (c->globals.runroot) {
                buf_puts(out, " --runroot ");
                put_word(c->globals.runroot, out);
        }
        for (size_t i = 0; words[i]; i++) {
                buf_putc(out, ' ');
                put_word(words[i], out);
        }
        buf_putc(out, '\n');
}

static void put_lines(const char *key, const struct strings *values, struct buf *out)
{
        for (size_t i = 0; i < values->n; i++)
                buf_printf(out, "%s=%s\n", key, values->v[i]);
}

/* A unit file has a setting a line: what is in one can't begin another. */
static int check_lines(const struct generate_args *args, struct err *e)
{
        const struct strings *const lists[] = { &args->after, &args->wants, &args->requires,
                                                &args->env };

        for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
                for (size_t k = 0; k < lists[i]->n; k++)
                        if (strchr(lists[i]->v[k], '\n'))
                                return err_set(e, ERR_INVALID, "\"%.40s\" has more than one line",
                                               lists[i]->v[k]);
        return 0;
}

/* In the foreground: systemd sees the exit status of the container itself, its output goes to
 * systemd's journal too, and a monitor that was killed is a failure. Monitor and container are in a
 * scope of their own (engine/placement.h), so it is we who end them whenever the unit ends. */
static void put_unit(struct ctx *c, const struct ctr *ctr, const struct monitor_config *m,
                     const struct generate_args *args, struct buf *out)
{
        const char *who = args->name ? ctr->name : ctr->id;
        int64_t stop = args->stop_timeout >= 0 ? args->stop_timeout : m->stop_timeout_ms / 1000;
        const char *seconds = arena_printf(&c->arena, "%" PRId64, stop);

        if (!args->no_header)
                buf_printf(out,
                           "# container-%s.service, made by berth %s\n"
                           "# The container must exist: its unit starts and stops it, and never "
                           "removes it.\n\n",
                           who, BERTH_VERSION);
        buf_printf(out,
                   "[Unit]\n"
                   "Description=Container %s\n"
                   "Documentation=man:berth-generate-systemd(1)\n"
                   "Wants=network-online.target\n"
                   "After=network-online.target\n",
                   ctr->name);
        put_lines("After", &args->after, out);
        put_lines("Wants", &args->wants, out);
        put_lines("Requires", &args->requires, out);
        buf_printf(out,
                   "\n[Service]\n"
                   "Type=%s\n"
                   "Restart=%s\n",
                   m->notify == NOTIFY_UNSAID || m->notify == NOTIFY_IGNORE ? "exec" : "notify",
                   args->policy ? args->policy : "on-failure");
        for (size_t i = 0; i < args->env.n; i++) {
                buf_puts(out, "Environment=");
                put_word(args->env.v[i], out);
                buf_putc(out, '\n');
        }
        if (args->start_timeout >= 0)
                buf_printf(out, "TimeoutStartSec=%" PRId64 "\n", args->start_timeout);
        if (args->restart_sec >= 0)
                buf_printf(out, "RestartSec=%" PRId64 "\n", args->restart_sec);
        put_command(c, "ExecStart", (const char *const[]){ "start", "--attach", who, NULL }, out);
        put_command(c, "ExecStop", (const char *const[]){ "stop", "--time", seconds, who, NULL },
                    out);
        /* Should the command have been killed: it is not started again before it has ended. */
        put_command(c, "ExecStopPost",
                    (const char *const[]){ "stop", "--ignore", "--time", seconds, who, NULL }, out);
        buf_printf(out,
                   "SuccessExitStatus=%" PRId64 "\n"
                   "TimeoutStopSec=%" PRId64 "\n"
                   "KillMode=mixed\n\n"
                   "[Install]\n"
                   "WantedBy=multi-user.target\n",
                   128 + m->stop_signal, stop + 60);
}

static int generate(struct ctx *c, struct engine *g, const struct generate_args *args,
                    const char *name, struct buf *out, struct err *e)
{
        struct monitor_config m;
        struct ctr ctr;

        if (ctr_find(g, &c->arena, name, &ctr, e) < 0)
                return -1;
        if (ctr_monitor_config(g, &c->arena, &ctr, &m, e) < 0)
                return -1;
        if (ctr.auto_remove)
                return err_set(e, ERR_STATE,
                               "container \"%s\" removes itself, so a unit can't start it again",
                               ctr.name);
        if (m.restart != RESTART_NO)
                log_warning(&c->log,
                            "container \"%s\" restarts itself (%s): systemd sees none of it",
                            ctr.name, restart_policy_names[m.restart]);
        put_unit(c, &ctr, &m, args, out);
        return 0;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct generate_args *args = p;
        AUTO_BUF out = { 0 };
        struct engine g;
        int r;

        if (args->policy && STR_INDEX(policies, args->policy) < 0) {
                err_set(e, ERR_INVALID, "--restart-policy: systemd has no \"%s\"", args->policy);
                return err_hint(e, "it has no, on-success, on-failure, on-abnormal, on-watchdog, "
                                   "on-abort and always");
        }
        if (check_lines(args, e) < 0 || ctr_engine(c, &g, e) < 0)
                return -1;
        r = generate(c, &g, args, argv[0], &out, e);
        engine_close(&g);
        if (r == 0)
                fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return r;
}

const struct command cmd_generate_systemd = {
        .name = "generate systemd",
        .usage = "CONTAINER",
        .help = "Print a systemd unit that runs a container",
        .about =
                "The service is `berth start --attach` of a container that exists: systemd has "
                "its exit status and its output, and stops it by `berth stop`; where the container "
                "has a --sdnotify, it is Type=notify. The container's "
                "own restart policy should be no, for systemd restarts it.",
        .opts = opts,
        .min = 1,
        .max = 1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_CONTAINER },
        .args_size = sizeof(struct generate_args),
        .defaults = &defaults,
        .run = run,
};
