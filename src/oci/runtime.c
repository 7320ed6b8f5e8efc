/* What the verbs share. */
#include "oci/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"

#define LOCK_TIMEOUT_MS 10000

bool runtime_is_rootless(void)
{
        char text[8192];
        ssize_t n;

        if (geteuid() != 0)
                return true;
        n = fd_read_text_at(AT_FDCWD, "/proc/self/uid_map", text, sizeof text);
        /* The initial user namespace maps everything onto itself. */
        return n > 0 && !strstr(text, "4294967295");
}

const char *runtime_root_default(struct arena *a, bool rootless)
{
        const char *dir = getenv("XDG_RUNTIME_DIR");

        if (rootless && !str_empty(dir))
                return arena_printf(a, "%s/berth-oci", dir);
        if (rootless && geteuid() != 0)
                return arena_printf(a, "/tmp/berth-oci-%u", geteuid());
        return "/run/berth-oci";
}

int runtime_open(const struct runtime *rt, struct arena *a, const char *id, bool lock,
                 struct container *ret, struct err *e)
{
        return lock ? container_open_locked(a, rt->root, id, LOCK_TIMEOUT_MS, ret, e)
                    : container_open(a, rt->root, id, ret, e);
}

int runtime_pid_file(const char *path, pid_t pid, struct err *e)
{
        AUTO_FREE char *dir_path = mem_strdup(path);
        char *slash = strrchr(dir_path, '/');
        char text[16];
        int r;

        if (slash)
                *(slash == dir_path ? slash + 1 : slash) = 0;
        AUTO_FD int dir = open(slash ? dir_path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return err_sys(e, errno, "cannot write pid file \"%s\"", path);
        snprintf(text, sizeof text, "%d", pid);
        r = fd_replace_at(dir, path_base(path), text, strlen(text), 0644, 0);
        return r < 0 ? err_sys(e, r, "cannot write pid file \"%s\"", path) : 0;
}

int runtime_connect(const char *what, const char *path, struct err *e)
{
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        AUTO_FD int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (sock < 0)
                return err_sys(e, errno, "cannot make a socket");
        if (snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path) >= (int)sizeof sa.sun_path)
                return err_sys(e, ENAMETOOLONG, "cannot connect to %s \"%s\"", what, path);
        if (connect(sock, (struct sockaddr *)&sa, sizeof sa) < 0)
                return err_sys(e, errno, "cannot connect to %s \"%s\"", what, path);
        return TAKE_FD(sock);
}

int runtime_pidfd_send(const char *path, int pidfd, struct err *e)
{
        AUTO_FD int sock = runtime_connect("pidfd socket", path, e);
        int r;

        if (sock < 0)
                return -1;
        r = fd_send(sock, "pidfd", 5, &pidfd, 1);
        return r < 0 ? err_sys(e, r, "cannot send the pidfd to \"%s\"", path) : 0;
}

/* What a program inherits is never close-on-exec, and what we have opened always is. */
static bool is_given(int fd)
{
        int flags = fcntl(fd, F_GETFD);

        return flags >= 0 && !(flags & FD_CLOEXEC);
}

int runtime_preserve_fds(int64_t given, unsigned *ret, struct err *e)
{
        const char *listen = getenv("LISTEN_FDS");
        uint32_t more = 0;

        if (given < 0 || given > 65536)
                return err_set(e, ERR_INVALID, "--preserve-fds: %lld is no number of descriptors",
                               (long long)given);
        if (listen && str_to_u32(listen, &more) < 0)
                more = 0;
        for (unsigned i = 0; i < (unsigned)given; i++)
                if (!is_given((int)(3 + i)))
                        return err_set(e, ERR_INVALID,
                                       "--preserve-fds: descriptor %u does not exist", 3 + i);
        *ret = (unsigned)given;
        for (uint32_t i = 0; i < more && is_given((int)*ret + 3); i++)
                ++*ret;
        return 0;
}

/* oci/explain.h begins what it says with this word. */
int runtime_failure_status(const struct err *e)
{
        if (!str_after(e->chain, "exec: "))
                return STATUS_ENGINE;
        return e->code == ERR_NOT_FOUND ? STATUS_NOT_FOUND : STATUS_CANNOT_EXEC;
}
