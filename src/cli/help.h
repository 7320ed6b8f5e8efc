/* --help text from the option tables, at most 80 columns wide. */
#pragma once

#include "base/buf.h"
#include "cli/opt.h"

/* What the program is, its commands and its own options. */
void help_program(const struct program *p, struct buf *out);
/* The commands of a group, such as "image". */
void help_group(const struct program *p, const char *name, struct buf *out);
/* One command's usage, text and options. */
void help_command(const struct program *p, const struct command *c, struct buf *out);
/* "create [OPTION...] CONTAINER-ID": what follows the program's name. */
void help_usage(const struct command *c, struct buf *out);
/* Whether an OPT_ENUM row's choices must be listed, because its text does not name them. */
bool help_lists_choices(const struct opt *o);
/* Whether a row is printed at all. */
bool help_shows(const struct opt *o);
