/* What is said to `criu swrk` and what it answers: protocol buffers, one a message of a
 * SOCK_SEQPACKET socket (criu.org "RPC"; the encoding: protobuf.dev "Encoding").
 *
 * Hand-written and table-driven, holding the fields that checkpoint and restore need:
 * libprotobuf-c with the code generated from CRIU's schema would be 60 KiB of a static program,
 * these are 3. Field numbers are CRIU's and never change. What an answer holds beyond them is
 * skipped.
 *
 * Absent and zero are one: a field is encoded where it differs from zero, NULL or no elements,
 * but for the few that CRIU requires. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/value.h"

enum criu_type {
        CRIU_EMPTY = 0,
        CRIU_DUMP = 1,
        CRIU_RESTORE = 2,
        CRIU_NOTIFY = 6,
        CRIU_FEATURE_CHECK = 9,
        CRIU_VERSION = 10,
        CRIU_SINGLE_PRE_DUMP = 13, /* since 3.17 */
};

/* What becomes of the cgroups that the processes were in. */
enum criu_cgroups {
        CRIU_CGROUPS_IGNORE = 0,
        CRIU_CGROUPS_SOFT = 3,   /* properties only of those that CRIU has to make */
        CRIU_CGROUPS_FULL = 4,   /* properties of all */
        CRIU_CGROUPS_STRICT = 5, /* all must be missing */
};

struct criu_page_server {
        const char *address;
        int32_t port;
};

/* A descriptor of CRIU's that takes the place of what is called key in the images. */
struct criu_inherited {
        const char *key; /* "pipe:[123]", "file[1a:2b]", "extRootNetNS" */
        int32_t fd;
};

struct criu_opts {
        int32_t images_dir_fd, work_dir_fd; /* descriptors of the process that made the socket */
        int32_t pid;
        int32_t log_level;
        const char *log_file, *config_file;
        const char *root, *parent_img, *freeze_cgroup, *lsm_profile, *lsm_mount_context;
        struct criu_page_server *page_server;
        bool leave_running, ext_unix_sk, tcp_established, tcp_close, tcp_skip_in_flight, shell_job;
        bool file_locks, link_remap, lazy_pages, track_mem, auto_dedup, orphan_pts_master;
        bool notify_scripts, evasive_devices, rst_sibling, manage_cgroups;
        int32_t cgroups_mode; /* enum criu_cgroups */
        uint32_t empty_ns;    /* CLONE_NEWNET or 0 */
        struct strings external;
        struct key_value *cgroup_roots; /* controllers, as /proc/PID/cgroup names them -> path */
        size_t n_cgroup_roots;
        struct key_value *join_ns; /* kind -> path */
        size_t n_join_ns;
        struct criu_inherited *inherited;
        size_t n_inherited;
};

struct criu_features {
        bool mem_track, lazy_pages;
};

struct criu_request {
        int32_t type;
        struct criu_opts *opts;
        bool notify_success, keep_open;
        struct criu_features *features;
};

struct criu_notify {
        const char *script; /* "setup-namespaces", ... */
        int32_t pid;        /* with some */
};

struct criu_version {
        int32_t major, minor, sublevel;
        const char *gitid;
};

struct criu_restored {
        int32_t pid;
};

struct criu_response {
        int32_t type;
        bool success;
        int32_t sys; /* an errno, or 0 */
        const char *message;
        struct criu_restored *restored;
        struct criu_notify *notify;
        struct criu_features *features;
        struct criu_version *version;
};

void criu_request_encode(const struct criu_request *r, struct buf *out);
/* Strings and messages live in a. 0, or -EBADMSG: cut short, of a wrong wire type, a string with
 * a NUL, or without type and success. */
int criu_response_decode(struct arena *a, const void *p, size_t n, struct criu_response *ret);
