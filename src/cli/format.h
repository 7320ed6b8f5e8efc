/* Templates as --format takes them: the part of Go's text/template that people use with docker
 * and podman, over a JSON value.
 *
 *     {{.}} {{.Config.Env}} {{index .Config.Labels "a.b"}} {{(index .Mounts 0).Source}}   values
 *     {{json .}} {{len .}} {{join . ", "}} {{split . "/"}} {{upper .}} {{lower .}} {{title .}}
 *     {{slice . 0 12}} {{truncate . 12}} {{pad . 1 2}} {{print .}} {{println .}}
 *     {{printf "%-9s" .}}
 *     {{not X}} {{and A B}} {{or A B}} {{eq A B}} and ne, lt, le, gt, ge     X: a value or (...)
 *     {{.Names | json}}                                                 pipes
 *     {{if X}}...{{else if X}}...{{else}}...{{end}} {{range X}}...{{else}}...{{end}} {{with X}}...
 *     {{$x := .ID}} {{range $key, $value := X}} {{$.ID}}                variables, set once
 *     {{.Label "a.b"}} of lists: one label, or nothing
 *     {{- and -}} trim blanks; \t and \n in the text stand for a tab and a newline
 *
 * Templates of one's own, loops' break and continue are refused. Pure and fuzzed. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "codec/json.h"

struct template;

/* Parses; all in a. ERR_INVALID says where. */
int template_parse(struct arena *a, const char *text, struct template **ret, struct err *e);
/* Appends what it gives for dot. Temporary values go to a. A member that dot lacks is an error that
 * names the nearest one; further down a missing member is "<no value>", as Go has it, and a member
 * of that an error. Where no member has the very name, one that differs in case is taken. */
int template_run(const struct template *t, struct arena *a, const struct json *dot, struct buf *out,
                 struct err *e);
