/* What a container says on its sd_notify socket: nothing of it speaks for another process. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "oci/sd-notify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        for (int all = 0; all < 2; all++) {
                AUTO_FREE char *text = mem_alloc(n + 1);
                AUTO_BUF out = { 0 };
                bool ready;

                memcpy(text, data, n);
                ready = sd_notify_read(text, all, &out);
                if (str_after(buf_str(&out), "MAINPID=") || strstr(buf_str(&out), "\nMAINPID="))
                        abort();
                if (ready !=
                    (str_after(buf_str(&out), "READY=1\n") || strstr(buf_str(&out), "\nREADY=1\n")))
                        abort();
        }
        return 0;
}
