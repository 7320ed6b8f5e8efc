/* Who is it: names, arguments, parents, ages. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/str.h"
#include "diag/host.h"
#include "diag/probe.h"
#include "diag/procfs.h"

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h: field 9 of stat */
#define FDS_COUNTED_MAX 1000000

static struct num count_fds(const struct target *t)
{
        int dir = openat(t->proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat st;
        uint64_t n = 0;
        DIR *d;

        if (dir < 0)
                return (struct num){ num_state_of(errno), 0 };
        /* Since 6.2 the size of the directory is the number of open descriptors. */
        if (fstat(dir, &st) == 0 && st.st_size > 0) {
                fd_close(dir);
                return num_of((uint64_t)st.st_size);
        }
        d = fdopendir(dir);
        if (!d) {
                fd_close(dir);
                return (struct num){ NUM_ABSENT, 0 };
        }
        for (struct dirent *entry; n < FDS_COUNTED_MAX && (entry = readdir(d));)
                n += entry->d_name[0] != '.';
        closedir(d);
        return num_of(n);
}

static void read_status(struct process_facts *p, const char *status, struct arena *a)
{
        struct span field = text_field(status, "Name", ':'), w;
        uint64_t v;

        if (field.s)
                p->comm = arena_strndup(a, field.s, field.n);
        p->threads = text_num(status, "Threads", ':');
        p->rss = text_num(status, "VmRSS", ':');
        field = text_field(status, "NSpid", ':');
        while (p->n_inside < FACTS_NS_DEPTH && span_word(&field, &w) && span_to_u64(w, 10, &v))
                p->inside[p->n_inside++] = (uint32_t)v;
}

static void read_times(struct process_facts *p, const struct stat_line *s,
                       const struct probe_host *h)
{
        uint64_t ticks = h->ticks ? h->ticks : 100, start_ms;

        p->state = s->state;
        p->parent = (pid_t)s->parent;
        p->start_ticks = s->start;
        p->kernel_thread = s->flags & PF_KTHREAD;
        p->cpu_ms = num_of((s->utime + s->stime) * 1000 / ticks);
        start_ms = s->start * 1000 / ticks;
        p->uptime_ms = num_of(h->boot_ms > start_ms ? h->boot_ms - start_ms : 0);
}

void probe_process(struct facts *f, const struct target *t, const struct probe_host *h)
{
        struct process_facts *p = &f->process;
        enum num_state is;
        const char *stat = target_text(t, "stat", TEXT_SMALL, &is);
        const char *status = target_text(t, "status", TEXT_SMALL, &is);
        struct stat_line s;

        p->pid = t->pid;
        if (stat && procfs_stat(stat, &s))
                read_times(p, &s, h);
        if (status)
                read_status(p, status, f->arena);
        else
                facts_unread(f, "the process's status", is);
        p->fds = count_fds(t);
        if (p->kernel_thread)
                return;
        p->exe = target_link(t, "exe", &is);
        if (!p->exe && is == NUM_DENIED)
                facts_unread(f, "its executable, namespaces and files", is);
        p->args = target_args(f->arena, t->proc, &p->n_args, &p->args_cut);
        if (!p->args)
                facts_unchecked(f, "its command line", "reading it took too long");
}
