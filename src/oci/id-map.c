#include "oci/id-map.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "kernel/resolve.h"
#include "kernel/sys.h"

static void put_map(const struct id_mappings *m, struct buf *out)
{
        for (size_t i = 0; i < m->n; i++)
                buf_printf(out, "%u %u %u\n", m->v[i].container_id, m->v[i].host_id, m->v[i].size);
}

static int write_proc(int proc, pid_t pid, const char *file, const char *text)
{
        char path[64];

        snprintf(path, sizeof path, "%d/%s", pid, file);
        AUTO_FD int fd = resolve_proc(proc, path, O_WRONLY);
        if (fd < 0)
                return fd;
        return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* newuidmap PID CONTAINER HOST SIZE ...: set-uid, checks /etc/subuid. */
static int run_helper(const char *program, pid_t pid, const struct id_mappings *m, struct err *e)
{
        AUTO_ARENA a = { 0 };
        char **argv = arena_array(&a, char *, 3 + 3 * m->n);
        char *env[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin", NULL };
        size_t n = 0;
        int status;
        pid_t child;

        argv[n++] = (char *)program;
        argv[n++] = arena_printf(&a, "%d", pid);
        for (size_t i = 0; i < m->n; i++) {
                argv[n++] = arena_printf(&a, "%u", m->v[i].container_id);
                argv[n++] = arena_printf(&a, "%u", m->v[i].host_id);
                argv[n++] = arena_printf(&a, "%u", m->v[i].size);
        }
        child = fork();
        if (child == 0) {
                execvpe(program, argv, env);
                _exit(127);
        }
        if (child < 0)
                return err_sys(e, errno, "cannot start %s", program);
        while (waitpid(child, &status, 0) < 0)
                if (errno != EINTR)
                        return err_sys(e, errno, "cannot wait for %s", program);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return 0;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
                err_set(e, ERR_NOT_FOUND, "cannot execute %s", program);
                return err_hint(e, "install the package uidmap");
        }
        err_set(e, ERR_DENIED, "%s refused the mapping", program);
        return err_hint(e, "does /etc/%s give this user these ids?",
                        str_eq(program, "newuidmap") ? "subuid" : "subgid");
}

static int write_map(int proc, pid_t pid, const char *file, const char *helper,
                     const struct id_mappings *m, struct err *e)
{
        AUTO_BUF text = { 0 };
        int r;

        if (m->n == 0)
                return 0;
        put_map(m, &text);
        r = write_proc(proc, pid, file, buf_str(&text));
        if (r == -EPERM && geteuid() != 0)
                return run_helper(helper, pid, m, e);
        if (r < 0)
                return err_sys(e, r, "cannot write the %s of init", file);
        return 0;
}

int id_map_write(int proc, pid_t pid, const struct id_mappings *uids,
                 const struct id_mappings *gids, struct err *e)
{
        /* One's own group alone may be mapped without privilege, but only with setgroups denied
         * (user_namespaces(7)); newgidmap needs no such thing. */
        if (geteuid() != 0 && gids->n == 1 && gids->v[0].size == 1)
                write_proc(proc, pid, "setgroups", "deny");
        if (write_map(proc, pid, "uid_map", "newuidmap", uids, e) < 0 ||
            write_map(proc, pid, "gid_map", "newgidmap", gids, e) < 0)
                return -1;
        return 0;
}

int id_map_userns(const struct id_mappings *uids, const struct id_mappings *gids, struct err *e)
{
        struct clone_args args = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
        AUTO_FD int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        pid_t pid = sys_clone3(&args);
        char path[64];
        int fd = -1;

        if (pid == 0)
                for (;;)
                        pause();
        if (pid < 0)
                return err_sys(e, errno, "cannot make a user namespace for id mappings");
        if (id_map_write(proc, pid, uids, gids, e) == 0) {
                snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
                fd = open(path, O_RDONLY | O_CLOEXEC);
                if (fd < 0)
                        err_sys(e, errno, "cannot open the user namespace for id mappings");
        }
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        return fd;
}

int rlimit_err(struct err *e, const struct spec_rlimit *r, int error)
{
        err_sys(e, error, "process.rlimits: cannot set %s to %llu:%llu", r->type,
                (unsigned long long)r->soft, (unsigned long long)r->hard);
        if (error == -EPERM)
                err_hint(e,
                         "raising a hard limit takes CAP_SYS_RESOURCE, which this process lacks");
        return -1;
}
