/* The page: what an operator wants to know first, each fact once, what is missing said. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "diag/devices.h"
#include "diag/fmt.h"
#include "diag/page.h"
#include "diag/render-rows.h"
#include "diag/render.h"
#include "kernel/caps.h"

/* ---- header ---- */

static const char *state_word(const struct facts *f)
{
        if (f->gone)
                return "ended while being read";
        if (num_known(f->consumes.frozen) && f->consumes.frozen.v)
                return "FROZEN";
        switch (f->process.state) {
        case 'Z':
                return "zombie: ended, not yet reaped";
        case 'T':
        case 't':
                return "stopped";
        case 'D':
                return "in uninterruptible sleep";
        default:
                return NULL;
        }
}

static void header_left(const struct facts *f, struct buf *b)
{
        const struct owner_facts *o = &f->owner;

        if (o->name)
                buf_puts(b, o->name);
        else if (o->container && o->id)
                buf_printf(b, "%.12s", o->id);
        else
                buf_puts(b, f->process.comm ? f->process.comm : "?");
        if (o->engine || o->runtime)
                buf_printf(b, "  %s%s%s", o->engine ? o->engine : "",
                           o->engine && o->runtime ? "/" : "", o->runtime ? o->runtime : "");
        else
                buf_printf(b, "  %s", o->kind);
        if (o->image)
                buf_printf(b, "  %s", o->image);
}

static void header_right(const struct facts *f, struct buf *b)
{
        const struct process_facts *p = &f->process;

        buf_printf(b, "PID %d", p->pid);
        if (p->n_inside > 1)
                buf_printf(b, " = %u inside", p->inside[p->n_inside - 1]);
        if (num_known(p->uptime_ms))
                buf_printf(b, "  up %s", fmt_ms(p->uptime_ms.v).s);
}

static void header(struct page *p, const struct facts *f)
{
        AUTO_BUF line = { 0 };
        AUTO_BUF right = { 0 };
        const char *state = state_word(f);

        header_left(f, &line);
        header_right(f, &right);
        if (line.len + right.len + 3 <= p->width) {
                buf_printf(&line, "%*s%s", (int)(p->width - line.len - right.len), "",
                           buf_str(&right));
                page_title(p, PAGE_STRONG, buf_str(&line));
        } else {
                page_title(p, PAGE_STRONG, buf_str(&line));
                page_title(p, PAGE_PLAIN, buf_str(&right));
        }
        if (state)
                page_title(p, PAGE_BAD, state);
}

static void row_command(struct page *p, const struct facts *f)
{
        const struct process_facts *is = &f->process;
        size_t shown = p->full ? is->n_args : MIN(is->n_args, (size_t)8);
        AUTO_BUF all = { 0 };

        page_row(p, "command");
        if (is->n_args == 0) {
                page_item(p, PAGE_PLAIN, "%s", is->comm ? is->comm : "unavailable");
                return;
        }
        for (size_t i = 0; i < shown; i++)
                buf_printf(&all, "%s%s", i ? " " : "", is->args[i]);
        if (shown < is->n_args || is->args_cut)
                buf_puts(&all, " ...");
        page_text(p, PAGE_PLAIN, buf_str(&all));
}

static void row_owner(struct page *p, const struct facts *f)
{
        static const char *const known_by[EVIDENCE_MAX] = {
                [EVIDENCE_STATE] = "as its runtime's state file proves",
                [EVIDENCE_ANCESTOR] = "as its monitor says",
                [EVIDENCE_CGROUP] = "as its cgroup is named",
        };
        const struct owner_facts *o = &f->owner;

        if (!o->container && !o->id)
                return;
        page_row(p, "owner");
        page_item(p, PAGE_PLAIN, p->full ? "%s %s" : "%s %.12s", o->kind ? o->kind : "container",
                  o->id ? o->id : "");
        if (known_by[o->evidence])
                page_word(p, PAGE_DIM, "%s", known_by[o->evidence]);
        if (o->pod_name)
                page_item(p, PAGE_PLAIN, "pod %s/%s", o->pod_namespace ? o->pod_namespace : "?",
                          o->pod_name);
        else if (o->pod_uid)
                page_item(p, PAGE_PLAIN, "pod uid %s", o->pod_uid);
        if (o->init && !o->is_init) {
                page_item(p, PAGE_PLAIN, "its first process is PID %d", o->init);
                if (num_known(o->init_uptime_ms))
                        page_item(p, PAGE_PLAIN, "up %s", fmt_ms(o->init_uptime_ms.v).s);
        }
        if (o->monitor)
                page_item(p, PAGE_PLAIN, "monitor PID %d", o->monitor);
        if (p->full && o->state_path)
                page_path(p, PAGE_DIM, "state ", o->state_path);
        if (p->full && o->bundle)
                page_path(p, PAGE_DIM, "bundle ", o->bundle);
}

/* ---- sees ---- */

static void namespaces(struct page *p, const struct facts *f, enum ns_relation which,
                       const char *key, const char *note)
{
        /* In the order that people list them. */
        static const enum spec_ns order[] = { NS_MOUNT, NS_PID,  NS_NET,    NS_IPC,
                                              NS_UTS,   NS_USER, NS_CGROUP, NS_TIME };
        bool any = false;

        for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
                const struct ns_fact *n = &f->sees.ns[order[i]];

                if (n->relation != which)
                        continue;
                if (!any)
                        page_row(p, key);
                any = true;
                if (p->full && n->inode)
                        page_word(p, PAGE_PLAIN, "%s:[%llu]", ns_proc_names[order[i]],
                                  (unsigned long long)n->inode);
                else
                        page_word(p, PAGE_PLAIN, "%s", ns_proc_names[order[i]]);
        }
        if (any && note)
                page_word(p, PAGE_DIM, "%s", note);
}

static void ids_row(struct page *p, const struct sees_facts *s)
{
        const struct id_map *m = &s->uid_map;

        page_row(p, "ids");
        if (m->is != NUM_KNOWN) {
                page_item(p, PAGE_DIM, "unavailable");
                return;
        }
        if (m->n == 0) {
                page_item(p, PAGE_WARN, "no user is mapped");
                return;
        }
        if (m->identity) {
                page_item(p, PAGE_PLAIN, "as on the host");
                return;
        }
        for (size_t i = 0; i < m->n && (p->full || i < 3); i++) {
                const struct map_range *r = &m->v[i];

                if (r->count == 1)
                        page_item(p, PAGE_PLAIN, "user %u is host's %u", r->inside, r->outside);
                else
                        page_item(p, PAGE_PLAIN, "users %u-%llu are host's %u-%llu", r->inside,
                                  (unsigned long long)r->inside + r->count - 1, r->outside,
                                  (unsigned long long)r->outside + r->count - 1);
        }
        if (!p->full && m->n > 3)
                page_item(p, PAGE_DIM, "%zu more ranges", m->n - 3);
}

static void clocks_row(struct page *p, const struct sees_facts *s)
{
        bool moved = (s->monotonic.known && (s->monotonic.secs || s->monotonic.nanosecs)) ||
                     (s->boottime.known && (s->boottime.secs || s->boottime.nanosecs));

        if (!moved)
                return;
        page_row(p, "clocks");
        page_item(p, PAGE_PLAIN, "monotonic %+lld s", (long long)s->monotonic.secs);
        page_item(p, PAGE_PLAIN, "boot time %+lld s", (long long)s->boottime.secs);
}

static void section_sees(struct page *p, const struct facts *f)
{
        const struct sees_facts *s = &f->sees;

        page_section(p, "SEES");
        namespaces(p, f, NS_REL_OWN, "own", NULL);
        namespaces(p, f, NS_REL_HOST, "shared",
                   s->reader_nested ? "(with PID 1)" : "(with the host)");
        namespaces(p, f, NS_REL_SELF, "as here", "(the same as this shell's)");
        namespaces(p, f, NS_REL_UNKNOWN, "unknown", NULL);
        if (s->hostname && s->ns[NS_UTS].relation != NS_REL_HOST) {
                page_row(p, "host name");
                page_item(p, PAGE_PLAIN, "%s", s->hostname);
        }
        ids_row(p, s);
        clocks_row(p, s);
}

/* ---- does ---- */

/* Effective id inside and on the host; the other three only where they differ. */
static void ids_of(struct page *p, const char *key, struct num outside, struct num inside,
                   const struct num others[3])
{
        unsigned long long id = outside.v;
        bool differ = false;

        page_row(p, key);
        if (!num_known(outside)) {
                page_item(p, PAGE_DIM, "unavailable");
                return;
        }
        if (!num_known(inside))
                page_item(p, PAGE_PLAIN, "not mapped inside, %llu on the host", id);
        else if (inside.v == outside.v)
                page_item(p, PAGE_PLAIN, "%llu inside and on the host", id);
        else
                page_item(p, PAGE_PLAIN, "%llu inside, %llu on the host",
                          (unsigned long long)inside.v, id);
        if (outside.v == 0)
                page_word(p, PAGE_WARN, "(root)");
        for (int i = 0; i < 3; i++)
                differ = differ || (num_known(others[i]) && others[i].v != outside.v);
        if (differ)
                page_item(p, PAGE_WARN, "real, saved, fs: %s %s %s", fmt_num(others[0], fmt_u64).s,
                          fmt_num(others[1], fmt_u64).s, fmt_num(others[2], fmt_u64).s);
}

static void caps_list(struct page *p, uint64_t caps, bool host_ns)
{
        for (unsigned i = 0; i < 64; i++) {
                const char *name = caps_name(i);

                if (!(caps >> i & 1))
                        continue;
                if (name)
                        page_word(p, host_ns && cap_is_dangerous(i) ? PAGE_BAD : PAGE_PLAIN, "%s%s",
                                  host_ns && cap_is_dangerous(i) ? "!" : "", name + 4);
                else
                        page_word(p, PAGE_WARN, "%u", i);
        }
}

static void row_caps_held(struct page *p, const struct does_facts *d, unsigned n, bool host_ns)
{
        uint64_t lacking = (((uint64_t)1 << CAPS_MAX) - 1) & ~d->cap_effective;

        if (n == 0) {
                page_item(p, PAGE_PLAIN, "none");
        } else if (!p->full && n + 3 >= CAPS_MAX) {
                page_item(p, host_ns ? PAGE_BAD : PAGE_PLAIN, lacking ? "all but" : "all");
                for (unsigned i = 0; i < CAPS_MAX; i++)
                        if (lacking >> i & 1)
                                page_word(p, PAGE_PLAIN, "%s", caps_name(i) + 4);
        } else {
                page_item(p, PAGE_PLAIN, "%u:", n);
                caps_list(p, d->cap_effective, host_ns);
        }
}

static void row_caps(struct page *p, const struct facts *f)
{
        const struct does_facts *d = &f->does;
        bool host_ns = f->sees.ns[NS_USER].relation != NS_REL_OWN;
        unsigned n = (unsigned)__builtin_popcountll(d->cap_effective);
        uint64_t potential = d->cap_bounding & ~d->cap_effective;

        page_row(p, "caps");
        if (!d->caps_known) {
                page_item(p, PAGE_DIM, "unavailable");
                return;
        }
        row_caps_held(p, d, n, host_ns);
        if (!host_ns)
                page_word(p, PAGE_DIM, "(only within its user namespace)");
        if (d->cap_ambient) {
                page_row(p, "ambient");
                caps_list(p, d->cap_ambient, host_ns);
        }
        if (potential && (p->full || n > 0)) {
                page_row(p, "may gain");
                if (p->full || __builtin_popcountll(potential) <= 6)
                        caps_list(p, potential, host_ns);
                else
                        page_item(p, PAGE_PLAIN, "%d more from a set-user-id program",
                                  __builtin_popcountll(potential));
        } else if (potential) {
                page_row(p, "may gain");
                page_item(p, PAGE_PLAIN, "%d from a set-user-id program%s",
                          __builtin_popcountll(potential),
                          num_known(d->no_new_privs) && d->no_new_privs.v
                                  ? ", which no_new_privs prevents"
                                  : "");
        }
}

static void row_confined(struct page *p, const struct does_facts *d)
{
        static const char *const modes[] = { "seccomp off", "seccomp strict", "seccomp filter" };

        page_row(p, "confined");
        if (num_known(d->no_new_privs))
                page_item(p, PAGE_PLAIN, "no_new_privs %s", d->no_new_privs.v ? "on" : "off");
        else
                page_item(p, PAGE_DIM, "no_new_privs unavailable");
        if (!num_known(d->seccomp_mode))
                page_item(p, PAGE_DIM, "seccomp unavailable");
        else if (d->seccomp_mode.v == 2 && num_known(d->seccomp_filters))
                page_item(p, PAGE_PLAIN, "seccomp filter (%llu)",
                          (unsigned long long)d->seccomp_filters.v);
        else
                page_item(p, d->seccomp_mode.v ? PAGE_PLAIN : PAGE_WARN, "%s",
                          modes[MIN(d->seccomp_mode.v, (uint64_t)2)]);
        if (d->lsm == LSM_LABEL)
                page_item(p, PAGE_PLAIN, "LSM label %s", d->lsm_label);
        else
                page_item(p, PAGE_PLAIN, "%s",
                          d->lsm == LSM_NONE ? "no LSM label" : "LSM label unavailable");
        if (num_known(d->tracer) && d->tracer.v)
                page_item(p, PAGE_WARN, "traced by PID %llu", (unsigned long long)d->tracer.v);
        if (num_known(d->oom_score_adj_plus1000) && d->oom_score_adj_plus1000.v != 1000)
                page_item(p, PAGE_PLAIN, "oom_score_adj %lld",
                          (long long)d->oom_score_adj_plus1000.v - 1000);
}

static void device_text(const struct device_fact *d, struct buf *b)
{
        if (d->name) {
                buf_puts(b, d->name);
        } else {
                buf_printf(b, "%c ", d->type);
                if (d->major < 0)
                        buf_puts(b, "*:");
                else
                        buf_printf(b, "%lld:", (long long)d->major);
                if (d->minor < 0)
                        buf_puts(b, "*");
                else
                        buf_printf(b, "%lld", (long long)d->minor);
        }
        if (!str_eq(d->access, "rwm"))
                buf_printf(b, " %s", d->access);
}

static bool usual(const struct device_fact *d)
{
        return devices_default(d) && !d->dangerous;
}

#define DEVICES_SHORT 12

/* The devices beyond the usual ones; all of them on a full page. */
static void device_items(struct page *p, const struct does_facts *d)
{
        size_t shown = 0, left = 0;

        for (size_t i = 0; i < d->n_devices; i++) {
                const struct device_fact *is = &d->devices[i];
                AUTO_BUF b = { 0 };

                if (!p->full && usual(is))
                        continue;
                if (!p->full && shown >= DEVICES_SHORT) {
                        left++;
                        continue;
                }
                shown++;
                device_text(is, &b);
                page_item(p, is->dangerous ? PAGE_BAD : PAGE_PLAIN, "%s%s",
                          is->dangerous ? "!" : "", buf_str(&b));
        }
        if (left)
                page_item(p, PAGE_DIM, "%zu more", left);
}

static void row_devices(struct page *p, const struct does_facts *d)
{
        bool any_usual = false;

        page_row(p, "devices");
        if (d->device_policy == DEVICES_UNKNOWN) {
                page_item(p, PAGE_DIM, "unavailable");
                return;
        }
        if (d->device_policy == DEVICES_ALL) {
                page_item(p, PAGE_WARN, "no limit: whatever its user may open");
                return;
        }
        for (size_t i = 0; i < d->n_devices; i++)
                any_usual = any_usual || usual(&d->devices[i]);
        if (!p->full)
                page_item(p, PAGE_PLAIN, any_usual ? "the usual ones" : "none of the usual ones");
        device_items(p, d);
        if (p->full)
                page_item(p, PAGE_DIM, "by cgroup v%d%s", d->device_version,
                          d->device_version == 2 ? " program" : "");
}

static void row_rlimits(struct page *p, const struct does_facts *d)
{
        bool any = false;

        for (size_t i = 0; i < d->n_rlimits; i++) {
                const struct rlimit_fact *r = &d->rlimits[i];

                if (!p->full && !r->remarkable)
                        continue;
                if (!any)
                        page_row(p, "rlimits");
                any = true;
                if (r->soft.is == r->hard.is && r->soft.v == r->hard.v)
                        page_item(p, PAGE_PLAIN, "%s %s", r->name, fmt_num(r->soft, fmt_u64).s);
                else
                        page_item(p, PAGE_PLAIN, "%s %s:%s", r->name, fmt_num(r->soft, fmt_u64).s,
                                  fmt_num(r->hard, fmt_u64).s);
        }
}

static void section_does(struct page *p, const struct facts *f)
{
        const struct does_facts *d = &f->does;

        page_section(p, "DOES");
        ids_of(p, "user", d->euid, d->uid_inside, (struct num[]){ d->uid, d->suid, d->fsuid });
        ids_of(p, "group", d->egid, d->gid_inside, (struct num[]){ d->gid, d->sgid, d->fsgid });
        for (size_t i = 0; i < d->n_groups && (p->full || i < 8); i++) {
                if (i == 0)
                        page_item(p, PAGE_PLAIN, "also");
                page_word(p, PAGE_PLAIN, "%u", d->groups[i]);
        }
        if (!p->full && d->n_groups > 8)
                page_word(p, PAGE_DIM, "and %zu more", d->n_groups - 8);
        row_caps(p, f);
        row_confined(p, d);
        row_devices(p, d);
        row_rlimits(p, d);
}

/* ---- drift, unknown ---- */

static void section_drift(struct page *p, const struct facts *f)
{
        const struct drift_facts *d = &f->drift;
        size_t shown = p->full ? d->n : MIN(d->n, (size_t)8);

        if (!f->owner.container)
                return;
        page_section(p, "DRIFT");
        if (!d->checked) {
                page_line(p);
                page_item(p, PAGE_DIM, "not compared: %s", d->why_not ? d->why_not : "unknown");
                return;
        }
        for (size_t i = 0; i < shown; i++) {
                page_line(p);
                page_item(p, PAGE_WARN, "%s: declared %s, is %s", d->v[i].what, d->v[i].declared,
                          d->v[i].effective);
        }
        page_line(p);
        if (d->n > shown)
                page_item(p, PAGE_WARN, "%zu more differences", d->n - shown);
        page_item(p, PAGE_PLAIN, "%zu settings as declared", d->agreed);
        if (d->skipped)
                page_item(p, PAGE_DIM, "%zu could not be compared", d->skipped);
}

/* One row for each reason. */
static void section_unknown(struct page *p, const struct facts *f)
{
        page_section(p, "UNKNOWN");
        for (size_t i = 0; i < f->n_unchecked; i++) {
                const char *why = f->unchecked[i].why;
                bool told = false;

                for (size_t k = 0; k < i; k++)
                        told = told || str_eq(f->unchecked[k].why, why);
                if (told)
                        continue;
                page_line(p);
                page_item(p, PAGE_PLAIN, "not checked (%s): %s", why, f->unchecked[i].what);
                for (size_t k = i + 1; k < f->n_unchecked; k++)
                        if (str_eq(f->unchecked[k].why, why))
                                page_item(p, PAGE_PLAIN, "%s", f->unchecked[k].what);
        }
}

void render_text(const struct facts *f, const struct render_options *o, struct buf *out)
{
        struct page p;

        page_init(&p, out, o->width, o->color, o->full);
        header(&p, f);
        page_section(&p, "IS");
        row_command(&p, f);
        row_owner(&p, f);
        if (!f->process.kernel_thread)
                section_sees(&p, f);
        render_consumes(&p, f);
        if (!f->process.kernel_thread) {
                section_does(&p, f);
                render_files(&p, f);
                section_drift(&p, f);
        }
        section_unknown(&p, f);
        page_end(&p);
}
