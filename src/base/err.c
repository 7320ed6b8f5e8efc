#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const code_names[] = {
        [ERR_NONE] = "ok",
        [ERR_INVALID] = "invalid",
        [ERR_NOT_FOUND] = "not-found",
        [ERR_EXISTS] = "exists",
        [ERR_STATE] = "wrong-state",
        [ERR_DENIED] = "denied",
        [ERR_UNSUPPORTED] = "unsupported",
        [ERR_LIMIT] = "limit",
        [ERR_UNAVAILABLE] = "unavailable",
        [ERR_SYSTEM] = "system",
        [ERR_INTERNAL] = "internal",
};
static_assert(ARRAY_SIZE(code_names) == ERR_MAX, "each code has a name");

enum err_code err_code_of(int sys)
{
        switch (abs(sys)) {
        case 0:
                return ERR_INTERNAL;
        case ENOENT:
        case ESRCH:
                return ERR_NOT_FOUND;
        case EEXIST:
                return ERR_EXISTS;
        case EPERM:
        case EACCES:
                return ERR_DENIED;
        case EINVAL:
        case ERANGE:
                return ERR_INVALID;
        case ENOSYS:
        case EOPNOTSUPP:
                return ERR_UNSUPPORTED;
        case ENOMEM:
        case ENOSPC:
        case EDQUOT:
        case EMFILE:
        case ENFILE:
        case E2BIG:
                return ERR_LIMIT;
        default:
                return ERR_SYSTEM;
        }
}

const char *err_code_name(enum err_code code)
{
        return code < ERR_MAX ? code_names[code] : "unknown";
}

void err_clear(struct err *e)
{
        if (e)
                *e = (struct err){ 0 };
}

int err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
        va_list ap;

        if (!e)
                return -1;
        err_clear(e);
        e->code = code;
        va_start(ap, fmt);
        vsnprintf(e->chain, sizeof e->chain, fmt, ap);
        va_end(ap);
        return -1;
}

int err_sys(struct err *e, int sys, const char *fmt, ...)
{
        va_list ap;
        size_t len;

        if (!e)
                return -1;
        err_clear(e);
        e->sys = abs(sys);
        e->code = err_code_of(sys);
        va_start(ap, fmt);
        vsnprintf(e->chain, sizeof e->chain, fmt, ap);
        va_end(ap);
        len = strlen(e->chain);
        snprintf(e->chain + len, sizeof e->chain - len, ": %s", strerror(e->sys));
        /* Callers derive exit statuses from these phrases, which strerror() capitalises. */
        if (len + 2 < sizeof e->chain && e->chain[len + 2] >= 'A' && e->chain[len + 2] <= 'Z' &&
            e->sys != EIO)
                e->chain[len + 2] |= 0x20;
        return -1;
}

int err_in(struct err *e, const char *fmt, ...)
{
        char frame[sizeof e->chain];
        size_t have, add;
        va_list ap;

        if (!e)
                return -1;
        va_start(ap, fmt);
        vsnprintf(frame, sizeof frame, fmt, ap);
        va_end(ap);
        have = strlen(e->chain);
        add = strlen(frame);
        if (add + 2 + have >= sizeof e->chain)
                return -1;
        memmove(e->chain + add + 2, e->chain, have + 1);
        memcpy(e->chain, frame, add);
        memcpy(e->chain + add, ": ", 2);
        return -1;
}

int err_hint(struct err *e, const char *fmt, ...)
{
        va_list ap;

        if (!e || e->hint[0])
                return -1;
        va_start(ap, fmt);
        vsnprintf(e->hint, sizeof e->hint, fmt, ap);
        va_end(ap);
        return -1;
}
