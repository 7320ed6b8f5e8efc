#include "oci/seccomp-names.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>

#include "base/str.h"
#include "oci/syscalls-table.h"

#ifndef AUDIT_ARCH_LOONGARCH64
#define AUDIT_ARCH_LOONGARCH64 (258 | __AUDIT_ARCH_64BIT | __AUDIT_ARCH_LE)
#endif

const struct seccomp_name seccomp_actions[] = {
        { "SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW },
        { "SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO },
        { "SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD },
        { "SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS },
        { "SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD },
        { "SCMP_ACT_LOG", SECCOMP_RET_LOG },
        { "SCMP_ACT_NOTIFY", SECCOMP_RET_USER_NOTIF },
        { "SCMP_ACT_TRACE", SECCOMP_RET_TRACE },
        { "SCMP_ACT_TRAP", SECCOMP_RET_TRAP },
        { NULL, 0 },
};

const struct seccomp_name seccomp_operators[] = {
        { "SCMP_CMP_EQ", SECCOMP_CMP_EQ }, { "SCMP_CMP_GE", SECCOMP_CMP_GE },
        { "SCMP_CMP_GT", SECCOMP_CMP_GT }, { "SCMP_CMP_LE", SECCOMP_CMP_LE },
        { "SCMP_CMP_LT", SECCOMP_CMP_LT }, { "SCMP_CMP_MASKED_EQ", SECCOMP_CMP_MASKED_EQ },
        { "SCMP_CMP_NE", SECCOMP_CMP_NE }, { NULL, 0 },
};

const struct seccomp_name seccomp_flags[] = {
        { "SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC },
        { "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
        { "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
        { "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV },
        { NULL, 0 },
};

/* ---- architectures ---- */

/* By the operation of socketcall (1-20), then of ipc (20 + 1-24), the number of the call proper
 * that does the same; 0: there is none. linux/net.h, linux/ipc.h, and each architecture's
 * syscall.tbl. */
#define OPERATIONS 45
#define IPC 20
#define IPC_DIRECT                                                                                 \
        [IPC + 2] = 393, [IPC + 3] = 394, [IPC + 11] = 400, [IPC + 12] = 401, [IPC + 13] = 399,    \
               [IPC + 14] = 402, [IPC + 21] = 397, [IPC + 22] = 398, [IPC + 23] = 395,             \
               [IPC + 24] = 396
#define SOCKET_DIRECT /* i386 and s390 got the same numbers */                                     \
        [1] = 359, [2] = 361, [3] = 362, [4] = 363, [6] = 367, [7] = 368, [8] = 360, [11] = 369,   \
        [12] = 371, [13] = 373, [14] = 366, [15] = 365, [16] = 370, [17] = 372, [18] = 364

static const uint16_t direct_x86[OPERATIONS] = { SOCKET_DIRECT, [19] = 337, [20] = 345,
                                                 IPC_DIRECT };
static const uint16_t direct_s390[OPERATIONS] = { SOCKET_DIRECT, [19] = 357, [20] = 358,
                                                  IPC_DIRECT };
static const uint16_t direct_s390x[OPERATIONS] = { SOCKET_DIRECT, [19] = 357, [20] = 358,
                                                   IPC_DIRECT, [IPC + 4] = 392 };
#define SOCKET_DIRECT_PPC                                                                          \
        [1] = 326, [2] = 327, [3] = 328, [4] = 329, [5] = 330, [6] = 331, [7] = 332, [8] = 333,    \
        [9] = 334, [10] = 336, [11] = 335, [12] = 337, [13] = 338, [14] = 339, [15] = 340,         \
        [16] = 341, [17] = 342, [18] = 344, [19] = 343, [20] = 349
static const uint16_t direct_ppc[OPERATIONS] = { SOCKET_DIRECT_PPC, IPC_DIRECT };
static const uint16_t direct_ppc64[OPERATIONS] = { SOCKET_DIRECT_PPC, IPC_DIRECT, [IPC + 4] = 392 };
/* Relative to 4000, as all of that table's numbers. */
static const uint16_t direct_mips[OPERATIONS] = {
        [1] = 183,  [2] = 169,  [3] = 170,  [4] = 174,  [5] = 168,  [6] = 172,  [7] = 171,
        [8] = 184,  [9] = 178,  [10] = 175, [11] = 180, [12] = 176, [13] = 182, [14] = 181,
        [15] = 173, [16] = 179, [17] = 177, [18] = 334, [19] = 335, [20] = 343, IPC_DIRECT
};

#define X32 0x40000000u

const struct seccomp_arch seccomp_archs[] = {
        { "SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64, SECCOMP_ARM },
        { "SCMP_ARCH_ARM", SCMP_ARCH_ARM, AUDIT_ARCH_ARM, SECCOMP_ARM, .narrow = true },
        { "SCMP_ARCH_LOONGARCH64", AUDIT_ARCH_LOONGARCH64, AUDIT_ARCH_LOONGARCH64,
          SECCOMP_LOONGARCH },
        { "SCMP_ARCH_M68K", AUDIT_ARCH_M68K, AUDIT_ARCH_M68K, SECCOMP_M68K, .narrow = true },
        { "SCMP_ARCH_MIPS", SCMP_ARCH_MIPS, AUDIT_ARCH_MIPS, SECCOMP_MIPS, .narrow = true,
          .base = 4000, .direct = direct_mips },
        { "SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64, AUDIT_ARCH_MIPS64, SECCOMP_MIPS, .base = 5000 },
        { "SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32, AUDIT_ARCH_MIPS64N32, SECCOMP_MIPS,
          .narrow = true, .base = 6000 },
        { "SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL, AUDIT_ARCH_MIPSEL, SECCOMP_MIPS, .narrow = true,
          .base = 4000, .direct = direct_mips },
        { "SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64, AUDIT_ARCH_MIPSEL64, SECCOMP_MIPS,
          .base = 5000 },
        { "SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32, AUDIT_ARCH_MIPSEL64N32, SECCOMP_MIPS,
          .narrow = true, .base = 6000 },
        { "SCMP_ARCH_PARISC", SCMP_ARCH_PARISC, AUDIT_ARCH_PARISC, SECCOMP_PARISC, .narrow = true },
        { "SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64, AUDIT_ARCH_PARISC64, SECCOMP_PARISC },
        { "SCMP_ARCH_PPC", SCMP_ARCH_PPC, AUDIT_ARCH_PPC, SECCOMP_PPC, .narrow = true,
          .direct = direct_ppc },
        { "SCMP_ARCH_PPC64", SCMP_ARCH_PPC64, AUDIT_ARCH_PPC64, SECCOMP_PPC,
          .direct = direct_ppc64 },
        { "SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE, AUDIT_ARCH_PPC64LE, SECCOMP_PPC,
          .direct = direct_ppc64 },
        { "SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64, AUDIT_ARCH_RISCV64, SECCOMP_RISCV },
        { "SCMP_ARCH_S390", SCMP_ARCH_S390, AUDIT_ARCH_S390, SECCOMP_S390, .narrow = true,
          .direct = direct_s390 },
        { "SCMP_ARCH_S390X", SCMP_ARCH_S390X, AUDIT_ARCH_S390X, SECCOMP_S390,
          .direct = direct_s390x },
        { "SCMP_ARCH_SH", AUDIT_ARCH_SHEL, AUDIT_ARCH_SHEL, SECCOMP_SH, .narrow = true },
        { "SCMP_ARCH_SHEB", AUDIT_ARCH_SH, AUDIT_ARCH_SH, SECCOMP_SH, .narrow = true },
        { "SCMP_ARCH_X32", SCMP_ARCH_X32, AUDIT_ARCH_X86_64, SECCOMP_X86, .narrow = true,
          .bit = X32 },
        { "SCMP_ARCH_X86", SCMP_ARCH_X86, AUDIT_ARCH_I386, SECCOMP_X86, .narrow = true,
          .direct = direct_x86 },
        { "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, SECCOMP_X86 },
        { NULL },
};

const struct seccomp_name *seccomp_name_find(const struct seccomp_name *table, const char *name)
{
        for (; table->name; table++)
                if (str_eq(table->name, name))
                        return table;
        return NULL;
}

const struct seccomp_arch *seccomp_arch_find(const char *name)
{
        for (const struct seccomp_arch *a = seccomp_archs; a->name; a++)
                if (str_eq(a->name, name))
                        return a;
        return NULL;
}

#if defined(__x86_64__) && defined(__ILP32__)
#define NATIVE SCMP_ARCH_X32
#elif defined(__x86_64__)
#define NATIVE SCMP_ARCH_X86_64
#elif defined(__i386__)
#define NATIVE SCMP_ARCH_X86
#elif defined(__aarch64__)
#define NATIVE SCMP_ARCH_AARCH64
#elif defined(__arm__)
#define NATIVE SCMP_ARCH_ARM
#elif defined(__riscv)
#define NATIVE SCMP_ARCH_RISCV64
#elif defined(__s390x__)
#define NATIVE SCMP_ARCH_S390X
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define NATIVE SCMP_ARCH_PPC64LE
#else
#error "say which architecture this is"
#endif

const struct seccomp_arch *seccomp_arch_here(void)
{
        uint32_t native = NATIVE;
        const struct seccomp_arch *a = seccomp_archs;

        while (a->name && a->scmp != native)
                a++;
        return a;
}

/* ---- system calls ---- */

/* Those that libseccomp 2.5.4 (Linux 5.17) does not know yet. From 424 on, every architecture gives
 * a new call the same number, counted from its own base. */
static const struct seccomp_name newer[] = {
        { "cachestat", 451 },         { "fchmodat2", 452 },
        { "map_shadow_stack", 453 },  { "futex_wake", 454 },
        { "futex_wait", 455 },        { "futex_requeue", 456 },
        { "statmount", 457 },         { "listmount", 458 },
        { "lsm_get_self_attr", 459 }, { "lsm_set_self_attr", 460 },
        { "lsm_list_modules", 461 },  { "mseal", 462 },
        { "setxattrat", 463 },        { "getxattrat", 464 },
        { "listxattrat", 465 },       { "removexattrat", 466 },
        { "open_tree_attr", 467 },    { "file_getattr", 468 },
        { "file_setattr", 469 },      { NULL, 0 },
};

/* The column of an architecture; a little-endian one numbers its calls as its sibling does. */
static int column(uint32_t scmp)
{
        static const uint32_t siblings[][2] = {
                { SCMP_ARCH_MIPSEL, SCMP_ARCH_MIPS },
                { SCMP_ARCH_MIPSEL64, SCMP_ARCH_MIPS64 },
                { SCMP_ARCH_MIPSEL64N32, SCMP_ARCH_MIPS64N32 },
                { SCMP_ARCH_PPC64LE, SCMP_ARCH_PPC64 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(siblings); i++)
                if (siblings[i][0] == scmp)
                        scmp = siblings[i][1];
        for (size_t i = 0; i < ARRAY_SIZE(syscall_archs); i++)
                if (syscall_archs[i] == scmp)
                        return (int)i;
        return -1;
}

/* As seccomp_syscall_resolve_name_arch(3). */
static int resolve_in_table(const struct seccomp_arch *arch, const char *name)
{
        size_t low = 0, high = ARRAY_SIZE(syscalls);
        int col = column(arch->scmp);

        while (col >= 0 && low < high) {
                size_t mid = (low + high) / 2;
                int order = strcmp(name, syscalls[mid].name);

                if (order == 0)
                        return syscalls[mid].nr[col];
                if (order < 0)
                        high = mid;
                else
                        low = mid + 1;
        }
        return __NR_SCMP_ERROR;
}

/* libseccomp's number: >= 0, __NR_SCMP_ERROR for a name nobody knows, or another negative one. */
static int resolve(const struct seccomp_arch *arch, const char *name)
{
        const struct seccomp_name *n;
        int nr = resolve_in_table(arch, name);

        if (nr != __NR_SCMP_ERROR)
                return nr;
        n = seccomp_name_find(newer, name);
        return n ? (int)(arch->bit | (arch->base + n->value)) : __NR_SCMP_ERROR;
}

static bool multiplexer(const struct seccomp_arch *arch, const char *name, int operation,
                        struct seccomp_number *ret)
{
        int nr = resolve_in_table(arch, name);

        if (nr < 0)
                return false;
        *ret = (struct seccomp_number){ (uint32_t)nr, operation };
        return true;
}

unsigned seccomp_numbers(const struct seccomp_arch *arch, const char *name,
                         struct seccomp_number ret[2])
{
        int nr = resolve(arch, name);
        unsigned n = 0;
        int op;

        if (nr >= 0) {
                ret[0] = (struct seccomp_number){ (uint32_t)nr, -1 };
                return 1;
        }
        /* libseccomp: -100 - an operation of socketcall, -200 - one of ipc, where it has these. */
        op = nr < -200 ? -nr - 200 + IPC : -nr - 100;
        if (!arch->direct || op <= 0 || op >= OPERATIONS || (nr > -200 && op > IPC))
                return 0;
        if (multiplexer(arch, op > IPC ? "ipc" : "socketcall", op > IPC ? op - IPC : op, &ret[n]))
                n++;
        if (arch->direct[op])
                ret[n++] = (struct seccomp_number){ arch->base + arch->direct[op], -1 };
        return n;
}

bool seccomp_call_known(const char *name)
{
        return resolve(seccomp_arch_here(), name) != __NR_SCMP_ERROR;
}

const char *seccomp_tables_version(void)
{
        return SYSCALLS_VERSION;
}
