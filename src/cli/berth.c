/* berth: parse, run one command, report. */
#include "cli/berth.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/help.h"

/* Usage errors are 2, as with most tools; a command that has statuses of its own returns them. */
enum {
        EXIT_FAILED = 1,
        EXIT_USAGE = 2,
        EXIT_MISSING = 3,
        EXIT_DENIED = 4,
        EXIT_RUN = 125,
        EXIT_INTERRUPTED = 130
};

static void print_help(const struct invocation *i)
{
        AUTO_BUF out = { 0 };

        if (i->version)
                buf_puts(&out, "berth version " BERTH_VERSION "\n");
        else if (i->group)
                help_group(&program, i->group, &out);
        else if (i->command)
                help_command(&program, i->command, &out);
        else
                help_program(&program, &out);
        fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
}

static int status_of(const struct invocation *i, const struct err *e)
{
        if (e->sys == EINTR)
                return EXIT_INTERRUPTED;
        if (i->command && str_eq(i->command->name, "run"))
                return EXIT_RUN;
        switch (e->code) {
        case ERR_INVALID:
                return EXIT_USAGE;
        case ERR_NOT_FOUND:
                return EXIT_MISSING;
        case ERR_DENIED:
                return EXIT_DENIED;
        default:
                return EXIT_FAILED;
        }
}

/* docker's and podman's ways to say that it is another machine that is meant. */
static void warn_of_remote(const struct ctx *c)
{
        static const char *const names[] = { "DOCKER_HOST", "CONTAINER_HOST" };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                const char *value = getenv(names[i]);

                if (!str_empty(value) && !str_after(value, "unix:") && strstr(value, "://"))
                        log_warning(&c->log, "%s is not looked at: this is done on this machine",
                                    names[i]);
        }
}

int main(int argc, char **argv)
{
        struct ctx c = {
                .log = { .fd = STDERR_FILENO, .level = LOG_LEVEL_WARNING, .program = "berth" },
                .argv = argv
        };
        struct invocation i = { 0 };
        struct err e = { 0 };
        int status = -1;

        /* Started without the standard descriptors, files opened later would take their places. */
        for (int fd = 0; fd < 3; fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
                        return EXIT_FAILED;
        signal(SIGPIPE, SIG_IGN);
        if (program_parse(&program, &c.globals, &c.arena, argc, argv, &i, &e) == 0) {
                if (c.globals.debug || str_eq(log_level_choices[c.globals.log_level], "debug") ||
                    str_eq(log_level_choices[c.globals.log_level], "trace"))
                        c.log.level = LOG_LEVEL_DEBUG;
                if (i.version || i.help || !i.command) {
                        print_help(&i);
                        status = 0;
                } else {
                        warn_of_remote(&c);
                        status = i.command->run(&c, i.args, i.argc, i.argv, &e);
                }
        }
        if (status < 0) {
                log_err(&c.log, LOG_LEVEL_ERROR, &e);
                status = status_of(&i, &e);
        }
        arena_done(&c.arena);
        return status;
}
