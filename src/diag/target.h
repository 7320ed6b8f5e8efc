/* struct target: the process looked at, held so that nothing else can take its place.
 *
 * A descriptor of /proc/PID stays bound to that process: once it is gone, reads fail with ESRCH
 * even if the number is taken again. Everything here only reads. Texts are bounded and live in
 * the arena. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"
#include "diag/facts.h"

struct target {
        struct arena *arena;
        pid_t pid;
        int pidfd;
        int proc; /* /proc/PID */
};
#define TARGET_INIT                                                                                \
        (struct target)                                                                            \
        {                                                                                          \
                .pidfd = -1, .proc = -1                                                            \
        }

/* ERR_NOT_FOUND without such a process; a thread's id gets a hint that names its process. */
int target_open(struct arena *a, pid_t pid, struct target *ret, struct err *e);
void target_done(struct target *t);
static inline void target_done_p(struct target *t)
{
        target_done(t);
}
/* Whether it still exists (a zombie does). */
bool target_alive(const struct target *t);

#define TEXT_SMALL (256u << 10)
#define TEXT_LARGE (64u << 20)

/* The text of a file below /proc/PID, at most limit bytes; NULL with *ret_is (may be NULL)
 * saying why. */
const char *target_text(const struct target *t, const char *file, size_t limit,
                        enum num_state *ret_is);
/* The target of a link below /proc/PID, or NULL. */
const char *target_link(const struct target *t, const char *link, enum num_state *ret_is);
/* The command line, read by a child that is given up after a while: the page that holds it may
 * be on a FUSE file system of the target's, and reading it may never return. NULL then. */
const char **target_args(struct arena *a, int proc, size_t *ret_n, bool *ret_cut);

/* The same for any regular file below dir (AT_FDCWD too), which may belong to an untrusted user:
 * no link at the end, no device or FIFO that could block. *ret_len may be NULL. */
const char *file_text(struct arena *a, int dir, const char *path, size_t limit, size_t *ret_len,
                      enum num_state *ret_is);
/* The inode of a /proc/PID/ns/ link ("mnt:[4026531832]"), or 0. */
uint64_t ns_inode(int proc, const char *link, enum num_state *ret_is);
