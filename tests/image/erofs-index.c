/* erofs-index TAR INDEX: writes the index over an archive, as berth-layer does, and says what it
 * leans on ("d PATH", "l PATH TARGET"), what was refused, and what it cost. Odd sparse pieces are
 * appended to TAR. Checks the image afterwards. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "codec/erofs.h"

struct state {
        struct erofs *x;
        int tar, index;
};

static double cpu(void)
{
        struct timespec t;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int on_entry(void *ctx, const struct tar_entry *t)
{
        struct state *s = ctx;
        int r = erofs_add(s->x, t);

        if (r < 0)
                fprintf(stderr, "'%s': %s\n", t->path, erofs_problem(s->x));
        return r;
}

static int on_data(void *ctx, uint64_t offset, const void *p, size_t n)
{
        return 0;
}

static int on_end(void *ctx)
{
        return 0;
}

static int on_read(void *ctx, uint64_t offset, void *p, size_t n)
{
        struct state *s = ctx;

        return pread(s->tar, p, n, (off_t)offset) == (ssize_t)n ? 0 : -EIO;
}

static int on_append(void *ctx, const void *p, size_t n)
{
        struct state *s = ctx;

        return lseek(s->tar, 0, SEEK_END) < 0 ? -errno : fd_write_all(s->tar, p, n);
}

static int on_put(void *ctx, const void *p, size_t n)
{
        struct state *s = ctx;

        return fd_write_all(s->index, p, n);
}

static int on_lean(void *ctx, const struct lean *l)
{
        printf("%c %s%s%s\n", l->target ? 'l' : 'd', l->path, l->target ? " " : "",
               l->target ? l->target : "");
        return 0;
}

static int parse(struct state *s)
{
        static const struct tar_handler handler = { on_entry, on_data, on_end };
        static char buf[1 << 20];
        struct tar *t = tar_new(&tar_limits_default, &handler, s);
        ssize_t n;
        int r = 0;

        while (r == 0 && (n = read(s->tar, buf, sizeof buf)) > 0)
                r = tar_feed(t, buf, (size_t)n);
        if (r == 0)
                r = tar_finish(t);
        if (r < 0)
                fprintf(stderr, "%s\n", tar_problem(t));
        tar_free(t);
        return r;
}

static int check(struct state *s, uint64_t size)
{
        AUTO_FREE char *p = NULL;
        size_t n;
        const char *why;
        struct fd_path path = fd_path(s->index);
        int r = fd_read_file_at(AT_FDCWD, path.s, 1u << 30, &p, &n);

        if (r == 0 && (r = erofs_check(p, n, size, NULL, NULL, &why)) < 0)
                fprintf(stderr, "the image has %s\n", why);
        return r;
}

int main(int argc, char **argv)
{
        struct state s = { .x = erofs_new() };
        struct erofs_device device = { on_read, on_append, &s };
        double parsed, written;
        uint64_t size;
        struct stat st;
        struct rusage u;
        int r;

        if (argc != 3)
                return 2;
        s.tar = open(argv[1], O_RDWR | O_APPEND | O_CLOEXEC);
        s.index = open(argv[2], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (s.tar < 0 || s.index < 0 || fstat(s.tar, &st) < 0)
                return 2;
        size = (uint64_t)st.st_size;
        if ((r = parse(&s)) < 0)
                return 1;
        size = (size + 511) / 512 * 512;
        if (size != (uint64_t)st.st_size && ftruncate(s.tar, (off_t)size) < 0)
                return 2;
        erofs_leans(s.x, on_lean, NULL);
        if ((r = erofs_align(s.x, &device, &size)) < 0)
                fprintf(stderr, "align: %s\n", strerror(-r));
        parsed = cpu();
        if (r == 0 && (r = erofs_write(s.x, size, on_put, &s)) < 0)
                fprintf(stderr, "write: %s\n", strerror(-r));
        written = cpu();
        getrusage(RUSAGE_SELF, &u);
        if (r == 0)
                r = check(&s, size);
        fprintf(stderr, "entries=%" PRIu64 " parsed=%.3f written=%.3f rss=%ld\n", erofs_count(s.x),
                parsed, written - parsed, u.ru_maxrss);
        erofs_free(s.x);
        return r < 0;
}
