/* STAGE_ENTER: the joiner, still outside, enters the namespaces that exist already. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "kernel/resolve.h"
#include "kernel/sched.h"
#include "kernel/sys.h"
#include "oci/launch.h"

static const int ns_types[] = {
        [NS_USER] = CLONE_NEWUSER, [NS_PID] = CLONE_NEWPID,  [NS_NET] = CLONE_NEWNET,
        [NS_IPC] = CLONE_NEWIPC,   [NS_UTS] = CLONE_NEWUTS,  [NS_CGROUP] = CLONE_NEWCGROUP,
        [NS_TIME] = CLONE_NEWTIME, [NS_MOUNT] = CLONE_NEWNS,
};
static_assert(ARRAY_SIZE(ns_types) == NS_MAX, "each namespace has a type");

static int join(const struct op *op, struct err *e)
{
        AUTO_FD int fd = open(op->ns.path, O_RDONLY | O_CLOEXEC);
        const char *name = spec_ns_names[op->ns.kind];

        if (fd < 0)
                return err_sys(e, errno, "linux.namespaces: cannot open the %s namespace \"%s\"",
                               name, op->ns.path);
        if (setns(fd, ns_types[op->ns.kind]) == 0)
                return 0;
        /* One's own user namespace can't be joined, and needn't be. */
        if (op->ns.kind == NS_USER && errno == EINVAL)
                return 0;
        if (errno == EINVAL)
                return err_set(e, ERR_INVALID,
                               "linux.namespaces: \"%s\" is not a %s namespace (or may not be "
                               "joined from here)",
                               op->ns.path, name);
        return err_sys(e, errno, "linux.namespaces: cannot join the %s namespace \"%s\"", name,
                       op->ns.path);
}

/* All joins at the first of them: with the host's privileges first, so that namespaces which
 * belong to the host can be entered before these are given up by entering a user namespace;
 * those that refuse belong to that user namespace, so they come after it. The mount namespace
 * comes last, since the other paths are the host's. */
int enter_ns_join(struct init *in, const struct op *op, struct err *e)
{
        const struct plan *p = in->l->plan;
        bool done[NS_MAX] = { false };

        for (int pass = 0; pass < 3; pass++)
                for (size_t i = 0; i < p->n; i++) {
                        const struct op *o = &p->ops[i];
                        enum spec_ns k;

                        if (o->kind != OP_NS_JOIN)
                                continue;
                        if (i < (size_t)(op - p->ops))
                                return 0; /* done at the first one */
                        k = o->ns.kind;
                        if (done[k] || (pass == 0 && (k == NS_USER || k == NS_MOUNT)) ||
                            (pass == 1 && k != NS_USER))
                                continue;
                        done[k] = join(o, e) == 0;
                        if (!done[k] && (pass > 0 || e->sys != EPERM))
                                return -1;
                }
        return 0;
}

int enter_ns_enter(struct init *in, const struct op *op, struct err *e)
{
        const struct plan *p = in->l->plan;
        uint64_t flags = op->flags;

        if (flags == 0)
                return 0;
        if (setns(in->l->target, (int)flags) == 0)
                return 0;
        /* A user namespace that is our own already: the container was created in it. */
        if (errno == EINVAL && flags & CLONE_NEWUSER &&
            setns(in->l->target, (int)(flags & ~(uint64_t)CLONE_NEWUSER)) == 0)
                return 0;
        return err_sys(e, errno, "cannot enter the namespaces of container \"%s\"", p->id);
}

static void put_offset(struct buf *b, const char *clock, const struct spec_time_offset *o)
{
        if (o->set)
                buf_printf(b, "%s %lld %u\n", clock, (long long)o->secs, o->nanosecs);
}

int enter_time_offsets(struct init *in, const struct op *op, struct err *e)
{
        const struct spec_linux *l = &in->l->plan->spec->linux_;
        AUTO_BUF text = { 0 };

        /* Offsets can be set only before the namespace has its first process (time_namespaces(7)):
         * unshare() moves none, init will be that one. */
        if (unshare(CLONE_NEWTIME) < 0)
                return err_sys(e, errno, "cannot make a time namespace");
        put_offset(&text, "monotonic", &l->time_offsets.monotonic);
        put_offset(&text, "boottime", &l->time_offsets.boottime);
        if (text.len == 0)
                return 0;
        AUTO_FD int fd = resolve_proc(in->l->proc, "self/timens_offsets", O_WRONLY);
        if (fd < 0)
                return err_sys(e, fd, "cannot open timens_offsets");
        if (write(fd, text.s, text.len) < 0)
                return err_sys(e, errno, "linux.timeOffsets: cannot set them");
        return 0;
}
