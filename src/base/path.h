/* Paths as text: cleaning and joining. Nothing here touches a file system; resolving a path that a
 * container or an image chose is kernel/resolve.h's business. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/macro.h"

/* Lexically cleans p into buf: no "//", "." or ".." that has a parent; ".." at the root is dropped.
 * Relative stays relative; empty becomes ".". 0 or -ENAMETOOLONG. */
int path_clean(const char *p, char *buf, size_t cap);
/* base/rest, or rest where it is absolute; cleaned. */
int path_join(const char *base, const char *rest, char *buf, size_t cap);
/* Whether p is dir or below it, both cleaned. */
bool path_below(const char *p, const char *dir);
const char *path_base(const char *p); /* what follows the last slash */
