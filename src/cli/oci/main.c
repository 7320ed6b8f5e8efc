/* berth-oci: parse, set up, run one command, report. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/commit.h"
#include "cli/help.h"
#include "cli/oci/ctx.h"
#include "kernel/exe.h"

static void print(const struct buf *b)
{
        fd_write_all(STDOUT_FILENO, buf_str(b), b->len);
}

static void print_version(void)
{
        AUTO_BUF out = { 0 };

        buf_puts(&out,
                 "berth-oci version " BERTH_VERSION "\ncommit: " BERTH_COMMIT "\nspec: 1.3.0\n");
        print(&out);
}

static void print_help(const struct invocation *i)
{
        AUTO_BUF out = { 0 };

        if (i->command)
                help_command(&program, i->command, &out);
        else
                help_program(&program, &out);
        print(&out);
}

static int open_log(struct ctx *c, struct err *e)
{
        const struct globals *g = &c->globals;

        c->log = (struct log){ .fd = STDERR_FILENO,
                               .format = (enum log_format)g->log_format,
                               .level = g->debug ? LOG_LEVEL_DEBUG : (enum log_level)g->log_level,
                               .program = "berth-oci" };
        if (!g->log_file || !*g->log_file)
                return 0;
        c->log.fd = open(g->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
        if (c->log.fd >= 0)
                return 0;
        err_sys(e, errno, "cannot open log file \"%s\"", g->log_file);
        c->log.fd = STDERR_FILENO;
        return -1;
}

static int set_up(struct ctx *c, struct err *e)
{
        const struct globals *g = &c->globals;
        const char *mode = g->rootless ? g->rootless : "auto";

        if (!str_eq(mode, "auto") && !str_eq(mode, "true") && !str_eq(mode, "false"))
                return err_set(e, ERR_INVALID, "--rootless: \"%s\" is not auto, true or false",
                               mode);
        c->rt.log = &c->log;
        c->rt.rootless = str_eq(mode, "auto") ? runtime_is_rootless() : str_eq(mode, "true");
        c->rt.systemd = g->systemd_cgroup || g->cgroup_manager == MANAGER_SYSTEMD;
        c->rt.no_cgroup = g->cgroup_manager == MANAGER_DISABLED;
        c->rt.root = str_empty(g->root) ? runtime_root_default(&c->arena, c->rt.rootless) : g->root;
        return 0;
}

/* The log file gets the error as a record, which engines read; people read standard error. */
static void report(const struct ctx *c, const struct err *e)
{
        struct log people = { .fd = STDERR_FILENO,
                              .level = LOG_LEVEL_ERROR,
                              .program = "berth-oci" };

        if (c->log.fd != STDERR_FILENO)
                log_err(&c->log, LOG_LEVEL_ERROR, e);
        log_err(&people, LOG_LEVEL_ERROR, e);
}

static int run(struct ctx *c, int argc, char **argv, struct err *e)
{
        struct invocation i;
        int r = program_parse(&program, &c->globals, &c->arena, argc, argv, &i, e);

        if (open_log(c, r < 0 ? NULL : e) < 0 && r == 0)
                return -1;
        if (r < 0)
                return -1;
        if (i.version || i.help || !i.command) {
                if (i.version)
                        print_version();
                else
                        print_help(&i);
                return 0;
        }
        if (set_up(c, e) < 0)
                return -1;
        return i.command->run(c, i.args, i.argc, i.argv, e);
}

/* runc's: 255 from an exec that could not start, so that it isn't taken for the program's
 * status. */
static int failure_status(int argc, char **argv)
{
        for (int i = 1; i < argc; i++)
                if (str_eq(argv[i], "exec"))
                        return 255;
        return 1;
}

/* A program that is started without the standard descriptors would give them to the first files
 * that it opens. */
static void fill_standard_fds(void)
{
        for (int fd = 0; fd < 3; fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
                        _exit(1);
}

int main(int argc, char **argv)
{
        struct ctx c = { .globals = { .log_level = LOG_LEVEL_WARNING }, .argv = argv };
        struct err e = { 0 };
        int status;

        fill_standard_fds();
        /* A reader that went away must not kill us halfway: writes fail instead. */
        signal(SIGPIPE, SIG_IGN);
        status = run(&c, argc, argv, &e);
        if (status < 0) {
                report(&c, &e);
                status = failure_status(argc, argv);
        }
        arena_done(&c.arena);
        return status;
}
