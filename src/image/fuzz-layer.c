/* A layer in its directory form, made of a stranger's archive in a directory of our own: nothing
 * beside it changes, and the exact archive comes back. The first byte chooses: an archive, or the
 * records of layer.headers. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "codec/inflate.h"
#include "image/unpack-settle.h"
#include "image/unpack.h"
#include "kernel/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int base = -1; /* where it all happens; removed at the end */
static char base_path[] = "/tmp/fuzz-layer-XXXXXX";

static void end(void)
{
        tree_remove(AT_FDCWD, base_path);
}

static int start(void)
{
        if (!mkdtemp(base_path))
                abort();
        atexit(end);
        umask(0);
        return open(base_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int stage_make(void)
{
        if (tree_remove(base, "stage") < 0 || mkdirat(base, "stage", 0700) < 0)
                abort();
        return openat(base, "stage", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

struct compared {
        const uint8_t *data;
        size_t size, at;
};

static int compare(void *ctx, const uint8_t *p, size_t n, struct err *e)
{
        struct compared *c = ctx;

        if (n > c->size - c->at || memcmp(p, c->data + c->at, n) != 0)
                abort();
        c->at += n;
        return 0;
}

static void check_back(int stage, const uint8_t *data, size_t size)
{
        struct compared c = { data, size, 0 };
        struct err e = { .code = ERR_NONE };

        if (unpack_tar_dir(stage, compare, &c, &e) < 0 || c.at != size)
                abort();
}

static void archive(const uint8_t *data, size_t size)
{
        AUTO_FD int stage = stage_make();
        struct layer_job j = { .backend = LAYER_DIR, .stage = stage, .limits = tar_limits_default };
        struct err e = { .code = ERR_NONE };
        struct sink *s;
        bool leans;
        int r = 0;

        j.limits.entries = 200;
        j.limits.file_size = 1 << 20;
        s = sink_dir_new(&j, &e);
        if (!s)
                abort();
        for (size_t at = 0; at < size && r == 0; at += 4096)
                r = s->feed(s, data + at, MIN(size - at, (size_t)4096), &e);
        if (r == 0)
                r = s->finish(s, &e);
        leans = s->leans;
        s->free(s);
        if ((r < 0) != (e.code != ERR_NONE))
                abort();
        if (r < 0)
                return;
        check_back(stage, data, size);
        if (leans && unpack_settle_dir(stage, -1, &e) == 0)
                check_back(stage, data, size);
}

static int nothing(void *ctx, const uint8_t *p, size_t n, struct err *e)
{
        return 0;
}

static void put(int dir, const char *name, const void *p, size_t n)
{
        AUTO_FD int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        if (fd < 0 || fd_write_all(fd, p, n) < 0)
                abort();
}

static void headers(const uint8_t *data, size_t size)
{
        static const char magic[] = "berth-headers 1\n";
        AUTO_FD int stage = stage_make();
        struct deflate *z = deflate_new(COMPRESSION_ZSTD, 1);
        struct err e = { .code = ERR_NONE };
        AUTO_BUF text = { .s = NULL };
        static uint8_t out[1 << 17];
        const uint8_t *in;
        int64_t n;

        buf_puts(&text, magic);
        buf_add(&text, data, MIN(size, (size_t)60000));
        in = (const uint8_t *)text.s;
        n = deflate_run(z, &in, &text.len, out, sizeof out, true);
        deflate_free(z);
        if (n <= 0 || mkdirat(stage, "fs", 0755) < 0 || mkdirat(stage, "fs/d", 0755) < 0 ||
            mkdirat(stage, "replaced", 0755) < 0 || symlinkat("/etc", stage, "fs/s") < 0)
                abort();
        put(stage, "layer.headers", out, (size_t)n);
        put(stage, "fs/a", "content", 7);
        put(stage, "fs/d/b", "more", 4);
        put(stage, "replaced/0", "old", 3);
        if ((unpack_tar_dir(stage, nothing, NULL, &e) < 0) != (e.code != ERR_NONE))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct stat st;

        if (base < 0)
                base = start();
        if (size == 0)
                return 0;
        if (data[0] == 'H')
                headers(data + 1, size - 1);
        else
                archive(data + 1, size - 1);
        /* Only the stage is in it: directories are links to their parent, where they count. */
        if (fstat(base, &st) < 0 || st.st_nlink > 3)
                abort();
        return 0;
}
