/* berth-layer MODE KEY=VALUE...: see image/layer.h for what it does, image/layer-wire.h for how it
 * is called. A failure is in the record; its exit status only says that there was one. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "image/layer-wire.h"
#include "image/unpack-confine.h"
#include "image/unpack-out.h"
#include "image/unpack.h"

#define INFLATE_MAX (1ull << 40)

/* ---- arguments ---- */

struct args {
        struct layer_job job;
        const char *backend, *compression;
        uint64_t threads, spool, userxattr, level;
        uint64_t path, pax, xattr, xattrs, extents;
};

static const struct arg {
        const char *key;
        bool text;
        size_t at;
} table[] = {
        { "backend", true, offsetof(struct args, backend) },
        { "digest", true, offsetof(struct args, job.digest) },
        { "diff-id", true, offsetof(struct args, job.diff_id) },
        { "compression", true, offsetof(struct args, compression) },
        { "level", false, offsetof(struct args, level) },
        { "size", false, offsetof(struct args, job.size) },
        { "resume", false, offsetof(struct args, job.resume) },
        { "threads", false, offsetof(struct args, threads) },
        { "spool", false, offsetof(struct args, spool) },
        { "userxattr", false, offsetof(struct args, userxattr) },
        { "limit-entries", false, offsetof(struct args, job.limits.entries) },
        { "limit-bytes", false, offsetof(struct args, job.limits.bytes) },
        { "limit-file", false, offsetof(struct args, job.limits.file_size) },
        { "limit-path", false, offsetof(struct args, path) },
        { "limit-pax", false, offsetof(struct args, pax) },
        { "limit-xattr", false, offsetof(struct args, xattr) },
        { "limit-xattrs", false, offsetof(struct args, xattrs) },
        { "limit-extents", false, offsetof(struct args, extents) },
};

static int arg_take(struct args *a, const char *text, struct err *e)
{
        const char *value = strchr(text, '=');
        size_t n = value ? (size_t)(value++ - text) : 0;

        for (size_t i = 0; value && i < ARRAY_SIZE(table); i++) {
                void *to = (char *)a + table[i].at;

                if (strlen(table[i].key) != n || memcmp(table[i].key, text, n) != 0)
                        continue;
                if (table[i].text)
                        *(const char **)to = value;
                else if (str_to_u64(value, to) < 0)
                        break;
                return 0;
        }
        return err_set(e, ERR_INTERNAL, "'%s' is no argument of berth-layer", text);
}

/* A limit that was not given, or is 0, is the default. */
static void limits_take(struct args *a)
{
        struct tar_limits *l = &a->job.limits;
        const struct tar_limits *d = &tar_limits_default;

        l->entries = l->entries ? l->entries : d->entries;
        l->bytes = l->bytes ? l->bytes : d->bytes;
        l->file_size = l->file_size ? l->file_size : d->file_size;
        l->path = a->path ? (uint32_t)a->path : d->path;
        l->pax = a->pax ? (uint32_t)a->pax : d->pax;
        l->xattr_value = a->xattr ? (uint32_t)a->xattr : d->xattr_value;
        l->xattrs = a->xattrs ? (uint32_t)a->xattrs : d->xattrs;
        l->extents = a->extents ? (uint32_t)a->extents : d->extents;
}

static int args_take(struct args *a, char **argv, struct err *e)
{
        int backend = 0;

        *a = (struct args){ .job = { .stage = LAYER_FD_DIR, .input = LAYER_FD_INPUT } };
        for (; *argv; argv++)
                if (arg_take(a, *argv, e) < 0)
                        return -1;
        limits_take(a);
        if (a->backend)
                backend = STR_INDEX(layer_backend_names, a->backend);
        if (backend < 0)
                return err_set(e, ERR_INTERNAL, "'%s' is no form of layers", a->backend);
        a->job.backend = (enum layer_backend)backend;
        a->job.threads = (unsigned)a->threads;
        a->job.spool = a->spool;
        a->job.userxattr = a->userxattr;
        return 0;
}

/* ---- modes ---- */

/* What lies behind the resumed bytes is not trusted. A file that needs no truncating isn't: ext4
 * would write all of it to disk when it is closed (auto_da_alloc). */
static int spool_cut(int fd, uint64_t size)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -1;
        if ((uint64_t)st.st_size > size && ftruncate(fd, (off_t)size) < 0)
                return -1;
        return lseek(fd, (off_t)size, SEEK_SET) < 0 ? -1 : 0;
}

static int spool_open(const struct layer_job *j, int *ret, struct err *e)
{
        int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC;

        if (!j->spool && !j->resume)
                return 0;
        *ret = openat(j->stage, "spool", flags, 0600);
        if (*ret < 0 || spool_cut(*ret, j->resume) < 0)
                return err_sys(e, errno, "cannot open the spool");
        return 0;
}

/* Deflate can't do better than 1032:1, real layers stay below 20:1. */
static void limit_ratio(struct layer_job *j)
{
        uint64_t most = (1ull << 30) + 200 * MIN(j->size, UINT64_MAX / 400);

        if (j->size)
                j->limits.bytes = MIN(j->limits.bytes, most);
}

static int mode_unpack(struct args *a, struct layer_result *ret, struct err *e)
{
        struct layer_job *j = &a->job;
        bool dir = j->backend == LAYER_DIR;
        AUTO_FD int spool = -1;
        struct sink *s;
        int r;

        umask(0);
        limit_ratio(j);
        if (spool_open(j, &spool, e) < 0)
                return -1;
        s = dir ? sink_dir_new(j, e) : sink_erofs_new(j, e);
        if (!s)
                return -1;
        r = unpack_confine(dir ? CONFINE_TREE : CONFINE_STREAM, dir ? j->stage : -1, -1, e);
        if (r == 0)
                r = unpack_pump(j, spool, s, ret, e);
        s->free(s);
        return r;
}

static int mode_settle(struct args *a, struct layer_result *ret, struct err *e)
{
        int lower = fcntl(LAYER_FD_LOWER, F_GETFD) < 0 ? -1 : LAYER_FD_LOWER;

        umask(0);
        if (unpack_confine(CONFINE_TREE, LAYER_FD_DIR, lower, e) < 0)
                return -1;
        return a->job.backend == LAYER_DIR ? unpack_settle_dir(LAYER_FD_DIR, lower, e)
                                           : unpack_settle_erofs(LAYER_FD_DIR, lower, e);
}

static int give_out(struct args *a, bool compress, struct layer_result *ret, struct err *e)
{
        struct unpack_out u = { .backend = a->job.backend,
                                .dir = LAYER_FD_DIR,
                                .fd = LAYER_FD_OUTPUT,
                                .progress = LAYER_FD_INPUT,
                                .diff_id = a->job.diff_id ? a->job.diff_id : "",
                                .size = a->job.size,
                                .compress = compress,
                                .level = (int)a->level };
        int c = STR_INDEX(compression_names, a->compression ? a->compression : "none");

        if (c < 0)
                return err_set(e, ERR_INVALID, "'%s' is no compression that is known here",
                               a->compression);
        u.compression = (enum compression)c;
        if (unpack_confine(CONFINE_TREE_READ, LAYER_FD_DIR, -1, e) < 0)
                return -1;
        return unpack_out(&u, ret, e);
}

static int mode_tar(struct args *a, struct layer_result *ret, struct err *e)
{
        return give_out(a, false, ret, e);
}

static int mode_pack(struct args *a, struct layer_result *ret, struct err *e)
{
        return give_out(a, true, ret, e);
}

static int mode_inflate(struct args *a, struct layer_result *ret, struct err *e)
{
        if (unpack_confine(CONFINE_STREAM, -1, -1, e) < 0)
                return -1;
        return unpack_inflate(LAYER_FD_INPUT, LAYER_FD_OUTPUT, INFLATE_MAX, e);
}

static const struct mode {
        const char *name;
        int (*run)(struct args *a, struct layer_result *ret, struct err *e);
} modes[] = {
        { "unpack", mode_unpack }, { "settle", mode_settle },   { "tar", mode_tar },
        { "pack", mode_pack },     { "inflate", mode_inflate },
};

static int run(char **argv, struct layer_result *ret, struct err *e)
{
        struct args a;

        for (size_t i = 0; argv[0] && argv[1] && i < ARRAY_SIZE(modes); i++)
                if (str_eq(modes[i].name, argv[1]))
                        return args_take(&a, argv + 2, e) < 0 ? -1 : modes[i].run(&a, ret, e);
        return err_set(e, ERR_INTERNAL, "berth-layer is started by berth, not by hand");
}

static void record_fill(struct layer_wire *w, const struct layer_result *r, const struct err *e)
{
        *w = (struct layer_wire){ .magic = LAYER_WIRE_MAGIC,
                                  .code = e->code,
                                  .sys = e->sys,
                                  .corrupt_spool = r->corrupt_spool,
                                  .leans = r->leans,
                                  .size = r->size,
                                  .tar_size = r->tar_size,
                                  .entries = r->entries };
        memcpy(w->chain, e->chain, sizeof w->chain);
        memcpy(w->hint, e->hint, sizeof w->hint);
        memcpy(w->digest, r->digest, sizeof w->digest);
        memcpy(w->diff_id, r->diff_id, sizeof w->diff_id);
}

#ifdef __SANITIZE_ADDRESS__
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
        return "detect_leaks=0"; /* it would need ptrace: image/unpack-confine.c */
}
#endif

int main(int argc, char **argv)
{
        struct layer_result result = { .size = 0 };
        struct err e = { .code = ERR_NONE };
        struct layer_wire wire;
        int r;

        /* More arenas would cost memory, and files to be read that the filter forbids. */
        mallopt(M_ARENA_MAX, 1);
        r = run(argv, &result, &e);
        record_fill(&wire, &result, &e);
        if (write(LAYER_FD_RESULT, &wire, sizeof wire) != (ssize_t)sizeof wire && r < 0)
                dprintf(STDERR_FILENO, "berth-layer: %s\n", e.chain);
        return r < 0;
}
