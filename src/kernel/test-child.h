/* For tests that change the process they run in: run it in a child, judged by its exit status.
 * In the child, CHECK() takes the place of cmocka's assertions, which only work in the parent. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_SKIP 77

#define CHECK(cond)                                                                                \
        do {                                                                                       \
                if (!(cond)) {                                                                     \
                        fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__,      \
                                #cond, errno);                                                     \
                        _exit(1);                                                                  \
                }                                                                                  \
        } while (0)
#define CHECK_EQ(a, b)                                                                             \
        do {                                                                                       \
                long long a_ = (long long)(a), b_ = (long long)(b);                                \
                if (a_ != b_) {                                                                    \
                        fprintf(stderr, "%s:%d: %s is %lld (%#llx), not %lld\n", __FILE__,         \
                                __LINE__, #a, a_, (unsigned long long)a_, b_);                     \
                        _exit(1);                                                                  \
                }                                                                                  \
        } while (0)

/* The wait status of a child that runs fn. */
static inline int child_status(void (*fn)(void))
{
        int status = -1;
        pid_t pid;

        fflush(NULL);
        pid = fork();
        if (pid == 0) {
                fn();
                _exit(0);
        }
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        return status;
}

/* Runs fn in a child; a CHILD_SKIP exit skips the test, anything else but 0 fails it. */
#define IN_CHILD(fn)                                                                               \
        do {                                                                                       \
                int status_ = child_status(fn);                                                    \
                if (WIFEXITED(status_) && WEXITSTATUS(status_) == CHILD_SKIP)                      \
                        skip();                                                                    \
                assert_int_equal(status_, 0);                                                      \
        } while (0)

static inline void child_skip(const char *why)
{
        fprintf(stderr, "# skipped: %s\n", why);
        _exit(CHILD_SKIP);
}

static inline void child_put(const char *path, const char *text)
{
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
        close(fd);
}

/* Into a new user namespace as its root, and others besides: all tests can do that unprivileged. */
static inline void child_namespaces(int flags)
{
        char map[32];
        unsigned uid = getuid(), gid = getgid();

        if (unshare(CLONE_NEWUSER | flags) < 0)
                child_skip("no user namespaces for this user");
        child_put("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "0 %u 1", uid);
        child_put("/proc/self/uid_map", map);
        snprintf(map, sizeof map, "0 %u 1", gid);
        child_put("/proc/self/gid_map", map);
}
