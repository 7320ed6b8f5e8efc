/* From a profile to ranges of system call numbers, one list an architecture, in four steps: check
 * the profile and turn its values into numbers; resolve each name on each architecture of this
 * machine; sort by number; close the gaps with the default action, or ENOSYS above the highest
 * number.
 *
 * Not libseccomp's own compiler: for a profile of 400 names and three architectures that takes 15
 * ms, several times a container's start, where this takes a few tenths of one, and it knows nothing
 * of ENOSYS. Its tables of names are used. Where rules of one call overlap, its rules hold: an
 * unconditional rule beats all others, the first one if there are several. Conditional ones are
 * tried in the profile's order; libseccomp's order there is an accident of its tree. */
#include "oci/seccomp-plan.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "oci/seccomp-bpf.h"

#define ENOSYS_ACTION (SECCOMP_RET_ERRNO | ENOSYS)
#define X32_FIRST 0x40000000u
#define ARCHS_MAX 32
#define NAMES_MAX 65536 /* in all rules; Linux has some 500 calls an architecture */

/* One entry of "syscalls", in numbers. */
struct rule {
        uint32_t action;
        const struct seccomp_match **matches; /* any of them; none: unconditional */
        unsigned n;
        bool redundant; /* the default action: only its names count */
};

/* One name of one rule on one architecture. */
struct call {
        uint32_t nr;
        int operation;
        size_t order;
        const struct rule *rule;
};

struct profile {
        struct arena *a;
        const struct spec_seccomp *spec;
        struct rule *rules;
        uint32_t default_action;
        bool enosys; /* numbers above the highest one fail with ENOSYS */
        const struct seccomp_arch *archs[ARCHS_MAX];
        unsigned n_archs;
        size_t n_names;
        struct call *calls; /* room for two a name; reused for each architecture */
        struct seccomp_range *ranges;
        unsigned n_ranges;
        size_t n_matches; /* each is an instruction at least: beyond BPF_MAXINSNS, none is kept */
};

/* ---- values ---- */

/* at is the object's path ("linux.seccomp.syscalls[3]"). */
static int bad(struct err *e, const char *at, const char *field, const char *value,
               const char *what)
{
        return err_set(e, ERR_INVALID, "%s.%s: '%s' is not a seccomp %s", at, field,
                       value ? value : "", what);
}

struct action_fields {
        const char *action, *errno_ret;
};

static int take_action(const char *at, const struct action_fields *f, const char *name,
                       const struct opt_u64 *errno_ret, uint32_t *ret, struct err *e)
{
        const struct seccomp_name *n = name ? seccomp_name_find(seccomp_actions, name) : NULL;
        bool takes_errno;

        if (!n)
                return bad(e, at, f->action, name, "action");
        takes_errno = n->value == SECCOMP_RET_ERRNO || n->value == SECCOMP_RET_TRACE;
        if (errno_ret->set && !takes_errno)
                return err_set(e, ERR_INVALID, "%s.%s: %s takes no errno", at, f->errno_ret, name);
        if (errno_ret->set && errno_ret->v > SECCOMP_RET_DATA)
                return err_set(e, ERR_INVALID, "%s.%s: %llu is above %u", at, f->errno_ret,
                               (unsigned long long)errno_ret->v, SECCOMP_RET_DATA);
        *ret = n->value;
        if (takes_errno)
                *ret |= errno_ret->set ? (uint32_t)errno_ret->v : EPERM;
        return 0;
}

static const uint8_t op_of[] = {
        [SECCOMP_CMP_NE] = SECCOMP_OP_NE,        [SECCOMP_CMP_LT] = SECCOMP_OP_LT,
        [SECCOMP_CMP_LE] = SECCOMP_OP_LE,        [SECCOMP_CMP_EQ] = SECCOMP_OP_EQ,
        [SECCOMP_CMP_GE] = SECCOMP_OP_GE,        [SECCOMP_CMP_GT] = SECCOMP_OP_GT,
        [SECCOMP_CMP_MASKED_EQ] = SECCOMP_OP_EQ,
};

static int take_cond(const char *at, const struct spec_seccomp_arg *arg, struct seccomp_cond *ret,
                     struct err *e)
{
        const struct seccomp_name *op =
                arg->op ? seccomp_name_find(seccomp_operators, arg->op) : NULL;

        if (!op)
                return bad(e, at, "args.op", arg->op, "operator");
        if (arg->index > 5)
                return err_set(e, ERR_INVALID, "%s.args.index: %llu, but a call has 6 arguments",
                               at, (unsigned long long)arg->index);
        ret->arg = (uint8_t)arg->index;
        ret->op = op_of[op->value];
        ret->mask = UINT64_MAX;
        ret->value = arg->value;
        if (op->value == SECCOMP_CMP_MASKED_EQ) {
                ret->mask = arg->value;
                ret->value = arg->value_two & arg->value;
        }
        return 0;
}

/* Conditions on several arguments must all hold; but two on the same one never do so together in
 * runc, which makes rules of their own of all: known profiles rely on it. */
static int take_conds(struct profile *p, const char *at, const struct spec_seccomp_rule *s,
                      struct rule *ret, struct err *e)
{
        unsigned used = 0, per = (unsigned)s->n_args;
        struct seccomp_match *m;

        for (size_t i = 0; i < s->n_args; i++) {
                unsigned bit = s->args[i].index < 32 ? 1u << s->args[i].index : 0;

                if (used & bit)
                        per = 1;
                used |= bit;
        }
        if (per > 6)
                per = 1; /* an index is wrong: take_cond() says so */
        ret->n = per ? (unsigned)s->n_args / per : 0;
        ret->matches = arena_array(p->a, const struct seccomp_match *, ret->n);
        m = arena_array(p->a, struct seccomp_match, ret->n);
        for (size_t i = 0; i < s->n_args; i++) {
                struct seccomp_match *here = &m[i / per];

                if (take_cond(at, &s->args[i], &here->conds[here->n++], e) < 0)
                        return -1;
                here->action = ret->action;
                ret->matches[i / per] = here;
        }
        return 0;
}

/* Between loading the filter and handing on its listener, write(2) is needed: it can't wait for the
 * very agent that does not have the listener yet. */
static int check_notify(const char *at, const struct spec_seccomp_rule *s, struct err *e)
{
        for (size_t i = 0; i < s->names.n; i++)
                if (str_eq(s->names.v[i], "write"))
                        return err_set(e, ERR_INVALID,
                                       "%s.action: SCMP_ACT_NOTIFY cannot be used for 'write'", at);
        return 0;
}

static int take_rule(struct profile *p, size_t i, struct seccomp_plan *plan, struct err *e)
{
        static const struct action_fields fields = { "action", "errnoRet" };
        const struct spec_seccomp_rule *s = &p->spec->rules[i];
        struct rule *r = &p->rules[i];
        char at[64];

        snprintf(at, sizeof at, "linux.seccomp.syscalls[%zu]", i);
        if (s->names.n == 0)
                return err_set(e, ERR_INVALID, "%s.names: empty", at);
        if (take_action(at, &fields, s->action, &s->errno_ret, &r->action, e) < 0)
                return -1;
        if (r->action == SECCOMP_RET_USER_NOTIF) {
                plan->notify = true;
                if (check_notify(at, s, e) < 0)
                        return -1;
        }
        r->redundant = r->action == p->default_action;
        p->n_names += s->names.n;
        if (p->n_names > NAMES_MAX || s->n_args > BPF_MAXINSNS)
                return err_set(e, ERR_LIMIT, "%s: too many names or arguments", at);
        return take_conds(p, at, s, r, e);
}

/* A permissive default lets the kernel answer itself; a tracer is to see and answer all. */
static bool default_denies(uint32_t action)
{
        switch (action & SECCOMP_RET_ACTION_FULL) {
        case SECCOMP_RET_ALLOW:
        case SECCOMP_RET_LOG:
        case SECCOMP_RET_TRACE:
                return false;
        default:
                return action != ENOSYS_ACTION;
        }
}

static int take_default(struct profile *p, struct err *e)
{
        static const struct action_fields fields = { "defaultAction", "defaultErrnoRet" };

        if (take_action("linux.seccomp", &fields, p->spec->default_action,
                        &p->spec->default_errno_ret, &p->default_action, e) < 0)
                return -1;
        if (p->default_action == SECCOMP_RET_USER_NOTIF)
                return err_set(
                        e, ERR_INVALID,
                        "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default");
        p->enosys = default_denies(p->default_action);
        return 0;
}

static int take_flags(const struct spec_seccomp *s, struct seccomp_plan *plan, struct err *e)
{
        /* No list at all means runc's default, which an empty list turns off. */
        unsigned flags = s->flags.v ? 0 : SECCOMP_FILTER_FLAG_SPEC_ALLOW;

        for (size_t i = 0; i < s->flags.n; i++) {
                const struct seccomp_name *f = seccomp_name_find(seccomp_flags, s->flags.v[i]);

                if (!f)
                        return bad(e, "linux.seccomp", "flags", s->flags.v[i], "flag");
                flags |= f->value;
        }
        /* The process has one thread; and the kernel refuses the other one without a listener. */
        flags &= ~SECCOMP_FILTER_FLAG_TSYNC;
        if (!plan->notify)
                flags &= ~SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
        plan->flags = flags;
        return 0;
}

static int check_listener(const struct spec_seccomp *s, bool notify, struct err *e)
{
        if (notify && !s->listener_path)
                return err_set(e, ERR_INVALID,
                               "linux.seccomp.listenerPath: SCMP_ACT_NOTIFY needs one");
        if (s->listener_metadata && !s->listener_path)
                return err_set(e, ERR_INVALID,
                               "linux.seccomp.listenerMetadata: of no use without listenerPath");
        return 0;
}

/* ---- architectures ---- */

static void add_arch(struct profile *p, const struct seccomp_arch *arch)
{
        for (unsigned i = 0; i < p->n_archs; i++)
                if (p->archs[i] == arch)
                        return;
        if (p->n_archs < ARCHS_MAX)
                p->archs[p->n_archs++] = arch;
}

/* The native one always counts; others of this list that this machine can't execute never occur. */
static int take_archs(struct profile *p, struct err *e)
{
        const struct seccomp_arch *here = seccomp_arch_here();
        const struct strings *list = &p->spec->architectures;

        add_arch(p, here);
        for (size_t i = 0; i < list->n; i++) {
                const struct seccomp_arch *arch = seccomp_arch_find(list->v[i]);

                if (!arch)
                        return bad(e, "linux.seccomp", "architectures", list->v[i], "architecture");
                if (arch->family == here->family &&
                    !((arch->audit ^ here->audit) & __AUDIT_ARCH_LE))
                        add_arch(p, arch);
        }
        return 0;
}

/* ---- from names to numbers ---- */

static int call_cmp(const void *x, const void *y)
{
        const struct call *a = x, *b = y;

        if (a->nr != b->nr)
                return a->nr < b->nr ? -1 : 1;
        return a->order < b->order ? -1 : a->order > b->order;
}

/* Fills p->calls, sorted; how many. */
static size_t resolve(struct profile *p, const struct seccomp_arch *arch)
{
        size_t n = 0;

        for (size_t i = 0; i < p->spec->n_rules; i++) {
                const struct strings *names = &p->spec->rules[i].names;

                for (size_t k = 0; k < names->n; k++) {
                        struct seccomp_number nr[2];
                        unsigned ways = seccomp_numbers(arch, names->v[k], nr);

                        for (unsigned w = 0; w < ways; w++, n++)
                                p->calls[n] =
                                        (struct call){ nr[w].nr, nr[w].operation, n, &p->rules[i] };
                }
        }
        qsort(p->calls, n, sizeof *p->calls, call_cmp);
        return n;
}

static void list_unknown(struct profile *p, struct strings *ret)
{
        ret->v = NULL;
        ret->n = 0;
        for (size_t i = 0; i < p->spec->n_rules; i++) {
                const struct strings *names = &p->spec->rules[i].names;

                for (size_t k = 0; k < names->n; k++) {
                        if (seccomp_call_known(names->v[k]))
                                continue;
                        if (!ret->v)
                                ret->v = arena_array(p->a, const char *, p->n_names);
                        ret->v[ret->n++] = names->v[k];
                }
        }
}

/* ---- from numbers to ranges ---- */

/* Appends a range to the table that begins at index table, joining it with what it continues. */
static void add_range(struct profile *p, const struct seccomp_range *r, unsigned table)
{
        struct seccomp_range *last;

        if (p->n_ranges > table && p->ranges[p->n_ranges - 1].first == r->first)
                p->n_ranges--; /* nothing lies between the last one and this */
        last = p->ranges + p->n_ranges - 1;
        if (p->n_ranges > table && !last->n && !r->n && last->action == r->action)
                return;
        p->ranges[p->n_ranges++] = *r;
}

/* The match with argument 0 being the multiplexer's operation in place of what was asked of it: the
 * call's own arguments lie in memory, where no filter can look. */
static const struct seccomp_match *for_operation(struct profile *p, const struct seccomp_match *m,
                                                 uint32_t action, int operation)
{
        struct seccomp_match *copy = arena_new(p->a, struct seccomp_match);

        copy->action = action;
        copy->conds[copy->n++] =
                (struct seccomp_cond){ 0, SECCOMP_OP_EQ, UINT64_MAX, (uint64_t)operation };
        for (unsigned i = 0; m && i < m->n; i++)
                if (m->conds[i].arg != 0 && copy->n < ARRAY_SIZE(copy->conds))
                        copy->conds[copy->n++] = m->conds[i];
        return copy;
}

/* Adds the matches of one call to list; how many. */
static unsigned matches_of(struct profile *p, const struct call *c,
                           const struct seccomp_match **list)
{
        const struct rule *r = c->rule;

        if (c->operation < 0) {
                memcpy(list, r->matches, r->n * sizeof *list);
                return r->n;
        }
        if (!r->n) {
                list[0] = for_operation(p, NULL, r->action, c->operation);
                return 1;
        }
        for (unsigned i = 0; i < r->n; i++)
                list[i] = for_operation(p, r->matches[i], r->action, c->operation);
        return r->n;
}

/* What the rules of one number, c[n] in the profile's order, come to. */
static struct seccomp_range decide(struct profile *p, const struct call *c, size_t n, bool narrow)
{
        struct seccomp_range r = { c->nr, p->default_action, .narrow = narrow };
        const struct seccomp_match **list;
        size_t room = 0;

        for (size_t i = 0; i < n; i++) {
                if (c[i].rule->redundant)
                        continue;
                if (!c[i].rule->n && c[i].operation < 0) {
                        r.action = c[i].rule->action;
                        return r;
                }
                room += MAX(c[i].rule->n, 1u);
        }
        p->n_matches += room;
        if (p->n_matches > BPF_MAXINSNS)
                return r;
        list = arena_array(p->a, const struct seccomp_match *, room);
        for (size_t i = 0; i < n; i++)
                if (!c[i].rule->redundant)
                        r.n += matches_of(p, &c[i], list + r.n);
        r.matches = list;
        return r;
}

/* The ranges of one architecture, from its first number on. */
static void add_ranges(struct profile *p, const struct seccomp_arch *arch, unsigned table)
{
        size_t n = resolve(p, arch), end;
        uint32_t rest = p->default_action;

        add_range(p, &(struct seccomp_range){ arch->bit, p->default_action }, table);
        if (arch->family == SECCOMP_S390 && p->enosys && n) {
                /* There, 0 stands for every number above 255 that the kernel does not know. */
                add_range(p, &(struct seccomp_range){ 0, ENOSYS_ACTION }, table);
                add_range(p, &(struct seccomp_range){ 1, p->default_action }, table);
        }
        for (size_t i = 0; i < n; i = end) {
                struct seccomp_range r;

                for (end = i + 1; end < n && p->calls[end].nr == p->calls[i].nr;)
                        end++;
                r = decide(p, &p->calls[i], end - i, arch->narrow);
                if (end == n && p->enosys)
                        rest = ENOSYS_ACTION;
                add_range(p, &r, table);
                add_range(p, &(struct seccomp_range){ r.first + 1, rest }, table);
        }
}

/* x86_64 and x32 share an architecture, as the kernel reports it; the number tells them apart. The
 * one that the profile does not name is as foreign as any other architecture. */
static void add_table(struct profile *p, uint32_t audit, struct seccomp_table *ret)
{
        unsigned table = p->n_ranges;
        bool low = false, high = false;

        for (int x32 = 0; x32 < 2; x32++)
                for (unsigned i = 0; i < p->n_archs; i++) {
                        if (p->archs[i]->audit != audit || !!p->archs[i]->bit != x32)
                                continue;
                        add_ranges(p, p->archs[i], table);
                        low |= !x32;
                        high |= x32;
                }
        if (audit == AUDIT_ARCH_X86_64 && low && !high) {
                add_range(p, &(struct seccomp_range){ X32_FIRST, SECCOMP_RET_KILL_THREAD }, table);
                /* Not an x32 call, but a tracer's way to skip one. */
                add_range(p, &(struct seccomp_range){ UINT32_MAX, p->default_action }, table);
        }
        *ret = (struct seccomp_table){ audit, p->ranges + table, p->n_ranges - table };
}

static int compile(struct profile *p, struct seccomp_plan *plan, struct err *e)
{
        struct seccomp_table tables[ARCHS_MAX];
        unsigned n = 0;

        p->calls = arena_array(p->a, struct call, 2 * p->n_names);
        p->ranges = arena_array(p->a, struct seccomp_range, p->n_archs * (4 * p->n_names + 4));
        for (unsigned i = 0; i < p->n_archs; i++) {
                bool seen = false;

                for (unsigned k = 0; k < n; k++)
                        seen |= tables[k].arch == p->archs[i]->audit;
                if (!seen)
                        add_table(p, p->archs[i]->audit, &tables[n++]);
        }
        /* An architecture that the profile does not name kills, as libseccomp has it. */
        if (p->n_matches > BPF_MAXINSNS ||
            seccomp_bpf(p->a, tables, n, SECCOMP_RET_KILL_THREAD, &plan->code, &plan->n) < 0)
                return err_set(e, ERR_LIMIT, "linux.seccomp: its filter exceeds %d instructions",
                               BPF_MAXINSNS);
        return 0;
}

int seccomp_plan_make(struct arena *a, const struct spec_seccomp *s, struct seccomp_plan *ret,
                      struct err *e)
{
        struct profile p = { .a = a, .spec = s };
        struct seccomp_plan plan = { 0 };

        if (take_default(&p, e) < 0 || take_archs(&p, e) < 0)
                return -1;
        p.rules = arena_array(a, struct rule, s->n_rules);
        for (size_t i = 0; i < s->n_rules; i++)
                if (take_rule(&p, i, &plan, e) < 0)
                        return -1;
        if (take_flags(s, &plan, e) < 0 || check_listener(s, plan.notify, e) < 0 ||
            compile(&p, &plan, e) < 0)
                return -1;
        list_unknown(&p, &plan.unknown);
        *ret = plan;
        return 0;
}
