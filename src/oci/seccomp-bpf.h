/* Seccomp decisions, by syscall number, as a classic BPF program (Documentation/userspace-api/
 * seccomp_filter.rst, linux/seccomp.h: struct seccomp_data). */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

enum seccomp_op {
        SECCOMP_OP_EQ,
        SECCOMP_OP_NE,
        SECCOMP_OP_GT,
        SECCOMP_OP_GE,
        SECCOMP_OP_LT,
        SECCOMP_OP_LE,
        SECCOMP_OP_MAX
};

/* arg & mask, compared with value. */
struct seccomp_cond {
        uint8_t arg; /* 0-5 */
        enum seccomp_op op;
        uint64_t mask, value;
};

/* Conditions that must all hold for the action, a SECCOMP_RET_* with its data. */
struct seccomp_match {
        uint32_t action;
        unsigned n;
        struct seccomp_cond conds[6];
};

/* What happens to the numbers from first up to the next range's: the action of the first match, or
 * else this one. */
struct seccomp_range {
        uint32_t first;
        uint32_t action;
        const struct seccomp_match *const *matches;
        unsigned n;
        bool narrow; /* arguments have 32 bits */
};

/* The ranges of one architecture as the kernel names it (AUDIT_ARCH_*): ascending, v[0].first is
 * 0. */
struct seccomp_table {
        uint32_t arch;
        const struct seccomp_range *v;
        unsigned n;
};

/* Compiles tables[n], with bad_arch for every other architecture. The program finds a number by
 * binary search and ends in a return on every path; *ret_code lives in a. 0 or -E2BIG beyond
 * BPF_MAXINSNS. */
int seccomp_bpf(struct arena *a, const struct seccomp_table *tables, unsigned n, uint32_t bad_arch,
                struct sock_filter **ret_code, unsigned *ret_n);
