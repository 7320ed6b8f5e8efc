/* The interpreter of device programs: against the runtime's own generator, whose rules are the
 * oracle, and against programs as other engines write them. */
#include <errno.h>
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macro.h"
#include "diag/device-program.h"
#include "kernel/bpf-device.h"

static const struct device_rule rules[] = {
        { false, 'a', -1, -1, DEVICE_ALL },  { true, 'c', -1, -1, DEVICE_MKNOD },
        { true, 'b', -1, -1, DEVICE_MKNOD }, { true, 'c', 1, 3, DEVICE_ALL },
        { true, 'c', 136, -1, DEVICE_ALL },  { true, 'b', 8, -1, DEVICE_READ | DEVICE_WRITE },
        { false, 'b', 8, 1, DEVICE_WRITE },  { false, 'c', 1, 3, DEVICE_MKNOD },
        { true, 'a', 200, -1, DEVICE_READ },
};

/* Documentation/admin-guide/cgroup-v1/devices.rst: the last rule that names the access decides. */
static bool oracle(const struct device_rule *r, size_t n, const struct device_ask *ask)
{
        bool allow = false;

        for (size_t i = 0; i < n; i++)
                if ((r[i].type == 'a' || r[i].type == ask->type) && (r[i].access & ask->access) &&
                    (r[i].major < 0 || r[i].major == ask->major) &&
                    (r[i].minor < 0 || r[i].minor == ask->minor))
                        allow = r[i].allow;
        return allow;
}

static void test_own_programs(void **state)
{
        static const uint32_t majors[] = { 0, 1, 8, 136, 200, 0xFFFFE };
        static const uint32_t minors[] = { 0, 1, 3, 7, 0xFFFFE };
        struct bpf_insn insns[BPF_DEVICE_INSNS(ARRAY_SIZE(rules))];

        for (size_t n = 0; n <= ARRAY_SIZE(rules); n++) {
                size_t len = bpf_device_program(rules, n, insns);

                for (size_t i = 0; i < 2 * 3 * ARRAY_SIZE(majors) * ARRAY_SIZE(minors); i++) {
                        struct device_ask ask = { i % 2 ? 'c' : 'b',
                                                  majors[i / 6 % ARRAY_SIZE(majors)],
                                                  minors[i / 6 / ARRAY_SIZE(majors)],
                                                  1u << i / 2 % 3 };

                        assert_int_equal(device_program_ask(insns, len, &ask),
                                         oracle(rules, n, &ask));
                }
        }
}

#define I(c, d, s, o, i)                                                                           \
        {                                                                                          \
                .code = c, .dst_reg = d, .src_reg = s, .off = o, .imm = i                          \
        }
#define EXIT I(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define RETURN(v) I(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, v), EXIT

static int ask(const struct bpf_insn *insns, size_t n, char type, uint32_t major, uint32_t minor,
               unsigned access)
{
        struct device_ask a = { type, major, minor, access };

        return device_program_ask(insns, n, &a);
}

/* As systemd does: loads first, 32-bit jumps, access mask by BPF_AND. */
static void test_other_style(void **state)
{
        static const struct bpf_insn p[] = {
                I(BPF_LDX | BPF_MEM | BPF_W, 2, 1, 0, 0),
                I(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xFFFF),
                I(BPF_LDX | BPF_MEM | BPF_W, 3, 1, 0, 0),
                I(BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16),
                I(BPF_LDX | BPF_MEM | BPF_W, 4, 1, 4, 0),
                I(BPF_LDX | BPF_MEM | BPF_W, 5, 1, 8, 0),
                I(BPF_JMP | BPF_JNE | BPF_K, 2, 0, 7, BPF_DEVCG_DEV_CHAR),
                I(BPF_ALU | BPF_MOV | BPF_X, 1, 3, 0, 0),
                I(BPF_ALU | BPF_AND | BPF_K, 1, 0, 0, 6),
                I(BPF_JMP | BPF_JNE | BPF_X, 1, 3, 4, 0),
                I(BPF_JMP32 | BPF_JNE | BPF_K, 4, 0, 3, 10),
                I(BPF_JMP32 | BPF_JNE | BPF_K, 5, 0, 2, 200),
                RETURN(1),
                RETURN(0),
        };

        assert_int_equal(ask(p, ARRAY_SIZE(p), 'c', 10, 200, DEVICE_ASK_READ), 1);
        assert_int_equal(ask(p, ARRAY_SIZE(p), 'c', 10, 200, DEVICE_ASK_MKNOD), 0);
        assert_int_equal(ask(p, ARRAY_SIZE(p), 'c', 10, 201, DEVICE_ASK_READ), 0);
        assert_int_equal(ask(p, ARRAY_SIZE(p), 'b', 10, 200, DEVICE_ASK_READ), 0);
}

static void test_stack_and_constants(void **state)
{
        static const struct bpf_insn p[] = {
                I(BPF_LD | BPF_IMM | BPF_DW, 2, 0, 0, 0x11),
                I(0, 0, 0, 0, 0x22),
                I(BPF_STX | BPF_MEM | BPF_DW, 10, 2, -8, 0),
                I(BPF_LDX | BPF_MEM | BPF_W, 3, 10, -4, 0),
                I(BPF_JMP | BPF_JEQ | BPF_K, 3, 0, 2, 0x22),
                RETURN(0),
                RETURN(1),
        };

        assert_int_equal(ask(p, ARRAY_SIZE(p), 'c', 1, 3, DEVICE_ASK_READ), 1);
}

static void test_refused(void **state)
{
        static const struct bpf_insn call[] = { I(BPF_JMP | BPF_CALL, 0, 0, 0, 1), EXIT };
        static const struct bpf_insn endless[] = { I(BPF_JMP | BPF_JA, 0, 0, -1, 0) };
        static const struct bpf_insn off[] = { I(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1) };
        static const struct bpf_insn wild[] = { I(BPF_LDX | BPF_MEM | BPF_W, 2, 1, 12, 0), EXIT };
        static const struct bpf_insn far[] = { I(BPF_JMP | BPF_JA, 0, 0, -32768, 0) };
        static const struct bpf_insn map[] = { I(BPF_LD | BPF_IMM | BPF_DW, 2, 1, 0, 3),
                                               I(0, 0, 0, 0, 0), RETURN(1) };
        /* An address so high that its end would wrap around. */
        static const struct bpf_insn high[] = { I(BPF_ALU64 | BPF_MOV | BPF_K, 1, 0, 0, -1),
                                                I(BPF_LDX | BPF_MEM | BPF_DW, 0, 1, 0, 0), EXIT };
        static const struct bpf_insn reg[] = { I(BPF_ALU64 | BPF_MOV | BPF_K, 12, 0, 0, 1), EXIT };
        static const struct bpf_insn write[] = { I(BPF_ST | BPF_MEM | BPF_W, 1, 0, 0, 1), EXIT };

        assert_int_equal(ask(call, 2, 'c', 1, 3, 1), -EOPNOTSUPP);
        assert_int_equal(ask(map, 4, 'c', 1, 3, 1), -EOPNOTSUPP);
        assert_int_equal(ask(endless, 1, 'c', 1, 3, 1), -EINVAL);
        assert_int_equal(ask(off, 1, 'c', 1, 3, 1), -EINVAL);
        assert_int_equal(ask(wild, 2, 'c', 1, 3, 1), -EINVAL);
        assert_int_equal(ask(far, 1, 'c', 1, 3, 1), -EINVAL);
        assert_int_equal(ask(reg, 2, 'c', 1, 3, 1), -EINVAL);
        assert_int_equal(ask(high, 3, 'c', 1, 3, 1), -EINVAL);
        assert_int_equal(ask(write, 2, 'c', 1, 3, 1), -EINVAL);
        assert_int_equal(ask(NULL, 0, 'c', 1, 3, 1), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_own_programs),
                cmocka_unit_test(test_other_style),
                cmocka_unit_test(test_stack_and_constants),
                cmocka_unit_test(test_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
