/* The container's terminal: a pty of its own devpts, whose master goes to whoever attends it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/mount.h"
#include "kernel/resolve.h"
#include "oci/launch.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

/* The multiplexer of a devpts, and nothing that the image put in its place (CVE-2025-52565). */
static int open_ptmx(int root, struct err *e)
{
        int fd = resolve_open(root, "dev/pts/ptmx", O_RDWR | O_NOCTTY, 0, RESOLVE_NO_SYMLINKS);
        struct statfs fs;
        struct stat st;

        if (fd < 0) {
                err_sys(e, fd, "process.terminal: cannot open /dev/pts/ptmx");
                return err_hint(e, "mounts must hold a devpts on /dev/pts");
        }
        if (fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(5, 2) &&
            fstatfs(fd, &fs) == 0 && fs.f_type == DEVPTS_SUPER_MAGIC)
                return fd;
        fd_close(fd);
        return err_set(e, ERR_DENIED, "process.terminal: /dev/pts/ptmx is not a devpts's");
}

static void set_size(int master, const struct spec_process *p)
{
        struct winsize w = { .ws_row = (unsigned short)p->console_size.height,
                             .ws_col = (unsigned short)p->console_size.width };

        if (w.ws_row && w.ws_col)
                ioctl(master, TIOCSWINSZ, &w);
}

int mount_console(struct init *in, const struct op *op, struct err *e)
{
        AUTO_FD int master = open_ptmx(in->root, e);
        int unlock = 0, r;

        if (master < 0)
                return -1;
        if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
                return err_sys(e, errno, "process.terminal: cannot unlock the pty");
        /* By ioctl, not by name: the name would be looked up in a file system that is not ours. */
        in->console = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (in->console < 0)
                return err_sys(e, errno, "process.terminal: cannot open the pty");
        set_size(master, in->l->plan->process);
        r = fd_send(in->l->console_sock, "/dev/ptmx", 10, &master, 1);
        if (r < 0)
                return err_sys(e, r, "cannot send the terminal to the console socket");
        in->l->console_sock = fd_close(in->l->console_sock);
        if (ioctl(in->console, TIOCSCTTY, 0) < 0)
                return err_sys(e, errno, "process.terminal: cannot make it the controlling one");
        for (int fd = 0; fd < 3; fd++)
                if (dup2(in->console, fd) < 0)
                        return err_sys(e, errno, "process.terminal: cannot attach it");
        return 0;
}

int root_console_mount(struct init *in, const struct op *op, struct err *e)
{
        AUTO_FD int tree = mount_copy(in->console, "", false);
        int r;

        if (tree < 0)
                return err_sys(e, tree, "process.terminal: cannot bind the pty");
        AUTO_FD int dev = resolve_in(in->root, "dev", O_DIRECTORY, 0);
        if (dev < 0)
                return err_sys(e, dev, "process.terminal: cannot open /dev");
        /* The image may hold a link of that name: what is mounted on must be a file of /dev
         * itself. */
        AUTO_FD int made =
                openat(dev, "console", O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        AUTO_FD int target = openat(dev, "console", O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;
        if (target < 0 || fstat(target, &st) < 0)
                return err_sys(e, errno, "process.terminal: cannot make /dev/console");
        if (S_ISLNK(st.st_mode) || S_ISDIR(st.st_mode))
                return err_set(e, ERR_DENIED,
                               "process.terminal: /dev/console in the image is no file or device");
        r = mount_attach(tree, target);
        return r < 0 ? err_sys(e, r, "process.terminal: cannot mount /dev/console") : 0;
}
