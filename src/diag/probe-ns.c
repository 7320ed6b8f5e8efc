/* What it sees: namespaces, id maps, host name, clocks. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "base/fd.h"
#include "base/str.h"
#include "diag/host.h"
#include "diag/probe.h"
#include "diag/procfs.h"

/* Inodes of the first namespaces, the same on every kernel (include/linux/proc_ns.h). Those of
 * mount and network namespaces are fixed only since 6.18. */
static const uint64_t initial_inode[NS_MAX] = {
        [NS_IPC] = 0xEFFFFFFF, [NS_UTS] = 0xEFFFFFFE,    [NS_USER] = 0xEFFFFFFD,
        [NS_PID] = 0xEFFFFFFC, [NS_CGROUP] = 0xEFFFFFFB, [NS_TIME] = 0xEFFFFFFA,
};

static enum ns_relation relation(const struct probe_host *h, int ns, uint64_t inode)
{
        uint64_t host = h->ns_init[ns] ? h->ns_init[ns] : initial_inode[ns];

        if (host)
                return inode == host ? NS_REL_HOST : NS_REL_OWN;
        return inode == h->ns_self[ns] ? NS_REL_SELF : NS_REL_UNKNOWN;
}

static void read_links(struct facts *f, const struct target *t, const struct probe_host *h)
{
        struct sees_facts *s = &f->sees;

        for (int ns = 0; ns < NS_MAX; ns++) {
                struct ns_fact *n = &s->ns[ns];
                enum num_state is;
                char link[40];

                snprintf(link, sizeof link, "ns/%s", ns_proc_names[ns]);
                n->inode = ns_inode(t->proc, link, &is);
                if (n->inode) {
                        n->relation = relation(h, ns, n->inode);
                } else if (is == NUM_ABSENT && h->ns_self[ns] == 0) {
                        n->relation = NS_REL_ABSENT;
                } else {
                        facts_unread(f, "its namespaces", is);
                }
                if (n->inode && (ns == NS_PID || ns == NS_TIME)) {
                        snprintf(link, sizeof link, "ns/%s_for_children", ns_proc_names[ns]);
                        uint64_t children = ns_inode(t->proc, link, NULL);

                        n->children_differ = children && children != n->inode;
                }
        }
        s->reader_nested = h->ns_self[NS_PID] && h->ns_self[NS_PID] != initial_inode[NS_PID];
}

static struct id_map read_map(struct facts *f, const struct target *t, const char *file)
{
        enum num_state is;
        const char *text = target_text(t, file, TEXT_SMALL, &is);

        if (text)
                return procfs_id_map(f->arena, text);
        facts_unread(f, "its user namespace's id maps", is);
        return (struct id_map){ is, NULL, 0, false };
}

/* The name has no file that shows another namespace's, so the reader enters it for one uname(2).
 * It is single-threaded, and comes back before it does anything else. */
static const char *enter_for_name(struct facts *f, const struct target *t)
{
        AUTO_FD int back = open("/proc/thread-self/ns/uts", O_RDONLY | O_CLOEXEC);
        const char *name = NULL;
        struct utsname u;

        if (back < 0)
                return NULL;
        if (setns(t->pidfd, CLONE_NEWUTS) < 0) {
                facts_unread(f, "its host name", num_state_of(errno));
                return NULL;
        }
        if (uname(&u) == 0)
                name = arena_strdup(f->arena, u.nodename);
        if (setns(back, CLONE_NEWUTS) < 0)
                facts_unchecked(f, "this host's own name", "could not return to its namespace");
        return name;
}

static void read_hostname(struct facts *f, const struct target *t, const struct probe_host *h)
{
        uint64_t uts = f->sees.ns[NS_UTS].inode;

        if (uts && uts == h->ns_self[NS_UTS])
                f->sees.hostname = h->name;
        else if (uts)
                f->sees.hostname = enter_for_name(f, t);
}

static void read_clocks(struct facts *f, const struct target *t)
{
        struct sees_facts *s = &f->sees;
        const char *text = target_text(t, "timens_offsets", TEXT_SMALL, NULL);

        /* Offsets are those that children get; they are the process's own where both agree. */
        if (!text || s->ns[NS_TIME].children_differ)
                return;
        s->monotonic.known =
                procfs_time_offset(text, "monotonic", &s->monotonic.secs, &s->monotonic.nanosecs);
        s->boottime.known =
                procfs_time_offset(text, "boottime", &s->boottime.secs, &s->boottime.nanosecs);
}

void probe_ns(struct facts *f, const struct target *t, const struct probe_host *h)
{
        const char *setgroups = target_text(t, "setgroups", TEXT_SMALL, NULL);

        read_links(f, t, h);
        f->sees.uid_map = read_map(f, t, "uid_map");
        f->sees.gid_map = read_map(f, t, "gid_map");
        if (setgroups)
                f->sees.setgroups = str_after(setgroups, "deny") ? "deny" : "allow";
        read_hostname(f, t, h);
        read_clocks(f, t);
}
