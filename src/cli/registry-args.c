#include "cli/registry-args.h"

#include <string.h>

#include "base/str.h"

static const struct {
        const char *unit;
        uint64_t ms;
} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "", 1000 } };

#define DELAY_MAX_MS (24u * 3600 * 1000)

int registry_args_delay(const char *text, uint32_t *ret_ms, struct err *e)
{
        size_t n = strspn(text, "0123456789");
        char digits[12] = "";
        uint64_t v;

        if (n > 0 && n < sizeof digits) {
                memcpy(digits, text, n);
                for (size_t i = 0; i < ARRAY_SIZE(units); i++)
                        if (str_eq(text + n, units[i].unit) && str_to_u64(digits, &v) == 0 &&
                            v <= DELAY_MAX_MS / units[i].ms) {
                                *ret_ms = (uint32_t)(v * units[i].ms);
                                return 0;
                        }
        }
        return err_set(e, ERR_INVALID, "--retry-delay: \"%s\" is no time such as 5s", text);
}

static int tls_verify(const char *text, int *ret, struct err *e)
{
        static const char *const words[] = { "false", "true", "0", "1", "no", "yes", "off", "on" };
        int i = STR_INDEX(words, text);

        if (i < 0)
                return err_set(e, ERR_INVALID, "--tls-verify: \"%s\" is neither true nor false",
                               text);
        *ret = i % 2;
        return 0;
}

int registry_args_take(const struct registry_args *r, struct fetch_options *ret, struct err *e)
{
        *ret = (struct fetch_options){ .authfile = r->authfile,
                                       .creds = r->creds,
                                       .cert_dir = r->cert_dir,
                                       .tls_verify = -1,
                                       .retries = (uint32_t)r->retries };
        if (r->tls_verify && tls_verify(r->tls_verify, &ret->tls_verify, e) < 0)
                return -1;
        return r->retry_delay ? registry_args_delay(r->retry_delay, &ret->retry_delay_ms, e) : 0;
}
