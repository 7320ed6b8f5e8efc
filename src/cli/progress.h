/* What pull, push, load and save show while they work, on standard error.
 *
 * On a terminal: one line a layer with a bar, bytes, rate and time left, drawn again in place at
 * most ten times a second and fitted to the window as it is then. Elsewhere: plain lines, one when
 * a layer starts and one when it ends. Notes (warnings, retries, rate limits) stand above. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "image/pull.h"

struct progress;

/* fd is where to write, as a rule 2; quiet: nothing but notes. The caller's to free. */
struct progress *progress_new(int fd, bool quiet);
/* The last state of each line is drawn and stays; the cursor is shown again. Takes NULL. */
void progress_free(struct progress *p);
/* To hand to image_pull() and its like; valid until progress_free(). */
const struct watcher *progress_watcher(struct progress *p);
/* A line of its own, then rows start over: the next image of several. */
void progress_title(struct progress *p, const char *title);

/* ---- what is drawn, for tests ---- */

struct progress_row {
        bool used;
        char name[16]; /* first digits of the digest */
        enum transfer_state state;
        uint64_t bytes, size, resumed;
        double rate; /* bytes a second; 0: unknown yet */
};
/* One line of at most width columns, without a line feed. */
void progress_line(struct buf *out, const struct progress_row *r, unsigned width);
/* "1.5GB", "12.3MB", "999B": powers of 1000, as docker prints them. */
void progress_size(struct buf *out, uint64_t bytes);
