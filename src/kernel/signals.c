#include "kernel/signals.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>

#include "base/str.h"

static const struct {
        const char *name;
        int number;
} signals[] = {
        { "SIGHUP", SIGHUP },       { "SIGINT", SIGINT },       { "SIGQUIT", SIGQUIT },
        { "SIGILL", SIGILL },       { "SIGTRAP", SIGTRAP },     { "SIGABRT", SIGABRT },
        { "SIGIOT", SIGIOT },       { "SIGBUS", SIGBUS },       { "SIGFPE", SIGFPE },
        { "SIGKILL", SIGKILL },     { "SIGUSR1", SIGUSR1 },     { "SIGSEGV", SIGSEGV },
        { "SIGUSR2", SIGUSR2 },     { "SIGPIPE", SIGPIPE },     { "SIGALRM", SIGALRM },
        { "SIGTERM", SIGTERM },     { "SIGSTKFLT", SIGSTKFLT }, { "SIGCHLD", SIGCHLD },
        { "SIGCLD", SIGCHLD },      { "SIGCONT", SIGCONT },     { "SIGSTOP", SIGSTOP },
        { "SIGTSTP", SIGTSTP },     { "SIGTTIN", SIGTTIN },     { "SIGTTOU", SIGTTOU },
        { "SIGURG", SIGURG },       { "SIGXCPU", SIGXCPU },     { "SIGXFSZ", SIGXFSZ },
        { "SIGVTALRM", SIGVTALRM }, { "SIGPROF", SIGPROF },     { "SIGWINCH", SIGWINCH },
        { "SIGIO", SIGIO },         { "SIGPOLL", SIGPOLL },     { "SIGPWR", SIGPWR },
        { "SIGSYS", SIGSYS },
};

static int parse_realtime(const char *name)
{
        const char *plus = str_after(name, "SIGRTMIN+"), *minus = str_after(name, "SIGRTMAX-");
        uint32_t n;

        if (str_eq(name, "SIGRTMIN"))
                return SIGRTMIN;
        if (str_eq(name, "SIGRTMAX"))
                return SIGRTMAX;
        if ((!plus && !minus) || str_to_u32(plus ? plus : minus, &n) < 0 ||
            n > (uint32_t)(SIGRTMAX - SIGRTMIN))
                return -EINVAL;
        return plus ? SIGRTMIN + (int)n : SIGRTMAX - (int)n;
}

int signal_parse(const char *text)
{
        char name[32];
        uint32_t n;
        int len;

        if (str_to_u32(text, &n) == 0)
                return n <= (uint32_t)SIGRTMAX ? (int)n : -EINVAL;
        len = snprintf(name, sizeof name, "SIG%s", text);
        if (len >= (int)sizeof name)
                return -EINVAL;
        for (char *c = name; *c; c++)
                *c = (char)toupper((unsigned char)*c);
        if (str_after(name, "SIGSIG"))
                memmove(name, name + 3, strlen(name + 3) + 1);
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
                if (str_eq(signals[i].name, name))
                        return signals[i].number;
        return parse_realtime(name);
}

const char *signal_name(int sig)
{
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
                if (signals[i].number == sig)
                        return signals[i].name;
        return NULL;
}
