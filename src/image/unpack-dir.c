#include "image/unpack.h"

struct sink *sink_dir_new(const struct layer_job *j, struct err *e)
{
        err_set(e, ERR_UNSUPPORTED, "layers as directories are not there yet");
        return NULL;
}
int unpack_settle_dir(int stage, int lower, struct err *e)
{
        return err_set(e, ERR_UNSUPPORTED, "layers as directories are not there yet");
}
int unpack_settle_erofs(int stage, int lower, struct err *e)
{
        return err_set(e, ERR_UNSUPPORTED, "leaning layers are not there yet");
}
int unpack_tar_dir(int dir, unpack_tar_fn *fn, void *ctx, struct err *e)
{
        return err_set(e, ERR_UNSUPPORTED, "layers as directories are not there yet");
}
