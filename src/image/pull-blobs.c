/* The blobs of an artifact: kept as they are, under their digests. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "image/pull-internal.h"

#define BLOB "spool"
#define CHUNK (256u << 10)

struct blob {
        const struct descriptor *d;
        struct hash hash;
        uint64_t have;
        int file;
        char *chunk;
};

/* Hashes what an earlier try left. */
static int read_back(struct blob *b, struct err *e)
{
        ssize_t n;

        while ((n = read(b->file, b->chunk, CHUNK)) > 0) {
                hash_update(&b->hash, b->chunk, (size_t)n);
                b->have += (uint64_t)n;
        }
        return n < 0 ? err_sys(e, errno, "cannot read what is here of it") : 0;
}

/* From the pipe into the file; the size and the digest decide in the end. */
static int copy(struct blob *b, int from, const struct pull *p, struct transfer *t, struct err *e)
{
        ssize_t n;
        int r;

        while ((n = read(from, b->chunk, CHUNK)) != 0) {
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_sys(e, errno, "cannot read the download");
                hash_update(&b->hash, b->chunk, (size_t)n);
                b->have += (uint64_t)n;
                if (b->have > b->d->size)
                        return err_set(e, ERR_INVALID, "it is longer than its %llu bytes",
                                       (unsigned long long)b->d->size);
                r = fd_write_all(b->file, b->chunk, (size_t)n);
                if (r < 0)
                        return err_sys(e, r, "cannot write it");
                t->bytes = b->have;
                pull_report(p, t);
        }
        return 0;
}

/* Takes the download's last event: an error of its own explains a short body. */
static int download_end(struct pull *p, unsigned id, struct err *e)
{
        struct fetch_event ev;
        int got;

        while ((got = fetch_next(p->fetch, -1, &ev, e)) > 0) {
                if (ev.kind == FETCH_NOTE || ev.kind == FETCH_RATE)
                        pull_note(p, ev.text);
                if (ev.id != id)
                        continue;
                if (ev.kind == FETCH_DONE)
                        return 0;
                if (ev.kind == FETCH_FAILED) {
                        *e = ev.err;
                        return -1;
                }
        }
        return -1;
}

static int download(struct pull *p, struct blob *b, struct transfer *t, struct err *e)
{
        AUTO_FD int from = -1;
        char digest[DIGEST_CAP];
        int pipes[2], rc;

        if (b->have < b->d->size) {
                if (pipe2(pipes, O_CLOEXEC) < 0)
                        return err_sys(e, errno, "cannot make a pipe");
                from = pipes[0];
                if (pull_fetch(p, e) < 0 ||
                    fetch_blob(p->fetch, t->n, b->d, b->have, pipes[1], e) < 0)
                        return -1;
                rc = copy(b, from, p, t, e);
                from = fd_close(from);
                if (rc < 0 || download_end(p, t->n, e) < 0)
                        return -1;
        }
        hash_final(&b->hash, digest);
        if (b->have != b->d->size)
                return err_set(e, ERR_INVALID, "it has %llu bytes instead of %llu",
                               (unsigned long long)b->have, (unsigned long long)b->d->size);
        if (!str_eq(digest, b->d->digest))
                return err_set(e, ERR_INVALID, "its content has the digest %s", digest);
        return 0;
}

static int into_stage(struct pull *p, struct stage *g, const struct descriptor *d,
                      struct transfer *t, struct err *e)
{
        AUTO_FREE char *chunk = mem_alloc(CHUNK);
        AUTO_FD int file = openat(g->dir, BLOB, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        struct blob b = { .d = d, .file = file, .chunk = chunk };
        enum hash_alg alg = HASH_SHA256;

        if (file < 0)
                return err_sys(e, errno, "cannot make a file for it");
        digest_check(d->digest, &alg);
        hash_init(&b.hash, alg);
        if (read_back(&b, e) < 0)
                return -1;
        if (b.have > d->size)
                return err_set(e, ERR_INVALID, "what is here of it is longer than the blob");
        t->resumed = b.have;
        if (download(p, &b, t, e) < 0)
                return -1;
        return store_blob_adopt(p->store, g->dir, BLOB, d->digest, e);
}

static int pull_blob(struct pull *p, const struct descriptor *d, struct transfer *t, struct err *e)
{
        struct stage g;
        char name[72];
        int rc;

        if (store_blob_has(p->store, d->digest)) {
                t->state = TRANSFER_REUSED;
                return 0;
        }
        if (d->data)
                return store_blob_put(p->store, d->data, d->size, d->digest, NULL, e);
        store_layer_key(d->digest, name);
        if (stage_open(p->store, name, false, &g, e) < 0)
                return -1;
        /* The download of another process may just have ended. */
        rc = store_blob_has(p->store, d->digest) ? 0 : into_stage(p, &g, d, t, e);
        if (rc < 0 && e->code == ERR_UNAVAILABLE)
                stage_keep(p->store, &g);
        else
                stage_remove(p->store, &g);
        return rc;
}

int pull_blobs(struct pull *p, const struct manifest *m, struct err *e)
{
        for (size_t i = 0; i <= m->nlayers; i++) {
                const struct descriptor *d = i < m->nlayers ? &m->layers[i] : &m->config;
                struct transfer t = { .n = (unsigned)i,
                                      .of = (unsigned)m->nlayers + 1,
                                      .digest = d->digest,
                                      .size = d->size,
                                      .state = TRANSFER_DOWNLOADING };

                if (!d->digest) /* an artifact without configuration */
                        continue;
                if (pull_blob(p, d, &t, e) < 0) {
                        err_hint(e, "Pull again: it goes on from where it stopped.");
                        return err_in(e, "blob %s", d->digest);
                }
                t.bytes = d->size;
                if (t.state != TRANSFER_REUSED)
                        t.state = TRANSFER_DONE;
                pull_report(p, &t);
        }
        return 0;
}
