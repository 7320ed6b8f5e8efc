/* The name that a mistyped one was probably meant to be. */
#pragma once

#include <stddef.h>

struct suggest {
        const char *wrong;
        const char *best; /* NULL: nothing is near enough */
        unsigned distance;
};

/* Edits (insert, delete, replace, swap of neighbours) that turn a into b; names beyond 63 bytes
 * count as unlike anything. */
unsigned suggest_distance(const char *a, const char *b);
/* Considers one candidate; what is nearer than best replaces it. */
void suggest_offer(struct suggest *s, const char *candidate);
