/* What the commands about containers share: opening the engine, choosing containers, doing one
 * thing to each. */
#pragma once

#include "cli/berth.h"
#include "engine/ctr.h"

/* As the global options say. */
int ctr_places(struct ctx *c, struct sandbox_places *ret, struct err *e);
int ctr_engine(struct ctx *c, struct engine *ret, struct err *e);

struct ctr_choice {
        bool all, latest;
        bool ignore;                    /* what isn't there is no error */
        bool running;                   /* with all or filters: those that are up alone */
        const struct strings *filters;  /* --filter: those that pass; or NULL */
        const struct strings *cidfiles; /* --cidfile: files that hold an id; or NULL */
};
/* The named ones, in their order, or what the flags say; in c's arena. A name that is none is
 * reported, and *ret_missing counted; the others go on. ERR_INVALID: nothing was named. */
int ctr_choose(struct ctx *c, struct engine *g, const struct ctr_choice *choice, int argc,
               char **argv, struct ctr **ret, size_t *ret_n, int *ret_missing, struct err *e);

/* Chooses, calls fn for each, prints what was asked for (the name as it was typed, or the id)
 * once it is done; failures are reported and the others done all the same. The exit status: 0, or
 * 1 where one failed. */
typedef int ctr_fn(struct engine *g, const struct ctr *c, void *args, struct err *e);
int ctr_each(struct ctx *c, const struct ctr_choice *choice, int argc, char **argv, ctr_fn *fn,
             void *args, struct err *e);

/* What follows ctr_start() and ctr_run() with attach: passes everything on until its end, and then
 * removes a container that removes itself. The exit status: the container's, 0 where it was left
 * running, STATUS_ENGINE where its monitor died; or -1. conn is closed. */
int ctr_attended(struct engine *g, const struct ctr *c, const struct attach *a, int conn,
                 struct err *e);
