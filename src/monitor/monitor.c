#include "monitor/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "kernel/proc.h"
#include "kernel/sys.h"
#include "kernel/tree.h"
#include "monitor/begin.h"
#include "monitor/evidence.h"
#include "monitor/health.h"
#include "monitor/journal.h"
#include "monitor/life.h"
#include "monitor/log-journald.h"
#include "monitor/state.h"
#include "oci/runtime.h"
#include "oci/sd-notify.h"

#define NEVER INT64_MAX
#define RESTART_DELAY_MS 100 /* doubled at each quick death, as docker does */
#define RESTART_DELAY_MAX_MS 60000
#define HELD_MS 10000              /* so long after SIGKILL something else holds it */
#define RESTART_GOOD_LIFE_MS 10000 /* a life as long as this starts the count anew */

enum phase { PHASE_RUNNING, PHASE_DRAINING, PHASE_WAITING, PHASE_DONE };

struct monitor {
        const char *program;
        struct wire_order order;           /* which descriptors it was given */
        int mounts[WIRE_MOUNTS_MAX];       /* until they are attached */
        int preserved[WIRE_PRESERVED_MAX]; /* until the first life has begun */
        struct arena arena;                /* of the configuration */
        struct monitor_config config;
        int home; /* the mount namespace that we came from */
        int signals, listener;
        int state_held; /* state.json, locked */
        enum phase phase;
        struct monitor_state state;
        struct streams streams;
        struct life life;
        struct evidence evidence;
        struct health health;
        int64_t born_ms;  /* this life */
        int64_t kill_at;  /* SIGKILL; NEVER */
        int64_t held_at;  /* it has outlived SIGKILL for long: who asked is told; NEVER */
        int64_t start_at; /* the next life; NEVER */
        int64_t sample_at;
        unsigned quick_deaths;
        bool ready;   /* this life, as config.notify says */
        bool stop;    /* asked for: no restart */
        bool restart; /* asked for: start again at once */
        int attended; /* a connection to who started it and was told of its end: who does what is
                         to be done then; or -1 */
        int wait_status;
};

static void save_state(struct monitor *m)
{
        m->state.log_lost = m->streams.log.lost;
        monitor_state_save(MONITOR_FD_RUN, &m->state, &m->state_held);
}

static void tell(const struct monitor *m, const char *action, const struct key_value *attributes,
                 size_t n)
{
        struct event event = { .type = "container",
                               .action = action,
                               .id = m->config.id,
                               .name = m->config.name,
                               .attributes = { (struct key_value *)attributes, n } };

        journal_append(MONITOR_FD_JOURNAL, &event);
}

/* ---- who asked for what ---- */

static void asked_by(struct monitor *m, pid_t pid, uid_t uid, int sig, const char *why)
{
        struct asked *a = &m->evidence.asked;
        char path[32];

        *a = (struct asked){ .time_ns = clock_now_ns(), .signal = sig, .pid = pid, .uid = uid };
        snprintf(a->why, sizeof a->why, "%s", why);
        snprintf(path, sizeof path, "/proc/%d/comm", pid);
        if (pid > 0 && fd_read_text_at(AT_FDCWD, path, a->comm, sizeof a->comm) > 0)
                a->comm[strcspn(a->comm, "\n")] = 0;
}

static int send_signal(struct monitor *m, int sig)
{
        struct cgroup_fail f;

        if (m->life.pidfd < 0)
                return -ESRCH;
        if (sys_pidfd_send_signal(m->life.pidfd, sig) < 0)
                return -errno;
        /* v1's freezer holds back even SIGKILL. */
        if (sig == SIGKILL && cgroup_is_frozen(&m->life.cgroup) == 1)
                cgroup_thaw(&m->life.cgroup, 1000, &f);
        return 0;
}

/* sig 0 and timeout -1: the container's own. */
static void begin_stop(struct monitor *m, int sig, int64_t timeout_ms)
{
        if (m->phase == PHASE_WAITING) {
                m->start_at = m->restart ? clock_ms() : NEVER;
                return;
        }
        if (m->phase != PHASE_RUNNING)
                return;
        m->state.status = MONITOR_STOPPING;
        save_state(m);
        send_signal(m, sig ? sig : (int)m->config.stop_signal);
        m->kill_at = clock_ms() + (timeout_ms < 0 ? m->config.stop_timeout_ms : timeout_ms);
}

/* ---- readiness ---- */

static void become_ready(struct monitor *m)
{
        m->ready = true;
        streams_reply_all(&m->streams, WIRE_READY, &(struct wire_reply){ 0 });
}

/* Whom nothing tells that it is ready, is ready when it runs. */
static bool is_ready_at_once(const struct monitor *m)
{
        switch (m->config.notify) {
        case NOTIFY_UNSAID:
        case NOTIFY_CONTAINER:
                return m->life.notify < 0;
        case NOTIFY_HEALTHY:
                return m->config.health.test.n == 0;
        default:
                return true;
        }
}

/* All that the container says is taken, for its socket must not become full. */
static void take_notices(struct monitor *m)
{
        char text[4096 + 1];
        AUTO_BUF rest = { 0 };
        ssize_t n;

        while ((n = recv(m->life.notify, text, sizeof text - 1, MSG_DONTWAIT)) >= 0) {
                text[n] = 0;
                if (!m->ready && sd_notify_read(text, false, &rest))
                        become_ready(m);
        }
}

/* ---- lives ---- */

static void life_began(struct monitor *m)
{
        m->phase = PHASE_RUNNING;
        m->born_ms = clock_ms();
        m->start_at = NEVER;
        m->sample_at = m->evidence.kept ? m->born_ms + EVIDENCE_SAMPLE_MS : NEVER;
        m->held_at = NEVER;
        m->kill_at = m->config.timeout_ms > 0 ? m->born_ms + m->config.timeout_ms : NEVER;
        m->evidence.pid = m->life.pid;
        m->evidence.restarts = m->state.restarts;
        evidence_begin(&m->evidence);
        health_begin(&m->health, &m->config.health, MONITOR_FD_RUN, m->born_ms);
        m->state.status = MONITOR_RUNNING;
        m->state.pid = m->life.pid;
        m->state.pid_start = m->life.pid_start;
        m->state.started_ns = m->evidence.started_ns;
        m->state.finished_ns = 0;
        m->state.exit_code = 0;
        m->state.oom_killed = false;
        m->state.error[0] = 0;
        m->state.health = m->config.health.test.n ? HEALTH_BEGINNING : HEALTH_OFF;
        m->state.health_failures = 0;
        m->ready = is_ready_at_once(m);
        if (m->ready)
                become_ready(m);
        save_state(m); /* M2 */
        evidence_place(&m->evidence, MONITOR_FD_BUNDLE);
        tell(m, "start", NULL, 0);
}

static void failed_to_start(struct monitor *m, const struct err *e)
{
        snprintf(m->state.error, sizeof m->state.error, "%.255s", e->chain);
        m->state.exit_code = runtime_failure_status(e);
        m->state.pid = 0;
        m->state.started_ns = m->evidence.started_ns; /* of the life before, if there was one */
        m->state.status = MONITOR_EXITED;
        save_state(m);
}

static bool wants_restart(const struct monitor *m, int exit_code)
{
        const struct monitor_config *c = &m->config;

        if (m->restart)
                return true;
        if (m->stop)
                return false;
        switch (c->restart) {
        case RESTART_ALWAYS:
        case RESTART_UNLESS_STOPPED:
                return true;
        case RESTART_ON_FAILURE:
                return exit_code != 0 &&
                       (c->restart_max == 0 || m->state.restarts < c->restart_max);
        default:
                return false;
        }
}

static void plan_next(struct monitor *m, int exit_code)
{
        int64_t delay = RESTART_DELAY_MS;

        if (!wants_restart(m, exit_code)) {
                m->phase = PHASE_DONE;
                return;
        }
        if (clock_ms() - m->born_ms >= RESTART_GOOD_LIFE_MS)
                m->quick_deaths = 0;
        for (unsigned i = 0; i < m->quick_deaths && delay < RESTART_DELAY_MAX_MS; i++)
                delay *= 2;
        m->quick_deaths++;
        m->phase = PHASE_WAITING;
        m->start_at =
                m->restart ? clock_ms() : clock_ms() + MIN(delay, (int64_t)RESTART_DELAY_MAX_MS);
        m->state.status = MONITOR_RESTARTING;
        save_state(m);
}

static void start_again(struct monitor *m)
{
        struct wire_reply reply = { 0 };
        struct err e = { 0 };

        if (!m->restart)
                m->state.restarts++;
        m->state.started_ns = clock_now_ns(); /* no exit record is of this life */
        save_state(m);
        if (life_start(&m->life, &m->config, &(struct life_fds){ 0 }, &m->streams, m->program,
                       &e) == 0) {
                life_began(m);
        } else {
                failed_to_start(m, &e);
                reply.status = -ECANCELED;
                m->restart = false;
                plan_next(m, m->state.exit_code);
        }
        m->restart = false;
        streams_reply_all(&m->streams, WIRE_RESTART, &reply);
}

/* ---- the end of a life ---- */

static void see_exit(struct monitor *m)
{
        siginfo_t info = { 0 };

        /* Seen, not yet reaped: its pid is still its own (M1). */
        if (waitid(P_PID, (id_t)m->life.pid, &info, WEXITED | WNOWAIT) < 0)
                return;
        evidence_end(&m->evidence, &m->life.cgroup, 0);
        if (waitpid(m->life.pid, &m->wait_status, 0) != m->life.pid)
                m->wait_status = 0;
        m->evidence.wait_status = m->wait_status;
        m->phase = PHASE_DRAINING;
        streams_ending(&m->streams);
        m->kill_at = NEVER;
        health_stop(&m->health);
}

static void announce_exit(struct monitor *m, int exit_code)
{
        struct wire_reply reply = { .exit_code = exit_code, .oom_killed = m->state.oom_killed };
        char code[16];
        const struct key_value attributes[] = {
                { "exitCode", code },
                { "oomKilled", m->state.oom_killed ? "true" : "false" },
        };

        snprintf(code, sizeof code, "%d", exit_code);
        if (m->state.oom_killed)
                tell(m, "oom", NULL, 0);
        tell(m, "die", attributes, ARRAY_SIZE(attributes));
        streams_reply_all(&m->streams, WIRE_WAIT, &reply); /* M3 */
        streams_reply_all(&m->streams, WIRE_STOP, &reply);
        reply.status = -ECANCELED;
        if (m->phase == PHASE_DONE)
                streams_reply_all(&m->streams, WIRE_READY, &reply);
}

static void end_life(struct monitor *m)
{
        struct err e = { 0 };
        int exit_code = WIFEXITED(m->wait_status) ? WEXITSTATUS(m->wait_status)
                                                  : 128 + WTERMSIG(m->wait_status);
        int r;

        streams_close(&m->streams);
        log_file_end(&m->streams.log);
        m->state.exit_code = exit_code;
        m->state.oom_killed = evidence_oom_killed(&m->evidence);
        m->state.finished_ns = m->evidence.finished_ns;
        m->state.pid = 0;
        r = m->config.auto_remove
                    ? 0
                    : evidence_save(&m->evidence, MONITOR_FD_BUNDLE, m->life.cgroup_path); /* M1 */
        if (r < 0)
                snprintf(m->state.error, sizeof m->state.error, "cannot write the exit record: %s",
                         strerror(-r));
        if (life_end(&m->life, &m->config, &e) < 0)
                snprintf(m->state.error, sizeof m->state.error, "%.255s", e.chain);
        plan_next(m, exit_code);
        if (m->phase == PHASE_DONE) {
                m->state.status = MONITOR_EXITED;
                save_state(m); /* M2 */
        }
        announce_exit(m, exit_code);
        if (m->phase == PHASE_DONE)
                m->attended = streams_finish(&m->streams, exit_code);
}

/* ---- requests ---- */

static int read_config(struct monitor *m, struct err *e)
{
        AUTO_FREE char *text = NULL;
        char *kept;
        size_t n;
        int r = fd_read_regular_at(MONITOR_FD_BUNDLE, "monitor.json", 1 << 20, &text, &n);

        if (r < 0)
                return err_sys(e, r, "cannot read monitor.json");
        kept = arena_strndup(&m->arena, text, n);
        return monitor_config_read(&m->arena, kept, n, &m->config, e);
}

/* Who kills a container does not want it back; nor does who ends it where nobody is left to. */
static bool is_final(const struct monitor *m, int sig)
{
        if (sig == SIGKILL || sig == (int)m->config.stop_signal)
                return true;
        return m->phase == PHASE_WAITING &&
               (sig == SIGINT || sig == SIGTERM || sig == SIGHUP || sig == SIGQUIT);
}

static int pass_signal(struct monitor *m, int sig)
{
        m->stop = m->stop || is_final(m, sig);
        return m->phase == PHASE_WAITING && m->stop ? 0 : send_signal(m, sig);
}

/* What was opened or begun by the old configuration stays. */
static int reload(struct monitor *m)
{
        struct arena before = m->arena;
        struct monitor_config config = m->config;
        struct err e = { 0 };

        m->arena = (struct arena){ 0 };
        if (read_config(m, &e) < 0) {
                arena_done(&m->arena);
                m->arena = before;
                m->config = config;
                return -EINVAL;
        }
        arena_done(&before);
        m->evidence.id = m->config.id;
        m->evidence.name = m->config.name;
        if (m->phase == PHASE_WAITING && !wants_restart(m, m->state.exit_code))
                m->stop = true;
        return 0;
}

static void on_request(void *ctx, struct streams_client *c, const struct wire_request *q)
{
        struct monitor *m = ctx;
        struct wire_reply reply = { 0 };
        struct ucred who = { 0 };
        socklen_t n = sizeof who;
        int sig = q->signal ? q->signal : (int)m->config.stop_signal;

        getsockopt(c->sock, SOL_SOCKET, SO_PEERCRED, &who, &n);
        switch (q->op) {
        case WIRE_STOP:
        case WIRE_RESTART:
                m->stop = q->op == WIRE_STOP;
                m->restart = q->op == WIRE_RESTART;
                asked_by(m, who.pid, who.uid, sig, q->why);
                streams_hurry(&m->streams, clock_ms());
                begin_stop(m, q->signal, q->timeout_ms);
                return; /* answered when it has happened */
        case WIRE_WAIT:
                return;
        case WIRE_READY:
                if (!m->ready)
                        return;
                break;
        case WIRE_SIGNAL:
                asked_by(m, who.pid, who.uid, sig, q->why);
                reply.status = pass_signal(m, q->signal);
                break;
        case WIRE_RELOAD:
                reply.status = reload(m);
                break;
        case WIRE_REOPEN:
                reply.status = log_file_reopen(&m->streams.log);
                break;
        case WIRE_HEALTH:
                reply.status = !m->config.health.test.n                 ? -ENOENT
                               : cgroup_is_frozen(&m->life.cgroup) == 1 ? -EBUSY
                                                                        : 0;
                if (reply.status == 0 && m->phase == PHASE_RUNNING) {
                        m->health.next_ms = clock_ms();
                        return; /* answered with the result */
                }
                break;
        default:
                reply.status = -EOPNOTSUPP;
        }
        streams_reply(c, &reply);
}

/* ---- health ---- */

static void health_changed(struct monitor *m)
{
        const struct key_value attributes[] = { { "health_status",
                                                  health_status_names[m->state.health] } };

        save_state(m);
        tell(m, "health_status", attributes, 1);
        if (m->state.health == HEALTH_GOOD && m->config.notify == NOTIFY_HEALTHY && !m->ready)
                become_ready(m);
        if (m->state.health != HEALTH_BAD || m->config.health.on_failure == HEALTH_NONE)
                return;
        m->stop = m->config.health.on_failure == HEALTH_STOP;
        m->restart = m->config.health.on_failure == HEALTH_RESTART;
        asked_by(m, getpid(), getuid(), (int)m->config.stop_signal, "the health check failed");
        begin_stop(m, m->config.health.on_failure == HEALTH_KILL ? SIGKILL : 0, -1);
}

static void health_ended(struct monitor *m, int code)
{
        struct wire_reply reply = { .exit_code = code };
        bool changed =
                health_result(&m->health, &m->config, MONITOR_FD_RUN, code, clock_ms(), &m->state);

        streams_reply_all(&m->streams, WIRE_HEALTH, &reply);
        if (changed)
                health_changed(m);
        else
                save_state(m);
}

/* ---- the loop ---- */

/* Everything but init, which see_exit() reaps. */
static void reap_others(struct monitor *m)
{
        siginfo_t info;
        int status;

        for (;;) {
                info.si_pid = 0;
                if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0 ||
                    info.si_pid == m->life.pid)
                        return;
                /* Before a check becomes ours, its starter has told its pid. */
                if (health_started(&m->health))
                        health_ended(m, STATUS_NOT_FOUND);
                if (waitpid(info.si_pid, &status, 0) == m->health.pid && m->health.pid)
                        health_ended(m, WIFEXITED(status) ? WEXITSTATUS(status)
                                                          : 128 + WTERMSIG(status));
        }
}

static void take_signals(struct monitor *m)
{
        struct signalfd_siginfo s;

        while (read(m->signals, &s, sizeof s) == sizeof s) {
                if (s.ssi_signo != SIGTERM && s.ssi_signo != SIGINT)
                        continue;
                m->stop = true;
                asked_by(m, (pid_t)s.ssi_pid, s.ssi_uid, (int)m->config.stop_signal,
                         "a signal to the monitor");
                begin_stop(m, 0, -1);
        }
        reap_others(m);
}

static void tick(struct monitor *m, int64_t now)
{
        if (m->phase == PHASE_RUNNING && now >= m->kill_at) {
                if (m->state.status == MONITOR_STOPPING) {
                        send_signal(m, SIGKILL);
                        m->kill_at = NEVER; /* nothing takes that back */
                        m->held_at = MIN(m->held_at, now + HELD_MS);
                } else {
                        m->stop = true;
                        asked_by(m, getpid(), getuid(), (int)m->config.stop_signal,
                                 "its time is up");
                        begin_stop(m, 0, -1);
                }
        }
        if (m->phase == PHASE_RUNNING && now >= m->held_at) {
                const struct wire_reply reply = { .status = -EBUSY };

                streams_reply_all(&m->streams, WIRE_STOP, &reply);
                streams_reply_all(&m->streams, WIRE_RESTART, &reply);
                m->held_at = NEVER;
        }
        if (m->phase == PHASE_RUNNING && now >= m->sample_at) {
                evidence_sample(&m->evidence, &m->life.cgroup);
                m->sample_at = now + EVIDENCE_SAMPLE_MS;
        }
        if (m->phase == PHASE_RUNNING &&
            health_tick(&m->health, &m->config, &m->life.cgroup, m->program, now))
                health_ended(m, STATUS_NOT_FOUND);
        if (m->phase == PHASE_WAITING && m->stop && !m->restart) {
                struct wire_reply reply = { .exit_code = m->state.exit_code };

                m->phase = PHASE_DONE;
                m->state.status = MONITOR_EXITED;
                save_state(m);
                streams_reply_all(&m->streams, WIRE_STOP, &reply);
                m->attended = streams_finish(&m->streams, m->state.exit_code);
        } else if (m->phase == PHASE_WAITING && now >= m->start_at) {
                start_again(m);
        }
        streams_tick(&m->streams, now);
}

static int sooner(int a, int b)
{
        return a < 0 ? b : b < 0 ? a : MIN(a, b);
}

static int until(int64_t at, int64_t now)
{
        return at == NEVER ? -1 : (int)MIN(MAX(at - now, (int64_t)0), (int64_t)60000);
}

static int due(const struct monitor *m, int64_t now)
{
        int t = streams_due(&m->streams, now);

        if (m->phase == PHASE_WAITING)
                return sooner(t, until(m->start_at, now));
        if (m->phase != PHASE_RUNNING)
                return t;
        t = sooner(t, until(m->kill_at, now));
        t = sooner(t, until(m->held_at, now));
        t = sooner(t, until(m->sample_at, now));
        return sooner(t, health_due(&m->health, &m->config.health, now));
}

static void loop_once(struct monitor *m)
{
        enum { SIGNALS, INIT, LISTENER, HEALTH, STARTER, NOTIFY, FIRST };
        struct pollfd p[FIRST + STREAMS_SLOTS];
        int64_t now = clock_ms();
        int fd;

        p[SIGNALS] = (struct pollfd){ m->signals, POLLIN, 0 };
        p[INIT] = (struct pollfd){ m->phase == PHASE_RUNNING ? m->life.pidfd : -1, POLLIN, 0 };
        p[LISTENER] = (struct pollfd){ m->listener, POLLIN, 0 };
        p[HEALTH] = (struct pollfd){ m->health.output, POLLIN, 0 };
        p[STARTER] = (struct pollfd){ m->health.starter.sock, POLLIN, 0 };
        p[NOTIFY] = (struct pollfd){ m->life.notify, POLLIN, 0 };
        streams_poll(&m->streams, p + FIRST);
        if (poll(p, ARRAY_SIZE(p), due(m, now)) < 0 && errno != EINTR)
                return;
        now = clock_ms();
        streams_ready(&m->streams, p + FIRST, now, on_request, m);
        if (p[HEALTH].revents && m->health.output >= 0)
                health_output(&m->health);
        if (p[STARTER].revents && health_started(&m->health))
                health_ended(m, STATUS_NOT_FOUND);
        if (p[NOTIFY].revents)
                take_notices(m);
        if (p[INIT].revents)
                see_exit(m);
        if (p[SIGNALS].revents)
                take_signals(m);
        if (p[LISTENER].revents) {
                fd = accept4(m->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd >= 0)
                        streams_accept(&m->streams, fd);
        }
        if (m->phase == PHASE_DRAINING) {
                streams_drain(&m->streams);
                if (!streams_busy(&m->streams))
                        end_life(m);
        }
        tick(m, now);
}

/* ---- beginning and end ---- */

/* What every entry of systemd's journal has; names can't hold a newline. */
static void journald_fields(struct monitor *m)
{
        const struct monitor_config *c = &m->config;
        const char *tag = str_empty(c->log_tag) ? NULL : c->log_tag;
        AUTO_BUF b = { 0 };

        buf_printf(&b, "CONTAINER_ID=%.12s\nCONTAINER_ID_FULL=%s\nCONTAINER_NAME=%s\n", c->id,
                   c->id, c->name);
        if (tag)
                buf_printf(&b, "CONTAINER_TAG=%s\n", tag);
        buf_printf(&b, "SYSLOG_IDENTIFIER=%s\n", tag ? tag : c->name);
        m->streams.log.fields = arena_strndup(&m->arena, b.s, b.len);
        m->streams.log.fields_len = b.len;
}

static int open_log(struct monitor *m, struct err *e)
{
        struct log_file *l = &m->streams.log;
        int r;

        if (m->config.log_driver == LOG_DRIVER_JOURNALD)
                journald_fields(m);
        l->driver = m->config.log_driver;
        l->dir = MONITOR_FD_BUNDLE;
        snprintf(l->name, sizeof l->name, "ctr.log");
        l->max_size = m->config.log_max_size;
        l->max_files = m->config.log_max_files > 0 ? (unsigned)m->config.log_max_files : 1;
        r = log_file_open(l);
        if (r < 0 && l->driver == LOG_DRIVER_JOURNALD)
                return err_sys(e, r,
                               "cannot reach systemd's journal at \"" LOG_JOURNALD_SOCKET "\"");
        return r < 0 ? err_sys(e, r, "cannot open the log") : 0;
}

/* What needs no container yet. */
static int get_ready(struct monitor *m, struct err *e)
{
        sigset_t set;
        int r = begin_alone(&m->home);

        if (r < 0)
                return err_sys(e, r, "cannot make a mount namespace");
        sigfillset(&set);
        sigprocmask(SIG_BLOCK, &set, NULL);
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        return life_ready(&m->life.spare, m->program, e);
}

static void take_first_client(struct monitor *m)
{
        if (!(m->order.which & 1u << MONITOR_FD_ATTACH))
                return;
        m->streams.tty = false;
        streams_accept_first(&m->streams, fcntl(MONITOR_FD_ATTACH, F_DUPFD_CLOEXEC, 64));
        close(MONITOR_FD_ATTACH);
}

static int set_up(struct monitor *m, struct err *e)
{
        struct proc_stat st;
        sigset_t set;
        int r;

        take_first_client(m);
        sigfillset(&set);
        m->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (m->signals < 0)
                return err_sys(e, errno, "cannot make a signalfd");
        if (read_config(m, e) < 0)
                return -1;
        r = m->order.which & 1u << MONITOR_FD_ROOT ? begin_root(m->config.bundle) : 0;
        if (r < 0)
                return err_sys(e, r, "cannot mount the container's root");
        r = begin_mounts(m->config.bundle, m->mounts, m->order.mounts);
        if (r < 0)
                return err_sys(e, r, "cannot mount what the container uses");
        if (open_log(m, e) < 0)
                return -1;
        m->listener = wire_listen(MONITOR_FD_RUN);
        if (m->listener < 0)
                return err_sys(e, m->listener, "cannot listen on the control socket");
        m->state.monitor = getpid();
        m->state.monitor_start = proc_stat_read(getpid(), &st) == 0 ? st.start : 0;
        m->evidence.id = m->config.id;
        m->evidence.name = m->config.name;
        m->evidence.kept = !m->config.auto_remove;
        m->state.status = MONITOR_STARTING;
        m->state.started_ns = clock_now_ns();
        save_state(m);
        unlinkat(MONITOR_FD_BUNDLE, "record.json", 0);
        return 0;
}

/* A container left over by a monitor that died is in the way of the new one. */
static int first_life(struct monitor *m, struct err *e)
{
        const struct life_fds preserved = { m->preserved, m->order.preserved };
        int r;

        if (life_clean(&m->config, e) < 0)
                return -1;
        evidence_lost(&m->evidence, MONITOR_FD_BUNDLE);
        r = life_start(&m->life, &m->config, &preserved, &m->streams, m->program, e);
        /* The container's alone: who waits for a pipe's end waits for it, not for us. */
        for (uint32_t i = 0; i < m->order.preserved; i++)
                close(m->preserved[i]);
        return r;
}

static void tell_starter(const struct err *e, pid_t pid)
{
        struct wire_started s = { .err = *e, .pid = pid };

        send(MONITOR_FD_STARTED, &s, sizeof s, MSG_NOSIGNAL);
        close(MONITOR_FD_STARTED);
}

/* In our mount namespace they are in the way of who removes the directory. */
static void unmount_all(const char *bundle, unsigned mounts)
{
        char name[32];

        if (chdir(bundle) < 0)
                return;
        umount2("rootfs", MNT_DETACH);
        for (unsigned i = 0; i < mounts; i++) {
                snprintf(name, sizeof name, "mounts/%u", i);
                umount2(name, MNT_DETACH);
        }
}

/* In the mount namespace that we came from: what it unmounts is mounted there. */
static void run_on_exit(const struct strings *command, int home)
{
        char *argv[32];
        size_t n = MIN(command->n, ARRAY_SIZE(argv) - 1);
        sigset_t none;

        if (n == 0 || fork() != 0)
                return;
        for (size_t i = 0; i < n; i++)
                argv[i] = (char *)command->v[i];
        argv[n] = NULL;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (setns(home, CLONE_NEWNS) == 0 && chdir("/") == 0)
                execv(argv[0], argv);
        _exit(127);
}

/* By way of a descriptor of the host's mount namespace, where nothing is mounted below it: what the
 * container used, volumes say, can't be reached, whatever is still mounted here. What can't be
 * removed is swept one day. */
static void remove_dir(const struct monitor *m, int lock)
{
        AUTO_FD int dir = lock;
        AUTO_FD int parent = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        unmount_all(m->config.bundle, m->order.mounts);
        if (parent >= 0)
                tree_remove(parent, m->config.id);
}

/* Whoever attended removes the container, and may leave its directory to us; or has gone without
 * doing it, or there was nobody: then it is ours. */
static void finish(const struct monitor *m)
{
        int dir = m->config.on_exit.n && m->attended >= 0 ? wire_left(m->attended) : -1;

        if (dir >= 0)
                remove_dir(m, dir);
        else if (m->attended < 0 ||
                 faccessat(MONITOR_FD_BUNDLE, "container.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                run_on_exit(&m->config.on_exit, m->home);
}

int monitor_run(const char *program)
{
        static struct monitor m; /* untouched pages of its buffers cost nothing */
        struct wire_ahead ahead;
        struct err e = { 0 };
        int r;

        m.program = program;
        m.listener = m.signals = m.health.output = m.evidence.kmsg = m.life.pidfd = -1;
        m.life.spare.sock = m.health.starter.sock = m.state_held = m.attended = -1;
        m.start_at = m.kill_at = m.held_at = NEVER;
        m.life.notify = -1;
        streams_init(&m.streams);
        if (get_ready(&m, &e) < 0) {
                tell_starter(&e, 0);
                return 1;
        }
        if (begin_ahead(&ahead))
                life_ahead(&m.life.spare, &ahead);
        r = begin_receive(&m.order, m.mounts, m.preserved);
        if (r == -ENOTCONN)
                return 0;
        if (r < 0)
                err_sys(&e, r, "cannot take the container's descriptors");
        if (r < 0 || set_up(&m, &e) < 0 || first_life(&m, &e) < 0) {
                failed_to_start(&m, &e);
                tell_starter(&e, 0);
                unlinkat(MONITOR_FD_RUN, "ctl", 0);
                return 1;
        }
        life_began(&m);
        flock(MONITOR_FD_BUNDLE, LOCK_UN);
        tell_starter(&e, m.life.pid);
        while (m.phase != PHASE_DONE)
                loop_once(&m);
        unlinkat(MONITOR_FD_RUN, "ctl", 0);
        log_file_close(&m.streams.log);
        evidence_done(&m.evidence);
        finish(&m);
        return m.state.exit_code; /* for a service manager whose main process we are */
}
