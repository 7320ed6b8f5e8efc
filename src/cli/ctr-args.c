#include "cli/ctr-args.h"

#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/ctr-filter.h"
#include "engine/placement.h"

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

static int choose_all(struct ctx *c, struct engine *g, const struct ctr_choice *choice,
                      struct ctr **ret, size_t *ret_n, struct err *e)
{
        static const struct strings none;
        const struct ctr_filters *filters;
        struct ctr *all;
        size_t n, kept = 0;

        if (ctr_filters_parse(c, g, choice->filters ? choice->filters : &none, &filters, e) < 0 ||
            ctr_list(g, &c->arena, &all, &n, e) < 0)
                return -1;
        if (choice->latest)
                n = MIN(n, (size_t)1);
        for (size_t i = 0; i < n; i++) {
                bool filtered = choice->filters && choice->filters->n;
                struct ctr_state s;

                if (filtered || (choice->running && choice->all))
                        ctr_state(g, &all[i], &s);
                if (choice->running && choice->all && !ctr_is_up(&s))
                        continue;
                if (!filtered || ctr_filters_pass(filters, &all[i], &s))
                        all[kept++] = all[i];
        }
        *ret = all;
        *ret_n = kept;
        return 0;
}

int ctr_choose(struct ctx *c, struct engine *g, const struct ctr_choice *choice, int argc,
               char **argv, struct ctr **ret, size_t *ret_n, int *ret_missing, struct err *e)
{
        bool filtered = choice->filters && choice->filters->n;

        *ret_missing = 0;
        if ((choice->all || choice->latest || filtered) && argc > 0)
                return err_set(e, ERR_INVALID, "--%s and names exclude each other",
                               choice->all      ? "all"
                               : choice->latest ? "latest"
                                                : "filter");
        if (choice->all || choice->latest || filtered)
                return choose_all(c, g, choice, ret, ret_n, e);
        if (argc == 0)
                return err_set(e, ERR_INVALID, "at least one container must be named");
        *ret = arena_array(&c->arena, struct ctr, (size_t)argc);
        *ret_n = 0;
        for (int i = 0; i < argc; i++) {
                struct err why = { 0 };

                if (ctr_find(g, &c->arena, argv[i], &(*ret)[*ret_n], &why) == 0) {
                        (*ret_n)++;
                } else if (!choice->ignore || why.code != ERR_NOT_FOUND) {
                        log_err(&c->log, LOG_LEVEL_ERROR, &why);
                        (*ret_missing)++;
                }
        }
        return 0;
}

/* As it was typed: the name, or the beginning of the id. */
static const char *typed(const struct ctr *c, int argc, char **argv)
{
        for (int i = 0; i < argc; i++)
                if (str_eq(argv[i], c->name) || strncmp(argv[i], c->id, strlen(argv[i])) == 0)
                        return argv[i];
        return c->id;
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
                buf_printf(&line, "%s\n", typed(&v[i], argc, argv));
                fd_write_all(STDOUT_FILENO, line.s, line.len);
        }
        engine_close(&g);
        return r < 0 ? -1 : failed > 0;
}
