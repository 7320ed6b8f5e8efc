/* Names for containers that got none: "calm_harbour". */
#pragma once

#include "base/mem.h"

/* A random one. n > 0 appends a number, for when the first was taken. */
char *name_make(struct arena *a, unsigned n);
/* Whether text can be a container's name: [a-zA-Z0-9][a-zA-Z0-9_.-]*, as docker and podman have
 * it. */
int name_check(const char *text);
/* 64 hex digits, random. */
char *id_make(struct arena *a);
