/* Resolving a path that a container or an image chose, inside a root directory held by
 * descriptor.
 *
 * openat2(2) with RESOLVE_IN_ROOT makes absolute links and ".." stop at the root; magic links
 * (/proc/PID/fd/N) are refused. What is returned is an O_PATH descriptor: the thing that was
 * checked is the thing that is used, whatever a racing process renames (CVE-2021-30465,
 * CVE-2025-31133). All return -errno on failure. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* An O_PATH descriptor of path below root. resolve holds further RESOLVE_* flags, e.g.
 * RESOLVE_NO_SYMLINKS; flags holds O_DIRECTORY, O_NOFOLLOW. */
int resolve_in(int root, const char *path, int flags, uint64_t resolve);

/* The same, opened for use (flags: O_RDONLY, O_WRONLY|O_CREAT ...). */
int resolve_open(int root, const char *path, int flags, mode_t mode, uint64_t resolve);

/* As resolve_in, but creates what is missing: parents as directories of mode 0755, the last
 * component as a directory (of mode) where dir is set, else as an empty regular file (of mode).
 * A dangling link is followed inside the root and its target created; -ELOOP after 40. */
int resolve_make(int root, const char *path, int dir, mode_t mode);

/* The parent directory of path below root (created where missing), and in *ret_name the last
 * component, which points into path. -EINVAL where path has none ("/", ".."). */
int resolve_parent(int root, const char *path, const char **ret_name);

/* Opens a file of the procfs held by proc (an O_PATH descriptor of its root): refuses anything
 * mounted over it, links that leave it, and a file that isn't procfs's (CVE-2019-19921,
 * CVE-2025-52881). */
int resolve_proc(int proc, const char *path, int flags);
