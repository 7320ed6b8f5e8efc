/* Input → digest, inflate → chunks for the diffID and the sink.
 *
 * Whatever goes wrong behind the digest may be the fault of bytes that were damaged on their way:
 * the rest of the blob is then still read, and a wrong digest is the error that is told, since it
 * is the cause. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/hash.h"
#include "codec/inflate.h"
#include "image/unpack-ring.h"
#include "image/unpack.h"

struct pump {
        const struct layer_job *job;
        int spool;
        uint64_t resumed, at; /* bytes that came from the spool; all */
        struct hash digest, diff_id;
        enum compression compression;
        struct inflate *inflate;
        uint8_t *chunk; /* being filled */
        size_t fill;
        struct ring ring;
        struct sink *sink;
        struct err sink_err;
        uint64_t tar_size;
};

const char *unpack_name(const char *path, char buf[200])
{
        size_t n = strlen(path), i = 0;

        /* The end says more than the beginning. */
        if (n > 190) {
                path += n - 190;
                i = (size_t)snprintf(buf, 200, "...");
        }
        for (; *path; path++)
                buf[i++] = (char)((unsigned char)*path < ' ' || *path == 127 ? '?' : *path);
        buf[i] = '\0';
        return buf;
}

int unpack_refuse_entry(struct err *e, uint64_t n, const char *path, int code, const char *rule)
{
        char name[200];

        return err_set(e, code == -E2BIG ? ERR_LIMIT : ERR_INVALID,
                       "its entry %llu '%s' is refused: %s", (unsigned long long)n,
                       unpack_name(path, name), rule);
}

int unpack_refuse(struct err *e, int code, const char *problem)
{
        if (code == -E2BIG)
                return err_set(e, ERR_LIMIT, "the layer is over a limit: %s", problem);
        return err_set(e, ERR_INVALID, "the layer's archive is invalid: %s", problem);
}

int unpack_pread(int fd, void *p, size_t n, uint64_t offset)
{
        uint8_t *at = p;

        while (n > 0) {
                ssize_t r = pread(fd, at, n, (off_t)offset);

                if (r < 0 && errno == EINTR)
                        continue;
                if (r <= 0)
                        return r < 0 ? -errno : -EIO;
                at += r;
                n -= (size_t)r;
                offset += (uint64_t)r;
        }
        return 0;
}

/* ---- input ---- */

static int spool_read(struct pump *p, uint8_t *buf, size_t n, size_t *ret_n, struct err *e)
{
        n = MIN((uint64_t)n, p->job->resume - p->at);
        if (unpack_pread(p->spool, buf, n, p->at) < 0)
                return err_set(e, ERR_INVALID,
                               "the spool of the interrupted download is shorter"
                               " than expected");
        p->resumed += n;
        *ret_n = n;
        return 0;
}

static int input_read(struct pump *p, uint8_t *buf, size_t n, size_t *ret_n, struct err *e)
{
        ssize_t r;

        do
                r = read(p->job->input, buf, n);
        while (r < 0 && errno == EINTR);
        if (r < 0)
                return err_sys(e, errno, "cannot read the blob");
        *ret_n = (size_t)r;
        if (p->spool >= 0 && r > 0) {
                int w = fd_write_all(p->spool, buf, (size_t)r);

                if (w < 0)
                        return err_sys(e, w, "cannot write the spool");
        }
        return 0;
}

/* The next bytes of the blob, hashed: 0 at its end. */
static int blob_read(struct pump *p, uint8_t *buf, size_t n, size_t *ret_n, struct err *e)
{
        int r;

        if (p->job->size)
                n = MIN((uint64_t)n, p->job->size - p->at);
        if (n == 0) {
                *ret_n = 0;
                return 0;
        }
        r = p->at < p->job->resume ? spool_read(p, buf, n, ret_n, e)
                                   : input_read(p, buf, n, ret_n, e);
        if (r < 0)
                return -1;
        hash_update(&p->digest, buf, *ret_n);
        p->at += *ret_n;
        return 0;
}

/* ---- output: in the consumers' threads ---- */

static bool take_diff_id(void *ctx, const uint8_t *b, size_t n)
{
        struct pump *p = ctx;

        hash_update(&p->diff_id, b, n);
        return true;
}

static bool take_sink(void *ctx, const uint8_t *b, size_t n)
{
        struct pump *p = ctx;

        return p->sink->feed(p->sink, b, n, &p->sink_err) == 0;
}

static bool take_both(void *ctx, const uint8_t *b, size_t n)
{
        return take_diff_id(ctx, b, n) && take_sink(ctx, b, n);
}

static int consumers_start(struct pump *p, struct err *e)
{
        /* An uncompressed blob's digest is the diffID, where they are of one kind. */
        bool same = p->compression == COMPRESSION_NONE && p->digest.alg == p->diff_id.alg;
        int r;

        if (same) {
                ring_consumer_add(&p->ring, take_sink, p);
        } else if (p->job->threads < 3) {
                ring_consumer_add(&p->ring, take_both, p);
        } else {
                ring_consumer_add(&p->ring, take_diff_id, p);
                ring_consumer_add(&p->ring, take_sink, p);
        }
        if (p->job->threads < 2)
                return 0;
        r = ring_start(&p->ring);
        return r < 0 ? err_sys(e, r, "cannot start a thread") : 0;
}

/* The chunk is full, or the last one. */
static int chunk_flush(struct pump *p, struct err *e)
{
        bool more = true;

        p->tar_size += p->fill;
        if (p->fill > 0)
                more = ring_put(&p->ring, p->fill);
        p->fill = 0;
        p->chunk = NULL;
        return more ? 0
                    : err_set(e, ERR_STATE, "the sink has failed"); /* has an error of its own */
}

static void chunk_need(struct pump *p)
{
        if (!p->chunk)
                p->chunk = ring_buffer(&p->ring);
}

/* ---- between them ---- */

static int inflate_some(struct pump *p, const uint8_t *in, size_t n, struct err *e)
{
        for (;;) {
                int64_t got;

                chunk_need(p);
                got = inflate_run(p->inflate, &in, &n, p->chunk + p->fill, UNPACK_CHUNK - p->fill);
                if (got < 0)
                        return unpack_refuse(e, (int)got, inflate_problem(p->inflate));
                if (got == 0)
                        return 0;
                p->fill += (size_t)got;
                if (p->fill == UNPACK_CHUNK && chunk_flush(p, e) < 0)
                        return -1;
        }
}

static int run_inflating(struct pump *p, uint8_t *buf, size_t n, struct err *e)
{
        p->inflate = inflate_new(p->compression, 27);
        while (n > 0) {
                if (inflate_some(p, buf, n, e) < 0 || blob_read(p, buf, UNPACK_INPUT, &n, e) < 0)
                        return -1;
        }
        if (inflate_finish(p->inflate) < 0)
                return unpack_refuse(e, -EINVAL, inflate_problem(p->inflate));
        return chunk_flush(p, e);
}

/* What is not compressed is read into the chunks themselves. */
static int run_plain(struct pump *p, const uint8_t *first, size_t n, struct err *e)
{
        chunk_need(p);
        memcpy(p->chunk, first, n);
        while (n > 0) {
                p->fill = n;
                if (chunk_flush(p, e) < 0)
                        return -1;
                chunk_need(p);
                if (blob_read(p, p->chunk, UNPACK_CHUNK, &n, e) < 0)
                        return -1;
        }
        return 0;
}

static int run(struct pump *p, uint8_t *buf, struct err *e)
{
        size_t n = 0, more = 1;
        int r;

        /* Its first four bytes tell the compression, whatever the media type says. */
        while (n < 4 && more > 0) {
                if (blob_read(p, buf + n, UNPACK_INPUT - n, &more, e) < 0)
                        return -1;
                n += more;
        }
        p->compression = compression_sniff(buf, n);
        if (consumers_start(p, e) < 0)
                return -1;
        r = p->compression == COMPRESSION_NONE ? run_plain(p, buf, n, e)
                                               : run_inflating(p, buf, n, e);
        ring_end(&p->ring);
        if (p->sink_err.code && e)
                *e = p->sink_err;
        return r < 0 || p->sink_err.code ? -1 : 0;
}

/* ---- verification ---- */

static int verify_blob(struct pump *p, struct layer_result *ret, struct err *e)
{
        const struct layer_job *j = p->job;

        hash_final(&p->digest, ret->digest);
        ret->size = p->at;
        if (j->size && p->at != j->size)
                return err_set(e, ERR_UNAVAILABLE, "it ends after %llu of %llu bytes",
                               (unsigned long long)p->at, (unsigned long long)j->size);
        if (j->digest && !str_eq(j->digest, ret->digest)) {
                ret->corrupt_spool = p->resumed > 0;
                return err_set(e, ERR_INVALID, "its bytes have the digest '%s'", ret->digest);
        }
        return 0;
}

/* After an error: whether the blob's own bytes are to blame; replaces the error if so. */
static void blame(struct pump *p, uint8_t *buf, struct layer_result *ret, struct err *e)
{
        struct err own;
        size_t n = 1;

        /* A full disk is no fault of the bytes, nor is a limit, unless they may be stale. */
        if (!p->job->digest || e->sys || (e->code != ERR_INVALID && p->resumed == 0) ||
            (e->code != ERR_INVALID && e->code != ERR_LIMIT))
                return;
        while (n > 0)
                if (blob_read(p, buf, UNPACK_INPUT, &n, &own) < 0)
                        return;
        err_clear(&own);
        if (verify_blob(p, ret, &own) < 0)
                *e = own;
}

static int verify_tar(struct pump *p, struct layer_result *ret, struct err *e)
{
        const char *want = p->job->diff_id;

        ret->tar_size = p->tar_size;
        if (p->compression == COMPRESSION_NONE && p->digest.alg == p->diff_id.alg)
                memcpy(ret->diff_id, ret->digest, sizeof ret->diff_id);
        else
                hash_final(&p->diff_id, ret->diff_id);
        if (want && !str_eq(want, ret->diff_id))
                return err_set(e, ERR_INVALID,
                               "its uncompressed bytes have the digest '%s', not the diffID '%s'"
                               " of the image's configuration",
                               ret->diff_id, want);
        return 0;
}

static int pump_run(struct pump *p, uint8_t *buf, struct layer_result *ret, struct err *e)
{
        if (run(p, buf, e) < 0) {
                blame(p, buf, ret, e);
                return -1;
        }
        if (verify_blob(p, ret, e) < 0 || verify_tar(p, ret, e) < 0)
                return -1;
        if (p->sink->finish(p->sink, e) < 0)
                return -1;
        ret->entries = p->sink->entries;
        ret->leans = p->sink->leans;
        return 0;
}

int unpack_pump(const struct layer_job *j, int spool, struct sink *s, struct layer_result *ret,
                struct err *e)
{
        struct pump p = { .job = j, .spool = spool, .sink = s };
        AUTO_FREE uint8_t *buf = malloc(UNPACK_INPUT);
        enum hash_alg digest = HASH_SHA256, diff_id = HASH_SHA256;
        int r;

        if (!buf)
                abort();
        if (j->digest && digest_check(j->digest, &digest) < 0)
                return err_set(e, ERR_INVALID, "'%s' is no digest", j->digest);
        if (j->diff_id && digest_check(j->diff_id, &diff_id) < 0)
                return err_set(e, ERR_INVALID, "'%s' is no digest", j->diff_id);
        hash_init(&p.digest, digest);
        hash_init(&p.diff_id, diff_id);
        ring_init(&p.ring, UNPACK_CHUNK);
        r = pump_run(&p, buf, ret, e);
        ring_done(&p.ring);
        inflate_free(p.inflate);
        return r;
}
