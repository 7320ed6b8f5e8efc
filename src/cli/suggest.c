#include "cli/suggest.h"

#include <string.h>

#include "base/macro.h"

enum { LONGEST = 63, FAR = 1000 };

unsigned suggest_distance(const char *a, const char *b)
{
        unsigned row[3][LONGEST + 1];
        unsigned *before = row[0], *above = row[1], *here = row[2];
        size_t na = strlen(a), nb = strlen(b);

        if (na > LONGEST || nb > LONGEST)
                return FAR;
        for (size_t j = 0; j <= nb; j++)
                before[j] = above[j] = (unsigned)j;
        for (size_t i = 1; i <= na; i++) {
                unsigned *next = before;

                here[0] = (unsigned)i;
                for (size_t j = 1; j <= nb; j++) {
                        unsigned cost = a[i - 1] != b[j - 1];
                        unsigned edit = MIN(above[j], here[j - 1]) + 1;

                        here[j] = MIN(above[j - 1] + cost, edit);
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                                here[j] = MIN(here[j], before[j - 2] + 1);
                }
                before = above;
                above = here;
                here = next;
        }
        return above[nb];
}

void suggest_offer(struct suggest *s, const char *candidate)
{
        unsigned d = suggest_distance(s->wrong, candidate);
        size_t n = MAX(strlen(s->wrong), strlen(candidate));

        /* A third of the letters may be wrong, two at least where the word has that many. */
        if (d > MAX(n / 3, (size_t)(n > 3 ? 2 : 1)) || (s->best && d >= s->distance))
                return;
        s->best = candidate;
        s->distance = d;
}
