/* Stands in for what the store calls in snapshot.c and layer.c until they are there. */
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "image/layer.h"
#include "image/snapshot.h"

__attribute__((weak)) int layer_tar(const struct layer *l, int dir, int out, const struct log *log,
                                    struct err *e)
{
        return 0;
}
