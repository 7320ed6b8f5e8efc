/* Shell completions from the option tables; for the build only (cli/gen-docs.c). */
#pragma once

#include "base/buf.h"
#include "cli/opt.h"

void complete_bash(const struct program *p, struct buf *out);
void complete_zsh(const struct program *p, struct buf *out);
void complete_fish(const struct program *p, struct buf *out);
