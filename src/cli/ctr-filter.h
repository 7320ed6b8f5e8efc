/* --filter KEY=VALUE of commands that choose among containers: ps, prune, start, stop, rm ... */
#pragma once

#include "cli/berth.h"
#include "engine/ctr.h"

/* For help texts. */
#define CTR_FILTER_KEYS                                                                            \
        "name, id, status, label, label!, ancestor, exited, health, network, volume, "             \
        "restart-policy, should-start-on-boot, before, since, until"

/* ERR_INVALID names the first that is none. Those that before= and since= name are looked up. */
struct ctr_filters;
int ctr_filters_parse(struct ctx *c, struct engine *g, const struct strings *list,
                      const struct ctr_filters **ret, struct err *e);
/* Filters of one key are alternatives, but for labels and times; different keys must all pass. */
bool ctr_filters_pass(const struct ctr_filters *f, const struct ctr *c, const struct ctr_state *s);
/* Whether one of the keys asks for what a container that does not run can be: ps then shows all. */
bool ctr_filters_want_all(const struct ctr_filters *f);
