/* The monitor's control socket: packets of several clients, each a byte that chooses the client and
 * what it does, a byte of length, and data. Its streams are pipes. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/mem.h"
#include "monitor/streams.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { CLIENTS = 4 };

struct world {
        struct streams s;
        int clients[CLIENTS];
        int out, in; /* the container's ends */
        int64_t now;
};

/* Every other request is answered at once, as a signal is; the rest wait, as a stop does. */
static void on_request(void *ctx, struct streams_client *c, const struct wire_request *q)
{
        struct wire_reply r = { .status = q->signal };

        if (!memchr(q->why, 0, sizeof q->why) || q->op == 0 || q->op == WIRE_ATTACH)
                abort();
        if (q->op % 2)
                streams_reply(c, &r);
}

static void turn(struct world *w)
{
        struct pollfd p[STREAMS_SLOTS];

        streams_poll(&w->s, p);
        if (poll(p, ARRAY_SIZE(p), 0) > 0)
                streams_ready(&w->s, p, w->now, on_request, w);
        streams_tick(&w->s, w->now);
        if (w->s.chunk_len > sizeof w->s.chunk ||
            w->s.typed_at + w->s.typed_len > sizeof w->s.typed)
                abort();
}

static void open_client(struct world *w, int i)
{
        int pair[2];

        fd_close(w->clients[i]);
        w->clients[i] = -1;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return;
        w->clients[i] = pair[0];
        streams_accept(&w->s, pair[1]);
}

/* A whole request of which the data say the first bytes. */
static void ask(struct world *w, int i, const uint8_t *data, size_t n)
{
        struct wire_request q = { 0 };

        memcpy(&q, data, MIN(n, sizeof q));
        send(w->clients[i], &q, sizeof q, MSG_NOSIGNAL);
}

static void act(struct world *w, uint8_t what, const uint8_t *data, size_t n)
{
        char rest[65536];
        int i = what % CLIENTS;

        switch (what / CLIENTS % 7) {
        case 0:
                open_client(w, i);
                break;
        case 1:
                ask(w, i, data, n);
                break;
        case 2:
                send(w->clients[i], data, n, MSG_NOSIGNAL);
                break;
        case 3:
                w->clients[i] = fd_close(w->clients[i]);
                break;
        case 4:
                if (write(w->out, data, n) < 0)
                        w->out = fd_close(w->out);
                break;
        case 5:
                w->now += n * 100;
                while (w->in >= 0 && read(w->in, rest, sizeof rest) > 0)
                        ;
                break;
        case 6:
                streams_reply_all(&w->s, n ? data[0] : WIRE_WAIT, &(struct wire_reply){ 0 });
        }
}

static int make(struct world *w)
{
        int out[2], in[2];

        if (pipe2(out, O_CLOEXEC | O_NONBLOCK) < 0 || pipe2(in, O_CLOEXEC | O_NONBLOCK) < 0)
                return -1;
        streams_init(&w->s);
        w->s.log.driver = LOG_DRIVER_NONE;
        w->s.out[LOG_STDOUT] = out[0];
        w->out = out[1];
        w->s.in = in[1];
        w->in = in[0];
        for (int i = 0; i < CLIENTS; i++)
                w->clients[i] = -1;
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct world *w = mem_alloc(sizeof *w);

        signal(SIGPIPE, SIG_IGN);
        if (make(w) < 0)
                abort();
        while (n >= 2) {
                size_t len = MIN((size_t)data[1], n - 2);

                act(w, data[0], data + 2, len);
                turn(w);
                data += 2 + len;
                n -= 2 + len;
        }
        streams_drain(&w->s);
        streams_close(&w->s);
        fd_close(streams_finish(&w->s, 0));
        for (int i = 0; i < STREAMS_CLIENTS; i++)
                fd_close(w->s.clients[i].sock);
        for (int i = 0; i < CLIENTS; i++)
                fd_close(w->clients[i]);
        fd_close(w->out);
        fd_close(w->in);
        free(w);
        return 0;
}
