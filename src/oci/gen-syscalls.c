/* Build-time: prints libseccomp's tables of system calls as C, for seccomp-names.c. The library
 * itself is then no part of the runtime: its tables are all that was wanted of it, and it comes
 * for one C library only. Each name that any architecture has is a row; a column is what
 * seccomp_syscall_resolve_name_arch(3) says of it. */
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t archs[] = {
        SCMP_ARCH_X86_64, SCMP_ARCH_X86,   SCMP_ARCH_X32,      SCMP_ARCH_AARCH64,
        SCMP_ARCH_ARM,    SCMP_ARCH_MIPS,  SCMP_ARCH_MIPS64,   SCMP_ARCH_MIPS64N32,
        SCMP_ARCH_PARISC, SCMP_ARCH_PPC,   SCMP_ARCH_PPC64,    SCMP_ARCH_RISCV64,
        SCMP_ARCH_S390,   SCMP_ARCH_S390X, SCMP_ARCH_PARISC64,
};
#define ARCHS (sizeof archs / sizeof *archs)

/* Where architectures number their calls: from 0, MIPS's three bases, ARM's private ones, x32's
 * bit. */
static const struct {
        uint32_t first, end;
} ranges[] = { { 0, 1024 }, { 4000, 7000 }, { 0xf0000, 0xf0010 }, { 0x40000000, 0x40000400 } };
#define RANGES (sizeof ranges / sizeof *ranges)

#define NAMES_MAX 2048
static char *names[NAMES_MAX];
static size_t count;

static void add(char *name)
{
        for (size_t i = 0; i < count; i++)
                if (strcmp(names[i], name) == 0) {
                        free(name);
                        return;
                }
        if (count == NAMES_MAX)
                abort();
        names[count++] = name;
}

static int by_name(const void *x, const void *y)
{
        return strcmp(*(char *const *)x, *(char *const *)y);
}

int main(void)
{
        const struct scmp_version *v = seccomp_version();

        for (size_t a = 0; a < ARCHS; a++)
                for (size_t r = 0; r < RANGES; r++)
                        for (uint32_t nr = ranges[r].first; nr < ranges[r].end; nr++) {
                                char *name = seccomp_syscall_resolve_num_arch(archs[a], (int)nr);

                                if (name)
                                        add(name);
                        }
        qsort(names, count, sizeof *names, by_name);
        printf("/* Made by gen-syscalls from libseccomp %u.%u.%u. */\n", v->major, v->minor,
               v->micro);
        printf("#define SYSCALLS_VERSION \"%u.%u.%u\"\n", v->major, v->minor, v->micro);
        printf("static const uint32_t syscall_archs[] = {");
        for (size_t a = 0; a < ARCHS; a++)
                printf(" %uu,", archs[a]);
        printf(" };\nstatic const struct {\n        const char *name;\n        int nr[%zu];\n} "
               "syscalls[] = {\n",
               ARCHS);
        for (size_t i = 0; i < count; i++) {
                printf("        { \"%s\", {", names[i]);
                for (size_t a = 0; a < ARCHS; a++)
                        printf(" %d,", seccomp_syscall_resolve_name_arch(archs[a], names[i]));
                printf(" } },\n");
        }
        printf("};\n");
        return 0;
}
