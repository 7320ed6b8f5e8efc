#include "oci/seccomp-notify.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/str.h"
#include "codec/json.h"
#include "oci/launch.h"

static int connect_to(const char *path, struct err *e)
{
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        AUTO_FD int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (sock < 0)
                return err_sys(e, errno, "cannot make a socket");
        if (snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path) >= (int)sizeof sa.sun_path)
                return err_sys(e, ENAMETOOLONG, "linux.seccomp.listenerPath \"%s\"", path);
        if (connect(sock, (struct sockaddr *)&sa, sizeof sa) < 0)
                return err_sys(e, errno, "cannot connect to linux.seccomp.listenerPath \"%s\"",
                               path);
        return TAKE_FD(sock);
}

/* "ContainerProcessState" of config-linux.md. */
static void put_state(const struct launch *l, struct buf *out)
{
        struct json_writer w = { .out = out, .fresh = true };
        const struct spec *s = l->plan->spec;
        AUTO_BUF state = { 0 };
        AUTO_ARENA a = { 0 };
        struct json j;

        container_state_json(l->container,
                             l->mode == LAUNCH_EXEC ? STATUS_RUNNING : STATUS_CREATING,
                             &s->annotations, 0, &state);
        json_open(&w, NULL, '{');
        json_put_str(&w, "ociVersion", l->container->oci_version);
        json_open(&w, "fds", '[');
        json_put_str(&w, NULL, "seccompFd");
        json_close(&w, ']');
        json_put_i64(&w, "pid", l->init);
        json_put_str(&w, "metadata",
                     s->linux_.seccomp->listener_metadata ? s->linux_.seccomp->listener_metadata
                                                          : "");
        if (json_parse(&a, state.s, state.len, NULL, &j, NULL) == 0)
                json_put(&w, "state", &j);
        json_close(&w, '}');
}

int seccomp_notify_send(struct launch *l, int fd, struct err *e)
{
        const char *path = l->plan->spec->linux_.seccomp->listener_path;
        AUTO_BUF text = { 0 };
        int r;

        if (str_empty(path))
                return err_set(e, ERR_INVALID,
                               "linux.seccomp.listenerPath: SCMP_ACT_NOTIFY needs one");
        AUTO_FD int sock = connect_to(path, e);
        if (sock < 0)
                return -1;
        put_state(l, &text);
        /* All at once: agents read one message and take it for the whole state. */
        r = fd_send(sock, text.s, text.len, &fd, 1);
        return r < 0 ? err_sys(e, r, "cannot send the seccomp listener to \"%s\"", path) : 0;
}
