/* For tests: the kernel's check of a classic BPF program for seccomp (kernel/seccomp.c,
 * seccomp_check_filter and bpf_check_classic), and an interpreter. */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <string.h>

#include "base/str.h"
#include "oci/spec.h"

/* NULL, or what is wrong. */
static inline const char *bpf_wrong(const struct sock_filter *p, unsigned n)
{
        if (n == 0 || n > BPF_MAXINSNS)
                return "length";
        for (unsigned i = 0; i < n; i++) {
                switch (p[i].code) {
                case BPF_LD | BPF_W | BPF_ABS:
                        if (p[i].k % 4 || p[i].k >= sizeof(struct seccomp_data))
                                return "load";
                        break;
                case BPF_JMP | BPF_JA:
                        if (p[i].k >= n - i - 1)
                                return "jump";
                        break;
                case BPF_JMP | BPF_JEQ | BPF_K:
                case BPF_JMP | BPF_JGT | BPF_K:
                case BPF_JMP | BPF_JGE | BPF_K:
                        if (i + p[i].jt + 1u >= n || i + p[i].jf + 1u >= n)
                                return "conditional jump";
                        break;
                case BPF_ALU | BPF_AND | BPF_K:
                case BPF_RET | BPF_K:
                        break;
                default:
                        return "instruction";
                }
        }
        return BPF_CLASS(p[n - 1].code) == BPF_RET ? NULL : "no return at the end";
}

static inline uint32_t bpf_run(const struct sock_filter *p, const struct seccomp_data *d)
{
        uint32_t a = 0;

        for (;; p++) {
                bool yes = false;

                switch (p->code) {
                case BPF_LD | BPF_W | BPF_ABS:
                        memcpy(&a, (const char *)d + p->k, 4);
                        continue;
                case BPF_ALU | BPF_AND | BPF_K:
                        a &= p->k;
                        continue;
                case BPF_JMP | BPF_JA:
                        p += p->k;
                        continue;
                case BPF_JMP | BPF_JSET | BPF_K:
                        yes = a & p->k;
                        break;
                case BPF_JMP | BPF_JEQ | BPF_K:
                        yes = a == p->k;
                        break;
                case BPF_JMP | BPF_JGT | BPF_K:
                        yes = a > p->k;
                        break;
                case BPF_JMP | BPF_JGE | BPF_K:
                        yes = a >= p->k;
                        break;
                case BPF_RET | BPF_K:
                        return p->k;
                default:
                        return 0xdead0000;
                }
                p += yes ? p->jt : p->jf;
        }
}

/* Whether the condition holds for an argument of that value: what the profile's author means. */
static inline bool arg_holds(const struct spec_seccomp_arg *a, uint64_t v, bool narrow)
{
        uint64_t cut = narrow ? UINT32_MAX : UINT64_MAX, w = a->value & cut;

        v &= cut;
        if (str_eq(a->op, "SCMP_CMP_EQ"))
                return v == w;
        if (str_eq(a->op, "SCMP_CMP_NE"))
                return v != w;
        if (str_eq(a->op, "SCMP_CMP_LT"))
                return v < w;
        if (str_eq(a->op, "SCMP_CMP_LE"))
                return v <= w;
        if (str_eq(a->op, "SCMP_CMP_GT"))
                return v > w;
        if (str_eq(a->op, "SCMP_CMP_GE"))
                return v >= w;
        return (v & w) == (a->value_two & w);
}

/* Whether the rule applies to a call with these arguments: all conditions hold, or, when two of
 * them are on the same argument, any of them. */
static inline bool rule_holds(const struct spec_seccomp_rule *r, const __u64 *args, bool narrow)
{
        bool all = true, any = r->n_args == 0, twice = false;

        for (size_t i = 0; i < r->n_args; i++) {
                bool holds = arg_holds(&r->args[i], args[r->args[i].index], narrow);

                all &= holds;
                any |= holds;
                for (size_t k = 0; k < i; k++)
                        twice |= r->args[i].index == r->args[k].index;
        }
        return twice ? any : all;
}
