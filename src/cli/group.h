/* Groups: the first words of commands with two, such as "image" of "image inspect". They are
 * found in the names and aliases of the commands; nothing else declares them. */
#pragma once

#include "base/mem.h"
#include "base/value.h"
#include "cli/opt.h"

struct member {
        const char *word; /* "inspect" */
        const struct command *command;
        bool alias; /* the command's own name is another: "image ls" of "images" */
};

struct group {
        const char *name;
        struct member *members; /* in the order of the commands; none of them hidden */
        size_t n;
};

/* All groups, in the order of their first members; in a. */
size_t program_groups(const struct program *p, struct arena *a, struct group **ret);
/* The group of that name, or NULL; in a. */
const struct group *program_group(const struct program *p, struct arena *a, const char *name);
/* The names of a command: its own, then its aliases. NULL past the last. */
const char *command_name(const struct command *c, size_t i);
#define EACH_NAME(name, c)                                                                         \
        for (size_t CONCAT(i_, name) = 0, CONCAT(go_, name) = 1; CONCAT(go_, name);                \
             CONCAT(go_, name) = 0)                                                                \
                for (const char *name; (name = command_name((c), CONCAT(i_, name)++));)
