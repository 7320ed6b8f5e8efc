/* What can be said of a container that is to be, as options. */
#include "cli/run-args.h"
#include "cli/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "engine/settings.h"
#include "kernel/signals.h"

/* What makes no sense here is refused by its name. */
enum { CGROUPS_ENABLED, CGROUPS_NO_CONMON, CGROUPS_DISABLED, CGROUPS_SPLIT };
static const char *const cgroups_modes[] = { "enabled", "no-conmon", "disabled", "split", NULL };

const struct opt run_opts[] = {
        HEADING("The process"),
        FLAG(struct run_args, interactive, 'i', "interactive", "Keep standard input open"),
        FLAG(struct run_args, tty, 't', "tty", "Give it a terminal"),
        LIST(struct run_args, env, 'e', "env", "NAME[=VALUE]",
             "Set an environment variable, or pass on ours"),
        LIST(struct run_args, env_files, 0, "env-file", "FILE",
             "Set those of a file, one NAME=VALUE a line", .complete = COMPLETE_FILE),
        STR(struct run_args, entrypoint, 0, "entrypoint", "PROGRAM",
            "Replace the image's entrypoint, and its command; a JSON array has arguments too"),
        STR(struct run_args, workdir, 'w', "workdir", "DIR", "Start in DIR, made where missing"),
        STR(struct run_args, user, 'u', "user", "USER[:GROUP]",
            "Run as this user of the container, by name or number; by default the image's, or "
            "root"),
        LIST(struct run_args, group_add, 0, "group-add", "GROUP", "Give it a further group"),
        LIST(struct run_args, unset_env, 0, "unsetenv", "NAME",
             "Leave out a variable of the image"),
        FLAG(struct run_args, unset_all, 0, "unsetenv-all",
             "Leave out the image's variables and ours, but HOME and HOSTNAME"),
        FLAG(struct run_args, env_host, 0, "env-host", "Pass on all variables of ours"),
        LIST(struct run_args, env_merge, 0, "env-merge", "NAME=VALUE",
             "Set a variable, with $NAME and ${NAME} in VALUE replaced by the image's"),
        FLAG(struct run_args, http_proxy, 0, "http-proxy",
             "Pass on our http_proxy, https_proxy, ftp_proxy and no_proxy"),
        STR(struct run_args, umask, 0, "umask", "MASK", "Its umask; 0022 by default"),
        FLAG(struct run_args, init, 0, "init",
             "Run it below a small init, which reaps orphans and passes on signals"),
        STR(struct run_args, init_path, 0, "init-path", "PROGRAM",
            "With --init, that program of this host", .complete = COMPLETE_FILE),
        ENUM(struct run_args, systemd, 0, "systemd", "WHEN", systemd_mode_names,
             "Prepare what systemd needs as its first process: true (the default): where the "
             "command is systemd or /sbin/init; always; false"),
        STR(struct run_args, personality, 0, "personality", "PERSONALITY", "linux or linux32"),
        HEADING("What it sees"),
        STR(struct run_args, rootfs, 0, "rootfs", "DIR",
            "Use DIR as the root file system instead of an image", .complete = COMPLETE_DIR),
        FLAG(struct run_args, read_only, 0, "read-only", "Make the root read-only"),
        FLAG(struct run_args, read_only_tmpfs, 0, "read-only-tmpfs",
             "With --read-only, /run, /tmp and /var/tmp stay writable: true by default"),
        LIST(struct run_args, volumes, 'v', "volume", "SOURCE:DEST[:OPTIONS]",
             "Mount a directory or file of the host; options: ro, and those of mount(8); a DEST "
             "alone is an anonymous volume",
             .complete = COMPLETE_FILE),
        LIST(struct run_args, mounts, 0, "mount", "KEY=VALUE,...",
             "Mount by keys: type=volume (the default), bind or tmpfs, source, destination, ro, "
             "..."),
        LIST(struct run_args, volumes_from, 0, "volumes-from", "CONTAINER[:OPTIONS]",
             "Mount the volumes and binds that this container has; options: ro, rw, z",
             .complete = COMPLETE_CONTAINER),
        ENUM(struct run_args, image_volume, 0, "image-volume", "KIND", image_volume_names,
             "What becomes of the image's volumes: bind (the default): each an anonymous volume; "
             "tmpfs; ignore"),
        STR(struct run_args, volume_driver, 0, "volume-driver", "DRIVER",
            "local, which is the only one"),
        LIST(struct run_args, tmpfs, 0, "tmpfs", "DEST[:OPTIONS]", "Mount a tmpfs"),
        LIST(struct run_args, secrets, 0, "secret", "NAME[,KEY=VALUE...]",
             "Give it a secret: a file below /run/secrets, or with type=env a variable; target, "
             "uid, gid, mode"),
        STR(struct run_args, network, 0, "network", "MODE",
            "none (the default): loopback alone; host: the host's own network; container:NAME: "
            "that container's"),
        STR(struct run_args, network, 0, "net", "MODE", "The same", .hidden = true),
        STR(struct run_args, pid, 0, "pid", "MODE",
            "Its process numbers: private (the default), host, or container:NAME"),
        STR(struct run_args, ipc, 0, "ipc", "MODE",
            "Its System V and POSIX IPC: private (the default), host, or container:NAME"),
        STR(struct run_args, uts, 0, "uts", "MODE",
            "Its host name: private (the default), host, or container:NAME"),
        STR(struct run_args, cgroupns, 0, "cgroupns", "MODE",
            "Its view of cgroups: private (the default) or host"),
        STR(struct run_args, userns.userns, 0, "userns", "MODE",
            "Its users: host (the default), the host's own; auto[:size=N,uidmapping=C:H:N,"
            "gidmapping=C:H:N], as many ids as it needs that no other container has; private, the "
            "same; ns:PATH; container:NAME"),
        LIST(struct run_args, userns.uid_maps, 0, "uidmap", "INSIDE:HOST[:SIZE]",
             "Its user ids from INSIDE on are those of the host from HOST on"),
        LIST(struct run_args, userns.gid_maps, 0, "gidmap", "INSIDE:HOST[:SIZE]",
             "The same for groups; by default as --uidmap, and the other way round"),
        STR(struct run_args, userns.subuid, 0, "subuidname", "NAME",
            "Its user ids from 0 on are those that /etc/subuid gives NAME"),
        STR(struct run_args, userns.subgid, 0, "subgidname", "NAME",
            "The same for groups and /etc/subgid"),
        LIST(struct run_args, dns, 0, "dns", "ADDRESS",
             "Ask this name server; none: no resolv.conf of ours"),
        LIST(struct run_args, dns_search, 0, "dns-search", "DOMAIN",
             "Look names up in this domain"),
        LIST(struct run_args, dns_options, 0, "dns-option", "OPTION",
             "An option of resolv.conf(5)"),
        LIST(struct run_args, dns_options, 0, "dns-opt", "OPTION", "The same", .hidden = true),
        LIST(struct run_args, add_hosts, 0, "add-host", "NAME:ADDRESS", "Add a line to /etc/hosts"),
        FLAG(struct run_args, no_hosts, 0, "no-hosts", "Leave the image's /etc/hosts as it is"),
        LIST(struct run_args, chrootdirs, 0, "chrootdirs", "DIR",
             "DIR of the container is a root too: it gets hosts, hostname and resolv.conf"),
        FLAG(struct run_args, passwd, 0, "passwd",
             "Add the user to /etc/passwd, where the image has none of that number: true by "
             "default"),
        STR(struct run_args, passwd_entry, 0, "passwd-entry", "LINE",
            "The line that is added; $USERNAME, $UID, $GID, $NAME and $HOME are replaced"),
        STR(struct run_args, group_entry, 0, "group-entry", "LINE",
            "The line that is added to /etc/group, likewise"),
        LIST(struct run_args, host_users, 0, "hostuser", "USER",
             "Add this user of the host to /etc/passwd"),
        STR(struct run_args, tz, 0, "tz", "ZONE",
            "Its time zone, e.g. Europe/Paris; local: this host's"),
        LIST(struct run_args, devices, 0, "device", "HOST[:INSIDE[:rwm]]",
             "Give it a device, those of a directory, or one that a CDI file names: "
             "vendor.com/class=name",
             .complete = COMPLETE_FILE),
        LIST(struct run_args, gpus, 0, "gpus", "GPU",
             "The same as --device nvidia.com/gpu=GPU; all: every one"),
        STR(struct run_args, name, 0, "name", "NAME", "Name the container"),
        STR(struct run_args, hostname, 'h', "hostname", "NAME",
            "Its host name; by default the container's name"),
        STR(struct run_args, domainname, 0, "domainname", "NAME", "Its NIS domain name"),
        HEADING("What it may consume"),
        SIZE(struct run_args, memory, 'm', "memory", "BYTES", "Limit its memory, e.g. 64m"),
        STR(struct run_args, cpus, 0, "cpus", "N", "Limit its CPU time to N processors, e.g. 0.5"),
        INT(struct run_args, pids_limit, 0, "pids-limit", "N",
            "Limit its tasks; 2048 by default, -1 for no limit"),
        MAYBE_SIZE(struct run_args, limits.memory_reservation, 0, "memory-reservation", "BYTES",
                   "What it is left with when memory is short"),
        MAYBE_SIZE(struct run_args, limits.memory_swap, 0, "memory-swap", "BYTES",
                   "Limit memory and swap together; -1: no limit of swap"),
        MAYBE_INT(struct run_args, limits.swappiness, 0, "memory-swappiness", "N",
                  "How soon it swaps: 0 to 100; cgroup v1 only", .min = -1, .max = 100),
        MAYBE_INT(struct run_args, limits.oom_score_adj, 0, "oom-score-adj", "N",
                  "Its chance to be killed when the host's memory is short: -1000 to 1000",
                  .min = -1000, .max = 1000),
        MAYBE_SIZE(struct run_args, limits.shm_size, 0, "shm-size", "BYTES",
                   "The size of /dev/shm; 64m by default"),
        MAYBE_UINT(struct run_args, limits.cpu_shares, 'c', "cpu-shares", "N",
                   "Its share of CPU time where others want some; 1024 is the usual one"),
        MAYBE_UINT(struct run_args, limits.cpu_period, 0, "cpu-period", "MICROSECONDS",
                   "In every such period it gets its quota"),
        MAYBE_INT(struct run_args, limits.cpu_quota, 0, "cpu-quota", "MICROSECONDS",
                  "CPU time in a period; -1: no limit", .min = -1, .max = INT64_MAX),
        MAYBE_UINT(struct run_args, limits.cpu_rt_period, 0, "cpu-rt-period", "MICROSECONDS",
                   "The same for real-time scheduling; cgroup v1 only"),
        MAYBE_INT(struct run_args, limits.cpu_rt_runtime, 0, "cpu-rt-runtime", "MICROSECONDS",
                  "The same for real-time scheduling; cgroup v1 only", .min = -1, .max = INT64_MAX),
        STR(struct run_args, limits.cpuset_cpus, 0, "cpuset-cpus", "LIST",
            "Only these processors, e.g. 0-3,7"),
        STR(struct run_args, limits.cpuset_mems, 0, "cpuset-mems", "LIST",
            "Only memory of these NUMA nodes"),
        MAYBE_UINT(struct run_args, limits.blkio_weight, 0, "blkio-weight", "N",
                   "Its share of disks: 10 to 1000"),
        LIST(struct run_args, limits.weight_devices, 0, "blkio-weight-device", "DEVICE:N",
             "The same of one disk"),
        LIST(struct run_args, limits.read_bps, 0, "device-read-bps", "DEVICE:BYTES",
             "Limit reading from a disk, in bytes a second"),
        LIST(struct run_args, limits.write_bps, 0, "device-write-bps", "DEVICE:BYTES",
             "Limit writing to it"),
        LIST(struct run_args, limits.read_iops, 0, "device-read-iops", "DEVICE:N",
             "Limit reading from a disk, in operations a second"),
        LIST(struct run_args, limits.write_iops, 0, "device-write-iops", "DEVICE:N",
             "Limit writing to it"),
        LIST(struct run_args, limits.ulimits, 0, "ulimit", "NAME=SOFT[:HARD]",
             "A limit of setrlimit(2), e.g. nofile=1024:4096; host: all as we have them"),
        LIST(struct run_args, limits.cgroup_conf, 0, "cgroup-conf", "FILE=VALUE",
             "Write to a file of its cgroup; cgroup v2 only"),
        STR(struct run_args, cgroup_parent, 0, "cgroup-parent", "PATH",
            "Make its cgroup below this one: a slice where systemd manages them, else a path"),
        ENUM(struct run_args, cgroups, 0, "cgroups", "MODE", cgroups_modes,
             "enabled (the default), or no-conmon, which is the same: the monitor is in none of "
             "the container's cgroups"),
        HEADING("What it may do"),
        LIST(struct run_args, cap_add, 0, "cap-add", "CAPABILITY", "Give it a capability, or ALL"),
        LIST(struct run_args, cap_drop, 0, "cap-drop", "CAPABILITY",
             "Take away a capability, or ALL"),
        LIST(struct run_args, security, 0, "security-opt", "OPTION",
             "no-new-privileges[=BOOL], seccomp=FILE|unconfined|default, apparmor=PROFILE, "
             "label=disable, mask=PATHS, unmask=PATHS|ALL, systempaths=unconfined"),
        FLAG(struct run_args, privileged, 0, "privileged",
             "All capabilities and devices, no filter of system calls, nothing hidden: root in it "
             "is root of this host"),
        LIST(struct run_args, limits.sysctls, 0, "sysctl", "KEY=VALUE",
             "Set a parameter of its namespaces"),
        LIST(struct run_args, device_rules, 0, "device-cgroup-rule", "RULE",
             "Let it use devices that it makes: \"c 13:* rw\""),
        HEADING("Where the image comes from"),
        ENUM(struct run_args, pull, 0, "pull", "WHEN", pull_policy_names,
             "missing (the default), always, newer (when the registry has another), or never"),
        STR(struct run_args, platform, 0, "platform", "OS/ARCH[/VARIANT]",
            "Use the image for this platform instead of this machine's"),
        STR(struct run_args, arch, 0, "arch", "ARCH", "The same, of the architecture alone"),
        STR(struct run_args, os, 0, "os", "OS", "The same, of the operating system"),
        STR(struct run_args, variant, 0, "variant", "VARIANT", "The same, of its variant"),
        FLAG(struct run_args, quiet, 'q', "quiet", "Show no progress of a pull"),
        REGISTRY_OPTS(struct run_args, registry),
        HEADING("Its life"),
        FLAG(struct run_args, detach, 'd', "detach", "Print its id and return once it runs"),
        FLAG(struct run_args, rm, 0, "rm", "Remove the container when it ends"),
        FLAG(struct run_args, rmi, 0, "rmi",
             "Remove its image too, where no other container has it; implies --rm"),
        FLAG(struct run_args, replace, 0, "replace",
             "Remove what has the name given by --name first"),
        LIST(struct run_args, attach, 'a', "attach", "STREAM",
             "Of stdin, stdout and stderr only these are ours"),
        STR(struct run_args, restart, 0, "restart", "POLICY",
            "When it ends, start it again: no, on-failure[:MAX], always, unless-stopped"),
        STR(struct run_args, stop_signal, 0, "stop-signal", "SIGNAL",
            "What asks it to stop; the image's, or SIGTERM", .complete = COMPLETE_SIGNAL),
        INT(struct run_args, stop_timeout, 0, "stop-timeout", "SECONDS",
            "Kill it when it has not stopped after so long; 10 by default", .min = -1,
            .max = 1 << 30),
        INT(struct run_args, timeout, 0, "timeout", "SECONDS",
            "Stop it when it has run for so long; 0: never", .min = 0, .max = 1 << 30),
        STR(struct run_args, health_cmd, 0, "health-cmd", "COMMAND",
            "Check its health by COMMAND: for a shell, a JSON array, or none"),
        STR(struct run_args, health_interval, 0, "health-interval", "TIME",
            "Between checks; 30s by default"),
        STR(struct run_args, health_timeout, 0, "health-timeout", "TIME",
            "After which a check counts as failed; 30s by default"),
        STR(struct run_args, health_start, 0, "health-start-period", "TIME",
            "At the start, in which failures do not count"),
        STR(struct run_args, health_start_interval, 0, "health-start-interval", "TIME",
            "Between checks within the start period, until one succeeds"),
        INT(struct run_args, health_retries, 0, "health-retries", "N",
            "Failures in a row that make it unhealthy; 3 by default", .min = 0, .max = 1000),
        ENUM(struct run_args, health_on_failure, 0, "health-on-failure", "ACTION",
             health_action_names, "What to do when it is unhealthy: none, kill, restart, stop"),
        FLAG(struct run_args, no_health, 0, "no-healthcheck",
             "No health checks, whatever the image says"),
        ENUM(struct run_args, log_driver, 0, "log-driver", "DRIVER", log_driver_names,
             "How its output is kept: k8s-file (the default), json-file (docker's), journald "
             "(systemd's), passthrough (not at all: it writes where we do), none"),
        LIST(struct run_args, log_opts, 0, "log-opt", "KEY=VALUE",
             "max-size=10m: rotate at that size; max-file=3: keep so many; tag={{.Name}}: its name "
             "in journald"),
        LIST(struct run_args, labels, 'l', "label", "KEY[=VALUE]", "Label it"),
        LIST(struct run_args, label_files, 0, "label-file", "FILE",
             "Label it as a file says, one KEY=VALUE a line", .complete = COMPLETE_FILE),
        LIST(struct run_args, annotations, 0, "annotation", "KEY=VALUE",
             "Annotate it; the OCI runtime acts on some"),
        STR(struct run_args, cidfile, 0, "cidfile", "FILE",
            "Write its id to FILE, which must not exist", .complete = COMPLETE_FILE),
        STR(struct run_args, pidfile, 0, "pidfile", "FILE",
            "Write the number of its process to FILE at each start", .complete = COMPLETE_FILE),
        STR(struct run_args, detach_keys, 0, "detach-keys", "KEYS",
            "What leaves a terminal's container running; ctrl-p,ctrl-q by default"),
        STR_OPTIONAL(struct run_args, sig_proxy, 0, "sig-proxy", "BOOL", "true",
                     "Whether signals that we get go to the container (true without --tty)"),
        INT(struct run_args, preserve_fds, 0, "preserve-fds", "N",
            "Pass N descriptors on to its first process, from 3; and those of $LISTEN_FDS",
            .min = 0, .max = 32),
        STR(struct run_args, sdnotify, 0, "sdnotify", "MODE",
            "When $NOTIFY_SOCKET is told READY=1: container (the default): when the container says "
            "so on a socket that it gets; conmon: when it runs; healthy; ignore: never"),
        LIST(struct run_args, required, 0, "requires", "CONTAINER[,...]",
             "Start these before it, each time", .complete = COMPLETE_CONTAINER),
        HEADING("Berth"),
        FLAG(struct run_args, plan, 0, "plan",
             "Print the operations, one a line in their order, and make none of them"),
        REFUSED('p', "publish", "networks are not built yet: use --network host"),
        REFUSED('P', "publish-all", "networks are not built yet: use --network host"),
        REFUSED(0, "ip", "networks are not built yet"),
        REFUSED(0, "ip6", "networks are not built yet"),
        REFUSED(0, "mac-address", "networks are not built yet"),
        REFUSED(0, "network-alias", "networks are not built yet"),
        REFUSED(0, "net-alias", "networks are not built yet"),
        REFUSED(0, "link", "networks are not built yet: use --network container:NAME"),
        REFUSED(0, "link-local-ip", "networks are not built yet"),
        REFUSED(0, "pod", "pods are not built yet: share with --network container:NAME"),
        REFUSED(0, "pod-id-file", "pods are not built yet"),
        REFUSED(0, "storage-opt", "containers share the file system of the store"),
        REFUSED(0, "preserve-fd", "use --preserve-fds, which passes those from 3 on"),
        REFUSED(0, "conmon-pidfile", "there is no conmon: `berth inspect` shows the monitor"),
        REFUSED(0, "rdt-class", "berth-oci has it, by intelRdt in config.json"),
        REFUSED(0, "shm-size-systemd", "use --tmpfs with a size"),
        REFUSED(0, "seccomp-policy", "use --security-opt seccomp=FILE"),
        REFUSED(0, "decryption-key", "encrypted images are not supported"),
        REFUSED(0, "oom-kill-disable",
                "a container without memory would hang for ever: use --oom-score-adj"),
        REFUSED(0, "kernel-memory", "the kernel has no such limit any more: use --memory"),
        REFUSED(0, "isolation", "it is for Windows"),
        REFUSED(0, "cpu-count", "it is for Windows: use --cpus"),
        REFUSED(0, "cpu-percent", "it is for Windows: use --cpus"),
        REFUSED(0, "io-maxbandwidth",
                "it is for Windows: use --device-read-bps and --device-write-bps"),
        REFUSED(0, "io-maxiops",
                "it is for Windows: use --device-read-iops and --device-write-iops"),
        REFUSED(0, "runtime", "the OCI runtime is part of berth"),
        REFUSED(0, "use-api-socket", "there is no daemon and no socket"),
        REFUSED(0, "health-startup-cmd", "use --health-cmd with --health-start-period"),
        REFUSED(0, "health-startup-interval",
                "use --health-start-period and --health-start-interval"),
        REFUSED(0, "health-startup-retries",
                "use --health-start-period and --health-start-interval"),
        REFUSED(0, "health-startup-success",
                "use --health-start-period and --health-start-interval"),
        REFUSED(0, "health-startup-timeout",
                "use --health-start-period and --health-start-interval"),
        REFUSED(0, "health-log-destination", "the log of checks is in `berth inspect`"),
        REFUSED(0, "health-max-log-count", "the last five checks are kept, of each 500 bytes"),
        REFUSED(0, "health-max-log-size", "the last five checks are kept, of each 500 bytes"),
        IGNORED_VALUE(0, "expose", "PORT", "Documentation of the image, no more", .hidden = true),
        IGNORED(0, "disable-content-trust", "Names are not signed", .hidden = true),
        {}
};

const struct run_args run_defaults = { .pids_limit = 2048,
                                       .read_only_tmpfs = true,
                                       .passwd = true,
                                       .stop_timeout = -1,
                                       .pull = PULL_MISSING,
                                       .registry = REGISTRY_ARGS_DEFAULTS };

/* "1.5" -> 1500. */
static int parse_cpus(const char *text, int64_t *ret, struct err *e)
{
        uint32_t whole = 0, thousandths = 0;
        const char *dot = strchr(text, '.');
        size_t n = dot ? (size_t)(dot - text) : strlen(text);
        char digits[16] = "", frac[4] = "000";

        if (n < sizeof digits) {
                memcpy(digits, text, n);
                for (size_t i = 0; dot && i < 3 && dot[1 + i]; i++)
                        frac[i] = dot[1 + i];
                if ((n == 0 || str_to_u32(digits, &whole) == 0) &&
                    str_to_u32(frac, &thousandths) == 0 && whole < 100000 &&
                    (whole || thousandths >= 10)) {
                        *ret = (int64_t)whole * 1000 + thousandths;
                        return 0;
                }
        }
        return err_set(e, ERR_INVALID, "--cpus: \"%s\" is not a number such as 0.5, at least 0.01",
                       text);
}

/* The first argument is an image or `host`, unless --rootfs names a directory. */
static int take_root(const struct run_args *args, struct sandbox *s, int argc, char **argv,
                     struct err *e)
{
        if (!args->rootfs && argc == 0) {
                err_set(e, ERR_INVALID, "an image is needed, or host");
                return err_hint(e,
                                "`berth run IMAGE`, or `berth run host CMD` for a sandbox of this "
                                "machine's own root");
        }
        if (!args->rootfs) {
                s->image = str_eq(argv[0], "host") ? NULL : argv[0];
                argc--;
                argv++;
        }
        s->args = (struct strings){ (const char **)argv, (size_t)argc };
        return 0;
}

/* --arch, --os and --variant say in parts what --platform says. */
static int take_platform(struct ctx *c, const struct run_args *args, struct sandbox *s,
                         struct err *e)
{
        const char *text = args->platform, *part = args->arch      ? "arch"
                                                   : args->os      ? "os"
                                                   : args->variant ? "variant"
                                                                   : NULL;
        struct platform host;

        if (text && part)
                return err_set(e, ERR_INVALID, "--platform and --%s exclude each other", part);
        platform_host(&host);
        if (part)
                text = arena_printf(&c->arena, "%s/%s%s%s", args->os ? args->os : host.os,
                                    args->arch ? args->arch : host.architecture,
                                    args->variant ? "/" : "", args->variant ? args->variant : "");
        if (text && platform_parse(&c->arena, text, &s->pull.platform, e) < 0)
                return err_in(e, "--%s", part ? part : "platform");
        s->platform_given = text != NULL;
        return 0;
}

/* What a pull needs to know. */
static int take_image(struct ctx *c, const struct run_args *args, struct sandbox *s, struct err *e)
{
        s->pull = (struct pull_options){ .policy = args->pull, .asker = prompt_short_name() };
        if (registry_args_take(&args->registry, &s->pull.fetch, e) < 0)
                return -1;
        if (take_platform(c, args, s, e) < 0)
                return -1;
        if (!s->image && (args->entrypoint || s->platform_given))
                return err_set(e, ERR_INVALID, "--%s is for images only",
                               args->entrypoint ? "entrypoint" : "platform");
        return 0;
}

/* ---- namespaces ---- */

static int take_userns(struct ctx *c, const struct run_args *args, struct sandbox *s, struct err *e)
{
        struct userns *u = &s->userns;
        struct ns_choice *n = &s->ns[KIND_USER];

        if (userns_parse(&c->arena, &args->userns, u, e) < 0)
                return -1;
        if (u->mode != USERNS_HOST && !s->image)
                return err_set(e, ERR_UNSUPPORTED,
                               "user namespaces are for containers of an image");
        n->mode = u->mode == USERNS_HOST        ? MODE_HOST
                  : u->mode == USERNS_CONTAINER ? MODE_CONTAINER
                                                : MODE_PRIVATE;
        n->container = u->mode == USERNS_CONTAINER ? u->from : NULL;
        n->path = u->mode == USERNS_PATH ? u->from : NULL;
        return 0;
}

static int take_namespaces(struct ctx *c, const struct run_args *args, struct sandbox *s,
                           struct err *e)
{
        const char *const given[KIND_MAX] = { [KIND_PID] = args->pid,
                                              [KIND_IPC] = args->ipc,
                                              [KIND_UTS] = args->uts,
                                              [KIND_CGROUP] = args->cgroupns,
                                              [KIND_NETWORK] = args->network };
        static const enum sandbox_network networks[] = { [MODE_PRIVATE] = NETWORK_NONE,
                                                         [MODE_HOST] = NETWORK_HOST,
                                                         [MODE_CONTAINER] = NETWORK_CONTAINER };
        bool joins = false;

        for (int i = 0; i < KIND_MAX; i++) {
                if (namespaces_parse(&c->arena, (enum ns_kind)i, given[i], &s->ns[i], e) < 0)
                        return -1;
                joins |= s->ns[i].mode == MODE_CONTAINER;
        }
        s->network = networks[s->ns[KIND_NETWORK].mode];
        if (take_userns(c, args, s, e) < 0)
                return -1;
        joins |= s->ns[KIND_USER].mode == MODE_CONTAINER;
        if (!joins)
                return 0;
        if (!s->image)
                return err_set(e, ERR_UNSUPPORTED,
                               "namespaces of another container are for containers of an image");
        /* Its monitor would join those of whatever has the process number by then. */
        if (args->restart && !str_eq(args->restart, "no"))
                return err_set(e, ERR_UNSUPPORTED,
                               "--restart: not with namespaces of another container");
        return 0;
}

static void take_gpus(struct ctx *c, const struct run_args *args, struct sandbox *s)
{
        struct strings all = { 0 };

        if (args->gpus.n == 0)
                return;
        for (size_t i = 0; i < s->devices.n; i++)
                strings_add(&c->arena, &all, s->devices.v[i]);
        for (size_t i = 0; i < args->gpus.n; i++) {
                const char *id = str_after(args->gpus.v[i], "device=");

                strings_add(
                        &c->arena, &all,
                        arena_printf(&c->arena, "nvidia.com/gpu=%s", id ? id : args->gpus.v[i]));
        }
        s->devices = all;
}

/* ---- its life ---- */

/* "on-failure:5" */
static int take_restart(const struct run_args *args, struct monitor_config *m, struct err *e)
{
        const char *text = args->restart, *max = text ? strchr(text, ':') : NULL;
        size_t n = max ? (size_t)(max - text) : text ? strlen(text) : 0;
        uint32_t times = 0;

        for (int i = 0; text && i < RESTART_POLICY_MAX; i++) {
                const char *name = restart_policy_names[i];

                if (strlen(name) != n || strncmp(name, text, n) != 0)
                        continue;
                if (max && (i != RESTART_ON_FAILURE || str_to_u32(max + 1, &times) < 0))
                        break;
                m->restart = (enum restart_policy)i;
                m->restart_max = times;
                return (args->rm || args->rmi) && i != RESTART_NO
                               ? err_set(e, ERR_INVALID, "--restart and --rm exclude each other")
                               : 0;
        }
        if (!text)
                return 0;
        return err_set(e, ERR_INVALID,
                       "--restart: \"%s\" is none of no, on-failure[:MAX], always, unless-stopped",
                       text);
}

static int take_time(const char *option, const char *text, int64_t *ret_ms, struct err *e)
{
        uint32_t ms;

        if (!text)
                return 0;
        if (registry_args_delay(text, &ms, e) < 0)
                return err_set(e, ERR_INVALID, "--%s: \"%s\" is no time such as 30s", option, text);
        *ret_ms = ms;
        return 0;
}

/* A JSON array is the command itself, another text is for a shell. */
static int take_health_command(struct ctx *c, const char *text, struct strings *ret, struct err *e)
{
        struct json j;

        if (*text != '[') {
                strings_add(&c->arena, ret, "/bin/sh");
                strings_add(&c->arena, ret, "-c");
                strings_add(&c->arena, ret, text);
                return 0;
        }
        if (json_parse(&c->arena, text, strlen(text), NULL, &j, NULL) < 0)
                return err_set(e, ERR_INVALID, "--health-cmd: \"%s\" is no JSON array", text);
        for (uint32_t i = 0; i < j.n; i++) {
                const char *word = json_str(&j.items[i], NULL);

                if (!word)
                        return err_set(e, ERR_INVALID,
                                       "--health-cmd: \"%s\" holds more than strings", text);
                /* As in an image's configuration. */
                if (i > 0 || (!str_eq(word, "CMD") && !str_eq(word, "NONE")))
                        strings_add(&c->arena, ret, word);
        }
        return 0;
}

static int take_health(struct ctx *c, const struct run_args *args, struct ctr_options *o,
                       struct err *e)
{
        struct health_config *h = &o->monitor.health;

        h->on_failure = args->health_on_failure;
        o->no_health = args->no_health || (args->health_cmd && str_eq(args->health_cmd, "none"));
        h->retries = args->health_retries;
        if (take_time("health-interval", args->health_interval, &h->interval_ms, e) < 0 ||
            take_time("health-timeout", args->health_timeout, &h->timeout_ms, e) < 0 ||
            take_time("health-start-period", args->health_start, &h->start_period_ms, e) < 0 ||
            take_time("health-start-interval", args->health_start_interval, &h->start_interval_ms,
                      e) < 0)
                return -1;
        if (o->no_health || !args->health_cmd)
                return 0;
        o->health_given = true;
        return take_health_command(c, args->health_cmd, &h->test, e);
}

static int take_log(const struct run_args *args, struct monitor_config *m, struct err *e)
{
        if (args->log_driver == LOG_DRIVER_PASSTHROUGH && args->tty)
                return err_set(e, ERR_INVALID,
                               "--log-driver passthrough and --tty exclude each other");
        m->log_driver = args->log_driver;
        m->log_max_files = 1;
        for (size_t i = 0; i < args->log_opts.n; i++) {
                const char *text = args->log_opts.v[i], *value;
                int64_t n;

                if ((value = str_after(text, "max-size=")) && str_to_size(value, &n) == 0 && n > 0)
                        m->log_max_size = (uint64_t)n;
                else if ((value = str_after(text, "max-file=")) && str_to_i64(value, &n) == 0 &&
                         n > 0 && n < 1000)
                        m->log_max_files = n;
                else if ((value = str_after(text, "tag=")) && !strchr(value, '\n'))
                        m->log_tag = value;
                else
                        return err_set(e, ERR_INVALID,
                                       "--log-opt: \"%s\" is none of max-size=BYTES, max-file=N "
                                       "and tag=TEXT",
                                       text);
        }
        return 0;
}

#define LABEL_FILE_MAX (1u << 20)

/* Its lines, before what --label says. */
static int read_label_file(struct arena *a, const char *path, struct strings *to, struct err *e)
{
        AUTO_FREE char *text = NULL;
        const char *at, *label;
        size_t len;
        int r = fd_read_file_at(AT_FDCWD, path, LABEL_FILE_MAX, &text, &len);

        if (r < 0)
                return err_sys(e, r, "--label-file: cannot read \"%s\"", path);
        for (at = text; settings_line(a, &at, &label);)
                strings_add(a, to, label);
        return 0;
}

static int take_labels(struct ctx *c, const struct run_args *args, struct ctr_options *o,
                       struct err *e)
{
        struct strings all = { 0 };

        for (size_t i = 0; i < args->label_files.n; i++)
                if (read_label_file(&c->arena, args->label_files.v[i], &all, e) < 0)
                        return -1;
        for (size_t i = 0; i < args->labels.n; i++)
                strings_add(&c->arena, &all, args->labels.v[i]);
        o->labels = key_values_of(&c->arena, &all);
        return 0;
}

/* As the monitor, whose directory is another, finds it. */
static const char *absolute(struct ctx *c, const char *path)
{
        char here[PATH_MAX], clean[PATH_MAX];

        return *path && getcwd(here, sizeof here) && path_join(here, path, clean, sizeof clean) == 0
                       ? arena_strdup(&c->arena, clean)
                       : NULL;
}

static int take_notify(const struct run_args *args, struct monitor_config *m, struct err *e)
{
        int found;

        if (!args->sdnotify)
                return 0;
        found = str_index(notify_mode_names, NOTIFY_MODE_MAX, args->sdnotify);
        if (found <= NOTIFY_UNSAID)
                return err_set(e, ERR_INVALID,
                               "--sdnotify: \"%s\" is none of container, conmon, healthy, ignore",
                               args->sdnotify);
        m->notify = (enum notify_mode)found;
        return 0;
}

static void take_required(struct ctx *c, const struct run_args *args, struct ctr_options *o)
{
        const char *at, *name;
        size_t len;

        for (size_t i = 0; i < args->required.n; i++)
                for (at = args->required.v[i]; str_next(&at, ',', &name, &len);)
                        if (len)
                                strings_add(&c->arena, &o->required,
                                            arena_strndup(&c->arena, name, len));
}

static int take_life(struct ctx *c, const struct run_args *args, struct ctr_options *o,
                     struct err *e)
{
        struct monitor_config *m = &o->monitor;

        o->auto_remove = args->rm || args->rmi;
        if (args->pidfile && !(m->pid_file = absolute(c, args->pidfile)))
                return err_set(e, ERR_INVALID, "--pidfile: \"%s\" is no path", args->pidfile);
        m->stop_timeout_ms = args->stop_timeout < 0 ? -1 : args->stop_timeout * 1000;
        m->timeout_ms = args->timeout * 1000;
        if (args->stop_signal) {
                int sig = signal_parse(args->stop_signal);

                if (sig <= 0)
                        return err_set(e, ERR_INVALID, "--stop-signal: \"%s\" is no signal",
                                       args->stop_signal);
                m->stop_signal = sig;
                o->stop_signal_given = true;
        }
        if (take_labels(c, args, o, e) < 0 || take_notify(args, m, e) < 0)
                return -1;
        take_required(c, args, o);
        o->preserve_fds = args->preserve_fds;
        if (args->preserve_fds && args->restart && !str_eq(args->restart, "no"))
                return err_set(e, ERR_INVALID,
                               "--preserve-fds and --restart exclude each other: "
                               "only its first life can have our descriptors");
        if (take_restart(args, m, e) < 0 || take_log(args, m, e) < 0)
                return -1;
        return take_health(c, args, o, e);
}

int run_args_take(struct ctx *c, const struct run_args *args, int argc, char **argv,
                  struct ctr_options *ret, struct err *e)
{
        struct ctr_options o = { .box = { .rootfs = args->rootfs,
                                          .name = args->name,
                                          .hostname = args->hostname,
                                          .workdir = args->workdir,
                                          .user = args->user,
                                          .entrypoint = args->entrypoint,
                                          .env = args->env,
                                          .env_files = args->env_files,
                                          .group_add = args->group_add,
                                          .volumes = args->volumes,
                                          .tmpfs = args->tmpfs,
                                          .mounts = args->mounts,
                                          .secrets = args->secrets,
                                          .volumes_from = args->volumes_from,
                                          .image_volume = args->image_volume,
                                          .cap_add = args->cap_add,
                                          .cap_drop = args->cap_drop,
                                          .memory = args->memory,
                                          .pids_limit = args->pids_limit,
                                          .interactive = args->interactive,
                                          .tty = args->tty,
                                          .read_only = args->read_only,
                                          .read_only_tmpfs = args->read_only_tmpfs,
                                          .http_proxy = args->http_proxy,
                                          .env_merge = args->env_merge,
                                          .init_path = args->init_path,
                                          .systemd = args->systemd,
                                          .chrootdirs = args->chrootdirs,
                                          .passwd = args->passwd,
                                          .passwd_entry = args->passwd_entry,
                                          .group_entry = args->group_entry,
                                          .host_users = args->host_users,
                                          .limits = args->limits,
                                          .privileged = args->privileged,
                                          .init = args->init,
                                          .env_host = args->env_host,
                                          .unset_all = args->unset_all,
                                          .unset_env = args->unset_env,
                                          .no_hosts = args->no_hosts,
                                          .security = args->security,
                                          .devices = args->devices,
                                          .device_rules = args->device_rules,
                                          .annotations = args->annotations,
                                          .dns = args->dns,
                                          .dns_search = args->dns_search,
                                          .dns_options = args->dns_options,
                                          .add_hosts = args->add_hosts,
                                          .domainname = args->domainname,
                                          .tz = args->tz,
                                          .umask = args->umask,
                                          .cgroup_parent = args->cgroup_parent,
                                          .personality = args->personality } };

        for (char **word = c->argv; *word; word++)
                strings_add(&c->arena, &o.command_line, *word);
        if (take_root(args, &o.box, argc, argv, e) < 0 || take_image(c, args, &o.box, e) < 0 ||
            (args->cpus && parse_cpus(args->cpus, &o.box.cpus_milli, e) < 0) ||
            take_namespaces(c, args, &o.box, e) < 0 || take_life(c, args, &o, e) < 0)
                return -1;
        take_gpus(c, args, &o.box);
        if (args->cgroups == CGROUPS_DISABLED || args->cgroups == CGROUPS_SPLIT) {
                err_set(e, ERR_UNSUPPORTED, "--cgroups: \"%s\" is not supported",
                        cgroups_modes[args->cgroups]);
                return err_hint(e, "a container's own cgroup is how its limits and its end are "
                                   "known; --cgroup-parent says below which one");
        }
        if (args->volume_driver && !str_eq(args->volume_driver, "local"))
                return err_set(e, ERR_UNSUPPORTED, "--volume-driver: there is no driver but local");
        o.cid_file = args->cidfile;
        if (args->rmi && args->detach)
                return err_set(e, ERR_UNSUPPORTED, "--rmi and --detach exclude each other");
        if (args->replace && !args->name)
                return err_set(e, ERR_INVALID, "--replace needs --name");
        if (args->privileged)
                log_warning(&c->log, "--privileged takes away: the filter of system calls, hidden "
                                     "paths, limits of capabilities and devices");
        *ret = o;
        return 0;
}

int run_args_attach(const struct run_args *args, struct attach *a, struct err *e)
{
        if (args->attach.n == 0)
                return attach_check(a, e);
        if (args->detach)
                return err_set(e, ERR_INVALID, "--attach and --detach exclude each other");
        a->in = a->out = a->err = false;
        for (size_t i = 0; i < args->attach.n; i++) {
                const char *name = args->attach.v[i];

                if (strcasecmp(name, "stdin") == 0)
                        a->in = true;
                else if (strcasecmp(name, "stdout") == 0)
                        a->out = true;
                else if (strcasecmp(name, "stderr") == 0)
                        a->err = true;
                else
                        return err_set(e, ERR_INVALID,
                                       "--attach: \"%s\" is none of stdin, stdout, stderr", name);
        }
        return attach_check(a, e);
}

int run_args_direct(const struct run_args *args, struct err *e)
{
        const char *given = args->detach           ? "detach"
                            : args->restart        ? "restart"
                            : args->cidfile        ? "cidfile"
                            : args->health_cmd     ? "health-cmd"
                            : args->timeout        ? "timeout"
                            : args->labels.n       ? "label"
                            : args->log_opts.n     ? "log-opt"
                            : args->stop_signal    ? "stop-signal"
                            : args->attach.n       ? "attach"
                            : args->replace        ? "replace"
                            : args->secrets.n      ? "secret"
                            : args->volumes_from.n ? "volumes-from"
                            : args->pidfile        ? "pidfile"
                            : args->rmi            ? "rmi"
                            : args->sdnotify       ? "sdnotify"
                            : args->required.n     ? "requires"
                            : args->preserve_fds   ? "preserve-fds"
                                                   : NULL;

        if (!given)
                return 0;
        err_set(e, ERR_UNSUPPORTED, "--%s is for containers of an image", given);
        return err_hint(e,
                        "a sandbox of host or --rootfs has no monitor: it ends with this command");
}
