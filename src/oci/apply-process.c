/* STAGE_PROCESS and the exec: init takes on the process's attributes, in the plan's order, which
 * is the order that its privileges allow. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "kernel/caps.h"
#include "kernel/lsm.h"
#include "kernel/process.h"
#include "kernel/resolve.h"
#include "kernel/sched.h"
#include "kernel/seccomp.h"
#include "kernel/sys.h"
#include "oci/exec-env.h"
#include "oci/explain.h"
#include "oci/id-map.h"
#include "oci/launch.h"
#include "oci/sync.h"

static int write_label(struct init *in, enum lsm_kind kind, enum lsm_attr attr, const char *label)
{
        AUTO_FD int fd = lsm_attr_open(init_proc(in), kind, attr);

        return fd < 0 ? fd : lsm_attr_write(fd, kind, label);
}

int process_keyring(struct init *in, const struct op *op, struct err *e)
{
        const char *label = in->l->plan->process->selinux_label;

        /* The ring gets the label of its container; a kernel without that attribute has no
         * matter. */
        if (!str_empty(label))
                write_label(in, LSM_SELINUX, LSM_ATTR_KEYCREATE, label);
        int r = process_keyring_join(op->text, in->l->plan->userns ? PROCESS_KEY_OTHER_SEARCH
                                                                   : PROCESS_KEY_USER_SEARCH);

        if (r == -EOPNOTSUPP)
                return 0;
        if (r < 0) {
                err_sys(e, r, "cannot join session keyring \"%s\"", op->text);
                return err_hint(e, "see /proc/sys/kernel/keys/maxkeys, or use --no-new-keyring");
        }
        return 0;
}

int process_rlimit(struct init *in, const struct op *op, struct err *e)
{
        const struct str_flag *f = str_flag_find(process_rlimits, op->rlimit->type);
        int r = process_rlimit_set(0, (int)f->value, op->rlimit->soft, op->rlimit->hard);

        return r < 0 ? rlimit_err(e, op->rlimit, r) : 0;
}

int process_personality_set(struct init *in, const struct op *op, struct err *e)
{
        const char *domain = in->l->plan->spec->linux_.personality->domain;
        int r = process_personality((unsigned)str_flag_find(process_domains, domain)->value);

        return r < 0 ? err_sys(e, r, "linux.personality: cannot set \"%s\"", domain) : 0;
}

/* ---- scheduling ---- */

static uint64_t flags_of(const struct str_flag *table, const struct strings *names)
{
        uint64_t flags = 0;

        for (size_t i = 0; i < names->n; i++)
                flags |= str_flag_find(table, names->v[i])->value;
        return flags;
}

int process_memory_policy(struct init *in, const struct op *op, struct err *e)
{
        const struct spec_memory_policy *p = in->l->plan->spec->linux_.memory_policy;
        struct bitlist nodes = { .n = 0 };
        int r = str_empty(p->nodes) ? 0 : bitlist_parse(p->nodes, &nodes);

        if (r == 0)
                r = sched_mem_apply((unsigned)str_flag_find(sched_mem_modes, p->mode)->value,
                                    (unsigned)flags_of(sched_mem_flags, &p->flags), &nodes);
        return r < 0 ? err_sys(e, r, "linux.memoryPolicy: cannot set %s on nodes \"%s\"", p->mode,
                               str_empty(p->nodes) ? "" : p->nodes)
                     : 0;
}

int process_scheduler(struct init *in, const struct op *op, struct err *e)
{
        const struct spec_scheduler *s = in->l->plan->process->scheduler;
        struct sched_attrs a = {
                .policy = (uint32_t)str_flag_find(sched_policies, s->policy)->value,
                .flags = flags_of(sched_flags, &s->flags),
                .nice = (int32_t)s->nice,
                .priority = (uint32_t)s->priority,
                .runtime = s->runtime,
                .deadline = s->deadline,
                .period = s->period,
        };
        int r = sched_apply(0, &a);

        return r < 0 ? err_sys(e, r, "process.scheduler: cannot set %s", s->policy) : 0;
}

int process_io_priority(struct init *in, const struct op *op, struct err *e)
{
        const struct spec_io_priority *p = in->l->plan->process->io_priority;
        int r = sched_io_apply(0, (unsigned)str_flag_find(sched_io_classes, p->class)->value,
                               (unsigned)p->priority);

        return r < 0 ? err_sys(e, r, "process.ioPriority: cannot set %s", p->class) : 0;
}

int process_affinity(struct init *in, const struct op *op, struct err *e)
{
        struct bitlist cpus = { .n = 0 };
        int r;

        if (!op->text) {
                sched_affinity_reset(0);
                return 0;
        }
        r = bitlist_parse(op->text, &cpus);
        if (r == 0)
                r = sched_affinity_set(0, &cpus);
        return r < 0 ? err_sys(e, r, "process.execCPUAffinity: cannot set \"%s\"", op->text) : 0;
}

int process_umask(struct init *in, const struct op *op, struct err *e)
{
        umask((mode_t)op->number);
        return 0;
}

/* ---- labels and filters ---- */

static int label_failed(enum lsm_kind kind, const char *label, int error, struct err *e)
{
        bool apparmor = kind == LSM_APPARMOR;
        const char *field = apparmor ? "process.apparmorProfile" : "process.selinuxLabel";

        if (error == -EOPNOTSUPP) {
                err_set(e, ERR_UNSUPPORTED, "%s: %s is not enabled on this host", field,
                        apparmor ? "AppArmor" : "SELinux");
                return err_hint(e, "/sys/kernel/security/lsm lists what is; remove the label");
        }
        if (error == -ENOENT && apparmor) {
                err_set(e, ERR_NOT_FOUND, "%s: the profile \"%s\" is not loaded", field, label);
                return err_hint(e, "load it with apparmor_parser, see `aa-status`");
        }
        return err_sys(e, error, "%s: cannot set \"%s\"", field, label);
}

int process_lsm(struct init *in, const struct op *op, struct err *e)
{
        int r = write_label(in, (enum lsm_kind)op->detail, LSM_ATTR_EXEC, op->text);

        return r < 0 ? label_failed((enum lsm_kind)op->detail, op->text, r, e) : 0;
}

static int load_listener(struct init *in, const struct seccomp_plan *p, struct err *e)
{
        int fd = -1, r = seccomp_install(p->code, p->n, p->flags, &fd);

        if (r < 0)
                return err_sys(e, r, "linux.seccomp: cannot load the filter");
        /* The runtime takes it from here by pidfd_getfd(2): sending it could itself be filtered. */
        if (sync_send(in->sync, SYNC_NOTIFY, fd) < 0 || sync_wait_go(in->sync) < 0)
                _exit(1);
        /* It stays open until the exec: close(2) might be filtered. */
        return 0;
}

int process_seccomp(struct init *in, const struct op *op, struct err *e)
{
        const struct seccomp_plan *p = &in->l->seccomp;
        int r;

        /* L2, while it is sure to be allowed. */
        sys_close_range(3 + in->l->preserve_fds, ~0u, CLOSE_RANGE_CLOEXEC);

        if (p->notify)
                return load_listener(in, p, e);
        r = seccomp_install(p->code, p->n, p->flags, NULL);
        return r < 0 ? err_sys(e, r, "linux.seccomp: cannot load the filter") : 0;
}

int process_no_new_privs(struct init *in, const struct op *op, struct err *e)
{
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return err_sys(e, errno, "cannot set no_new_privs");
        return 0;
}

/* ---- user and capabilities ---- */

static uint64_t mask_of(struct init *in, const char *set, const struct strings *names,
                        uint64_t known)
{
        const char **unknown = arena_array(in->l->arena, const char *, names->n + 1);
        uint64_t mask = 0;
        size_t n = caps_parse_list(names->v, names->n, known, &mask, unknown);

        for (size_t i = 0; i < n; i++)
                log_warning(in->l->log, "process.capabilities.%s: this kernel has no %s", set,
                            unknown[i]);
        return mask;
}

int process_cap_bounding(struct init *in, const struct op *op, struct err *e)
{
        uint64_t known = caps_known();
        uint64_t keep = mask_of(in, "bounding", &plan_caps(in->l->plan)->bounding, known);
        int r = caps_drop_bounding(keep, known);

        return r < 0 ? err_sys(e, r, "process.capabilities.bounding: cannot drop the others") : 0;
}

/* The host's /dev/null is a mount of the host's: the container's own takes its place. */
static void own_null(int fd)
{
        AUTO_FD int null = open("/dev/null", O_RDWR | O_NOCTTY | O_CLOEXEC);
        struct stat st;

        if (null >= 0 && fstat(null, &st) == 0 && S_ISCHR(st.st_mode) &&
            st.st_rdev == makedev(1, 3))
                dup2(null, fd);
}

/* So that the user can reopen /dev/stdout and its likes, as with runc. Not the console: that was
 * made for it. What has no such owner (a socket, a read-only file system, an unmapped id) stays. */
static void give_stdio(const struct spec_user *u)
{
        struct stat st;

        for (int fd = 0; fd < 3; fd++) {
                if (fstat(fd, &st) < 0)
                        continue;
                if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) {
                        own_null(fd);
                        continue;
                }
                if (st.st_uid == u->uid)
                        continue;
                if (fchown(fd, u->uid, st.st_gid) < 0)
                        continue;
        }
}

static int set_groups(struct init *in, const struct spec_user *u, struct err *e)
{
        char text[16];

        if (setgroups(u->n_additional_gids, u->additional_gids) == 0)
                return 0;
        /* Rootless with "deny" in /proc/PID/setgroups: nothing to set is fine. */
        if (errno == EPERM && u->n_additional_gids == 0) {
                AUTO_FD int fd = resolve_proc(init_proc(in), "self/setgroups", O_RDONLY);

                if (fd >= 0 && fd_read_text(fd, text, sizeof text) > 0 && str_eq(text, "deny\n"))
                        return 0;
                errno = EPERM;
        }
        return err_sys(e, errno, "process.user.additionalGids: cannot set them");
}

static int id_failed(struct init *in, const char *what, uint32_t id, struct err *e)
{
        err_sys(e, errno, "process.user.%s: cannot become %u", what, id);
        if (errno == EINVAL && in->l->plan->userns)
                err_hint(e, "the user namespace does not map this id");
        return -1;
}

int process_user(struct init *in, const struct op *op, struct err *e)
{
        const struct spec_user *u = &in->l->plan->process->user;

        give_stdio(u);
        in->env = exec_env(in, u->uid);
        caps_keep(true);
        if (set_groups(in, u, e) < 0)
                return -1;
        if (setresgid(u->gid, u->gid, u->gid) < 0)
                return id_failed(in, "gid", u->gid, e);
        if (setresuid(u->uid, u->uid, u->uid) < 0)
                return id_failed(in, "uid", u->uid, e);
        return 0;
}

int process_caps(struct init *in, const struct op *op, struct err *e)
{
        const struct spec_caps *c = plan_caps(in->l->plan);
        const struct strings *lists[CAPS_SET_MAX] = {
                [CAPS_BOUNDING] = &c->bounding,   [CAPS_EFFECTIVE] = &c->effective,
                [CAPS_PERMITTED] = &c->permitted, [CAPS_INHERITABLE] = &c->inheritable,
                [CAPS_AMBIENT] = &c->ambient,
        };
        struct caps_sets want = { 0 }, refused;
        uint64_t known = caps_known();
        int r;

        for (int s = CAPS_BOUNDING + 1; s < CAPS_SET_MAX; s++)
                want.v[s] = mask_of(in, caps_set_names[s], lists[s], known);
        r = caps_apply(&want, &refused);
        if (r < 0)
                return err_sys(e, r, "process.capabilities: cannot set them");
        for (int s = 0; s < CAPS_SET_MAX; s++)
                for (unsigned n = 0; s != CAPS_BOUNDING && n < CAPS_MAX; n++)
                        if (refused.v[s] & 1ull << n)
                                /* runc's default has ambient ones that can't be: no news. */
                                log_write(in->l->log,
                                          s == CAPS_AMBIENT ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING,
                                          "process.capabilities.%s: cannot grant %s",
                                          caps_set_names[s], caps_name(n));
        return 0;
}

/* As the user, whose rights count (a root-squashed NFS); where those do not suffice, as runc
 * does, with the capabilities that are still there. Afterwards the directory must be inside the
 * root: a descriptor of the host's as cwd is CVE-2024-21626. */
int process_cwd(struct init *in, const struct op *op, struct err *e)
{
        char where[4096];

        if (chdir(op->text) < 0) {
                if (errno == EACCES && caps_raise_permitted() == 0 && chdir(op->text) == 0)
                        goto inside;
                return err_sys(e, errno, "process.cwd: cannot enter \"%s\"", op->text);
        }
inside:
        if (syscall(SYS_getcwd, where, sizeof where) < 0 || where[0] != '/')
                return err_set(e, ERR_DENIED,
                               "process.cwd: \"%s\" leads out of the container's root", op->text);
        return 0;
}

/* ---- exec ---- */

int process_find_exec(struct init *in, const struct op *op, struct err *e)
{
        in->exec_path = exec_find(in, op->text, e);
        return in->exec_path ? 0 : -1;
}

int process_exec(struct init *in, const struct op *op, struct err *e)
{
        const struct strings *args = &in->l->plan->process->args;
        char **argv = arena_array(in->l->arena, char *, args->n + 1);
        int saved;

        for (size_t i = 0; i < args->n; i++)
                argv[i] = (char *)args->v[i];
        /* L2. */
        sys_close_range(3 + in->l->preserve_fds, ~0u, CLOSE_RANGE_CLOEXEC);
        execve(in->exec_path, argv, in->env);
        saved = errno;
        return explain_exec(in->exec_path, saved, e);
}
