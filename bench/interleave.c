/* Runs several commands in shuffled turns and compares them.
 *
 * A number from a shared machine means little alone: what else runs changes by the minute. Here
 * every candidate meets the same minutes. For each: wall time (spread and median), CPU time and
 * peak RSS of the process with every descendant it waited for, context switches, failures, and
 * the load average at each of its turns; ratios of medians to a named baseline. Quote the
 * ratios, and the load.
 *
 * usage: interleave [-n TURNS] [-w WARMUPS] [-p COPIES] [-s SEED] [-b BASELINE] [-j FILE]
 *                   -- NAME COMMAND [ARG...] [-- NAME COMMAND...]...
 *   -p COPIES  a turn starts this many at once and ends with the last of them: wall is the turn's,
 *              CPU and switches their sum, RSS the largest
 *   -j FILE    also write JSON, with the wall time of every turn
 * In arguments "{}" becomes a number that no other process of this run gets (for container IDs).
 * Exit status 1 where a counted turn failed.
 * build: cc -O2 -static -o interleave interleave.c */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CANDIDATES = 16, MAX_ARGS = 48, MAX_COPIES = 4096, MAX_TURNS = 100000 };

struct turn {
        double wall, cpu; /* ms */
        double load;      /* the one-minute load average as the turn began */
        long switches, rss;
        int failures;
};

struct candidate {
        const char *name;
        char **argv; /* ended by NULL */
        struct turn *turns;
};

struct options {
        long turns, warmups, copies, seed;
        const char *baseline, *json;
};

struct spread {
        double min, p10, p25, median, p75, p90, max;
};

static _Noreturn void die(const char *what)
{
        fprintf(stderr, "interleave: %s: %s\n", what, strerror(errno));
        exit(2);
}

static double elapsed_ms(const struct timespec *from)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (now.tv_sec - from->tv_sec) * 1e3 + (now.tv_nsec - from->tv_nsec) / 1e6;
}

static double timeval_ms(struct timeval t)
{
        return t.tv_sec * 1e3 + t.tv_usec / 1e3;
}

static double load_now(void)
{
        double load[1];

        return getloadavg(load, 1) == 1 ? load[0] : -1;
}

/* arg itself, or a heap copy of it in which "{}" is the serial number. */
static char *expand(const char *arg, long serial)
{
        const char *mark = strstr(arg, "{}");
        char *text;

        if (!mark)
                return (char *)arg;
        if (asprintf(&text, "%.*s%ld%s", (int)(mark - arg), arg, serial, mark + 2) < 0)
                die("memory");
        return text;
}

/* vfork, since a forked copy of this process would be part of what is measured. */
static pid_t start(char **argv, long serial, int null)
{
        char *args[MAX_ARGS];
        size_t n;
        pid_t pid;

        for (n = 0; argv[n]; n++)
                args[n] = expand(argv[n], serial);
        args[n] = NULL;
        pid = vfork();
        if (pid < 0)
                die("vfork");
        if (pid == 0) {
                for (int fd = 0; fd < 3; fd++)
                        dup2(null, fd);
                execv(args[0], args);
                _exit(126);
        }
        for (n = 0; argv[n]; n++)
                if (args[n] != argv[n])
                        free(args[n]);
        return pid;
}

static void collect(struct turn *t)
{
        struct rusage use;
        int status;

        while (wait4(-1, &status, 0, &use) < 0)
                if (errno != EINTR)
                        die("wait4");
        t->cpu += timeval_ms(use.ru_utime) + timeval_ms(use.ru_stime);
        t->switches += use.ru_nvcsw + use.ru_nivcsw;
        if (use.ru_maxrss > t->rss)
                t->rss = use.ru_maxrss;
        if (status)
                t->failures++;
}

static struct turn take_turn(const struct candidate *c, long copies, long *serial, int null)
{
        struct turn t = { .load = load_now() };
        struct timespec from;

        clock_gettime(CLOCK_MONOTONIC, &from);
        for (long i = 0; i < copies; i++)
                start(c->argv, (*serial)++, null);
        for (long i = 0; i < copies; i++)
                collect(&t);
        t.wall = elapsed_ms(&from);
        return t;
}

static void shuffle(size_t *order, size_t n)
{
        for (size_t i = n - 1; i > 0; i--) {
                size_t j = (size_t)random() % (i + 1), keep = order[i];

                order[i] = order[j];
                order[j] = keep;
        }
}

static void run_all(struct candidate *cs, size_t n, const struct options *o)
{
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        long serial = 0;
        size_t order[MAX_CANDIDATES];

        if (null < 0)
                die("/dev/null");
        srandom(o->seed);
        for (size_t i = 0; i < n; i++)
                order[i] = i;
        for (long r = -o->warmups; r < o->turns; r++) {
                shuffle(order, n);
                for (size_t i = 0; i < n; i++) {
                        struct candidate *c = &cs[order[i]];
                        struct turn t = take_turn(c, o->copies, &serial, null);

                        if (r >= 0)
                                c->turns[r] = t;
                }
        }
        close(null);
}

static int compare(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

/* of: where the figure lies in struct turn. */
static struct spread spread_of(const struct candidate *c, long n, size_t of)
{
        double *v = calloc(n, sizeof *v);
        struct spread s;

        if (!v)
                die("memory");
        for (long i = 0; i < n; i++)
                v[i] = *(const double *)((const char *)&c->turns[i] + of);
        qsort(v, n, sizeof *v, compare);
        s = (struct spread){ v[0],         v[n / 10],     v[n / 4], v[n / 2],
                             v[3 * n / 4], v[9 * n / 10], v[n - 1] };
        free(v);
        return s;
}

struct totals {
        long rss, switches, failures; /* largest, mean per turn, sum */
};

static struct totals totals_of(const struct candidate *c, long n)
{
        struct totals t = { 0 };

        for (long i = 0; i < n; i++) {
                t.switches += c->turns[i].switches;
                t.failures += c->turns[i].failures;
                if (c->turns[i].rss > t.rss)
                        t.rss = c->turns[i].rss;
        }
        t.switches /= n;
        return t;
}

#define WALL offsetof(struct turn, wall)
#define CPU offsetof(struct turn, cpu)
#define LOAD offsetof(struct turn, load)

static long print_table(const struct candidate *cs, size_t n, const struct options *o,
                        const struct candidate *base)
{
        long failures = 0;

        printf("%-16s %8s %8s %8s %8s %6s | %8s %6s | %7s %6s %5s %6s\n", "ms", "min", "p25",
               "median", "p75", "x", "cpu", "x", "rss KiB", "csw", "fail", "load");
        for (const struct candidate *c = cs; c < cs + n; c++) {
                struct spread w = spread_of(c, o->turns, WALL), u = spread_of(c, o->turns, CPU);
                struct totals t = totals_of(c, o->turns);
                double load = spread_of(c, o->turns, LOAD).median;

                printf("%-16s %8.2f %8.2f %8.2f %8.2f %6.2f | %8.2f %6.2f | %7ld %6ld %5ld %6.2f\n",
                       c->name, w.min, w.p25, w.median, w.p75,
                       w.median / spread_of(base, o->turns, WALL).median, u.median,
                       u.median / spread_of(base, o->turns, CPU).median, t.rss, t.switches,
                       t.failures, load);
                failures += t.failures;
        }
        return failures;
}

static void json_spread(FILE *f, const char *name, struct spread s)
{
        fprintf(f,
                "\"%s\": {\"min\": %.3f, \"p10\": %.3f, \"p25\": %.3f, \"median\": %.3f, "
                "\"p75\": %.3f, \"p90\": %.3f, \"max\": %.3f}, ",
                name, s.min, s.p10, s.p25, s.median, s.p75, s.p90, s.max);
}

static void json_candidate(FILE *f, const struct candidate *c, const struct options *o,
                           const struct candidate *base)
{
        struct spread w = spread_of(c, o->turns, WALL), u = spread_of(c, o->turns, CPU);
        struct totals t = totals_of(c, o->turns);

        fprintf(f, "  {\"name\": \"%s\", ", c->name);
        json_spread(f, "wall_ms", w);
        json_spread(f, "cpu_ms", u);
        json_spread(f, "load", spread_of(c, o->turns, LOAD));
        fprintf(f, "\"wall_ratio\": %.3f, \"cpu_ratio\": %.3f, ",
                w.median / spread_of(base, o->turns, WALL).median,
                u.median / spread_of(base, o->turns, CPU).median);
        fprintf(f, "\"rss_kib\": %ld, \"switches\": %ld, \"failures\": %ld, \"walls\": [", t.rss,
                t.switches, t.failures);
        for (long i = 0; i < o->turns; i++)
                fprintf(f, "%s%.3f", i ? ", " : "", c->turns[i].wall);
        fprintf(f, "]}");
}

static void write_json(const struct candidate *cs, size_t n, const struct options *o,
                       const struct candidate *base)
{
        FILE *f = fopen(o->json, "we");

        if (!f)
                die(o->json);
        fprintf(f, "{\"turns\": %ld, \"copies\": %ld, \"baseline\": \"%s\", \"candidates\": [\n",
                o->turns, o->copies, base->name);
        for (size_t i = 0; i < n; i++) {
                json_candidate(f, &cs[i], o, base);
                fprintf(f, i + 1 < n ? ",\n" : "\n]}\n");
        }
        if (fclose(f))
                die(o->json);
}

static long number(const char *text, long min, long max)
{
        char *end;
        long n = strtol(text, &end, 10);

        if (*end || end == text || n < min || n > max) {
                fprintf(stderr, "interleave: '%s' is not a number from %ld to %ld\n", text, min,
                        max);
                exit(2);
        }
        return n;
}

/* Splits argv at each "--" into candidates. Returns how many. */
static size_t parse_candidates(char **argv, struct candidate *cs, const struct options *o)
{
        size_t n = 0;

        while (*argv) {
                char **word = argv;

                while (*word && strcmp(*word, "--"))
                        word++;
                if (word - argv < 2 || word - argv > MAX_ARGS || n == MAX_CANDIDATES)
                        return 0;
                cs[n] = (struct candidate){ .name = argv[0], .argv = argv + 1 };
                cs[n].turns = calloc(o->turns, sizeof *cs[n].turns);
                if (!cs[n++].turns)
                        die("memory");
                argv = *word ? word + 1 : word;
                *word = NULL;
        }
        return n;
}

static const struct candidate *find(const struct candidate *cs, size_t n, const char *name)
{
        for (size_t i = 0; name && i < n; i++)
                if (!strcmp(cs[i].name, name))
                        return &cs[i];
        return name ? NULL : cs;
}

static int parse_options(int argc, char **argv, struct options *o)
{
        int c;

        while ((c = getopt(argc, argv, "+n:w:p:s:b:j:")) != -1) {
                if (c == 'n')
                        o->turns = number(optarg, 1, MAX_TURNS);
                else if (c == 'w')
                        o->warmups = number(optarg, 0, MAX_TURNS);
                else if (c == 'p')
                        o->copies = number(optarg, 1, MAX_COPIES);
                else if (c == 's')
                        o->seed = number(optarg, 0, INT32_MAX);
                else if (c == 'b')
                        o->baseline = optarg;
                else if (c == 'j')
                        o->json = optarg;
                else
                        return -1;
        }
        return 0;
}

int main(int argc, char **argv)
{
        struct options o = { .turns = 30, .warmups = 2, .copies = 1, .seed = 1 };
        struct candidate cs[MAX_CANDIDATES];
        const struct candidate *base;
        size_t n;

        n = parse_options(argc, argv, &o) < 0 ? 0 : parse_candidates(argv + optind, cs, &o);
        base = n ? find(cs, n, o.baseline) : NULL;
        if (!base) {
                fprintf(stderr, "usage: interleave [-n TURNS] [-w WARMUPS] [-p COPIES] [-s SEED] "
                                "[-b BASELINE] [-j FILE] -- NAME COMMAND [ARG...] [-- ...]\n");
                return 2;
        }
        run_all(cs, n, &o);
        if (o.json)
                write_json(cs, n, &o, base);
        return print_table(cs, n, &o, base) ? 1 : 0;
}
