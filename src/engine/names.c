#include "engine/names.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/macro.h"

static const char *const firsts[] = {
        "able",   "amber",  "azure", "bold",  "brave",  "bright", "brisk", "calm",
        "clear",  "clever", "cosy",  "deep",  "eager",  "early",  "even",  "fair",
        "fleet",  "gentle", "glad",  "grand", "hardy",  "honest", "jolly", "keen",
        "kind",   "lively", "loyal", "lucid", "mellow", "merry",  "mild",  "misty",
        "modest", "neat",   "noble", "open",  "proud",  "quick",  "quiet", "ready",
        "salty",  "shiny",  "snug",  "solid", "spry",   "steady", "sunny", "swift",
        "tidy",   "trim",   "true",  "vivid", "warm",   "wide",   "windy", "wise",
};
static const char *const seconds[] = {
        "anchor",  "ballast", "barge",  "bay",    "beacon", "bollard", "bow",      "breeze",
        "bridge",  "brig",    "buoy",   "cabin",  "canal",  "capstan", "cape",     "channel",
        "coast",   "compass", "cove",   "crane",  "cutter", "deck",    "dinghy",   "dock",
        "dory",    "estuary", "ferry",  "fjord",  "galley", "gull",    "harbour",  "haven",
        "heron",   "hull",    "island", "jetty",  "keel",   "ketch",   "lagoon",   "lantern",
        "lighter", "lock",    "lugger", "marina", "mast",   "mooring", "oar",      "pier",
        "pilot",   "port",    "quay",   "reef",   "rudder", "sail",    "schooner", "sextant",
        "shoal",   "sloop",   "spar",   "tide",   "tiller", "wharf",   "winch",    "yawl",
};

static void random_bytes(void *p, size_t n)
{
        if (getrandom(p, n, 0) != (ssize_t)n)
                memset(p, 0, n);
}

char *name_make(struct arena *a, unsigned n)
{
        unsigned char r[2];
        const char *first, *second;

        random_bytes(r, sizeof r);
        first = firsts[r[0] % ARRAY_SIZE(firsts)];
        second = seconds[r[1] % ARRAY_SIZE(seconds)];
        return n ? arena_printf(a, "%s_%s%u", first, second, n)
                 : arena_printf(a, "%s_%s", first, second);
}

int name_check(const char *text)
{
        if (!isalnum((unsigned char)*text) || strlen(text) > 255)
                return -EINVAL;
        for (; *text; text++)
                if (!isalnum((unsigned char)*text) && !strchr("_.-", *text))
                        return -EINVAL;
        return 0;
}

char *id_make(struct arena *a)
{
        static const char hex[] = "0123456789abcdef";
        unsigned char r[32];
        char *id = arena_alloc(a, 2 * sizeof r + 1);

        random_bytes(r, sizeof r);
        for (size_t i = 0; i < sizeof r; i++) {
                id[2 * i] = hex[r[i] >> 4];
                id[2 * i + 1] = hex[r[i] & 15];
        }
        return id;
}
