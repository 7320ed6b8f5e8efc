/* Stands in for what the store calls in snapshot.c and layer.c until they are there. */
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "image/layer.h"
#include "image/snapshot.h"

__attribute__((weak)) bool snapshot_has_erofs(int dir)
{
        struct utsname u;
        unsigned major = 0, minor = 0;

        uname(&u);
        return geteuid() == 0 && sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
               major * 1000 + minor >= 6012;
}

__attribute__((weak)) void snapshot_forget(const char *run, const char *key, int dir)
{
}

__attribute__((weak)) int layer_tar(const struct layer *l, int dir, int out, const struct log *log,
                                    struct err *e)
{
        return 0;
}
