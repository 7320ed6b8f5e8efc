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
#include "monitor/life.h"

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
        *h = (struct health){ .output = -1, .begun_ms = now_ms, .next_ms = INT64_MAX };
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

int health_due(const struct health *h, const struct health_config *c, int64_t now_ms)
{
        int64_t due = h->pid ? h->deadline_ms : h->next_ms;

        if (!enabled(c) || due == INT64_MAX)
                return -1;
        return (int)MIN(MAX(due - now_ms, (int64_t)0), (int64_t)60000);
}

static void start(struct health *h, const struct monitor_config *c, int run, const char *program,
                  int64_t now_ms, struct monitor_state *state)
{
        struct err e = { 0 };
        int pair[2];

        h->now.len = 0;
        h->now.begun_ns = clock_now_ns();
        h->timed_out = false;
        if (pipe2(pair, O_CLOEXEC) < 0)
                return;
        fcntl(pair[0], F_SETFL, O_NONBLOCK);
        h->output = pair[0];
        h->deadline_ms = now_ms + c->health.timeout_ms;
        if (life_exec(c, &c->health.test, pair[1], program, &h->pid, &e) < 0) {
                h->pid = 0;
                h->now.len = MIN(strlen(e.chain), sizeof h->now.text);
                memcpy(h->now.text, e.chain, h->now.len);
                health_result(h, c, run, 127, now_ms, state);
        }
        close(pair[1]);
}

void health_tick(struct health *h, const struct monitor_config *c, int run, const char *program,
                 int64_t now_ms, struct monitor_state *state)
{
        if (!enabled(&c->health))
                return;
        if (h->pid && now_ms >= h->deadline_ms && !h->timed_out) {
                /* Our child, not yet reaped: the pid can't be another's. */
                kill(h->pid, SIGKILL);
                h->timed_out = true;
                h->deadline_ms = INT64_MAX;
        } else if (!h->pid && now_ms >= h->next_ms) {
                start(h, c, run, program, now_ms, state);
        }
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
        h->output = fd_close(h->output);
        h->next_ms = INT64_MAX;
        h->pid = 0;
}
