/* The names of this architecture's system calls, for messages; made from libseccomp's tables at
 * build time by gen-syscall-names.c. */
#pragma once

/* "openat", or NULL: unknown. */
const char *syscall_name(int nr);
