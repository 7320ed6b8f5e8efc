#include "monitor/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"

#define TERMINAL_ROOM (256 << 10) /* more than the kernel buffers for one */

enum slot { SLOT_OUT, SLOT_ERR, SLOT_IN, SLOT_CLIENTS };

void streams_init(struct streams *s)
{
        s->out[LOG_STDOUT] = s->out[LOG_STDERR] = s->in = -1;
        for (int i = 0; i < STREAMS_CLIENTS; i++)
                s->clients[i].sock = -1;
}

static void drop(struct streams_client *c)
{
        fd_close(c->sock);
        *c = (struct streams_client){ .sock = -1 };
}

/* ---- output ---- */

static bool wants(const struct streams_client *c, char kind)
{
        return c->sock >= 0 && c->op == WIRE_ATTACH &&
               (c->flags & (kind == WIRE_STDERR ? WIRE_WITH_STDERR : WIRE_WITH_STDOUT));
}

/* Sends the chunk to one client; false where it must wait. */
static bool deliver(struct streams *s, struct streams_client *c)
{
        ssize_t n = send(c->sock, s->chunk, s->chunk_len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && (errno == EAGAIN || errno == ENOBUFS))
                return false;
        if (n < 0)
                drop(c);
        else
                c->owes = false;
        return true;
}

bool streams_busy(const struct streams *s)
{
        return s->chunk_len > 0;
}

static void settle(struct streams *s)
{
        for (int i = 0; i < STREAMS_CLIENTS; i++)
                if (s->clients[i].sock >= 0 && s->clients[i].owes)
                        return;
        s->chunk_len = 0;
}

static void hand_out(struct streams *s, int64_t now_ms)
{
        for (int i = 0; i < STREAMS_CLIENTS; i++) {
                struct streams_client *c = &s->clients[i];

                if (!wants(c, s->chunk[0]))
                        continue;
                c->owes = true;
                c->deadline = now_ms + STREAMS_PATIENCE_MS;
                deliver(s, c);
        }
        settle(s);
}

/* One read of a stream; false: nothing there now, or it has ended. */
static bool take(struct streams *s, enum log_stream which, int64_t now_ms)
{
        ssize_t n = read(s->out[which], s->chunk + 1, sizeof s->chunk - 1);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return false;
        if (n <= 0) { /* EIO: the terminal's other side is closed */
                if (s->in == s->out[which])
                        s->in = -1;
                s->out[which] = fd_close(s->out[which]);
                return false;
        }
        s->chunk[0] = which == LOG_STDERR ? WIRE_STDERR : WIRE_STDOUT;
        s->chunk_len = (size_t)n + 1;
        s->last_ms = now_ms;
        s->left[which] -= n;
        log_file_put(&s->log, which, s->chunk + 1, (size_t)n);
        hand_out(s, now_ms);
        return true;
}

void streams_ending(struct streams *s)
{
        for (int i = 0; i < LOG_STREAM_MAX; i++) {
                int room = s->out[i] < 0 ? 0 : fcntl(s->out[i], F_GETPIPE_SZ);

                s->left[i] = room >= 0 ? room : TERMINAL_ROOM;
        }
}

void streams_drain(struct streams *s)
{
        for (int i = 0; i < LOG_STREAM_MAX; i++)
                while (s->out[i] >= 0 && s->left[i] > 0 && !streams_busy(s) &&
                       take(s, (enum log_stream)i, s->last_ms))
                        ;
}

/* ---- input ---- */

static void end_input(struct streams *s)
{
        if (s->in >= 0 && !s->tty)
                s->in = fd_close(s->in);
}

static void pass_input(struct streams *s)
{
        ssize_t n;

        if (s->in < 0) {
                s->typed_len = 0;
                return;
        }
        n = write(s->in, s->typed + s->typed_at, s->typed_len);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n < 0) { /* nobody reads any more */
                end_input(s);
                s->typed_len = 0;
                return;
        }
        s->typed_at += (size_t)n;
        s->typed_len -= (size_t)n;
}

static void resize(const struct streams *s, const char *data, size_t n)
{
        struct winsize w = { 0 };
        struct wire_size size;

        if (!s->tty || s->out[LOG_STDOUT] < 0 || n != sizeof size)
                return;
        memcpy(&size, data, sizeof size);
        w.ws_row = size.rows;
        w.ws_col = size.cols;
        ioctl(s->out[LOG_STDOUT], TIOCSWINSZ, &w);
}

/* A packet of an attached client. */
static void client_packet(struct streams *s, struct streams_client *c)
{
        char packet[WIRE_PACKET_MAX];
        ssize_t n;

        if (s->typed_len)
                return; /* another client's came first: this one's waits in its socket */
        n = recv(c->sock, packet, sizeof packet, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                drop(c);
                settle(s);
        } else if (packet[0] == WIRE_STDIN && (c->flags & WIRE_WITH_STDIN)) {
                memcpy(s->typed, packet + 1, (size_t)n - 1);
                s->typed_at = 0;
                s->typed_len = (size_t)n - 1;
                pass_input(s);
        } else if (packet[0] == WIRE_EOF && (c->flags & WIRE_WITH_STDIN)) {
                end_input(s);
        } else if (packet[0] == WIRE_RESIZE) {
                resize(s, packet + 1, (size_t)n - 1);
        }
}

/* ---- clients ---- */

/* A place for one more: free, or of one that has not asked for anything yet. */
static struct streams_client *find_place(struct streams *s, const struct streams_client *but)
{
        struct streams_client *place = NULL;

        for (int i = 0; i < STREAMS_CLIENTS; i++) {
                struct streams_client *c = &s->clients[i];

                if (c->sock < 0)
                        return c;
                if (c->op == 0 && c != but && !place)
                        place = c;
        }
        return place;
}

void streams_accept(struct streams *s, int sock)
{
        struct streams_client *place = find_place(s, NULL);

        if (!place) {
                fd_close(sock);
                return;
        }
        drop(place);
        place->sock = sock;
}

void streams_reply(struct streams_client *c, const struct wire_reply *r)
{
        send(c->sock, r, sizeof *r, MSG_DONTWAIT | MSG_NOSIGNAL);
        drop(c);
}

void streams_reply_all(struct streams *s, uint32_t op, const struct wire_reply *r)
{
        for (int i = 0; i < STREAMS_CLIENTS; i++)
                if (s->clients[i].sock >= 0 && s->clients[i].op == op)
                        streams_reply(&s->clients[i], r);
}

static void client_request(struct streams *s, struct streams_client *c, streams_request_fn *fn,
                           void *ctx)
{
        struct wire_request q;
        ssize_t n = recv(c->sock, &q, sizeof q, MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n != sizeof q || q.op == 0) {
                drop(c);
                return;
        }
        /* The last place is for those that change something: `stop` must work. */
        if ((q.op == WIRE_ATTACH || q.op == WIRE_WAIT || q.op == WIRE_READY) && !find_place(s, c)) {
                streams_reply(c, &(struct wire_reply){ .status = -EUSERS });
                return;
        }
        q.why[sizeof q.why - 1] = 0;
        c->op = q.op;
        c->flags = q.flags;
        c->patient = q.flags & WIRE_PRIMARY;
        if (q.op == WIRE_ATTACH) {
                struct wire_reply r = { .tty = s->tty };

                if (send(c->sock, &r, sizeof r, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
                        drop(c);
        } else {
                fn(ctx, c, &q);
        }
}

static void no_request(void *ctx, struct streams_client *c, const struct wire_request *q)
{
        drop(c);
}

void streams_accept_first(struct streams *s, int sock)
{
        streams_accept(s, sock);
        client_request(s, &s->clients[0], no_request, NULL);
}

static void client_ready(struct streams *s, struct streams_client *c, short events,
                         streams_request_fn *fn, void *ctx)
{
        if ((events & POLLOUT) && c->owes && deliver(s, c))
                settle(s);
        if (c->sock < 0 || !(events & (POLLIN | POLLHUP | POLLERR)))
                return;
        if (c->op == 0)
                client_request(s, c, fn, ctx);
        else if (c->op == WIRE_ATTACH && (events & POLLIN))
                client_packet(s, c);
        else {
                drop(c); /* it has gone, or talks out of turn */
                settle(s);
        }
}

/* ---- the loop ---- */

void streams_poll(const struct streams *s, struct pollfd p[STREAMS_SLOTS])
{
        bool busy = streams_busy(s);

        p[SLOT_OUT] = (struct pollfd){ busy ? -1 : s->out[LOG_STDOUT], POLLIN, 0 };
        p[SLOT_ERR] = (struct pollfd){ busy ? -1 : s->out[LOG_STDERR], POLLIN, 0 };
        p[SLOT_IN] = (struct pollfd){ s->typed_len ? s->in : -1, POLLOUT, 0 };
        for (int i = 0; i < STREAMS_CLIENTS; i++) {
                const struct streams_client *c = &s->clients[i];
                /* What is typed waits in the socket while the container does not read. */
                short in = c->op == WIRE_ATTACH && s->typed_len ? 0 : POLLIN;

                p[SLOT_CLIENTS + i] =
                        (struct pollfd){ c->sock, (short)(in | (c->owes ? POLLOUT : 0)), 0 };
        }
}

void streams_ready(struct streams *s, const struct pollfd p[STREAMS_SLOTS], int64_t now_ms,
                   streams_request_fn *fn, void *ctx)
{
        if (p[SLOT_OUT].revents)
                take(s, LOG_STDOUT, now_ms);
        if (p[SLOT_ERR].revents && !streams_busy(s) && s->out[LOG_STDERR] >= 0)
                take(s, LOG_STDERR, now_ms);
        if (p[SLOT_IN].revents)
                pass_input(s);
        for (int i = 0; i < STREAMS_CLIENTS; i++)
                if (p[SLOT_CLIENTS + i].revents && s->clients[i].sock == p[SLOT_CLIENTS + i].fd)
                        client_ready(s, &s->clients[i], p[SLOT_CLIENTS + i].revents, fn, ctx);
}

int streams_due(const struct streams *s, int64_t now_ms)
{
        int64_t due = INT64_MAX;

        if (log_file_waiting(&s->log))
                due = s->last_ms + STREAMS_IDLE_MS;
        for (int i = 0; i < STREAMS_CLIENTS; i++)
                if (s->clients[i].owes && !s->clients[i].patient)
                        due = MIN(due, s->clients[i].deadline);
        return due == INT64_MAX ? -1 : (int)MAX(due - now_ms, (int64_t)0);
}

void streams_tick(struct streams *s, int64_t now_ms)
{
        if (log_file_waiting(&s->log) && now_ms >= s->last_ms + STREAMS_IDLE_MS)
                log_file_idle(&s->log);
        for (int i = 0; i < STREAMS_CLIENTS; i++) {
                struct streams_client *c = &s->clients[i];

                if (c->owes && !c->patient && now_ms >= c->deadline)
                        drop(c);
        }
        if (streams_busy(s))
                settle(s);
}

void streams_close(struct streams *s)
{
        if (s->in != s->out[LOG_STDOUT])
                fd_close(s->in);
        s->in = -1;
        for (int i = 0; i < LOG_STREAM_MAX; i++)
                s->out[i] = fd_close(s->out[i]);
        s->typed_len = 0;
}

int streams_finish(struct streams *s, int exit_code)
{
        char packet[1 + sizeof(int32_t)];
        int32_t code = exit_code;
        int primary = -1;

        memcpy(packet + 1, &code, sizeof code);
        for (int i = 0; i < STREAMS_CLIENTS; i++) {
                struct streams_client *c = &s->clients[i];
                bool kept = (c->flags & WIRE_PRIMARY) && primary < 0;

                if (c->sock < 0 || c->op != WIRE_ATTACH)
                        continue;
                packet[0] = kept ? WIRE_LAST : WIRE_EXIT;
                if (send(c->sock, packet, sizeof packet, MSG_DONTWAIT | MSG_NOSIGNAL) > 0 && kept)
                        primary = TAKE_FD(c->sock);
                drop(c);
        }
        return primary;
}

void streams_hurry(struct streams *s, int64_t now_ms)
{
        for (int i = 0; i < STREAMS_CLIENTS; i++) {
                s->clients[i].patient = false;
                s->clients[i].deadline = now_ms + STREAMS_PATIENCE_MS;
        }
}
