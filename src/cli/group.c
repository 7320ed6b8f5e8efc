#include "cli/group.h"

#include <string.h>

#include "base/str.h"

const char *command_name(const struct command *c, size_t i)
{
        if (i == 0)
                return c->name;
        return i <= ARRAY_SIZE(c->alias) ? c->alias[i - 1] : NULL;
}

static struct group *find(struct group *groups, size_t n, const char *name, size_t len)
{
        for (size_t i = 0; i < n; i++)
                if (strlen(groups[i].name) == len && memcmp(groups[i].name, name, len) == 0)
                        return &groups[i];
        return NULL;
}

/* How many names of two words there are at the most: room for groups, and for members of each. */
static size_t count_names(const struct program *p)
{
        size_t n = 0;

        for (const struct command *const *c = p->commands; *c; c++)
                EACH_NAME(name, *c)
        n += strchr(name, ' ') != NULL;
        return n;
}

size_t program_groups(const struct program *p, struct arena *a, struct group **ret)
{
        size_t room = count_names(p), n = 0;
        struct group *groups = arena_array(a, struct group, room + 1);

        for (const struct command *const *c = p->commands; *c; c++) {
                if ((*c)->hidden)
                        continue;
                EACH_NAME(name, *c)
                {
                        const char *space = strchr(name, ' ');
                        struct group *g;

                        if (!space)
                                continue;
                        g = find(groups, n, name, (size_t)(space - name));
                        if (!g) {
                                g = &groups[n++];
                                g->name = arena_strndup(a, name, (size_t)(space - name));
                                g->members = arena_array(a, struct member, room);
                        }
                        g->members[g->n++] = (struct member){ space + 1, *c, name != (*c)->name };
                }
        }
        *ret = groups;
        return n;
}

const struct group *program_group(const struct program *p, struct arena *a, const char *name)
{
        struct group *groups;
        size_t n = program_groups(p, a, &groups);

        return find(groups, n, name, strlen(name));
}
