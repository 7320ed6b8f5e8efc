/* berth attach. */
#include <unistd.h>

#include "base/fd.h"
#include "cli/commands/ctr.h"
#include "cli/ctr-args.h"

struct attach_args {
        bool no_stdin, latest;
        const char *detach_keys, *sig_proxy;
};

static const struct opt opts[] = {
        STR(struct attach_args, detach_keys, 0, "detach-keys", "KEYS",
            "What leaves it running; ctrl-p,ctrl-q by default, \"\" for none"),
        FLAG(struct attach_args, latest, 'l', "latest", "The container that was created last"),
        FLAG(struct attach_args, no_stdin, 0, "no-stdin", "Leave our input alone"),
        STR_OPTIONAL(struct attach_args, sig_proxy, 0, "sig-proxy", "BOOL", "true",
                     "Whether signals that we get go to the container (true by default)"),
        {}
};

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        struct attach_args *args = p;
        const struct ctr_choice choice = { .latest = args->latest };
        struct attach a = { .out = true, .err = true, .detach_keys = args->detach_keys };
        AUTO_FD int run_dir = -1, sock = -1;
        enum attach_end end;
        struct ctr_state s;
        struct engine g;
        struct ctr *v;
        int missing, status = 0;
        size_t n;

        if (attach_check(&a, e) < 0 || ctr_engine(c, &g, e) < 0)
                return -1;
        if (ctr_choose(c, &g, &choice, argc, argv, &v, &n, &missing, e) < 0 || n == 0) {
                engine_close(&g);
                return missing ? 1 : -1;
        }
        ctr_state(&g, &v[0], &s);
        a.tty = v[0].tty;
        a.in = v[0].open_stdin && !args->no_stdin;
        a.forward_signals = !(args->sig_proxy && args->sig_proxy[0] == 'f');
        if (!ctr_is_up(&s))
                err_set(e, ERR_STATE, "container \"%s\" is not running: it is %s", v[0].name,
                        ctr_status_names[s.status]);
        else if ((run_dir = ctr_run_dir(&g, v[0].id, false, e)) >= 0 &&
                 (sock = attach_open(run_dir, &a, e)) >= 0) {
                if (attach_run(sock, &a, run_dir, &end, &status, e) < 0)
                        sock = fd_close(sock);
        }
        engine_close(&g);
        return sock < 0 ? -1 : status;
}

const struct command cmd_attach = {
        .name = "attach",
        .alias = { "container attach" },
        .usage = "CONTAINER",
        .help = "See what a container prints, and type into it",
        .about = "Leave it running with the detach keys, where it has a terminal. Returns with its "
                 "exit status when it ends.",
        .opts = opts,
        .max = 1,
        .needs = NEED_ROOT,
        .complete = { COMPLETE_CONTAINER },
        .args_size = sizeof(struct attach_args),
        .run = run,
};
