/* Which devices it may use: v1's whitelist, v2's programs; on hybrid hosts both count. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "diag/device-program.h"
#include "diag/devices.h"
#include "diag/host.h"
#include "diag/probe.h"
#include "diag/procfs.h"

#define PROGRAMS_MAX 64
#define INSNS_MAX 65536

struct program {
        struct bpf_insn *insns;
        size_t n;
};

static int bpf(int command, union bpf_attr *attr)
{
        return (int)syscall(SYS_bpf, command, attr, sizeof *attr);
}

/* The ids of the programs that decide for this cgroup: its own and its ancestors'. */
static int query(int dir, uint32_t *ids, uint32_t *n)
{
        union bpf_attr a = { .query = { .target_fd = (uint32_t)dir,
                                        .attach_type = BPF_CGROUP_DEVICE,
                                        .query_flags = BPF_F_QUERY_EFFECTIVE,
                                        .prog_ids = (uintptr_t)ids,
                                        .prog_cnt = *n } };

        if (bpf(BPF_PROG_QUERY, &a) < 0)
                return -errno;
        *n = a.query.prog_cnt;
        return 0;
}

static int load(struct arena *a, uint32_t id, struct program *ret)
{
        union bpf_attr get = { .prog_id = id };
        struct bpf_prog_info info = { 0 };
        union bpf_attr attr = { 0 };
        AUTO_FD int fd = bpf(BPF_PROG_GET_FD_BY_ID, &get);
        size_t n;

        if (fd < 0)
                return -errno;
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        attr.info.bpf_fd = (uint32_t)fd;
        attr.info.info_len = sizeof info;
        attr.info.info = (uintptr_t)&info;
        if (bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) < 0)
                return -errno;
        n = info.xlated_prog_len / sizeof(struct bpf_insn);
        if (n == 0)
                return -EPERM;
        if (n > INSNS_MAX)
                return -EFBIG;
        ret->insns = arena_array(a, struct bpf_insn, n);
        ret->n = n;
        info = (struct bpf_prog_info){ .xlated_prog_len = (uint32_t)(n * sizeof *ret->insns),
                                       .xlated_prog_insns = (uintptr_t)ret->insns };
        return bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) < 0 ? -errno : 0;
}

/* Every program must agree (BPF_F_ALLOW_MULTI). */
static int ask_all(const struct program *programs, size_t n, const struct device_ask *ask)
{
        for (size_t i = 0; i < n; i++) {
                int r = device_program_ask(programs[i].insns, programs[i].n, ask);

                if (r <= 0)
                        return r;
        }
        return 1;
}

static int access_of(const struct program *programs, size_t n, struct device_fact *d)
{
        static const struct {
                unsigned bit;
                char letter;
        } bits[] = { { DEVICE_ASK_READ, 'r' },
                     { DEVICE_ASK_WRITE, 'w' },
                     { DEVICE_ASK_MKNOD, 'm' } };
        size_t at = 0;

        for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
                /* -1, any: a number that no driver has and no rule names. */
                struct device_ask ask = { d->type,
                                          d->major < 0 ? DEVICE_UNLIKELY : (uint32_t)d->major,
                                          d->minor < 0 ? DEVICE_UNLIKELY : (uint32_t)d->minor,
                                          bits[i].bit };
                int r = ask_all(programs, n, &ask);

                if (r < 0)
                        return r;
                if (r > 0)
                        d->access[at++] = bits[i].letter;
        }
        d->access[at] = 0;
        return 0;
}

static int ask_programs(struct facts *f, const struct program *programs, size_t n)
{
        struct does_facts *d = &f->does;
        struct device_fact *list;
        size_t count = devices_of_interest(f->arena, &list);
        char any[2][4] = { "", "" };
        unsigned all = 0;

        d->devices = arena_array(f->arena, struct device_fact, count);
        d->n_devices = 0;
        for (size_t i = 0; i < count; i++) {
                struct device_fact fact = list[i];
                int r = access_of(programs, n, &fact);

                if (r < 0)
                        return r;
                if (fact.major < 0) {
                        memcpy(any[fact.type == 'b'], fact.access, sizeof fact.access);
                        all += str_eq(fact.access, "rwm");
                } else if (str_eq(fact.access, any[fact.type == 'b'])) {
                        continue; /* no more than any other device */
                }
                devices_name(&fact);
                if (fact.access[0])
                        d->devices[d->n_devices++] = fact;
        }
        d->device_policy = all == 2 ? DEVICES_ALL : DEVICES_PROGRAM;
        if (all == 2)
                d->n_devices = 0;
        return 0;
}

static void read_v2(struct facts *f, int dir, bool v1_decides)
{
        struct does_facts *d = &f->does;
        uint32_t ids[PROGRAMS_MAX], n = PROGRAMS_MAX;
        struct program *programs;
        int r = query(dir, ids, &n);

        if (r < 0) {
                if (!v1_decides)
                        d->devices_is = num_state_of(r);
                facts_unread(f, "device programs of its v2 cgroup", num_state_of(r));
                return;
        }
        d->device_programs = n;
        if (v1_decides && (n == 0 || d->device_policy != DEVICES_ALL))
                return;
        d->device_version = 2;
        d->devices_is = NUM_KNOWN;
        if (n == 0) {
                d->device_policy = DEVICES_ALL;
                return;
        }
        programs = arena_array(f->arena, struct program, n);
        for (uint32_t i = 0; i < n && r == 0; i++)
                r = load(f->arena, ids[i], &programs[i]);
        if (r == 0)
                r = ask_programs(f, programs, n);
        if (r < 0) {
                d->devices_is = r == -EOPNOTSUPP ? NUM_BAD : num_state_of(r);
                d->device_policy = DEVICES_UNKNOWN;
                facts_unchecked(f, "which devices it may use",
                                r == -EOPNOTSUPP
                                        ? "its device program does more than can be followed"
                                        : num_state_names[d->devices_is]);
        }
}

static bool read_v1(struct facts *f, const char *dir)
{
        struct does_facts *d = &f->does;
        const char *path = arena_printf(f->arena, "%s/devices.list", dir);
        const char *text = file_text(f->arena, AT_FDCWD, path, TEXT_LARGE, NULL, &d->devices_is);
        bool all;

        if (!text) {
                facts_unread(f, "which devices it may use", d->devices_is);
                return false;
        }
        d->n_devices = procfs_devices(f->arena, text, &d->devices, &all);
        d->device_policy = all ? DEVICES_ALL : DEVICES_LIST;
        d->device_version = 1;
        for (size_t i = 0; i < d->n_devices; i++)
                devices_name(&d->devices[i]);
        return true;
}

void probe_devices(struct facts *f, const struct target *t, const struct probe_host *h)
{
        const struct consumes_facts *c = &f->consumes;
        const struct place *p = &c->place[CGROUP_DEVICES];
        bool v1 = p->version == 1 && p->dir && read_v1(f, p->dir);

        if (c->unified.dir) {
                AUTO_FD int dir = open(c->unified.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                if (dir >= 0)
                        read_v2(f, dir, v1);
        } else if (!v1) {
                f->does.devices_is = NUM_ABSENT;
        }
}
