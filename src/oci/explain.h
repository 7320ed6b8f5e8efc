/* Why an exec failed: the sentence that execve's errno doesn't say. */
#pragma once

#include "base/err.h"

/* Looks at the file that execve(path) refused with error, from inside the container and as its
 * user, and fills e: a script's interpreter or an ELF loader that is missing, a carriage return
 * in the shebang, another architecture, no execute permission, a noexec mount. Keeps the phrases
 * from which callers derive exit status 126 and 127. Returns -1. */
int explain_exec(const char *path, int error, struct err *e);
