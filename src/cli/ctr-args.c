#include "cli/ctr-args.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/ctr-filter.h"
#include "engine/placement.h"
#include "oci/runtime.h"

int ctr_places(struct ctx *c, struct sandbox_places *ret, struct err *e)
{
        *ret = (struct sandbox_places){
                .store = c->globals.root,
                .run = ctx_runroot(c),
                .oci = ctx_oci_root(c),
                .log = &c->log,
        };
        return placement_manager((enum cgroup_manager)c->globals.cgroup_manager, &ret->systemd, e);
}

int ctr_engine(struct ctx *c, struct engine *ret, struct err *e)
{
        struct sandbox_places p;

        return ctr_places(c, &p, e) < 0 ? -1 : engine_open(&p, ret, e);
}

static bool any(const struct strings *list)
{
        return list && list->n > 0;
}

static int choose_all(struct ctx *c, struct engine *g, const struct ctr_choice *choice,
                      struct ctr **ret, size_t *ret_n, struct err *e)
{
        const struct ctr_filters *filters = NULL;
        struct ctr *all;
        size_t n, kept = 0;

        if ((any(choice->filters) && ctr_filters_parse(c, g, choice->filters, &filters, e) < 0) ||
            ctr_list(g, &c->arena, &all, &n, e) < 0)
                return -1;
        if (choice->latest && n == 0 && !choice->ignore)
                return err_set(e, ERR_NOT_FOUND, "--latest: there is no container");
        if (choice->latest)
                n = MIN(n, (size_t)1);
        for (size_t i = 0; i < n; i++) {
                struct ctr_state s;

                if (choice->running || filters)
                        ctr_state(g, &all[i], &s);
                if ((!choice->running || choice->latest || ctr_is_up(&s)) &&
                    (!filters || ctr_filters_pass(filters, &all[i], &s)))
                        all[kept++] = all[i];
        }
        *ret = all;
        *ret_n = kept;
        return 0;
}

/* The ids in files join the names. */
static int add_cidfiles(struct ctx *c, const struct ctr_choice *choice, int *argc, char ***argv,
                        int *missing)
{
        size_t n = choice->cidfiles ? choice->cidfiles->n : 0;
        char **names = arena_array(&c->arena, char *, (size_t)*argc + n + 1);

        if (*argc)
                memcpy(names, *argv, (size_t)*argc * sizeof *names);
        for (size_t i = 0; i < n; i++) {
                const char *path = choice->cidfiles->v[i];
                struct err why = { 0 };
                char text[256];
                ssize_t r = fd_read_text_at(AT_FDCWD, path, text, sizeof text);

                if (r >= 0) {
                        text[strcspn(text, "\n")] = 0;
                        names[(*argc)++] = arena_strdup(&c->arena, text);
                } else if (r != -ENOENT || !choice->ignore) {
                        err_sys(&why, (int)r, "cannot read the id in \"%s\"", path);
                        log_err(&c->log, LOG_LEVEL_ERROR, &why);
                        (*missing)++;
                }
        }
        *argv = names;
        return *argc;
}

int ctr_choose(struct ctx *c, struct engine *g, const struct ctr_choice *choice, int argc,
               char **argv, struct ctr **ret, size_t *ret_n, int *ret_missing, struct err *e)
{
        bool chosen = choice->all || choice->latest || any(choice->filters);

        *ret_missing = 0;
        *ret_n = 0;
        if (chosen && (argc > 0 || any(choice->cidfiles)))
                return err_set(e, ERR_INVALID, "--%s and names exclude each other",
                               choice->all      ? "all"
                               : choice->latest ? "latest"
                                                : "filter");
        if (chosen)
                return choose_all(c, g, choice, ret, ret_n, e);
        if (add_cidfiles(c, choice, &argc, &argv, ret_missing) == 0) {
                *ret = NULL;
                return any(choice->cidfiles)
                               ? 0
                               : err_set(e, ERR_INVALID, "at least one container must be named");
        }
        *ret = arena_array(&c->arena, struct ctr, (size_t)argc);
        for (int i = 0; i < argc; i++) {
                struct err why = { 0 };

                if (ctr_find(g, &c->arena, argv[i], &(*ret)[*ret_n], &why) == 0) {
                        (*ret)[(*ret_n)++].asked = argv[i];
                } else if (!choice->ignore || why.code != ERR_NOT_FOUND) {
                        log_err(&c->log, LOG_LEVEL_ERROR, &why);
                        (*ret_missing)++;
                }
        }
        return 0;
}

int ctr_each(struct ctx *c, const struct ctr_choice *choice, int argc, char **argv, ctr_fn *fn,
             void *args, struct err *e)
{
        struct engine g;
        struct ctr *v;
        size_t n;
        int failed, r;

        if (ctr_engine(c, &g, e) < 0)
                return -1;
        r = ctr_choose(c, &g, choice, argc, argv, &v, &n, &failed, e);
        for (size_t i = 0; r == 0 && i < n; i++) {
                AUTO_BUF line = { 0 };
                struct err why = { 0 };

                if (fn(&g, &v[i], args, &why) < 0) {
                        log_err(&c->log, LOG_LEVEL_ERROR, &why);
                        failed++;
                        continue;
                }
                buf_printf(&line, "%s\n", v[i].asked ? v[i].asked : v[i].id);
                fd_write_all(STDOUT_FILENO, line.s, line.len);
        }
        engine_close(&g);
        return r < 0 ? -1 : failed > 0;
}

int ctr_attended(struct engine *g, const struct ctr *ctr, const struct attach *a, int conn,
                 struct err *e)
{
        /* Open until the container is removed: were we killed before, its monitor does it. */
        AUTO_FD int sock = conn, run = ctr_run_dir(g, ctr->id, false, &(struct err){ 0 });
        enum attach_end end = ATTACH_LOST;
        AUTO_ARENA arena = { 0 };
        struct attach session = *a;
        struct monitor_config m;
        int status = 0;

        session.notify = !str_empty(getenv("NOTIFY_SOCKET")) &&
                         ctr_monitor_config(g, &arena, ctr, &m, &(struct err){ 0 }) == 0 &&
                         m.notify != NOTIFY_IGNORE;
        if (attach_run(sock, &session, run, &end, &status, e) < 0)
                return -1;
        if (end == ATTACH_LOST) {
                err_set(e, ERR_UNAVAILABLE, "the monitor of container \"%s\" died", ctr->name);
                err_hint(e, "`berth ps -a` tells what became of it");
                log_err(g->places.log, LOG_LEVEL_ERROR, e);
                return STATUS_ENGINE;
        }
        if ((end == ATTACH_EXITED || end == ATTACH_LAST) && ctr->auto_remove &&
            ctr_remove_attended(g, ctr, end == ATTACH_LAST ? sock : -1, &(struct err){ 0 }) < 0)
                log_warning(g->places.log, "container \"%s\" could not be removed", ctr->name);
        return status;
}
