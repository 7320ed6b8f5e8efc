#include "kernel/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

int proc_stat_parse(const char *text, struct proc_stat *ret)
{
        const char *at = strrchr(text, ')');
        struct proc_stat s = { 0 };
        int field = 3;

        if (!at || at[1] != ' ' || !at[2])
                return -EBADMSG;
        s.state = at[2];
        for (at += 2; *at; at++) {
                if (*at != ' ')
                        continue;
                field++;
                if (field == 4)
                        s.ppid = (pid_t)strtol(at + 1, NULL, 10);
                if (field == 22) {
                        s.start = strtoull(at + 1, NULL, 10);
                        *ret = s;
                        return 0;
                }
        }
        return -EBADMSG;
}

int proc_stat_read(pid_t pid, struct proc_stat *ret)
{
        char path[64], text[1024];
        ssize_t n;

        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        n = fd_read_text_at(AT_FDCWD, path, text, sizeof text);
        if (n < 0)
                return n == -ENOENT ? -ESRCH : (int)n;
        return proc_stat_parse(text, ret);
}

bool proc_alive(pid_t pid, uint64_t start)
{
        struct proc_stat s;

        return pid > 0 && proc_stat_read(pid, &s) == 0 && s.start == start && s.state != 'Z' &&
               s.state != 'X';
}
