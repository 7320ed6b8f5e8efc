/* The options of `berth run` and `berth create`. */
#pragma once

#include "cli/berth.h"
#include "cli/registry-args.h"
#include "engine/ctr.h"

struct run_args {
        bool interactive, tty, rm, read_only, plan, quiet, detach, no_health;
        const char *rootfs, *name, *hostname, *cpus, *workdir, *user, *entrypoint, *platform;
        const char *restart, *stop_signal, *cidfile, *detach_keys, *sig_proxy;
        const char *health_cmd, *health_interval, *health_timeout, *health_start;
        int64_t memory, pids_limit, stop_timeout, timeout, health_retries;
        struct strings cap_add, cap_drop, volumes, tmpfs, env, env_files, group_add;
        struct strings labels, log_opts, mounts, secrets;
        const char *network, *pid, *ipc, *uts, *cgroupns;
        struct userns_args userns;
        bool privileged, init, env_host, unset_all, no_hosts, replace;
        struct limits limits;
        struct strings security, devices, device_rules, gpus, unset_env, annotations, label_files;
        struct strings dns, dns_search, dns_options, add_hosts, attach;
        bool read_only_tmpfs, http_proxy, passwd, rmi;
        const char *init_path, *passwd_entry, *group_entry, *arch, *os, *variant, *pidfile;
        const char *health_start_interval, *sdnotify;
        struct strings required;
        int64_t preserve_fds;
        struct strings volumes_from;
        const char *volume_driver;
        enum image_volume image_volume;
        struct strings env_merge, chrootdirs, host_users;
        enum systemd_mode systemd;
        int cgroups;
        const char *domainname, *tz, *umask, *cgroup_parent, *personality;
        enum pull_policy pull;
        enum log_driver log_driver;
        enum health_action health_on_failure;
        struct registry_args registry;
};

extern const struct opt run_opts[];
extern const struct run_args run_defaults;

/* What was asked for, in c's arena. Of the positionals the first is an image or `host`, unless
 * --rootfs names a directory; what follows is the command. */
int run_args_take(struct ctx *c, const struct run_args *args, int argc, char **argv,
                  struct ctr_options *ret, struct err *e);
/* What of its streams --attach asks for, into a; all where it isn't given. */
int run_args_attach(const struct run_args *args, struct attach *a, struct err *e);
/* Those that only a container with a monitor can have: ERR_UNSUPPORTED names one that was given. */
int run_args_direct(const struct run_args *args, struct err *e);
