/* checkpoint, restore. */
#include "cli/oci/ctx.h"

static int refuse(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        return err_set(e, ERR_UNSUPPORTED, "checkpoint and restore are not built yet");
}

const struct command oci_checkpoint = {
        .name = "checkpoint",
        .usage = "CONTAINER-ID",
        .help = "Save a running container to files",
        .min = 1,
        .max = 1,
        .complete = { COMPLETE_CONTAINER },
        .run = refuse,
};

const struct command oci_restore = {
        .name = "restore",
        .usage = "CONTAINER-ID",
        .help = "Bring back a container from a checkpoint",
        .min = 1,
        .max = 1,
        .run = refuse,
};
