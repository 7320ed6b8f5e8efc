/* os/architecture[/variant], as GOOS and GOARCH name them (image-spec image-index.md,
 * "platform"). */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"

struct platform {
        const char *os, *architecture, *variant, *os_version; /* "" where absent */
};
/* "linux/arm64/v8", "arm64"; x86_64, aarch64, armhf and such are understood. */
int platform_parse(struct arena *a, const char *text, struct platform *ret, struct err *e);
/* This machine's (uname(2)), with its variant. */
void platform_host(struct platform *ret);
/* How well have serves want: 0 exactly, greater is worse, -1 not at all. */
int platform_match(const struct platform *want, const struct platform *have);
char *platform_str(struct arena *a, const struct platform *p);
