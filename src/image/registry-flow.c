#include "image/registry-flow.h"

#include <errno.h>
#include <unistd.h>

#include "base/macro.h"
#include "codec/http-field.h"

static bool fail(struct flow *f, enum flow_state state)
{
        f->state = state;
        return false;
}

bool flow_begin(struct flow *f, int status, const char *content_range)
{
        struct http_range range;

        f->state = FLOW_OK;
        f->pos = 0;
        if (status != 206)
                return true;
        if (f->whole || http_content_range(content_range, &range) < 0 || range.unsatisfied)
                return fail(f, FLOW_BAD_RANGE);
        /* An answer may begin earlier than asked for; later, or of another blob, it may not. */
        if (range.first > f->at || (range.size != UINT64_MAX && range.size != f->size))
                return fail(f, FLOW_BAD_RANGE);
        f->pos = range.first;
        return true;
}

/* Writes p[0..n) as far as there is room; -1 for an error. */
static ssize_t put_some(struct flow *f, const char *p, size_t n)
{
        size_t done = 0;

        while (done < n) {
                ssize_t w = write(f->fd, p + done, n - done);

                if (w >= 0) {
                        done += (size_t)w;
                } else if (errno == EAGAIN) {
                        break;
                } else if (errno != EINTR) {
                        f->error = errno;
                        f->state = errno == EPIPE ? FLOW_CLOSED : FLOW_SYSTEM;
                        return -1;
                }
        }
        return (ssize_t)done;
}

bool flow_put(struct flow *f, const char *data, size_t n)
{
        uint64_t known = f->at > f->pos ? MIN(f->at - f->pos, (uint64_t)n) : 0;
        ssize_t done = 0;

        f->pos += n;
        data += known;
        n -= (size_t)known;
        if (n > f->size - f->at)
                return fail(f, FLOW_TOO_LONG);
        if (n == 0)
                return true;
        if (!flow_full(f))
                done = put_some(f, data, n);
        if (done < 0)
                return false;
        if ((size_t)done < n)
                buf_add(&f->held, data + done, n - (size_t)done);
        f->at += n;
        return true;
}

bool flow_drain(struct flow *f)
{
        ssize_t done = put_some(f, f->held.s + f->held_at, f->held.len - f->held_at);

        if (done < 0)
                return false;
        f->held_at += (size_t)done;
        if (f->held_at == f->held.len) {
                buf_clear(&f->held);
                f->held_at = 0;
        }
        return true;
}

void flow_done(struct flow *f)
{
        buf_done(&f->held);
}
