#include "image/upload-session.h"

#include "base/str.h"

int session_take(struct request *q, const struct exchange *x, struct upload_session *s,
                 struct err *e)
{
        if (!*x->answer.location)
                return err_set(e, ERR_INVALID, "'%s' opened an upload of %s without a Location",
                               q->f->config.endpoints[x->endpoint].host, x->what);
        s->at = arena_strdup(&q->arena, x->answer.url);
        s->location = arena_strdup(&q->arena, x->answer.location);
        s->endpoint = x->endpoint;
        return 0;
}

int session_open(struct request *q, struct upload_session *s, const char *what, struct err *e)
{
        struct exchange x = {
                .method = METHOD_POST, .can = ENDPOINT_PUSH, .path = "/blobs/uploads/", .what = what
        };
        int r = exchange_run(q, &x, e);

        if (r == 0 && x.answer.status != 202)
                r = exchange_refused(q, &x, e);
        if (r == 0) {
                *s = (struct upload_session){ .at = NULL };
                if (str_to_u64(x.answer.oci_chunk_min, &s->chunk_min) < 0)
                        s->chunk_min = 0;
                r = session_take(q, &x, s, e);
        }
        exchange_done(&x);
        return r;
}

void session_aim(const struct upload_session *s, struct exchange *x)
{
        x->at = s->at;
        x->path = s->location;
        x->endpoint = s->endpoint;
        x->can = ENDPOINT_PUSH;
}

void session_ask(struct request *q, struct upload_session *s, const char *what)
{
        struct exchange x = { .method = METHOD_GET, .what = what };
        bool alive;

        session_aim(s, &x);
        alive = exchange_run(q, &x, NULL) == 0 && x.answer.status / 100 == 2 &&
                http_upload_range(x.answer.range, &s->next) == 0;
        if (alive && *x.answer.location)
                alive = session_take(q, &x, s, NULL) == 0;
        if (!alive && !q->f->closed) /* then it wasn't asked: R5 */
                s->location = NULL;
        exchange_done(&x);
}

void session_drop(struct request *q, struct upload_session *s, const char *what)
{
        struct exchange x = { .method = METHOD_DELETE, .what = what, .once = true };

        if (!s->location)
                return;
        session_aim(s, &x);
        /* A registry that can't forgets it in time. */
        if (exchange_run(q, &x, NULL) == 0 &&
            (x.answer.status / 100 == 2 || x.answer.status == 404))
                q->f->dropped++;
        else
                q->f->kept++;
        s->location = NULL;
        exchange_done(&x);
}
