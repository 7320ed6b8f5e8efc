/* What checks that have ended make of the health, and what is written of them. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/test.h"
#include "monitor/health.h"

#define PERIOD 5000
#define INTERVAL 1000
#define START_INTERVAL 200

struct world {
        char path[64];
        int run;
        struct monitor_config config;
        struct monitor_state state;
        struct health health;
};

static int set_up(void **state)
{
        static const char *const test[] = { "true" };
        struct world *w = calloc(1, sizeof *w);

        snprintf(w->path, sizeof w->path, "%s", "/tmp/test-health-XXXXXX");
        if (!mkdtemp(w->path))
                return -1;
        w->run = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        w->config.health = (struct health_config){ .test = { (const char **)test, 1 },
                                                   .interval_ms = INTERVAL,
                                                   .timeout_ms = 300,
                                                   .retries = 2 };
        w->state.health = HEALTH_BEGINNING;
        *state = w;
        return w->run < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
        struct world *w = *state;

        unlinkat(w->run, HEALTH_LOG, 0);
        fd_close(w->run);
        rmdir(w->path);
        free(w);
        return 0;
}

/* A life that began at 0. */
static void begin(struct world *w)
{
        health_begin(&w->health, &w->config.health, w->run, 0);
}

/* A check that ended so, with what it said. */
static bool ended(struct world *w, int code, int64_t now_ms, const char *text)
{
        w->health.now.begun_ns = now_ms * 1000000;
        w->health.now.len =
                (size_t)snprintf(w->health.now.text, sizeof w->health.now.text, "%s", text);
        return health_result(&w->health, &w->config, w->run, code, now_ms, &w->state);
}

static bool is_logged(struct world *w, const char *text)
{
        char log[32768] = "";

        assert_true(fd_read_text_at(w->run, HEALTH_LOG, log, sizeof log) >= 0);
        return strstr(log, text);
}

static void test_failures_in_a_row(void **state)
{
        struct world *w = *state;

        begin(w);
        assert_true(ended(w, 0, 10, ""));
        assert_int_equal(w->state.health, HEALTH_GOOD);
        assert_false(ended(w, 1, 20, ""));
        assert_int_equal(w->state.health_failures, 1);
        assert_false(ended(w, 0, 30, ""));
        assert_int_equal(w->state.health_failures, 0);
        assert_false(ended(w, 1, 40, ""));
        assert_true(ended(w, 1, 50, ""));
        assert_int_equal(w->state.health, HEALTH_BAD);
        assert_int_equal(w->state.health_failures, 2);
        assert_false(ended(w, 1, 60, ""));
        assert_true(ended(w, 0, 70, ""));
        assert_int_equal(w->state.health, HEALTH_GOOD);
}

/* A zero byte is a blank: what comes behind it is kept. */
static void test_bytes_that_are_no_text(void **state)
{
        struct world *w = *state;

        begin(w);
        memcpy(w->health.now.text, "a\0b\x1f\"", 5);
        w->health.now.len = 5;
        health_result(&w->health, &w->config, w->run, 1, 10, &w->state);
        assert_true(is_logged(w, "\"Output\":\"a b\\u001f\\\"\""));
}

/* It may have ended with 0 all the same: what started it was late, or we were with our signal. */
static void test_too_late_is_bad(void **state)
{
        struct world *w = *state;

        w->config.health.retries = 0; /* as 1 */
        begin(w);
        w->health.timed_out = true;
        assert_true(ended(w, 0, 10, ""));
        assert_int_equal(w->state.health, HEALTH_BAD);
        assert_true(is_logged(
                w, "\"ExitCode\":-1,\"Output\":\"Health check exceeded timeout (300ms)\""));
        ended(w, 137, 20, "said");
        assert_true(is_logged(w, "\"ExitCode\":-1,\"Output\":\"said\""));
}

static void test_the_start_period_forgives(void **state)
{
        struct world *w = *state;

        w->config.health.start_period_ms = PERIOD;
        begin(w);
        for (int i = 0; i < 5; i++)
                assert_false(ended(w, 1, PERIOD - 1, ""));
        assert_int_equal(w->state.health, HEALTH_BEGINNING);
        assert_int_equal(w->state.health_failures, 0);
        assert_false(ended(w, 1, PERIOD, ""));
        assert_true(ended(w, 1, PERIOD, ""));
        assert_int_equal(w->state.health, HEALTH_BAD);
}

/* Once it has been good, failures count within the period, too. */
static void test_the_start_period_ends_with_success(void **state)
{
        struct world *w = *state;

        w->config.health.start_period_ms = PERIOD;
        begin(w);
        ended(w, 0, 10, "");
        ended(w, 1, 20, "");
        assert_true(ended(w, 1, 30, ""));
        assert_int_equal(w->state.health, HEALTH_BAD);
}

static void test_when_the_next_is_due(void **state)
{
        struct world *w = *state;
        const struct health_config *c = &w->config.health;

        begin(w);
        assert_int_equal(health_due(&w->health, c, 400), INTERVAL - 400);
        assert_int_equal(health_due(&w->health, c, INTERVAL + 1), 0);
        w->config.health.start_period_ms = PERIOD;
        w->config.health.start_interval_ms = START_INTERVAL;
        begin(w);
        assert_int_equal(health_due(&w->health, c, 0), START_INTERVAL);
        ended(w, 1, 10, "");
        assert_int_equal(health_due(&w->health, c, 10), START_INTERVAL);
        ended(w, 1, PERIOD, "");
        assert_int_equal(health_due(&w->health, c, PERIOD), INTERVAL);
        begin(w);
        w->state.health = HEALTH_BEGINNING;
        ended(w, 0, 10, "");
        assert_int_equal(health_due(&w->health, c, 10), INTERVAL);
        w->health.pid = 1; /* one runs: what is due is its end */
        w->health.deadline_ms = 310;
        assert_int_equal(health_due(&w->health, c, 10), 300);
        w->config.health.interval_ms = 0;
        assert_int_equal(health_due(&w->health, c, 10), -1);
}

static void test_the_last_five_are_kept(void **state)
{
        struct world *w = *state;
        char text[16];

        begin(w);
        for (int i = 0; i < 7; i++) {
                snprintf(text, sizeof text, "check %d", i);
                ended(w, i, 10, text);
        }
        assert_false(is_logged(w, "check 1"));
        for (int i = 2; i < 7; i++) {
                snprintf(text, sizeof text, "check %d", i);
                assert_true(is_logged(w, text));
        }
        begin(w); /* of another life there is none */
        assert_int_equal(faccessat(w->run, HEALTH_LOG, F_OK, 0), -1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_failures_in_a_row, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_bytes_that_are_no_text, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_too_late_is_bad, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_the_start_period_forgives, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_the_start_period_ends_with_success, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_when_the_next_is_due, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_the_last_five_are_kept, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
