/* One process as procfs tells it: whether it lives, and its start time, which tells it from a later
 * process of the same pid (proc(5), /proc/PID/stat). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_stat {
        char state; /* 'R', 'S', 'Z' ... */
        pid_t ppid;
        uint64_t start; /* clock ticks after boot */
};

/* 0, -ESRCH, or another -errno. */
int proc_stat_read(pid_t pid, struct proc_stat *ret);
/* Parses the text of a stat file: the second field may hold blanks and parentheses. 0 or
 * -EBADMSG. */
int proc_stat_parse(const char *text, struct proc_stat *ret);
/* Whether the process with this start time is there and is no zombie. */
bool proc_alive(pid_t pid, uint64_t start);
