#include "kernel/overlay.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/fd.h"
#include "kernel/caps.h"
#include "kernel/mount.h"
#include "kernel/sys.h"

#define PAGE 4096 /* what mount(2) takes */

/* What every overlay of ours says: uppers are plain, so that they can be moved, compared and made
 * layers of; and no layer redirects into another. userxattr implies the latter. */
static const char *const common[] = { "index", "off", "metacopy", "off" };

/* ---- by descriptor ---- */

static int set(int fs, const char *key, const char *value)
{
        unsigned cmd = value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

        return sys_fsconfig(fs, cmd, key, value, 0) < 0 ? -errno : 0;
}

static int set_fd(int fs, const char *key, int fd)
{
        return sys_fsconfig(fs, FSCONFIG_SET_FD, key, NULL, fd) < 0 ? -errno : 0;
}

static int configure(int fs, const struct overlay *o)
{
        int r = set(fs, "source", "overlay");

        for (size_t i = 0; i < o->n && r == 0; i++)
                r = set_fd(fs, "lowerdir+", o->lower[i]);
        if (r == 0 && o->upper >= 0)
                r = set_fd(fs, "upperdir", o->upper);
        if (r == 0 && o->upper >= 0)
                r = set_fd(fs, "workdir", o->work);
        for (size_t i = 0; i < ARRAY_SIZE(common) && r == 0; i += 2)
                r = set(fs, common[i], common[i + 1]);
        if (r == 0)
                r = o->userxattr ? set(fs, "userxattr", NULL) : set(fs, "redirect_dir", "nofollow");
        if (r == 0 && o->volatile_ && o->upper >= 0)
                r = set(fs, "volatile", NULL);
        return r;
}

static int mount_by_fd(const struct overlay *o, char *log, size_t cap)
{
        AUTO_FD int fs = sys_fsopen("overlay", FSOPEN_CLOEXEC);
        int r, fd = -1;

        if (fs < 0)
                return -errno;
        r = configure(fs, o);
        if (r == 0 && sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                r = -errno;
        if (r == 0 && (fd = sys_fsmount(fs, FSMOUNT_CLOEXEC, 0)) < 0)
                r = -errno;
        if (r == 0)
                return fd;
        if (log && cap) {
                ssize_t n = read(fs, log, cap - 1);

                log[n > 0 ? n : 0] = '\0';
        }
        return r;
}

/* ---- by name ---- */

/* A detached mount of fd's directory: fd itself where it is one. */
static int detached(int fd, int *ret_own)
{
        int copy = mount_copy(fd, "", false);

        /* What is in no mount namespace of ours can't be copied before 6.15, and need not be. */
        *ret_own = copy;
        return copy >= 0 ? copy : fd;
}

static int attach_as(int tmp, const char *name, int fd)
{
        AUTO_FD int at = -1;

        if (mkdirat(tmp, name, 0700) < 0 ||
            (at = openat(tmp, name, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
                return -errno;
        return mount_attach(fd, at);
}

/* In the child. The tmpfs lies over nothing that is used: it is reached by descriptor alone. */
static int attach_all(const struct overlay *o, const int *from, int *ret_tmp)
{
        int tmp = mount_new("tmpfs", "berth", NULL, 0, 0, NULL, NULL, 0);
        AUTO_FD int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        char name[20];
        int r = 0;

        if (tmp < 0 || root < 0)
                return tmp < 0 ? tmp : -errno;
        *ret_tmp = tmp;
        r = mount_attach(tmp, root);
        for (size_t i = 0; i < o->n && r == 0; i++) {
                snprintf(name, sizeof name, "%zx", i);
                r = attach_as(tmp, name, from[i]);
        }
        if (r == 0 && o->mapped && o->upper >= 0)
                r = attach_as(tmp, "u", o->top);
        if (r == 0 && (mkdirat(tmp, "m", 0700) < 0 || fchdir(tmp) < 0))
                r = -errno;
        return r;
}

/* Appends "key=path" of a directory that is reached in this namespace as in the old one. */
static void put_path(struct buf *out, const char *key, int fd)
{
        char path[PAGE];
        struct fd_path self = fd_path(fd);
        ssize_t n = readlink(self.s, path, sizeof path);

        buf_printf(out, ",%s=", key);
        for (ssize_t i = 0; i < n; i++) {
                if (path[i] == ',' || path[i] == '\\')
                        buf_putc(out, '\\');
                buf_putc(out, path[i]);
        }
}

static void put_options(struct buf *out, const struct overlay *o)
{
        for (size_t i = 0; i < o->n; i++)
                buf_printf(out, i ? ":%zx" : "lowerdir=%zx", i);
        if (o->upper >= 0 && o->mapped) {
                buf_puts(out, ",upperdir=u/upper,workdir=u/work");
        } else if (o->upper >= 0) {
                put_path(out, "upperdir", o->upper);
                put_path(out, "workdir", o->work);
        }
        for (size_t i = 0; i < ARRAY_SIZE(common); i += 2)
                buf_printf(out, ",%s=%s", common[i], common[i + 1]);
        buf_puts(out, o->userxattr ? ",userxattr" : ",redirect_dir=nofollow");
        if (o->volatile_ && o->upper >= 0)
                buf_puts(out, ",volatile");
}

/* The child: alone in a new mount namespace, holding the detached lower mounts. Returns the
 * detached overlay. */
static int child_mount(const struct overlay *o, const int *lower)
{
        AUTO_BUF options = { 0 };
        int tmp = -1, r;

        if (unshare(CLONE_NEWNS) < 0)
                return -errno;
        r = mount_propagation("/", MS_PRIVATE, true);
        if (r == 0)
                r = attach_all(o, lower, &tmp);
        if (r < 0)
                return r;
        put_options(&options, o);
        if (options.len >= PAGE)
                return -E2BIG;
        if (mount("overlay", "m", "overlay", 0, options.s) < 0)
                return -errno;
        return mount_copy(tmp, "m", false);
}

static int receive(int sock, pid_t pid)
{
        int code = -EPROTO, fd = -1;
        size_t nfds = 1;
        ssize_t n = fd_recv(sock, &code, sizeof code, &fd, &nfds);

        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        if (n != sizeof code)
                code = n < 0 ? (int)n : -EPROTO;
        if (nfds == 1)
                return fd;
        return code < 0 ? code : -EPROTO;
}

int overlay_mount_by_name(const struct overlay *o)
{
        int lower[OVERLAY_LOWER_MAX], own[OVERLAY_LOWER_MAX], socks[2], r;
        pid_t pid;

        if (o->n == 0 || o->n > OVERLAY_LOWER_MAX)
                return -E2BIG;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks) < 0)
                return -errno;
        for (size_t i = 0; i < o->n; i++)
                lower[i] = detached(o->lower[i], &own[i]);
        pid = fork();
        if (pid == 0) {
                int fd = child_mount(o, lower);

                fd_send(socks[1], &fd, sizeof fd, &fd, fd >= 0);
                _exit(0);
        }
        r = pid < 0 ? -errno : 0;
        socks[1] = fd_close(socks[1]);
        if (r == 0)
                r = receive(socks[0], pid);
        fd_close(socks[0]);
        for (size_t i = 0; i < o->n; i++)
                fd_close(own[i]);
        return r;
}

static int mount_either(const struct overlay *o, char *log, size_t cap)
{
        int r = mount_by_fd(o, log, cap), again;

        /* What older kernels say: to a descriptor as an option (6.1, before overlayfs knew the
         * mount API), to the option, to a mount that is detached. */
        if (r != -EINVAL && r != -EOPNOTSUPP)
                return r;
        again = overlay_mount_by_name(o);
        return again == -EINVAL ? r : again;
}

int overlay_mount(const struct overlay *o, char *log, size_t cap)
{
        bool other = o->mapped && o->upper >= 0;
        int r;

        if (log && cap)
                log[0] = '\0';
        if (o->n > OVERLAY_LOWER_MAX)
                return -E2BIG;
        if (!other)
                return mount_either(o, log, cap);
        /* It keeps the credentials that it was mounted with. */
        r = caps_act_as(o->uid, o->gid);
        if (r == 0)
                r = mount_either(o, log, cap);
        caps_act_as(geteuid(), getegid());
        return r;
}
