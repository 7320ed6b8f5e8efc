#include "monitor/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "codec/json.h"

const char *const restart_policy_names[RESTART_POLICY_MAX + 1] = {
        [RESTART_NO] = "no",
        [RESTART_ON_FAILURE] = "on-failure",
        [RESTART_ALWAYS] = "always",
        [RESTART_UNLESS_STOPPED] = "unless-stopped",
};
const char *const health_action_names[HEALTH_ACTION_MAX + 1] = {
        [HEALTH_NONE] = "none",
        [HEALTH_KILL] = "kill",
        [HEALTH_RESTART] = "restart",
        [HEALTH_STOP] = "stop",
};

const char *const notify_mode_names[NOTIFY_MODE_MAX + 1] = {
        [NOTIFY_UNSAID] = "unsaid",   [NOTIFY_CONTAINER] = "container", [NOTIFY_CONMON] = "conmon",
        [NOTIFY_HEALTHY] = "healthy", [NOTIFY_IGNORE] = "ignore",
};

bool notify_is_own(enum notify_mode mode)
{
        return mode == NOTIFY_UNSAID || mode == NOTIFY_CONTAINER;
}

enum kind { STRING, BOOL, NUMBER, CHOICE, LIST };
/* One row a member: writing and reading can't drift apart. */
struct field {
        const char *name;
        enum kind kind;
        size_t offset;
        const char *const *names;
        bool required;
};
#define AT(f) offsetof(struct monitor_config, f)
static const struct field fields[] = {
        { "id", STRING, AT(id), .required = true },
        { "name", STRING, AT(name) },
        { "bundle", STRING, AT(bundle), .required = true },
        { "ociRoot", STRING, AT(oci_root), .required = true },
        { "tty", BOOL, AT(tty) },
        { "openStdin", BOOL, AT(open_stdin) },
        { "logDriver", CHOICE, AT(log_driver), log_driver_names },
        { "logTag", STRING, AT(log_tag) },
        { "logMaxSize", NUMBER, AT(log_max_size) },
        { "logMaxFiles", NUMBER, AT(log_max_files) },
        { "stopSignal", NUMBER, AT(stop_signal) },
        { "stopTimeoutMs", NUMBER, AT(stop_timeout_ms) },
        { "startTimeoutMs", NUMBER, AT(start_timeout_ms) },
        { "pidFile", STRING, AT(pid_file) },
        { "timeoutMs", NUMBER, AT(timeout_ms) },
        { "restart", CHOICE, AT(restart), restart_policy_names },
        { "restartMax", NUMBER, AT(restart_max) },
        { "healthTest", LIST, AT(health.test) },
        { "healthIntervalMs", NUMBER, AT(health.interval_ms) },
        { "healthTimeoutMs", NUMBER, AT(health.timeout_ms) },
        { "healthStartPeriodMs", NUMBER, AT(health.start_period_ms) },
        { "healthStartIntervalMs", NUMBER, AT(health.start_interval_ms) },
        { "healthRetries", NUMBER, AT(health.retries) },
        { "healthOnFailure", CHOICE, AT(health.on_failure), health_action_names },
        { "sdnotify", CHOICE, AT(notify), notify_mode_names },
        { "autoRemove", BOOL, AT(auto_remove) },
        { "onExit", LIST, AT(on_exit) },
};

void monitor_config_write(const struct monitor_config *c, struct buf *out)
{
        struct json_writer w = { .out = out, .indent = 2 };

        json_open(&w, NULL, '{');
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
                const struct field *f = &fields[i];
                const char *at = (const char *)c + f->offset;

                switch (f->kind) {
                case STRING:
                        json_put_str(&w, f->name, *(const char *const *)at);
                        break;
                case BOOL:
                        json_put_bool(&w, f->name, *(const bool *)at);
                        break;
                case NUMBER:
                        json_put_i64(&w, f->name, *(const int64_t *)at);
                        break;
                case CHOICE:
                        json_put_str(&w, f->name, f->names[*(const int *)at]);
                        break;
                case LIST:
                        json_put_strings(&w, f->name, (const struct strings *)at);
                }
        }
        json_close(&w, '}');
        buf_putc(out, '\n');
}

static bool read_list(struct arena *a, const struct json *j, struct strings *ret)
{
        if (j->type != JSON_ARRAY)
                return false;
        ret->v = arena_array(a, const char *, j->n + 1);
        for (uint32_t i = 0; i < j->n; i++) {
                ret->v[i] = json_str(&j->items[i], NULL);
                if (!ret->v[i])
                        return false;
        }
        ret->n = j->n;
        return true;
}

static bool read_choice(const struct json *j, const char *const *names, int *ret)
{
        const char *s = json_str(j, NULL);

        for (int i = 0; s && names[i]; i++)
                if (str_eq(names[i], s)) {
                        *ret = i;
                        return true;
                }
        return false;
}

static bool read_field(struct arena *a, const struct field *f, const struct json *j, char *at)
{
        switch (f->kind) {
        case STRING:
                *(const char **)at = json_str(j, NULL);
                return j->type == JSON_STRING || (j->type == JSON_NULL && !f->required);
        case BOOL:
                return json_to_bool(j, (bool *)at);
        case NUMBER:
                return json_to_i64(j, (int64_t *)at);
        case CHOICE:
                return read_choice(j, f->names, (int *)at);
        case LIST:
                return read_list(a, j, (struct strings *)at);
        }
        return false;
}

int monitor_config_read(struct arena *a, const char *text, size_t n, struct monitor_config *ret,
                        struct err *e)
{
        struct monitor_config c = { 0 };
        struct json_error problem;
        struct json j;

        if (json_parse(a, text, n, NULL, &j, &problem) < 0)
                return err_set(e, ERR_INVALID, "monitor.json, line %u: %s", problem.line,
                               problem.what);
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
                const struct json *member = json_get(&j, fields[i].name);

                if (!member && !fields[i].required)
                        continue;
                if (!member || !read_field(a, &fields[i], member, (char *)&c + fields[i].offset))
                        return err_set(e, ERR_INVALID, "monitor.json: %s: %s", fields[i].name,
                                       member ? "wrong type or value" : "it is missing");
        }
        *ret = c;
        return 0;
}

#define ENV_MAX (16u << 20)

int monitor_env_read(struct arena *a, const char *bundle, struct strings *ret, struct err *e)
{
        AUTO_FREE char *text = NULL;
        size_t len = 0, count = 0;
        int r = fd_read_regular_at(AT_FDCWD,
                                   arena_printf(a, "%s/" MONITOR_SECRETS "/" MONITOR_ENV, bundle),
                                   ENV_MAX, &text, &len);

        *ret = (struct strings){ 0 };
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return err_sys(e, r, "cannot read \"%s/" MONITOR_SECRETS "/" MONITOR_ENV "\"",
                               bundle);
        for (size_t i = 0; i < len; i++)
                count += text[i] == 0;
        ret->v = arena_array(a, const char *, count + 1);
        for (const char *at = text; ret->n < count; at += strlen(at) + 1)
                ret->v[ret->n++] = arena_strdup(a, at);
        explicit_bzero(text, len);
        return 0;
}
