#include "monitor/health.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "monitor/life.h"

static bool enabled(const struct health_config *c)
{
        return c->test.n > 0 && c->interval_ms > 0;
}

void health_begin(struct health *h, const struct health_config *c, int64_t now_ms)
{
        *h = (struct health){ .output = -1, .begun_ms = now_ms };
        h->next_ms = enabled(c) ? now_ms + c->interval_ms : INT64_MAX;
}

int health_due(const struct health *h, const struct health_config *c, int64_t now_ms)
{
        int64_t due = h->pid ? h->deadline_ms : h->next_ms;

        if (!enabled(c) || due == INT64_MAX)
                return -1;
        return (int)MIN(MAX(due - now_ms, (int64_t)0), (int64_t)60000);
}

static void start(struct health *h, const struct monitor_config *c, const char *program,
                  int64_t now_ms, struct monitor_state *state)
{
        struct err e = { 0 };
        int pair[2];

        h->len = 0;
        h->timed_out = false;
        if (pipe2(pair, O_CLOEXEC) < 0)
                return;
        fcntl(pair[0], F_SETFL, O_NONBLOCK);
        h->output = pair[0];
        h->deadline_ms = now_ms + c->health.timeout_ms;
        if (life_exec(c, &c->health.test, pair[1], program, &h->pid, &e) < 0) {
                h->pid = 0;
                h->len = strlen(e.chain);
                memcpy(h->text, e.chain, h->len);
                health_result(h, c, 127, now_ms, state);
        }
        close(pair[1]);
}

void health_tick(struct health *h, const struct monitor_config *c, const char *program,
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
                start(h, c, program, now_ms, state);
        }
}

void health_output(struct health *h)
{
        char rest[1024];
        ssize_t n;

        if (h->len < HEALTH_OUTPUT_MAX)
                n = read(h->output, h->text + h->len, HEALTH_OUTPUT_MAX - h->len);
        else
                n = read(h->output, rest, sizeof rest); /* beyond what is kept */
        if (n > 0 && h->len < HEALTH_OUTPUT_MAX)
                h->len += (size_t)n;
        else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                h->output = fd_close(h->output);
}

bool health_result(struct health *h, const struct monitor_config *c, int exit_code, int64_t now_ms,
                   struct monitor_state *state)
{
        enum health_status before = state->health;
        bool good = exit_code == 0 && !h->timed_out;

        if (h->output >= 0) {
                health_output(h);
                h->output = fd_close(h->output);
        }
        h->text[h->len] = 0;
        h->pid = 0;
        h->next_ms = now_ms + c->health.interval_ms;
        if (good) {
                state->health = HEALTH_GOOD;
                state->health_failures = 0;
        } else if (state->health != HEALTH_BEGINNING ||
                   now_ms >= h->begun_ms + c->health.start_period_ms) {
                state->health_failures++;
                if (state->health_failures >= MAX(c->health.retries, (int64_t)1))
                        state->health = HEALTH_BAD;
        }
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
