/* The device program against a plain model of the rules: run by an interpreter of the few
 * instructions it uses for thousands of random rule lists, and for some by the kernel on a real
 * v2 cgroup. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "kernel/bpf-device.h"
#include "kernel/cgroup.h"

/* ---- the model: each access bit is decided by the last rule that names it ---- */

static bool names(const struct device_rule *r, char type, int64_t major, int64_t minor)
{
        return (r->type == 'a' || r->type == type) && (r->major < 0 || r->major == major) &&
               (r->minor < 0 || r->minor == minor);
}

static bool allowed(const struct device_rule *r, size_t n, char type, int64_t major, int64_t minor,
                    uint8_t access)
{
        for (uint8_t bit = 1; bit < 8; bit <<= 1) {
                bool verdict = false;

                if (!(access & bit))
                        continue;
                for (size_t i = 0; i < n; i++)
                        if (names(&r[i], type, major, minor) && r[i].access & bit)
                                verdict = r[i].allow;
                if (!verdict)
                        return false;
        }
        return true;
}

/* ---- the interpreter ---- */

static bool jumps(uint8_t op, uint32_t a, uint32_t b)
{
        switch (op) {
        case BPF_JNE:
                return a != b;
        case BPF_JEQ:
                return a == b;
        default:
                fail_msg("unknown jump %x", op);
                return false;
        }
}

static void step_alu(const struct bpf_insn *in, uint32_t *r)
{
        uint32_t operand = BPF_SRC(in->code) == BPF_X ? r[in->src_reg] : (uint32_t)in->imm;

        switch (BPF_OP(in->code)) {
        case BPF_MOV:
                r[in->dst_reg] = operand;
                break;
        case BPF_AND:
                r[in->dst_reg] &= operand;
                break;
        case BPF_RSH:
                r[in->dst_reg] >>= operand;
                break;
        default:
                fail_msg("unknown operation %x", in->code);
        }
}

static uint32_t run(const struct bpf_insn *p, size_t n, const struct bpf_cgroup_dev_ctx *ctx)
{
        uint32_t r[11] = {};

        for (size_t at = 0; at < n; at++) {
                const struct bpf_insn *in = &p[at];

                if (in->code == (BPF_JMP | BPF_EXIT))
                        return r[0];
                if (BPF_CLASS(in->code) == BPF_LDX)
                        memcpy(&r[in->dst_reg], (const char *)ctx + in->off, 4);
                else if (BPF_CLASS(in->code) == BPF_ALU)
                        step_alu(in, r);
                else if (jumps(BPF_OP(in->code), r[in->dst_reg], (uint32_t)in->imm))
                        at += (size_t)in->off;
        }
        fail_msg("ran off the end");
        return 0;
}

static uint32_t ask(const struct bpf_insn *p, size_t n, char type, uint32_t major, uint32_t minor,
                    uint32_t access)
{
        struct bpf_cgroup_dev_ctx ctx = {
                .access_type =
                        access << 16 | (type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR),
                .major = major,
                .minor = minor,
        };

        return run(p, n, &ctx);
}

static struct device_rule random_rule(unsigned *seed)
{
        static const char types[] = { 'a', 'b', 'c' };

        return (struct device_rule){
                .allow = rand_r(seed) % 2,
                .type = types[rand_r(seed) % 3],
                .major = rand_r(seed) % 4 - 1,
                .minor = rand_r(seed) % 4 - 1,
                .access = (uint8_t)(rand_r(seed) % 7 + 1),
        };
}

static void check_all(const struct device_rule *rules, size_t n)
{
        struct bpf_insn insns[BPF_DEVICE_INSNS(16)];
        size_t len = bpf_device_program(rules, n, insns);

        assert_true(len <= BPF_DEVICE_INSNS(n));
        for (int i = 0; i < 2 * 4 * 4 * 7; i++) {
                char type = i % 2 ? 'b' : 'c';
                uint32_t major = i / 2 % 4, minor = i / 8 % 4, access = i / 32 + 1;

                assert_int_equal(ask(insns, len, type, major, minor, access),
                                 allowed(rules, n, type, major, minor, (uint8_t)access));
        }
}

static void test_model(void **state)
{
        unsigned seed = 20250101;

        for (int round = 0; round < 3000; round++) {
                struct device_rule rules[16];
                size_t n = (size_t)(rand_r(&seed) % 17);

                for (size_t i = 0; i < n; i++)
                        rules[i] = random_rule(&seed);
                check_all(rules, n);
        }
}

static void test_large_numbers(void **state)
{
        const struct device_rule rules[] = { { true, 'c', 4095, 1048575, DEVICE_READ } };
        struct bpf_insn insns[BPF_DEVICE_INSNS(1)];
        size_t n = bpf_device_program(rules, 1, insns);

        assert_int_equal(ask(insns, n, 'c', 4095, 1048575, DEVICE_READ), 1);
        assert_int_equal(ask(insns, n, 'c', 4095, 1048574, DEVICE_READ), 0);
        assert_int_equal(ask(insns, n, 'c', 4095, 1048575, DEVICE_ALL), 0);
}

/* ---- the kernel ---- */

/* A v2 leaf of its own, or NULL where this host has none to give. */
static char *leaf_make(struct arena *a)
{
        struct cgroup_layout l;
        char *path;

        if (cgroup_layout_read(a, &l) < 0 || l.v2 < 0)
                return NULL;
        path = arena_printf(a, "%s/berth-unit-bpf-%d", l.v[l.v2].mount, getpid());
        return mkdir(path, 0755) == 0 ? path : NULL;
}

/* The errno of opening dev, made in dir, from within the cgroup; 0 where it opens. */
static int open_within(const char *leaf, const char *dev, int flags)
{
        char procs[512];
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                snprintf(procs, sizeof procs, "%s/cgroup.procs", leaf);
                if (fd_put_at(AT_FDCWD, procs, "0") < 0)
                        _exit(255);
                _exit(open(dev, flags) < 0 ? errno : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void enforce(const char *leaf, const char *null, const char *zero)
{
        const struct device_rule first[] = { { true, 'c', 1, 3, DEVICE_READ | DEVICE_WRITE },
                                             { false, 'c', 1, 3, DEVICE_WRITE } };
        const struct device_rule second[] = { { false, 'a', -1, -1, DEVICE_ALL },
                                              { true, 'c', 1, 5, DEVICE_ALL } };
        AUTO_FD int dir = open(leaf, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_true(dir >= 0);
        assert_int_equal(bpf_device_attach(dir, first, 2), 0);
        assert_int_equal(open_within(leaf, null, O_RDONLY), 0);
        assert_int_equal(open_within(leaf, null, O_RDWR), EPERM);
        assert_int_equal(open_within(leaf, zero, O_RDONLY), EPERM);
        assert_int_equal(bpf_device_attach(dir, second, 2), 0);
        assert_int_equal(open_within(leaf, null, O_RDONLY), EPERM);
        assert_int_equal(open_within(leaf, zero, O_RDWR), 0);
        for (int i = 0; i < 70; i++) /* more than a cgroup holds: each must replace the last */
                assert_int_equal(bpf_device_attach(dir, first, 2), 0);
        assert_int_equal(open_within(leaf, null, O_RDONLY), 0);
}

static void test_kernel(void **state)
{
        char tmp[] = "/tmp/berth-test-bpf-XXXXXX", null[64], zero[64];
        AUTO_ARENA a = {};
        char *leaf = leaf_make(&a);

        if (!leaf || geteuid() != 0) {
                print_message("SKIP: needs root and a writable cgroup v2 mount\n");
                skip();
        }
        assert_non_null(mkdtemp(tmp));
        snprintf(null, sizeof null, "%s/null", tmp);
        snprintf(zero, sizeof zero, "%s/zero", tmp);
        assert_int_equal(mknod(null, S_IFCHR | 0666, makedev(1, 3)), 0);
        assert_int_equal(mknod(zero, S_IFCHR | 0666, makedev(1, 5)), 0);
        enforce(leaf, null, zero);
        unlink(null);
        unlink(zero);
        rmdir(tmp);
        assert_int_equal(rmdir(leaf), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_model),
                cmocka_unit_test(test_large_numbers),
                cmocka_unit_test(test_kernel),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
