/* Templates as --format takes them: the part of Go's text/template that people use with docker
 * and podman, over a JSON value.
 *
 *     {{.}} {{.Config.Env}} {{index .Config.Labels "a.b"}}     values
 *     {{json .}} {{len .}} {{join . ", "}} {{upper .}} {{lower .}} {{title .}} {{println .}}
 *     {{not X}} {{eq A B}} {{ne A B}}                          X: a value or (...)
 *     {{.Names | json}}                                        pipes
 *     {{if X}}...{{else}}...{{end}} {{range X}}...{{else}}...{{end}} {{with X}}...{{end}}
 *     {{- and -}} trim blanks; \t and \n in the text stand for a tab and a newline
 *
 * printf, variables and templates of one's own are refused by name. Pure and fuzzed. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "codec/json.h"

struct template;

/* Parses; all in a. ERR_INVALID says where. */
int template_parse(struct arena *a, const char *text, struct template **ret, struct err *e);
/* Appends what it gives for dot. Temporary values go to a. A member that dot lacks is an error that
 * names the nearest one; further down a missing member is "<no value>", as Go has it. */
int template_run(const struct template *t, struct arena *a, const struct json *dot, struct buf *out,
                 struct err *e);
