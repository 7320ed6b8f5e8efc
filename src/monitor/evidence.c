#include "monitor/evidence.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"

/* ---- a life that is under way ---- */

#define LIFE "exits/life"
#define BOOT_ID_CAP 40

static void boot_id(char ret[BOOT_ID_CAP])
{
        if (fd_read_text_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", ret, BOOT_ID_CAP) < 0)
                *ret = 0;
        ret[strcspn(ret, "\n")] = 0;
}

void evidence_place(const struct evidence *v, int dir)
{
        char text[64], boot[BOOT_ID_CAP];
        int r;

        mkdirat(dir, "exits", 0700); /* where it can't be made, saving says so */
        if (!v->kept)
                return;
        boot_id(boot);
        snprintf(text, sizeof text, "%" PRId64 ":%s", v->started_ns, boot);
        r = symlinkat(text, dir, LIFE);
        if (r < 0 && errno == EEXIST && unlinkat(dir, LIFE, 0) == 0)
                r = symlinkat(text, dir, LIFE);
        (void)r;
}

bool evidence_life_read(const char *text, const char *boot, int64_t *ret_started_ns,
                        bool *ret_machine)
{
        char *colon;
        int64_t started = strtoll(text, &colon, 10);

        if (colon == text || *colon != ':')
                return false;
        *ret_started_ns = started;
        *ret_machine = !str_eq(colon + 1, boot);
        return true;
}

bool evidence_underway(int dir, int64_t *ret_started_ns, bool *ret_machine)
{
        char text[64], boot[BOOT_ID_CAP];
        ssize_t n = readlinkat(dir, LIFE, text, sizeof text - 1);

        if (n <= 0)
                return false;
        text[n] = 0;
        boot_id(boot);
        return evidence_life_read(text, boot, ret_started_ns, ret_machine);
}

void evidence_lost(struct evidence *v, int dir)
{
        int64_t started;
        bool machine;

        if (!evidence_underway(dir, &started, &machine))
                return;
        v->started_ns = started;
        v->lost = machine ? "the machine went down" : "its monitor was killed";
        v->wait_status = 255 << 8; /* exited with 255, as wait(2) says it */
        for (int i = 0; i < COUNTER_MAX; i++)
                v->last.v[i] = COUNTER_UNKNOWN;
        evidence_save(v, dir, "");
        v->lost = NULL;
        v->wait_status = 0;
}

void evidence_begin(struct evidence *v)
{
        v->asked = (struct asked){ 0 };
        memset(v->samples, 0, sizeof v->samples);
        v->next_sample = 0;
        v->started_ns = clock_now_ns();
        if (v->kmsg < 0 && v->kept)
                v->kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (v->kmsg >= 0)
                lseek(v->kmsg, 0, SEEK_END);
}

void evidence_sample(struct evidence *v, const struct cgroup *c)
{
        counters_read(c, COUNTERS_ALL, &v->samples[v->next_sample]);
        v->next_sample = (v->next_sample + 1) % EVIDENCE_SAMPLES;
}

void evidence_end(struct evidence *v, const struct cgroup *c, int wait_status)
{
        v->finished_ns = MAX(clock_now_ns(), v->started_ns); /* the clock may have gone back */
        v->wait_status = wait_status;
        counters_read(c, v->kept ? COUNTERS_ALL : 1u << COUNTER_MEMORY_OOM_KILL, &v->last);
}

bool evidence_oom_killed(const struct evidence *v)
{
        uint64_t kills = v->last.v[COUNTER_MEMORY_OOM_KILL];

        return WIFSIGNALED(v->wait_status) && WTERMSIG(v->wait_status) == SIGKILL &&
               kills != COUNTER_UNKNOWN && kills > 0;
}

/* ---- the kernel's log ---- */

/* A number after key in text, or 0. */
static pid_t number_after(const char *text, const char *key)
{
        const char *at = strstr(text, key);

        return at ? (pid_t)strtol(at + strlen(key), NULL, 10) : 0;
}

/* "name=PATH" where PATH ends there. */
static bool names_cgroup(const char *text, const char *path)
{
        size_t n = strlen(path);

        for (const char *at = strstr(text, path); n && at; at = strstr(at + 1, path))
                if (at > text && at[-1] == '=' &&
                    (at[n] == ',' || at[n] == '\n' || !at[n] || at[n] == '/'))
                        return true;
        return false;
}

static bool names_pid(const char *text, pid_t pid)
{
        char word[32];

        if (pid <= 0)
                return false;
        /* "Killed process 12 (sh)", "sh[12]: segfault at ..." */
        snprintf(word, sizeof word, "process %d ", pid);
        if (strstr(text, word))
                return true;
        snprintf(word, sizeof word, "[%d]: ", pid);
        return strstr(text, word);
}

bool evidence_kernel_line(const char *record, const char *cgroup_path, pid_t init, pid_t *victim)
{
        const char *text = strchr(record, ';');

        if (!text)
                return false;
        text++;
        if (names_cgroup(text, cgroup_path)) {
                pid_t pid = number_after(text, ",pid=");

                if (pid > 0)
                        *victim = pid;
                return true;
        }
        return names_pid(text, init) || names_pid(text, *victim);
}

static void put_kernel_lines(struct evidence *v, const char *cgroup_path, struct json_writer *w)
{
        char record[2048];
        pid_t victim = 0;
        int kept = 0;

        json_open(w, "kernelLog", '[');
        while (v->kmsg >= 0 && kept < EVIDENCE_KERNEL_LINES) {
                ssize_t n = read(v->kmsg, record, sizeof record - 1);

                /* EPIPE: older records were overwritten meanwhile, the next read goes on after
                 * them. */
                if (n < 0 && (errno == EPIPE || errno == EINTR || errno == EINVAL))
                        continue;
                if (n <= 0)
                        break;
                record[n] = 0;
                if (!evidence_kernel_line(record, cgroup_path, v->pid, &victim))
                        continue;
                record[strcspn(record, "\n")] = 0;
                json_put_str(w, NULL, strchr(record, ';') + 1);
                kept++;
        }
        json_close(w, ']');
}

/* ---- the record ---- */

static void put_exit(const struct evidence *v, struct json_writer *w)
{
        int s = v->wait_status;

        json_put_i64(w, "exitCode", WIFEXITED(s) ? WEXITSTATUS(s) : 128 + WTERMSIG(s));
        if (WIFSIGNALED(s)) {
                json_put_i64(w, "signal", WTERMSIG(s));
                json_put_bool(w, "coreDumped", WCOREDUMP(s));
        }
        json_put_bool(w, "oomKilled", evidence_oom_killed(v));
        if (v->lost)
                json_put_str(w, "lost", v->lost);
}

static void put_asked(const struct asked *a, struct json_writer *w)
{
        if (!a->time_ns)
                return;
        json_open(w, "asked", '{');
        json_put_i64(w, "time", a->time_ns);
        json_put_i64(w, "signal", a->signal);
        json_put_str(w, "why", a->why);
        json_put_i64(w, "pid", a->pid);
        json_put_i64(w, "uid", a->uid);
        json_put_str(w, "command", a->comm);
        json_close(w, '}');
}

static void put_delta(const struct evidence *v, struct json_writer *w)
{
        static const enum counter rising[] = {
                COUNTER_MEMORY_AT_MAX, COUNTER_MEMORY_OOM,  COUNTER_MEMORY_OOM_KILL,
                COUNTER_CPU_USAGE,     COUNTER_CPU_PERIODS, COUNTER_CPU_THROTTLED_PERIODS,
                COUNTER_CPU_THROTTLED, COUNTER_PIDS_AT_MAX, COUNTER_IO_READ,
                COUNTER_IO_WRITTEN,    COUNTER_CPU_STALL,   COUNTER_MEMORY_STALL,
                COUNTER_IO_STALL,
        };

        json_open(w, "delta", '{');
        for (size_t i = 0; i < ARRAY_SIZE(rising); i++)
                if (v->last.v[rising[i]] != COUNTER_UNKNOWN)
                        json_put_u64(w, counter_names[rising[i]], v->last.v[rising[i]]);
        json_close(w, '}');
}

static void put_record(struct evidence *v, unsigned number, const char *cgroup_path,
                       struct buf *out)
{
        struct json_writer w = { .out = out, .indent = 2 };

        json_open(&w, NULL, '{');
        json_put_u64(&w, "number", number);
        json_put_str(&w, "id", v->id);
        json_put_str(&w, "name", v->name);
        json_put_i64(&w, "pid", v->pid);
        json_put_i64(&w, "started", v->started_ns);
        json_put_i64(&w, "finished", v->finished_ns);
        json_put_u64(&w, "restarts", v->restarts);
        put_exit(v, &w);
        put_asked(&v->asked, &w);
        json_put_str(&w, "cgroup", cgroup_path);
        counters_json(&v->last, &w, "last");
        put_delta(v, &w);
        json_open(&w, "samples", '[');
        for (unsigned i = 0; i < EVIDENCE_SAMPLES; i++) {
                const struct counters *s = &v->samples[(v->next_sample + i) % EVIDENCE_SAMPLES];

                if (s->time_ns)
                        counters_json(s, &w, NULL);
        }
        json_close(&w, ']');
        put_kernel_lines(v, cgroup_path, &w);
        json_close(&w, '}');
        buf_putc(out, '\n');
}

static int compare(const void *a, const void *b)
{
        unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

        return x < y ? -1 : x > y;
}

/* All numbers, sorted; more than are kept only where a monitor died between writing and dropping.
 * */
static int list_all(int dir, unsigned *ret, int max)
{
        int fd = openat(dir, "exits", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        if (!d) {
                fd_close(fd);
                return 0;
        }
        while (n < max && (entry = readdir(d))) {
                char *end;
                unsigned long number = strtoul(entry->d_name, &end, 10);

                if (end != entry->d_name && str_eq(end, ".json"))
                        ret[n++] = (unsigned)number;
        }
        closedir(d);
        qsort(ret, (size_t)n, sizeof *ret, compare);
        return n;
}

int evidence_list(int dir, unsigned ret[EVIDENCE_KEPT])
{
        unsigned all[64];
        int n = list_all(dir, all, ARRAY_SIZE(all)), skip = MAX(n - EVIDENCE_KEPT, 0);

        memcpy(ret, all + skip, (size_t)(n - skip) * sizeof *all);
        return n - skip;
}

int evidence_save(struct evidence *v, int dir, const char *cgroup_path)
{
        unsigned all[64], number;
        AUTO_BUF text = { 0 };
        char name[32];
        int n, r;

        if (mkdirat(dir, "exits", 0700) < 0 && errno != EEXIST)
                return -errno;
        AUTO_FD int exits = openat(dir, "exits", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (exits < 0)
                return -errno;
        n = list_all(dir, all, ARRAY_SIZE(all));
        number = n ? all[n - 1] + 1 : 1;
        put_record(v, number, cgroup_path, &text);
        snprintf(name, sizeof name, "%u.json", number);
        r = fd_replace_at(exits, name, text.s, text.len, 0600, 1);
        if (r == 0)
                unlinkat(dir, LIFE, 0);
        for (int i = 0; r == 0 && i < n + 1 - EVIDENCE_KEPT; i++) {
                snprintf(name, sizeof name, "%u.json", all[i]);
                unlinkat(exits, name, 0);
        }
        return r;
}

void evidence_done(struct evidence *v)
{
        v->kmsg = fd_close(v->kmsg);
}
