/* The program is made from its end: a jump's targets then exist already, and its distance, of which
 * a conditional jump can only hold 255, is known. An instruction is named by its label, which is
 * how many instructions follow it; the array is turned around when all is done.
 *
 * Invariants: I1  Every instruction reaches a return: jumps go to labels that exist, and what falls
 * through was
 *     preceded by its successor.
 * I2  In the tree over the numbers the accumulator holds the number; a range with conditions loads
 *     arguments over it and does not return to the tree. */
#include "oci/seccomp-bpf.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>

#define JUMP_MAX 254 /* one less than fits: making way for one target moves the other */

struct ret_at {
        uint32_t action;
        unsigned label;
};

struct gen {
        struct sock_filter *code; /* backwards: code[label] */
        unsigned n;
        bool full;
        struct ret_at
                rets[16]; /* the nearest return of an action; n_rets beyond that are forgotten */
        unsigned n_rets;
};

/* Returns the instruction's label. */
static unsigned put(struct gen *g, uint16_t op, uint8_t jt, uint8_t jf, uint32_t k)
{
        if (g->n == BPF_MAXINSNS) {
                g->full = true;
                return 0;
        }
        g->code[g->n] = (struct sock_filter){ .code = op, .jt = jt, .jf = jf, .k = k };
        return g->n++;
}

/* How many instructions lie between the next one made and that label. */
static unsigned distance(const struct gen *g, unsigned label)
{
        return g->n - 1 - label;
}

/* A label for the same place that a conditional jump can reach. */
static unsigned reach(struct gen *g, unsigned label)
{
        return distance(g, label) <= JUMP_MAX ? label
                                              : put(g, BPF_JMP | BPF_JA, 0, 0, distance(g, label));
}

static unsigned jump(struct gen *g, uint16_t op, uint32_t k, unsigned yes, unsigned no)
{
        yes = reach(g, yes);
        no = reach(g, no);
        return put(g, BPF_JMP | op | BPF_K, (uint8_t)distance(g, yes), (uint8_t)distance(g, no), k);
}

static unsigned load(struct gen *g, size_t offset)
{
        return put(g, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

static unsigned ret(struct gen *g, uint32_t action)
{
        struct ret_at *r = g->rets, *end = g->rets + g->n_rets;

        while (r < end && r->action != action)
                r++;
        if (r < end && distance(g, r->label) <= JUMP_MAX / 2)
                return r->label;
        if (r == end && g->n_rets < sizeof g->rets / sizeof *g->rets)
                g->n_rets++;
        else if (r == end)
                r--;
        r->action = action;
        r->label = put(g, BPF_RET | BPF_K, 0, 0, action);
        return r->label;
}

/* ---- arguments ---- */

static size_t arg_offset(unsigned arg, bool high)
{
        bool big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;

        return offsetof(struct seccomp_data, args) + arg * sizeof(uint64_t) + (high == big ? 0 : 4);
}

/* Loads one half of the argument before what was made last. */
static unsigned load_half(struct gen *g, const struct seccomp_cond *c, bool high)
{
        uint32_t mask = (uint32_t)(high ? c->mask >> 32 : c->mask);

        if (mask != UINT32_MAX)
                put(g, BPF_ALU | BPF_AND | BPF_K, 0, 0, mask);
        return load(g, arg_offset(c->arg, high));
}

/* op is EQ, GT or GE. */
static unsigned compare(struct gen *g, const struct seccomp_cond *c, uint16_t op, bool narrow,
                        unsigned yes, unsigned no)
{
        uint32_t high = (uint32_t)(c->value >> 32);
        unsigned at;

        jump(g, op, (uint32_t)c->value, yes, no);
        at = load_half(g, c, false);
        if (narrow || !(c->mask >> 32))
                return at;
        /* The low half decides only where the high halves are equal. */
        at = jump(g, BPF_JEQ, high, at, no);
        if (op != BPF_JEQ)
                jump(g, BPF_JGT, high, yes, at);
        return load_half(g, c, true);
}

static unsigned cond(struct gen *g, const struct seccomp_cond *c, bool narrow, unsigned yes,
                     unsigned no)
{
        static const struct {
                uint16_t op;
                bool inverse;
        } how[SECCOMP_OP_MAX] = {
                [SECCOMP_OP_EQ] = { BPF_JEQ, false }, [SECCOMP_OP_NE] = { BPF_JEQ, true },
                [SECCOMP_OP_GT] = { BPF_JGT, false }, [SECCOMP_OP_LE] = { BPF_JGT, true },
                [SECCOMP_OP_GE] = { BPF_JGE, false }, [SECCOMP_OP_LT] = { BPF_JGE, true },
        };

        if (how[c->op].inverse)
                return compare(g, c, how[c->op].op, narrow, no, yes);
        return compare(g, c, how[c->op].op, narrow, yes, no);
}

static unsigned range(struct gen *g, const struct seccomp_range *r)
{
        unsigned at = ret(g, r->action);

        for (unsigned i = r->n; i-- > 0;) {
                const struct seccomp_match *m = r->matches[i];
                unsigned yes = ret(g, m->action);

                for (unsigned k = m->n; k-- > 0;)
                        yes = cond(g, &m->conds[k], r->narrow, yes, at);
                at = yes;
        }
        return at;
}

/* ---- numbers ---- */

static unsigned tree(struct gen *g, const struct seccomp_range *v, unsigned n)
{
        unsigned half = n / 2, above, below;

        if (n == 1)
                return range(g, v);
        above = tree(g, v + half, n - half);
        below = tree(g, v, half);
        return jump(g, BPF_JGE, v[half].first, above, below);
}

int seccomp_bpf(struct arena *a, const struct seccomp_table *tables, unsigned n, uint32_t bad_arch,
                struct sock_filter **ret_code, unsigned *ret_n)
{
        AUTO_FREE struct sock_filter *code = mem_alloc(BPF_MAXINSNS * sizeof *code);
        struct gen g = { .code = code };
        unsigned at;

        at = ret(&g, bad_arch);
        for (unsigned i = n; i-- > 0;) {
                unsigned other = at;

                at = tree(&g, tables[i].v, tables[i].n);
                if (distance(&g, at) > 0) /* a lone range shares its return with others */
                        put(&g, BPF_JMP | BPF_JA, 0, 0, distance(&g, at));
                at = load(&g, offsetof(struct seccomp_data, nr));
                at = jump(&g, BPF_JEQ, tables[i].arch, at, other);
        }
        load(&g, offsetof(struct seccomp_data, arch));
        if (g.full)
                return -E2BIG;
        *ret_code = arena_array(a, struct sock_filter, g.n);
        for (unsigned i = 0; i < g.n; i++)
                (*ret_code)[i] = code[g.n - 1 - i];
        *ret_n = g.n;
        return 0;
}
