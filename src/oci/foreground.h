/* A process run in the foreground: its signals, its terminal, its exit status. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>
#include <termios.h>

#include "base/err.h"

struct foreground {
        int signals;      /* signalfd, or -1: not begun */
        int console_sock; /* our end of the pair over which init sends its pty; or -1 */
        int master;       /* the pty, or -1 */
        bool raw;         /* our terminal is in raw mode */
        struct termios saved;
        sigset_t old_mask;
};
#define FOREGROUND_INIT                                                                            \
        {                                                                                          \
                .signals = -1, .console_sock = -1, .master = -1                                    \
        }

/* Blocks the signals to be forwarded, before the process exists, so that none is lost.
 * subreaper: the process's orphans become ours to reap. */
void foreground_begin(struct foreground *f, bool subreaper);
/* Receives the pty, where there is one, and puts our own terminal into raw mode. */
int foreground_console(struct foreground *f, struct err *e);
/* Until the process ends: forwards signals and window sizes, copies between terminals.
 * *ret_status is its exit status, 128 + n after signal n. */
int foreground_wait(struct foreground *f, pid_t pid, int pidfd, int *ret_status, struct err *e);
/* Restores terminal and signals. Can be called at any time, and twice. */
void foreground_end(struct foreground *f);
