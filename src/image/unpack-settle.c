#include "image/unpack.h"

int unpack_settle_dir(int stage, int lower, struct err *e)
{
        return err_set(e, ERR_UNSUPPORTED, "leaning layers are not there yet");
}
int unpack_settle_erofs(int stage, int lower, struct err *e)
{
        return err_set(e, ERR_UNSUPPORTED, "leaning layers are not there yet");
}
