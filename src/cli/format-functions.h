/* The functions of templates (cli/format.h), over JSON values. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "codec/json.h"

enum { FORMAT_ARGS_MAX = 8 };

struct format_call {
        struct arena *a;
        struct json args[FORMAT_ARGS_MAX];
        size_t n;
        struct err *e;
};
struct format_function {
        const char *name;
        size_t min, max; /* arguments */
        int (*run)(struct format_call *c, struct json *ret);
};

/* What the method .Label "key" is called; no name that a template could hold. */
#define FORMAT_LABEL ".Label"

/* By name, or NULL with e, which names the nearest. */
const struct format_function *format_function(const char *name, struct err *e);
/* What Go's `if` thinks of a value. */
bool format_truth(const struct json *j);
/* As Go's fmt prints it. */
void format_print(const struct json *j, struct buf *out);
