/* The members of an archive by name: of a tar file, indexed once by its headers alone, or of a
 * directory. Nothing is extracted; a name is only ever compared with those that we look for.
 *
 * Names that leave the archive ("..", absolute) are refused, as are links that do; a symbolic
 * link (docker save's `../ID/layer.tar`) or hard link stands for the member that it names. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

struct members;
/* Indexes the tar in fd, a seekable file that is not compressed: reads headers and skips data.
 * fd must stay open until members_free(). ERR_INVALID: malformed, cut off, a forbidden name;
 * ERR_LIMIT. */
int members_of_tar(int fd, struct members **ret, struct err *e);
/* Of a directory, which must stay open too; it is read as names are asked for. */
int members_of_dir(int dir, struct members **ret, struct err *e);
void members_free(struct members *m); /* takes NULL */
bool members_are_tar(const struct members *m);

bool members_has(const struct members *m, const char *name);
/* Whether members that are open at the same time have offsets of their own. */
bool members_are_apart(const struct members *m);
/* A descriptor whose next *ret_size bytes are the member's; the caller's to close.
 * ERR_NOT_FOUND. */
int members_open(const struct members *m, const char *name, int *ret_fd, uint64_t *ret_size,
                 struct err *e);
/* A whole member of at most limit bytes, into a, ended by a NUL. A name that the archive has twice
 * is refused: two readers could take different ones. */
int members_read(const struct members *m, struct arena *a, const char *name, size_t limit,
                 const char **ret, size_t *ret_n, struct err *e);
