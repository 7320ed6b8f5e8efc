/* What criu answers, which the images that it reads may have shaped. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec/criu-rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO_ARENA a = { 0 };
        struct criu_response r;
        int rc = size ? criu_response_decode(&a, data, size, &r) : -EBADMSG;

        if (rc != 0 && rc != -EBADMSG)
                abort();
        /* Nothing may come out larger than what went in. */
        if (rc == 0 && r.message && strlen(r.message) > size)
                abort();
        if (rc == 0 && r.notify && r.notify->script && strlen(r.notify->script) > size)
                abort();
        return 0;
}
