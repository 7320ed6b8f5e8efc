/*
 * initrd.c: the guest's first process, the only program in its initrd: load the modules that the
 * root file system needs, mount it and become systemd.
 *
 * Not busybox and a script: under an emulated CPU each exec costs ten milliseconds or more, and
 * modprobe reads a megabyte of module indexes to find what build already knows. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROOT_DEVICE "/dev/vda"
#define ROOT_WAIT_MS 5000

static _Noreturn void die(const char *what)
{
        fprintf(stderr, "initrd: cannot %s: %s\n", what, strerror(errno));
        /* Let the serial port send that before the machine goes: run prints it. */
        sleep(1);
        reboot(RB_POWER_OFF);
        _exit(1);
}

static void console_open(void)
{
        mkdir("/dev", 0755);
        mkdir("/root", 0755);
        if (mount("devtmpfs", "/dev", "devtmpfs", 0, "mode=0755") < 0)
                die("mount /dev");
        int fd = open("/dev/console", O_RDWR);
        if (fd >= 0)
                for (int i = 0; i < 3; i++)
                        dup2(fd, i);
}

/* A module that fails is reported and passed over: what was really needed shows at the mount. */
static void module_load(const char *name)
{
        char path[300];
        snprintf(path, sizeof path, "/modules/%s", name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
                fprintf(stderr, "initrd: module %s: %s\n", name, strerror(errno));
        if (fd >= 0)
                close(fd);
}

/* /modules/order has one file name a line, each after the modules that it uses. */
static void modules_load(void)
{
        FILE *order = fopen("/modules/order", "re");
        char line[256];
        while (order && fgets(line, sizeof line, order)) {
                line[strcspn(line, "\n")] = '\0';
                module_load(line);
        }
        if (order)
                fclose(order);
}

static void root_enter(void)
{
        /* virtio-blk probes in the background: the device node comes a little after its module. */
        for (int ms = 0; ms < ROOT_WAIT_MS && access(ROOT_DEVICE, F_OK) < 0; ms += 10)
                usleep(10 * 1000);
        if (mount(ROOT_DEVICE, "/root", "ext4", MS_NOATIME, NULL) < 0)
                die("mount " ROOT_DEVICE);
        if (mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) < 0)
                die("move /dev");
        if (chdir("/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
            chdir("/") < 0)
                die("switch to the root file system");
}

int main(void)
{
        console_open();
        modules_load();
        root_enter();
        execl("/lib/systemd/systemd", "/lib/systemd/systemd", NULL);
        die("start systemd");
}
