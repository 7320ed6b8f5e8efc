/* Directories as lists of names. Who walks one of millions of entries, or removes what it
 * reads, reads it itself. */
#pragma once

#include <stdbool.h>

#include "base/mem.h"
#include "base/value.h"

/* The names in directory path of dir (both as openat(2) has them), but "." and "..", in the
 * order of their bytes; list and strings are in a. 0 or -errno. dir keeps its offset. */
int dir_names(int dir, const char *path, struct arena *a, struct strings *ret);
/* False also where it can't be read. */
bool dir_is_empty(int dir);
