#include "cli/progress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/safe.h"
#include "base/str.h"

#define REDRAW_MS 100
#define NAME_DIGITS 12
#define BAR_MIN 10
#define BAR_MAX 40
#define BAR_BESIDE 62 /* columns of the rest of a line with a bar */

struct progress {
        struct watcher watcher;
        int fd;
        bool quiet, terminal;
        struct progress_row *rows;
        uint64_t *counted; /* bytes of each row when its rate was last taken */
        unsigned n;
        unsigned drawn;         /* lines on the screen that are ours */
        int64_t redrawn, rated; /* ms */
        struct buf out;
};

static const char *const state_words[] = {
        [TRANSFER_WAITING] = "waiting",
        [TRANSFER_DOWNLOADING] = "pulling",
        [TRANSFER_UPLOADING] = "pushing",
        [TRANSFER_PACKING] = "packing",
        [TRANSFER_LOADING] = "loading",
        [TRANSFER_SAVING] = "saving",
        [TRANSFER_VERIFYING] = "verifying",
        [TRANSFER_DONE] = "done",
        [TRANSFER_REUSED] = "already here",
        [TRANSFER_ELSEWHERE] = "waiting for another process that pulls it",
};
static_assert(ARRAY_SIZE(state_words) == TRANSFER_STATE_MAX, "a word for each state");

static int64_t now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- lines ---- */

void progress_size(struct buf *out, uint64_t bytes)
{
        static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB" };
        double v = (double)bytes;
        size_t u = 0;

        while (v >= 999.5 && u + 1 < ARRAY_SIZE(units)) {
                v /= 1000;
                u++;
        }
        buf_printf(out, u == 0 || v >= 99.95 ? "%.0f%s" : "%.1f%s", v, units[u]);
}

/* The states between waiting and verifying: bytes go somewhere. */
static bool is_moving(const struct progress_row *r)
{
        return r->state >= TRANSFER_DOWNLOADING && r->state <= TRANSFER_SAVING;
}

static void put_bar(struct buf *out, const struct progress_row *r, unsigned width)
{
        unsigned full =
                r->size ? (unsigned)((double)MIN(r->bytes, r->size) / (double)r->size * width) : 0;

        buf_puts(out, "  [");
        for (unsigned i = 0; i < width; i++)
                buf_putc(out, i < full ? '=' : i == full ? '>' : ' ');
        buf_putc(out, ']');
}

static void put_padded(struct buf *out, const char *s, int width)
{
        buf_printf(out, "%*s", width, s);
}

static void put_amounts(struct buf *out, const struct progress_row *r)
{
        AUTO_BUF part = { 0 };
        uint64_t left = r->size - MIN(r->bytes, r->size);
        double eta = r->rate > 1 ? (double)left / r->rate : 0;

        progress_size(&part, r->bytes);
        buf_putc(&part, '/');
        progress_size(&part, r->size);
        put_padded(out, part.s, 16);
        if (r->rate <= 1)
                return;
        buf_clear(&part);
        progress_size(&part, (uint64_t)r->rate);
        buf_puts(&part, "/s");
        put_padded(out, part.s, 11);
        if (eta < 3600 * 100)
                buf_printf(out, "  %02u:%02u", (unsigned)(eta / 60), (unsigned)eta % 60);
}

void progress_line(struct buf *out, const struct progress_row *r, unsigned width)
{
        AUTO_BUF line = { 0 };

        buf_printf(&line, "%s  ", r->name);
        if (!is_moving(r)) {
                buf_puts(&line, state_words[r->state]);
                if (r->state == TRANSFER_DONE && r->size) {
                        buf_puts(&line, ", ");
                        progress_size(&line, r->size);
                }
        } else {
                buf_puts(&line, state_words[r->state]);
                if (r->size && width >= BAR_BESIDE + BAR_MIN)
                        put_bar(&line, r, MIN(width - BAR_BESIDE, BAR_MAX + 0u));
                put_amounts(&line, r);
        }
        if (r->resumed && r->state != TRANSFER_REUSED) {
                buf_puts(&line, ", resumed at ");
                progress_size(&line, r->resumed);
        }
        buf_add(out, line.s, MIN(line.len, (size_t)width));
}

/* ---- the screen ---- */

static void flush(struct progress *p)
{
        fd_write_all(p->fd, buf_str(&p->out), p->out.len);
        buf_clear(&p->out);
}

static struct winsize window(const struct progress *p)
{
        struct winsize w = { 0 };

        if (ioctl(p->fd, TIOCGWINSZ, &w) < 0 || w.ws_col < 20 || w.ws_row < 3)
                w = (struct winsize){ .ws_col = 80, .ws_row = 24 };
        return w;
}

/* Back to the first of our lines, with the cursor hidden while they change. */
static void rewind_lines(struct progress *p)
{
        buf_puts(&p->out, "\x1b[?25l\r");
        if (p->drawn)
                buf_printf(&p->out, "\x1b[%uA", p->drawn);
        buf_puts(&p->out, "\x1b[J");
        p->drawn = 0;
}

static void draw_row(struct progress *p, const struct progress_row *r, unsigned width)
{
        progress_line(&p->out, r, width);
        buf_putc(&p->out, '\n');
        p->drawn++;
}

static bool is_over(const struct progress_row *r)
{
        return r->state == TRANSFER_DONE || r->state == TRANSFER_REUSED;
}

/* All rows where the window has room for them; else those under way, and a summary. */
static void draw(struct progress *p)
{
        struct winsize w = window(p);
        unsigned room = w.ws_row - 2u, used = 0, over = 0;

        for (unsigned i = 0; i < p->n; i++) {
                used += p->rows[i].used;
                over += p->rows[i].used && is_over(&p->rows[i]);
        }
        rewind_lines(p);
        for (unsigned i = 0; i < p->n && p->drawn < room; i++)
                if (p->rows[i].used && (used <= room || is_moving(&p->rows[i]) ||
                                        p->rows[i].state == TRANSFER_VERIFYING))
                        draw_row(p, &p->rows[i], w.ws_col - 1u);
        if (used > room) {
                buf_printf(&p->out, "%u of %u layers done\n", over, used);
                p->drawn++;
        }
        buf_puts(&p->out, "\x1b[?25h");
        flush(p);
        p->redrawn = now_ms();
}

/* The average rate, with a memory of some seconds. */
static void take_rates(struct progress *p, int64_t now)
{
        double seconds = (double)(now - p->rated) / 1000;

        if (p->rated && seconds < 0.5)
                return;
        for (unsigned i = 0; i < p->n; i++) {
                struct progress_row *r = &p->rows[i];
                double current = p->rated && r->bytes > p->counted[i]
                                         ? (double)(r->bytes - p->counted[i]) / seconds
                                         : 0;

                r->rate = r->rate > 0 ? 0.7 * r->rate + 0.3 * current : current;
                p->counted[i] = r->bytes;
        }
        p->rated = now;
}

/* ---- the watcher ---- */

static struct progress_row *row_of(struct progress *p, const struct transfer *t)
{
        unsigned n = MAX(t->of, t->n + 1);

        if (n > p->n) {
                p->rows = mem_realloc(p->rows, mem_mul(n, sizeof *p->rows));
                p->counted = mem_realloc(p->counted, mem_mul(n, sizeof *p->counted));
                memset(p->rows + p->n, 0, (n - p->n) * sizeof *p->rows);
                memset(p->counted + p->n, 0, (n - p->n) * sizeof *p->counted);
                p->n = n;
        }
        return &p->rows[t->n];
}

static void plain_line(struct progress *p, const struct progress_row *r)
{
        buf_printf(&p->out, "%s: %s", r->name, state_words[r->state]);
        if (is_moving(r) || r->state == TRANSFER_DONE) {
                buf_puts(&p->out, ", ");
                progress_size(&p->out, r->size);
        }
        if (is_moving(r) && r->resumed) {
                buf_puts(&p->out, ", resumed at ");
                progress_size(&p->out, r->resumed);
        }
        buf_putc(&p->out, '\n');
        flush(p);
}

static void on_transfer(void *ctx, const struct transfer *t)
{
        struct progress *p = ctx;
        struct progress_row *r = row_of(p, t);
        bool changed = !r->used || r->state != t->state;
        const char *hex = strchr(t->digest, ':');
        int64_t now;

        r->used = true;
        snprintf(r->name, sizeof r->name, "%.*s", NAME_DIGITS, hex ? hex + 1 : t->digest);
        r->state = t->state;
        r->bytes = t->bytes;
        r->size = t->size;
        r->resumed = t->resumed;
        if (p->quiet)
                return;
        if (!p->terminal) {
                if (changed && t->state != TRANSFER_WAITING && t->state != TRANSFER_VERIFYING)
                        plain_line(p, r);
                return;
        }
        now = now_ms();
        if (now - p->redrawn >= REDRAW_MS) {
                take_rates(p, now);
                draw(p);
        }
}

static void put_line(struct progress *p, const char *text)
{
        if (p->terminal && !p->quiet)
                rewind_lines(p);
        buf_printf(&p->out, "%s\n", text);
        if (p->terminal && !p->quiet && p->n)
                draw(p);
        flush(p);
}

/* A registry chose the text: nothing of it may reach the terminal as a command. */
static void on_note(void *ctx, const char *text)
{
        AUTO_BUF clean = { 0 };

        safe_puts(&clean, text);
        put_line(ctx, buf_str(&clean));
}

struct progress *progress_new(int fd, bool quiet)
{
        struct progress *p = mem_alloc(sizeof *p);
        const char *term = getenv("TERM");

        *p = (struct progress){ .watcher = { on_transfer, on_note, p },
                                .fd = fd,
                                .quiet = quiet,
                                .terminal = isatty(fd) && !(term && str_eq(term, "dumb")) };
        return p;
}

const struct watcher *progress_watcher(struct progress *p)
{
        return &p->watcher;
}

static void rows_end(struct progress *p)
{
        if (p->terminal && !p->quiet && p->n)
                draw(p);
        p->n = p->drawn = 0;
        p->rated = p->redrawn = 0;
}

void progress_title(struct progress *p, const char *title)
{
        rows_end(p);
        if (p->quiet)
                return;
        buf_printf(&p->out, "%s\n", title);
        flush(p);
}

void progress_free(struct progress *p)
{
        if (!p)
                return;
        rows_end(p);
        free(p->rows);
        free(p->counted);
        buf_done(&p->out);
        free(p);
}
