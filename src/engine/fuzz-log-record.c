/* A line of a log, in either format: what a container wrote, or whoever edited the file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/logs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        for (int driver = LOG_DRIVER_K8S; driver <= LOG_DRIVER_JSON; driver++) {
                char time[LOG_TIME_CAP], *line = malloc(n ? n : 1);
                struct log_record r;

                if (!line)
                        abort();
                memcpy(line, data, n);
                if (log_record_parse((enum log_driver)driver, line, n, time, &r) &&
                    (r.text < line || r.text + r.len > line + n))
                        abort();
                free(line);
        }
        return 0;
}
