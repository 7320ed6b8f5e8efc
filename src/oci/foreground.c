#include "oci/foreground.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/sys.h"

/* One direction of a terminal: bytes read and not yet written. Bounded, so that a reader who
 * doesn't read stops the writer and nothing else. */
struct lane {
        int from, to;
        char data[8192];
        size_t start, len;
        bool ended; /* from has no more */
};

void foreground_begin(struct foreground *f, bool subreaper)
{
        sigset_t all;

        sigfillset(&all);
        /* Faults are our own; these two can't be blocked anyway. */
        sigdelset(&all, SIGSEGV);
        sigdelset(&all, SIGBUS);
        sigdelset(&all, SIGFPE);
        sigdelset(&all, SIGILL);
        sigdelset(&all, SIGABRT);
        /* Ignored by the program's main; blocked as well it would stay pending. */
        sigdelset(&all, SIGPIPE);
        sigprocmask(SIG_BLOCK, &all, &f->old_mask);
        f->signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
        if (subreaper)
                prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

static void copy_size(int from, int to)
{
        struct winsize w;

        if (ioctl(from, TIOCGWINSZ, &w) == 0 && (w.ws_row || w.ws_col))
                ioctl(to, TIOCSWINSZ, &w);
}

/* As runc: the process's "\n" reaches our terminal as it is, which does its own output
 * processing. */
static void clear_onlcr(int fd)
{
        struct termios t;

        if (tcgetattr(fd, &t) == 0) {
                t.c_oflag &= ~(tcflag_t)ONLCR;
                tcsetattr(fd, TCSANOW, &t);
        }
}

int foreground_console(struct foreground *f, struct err *e)
{
        char name[64];
        size_t n = 1;
        struct termios raw;

        if (f->console_sock < 0)
                return 0;
        if (fd_recv(f->console_sock, name, sizeof name, &f->master, &n) <= 0 || n != 1) {
                f->master = -1;
                return err_set(e, ERR_SYSTEM, "init sent no terminal");
        }
        f->console_sock = fd_close(f->console_sock);
        clear_onlcr(f->master);
        if (!isatty(0))
                return 0;
        copy_size(0, f->master);
        if (tcgetattr(0, &f->saved) < 0)
                return 0;
        raw = f->saved;
        cfmakeraw(&raw);
        raw.c_oflag |= OPOST;
        f->raw = tcsetattr(0, TCSANOW, &raw) == 0;
        return 0;
}

/* ---- copying ---- */

static bool lane_wants_input(const struct lane *l)
{
        return !l->ended && l->len == 0;
}

static void lane_read(struct lane *l)
{
        ssize_t n = read(l->from, l->data, sizeof l->data);

        if (n > 0) {
                l->start = 0;
                l->len = (size_t)n;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
                l->ended = true; /* EIO: the pty's other side is closed */
        }
}

static void lane_write(struct lane *l)
{
        /* A pipe that polls writable takes PIPE_BUF without blocking, no more. */
        ssize_t n = write(l->to, l->data + l->start, MIN(l->len, (size_t)4096));

        if (n > 0) {
                l->start += (size_t)n;
                l->len -= (size_t)n;
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
                l->len = 0;
                l->ended = true;
        }
}

/* The container's input ended: its terminal gets an end-of-file character, as a typist would. */
static void lane_eof(struct lane *in, bool *sent)
{
        if (in->ended && in->len == 0 && !*sent) {
                in->data[0] = 4; /* ^D, unless it changed VEOF: then it reads on */
                in->start = 0;
                in->len = 1;
                *sent = true;
        }
}

/* ---- waiting ---- */

struct waiting {
        struct foreground *f;
        pid_t pid;
        int pidfd;
        struct lane in, out;
        bool eof_sent, exited;
        int status;
};

static void reap_all(struct waiting *w)
{
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                if (pid == w->pid) {
                        w->exited = true;
                        w->status = status;
                }
}

static void take_signals(struct waiting *w)
{
        struct signalfd_siginfo s;

        while (read(w->f->signals, &s, sizeof s) == sizeof s) {
                int sig = (int)s.ssi_signo;

                if (sig == SIGCHLD || sig == SIGURG || sig == SIGPIPE)
                        continue;
                if (sig == SIGWINCH && w->f->master >= 0) {
                        copy_size(0, w->f->master);
                        continue;
                }
                /* A terminal's job control stops reach the whole foreground group already. */
                if (sig == SIGTTIN || sig == SIGTTOU)
                        continue;
                sys_pidfd_send_signal(w->pidfd, sig);
        }
}

static void poll_once(struct waiting *w)
{
        bool tty = w->f->master >= 0;
        struct pollfd p[] = {
                { w->f->signals, POLLIN, 0 },
                { w->pidfd, POLLIN, 0 },
                { tty && lane_wants_input(&w->in) ? w->in.from : -1, POLLIN, 0 },
                { tty && w->in.len ? w->in.to : -1, POLLOUT, 0 },
                { tty && lane_wants_input(&w->out) ? w->out.from : -1, POLLIN, 0 },
                { tty && w->out.len ? w->out.to : -1, POLLOUT, 0 },
        };

        if (poll(p, ARRAY_SIZE(p), -1) < 0)
                return;
        if (p[0].revents)
                take_signals(w);
        if (p[2].revents)
                lane_read(&w->in);
        if (p[3].revents)
                lane_write(&w->in);
        if (p[4].revents)
                lane_read(&w->out);
        if (p[5].revents)
                lane_write(&w->out);
        if (tty && !w->f->raw)
                lane_eof(&w->in, &w->eof_sent);
        reap_all(w);
}

/* What the pty still holds after the exit; a process left behind may keep it open, so this never
 * waits. */
static void drain(struct waiting *w)
{
        int flags = fcntl(w->out.from, F_GETFL);

        fcntl(w->out.from, F_SETFL, flags | O_NONBLOCK);
        for (;;) {
                struct pollfd p = { w->out.to, POLLOUT, 0 };

                if (w->out.len == 0) {
                        ssize_t n = read(w->out.from, w->out.data, sizeof w->out.data);

                        if (n <= 0)
                                return;
                        w->out.start = 0;
                        w->out.len = (size_t)n;
                }
                if (poll(&p, 1, 1000) <= 0)
                        return;
                lane_write(&w->out);
                if (w->out.ended)
                        return;
        }
}

int foreground_wait(struct foreground *f, pid_t pid, int pidfd, int *ret_status, struct err *e)
{
        struct waiting w = { .f = f, .pid = pid, .pidfd = pidfd };

        w.in.from = 0;
        w.in.to = f->master;
        w.out.from = f->master;
        w.out.to = 1;
        reap_all(&w);
        while (!w.exited)
                poll_once(&w);
        if (f->master >= 0)
                drain(&w);
        *ret_status = WIFEXITED(w.status) ? WEXITSTATUS(w.status) : 128 + WTERMSIG(w.status);
        return 0;
}

void foreground_end(struct foreground *f)
{
        if (f->raw)
                tcsetattr(0, TCSANOW, &f->saved);
        f->raw = false;
        if (f->signals >= 0) {
                f->signals = fd_close(f->signals);
                sigprocmask(SIG_SETMASK, &f->old_mask, NULL);
        }
        f->master = fd_close(f->master);
        f->console_sock = fd_close(f->console_sock);
}
