/* Facts as a page for people, and as JSON for programs: the page shows nothing that the JSON
 * lacks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "diag/facts.h"

struct render_options {
        size_t width; /* columns of the page */
        bool color;
        bool full; /* every mount, capability, limit and layer, nothing shortened */
};

void render_text(const struct facts *f, const struct render_options *o, struct buf *out);

/* The version of the JSON below: a consumer checks it. Fields may be added within a version. */
#define LOOK_SCHEMA "berth.look/1"
/* One object. A number that is not known is null, its name and the reason being in "unavailable";
 * no limit is the string "max". Sizes are bytes, times say their unit in the name. */
void render_json(const struct facts *f, struct buf *out);
