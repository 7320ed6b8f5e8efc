/* Prints syscall_name() for the architecture that is built for: numbers to names, from
 * libseccomp's tables. Runs at build time only. */
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>

#define NUMBERS 1024 /* more than any architecture has, x32 apart */

int main(void)
{
        puts("#include \"kernel/syscall-names.h\"\n\nstatic const char *const names[] = {");
        for (int nr = 0; nr < NUMBERS; nr++) {
                char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);

                if (name)
                        printf("        [%d] = \"%s\",\n", nr, name);
                free(name);
        }
        puts("};\n\nconst char *syscall_name(int nr)\n{\n"
             "        return nr >= 0 && nr < (int)(sizeof names / sizeof *names) ? names[nr] : 0;\n"
             "}");
        return 0;
}
