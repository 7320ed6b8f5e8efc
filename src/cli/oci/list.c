/* list, ps: containers and processes as tables. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/oci/ctx.h"

static const char *const formats[] = { "table", "json", NULL };
enum { FORMAT_TABLE, FORMAT_JSON };

struct list_args {
        bool quiet;
        int format;
};
static const struct opt list_opts[] = { ENUM(struct list_args, format, 'f', "format", "FORMAT",
                                             formats, "Print a table (the default) or json"),
                                        FLAG(struct list_args, quiet, 'q', "quiet",
                                             "Print ids only"),
                                        {} };

static const char or_dash[] = "-";

static void put_row(struct buf *out, const struct container *c, const struct list_args *a,
                    size_t id_width)
{
        enum status s = container_status(c);

        if (a->quiet) {
                buf_printf(out, "%s\n", c->id);
                return;
        }
        buf_printf(out, "%-*s  %-8d  %-8s  %-30s  %-30s  %s\n", (int)id_width, c->id,
                   s == STATUS_STOPPED ? 0 : c->pid, status_names[s],
                   c->bundle ? c->bundle : or_dash, c->created ? c->created : or_dash,
                   c->owner ? c->owner : or_dash);
}

static void put_json(struct buf *out, const struct container *c)
{
        AUTO_BUF one = { 0 };

        container_state_json(c, container_status(c), NULL, 0, &one);
        buf_printf(out, "%s%s", out->len > 1 ? "," : "", buf_str(&one));
}

static int list(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        const struct list_args *a = args;
        AUTO_BUF out = { 0 };
        struct strings ids;
        size_t width = 2;

        if (c->globals.root && access(c->globals.root, F_OK) < 0)
                return err_sys(e, errno, "cannot read state directory \"%s\"", c->globals.root);
        if (container_list(&c->arena, c->rt.root, &ids, e) < 0)
                return -1;
        for (size_t i = 0; i < ids.n; i++)
                width = MAX(width, strlen(ids.v[i]));
        if (a->format == FORMAT_JSON)
                buf_putc(&out, '[');
        else if (!a->quiet)
                buf_printf(&out, "%-*s  %-8s  %-8s  %-30s  %-30s  %s\n", (int)width, "ID", "PID",
                           "STATUS", "BUNDLE", "CREATED", "OWNER");
        for (size_t i = 0; i < ids.n; i++) {
                AUTO_CONTAINER one = CONTAINER_INIT;

                /* It may go away while we look. */
                if (container_open(&c->arena, c->rt.root, ids.v[i], &one, NULL) < 0)
                        continue;
                if (a->format == FORMAT_JSON)
                        put_json(&out, &one);
                else
                        put_row(&out, &one, a, width);
        }
        if (a->format == FORMAT_JSON)
                buf_puts(&out, "]\n");
        fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return 0;
}

const struct command oci_list = {
        .name = "list",
        .alias = { "ls" },
        .usage = "",
        .help = "List the containers below the state directory",
        .opts = list_opts,
        .min = 0,
        .max = 0,
        .args_size = sizeof(struct list_args),
        .run = list,
};

/* ---- ps ---- */

struct ps_args {
        int format;
};
static const struct opt ps_opts[] = {
        ENUM(struct ps_args, format, 'f', "format", "FORMAT", formats,
             "Print what ps(1) says (the default) or the pids as json"),
        {}
};

static int put_pids(const pid_t *pids, size_t n)
{
        AUTO_BUF out = { 0 };

        buf_putc(&out, '[');
        for (size_t i = 0; i < n; i++)
                buf_printf(&out, "%s%d", i ? "," : "", pids[i]);
        buf_puts(&out, "]\n");
        fd_write_all(STDOUT_FILENO, out.s, out.len);
        return 0;
}

static int column_of(const char *header, const char *name)
{
        const char *at = header;
        int column = 0;

        while (*at) {
                size_t n;

                at += strspn(at, " ");
                n = strcspn(at, " \n");
                if (n == strlen(name) && strncmp(at, name, n) == 0)
                        return column;
                at += n;
                column++;
        }
        return -1;
}

static pid_t pid_in(const char *line, int column)
{
        for (int i = 0;; i++) {
                line += strspn(line, " ");
                if (!*line)
                        return 0;
                if (i == column)
                        return (pid_t)strtol(line, NULL, 10);
                line += strcspn(line, " ");
        }
}

static bool contains(const pid_t *pids, size_t n, pid_t pid)
{
        for (size_t i = 0; i < n; i++)
                if (pids[i] == pid)
                        return true;
        return false;
}

/* The lines of ps(1) whose PID is the container's. */
static int filter(FILE *ps, const pid_t *pids, size_t n, struct err *e)
{
        AUTO_FREE char *line = NULL;
        size_t cap = 0;
        int column;

        if (getline(&line, &cap, ps) < 0)
                return err_set(e, ERR_SYSTEM, "ps printed nothing");
        column = column_of(line, "PID");
        if (column < 0)
                return err_set(e, ERR_INVALID, "the output of ps has no PID column");
        fputs(line, stdout);
        while (getline(&line, &cap, ps) >= 0)
                if (contains(pids, n, pid_in(line, column)))
                        fputs(line, stdout);
        fflush(stdout);
        return 0;
}

static int run_ps(struct ctx *c, int argc, char **argv, const pid_t *pids, size_t n, struct err *e)
{
        char **args = arena_array(&c->arena, char *, (size_t)argc + 3);
        int out[2], status, r;
        pid_t child;

        args[0] = (char *)"ps";
        for (int i = 0; i < argc; i++)
                args[i + 1] = argv[i];
        if (argc == 0)
                args[1] = (char *)"-ef";
        if (pipe2(out, O_CLOEXEC) < 0)
                return err_sys(e, errno, "cannot make a pipe");
        child = fork();
        if (child == 0) {
                dup2(out[1], STDOUT_FILENO);
                execvp("ps", args);
                _exit(127);
        }
        fd_close(out[1]);
        FILE *ps = fdopen(out[0], "re");
        r = child < 0 ? err_sys(e, errno, "cannot start ps") : filter(ps, pids, n, e);
        fclose(ps);
        if (child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
            WEXITSTATUS(status) == 127) {
                err_set(e, ERR_NOT_FOUND, "cannot execute ps");
                return err_hint(e, "install procps, or use --format json");
        }
        return r;
}

static int ps(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        AUTO_FREE pid_t *pids = NULL;
        size_t n;

        if (runtime_ps(&c->rt, argv[0], &pids, &n, e) < 0)
                return -1;
        if (((struct ps_args *)args)->format == FORMAT_JSON)
                return put_pids(pids, n);
        return run_ps(c, argc - 1, argv + 1, pids, n, e);
}

const struct command oci_ps = {
        .name = "ps",
        .usage = "CONTAINER-ID [PS-OPTION...]",
        .help = "List the processes of a container",
        .opts = ps_opts,
        .min = 1,
        .max = -1,
        .stop_at_positional = true,
        .complete = { COMPLETE_CONTAINER },
        .args_size = sizeof(struct ps_args),
        .run = ps,
};
