/* struct cgroup: one container's cgroup over every mounted hierarchy, v1 and v2 side by side.
 *
 * The version is decided per controller, never per host: struct cgroup_layout says which
 * hierarchy carries each controller, struct cgroup holds the container's directory in each
 * hierarchy. Where a v2 hierarchy is mounted the container always has a v2 leaf, even if no
 * controller lives there: cgroup.kill, cgroup.freeze, cgroup.events and pressure files need
 * none.
 *
 * The life of one: cgroup_layout_read -> cgroup_locate (pure) -> cgroup_create -> settings are
 * written with cgroup_write -> cgroup_join_prepare, clone, cgroup_join_self -> cgroup_encode
 * into the state file; later cgroup_decode -> freeze, kill, stats -> cgroup_remove.
 *
 * Functions return 0 or -errno and, where they take one, say in a struct cgroup_fail which
 * directory, file or controller it was: oci/cgroup-apply.h words it. Strings live in the
 * caller's arena. Documents: Linux Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/value.h"

enum cgroup_controller {
        CGROUP_CPU,
        CGROUP_CPUACCT, /* v1; on v2 a part of the core (cpu.stat) */
        CGROUP_CPUSET,
        CGROUP_MEMORY,
        CGROUP_DEVICES, /* v1; on v2 an eBPF program on any leaf */
        CGROUP_FREEZER, /* v1; on v2 a part of the core */
        CGROUP_IO,      /* "blkio" on v1 */
        CGROUP_PIDS,
        CGROUP_HUGETLB,
        CGROUP_NET_CLS,    /* v1 only */
        CGROUP_NET_PRIO,   /* v1 only */
        CGROUP_PERF_EVENT, /* v1; on v2 always on */
        CGROUP_RDMA,
        CGROUP_MISC,
        CGROUP_DMEM,
        CGROUP_CONTROLLER_MAX,
        CGROUP_CORE = CGROUP_CONTROLLER_MAX /* v2's own files ("cgroup.max.depth"), where v2 is */
};
/* A set of controllers: 1u << enum cgroup_controller. */
typedef uint32_t cgroup_set;
#define CGROUP_BIT(c) ((cgroup_set)1 << (c))
/* The kernel's name: "io" is "blkio" where v2 is false; NULL where that version has no such
 * name. */
const char *cgroup_controller_name(enum cgroup_controller c, bool v2);
/* The controller called so on either version, or -1. */
int cgroup_controller_find(const char *name, size_t n);

#define CGROUP_HIERARCHIES_MAX 24

/* ---- what is mounted ---- */

struct cgroup_hierarchy {
        bool v2;
        cgroup_set controllers; /* v1: mounted here; v2: offered at the mount's root */
        const char *name;       /* v1: "cpu,cpuacct" or "name=systemd"; v2: "" */
        const char *mount;      /* where it is mounted on this host */
        const char *root;       /* which cgroup is seen there: "/" but for bind mounts */
        const char *self;       /* this process's cgroup, as below mount: "/" or "/a/b" */
};

struct cgroup_layout {
        struct cgroup_hierarchy v[CGROUP_HIERARCHIES_MAX];
        size_t n;
        int v2;                           /* index of the v2 hierarchy, or -1 */
        int8_t of[CGROUP_CONTROLLER_MAX]; /* index of the hierarchy that has it, or -1; devices and
                                             freezer fall back to v2's core */
};

/* Reads /proc/self/mountinfo, /proc/self/cgroup and v2's cgroup.controllers, once each. A host with
 * no cgroups at all gives n == 0, not an error. */
int cgroup_layout_read(struct arena *a, struct cgroup_layout *ret);
/* The same from texts (pure): controllers is v2's cgroup.controllers, or NULL. A hierarchy mounted
 * twice counts once, the mount that shows most of it winning. */
int cgroup_layout_parse(struct arena *a, const char *mountinfo, const char *self,
                        const char *controllers, struct cgroup_layout *ret);
/* Whether v2 is the only hierarchy: what the field calls unified mode. */
bool cgroup_layout_unified(const struct cgroup_layout *l);

/* ---- a container's cgroup ---- */

struct cgroup_dir {
        bool v2;
        cgroup_set controllers; /* that limits in this directory can use */
        const char *name;       /* as struct cgroup_hierarchy */
        const char *mount;      /* the hierarchy's mount point, a prefix of path */
        const char *root;       /* the cgroup seen there, "/" but for bind mounts */
        const char *path;       /* the directory on this host, absolute and clean */
        unsigned made;          /* how many trailing components of path were made by us */
};

struct cgroup {
        struct cgroup_dir v[CGROUP_HIERARCHIES_MAX];
        size_t n;
        int v2;                           /* index, or -1 */
        int8_t of[CGROUP_CONTROLLER_MAX]; /* as in the layout */
};

/* What went wrong where; flat. sys is the errno also returned, negated. */
enum cgroup_fault {
        CGROUP_FAULT_NONE,
        CGROUP_FAULT_MKDIR,        /* path */
        CGROUP_FAULT_OPEN,         /* path */
        CGROUP_FAULT_READ,         /* path */
        CGROUP_FAULT_WRITE,        /* path, value */
        CGROUP_FAULT_JOIN,         /* path: a task could not enter */
        CGROUP_FAULT_REMOVE,       /* path; EBUSY: still has tasks */
        CGROUP_FAULT_NOT_OFFERED,  /* controllers are not offered by the cgroup at path */
        CGROUP_FAULT_INTERNAL,     /* EBUSY: path has processes of its own, so it can't pass on
                                    controllers (v2's no-internal-processes rule) */
        CGROUP_FAULT_THREADED,     /* path is a threaded cgroup: no domain controllers below */
        CGROUP_FAULT_FROZEN,       /* path or a parent of it is frozen */
        CGROUP_FAULT_NOT_EMPTY,    /* path holds tasks already */
        CGROUP_FAULT_BAD_SUB,      /* path: a sub cgroup that would climb out of the container's */
        CGROUP_FAULT_NO_HIERARCHY, /* path: a sub cgroup of a controller that c lacks */
        CGROUP_FAULT_TIMEOUT,      /* path did not reach the state asked for */
        CGROUP_FAULT_MAX
};
struct cgroup_fail {
        enum cgroup_fault what;
        int sys;
        cgroup_set controllers;
        char path[PATH_MAX];
        char value[64];
};

/* Finds the directories (pure). path absolute: below each hierarchy's mount; relative: below
 * this process's own cgroup as runc does it, which where v2 is the only hierarchy means below
 * the parent of its own cgroup, since that one has processes. ".." never climbs out.
 * -ENAMETOOLONG, -EINVAL (empty). */
int cgroup_locate(struct arena *a, const struct cgroup_layout *l, const char *path,
                  struct cgroup *ret);

enum cgroup_create_flags {
        CGROUP_FRESH = 1,  /* refuse a directory that holds tasks: CGROUP_FAULT_NOT_EMPTY, -EBUSY */
        CGROUP_LENIENT = 2 /* rootless: leave out hierarchies where we may not create (EACCES,
                              EPERM, EROFS), unless they have a required controller */
};
/* Makes the directories, parents included. v1 cpusets inherit cpus and mems down the path. On
 * v2, controllers are passed on from the mount's root down: those in required must arrive, or it
 * fails; the others that the host offers are tried. Refuses a frozen cgroup (-EAGAIN,
 * CGROUP_FAULT_FROZEN). On failure removes what it made. c->v[].made is filled in. */
int cgroup_create(struct cgroup *c, cgroup_set required, unsigned flags, struct cgroup_fail *f);

/* One line per hierarchy, for the state file: "2 MADE CONTROLLERS NAME MOUNT ROOT PATH\n", escaped
 * as mountinfo escapes. Decoding looks at no file system. -EINVAL. */
void cgroup_encode(const struct cgroup *c, struct buf *out);
int cgroup_decode(struct arena *a, const char *text, struct cgroup *ret);

/* The directory that carries controller, or NULL. */
const struct cgroup_dir *cgroup_dir_of(const struct cgroup *c, enum cgroup_controller controller);
/* 0, 1 or 2: which interface controller has for this container; 0 where none. */
unsigned cgroup_version_of(const struct cgroup *c, enum cgroup_controller controller);
/* Writes value to the controller's file with one write(2). -ENOENT where the host lacks it. */
int cgroup_write(const struct cgroup *c, enum cgroup_controller controller, const char *file,
                 const char *value);
/* Reads a file of at most cap - 1 bytes, ended by a NUL. Returns the length. */
ssize_t cgroup_read(const struct cgroup *c, enum cgroup_controller controller, const char *file,
                    char *buf, size_t cap);
int cgroup_read_u64(const struct cgroup *c, enum cgroup_controller controller, const char *file,
                    uint64_t *ret); /* "max" is UINT64_MAX */

/* ---- joining ---- */

/* Moving a process by writing its pid to cgroup.procs waits for an RCU grace period (5-18 ms).
 * The two ways in that don't: clone3(CLONE_INTO_CGROUP) for v2, and a single-threaded task
 * writing "0" to v1's `tasks`. The parent prepares descriptors, the child writes to them. */
struct cgroup_join {
        int v2;                            /* directory, for clone_args.cgroup; or -1 */
        bool killed;                       /* v2 was killed through cgroup.kill: see below */
        int procs;                         /* v2 cgroup.procs, opened only where killed; or -1 */
        int tasks[CGROUP_HIERARCHIES_MAX]; /* v1 `tasks` files */
        size_t n;
};
#define CGROUP_JOIN_INIT                                                                           \
        (struct cgroup_join)                                                                       \
        {                                                                                          \
                .v2 = -1, .procs = -1                                                              \
        }

/* Opens what joining c needs. subs: as exec --cgroup: each "PATH", a cgroup below c in every
 * hierarchy, or "CONTROLLER[,CONTROLLER...]:PATH" for those v1 hierarchies only; NULL or empty
 * for c itself. -EINVAL (CGROUP_FAULT_NO_HIERARCHY, CGROUP_FAULT_BAD_SUB) for an unknown
 * controller or a path that climbs out. init: the pid of the container's init, or 0; where c's v2
 * cgroup is gone, or has become an inner one (it passes on controllers, its children hold the
 * processes), a join without a sub goes to init's v2 cgroup. Kernels 6.12 and later kill at once
 * a child cloned into a cgroup whose cgroup.kill was ever written (cgroup_kill() marks it with an
 * xattr): then killed is true and v2 is -1, so clone without CLONE_INTO_CGROUP and let
 * cgroup_join_self() pay for the slow way. -EAGAIN with CGROUP_FAULT_FROZEN where c is frozen:
 * whoever joins would hang. */
int cgroup_join_prepare(const struct cgroup *c, const struct strings *subs, pid_t init,
                        struct cgroup_join *ret, struct cgroup_fail *f);
/* In the child, while single-threaded: enters the v1 cgroups, and v2 where killed.
 * Async-signal-safe and without heap. -errno. */
int cgroup_join_self(const struct cgroup_join *j);
void cgroup_join_done(struct cgroup_join *j);
/* Moves a process, all its threads, into every hierarchy: slow (a grace period), for restore and
 * for processes that someone else made. */
int cgroup_join_pid(const struct cgroup *c, pid_t pid, struct cgroup_fail *f);

/* ---- life ---- */

/* Stops or continues every process, on v2 if c is there, else by v1's freezer, and waits until the
 * kernel says that it is so. A freeze that fails or times out is undone. Thawing also thaws the v1
 * freezer. timeout in ms. -ETIMEDOUT; -ENOENT where the host has neither. */
int cgroup_freeze(const struct cgroup *c, int timeout_ms, struct cgroup_fail *f);
int cgroup_thaw(const struct cgroup *c, int timeout_ms, struct cgroup_fail *f);
/* 1 frozen (itself or by a parent), 0 not, -errno. A removed cgroup is not frozen. */
int cgroup_is_frozen(const struct cgroup *c);
/* Whether no live task is in c or below it. 1, 0, -errno; a removed cgroup is empty. */
int cgroup_is_empty(const struct cgroup *c);

/* Sends sig to every process in c and below, frozen or not, forking or not; with SIGKILL also waits
 * until the cgroup is empty, timeout_ms at most (-ETIMEDOUT). The caller reaps its own children. */
int cgroup_kill(const struct cgroup *c, int sig, int timeout_ms, struct cgroup_fail *f);
/* Every process in c and below, in this process's pid namespace, ascending, each once. *ret is the
 * caller's to free. */
int cgroup_pids(const struct cgroup *c, pid_t **ret, size_t *ret_n);

/* Removes the directories with all below them, then those parents that we made and that are empty.
 * Tasks still dying are waited for, timeout_ms at most (-EBUSY); live ones are not killed here. A
 * directory that is gone already is fine. */
int cgroup_remove(const struct cgroup *c, int timeout_ms, struct cgroup_fail *f);

/* Gives the v2 directory, and in it only the files named in /sys/kernel/cgroup/delegate, to a user:
 * for a container with its own user and cgroup namespaces. No v2: nothing to do. */
int cgroup_delegate(const struct cgroup *c, uid_t uid, gid_t gid, struct cgroup_fail *f);
