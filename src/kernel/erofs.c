#include "kernel/erofs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/fd.h"
#include "kernel/mount.h"
#include "kernel/sys.h"

#define EROFS_MAGIC 0xe0f5e1e2
#define STRING_MAX 256 /* fsconfig(2) takes strings of so many bytes, the NUL counted */

/* A name by which the kernel opens what fd is: its path, which mount tables then show, where that
 * is short enough and still leads to the same file; else that of the descriptor. */
static const char *name_of(int fd, char buf[STRING_MAX])
{
        struct fd_path self = fd_path(fd);
        ssize_t n = readlink(self.s, buf, STRING_MAX);
        struct stat a, b;

        if (n > 0 && n < STRING_MAX && buf[0] == '/') {
                buf[n] = '\0';
                if (stat(buf, &a) == 0 && fstat(fd, &b) == 0 && a.st_dev == b.st_dev &&
                    a.st_ino == b.st_ino)
                        return buf;
        }
        memcpy(buf, self.s, sizeof self.s);
        return buf;
}

int erofs_mount(int image, int device, char *log, size_t cap)
{
        char source[STRING_MAX], extra[STRING_MAX];
        struct mount_param params[] = { { "device", name_of(device, extra) }, { "ro", NULL } };

        return mount_new("erofs", name_of(image, source), params, ARRAY_SIZE(params),
                         MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, NULL, log, cap);
}

bool erofs_is(int fd)
{
        struct statfs s;

        return fstatfs(fd, &s) == 0 && s.f_type == EROFS_MAGIC;
}
