/* Questions to whoever sits at the terminal. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"

/* Asks on standard error and reads one line from standard input, which is a terminal; secret:
 * without showing what is typed. In a; without the line's end. ERR_STATE where it was interrupted
 * or ended. */
int prompt(struct arena *a, const char *question, bool secret, const char **ret, struct err *e);
struct short_name_asker;
/* Who asks which image a short name means; NULL: standard input or error is no terminal. */
const struct short_name_asker *prompt_short_name(void);
/* All of standard input, up to 64 KiB, without one line end at its end. */
int prompt_stdin(struct arena *a, const char **ret, struct err *e);
