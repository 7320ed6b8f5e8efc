#include "monitor/health.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "codec/json.h"

#define STARTER_GRACE_MS 1000

static bool enabled(const struct health_config *c)
{
        return c->test.n > 0 && c->interval_ms > 0;
}

/* Until it has been healthy once, checks may come more often within the start period. */
static int64_t interval(const struct health *h, const struct health_config *c, int64_t now_ms,
                        enum health_status status)
{
        bool starting = status == HEALTH_BEGINNING || status == HEALTH_OFF;

        return c->start_interval_ms > 0 && starting && now_ms < h->begun_ms + c->start_period_ms
                       ? c->start_interval_ms
                       : c->interval_ms;
}

void health_begin(struct health *h, const struct health_config *c, int run, int64_t now_ms)
{
        *h = (struct health){
                .output = -1, .starter = LIFE_SPARE_NONE, .begun_ms = now_ms, .next_ms = INT64_MAX
        };
        if (!enabled(c))
                return;
        h->next_ms = now_ms + interval(h, c, now_ms, HEALTH_BEGINNING);
        unlinkat(run, HEALTH_LOG, 0);
}

/* ---- the log ---- */

static void put_time(struct json_writer *w, const char *name, int64_t ns)
{
        time_t seconds = ns / 1000000000;
        char text[64];
        struct tm tm;
        size_t n;

        gmtime_r(&seconds, &tm);
        n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(text + n, sizeof text - n, ".%09" PRId64 "Z", ns % 1000000000);
        json_put_str(w, name, text);
}

static void put_check(struct json_writer *w, const struct health_check *check)
{
        char text[HEALTH_OUTPUT_MAX + 1];

        /* A zero byte would end it. */
        for (size_t i = 0; i < check->len; i++)
                text[i] = check->text[i] ? check->text[i] : ' ';
        text[check->len] = 0;
        json_open(w, NULL, '{');
        put_time(w, "Start", check->begun_ns);
        put_time(w, "End", check->ended_ns);
        json_put_i64(w, "ExitCode", check->exit_code);
        json_put_str(w, "Output", text);
        json_close(w, '}');
}

/* One that can't be written is no reason to do anything: the status is what counts. */
static void write_log(const struct health *h, int run)
{
        /* Each byte of output becomes six at the most ("\u001f"): the buffer never grows. */
        static char room[HEALTH_KEPT * (HEALTH_OUTPUT_MAX * 6 + 256) + 16];
        struct buf out = { .s = room, .cap = sizeof room };
        struct json_writer w = { .out = &out, .fresh = true };

        json_open(&w, NULL, '[');
        for (unsigned i = 0; i < HEALTH_KEPT; i++) {
                const struct health_check *check = &h->last[(h->next + i) % HEALTH_KEPT];

                if (check->ended_ns)
                        put_check(&w, check);
        }
        json_close(&w, ']');
        fd_replace_at(run, HEALTH_LOG, out.s, out.len, 0600, 0);
}

/* ---- checks ---- */

static bool is_busy(const struct health *h)
{
        return h->pid || h->starter.sock >= 0;
}

int health_due(const struct health *h, const struct health_config *c, int64_t now_ms)
{
        int64_t due = is_busy(h) ? h->deadline_ms : h->next_ms;

        if (!enabled(c) || due == INT64_MAX)
                return -1;
        return (int)MIN(MAX(due - now_ms, (int64_t)0), (int64_t)60000);
}

/* What a check that never ran has to say. */
static bool could_not(struct health *h, const struct err *e)
{
        h->now.len = MIN(strlen(e->chain), sizeof h->now.text);
        memcpy(h->now.text, e->chain, h->now.len);
        return true;
}

static bool start(struct health *h, const struct monitor_config *c, const char *program,
                  int64_t now_ms)
{
        struct err e = { 0 };
        int pair[2];
        bool failed;

        h->now.len = 0;
        h->now.begun_ns = clock_now_ns();
        h->timed_out = false;
        h->deadline_ms = now_ms + c->health.timeout_ms;
        if (pipe2(pair, O_CLOEXEC) < 0) {
                err_sys(&e, errno, "cannot make a pipe");
                return could_not(h, &e);
        }
        fcntl(pair[0], F_SETFL, O_NONBLOCK);
        h->output = pair[0];
        failed = life_exec(c, &c->health.test, pair[1], c->health.timeout_ms + STARTER_GRACE_MS / 2,
                           program, &h->starter, &e) < 0;
        close(pair[1]);
        return failed && could_not(h, &e);
}

bool health_started(struct health *h)
{
        struct err e = { 0 };
        int r = h->starter.sock < 0 ? 0 : life_exec_report(&h->starter, &h->pid, &e);

        if (r == 1 && h->timed_out)
                kill(h->pid, SIGKILL);
        return r < 0 && could_not(h, &e);
}

/* Our children, not yet reaped: their pids can't be another's. A starter says itself that it was
 * too late; it does not where it is frozen, or stopped: the second time it is over. */
static bool time_out(struct health *h, int64_t now_ms)
{
        if (h->timed_out) {
                kill(h->starter.pid, SIGKILL);
                h->starter.sock = fd_close(h->starter.sock);
                return true;
        }
        h->timed_out = true;
        h->deadline_ms = INT64_MAX;
        if (h->pid)
                kill(h->pid, SIGKILL);
        else
                h->deadline_ms = now_ms + STARTER_GRACE_MS;
        return false;
}

bool health_tick(struct health *h, const struct monitor_config *c, const struct cgroup *cgroup,
                 const char *program, int64_t now_ms)
{
        if (!enabled(&c->health))
                return false;
        if (is_busy(h))
                return now_ms >= h->deadline_ms && time_out(h, now_ms);
        if (now_ms < h->next_ms)
                return false;
        if (cgroup_is_frozen(cgroup) == 1) {
                h->next_ms = now_ms + c->health.interval_ms;
                return false;
        }
        return start(h, c, program, now_ms);
}

void health_output(struct health *h)
{
        struct health_check *check = &h->now;
        char rest[1024];
        ssize_t n;

        if (check->len < sizeof check->text)
                n = read(h->output, check->text + check->len, sizeof check->text - check->len);
        else
                n = read(h->output, rest, sizeof rest); /* beyond what is kept */
        if (n > 0 && check->len < sizeof check->text)
                check->len += (size_t)n;
        else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                h->output = fd_close(h->output);
}

/* docker's text for one that took too long, behind what it said. */
static void close_check(struct health *h, const struct monitor_config *c, int run, int exit_code)
{
        struct health_check *check = &h->now;

        if (h->output >= 0) {
                health_output(h);
                h->output = fd_close(h->output);
        }
        check->ended_ns = clock_now_ns();
        check->exit_code = h->timed_out ? -1 : exit_code;
        if (h->timed_out && check->len == 0)
                check->len = (size_t)snprintf(check->text, sizeof check->text,
                                              "Health check exceeded timeout (%" PRId64 "ms)",
                                              c->health.timeout_ms);
        h->last[h->next] = *check;
        h->next = (h->next + 1) % HEALTH_KEPT;
        write_log(h, run);
}

bool health_result(struct health *h, const struct monitor_config *c, int run, int exit_code,
                   int64_t now_ms, struct monitor_state *state)
{
        enum health_status before = state->health;
        bool good = exit_code == 0 && !h->timed_out;

        close_check(h, c, run, exit_code);
        h->pid = 0;
        if (good) {
                state->health = HEALTH_GOOD;
                state->health_failures = 0;
        } else if (state->health != HEALTH_BEGINNING ||
                   now_ms >= h->begun_ms + c->health.start_period_ms) {
                state->health_failures++;
                if (state->health_failures >= MAX(c->health.retries, (int64_t)1))
                        state->health = HEALTH_BAD;
        }
        h->next_ms = now_ms + interval(h, &c->health, now_ms, state->health);
        return state->health != before;
}

void health_stop(struct health *h)
{
        if (h->pid)
                kill(h->pid, SIGKILL);
        if (h->starter.sock >= 0)
                kill(h->starter.pid, SIGKILL);
        h->starter.sock = fd_close(h->starter.sock);
        h->output = fd_close(h->output);
        h->next_ms = INT64_MAX;
        h->pid = 0;
}
