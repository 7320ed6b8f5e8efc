#include "oci/sd-notify.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "kernel/mount.h"
#include "kernel/resolve.h"
#include "oci/container.h"
#include "oci/launch.h"

#define MESSAGE_MAX 4096

int sd_notify_make(struct container *c, struct err *e)
{
        if (mkdirat(c->dir, "notify", 0755) < 0 && errno != EEXIST)
                return err_sys(e, errno, "cannot make the notify directory");
        return 0;
}

int mount_notify(struct init *in, const struct op *op, struct err *e)
{
        AUTO_FD int target = resolve_make(in->root, SD_NOTIFY_DIR, 1, 0755);
        char path[PATH_MAX];
        AUTO_FD int tree = -1;

        snprintf(path, sizeof path, "%s/notify", in->l->plan->state_dir);
        tree = in->l->notify_source >= 0 ? TAKE_FD(in->l->notify_source)
                                         : mount_copy(AT_FDCWD, path, false);
        int r = target < 0 ? target : tree < 0 ? tree : mount_attach(tree, target);
        return r < 0 ? err_sys(e, r, "cannot mount the notify socket on \"%s\"", SD_NOTIFY_DIR) : 0;
}

int sd_notify_listen(struct container *c, struct err *e)
{
        AUTO_FD int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        AUTO_FD int dir = openat(c->dir, "notify", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        struct sockaddr_un sa = { .sun_family = AF_UNIX };

        if (sock < 0 || dir < 0)
                return err_sys(e, errno, "cannot open the notify directory");
        /* Through the descriptor: a state directory's path can be longer than sun_path. */
        snprintf(sa.sun_path, sizeof sa.sun_path, "%s/notify.sock", fd_path(dir).s);
        unlinkat(dir, "notify.sock", 0);
        if (bind(sock, (struct sockaddr *)&sa, sizeof sa) < 0)
                return err_sys(e, errno, "cannot bind the notify socket");
        /* Any user of the container may be the one that is ready. */
        if (fchmodat(dir, "notify.sock", 0777, 0) < 0)
                return err_sys(e, errno, "cannot open up the notify socket");
        return TAKE_FD(sock);
}

static int connect_host(const char *path)
{
        AUTO_FD int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        size_t n = strlen(path);

        if (sock < 0 || n >= sizeof sa.sun_path)
                return -1;
        memcpy(sa.sun_path, path, n);
        if (path[0] == '@')
                sa.sun_path[0] = 0;
        if (connect(sock, (struct sockaddr *)&sa,
                    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
                return -1;
        return TAKE_FD(sock);
}

int sd_notify_send(const char *path, const char *text, struct err *e)
{
        AUTO_FD int host = connect_host(path);

        if (host < 0 || send(host, text, strlen(text), MSG_NOSIGNAL) < 0)
                return err_sys(e, errno, "cannot tell $NOTIFY_SOCKET \"%s\"", path);
        return 0;
}

bool sd_notify_read(const char *text, bool all, struct buf *to)
{
        bool ready = false;
        const char *line;
        size_t n;

        while (str_next(&text, '\n', &line, &n)) {
                bool is_ready = n == 7 && strncmp(line, "READY=1", 7) == 0;

                ready |= is_ready;
                if (n == 0 || strncmp(line, "MAINPID=", MIN(n, (size_t)8)) == 0)
                        continue;
                if (is_ready || all)
                        buf_printf(to, "%.*s\n", (int)n, line);
        }
        return ready;
}

/* Sends on what the manager should hear, with the pid as it is outside; true once READY=1 has been
 * sent. */
static bool forward(int host, const char *text, pid_t init, bool all)
{
        AUTO_BUF out = { 0 };
        bool ready = sd_notify_read(text, all, &out);

        if (ready)
                buf_printf(&out, "MAINPID=%d\n", init);
        if (out.len && send(host, out.s, out.len, MSG_NOSIGNAL) < 0)
                return false;
        return ready;
}

int sd_notify_relay(struct container *c, int sock, int pidfd, bool all, struct err *e)
{
        AUTO_FD int host = connect_host(c->notify_socket);

        if (host < 0)
                return err_sys(e, errno, "cannot connect to $NOTIFY_SOCKET \"%s\"",
                               c->notify_socket);
        for (;;) {
                struct pollfd p[] = { { sock, POLLIN, 0 }, { pidfd, POLLIN, 0 } };
                char text[MESSAGE_MAX + 1];
                ssize_t n;

                if (poll(p, 2, -1) < 0 && errno != EINTR)
                        return err_sys(e, errno, "cannot wait for the notify socket");
                n = recv(sock, text, MESSAGE_MAX, MSG_DONTWAIT);
                if (n > 0) {
                        text[n] = 0;
                        if (forward(host, text, c->pid, all) && !all)
                                return 0;
                } else if (p[1].revents) {
                        return 0;
                }
        }
}
