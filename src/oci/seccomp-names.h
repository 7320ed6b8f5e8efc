/* The names that a seccomp profile uses, and what they stand for: actions, operators, flags,
 * architectures, system calls. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct seccomp_name {
        const char *name;
        uint32_t value;
};
/* Each is ended by a NULL name; the features document lists them. */
extern const struct seccomp_name seccomp_actions[];   /* SCMP_ACT_*: SECCOMP_RET_* */
extern const struct seccomp_name seccomp_operators[]; /* SCMP_CMP_*: enum seccomp_cmp */
extern const struct seccomp_name seccomp_flags[];     /* SECCOMP_FILTER_FLAG_*: their values */

enum seccomp_cmp { /* as libseccomp numbers them */
                   SECCOMP_CMP_NE = 1,
                   SECCOMP_CMP_LT,
                   SECCOMP_CMP_LE,
                   SECCOMP_CMP_EQ,
                   SECCOMP_CMP_GE,
                   SECCOMP_CMP_GT,
                   SECCOMP_CMP_MASKED_EQ,
};

enum seccomp_family {
        SECCOMP_ARM,
        SECCOMP_LOONGARCH,
        SECCOMP_M68K,
        SECCOMP_MIPS,
        SECCOMP_PARISC,
        SECCOMP_PPC,
        SECCOMP_RISCV,
        SECCOMP_S390,
        SECCOMP_SH,
        SECCOMP_X86,
};

/* An architecture. Those of one machine share a family and a byte order: only they can ever make a
 * system call there. */
struct seccomp_arch {
        const char *name; /* "SCMP_ARCH_X86_64" */
        uint32_t scmp;    /* libseccomp's token */
        uint32_t audit;   /* AUDIT_ARCH_*, as the kernel reports it */
        enum seccomp_family family;
        bool narrow;            /* arguments have 32 bits */
        uint16_t base;          /* what its system calls are counted from */
        uint32_t bit;           /* x32: set in every number */
        const uint16_t *direct; /* numbers of what socketcall(2) and ipc(2) also do; see the .c */
};
extern const struct seccomp_arch seccomp_archs[]; /* ended by a NULL name */

/* The row of that name, or NULL. */
const struct seccomp_name *seccomp_name_find(const struct seccomp_name *table, const char *name);
const struct seccomp_arch *seccomp_arch_find(const char *name);
/* The architecture that this program runs on. */
const struct seccomp_arch *seccomp_arch_here(void);

/* Where one name of a system call leads: numbers, and for the multiplexers the operation that has
 * to be in argument 0. */
struct seccomp_number {
        uint32_t nr;
        int operation; /* -1: any */
};
/* Up to two ways to make that call on the architecture; how many. 0: it has no such call. */
unsigned seccomp_numbers(const struct seccomp_arch *arch, const char *name,
                         struct seccomp_number ret[2]);
/* The version of libseccomp whose tables these are. */
const char *seccomp_tables_version(void);
/* Whether any architecture has a system call of that name. */
bool seccomp_call_known(const char *name);
