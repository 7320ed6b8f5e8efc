#include "image/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#include "base/fd.h"
#include "kernel/sched.h"

#define JOBS_MAX 4
#define TICK_MS 100 /* how often progress is told */

static int bigger_first(const void *pa, const void *pb)
{
        const struct packing *a = pa, *b = pb;

        return a->layer.size != b->layer.size ? (a->layer.size < b->layer.size ? 1 : -1) : 0;
}

int pack_file(struct store *s, struct err *e)
{
        int fd = openat(store_dir(s), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        return fd < 0 ? err_sys(e, errno, "cannot create a file in the store") : fd;
}

void pack_done(struct packing *v, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                fd_close(v[i].dir);
                fd_close(v[i].out);
        }
}

static bool is_running(const struct packing *p)
{
        return p->process.pid > 0;
}

static int ended(const struct pack_loop *l, struct packing *p, struct err *e)
{
        if (layer_pack_end(&p->process, p->digest, &p->size, e) < 0)
                return err_in(e, "cannot read layer '%s'", p->layer.key);
        return l->packed ? l->packed(l->ctx, p, e) : 0;
}

static int start_more(struct packing *v, size_t n, const struct pack_loop *l, unsigned jobs,
                      struct err *e)
{
        unsigned running = 0;

        for (size_t i = 0; i < n; i++)
                running += is_running(&v[i]);
        for (size_t i = 0; i < n && running < jobs; i++) {
                struct packing *p = &v[i];

                if (p->begun)
                        continue;
                p->begun = true;
                if (layer_pack_start(&p->layer, p->dir, p->out, p->compression, p->level, l->log,
                                     &p->process, e) < 0)
                        return -1;
                running++;
        }
        return (int)running;
}

/* One poll over all that runs, and what the caller waits for. */
static int wait_for_more(struct packing *v, size_t n, const struct pack_loop *l, struct err *e)
{
        struct pollfd fds[JOBS_MAX + 2] = { { .fd = l->interrupts ? l->interrupts->fd : -1,
                                              .events = POLLIN },
                                            { .fd = l->readable ? l->fd : -1, .events = POLLIN } };
        struct packing *of[JOBS_MAX + 2];
        nfds_t used = 2;

        for (size_t i = 0; i < n && used < ARRAY_SIZE(fds); i++)
                if (is_running(&v[i])) {
                        of[used] = &v[i];
                        fds[used++] = (struct pollfd){ v[i].process.result, POLLIN, 0 };
                }
        if (poll(fds, used, TICK_MS) < 0 && errno != EINTR)
                return err_sys(e, errno, "cannot wait for the layers");
        if (fds[0].revents && interrupts_check(l->interrupts, e) < 0)
                return -1;
        if (fds[1].revents && l->readable(l->ctx, e) < 0)
                return -1;
        for (nfds_t i = 2; i < used; i++) {
                if (l->progress)
                        l->progress(l->ctx, of[i], layer_progress(&of[i]->process));
                if (fds[i].revents && ended(l, of[i], e) < 0)
                        return -1;
        }
        return 0;
}

int pack_layers(struct packing *v, size_t n, const struct pack_loop *l, struct err *e)
{
        unsigned jobs = MIN(l->jobs ? l->jobs : sched_processors(), JOBS_MAX + 0u);
        int r;

        qsort(v, n, sizeof *v, bigger_first);
        while ((r = start_more(v, n, l, jobs, e)) > 0)
                if (wait_for_more(v, n, l, e) < 0) {
                        r = -1;
                        break;
                }
        if (r < 0 &&
            l->interrupts) /* a terminal interrupts the helpers too: their deaths say less */
                interrupts_check(l->interrupts, e);
        for (size_t i = 0; i < n; i++)
                layer_kill(&v[i].process);
        return r;
}
