/* berth-systemd: speaks D-Bus to systemd for berth-oci --systemd-cgroup.
 *
 * berth-oci is static and can't load libsystemd; this program is dynamic and runs only for that
 * driver. It reads one request from stdin, to its end, and exits:
 *
 *   verb start|set|stop|attach
 *   bus system|user
 *   timeout MS                       of the whole request
 *   unit NAME
 *   property[?] NAME SIGNATURE WORD...    start, set; with "?" systemd may not know it
 *   pid N                            attach
 *   subgroup PATH                    attach
 *
 * Words are separated by blanks; within one, %XX is a byte, and "%" alone is the empty word.
 * Signatures are those of D-Bus: a basic type (one word), an array of one (a word each; "ay" is
 * one word of hex digits), or "a(ss)" (two words each).
 *
 * start prints "ControlGroup=PATH". A failure is one line on stderr and perhaps a second one,
 * "hint: ..."; the exit status tells its kind: 1 refused by systemd, 2 a bad request, 3 no bus,
 * 4 timeout, 5 no such unit, 6 unit exists, 7 not allowed, 8 a property or its value is not
 * accepted. */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-bus.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#define SERVICE "org.freedesktop.systemd1"
#define OBJECT "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"
#define REQUEST_MAX (4u << 20)

enum status {
        DONE,
        REFUSED,
        BAD_REQUEST,
        NO_BUS,
        TIMEOUT,
        NO_UNIT,
        UNIT_EXISTS,
        DENIED,
        BAD_PROPERTY,
};

struct property {
        char *name, *signature, *words; /* words: the rest of the line */
        bool optional, dropped;
};

struct request {
        char *verb, *bus, *unit, *subgroup;
        uint64_t timeout_ms;
        uint32_t pid;
        struct property *properties;
        size_t n_properties;
};

struct ctx {
        struct request r;
        sd_bus *bus;
        uint64_t deadline; /* us of CLOCK_MONOTONIC */
        char *job;         /* object path that is waited for */
        char result[32];   /* of that job: "done", "failed", ...; empty until it ends */
};

static enum status fail(enum status status, const char *hint, const char *fmt, ...)
        PRINTF_LIKE(3, 4);
static enum status fail(enum status status, const char *hint, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        vfprintf(stderr, fmt, ap);
        va_end(ap);
        fputc('\n', stderr);
        if (hint)
                fprintf(stderr, "hint: %s\n", hint);
        return status;
}

/* ---- the request ---- */

/* Takes the next word off *at and decodes it in place; NULL at the end of the line. */
static char *next_word(char **at)
{
        char *word = *at + strspn(*at, " "), *end = word + strcspn(word, " "), *out = word;

        if (!*word)
                return NULL;
        *at = *end ? end + 1 : end;
        *end = 0;
        for (char *in = word; *in; in++) {
                char hex[3] = { in[0] == '%' && in[1] ? in[1] : 0, 0, 0 };

                if (hex[0])
                        hex[1] = in[2];
                if (*in != '%') {
                        *out++ = *in;
                } else if (hex[0] && hex[1]) {
                        *out++ = (char)strtoul(hex, NULL, 16);
                        in += 2;
                }
        }
        *out = 0;
        return word;
}

static int property_add(struct request *r, char *rest, bool optional)
{
        struct property p = { .optional = optional };

        p.name = next_word(&rest);
        p.signature = next_word(&rest);
        p.words = rest;
        if (!p.name || !p.signature)
                return -EINVAL;
        if (r->n_properties % 32 == 0)
                r->properties =
                        mem_realloc(r->properties, (r->n_properties + 32) * sizeof *r->properties);
        r->properties[r->n_properties++] = p;
        return 0;
}

static int line_parse(struct request *r, char *line)
{
        struct {
                const char *key;
                char **value;
        } texts[] = { { "verb", &r->verb },
                      { "bus", &r->bus },
                      { "unit", &r->unit },
                      { "subgroup", &r->subgroup } };
        char *key = next_word(&line), *number;

        if (!key)
                return 0;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                if (str_eq(key, texts[i].key)) {
                        *texts[i].value = next_word(&line);
                        return *texts[i].value ? 0 : -EINVAL;
                }
        if (str_eq(key, "property") || str_eq(key, "property?"))
                return property_add(r, line, str_ends(key, "?"));
        number = next_word(&line);
        if (number && str_eq(key, "timeout"))
                return str_to_u64(number, &r->timeout_ms);
        return number && str_eq(key, "pid") ? str_to_u32(number, &r->pid) : -EINVAL;
}

/* text becomes the request's storage. */
static enum status request_parse(struct request *r, char *text)
{
        *r = (struct request){ .timeout_ms = 30000, .subgroup = (char *)"" };
        for (char *line = text, *end; *line; line = end) {
                end = line + strcspn(line, "\n");
                if (*end)
                        *end++ = 0;
                if (line_parse(r, line) < 0)
                        return fail(BAD_REQUEST, NULL, "cannot understand the request's '%s'",
                                    line);
        }
        if (!r->verb || !r->unit || !r->bus)
                return fail(BAD_REQUEST, NULL, "the request lacks its verb, bus or unit");
        return DONE;
}

/* ---- time ---- */

static uint64_t now_us(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t left_us(const struct ctx *c)
{
        uint64_t now = now_us();

        return now < c->deadline ? c->deadline - now : 1; /* 0 would mean sd-bus's default */
}

/* ---- connecting ---- */

/* Root reaches systemd without a bus daemon through its private socket, as systemctl does. */
static int private_open(sd_bus **ret)
{
        sd_bus *bus = NULL;
        int r = sd_bus_new(&bus);

        if (r >= 0)
                r = sd_bus_set_address(bus, "unix:path=/run/systemd/private");
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r < 0)
                sd_bus_unref(bus);
        else
                *ret = bus;
        return r;
}

static enum status connect_system(struct ctx *c)
{
        int r;

        if (access("/run/systemd/system", F_OK) < 0)
                return fail(NO_BUS, "Leave out --systemd-cgroup on such a host.",
                            "this host was not booted with systemd");
        r = sd_bus_open_system(&c->bus);
        if (r < 0 && private_open(&c->bus) < 0)
                return fail(NO_BUS, "See `systemctl status dbus`.",
                            "cannot connect to the system bus: %s", strerror(-r));
        return DONE;
}

static enum status connect_user(struct ctx *c)
{
        char dir[64];
        int r;

        if (!getenv("XDG_RUNTIME_DIR") && !getenv("DBUS_SESSION_BUS_ADDRESS")) {
                snprintf(dir, sizeof dir, "/run/user/%u", (unsigned)getuid());
                setenv("XDG_RUNTIME_DIR", dir, 1);
        }
        r = sd_bus_open_user(&c->bus);
        if (r >= 0)
                return DONE;
        return fail(NO_BUS,
                    "Log in with a session of your own (not su), or `loginctl enable-linger`, and "
                    "set XDG_RUNTIME_DIR; or leave out --systemd-cgroup.",
                    "cannot connect to the user's bus: %s", strerror(-r));
}

/* ---- errors of systemd ---- */

static enum status bus_fail(const sd_bus_error *error, int r)
{
        static const struct {
                const char *name;
                enum status status;
                const char *hint;
        } known[] = {
                { SERVICE ".NoSuchUnit", NO_UNIT, NULL },
                { SERVICE ".UnitExists", UNIT_EXISTS,
                  "Another container uses the name: see `systemctl status` of it." },
                { SD_BUS_ERROR_ACCESS_DENIED, DENIED,
                  "Run as root, or use the user's own systemd (rootless)." },
                { SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, DENIED,
                  "Run as root, or use the user's own systemd (rootless)." },
                { SD_BUS_ERROR_PROPERTY_READ_ONLY, BAD_PROPERTY,
                  "This version of systemd does not know it: see org.freedesktop.systemd1(5)." },
                { SD_BUS_ERROR_INVALID_ARGS, BAD_PROPERTY, "See org.freedesktop.systemd1(5)." },
                { SD_BUS_ERROR_SERVICE_UNKNOWN, NO_BUS, "systemd does not answer on this bus." },
                { SD_BUS_ERROR_NO_REPLY, TIMEOUT,
                  "See `systemctl list-jobs` and `systemctl status dbus`." },
        };

        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (sd_bus_error_has_name(error, known[i].name))
                        return fail(known[i].status, known[i].hint, "%s", error->message);
        if (r == -ETIMEDOUT)
                return fail(TIMEOUT, "See `systemctl list-jobs` and `systemctl status dbus`.",
                            "systemd did not answer in time");
        return fail(REFUSED, NULL, "%s", error->message ? error->message : strerror(-r));
}

/* ---- messages ---- */

/* One word as a value of a basic type. */
static int append_basic(sd_bus_message *m, char type, const char *word)
{
        uint64_t u = 0;
        int64_t i = 0;
        double d;

        if (strchr("sog", type))
                return sd_bus_message_append_basic(m, type, word);
        if (type == 'd') {
                d = strtod(word, NULL);
                return sd_bus_message_append_basic(m, type, &d);
        }
        if (strchr("nix", type) ? str_to_i64(word, &i) : str_to_u64(word, &u))
                return -EINVAL;
        switch (type) {
        case 'b':
        case 'i':
                return sd_bus_message_append_basic(
                        m, type, &(int32_t){ (int32_t)(type == 'b' ? (int64_t)u : i) });
        case 'n':
                return sd_bus_message_append_basic(m, type, &(int16_t){ (int16_t)i });
        case 'x':
                return sd_bus_message_append_basic(m, type, &i);
        case 'y':
                return sd_bus_message_append_basic(m, type, &(uint8_t){ (uint8_t)u });
        case 'q':
                return sd_bus_message_append_basic(m, type, &(uint16_t){ (uint16_t)u });
        case 'u':
                return sd_bus_message_append_basic(m, type, &(uint32_t){ (uint32_t)u });
        case 't':
                return sd_bus_message_append_basic(m, type, &u);
        default:
                return -EINVAL;
        }
}

/* "ay" as one word of hex digits. */
static int append_bytes(sd_bus_message *m, const char *hex)
{
        AUTO_FREE uint8_t *bytes = mem_alloc(strlen(hex) / 2 + 1);
        size_t n = 0;

        for (; hex[0] && hex[1]; hex += 2)
                bytes[n++] = (uint8_t)strtoul((char[]){ hex[0], hex[1], 0 }, NULL, 16);
        return sd_bus_message_append_array(m, 'y', bytes, n);
}

static int append_array(sd_bus_message *m, const char *element, char *words)
{
        int r = sd_bus_message_open_container(m, 'a', element);
        char *word;

        while (r >= 0 && (word = next_word(&words))) {
                if (*element != '(') {
                        r = append_basic(m, *element, word);
                } else {
                        char *second = next_word(&words);

                        r = second ? sd_bus_message_append(m, "(ss)", word, second) : -EINVAL;
                }
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_value(sd_bus_message *m, const char *signature, const char *words)
{
        AUTO_FREE char *copy = mem_strdup(words); /* decoded in place; a retry reads them again */
        char *at = copy, *word;

        if (str_eq(signature, "ay")) {
                word = next_word(&at);
                return append_bytes(m, word ? word : "");
        }
        if (*signature == 'a')
                return str_eq(signature + 1, "(ss)") || strlen(signature) == 2
                               ? append_array(m, signature + 1, at)
                               : -EINVAL;
        word = next_word(&at);
        return word && strlen(signature) == 1 ? append_basic(m, *signature, word) : -EINVAL;
}

static int append_properties(sd_bus_message *m, const struct request *r)
{
        int error = sd_bus_message_open_container(m, 'a', "(sv)");

        for (size_t i = 0; i < r->n_properties && error >= 0; i++) {
                const struct property *p = &r->properties[i];

                if (p->dropped)
                        continue;
                error = sd_bus_message_open_container(m, 'r', "sv");
                if (error >= 0)
                        error = sd_bus_message_append_basic(m, 's', p->name);
                if (error >= 0)
                        error = sd_bus_message_open_container(m, 'v', p->signature);
                if (error >= 0)
                        error = append_value(m, p->signature, p->words);
                if (error >= 0)
                        error = sd_bus_message_close_container(m);
                if (error >= 0)
                        error = sd_bus_message_close_container(m);
                if (error < 0)
                        fprintf(stderr, "property %s: not a value of type '%s'\n", p->name,
                                p->signature);
        }
        return error < 0 ? error : sd_bus_message_close_container(m);
}

/* ---- jobs ---- */

/* JobRemoved(u id, o job, s unit, s result) */
static int on_job_removed(sd_bus_message *m, void *arg, sd_bus_error *error)
{
        struct ctx *c = arg;
        const char *job, *unit, *result;
        uint32_t id;

        if (sd_bus_message_read(m, "uoss", &id, &job, &unit, &result) >= 0 && c->job &&
            str_eq(job, c->job))
                snprintf(c->result, sizeof c->result, "%s", result);
        return 0;
}

/* Before the job is asked for, so that its end can't be missed. */
static enum status jobs_watch(struct ctx *c)
{
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = sd_bus_match_signal(c->bus, NULL, NULL, OBJECT, MANAGER, "JobRemoved",
                                    on_job_removed, c);

        if (r >= 0)
                r = sd_bus_call_method(c->bus, SERVICE, OBJECT, MANAGER, "Subscribe", &error, NULL,
                                       NULL);
        return r < 0 ? bus_fail(&error, r) : DONE;
}

static enum status job_wait(struct ctx *c, sd_bus_message *reply)
{
        const char *job;
        int r = sd_bus_message_read(reply, "o", &job);

        if (r >= 0)
                c->job = mem_strdup(job);
        while (r >= 0 && !c->result[0]) {
                r = sd_bus_process(c->bus, NULL);
                if (r != 0 || c->result[0])
                        continue;
                if (now_us() >= c->deadline)
                        return fail(TIMEOUT, "See `systemctl list-jobs`.",
                                    "the job of unit '%s' did not end in time", c->r.unit);
                r = sd_bus_wait(c->bus, left_us(c));
        }
        if (r < 0)
                return fail(NO_BUS, NULL, "the bus went away: %s", strerror(-r));
        if (str_eq(c->result, "done"))
                return DONE;
        return fail(REFUSED, "See `systemctl status` of the unit and the journal.",
                    "the job of unit '%s' ended as '%s'", c->r.unit, c->result);
}

static void reset_failed(struct ctx *c)
{
        sd_bus_error error = SD_BUS_ERROR_NULL;

        sd_bus_call_method(c->bus, SERVICE, OBJECT, MANAGER, "ResetFailedUnit", &error, NULL, "s",
                           c->r.unit);
        sd_bus_error_free(&error);
}

/* ---- start ---- */

static int start_call(struct ctx *c, sd_bus_error *error, sd_bus_message **ret_reply)
{
        sd_bus_message *m = NULL;
        int r = sd_bus_message_new_method_call(c->bus, &m, SERVICE, OBJECT, MANAGER,
                                               "StartTransientUnit");

        if (r >= 0)
                r = sd_bus_message_append(m, "ss", c->r.unit, "replace");
        if (r >= 0)
                r = append_properties(m, &c->r);
        if (r >= 0)
                r = sd_bus_message_append(m, "a(sa(sv))", 0);
        if (r >= 0)
                r = sd_bus_call(c->bus, m, left_us(c), error, ret_reply);
        sd_bus_message_unref(m);
        return r;
}

/* "Cannot set property X, or unknown property.": drops X if we can do without. */
static bool drop_unknown(struct request *r, const sd_bus_error *error)
{
        const char *at = error->message ? strstr(error->message, "property ") : NULL;
        size_t n;

        if (!at)
                return false;
        at += strlen("property ");
        n = strcspn(at, " ,.:");
        for (size_t i = 0; i < r->n_properties; i++) {
                struct property *p = &r->properties[i];

                if (p->optional && !p->dropped && strlen(p->name) == n &&
                    strncmp(p->name, at, n) == 0) {
                        p->dropped = true;
                        return true;
                }
        }
        return false;
}

/* The unit's cgroup; its interface is that of its type. */
static enum status print_group(struct ctx *c)
{
        const char *interface = str_ends(c->r.unit, ".slice") ? SERVICE ".Slice" : SERVICE ".Scope";
        sd_bus_error error = SD_BUS_ERROR_NULL;
        char *path = NULL, *group = NULL;
        int r = sd_bus_path_encode(OBJECT "/unit", c->r.unit, &path);

        if (r >= 0)
                r = sd_bus_get_property_string(c->bus, SERVICE, path, interface, "ControlGroup",
                                               &error, &group);
        free(path);
        if (r < 0)
                return bus_fail(&error, r);
        if (!*group) {
                free(group);
                return fail(REFUSED, "Its first process may have ended already.",
                            "unit '%s' has no cgroup", c->r.unit);
        }
        printf("ControlGroup=%s\n", group);
        free(group);
        return DONE;
}

static enum status do_start(struct ctx *c)
{
        enum status status = jobs_watch(c);
        bool reset = false;

        while (status == DONE) {
                sd_bus_error error = SD_BUS_ERROR_NULL;
                sd_bus_message *reply = NULL;
                int r = start_call(c, &error, &reply);

                if (r >= 0) {
                        status = job_wait(c, reply);
                        sd_bus_message_unref(reply);
                        if (status != DONE)
                                reset_failed(c);
                        return status == DONE ? print_group(c) : status;
                }
                if (sd_bus_error_has_name(&error, SERVICE ".UnitExists") && !reset) {
                        reset_failed(c); /* the remains of a container that failed */
                        reset = true;
                } else if (!drop_unknown(&c->r, &error)) {
                        status = bus_fail(&error, r);
                }
                sd_bus_error_free(&error);
        }
        return status;
}

/* ---- the others ---- */

static enum status do_set(struct ctx *c)
{
        for (;;) {
                sd_bus_error error = SD_BUS_ERROR_NULL;
                sd_bus_message *m = NULL;
                enum status status = DONE;
                bool again;
                int r = sd_bus_message_new_method_call(c->bus, &m, SERVICE, OBJECT, MANAGER,
                                                       "SetUnitProperties");

                if (r >= 0)
                        r = sd_bus_message_append(m, "sb", c->r.unit, 1);
                if (r >= 0)
                        r = append_properties(m, &c->r);
                if (r >= 0)
                        r = sd_bus_call(c->bus, m, left_us(c), &error, NULL);
                sd_bus_message_unref(m);
                again = r < 0 && drop_unknown(&c->r, &error);
                if (r < 0 && !again)
                        status = bus_fail(&error, r);
                sd_bus_error_free(&error);
                if (!again)
                        return status;
        }
}

static enum status do_stop(struct ctx *c)
{
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;
        enum status status = jobs_watch(c);
        int r;

        if (status != DONE)
                return status;
        r = sd_bus_call_method(c->bus, SERVICE, OBJECT, MANAGER, "StopUnit", &error, &reply, "ss",
                               c->r.unit, "replace");
        if (sd_bus_error_has_name(&error, SERVICE ".NoSuchUnit"))
                return DONE;
        if (r < 0)
                return bus_fail(&error, r);
        status = job_wait(c, reply);
        sd_bus_message_unref(reply);
        reset_failed(c);
        return status;
}

static enum status do_attach(struct ctx *c)
{
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = sd_bus_call_method(c->bus, SERVICE, OBJECT, MANAGER, "AttachProcessesToUnit",
                                   &error, NULL, "ssau", c->r.unit, c->r.subgroup, 1, c->r.pid);

        return r < 0 ? bus_fail(&error, r) : DONE;
}

static enum status serve(struct ctx *c)
{
        static const struct {
                const char *name;
                enum status (*run)(struct ctx *c);
        } verbs[] = {
                { "start", do_start },
                { "set", do_set },
                { "stop", do_stop },
                { "attach", do_attach },
        };
        enum status status;

        c->deadline = now_us() + c->r.timeout_ms * 1000;
        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
                if (!str_eq(verbs[i].name, c->r.verb))
                        continue;
                status = str_eq(c->r.bus, "user") ? connect_user(c) : connect_system(c);
                if (status != DONE)
                        return status;
                sd_bus_set_method_call_timeout(c->bus, c->r.timeout_ms * 1000);
                return verbs[i].run(c);
        }
        return fail(BAD_REQUEST, NULL, "no such verb: '%s'", c->r.verb);
}

static int read_all(struct buf *out)
{
        char part[4096];
        ssize_t n;

        while ((n = read(0, part, sizeof part)) != 0) {
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 || out->len + (size_t)n > REQUEST_MAX)
                        return n < 0 ? -errno : -EFBIG;
                buf_add(out, part, (size_t)n);
        }
        return 0;
}

int main(int argc, char **argv)
{
        AUTO_BUF text = {};
        struct ctx c = {};
        enum status status;

        if (argc > 1 || isatty(0))
                return (int)fail(BAD_REQUEST, NULL,
                                 "berth-systemd is run by berth-oci, not by hand");
        if (read_all(&text) < 0 || text.len == 0)
                return (int)fail(BAD_REQUEST, NULL, "cannot read the request");
        status = request_parse(&c.r, text.s);
        if (status == DONE)
                status = serve(&c);
        sd_bus_flush_close_unref(c.bus);
        free(c.job);
        free(c.r.properties);
        return (int)status;
}
