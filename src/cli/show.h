/* Printing what `inspect` and its like have found: as JSON, or by a template for each. */
#pragma once

#include "base/buf.h"
#include "cli/berth.h"
#include "codec/json.h"

/* text holds a JSON array. format: a template, which gives each element a line, or "json" or NULL:
 * the array as it is. Appends to out. */
int show_list(struct ctx *c, const char *format, const struct buf *text, struct buf *out,
              struct err *e);
/* The same of one JSON value. */
int show_one(struct ctx *c, const char *format, const struct buf *text, struct buf *out,
             struct err *e);
/* One value written on one line again, or by a template: for streams of values. */
struct template;
int show_line(struct ctx *c, const struct template *t, const struct json *value, struct buf *out,
              struct err *e);
