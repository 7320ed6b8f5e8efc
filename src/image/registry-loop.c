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

        while (clock_ms() < until) {
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

/* Wakes whose time has come; returns how long until the next one, -1: none waits for a time. */
static int alarms(struct fetcher *f)
{
        uint64_t now = clock_ms(), first = UINT64_MAX;

        for (struct task *t = f->tasks; t; t = t->next) {
                if (t->wake_ms && t->wake_ms <= now)
                        task_wake(t);
                else if (t->wake_ms)
                        first = MIN(first, t->wake_ms);
        }
        return first == UINT64_MAX ? -1 : (int)MIN(first - now, (uint64_t)60000);
}

/* ---- the loop ---- */

static void transfers_reap(struct fetcher *f)
{
        CURLMsg *m;
        int left;

        while ((m = curl_multi_info_read(f->multi, &left))) {
                struct transfer *t = NULL;

                if (m->msg != CURLMSG_DONE)
                        continue;
                curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
                t->result = m->data.result;
                t->over = true;
                task_wake(t->task);
        }
}

static bool any_ready(const struct fetcher *f)
{
        for (const struct task *t = f->tasks; t; t = t->next)
                if (t->ready)
                        return true;
        return false;
}

/* Waits for the socket, curl's connections, and the pipes of transfers that are paused. */
static void wait_for_something(struct fetcher *f, int timeout)
{
        struct curl_waitfd fds[FETCH_REQUESTS_MAX + 1];
        struct transfer *owners[FETCH_REQUESTS_MAX + 1];
        unsigned n = 1;

        fds[0] = (struct curl_waitfd){
                .fd = f->socket, .events = CURL_WAIT_POLLIN | (f->packets ? CURL_WAIT_POLLOUT : 0)
        };
        for (struct transfer *t = f->transfers; t && n < ARRAY_SIZE(fds); t = t->next) {
                short events = 0;
                int fd = transfer_waits(t, &events);

                if (fd < 0)
                        continue;
                fds[n].fd = fd;
                fds[n].events = events == POLLIN ? CURL_WAIT_POLLIN : CURL_WAIT_POLLOUT;
                fds[n].revents = 0;
                owners[n++] = t;
        }
        curl_multi_poll(f->multi, fds, n, timeout < 0 ? 60000 : timeout, NULL);
        if (fds[0].revents & CURL_WAIT_POLLOUT)
                serve_flush(f);
        for (unsigned i = 1; i < n; i++)
                if (fds[i].revents)
                        transfer_ready(owners[i]);
}

int fetcher_run(struct fetcher *f)
{
        while (!f->closed) {
                int running, timeout;

                tasks_run(f);
                curl_multi_perform(f->multi, &running);
                transfers_reap(f);
                timeout = alarms(f);
                if (!any_ready(f))
                        wait_for_something(f, timeout);
                serve_input(f);
        }
        return 0;
}
