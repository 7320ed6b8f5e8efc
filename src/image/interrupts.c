#include "image/interrupts.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"

int interrupts_catch(struct interrupts *ret, struct err *e)
{
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGHUP);
        ret->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (ret->fd < 0)
                return err_sys(e, errno, "cannot catch signals");
        sigprocmask(SIG_BLOCK, &set, &ret->before);
        return 0;
}

void interrupts_release(struct interrupts *i)
{
        i->fd = fd_close(i->fd);
        sigprocmask(SIG_SETMASK, &i->before, NULL);
}

int interrupts_check(const struct interrupts *i, struct err *e)
{
        struct signalfd_siginfo info;

        if (read(i->fd, &info, sizeof info) != sizeof info)
                return 0;
        err_set(e, ERR_SYSTEM, "stopped by %s",
                info.ssi_signo == SIGINT ? "an interrupt" : "a signal");
        if (e)
                e->sys = EINTR;
        return -1;
}
