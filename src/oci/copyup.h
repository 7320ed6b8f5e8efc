/* tmpcopyup: filling a new tmpfs with what the image has in that place (config.md, mount
 * options). */
#pragma once

#include "base/err.h"

/* Copies the content of the directory from (O_PATH) into the directory to: owners, modes, times,
 * extended attributes, links of both kinds, special files; nothing is followed, mounts are not
 * crossed into. */
int copyup(int from, int to, struct err *e);
