/* berth top: a container's processes, from procfs. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/safe.h"
#include "base/str.h"
#include "cli/commands/ctr.h"
#include "cli/ctr-args.h"
#include "cli/table.h"
#include "engine/changes.h"
#include "kernel/resolve.h"
#include "oci/runtime.h"

struct top_args {
        bool latest;
};
static const struct opt opts[] = {
        FLAG(struct top_args, latest, 'l', "latest", "The container that was created last"), {}
};

#define PASSWD_MAX (1 << 20)

/* One process. Of proc(5), /proc/PID/stat, counted from what follows the name. */
enum field {
        STAT_STATE,
        STAT_PPID,
        STAT_PGRP,
        STAT_SESSION,
        STAT_TTY,
        STAT_UTIME = 11,
        STAT_STIME,
        STAT_NICE = 16,
        STAT_THREADS,
        STAT_START = 19,
        STAT_VSIZE,
        STAT_RSS,
        STAT_MAX
};
struct process {
        pid_t pid, ns_pid, ns_ppid;
        char state, comm[64];
        int64_t stat[STAT_MAX];
        uint32_t uid, gid, ruid, rgid; /* as in the container */
        uint32_t huid;                 /* as on the host */
        const char *args;
        double elapsed;     /* s */
        const char *passwd; /* the container's; NULL: none */
};

/* ---- reading ---- */

static bool read_stat(struct process *p)
{
        char path[64], text[2048], *at, *end;

        snprintf(path, sizeof path, "/proc/%d/stat", (int)p->pid);
        if (fd_read_text_at(AT_FDCWD, path, text, sizeof text) < 0)
                return false;
        at = strchr(text, '(');
        end = strrchr(text, ')');
        if (!at || !end || end[1] != ' ' || !end[2])
                return false;
        snprintf(p->comm, sizeof p->comm, "%.*s", (int)(end - at - 1), at + 1);
        p->state = end[2];
        at = end + 3;
        for (int i = STAT_PPID; i < STAT_MAX; i++)
                p->stat[i] = strtoll(at, &at, 10);
        return true;
}

/* "Uid:\treal\teffective\t...", "NSpid:\touter\t...\tinner". */
static void read_status(struct process *p)
{
        char path[64], text[4096];
        const char *at = text, *line, *rest;
        size_t n;

        p->ns_pid = p->pid;
        snprintf(path, sizeof path, "/proc/%d/status", (int)p->pid);
        if (fd_read_text_at(AT_FDCWD, path, text, sizeof text) < 0)
                return;
        while (str_next(&at, '\n', &line, &n)) {
                char *to;

                if ((rest = str_after(line, "Uid:"))) {
                        p->ruid = (uint32_t)strtoul(rest, &to, 10);
                        p->uid = (uint32_t)strtoul(to, &to, 10);
                } else if ((rest = str_after(line, "Gid:"))) {
                        p->rgid = (uint32_t)strtoul(rest, &to, 10);
                        p->gid = (uint32_t)strtoul(to, &to, 10);
                } else if ((rest = str_after(line, "NSpid:"))) {
                        for (const char *tab = rest; tab < line + n; tab++)
                                if (*tab == '\t')
                                        p->ns_pid = (pid_t)strtol(tab + 1, NULL, 10);
                }
        }
}

static void read_args(struct arena *a, struct process *p)
{
        char path[64], text[4097];
        AUTO_BUF shown = { 0 };
        ssize_t n;

        snprintf(path, sizeof path, "/proc/%d/cmdline", (int)p->pid);
        AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
        while (n > 0 && !text[n - 1])
                n--;
        for (ssize_t i = 0; i < n; i++)
                /* It goes to a terminal. */
                text[i] = (char)((unsigned char)text[i] < ' ' || text[i] == 127 ? ' ' : text[i]);
        safe_puts(&shown,
                  n > 0 ? arena_strndup(a, text, (size_t)n) : arena_printf(a, "[%s]", p->comm));
        p->args = arena_strdup(a, buf_str(&shown));
}

/* Its root belongs to the container: nothing in it may lead us elsewhere. */
static const char *read_passwd(struct arena *a, const struct ctr *ctr, const struct ctr_state *s)
{
        AUTO_FREE char *text = NULL;
        size_t n;
        AUTO_FD int root = ctr_live_root(ctr, s, NULL);
        AUTO_FD int file = root < 0 ? -1 : resolve_in(root, "etc/passwd", 0, 0);
        if (file < 0 || fd_read_regular_at(AT_FDCWD, fd_path(file).s, PASSWD_MAX, &text, &n) < 0)
                return NULL;
        return arena_strndup(a, text, n);
}

static double uptime(void)
{
        struct timespec now;

        clock_gettime(CLOCK_BOOTTIME, &now);
        return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void map_ids(struct process *p, const struct id_owners *o)
{
        p->huid = p->uid;
        p->uid = id_seen(&o->uids, p->uid);
        p->ruid = id_seen(&o->uids, p->ruid);
        p->gid = id_seen(&o->gids, p->gid);
        p->rgid = id_seen(&o->gids, p->rgid);
}

static int read_processes(struct ctx *c, const struct engine *g, const struct ctr *ctr,
                          struct process **ret, size_t *ret_n, struct err *e)
{
        const struct runtime rt = { .root = g->places.oci, .log = g->places.log };
        double hertz = (double)sysconf(_SC_CLK_TCK);
        AUTO_FREE pid_t *pids = NULL;
        struct id_owners owners = ctr_owners(&c->arena, ctr);
        struct ctr_state s;
        const char *passwd;
        size_t n;

        ctr_state(g, ctr, &s);
        if (!ctr_is_up(&s))
                return err_set(e, ERR_STATE, "container \"%s\" is not running: it is %s", ctr->name,
                               ctr_status_names[s.status]);
        if (runtime_ps(&rt, ctr->id, &pids, &n, e) < 0)
                return -1;
        passwd = read_passwd(&c->arena, ctr, &s);
        *ret = arena_array(&c->arena, struct process, n + 1);
        *ret_n = 0;
        for (size_t i = 0; i < n; i++) {
                struct process *p = &(*ret)[*ret_n];

                *p = (struct process){ .pid = pids[i], .passwd = passwd };
                if (!read_stat(p))
                        continue; /* it has ended meanwhile */
                read_status(p);
                map_ids(p, &owners);
                read_args(&c->arena, p);
                p->elapsed = uptime() - (double)p->stat[STAT_START] / hertz;
                ++*ret_n;
        }
        for (size_t i = 0; i < *ret_n; i++)
                for (size_t k = 0; k < *ret_n; k++)
                        if ((*ret)[k].pid == (*ret)[i].stat[STAT_PPID])
                                (*ret)[i].ns_ppid = (*ret)[k].ns_pid;
        return 0;
}

/* ---- columns ---- */

static const char *user_name(struct arena *a, const char *passwd, uint32_t uid)
{
        const char *line;
        size_t n;

        while (passwd && str_next(&passwd, '\n', &line, &n)) {
                const char *colon = memchr(line, ':', n);
                const char *second =
                        colon ? memchr(colon + 1, ':', n - (size_t)(colon + 1 - line)) : NULL;

                if (second && strtoul(second + 1, NULL, 10) == uid && second[1] >= '0' &&
                    second[1] <= '9')
                        return arena_strndup(a, line, (size_t)(colon - line));
        }
        return arena_printf(a, "%u", uid);
}

static double cpu_seconds(const struct process *p)
{
        return (double)(p->stat[STAT_UTIME] + p->stat[STAT_STIME]) / (double)sysconf(_SC_CLK_TCK);
}

/* podman's: "1h2m3.5s". */
static const char *text_seconds(struct arena *a, double s)
{
        int64_t whole = (int64_t)s;

        if (whole >= 3600)
                return arena_printf(a, "%" PRId64 "h%" PRId64 "m%" PRId64 "s", whole / 3600,
                                    whole / 60 % 60, whole % 60);
        if (whole >= 60)
                return arena_printf(a, "%" PRId64 "m%" PRId64 "s", whole / 60, whole % 60);
        return arena_printf(a, "%.4gs", s);
}

/* Major 136 is pts (admin-guide/devices.txt). */
static const char *text_tty(struct arena *a, int64_t device)
{
        unsigned major = (unsigned)(device >> 8) & 0xfff;
        unsigned minor = (unsigned)((device & 0xff) | ((device >> 12) & 0xfff00));

        if (device == 0)
                return "?";
        return major == 136 ? arena_printf(a, "pts/%u", minor)
                            : arena_printf(a, "%u:%u", major, minor);
}

#define TEXT(name_, expression)                                                                    \
        static const char *text_##name_(struct arena *a, const struct process *p)                  \
        {                                                                                          \
                return expression;                                                                 \
        }
#define NUMBER(name_, value) TEXT(name_, arena_printf(a, "%" PRId64, (int64_t)(value)))

TEXT(user, user_name(a, p->passwd, p->uid))
TEXT(ruser, user_name(a, p->passwd, p->ruid))
NUMBER(group, p->gid)
NUMBER(rgroup, p->rgid)
NUMBER(huser, p->huid)
NUMBER(pid, p->ns_pid)
NUMBER(ppid, p->ns_ppid)
NUMBER(hpid, p->pid)
NUMBER(hppid, p->stat[STAT_PPID])
NUMBER(pgid, p->stat[STAT_PGRP])
NUMBER(nice, p->stat[STAT_NICE])
NUMBER(threads, p->stat[STAT_THREADS])
NUMBER(vsz, p->stat[STAT_VSIZE] / 1024)
NUMBER(rss, p->stat[STAT_RSS] * (sysconf(_SC_PAGESIZE) / 1024))
TEXT(pcpu, arena_printf(a, "%.3f", p->elapsed > 0 ? 100 * cpu_seconds(p) / p->elapsed : 0.0))
TEXT(etime, text_seconds(a, p->elapsed))
TEXT(time_of, text_seconds(a, cpu_seconds(p)))
TEXT(tty_of, text_tty(a, p->stat[STAT_TTY]))
TEXT(state, arena_printf(a, "%c", p->state))
TEXT(comm, arena_strdup(a, p->comm))
static const char *text_args(struct arena *a, const struct process *p)
{
        return p->args;
}

static const struct top_column {
        const char *names[3], *heading;
        const char *(*text)(struct arena *a, const struct process *p);
} top_columns[] = {
        { { "user", "uname" }, "USER", text_user },
        { { "pid" }, "PID", text_pid },
        { { "ppid" }, "PPID", text_ppid },
        { { "pcpu", "%cpu" }, "%CPU", text_pcpu },
        { { "etime" }, "ELAPSED", text_etime },
        { { "tty", "tt" }, "TTY", text_tty_of },
        { { "time", "cputime" }, "TIME", text_time_of },
        { { "args", "cmd", "command" }, "COMMAND", text_args },
        { { "comm", "ucmd" }, "COMMAND", text_comm },
        { { "group" }, "GROUP", text_group },
        { { "hpid" }, "HPID", text_hpid },
        { { "hppid" }, "HPPID", text_hppid },
        { { "huser", "uid" }, "HUSER", text_huser },
        { { "nice", "ni" }, "NI", text_nice },
        { { "nlwp", "thcount" }, "NLWP", text_threads },
        { { "pgid", "pgrp" }, "PGID", text_pgid },
        { { "rgroup" }, "RGROUP", text_rgroup },
        { { "rss" }, "RSS", text_rss },
        { { "ruser" }, "RUSER", text_ruser },
        { { "state", "stat", "s" }, "STATE", text_state },
        { { "vsz" }, "VSZ", text_vsz },
};
static const char usual[] = "user,pid,ppid,pcpu,etime,tty,time,args";
static const char full[] = "huser,hpid,hppid,pcpu,etime,tty,time,args";       /* ps -ef */
static const char bsd[] = "user,hpid,pcpu,vsz,rss,tty,state,etime,time,args"; /* ps aux */

static const struct top_column *descriptor_of(const char *name, size_t n)
{
        for (size_t i = 0; i < ARRAY_SIZE(top_columns); i++)
                for (size_t k = 0; k < ARRAY_SIZE(top_columns[i].names); k++) {
                        const char *have = top_columns[i].names[k];

                        if (have && strlen(have) == n && strncmp(have, name, n) == 0)
                                return &top_columns[i];
                }
        return NULL;
}

/* ---- what is asked for: descriptors, or what people give to ps ---- */

struct choice {
        const struct top_column *v[32];
        size_t n;
};

static int choose(struct choice *to, const char *list, struct err *e)
{
        const char *name;
        size_t n;

        while (str_next(&list, ',', &name, &n)) {
                const struct top_column *d = descriptor_of(name, n);

                if (!d) {
                        err_set(e, ERR_INVALID, "\"%.*s\" is no column of top", (int)n, name);
                        return err_hint(e, "there are user pid ppid pcpu etime tty time args comm "
                                           "group hpid hppid huser nice nlwp pgid rss state vsz");
                }
                if (to->n == ARRAY_SIZE(to->v))
                        return err_set(e, ERR_INVALID, "too many columns");
                to->v[to->n++] = d;
        }
        return 0;
}

static int choose_all(struct choice *to, int argc, char **argv, struct err *e)
{
        for (int i = 0; i < argc; i++) {
                const char *text = argv[i], *list = str_after(text, "-o");

                if (!list)
                        list = str_after(text, "-eo");
                if (list && !*list && i + 1 < argc)
                        list = argv[++i];
                if (str_eq(text, "-ef") || str_eq(text, "-f"))
                        list = full;
                else if (str_eq(text, "aux") || str_eq(text, "-aux"))
                        list = bsd;
                else if (str_eq(text, "-e") || str_eq(text, "-A"))
                        continue;
                else if (!list && *text == '-')
                        return err_set(e, ERR_UNSUPPORTED,
                                       "of ps's options there are -e, -f, -o LIST and aux, not %s",
                                       text);
                if (choose(to, list ? list : text, e) < 0)
                        return -1;
        }
        return to->n ? 0 : choose(to, usual, e);
}

static void print(const struct choice *columns, const struct process *v, size_t n, struct buf *out)
{
        AUTO_BUF text = { 0 };
        AUTO_ARENA a = { 0 };

        for (size_t k = 0; k < columns->n; k++)
                buf_printf(&text, "%s%s", k ? "\t" : "", columns->v[k]->heading);
        buf_putc(&text, '\n');
        for (size_t i = 0; i < n; i++) {
                for (size_t k = 0; k < columns->n; k++)
                        buf_printf(&text, "%s%s", k ? "\t" : "", columns->v[k]->text(&a, &v[i]));
                buf_putc(&text, '\n');
        }
        table_align(buf_str(&text), text.len, out);
}

static int top(struct ctx *c, struct engine *g, const struct top_args *args, int argc, char **argv,
               struct err *e)
{
        struct choice columns = { .n = 0 };
        AUTO_BUF out = { 0 };
        struct process *v = NULL;
        struct ctr *all, one;
        size_t n = 0;

        if (args->latest) {
                if (ctr_list(g, &c->arena, &all, &n, e) < 0)
                        return -1;
                if (n == 0)
                        return err_set(e, ERR_NOT_FOUND, "there are no containers");
                one = all[0];
        } else if (ctr_find(g, &c->arena, argv[0], &one, e) < 0) {
                return -1;
        }
        argv += !args->latest;
        argc -= !args->latest;
        if (choose_all(&columns, argc, argv, e) < 0 || read_processes(c, g, &one, &v, &n, e) < 0)
                return -1;
        print(&columns, v, n, &out);
        fd_write_all(STDOUT_FILENO, buf_str(&out), out.len);
        return 0;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct top_args *args = p;
        struct engine g;
        int r;

        if (!args->latest && argc == 0)
                return err_set(e, ERR_INVALID, "a container must be named");
        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = top(c, &g, args, argc, argv, e);
        engine_close(&g);
        return r;
}

const struct command cmd_top = {
        .name = "top",
        .alias = { "container top" },
        .usage = "CONTAINER [COLUMN...]",
        .help = "Show a container's processes",
        .about = "Columns are podman's: user, pid and ppid as in the container, hpid and huser as "
                 "on the host, pcpu, etime, tty, time, args, comm, group, nice, nlwp, pgid, rss, "
                 "state, vsz; separated by blanks or commas. Of ps's options -e, -f, -o LIST and "
                 "aux are understood.",
        .opts = opts,
        .max = -1,
        .stop_at_positional = true,
        .needs = NEED_ROOT,
        .complete = { COMPLETE_CONTAINER },
        .args_size = sizeof(struct top_args),
        .run = run,
};
