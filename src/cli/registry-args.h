/* The options of every command that speaks to a registry. */
#pragma once

#include "cli/opt.h"
#include "image/fetch.h"

struct registry_args {
        const char *authfile, *creds, *cert_dir, *tls_verify, *retry_delay;
        uint64_t retries;
};

/* Their rows; f is the struct registry_args of the command's struct T, whose defaults take
 * REGISTRY_ARGS_DEFAULTS for it. */
#define REGISTRY_OPTS(T, f)                                                                        \
        HEADING("The registry"),                                                                   \
                STR(T, f.authfile, 0, "authfile", "FILE",                                          \
                    "Read credentials from FILE instead of the usual places",                      \
                    .complete = COMPLETE_FILE),                                                    \
                STR(T, f.creds, 0, "creds", "USER[:PASSWORD]", "Log in as USER"),                  \
                STR(T, f.cert_dir, 0, "cert-dir", "DIR",                                           \
                    "Take certificates (*.crt, *.cert with *.key) from DIR",                       \
                    .complete = COMPLETE_DIR),                                                     \
                STR_OPTIONAL(T, f.tls_verify, 0, "tls-verify", "BOOL", "true",                     \
                             "Whether the registry's certificate must be good; false also allows " \
                             "plain HTTP. As registries.conf says by default"),                    \
                UINT(T, f.retries, 0, "retry", "N", "How often to try again; 3 by default",        \
                     .min = 0, .max = 1000),                                                       \
                STR(T, f.retry_delay, 0, "retry-delay", "TIME",                                    \
                    "Wait so long before trying again, such as 5s or 2m; by default one second, "  \
                    "doubling")
#define REGISTRY_ARGS_DEFAULTS                                                                     \
        {                                                                                          \
                .retries = 3                                                                       \
        }

/* Checks them and fills ret, which the caller may fill further. */
int registry_args_take(const struct registry_args *r, struct fetch_options *ret, struct err *e);
/* "5s", "500ms", "2m", "1h", "5" (seconds) in milliseconds. */
int registry_args_delay(const char *text, uint32_t *ret_ms, struct err *e);
