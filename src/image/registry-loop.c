/* Tasks and the loop that runs them. A task is switched to by swapcontext(3), which saves
 * registers and the signal mask; only the loop polls. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/registry-internal.h"

#define GUARD 4096u
#define ROUND_MAX 512 /* RLIMIT_NOFILE is that */

uint64_t clock_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- tasks ---- */

static char *stack_new(struct fetcher *f)
{
        char *stack = f->spare_stack;

        if (stack) {
                f->spare_stack = NULL;
                return stack;
        }
        stack = mmap(NULL, TASK_STACK + GUARD, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
        if (stack == MAP_FAILED || mprotect(stack, GUARD, PROT_NONE) < 0)
                abort(); /* as of any small allocation: base/mem.h */
        return stack;
}

static void stack_free(struct fetcher *f, char *stack)
{
        if (f->spare_stack)
                munmap(stack, TASK_STACK + GUARD);
        else
                f->spare_stack = stack;
}

/* makecontext() passes int arguments only. */
static void enter(unsigned high, unsigned low)
{
        struct task *t = (struct task *)(uintptr_t)((uint64_t)high << 32 | low);

        t->run(t->arg);
        t->over = true;
        swapcontext(&t->at, &t->f->loop); /* for good */
}

void task_start(struct fetcher *f, void (*run)(void *arg), void *arg)
{
        struct task *t = mem_alloc(sizeof *t);
        uint64_t p = (uint64_t)(uintptr_t)t;

        *t = (struct task){ .f = f, .run = run, .arg = arg, .ready = true, .next = f->tasks };
        t->stack = stack_new(f);
        getcontext(&t->at);
        t->at.uc_stack.ss_sp = t->stack + GUARD;
        t->at.uc_stack.ss_size = TASK_STACK;
        makecontext(&t->at, (void (*)(void))(uintptr_t)enter, 2, (unsigned)(p >> 32), (unsigned)p);
        f->tasks = t;
}

void task_wait(struct fetcher *f)
{
        struct task *t = f->current;

        swapcontext(&t->at, &f->loop);
}

void task_wake(struct task *t)
{
        t->ready = true;
}

void task_sleep(struct fetcher *f, uint64_t ms)
{
        struct task *t = f->current;
        uint64_t until = clock_ms() + ms;

        while (clock_ms() < until && !f->closed) {
                t->wake_ms = until;
                task_wait(f);
        }
        t->wake_ms = 0;
}

/* Runs each task that is ready until it waits again; frees those that are over. */
static void tasks_run(struct fetcher *f)
{
        bool again = true;

        while (again) {
                again = false;
                for (struct task **at = &f->tasks; *at;) {
                        struct task *t = *at;

                        if (t->ready) {
                                t->ready = false;
                                f->current = t;
                                swapcontext(&f->loop, &t->at);
                                f->current = NULL;
                                again = true;
                                /* It may have started others, which come first in the list. */
                                for (at = &f->tasks; *at != t; at = &(*at)->next)
                                        ;
                        }
                        if (t->over) {
                                *at = t->next;
                                stack_free(f, t->stack);
                                free(t);
                        } else {
                                at = &t->next;
                        }
                }
        }
}

/* ---- curl's connections ---- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
        struct pool *pool = arg;
        struct fetcher *f = pool->f;
        size_t i = 0;

        while (i < f->nwatches && (f->watches[i].fd != fd || f->watches[i].pool != pool))
                i++;
        if (what == CURL_POLL_REMOVE) {
                if (i < f->nwatches)
                        f->watches[i] = f->watches[--f->nwatches];
                return 0;
        }
        if (i == f->nwatches) {
                if (i == f->watches_cap) {
                        f->watches_cap = i ? 2 * i : 16;
                        f->watches = mem_realloc(f->watches, f->watches_cap * sizeof *f->watches);
                }
                f->nwatches++;
        }
        f->watches[i] = (struct watch){
                .pool = pool,
                .fd = fd,
                .events = (short)((what & CURL_POLL_IN ? POLLIN : 0) |
                                  (what & CURL_POLL_OUT ? POLLOUT : 0)),
        };
        return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *arg)
{
        struct pool *pool = arg;

        pool->due_ms = timeout_ms < 0 ? UINT64_MAX : clock_ms() + (uint64_t)timeout_ms;
        return 0;
}

int pools_open(struct fetcher *f)
{
        for (enum pool_kind i = 0; i < POOL_MAX; i++) {
                struct pool *pool = &f->pools[i];

                *pool = (struct pool){ .f = f, .multi = curl_multi_init(), .due_ms = UINT64_MAX };
                if (!pool->multi)
                        return -1;
                curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
                curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool);
                curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, on_timer);
                curl_multi_setopt(pool->multi, CURLMOPT_TIMERDATA, pool);
        }
        return 0;
}

static void transfers_reap(struct pool *pool)
{
        CURLMsg *m;
        int left;

        while ((m = curl_multi_info_read(pool->multi, &left))) {
                struct transfer *t = NULL;

                if (m->msg != CURLMSG_DONE)
                        continue;
                curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
                t->result = m->data.result;
                t->over = true;
                task_wake(t->task);
        }
}

static void pool_act(struct pool *pool, curl_socket_t fd, int events)
{
        int running;

        curl_multi_socket_action(pool->multi, fd, events, &running);
        transfers_reap(pool);
}

/* curl's own times, and whatever ended without any (a transfer that failed as it was added). */
static void pools_timers(struct fetcher *f)
{
        uint64_t now = clock_ms();

        for (enum pool_kind i = 0; i < POOL_MAX; i++)
                if (f->pools[i].due_ms <= now) {
                        f->pools[i].due_ms = UINT64_MAX;
                        pool_act(&f->pools[i], CURL_SOCKET_TIMEOUT, 0);
                }
}

/* ---- the loop ---- */

/* What one round of the loop polls, and whose it is. */
struct round {
        struct pollfd fds[ROUND_MAX];
        struct watch watches[ROUND_MAX];       /* of fds[1..] */
        struct transfer *transfers[ROUND_MAX]; /* of those behind them */
        nfds_t n, first_transfer;
};

static void round_fill(struct fetcher *f, struct round *r)
{
        r->n = 1;
        r->fds[0] = (struct pollfd){ .fd = f->closed ? -1 : f->socket,
                                     .events = (short)(POLLIN | (f->packets ? POLLOUT : 0)) };
        for (size_t i = 0; i < f->nwatches && r->n < ROUND_MAX; i++) {
                r->watches[r->n] = f->watches[i];
                r->fds[r->n++] =
                        (struct pollfd){ .fd = f->watches[i].fd, .events = f->watches[i].events };
        }
        r->first_transfer = r->n;
        for (struct transfer *t = f->transfers; t && r->n < ROUND_MAX; t = t->next) {
                short events = 0;
                int fd = transfer_waits(t, &events);

                if (fd < 0)
                        continue;
                r->transfers[r->n] = t;
                r->fds[r->n++] = (struct pollfd){ .fd = fd, .events = events };
        }
}

static int until_next(struct fetcher *f)
{
        uint64_t now = clock_ms(), due = UINT64_MAX;

        for (struct task *t = f->tasks; t; t = t->next) {
                if (t->ready)
                        return 0;
                if (t->wake_ms)
                        due = MIN(due, t->wake_ms);
        }
        for (enum pool_kind i = 0; i < POOL_MAX; i++)
                due = MIN(due, f->pools[i].due_ms);
        if (due == UINT64_MAX)
                return -1;
        return due <= now ? 0 : (int)MIN(due - now, (uint64_t)60000);
}

static void alarms(struct fetcher *f)
{
        uint64_t now = clock_ms();

        for (struct task *t = f->tasks; t; t = t->next)
                if (t->wake_ms && t->wake_ms <= now)
                        task_wake(t);
}

/* No task runs meanwhile, so that no transfer of the round goes away; connections may, which curl
 * takes. */
static void round_act(struct fetcher *f, const struct round *r)
{
        if (r->fds[0].revents & POLLOUT)
                serve_flush(f);
        for (nfds_t i = 1; i < r->first_transfer; i++) {
                short got = r->fds[i].revents;

                if (got)
                        pool_act(r->watches[i].pool, r->fds[i].fd,
                                 (got & POLLIN ? CURL_CSELECT_IN : 0) |
                                         (got & POLLOUT ? CURL_CSELECT_OUT : 0) |
                                         (got & (POLLERR | POLLHUP) ? CURL_CSELECT_ERR : 0));
        }
        for (nfds_t i = r->first_transfer; i < r->n; i++)
                if (r->fds[i].revents)
                        transfer_ready(r->transfers[i]);
        if (r->fds[0].revents & ~POLLOUT)
                serve_input(f);
}

/* One poll, for at most timeout ms (-1: until something is due). */
static void loop_once(struct fetcher *f, struct round *r, int timeout)
{
        int due;

        pools_timers(f);
        round_fill(f, r);
        due = until_next(f);
        if (timeout < 0 || (due >= 0 && due < timeout))
                timeout = due;
        if (poll(r->fds, r->n, timeout) > 0)
                round_act(f, r);
        alarms(f);
}

/* R5. What opens an upload is waited for, since nobody knows yet what it is called. */
static void break_off(struct fetcher *f)
{
        for (struct transfer *t = f->transfers; t; t = t->next)
                if (t->x->method != METHOD_POST && t->x->method != METHOD_DELETE) {
                        t->result = CURLE_ABORTED_BY_CALLBACK;
                        t->over = true;
                }
        for (struct task *t = f->tasks; t; t = t->next)
                task_wake(t);
}

static void uploads_end(struct fetcher *f, struct round *r)
{
        uint64_t now = clock_ms(), until = now + FETCH_END_MS;

        break_off(f);
        for (; (f->tasks || f->sessions) && now < until; now = clock_ms()) {
                uploads_forget(f); /* a mount may have opened one just now */
                tasks_run(f);
                if (f->tasks)
                        loop_once(f, r, (int)(until - now));
        }
        f->kept += f->tasks != NULL;
}

int fetcher_run(struct fetcher *f)
{
        struct round *r = mem_alloc(sizeof *r);

        while (!f->closed) {
                tasks_run(f);
                if (!f->closed) /* which a task may have found out */
                        loop_once(f, r, -1);
        }
        if (f->push)
                uploads_end(f, r);
        free(r);
        return f->kept ? FETCH_EXIT_KEPT : f->dropped ? FETCH_EXIT_DROPPED : FETCH_EXIT_CLEAN;
}
