/* Capabilities: names, masks, and reducing this thread's sets to wanted ones (capabilities(7)).
 *
 * Masks are one uint64_t a set, bit N being capability N. A container's process gets its sets in
 * this order, each step being cheap and none of them needing memory:
 *
 *   caps_drop_bounding()   still privileged: it takes CAP_SETPCAP
 *   caps_keep(true)        so that the change of uid does not clear the permitted set
 *   setgroups, setgid, setuid
 *   caps_apply()           capset(2), then the ambient set
 *   caps_keep(false)       execve(2) would clear it as well; until then nobody should rely on that
 *
 * What can't be granted is reported, never an error: config.md, "process", capabilities. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How many capabilities this build knows by name. */
#define CAPS_MAX 41

enum caps_set { /* in the order in which config.json documents them */
                CAPS_BOUNDING,
                CAPS_EFFECTIVE,
                CAPS_PERMITTED,
                CAPS_INHERITABLE,
                CAPS_AMBIENT,
                CAPS_SET_MAX
};
extern const char *const caps_set_names[CAPS_SET_MAX]; /* "bounding", ... */

struct caps_sets {
        uint64_t v[CAPS_SET_MAX];
};

/* "CAP_CHOWN" for 0 ...; NULL from CAPS_MAX on. */
const char *caps_name(unsigned n);
/* The number of an exact, upper case name; -1: not known to this build. */
int caps_number(const char *name);
/* The capabilities that the running kernel has (two system calls as a rule). */
uint64_t caps_known(void);
/* Names to a mask. What known lacks, or nobody has heard of, is left out and its name stored into
 * ret_left_out, which has room for n and points into names. Returns how many were left out. */
size_t caps_parse_list(const char *const *names, size_t n, uint64_t known, uint64_t *ret_mask,
                       const char **ret_left_out);

/* This thread's sets. 0 or -errno. */
int caps_get(struct caps_sets *ret);
/* Drops from the bounding set what keep lacks; known is caps_known(). 0, or -errno (-EPERM: without
 * CAP_SETPCAP, unless everything to drop was already gone). */
int caps_drop_bounding(uint64_t keep, uint64_t known);
/* PR_SET_KEEPCAPS. 0 or -errno. */
int caps_keep(bool keep);
/* Sets permitted, effective and inheritable with one capset(2), then exactly the ambient set; the
 * bounding member is not applied. What the kernel would refuse is left out first: permitted can
 * only shrink, effective lies in permitted, inheritable may only grow by what is permitted and
 * bounding, ambient lies in permitted and inheritable. *ret_refused (may be NULL) tells what that
 * was, per set. 0 or -errno. */
int caps_apply(const struct caps_sets *want, struct caps_sets *ret_refused);
/* Makes every capability that is permitted effective again: setuid(2) away from 0 clears the
 * effective set even under PR_SET_KEEPCAPS. 0 or -errno. */
int caps_raise_permitted(void);
/* Files that this thread makes are that user's from now on (setfsuid(2)), as is what a file system
 * makes for one that it mounts; it keeps its capabilities. For root; back with its own ids. 0 or
 * -errno. */
int caps_act_as(uid_t uid, gid_t gid);
