/* Seccomp profiles: refused ones; decisions compared with those of libseccomp's own filters, used
 * as runc uses it, over many numbers and arguments; and filters loaded into a child of a real
 * kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/str.h"
#include "kernel/seccomp.h"
#include "kernel/test-child.h"
#include "oci/seccomp-plan.h"
#include "oci/test-bpf.h"

/* ---- profiles ---- */

#define LIST(...)                                                                                  \
        {                                                                                          \
                (const char *[]){ __VA_ARGS__ },                                                   \
                        sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *)                   \
        }
#define ARGS(...)                                                                                  \
        .args = (struct spec_seccomp_arg[]){ __VA_ARGS__ },                                        \
        .n_args = ARRAY_SIZE(((struct spec_seccomp_arg[]){ __VA_ARGS__ }))
#define RULES(...)                                                                                 \
        .rules = (struct spec_seccomp_rule[]){ __VA_ARGS__ },                                      \
        .n_rules = ARRAY_SIZE(((struct spec_seccomp_rule[]){ __VA_ARGS__ }))

static struct arena arena;

static void make(const struct spec_seccomp *s, struct seccomp_plan *ret)
{
        struct err e = { 0 };

        if (seccomp_plan_make(&arena, s, ret, &e) < 0)
                fail_msg("%s", e.chain);
        assert_null(bpf_wrong(ret->code, ret->n));
}

static uint32_t decide(const struct seccomp_plan *p, uint32_t arch, uint32_t nr, uint64_t arg0)
{
        struct seccomp_data d = { .nr = (int)nr, .arch = arch, .args = { arg0 } };

        return bpf_run(p->code, &d);
}

/* ---- libseccomp as runc uses it ---- */

static uint32_t scmp_action(const char *name, const struct opt_u64 *errno_ret)
{
        uint32_t v = seccomp_name_find(seccomp_actions, name)->value;

        if (v == SCMP_ACT_ERRNO(0) || v == SCMP_ACT_TRACE(0))
                v |= errno_ret->set ? (uint32_t)errno_ret->v : EPERM;
        return v;
}

static void scmp_rule(scmp_filter_ctx c, const struct spec_seccomp_rule *r, uint32_t action,
                      const char *name)
{
        int nr = seccomp_syscall_resolve_name(name);
        struct scmp_arg_cmp cmp[16];
        bool twice = false;

        if (nr == __NR_SCMP_ERROR)
                return;
        for (size_t i = 0; i < r->n_args; i++) {
                const struct spec_seccomp_arg *a = &r->args[i];

                cmp[i] = (struct scmp_arg_cmp){
                        (unsigned)a->index,
                        (enum scmp_compare)seccomp_name_find(seccomp_operators, a->op)->value,
                        a->value, a->value_two
                };
                for (size_t k = 0; k < i; k++)
                        twice |= cmp[k].arg == cmp[i].arg;
        }
        for (size_t i = 0; twice && i < r->n_args; i++)
                assert_int_equal(seccomp_rule_add_array(c, action, nr, 1, &cmp[i]), 0);
        if (!twice)
                assert_int_equal(seccomp_rule_add_array(c, action, nr, (unsigned)r->n_args, cmp),
                                 0);
}

static unsigned scmp_make(const struct spec_seccomp *s, struct sock_filter *code, size_t cap)
{
        uint32_t def = scmp_action(s->default_action, &s->default_errno_ret);
        scmp_filter_ctx c = seccomp_init(def);
        AUTO_FD int fd = memfd_create("bpf", MFD_CLOEXEC);
        ssize_t n;

        for (size_t i = 0; i < s->architectures.n; i++) {
                int r = seccomp_arch_add(c, seccomp_arch_find(s->architectures.v[i])->scmp);

                assert_true(r == 0 || r == -EEXIST);
        }
        for (size_t i = 0; i < s->n_rules; i++) {
                uint32_t action = scmp_action(s->rules[i].action, &s->rules[i].errno_ret);

                for (size_t k = 0; action != def && k < s->rules[i].names.n; k++)
                        scmp_rule(c, &s->rules[i], action, s->rules[i].names.v[k]);
        }
        assert_int_equal(seccomp_export_bpf(c, fd), 0);
        seccomp_release(c);
        n = pread(fd, code, cap * sizeof *code, 0);
        assert_true(n > 0 && (size_t)n < cap * sizeof *code);
        return (unsigned)((size_t)n / sizeof *code);
}

/* Arguments that lie near what the profiles compare with. */
static uint64_t some_arg(unsigned *seed)
{
        static const uint64_t near[] = { 0,
                                         1,
                                         2,
                                         3,
                                         5,
                                         40,
                                         7,
                                         8,
                                         0x20000,
                                         0x20008,
                                         0x7e020000,
                                         0x1200011,
                                         UINT32_MAX,
                                         0x100000000,
                                         0x100000007,
                                         UINT64_MAX,
                                         0x8000000000000000 };
        uint64_t v = near[(unsigned)rand_r(seed) % ARRAY_SIZE(near)];

        return v + (uint64_t)(rand_r(seed) % 3 - 1) * (rand_r(seed) % 4 == 0);
}

/* Both decide alike, but for ENOSYS above the highest number named. */
static void compare_archs(const struct spec_seccomp *s, const uint32_t *archs, size_t n_archs,
                          unsigned tries)
{
        static struct sock_filter code[BPF_MAXINSNS * 4];
        struct seccomp_plan plan;
        unsigned seed = 7, enosys = 0;

        make(s, &plan);
        scmp_make(s, code, ARRAY_SIZE(code));
        for (unsigned i = 0; i < tries; i++) {
                struct seccomp_data d = { 0 };
                uint32_t ours, theirs;

                d.arch = archs[i % n_archs];
                d.nr = rand_r(&seed) % 520;
                if (rand_r(&seed) % 8 == 0)
                        d.nr |= 0x40000000;
                if (rand_r(&seed) % 500 == 0)
                        d.nr = -1;
                for (int k = 0; k < 6; k++)
                        d.args[k] = some_arg(&seed);
                ours = bpf_run(plan.code, &d);
                theirs = bpf_run(code, &d);
                if (ours == (SECCOMP_RET_ERRNO | ENOSYS) && theirs != ours &&
                    theirs == scmp_action(s->default_action, &s->default_errno_ret)) {
                        enosys++;
                        assert_true((uint32_t)d.nr > 330);
                        continue;
                }
                if (ours != theirs)
                        fail_msg("arch %#x nr %d args %#llx %#llx %#llx: %#x, libseccomp %#x",
                                 d.arch, d.nr, d.args[0], d.args[1], d.args[2], ours, theirs);
        }
        if (str_eq(s->default_action, "SCMP_ACT_ERRNO"))
                assert_true(enosys > 0);
}

#if defined __x86_64__
static const uint32_t machine[] = { AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64 };

/* Every call of x86_64 up to clone3 but some, with conditions like docker's default profile. */
static const char **most_names(size_t *ret_n)
{
        static const char *const denied[] = { "mount",  "umount2", "reboot",      "bpf",
                                              "ptrace", "swapon",  "init_module", "personality",
                                              "clone",  "socket",  "keyctl",      "clone3" };
        const char **names = arena_array(&arena, const char *, 512);
        size_t n = 0;

        for (int i = 0; i <= 450; i++) {
                char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, i);

                if (name && STR_INDEX(denied, name) < 0)
                        names[n++] = arena_strdup(&arena, name);
                free(name);
        }
        names[n++] = "socketcall_is_no_call";
        names[n++] = "recv"; /* i386 alone */
        names[n++] = "stat64";
        *ret_n = n;
        return names;
}

static struct spec_seccomp big_profile(void)
{
        static const char *personality[] = { "personality" }, *clone[] = { "clone" };
        static const char *sock[] = { "socket" }, *clone3[] = { "clone3" };
        static const char *archs[] = { "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32" };
        static struct spec_seccomp_arg p0[] = { { 0, 0, 0, "SCMP_CMP_EQ" } };
        static struct spec_seccomp_arg p8[] = { { 0, 8, 0, "SCMP_CMP_EQ" } };
        static struct spec_seccomp_arg px[] = { { 0, 0x20000, 0, "SCMP_CMP_EQ" } };
        static struct spec_seccomp_arg pf[] = { { 0, 0xffffffff, 0, "SCMP_CMP_EQ" } };
        static struct spec_seccomp_arg cl[] = { { 0, 0x7e020000, 0, "SCMP_CMP_MASKED_EQ" } };
        static struct spec_seccomp_arg so[] = { { 0, 40, 0, "SCMP_CMP_NE" } };
        static struct spec_seccomp_rule rules[] = {
                { .action = "SCMP_ACT_ALLOW" },
                { { personality, 1 }, "SCMP_ACT_ALLOW", .args = p0, .n_args = 1 },
                { { personality, 1 }, "SCMP_ACT_ALLOW", .args = p8, .n_args = 1 },
                { { personality, 1 }, "SCMP_ACT_ALLOW", .args = px, .n_args = 1 },
                { { personality, 1 }, "SCMP_ACT_ALLOW", .args = pf, .n_args = 1 },
                { { clone, 1 }, "SCMP_ACT_ALLOW", .args = cl, .n_args = 1 },
                { { sock, 1 }, "SCMP_ACT_ALLOW", .args = so, .n_args = 1 },
                { { clone3, 1 }, "SCMP_ACT_ERRNO", .errno_ret = { true, ENOSYS } },
        };

        rules[0].names.v = most_names(&rules[0].names.n);
        return (struct spec_seccomp){ .default_action = "SCMP_ACT_ERRNO",
                                      .architectures = { archs, ARRAY_SIZE(archs) },
                                      .rules = rules,
                                      .n_rules = ARRAY_SIZE(rules) };
}

static void test_big_profile_as_libseccomp(void **state)
{
        struct spec_seccomp s = big_profile();

        compare_archs(&s, machine, ARRAY_SIZE(machine), 300000);
        s.architectures.n = 2; /* no x32 */
        compare_archs(&s, machine, ARRAY_SIZE(machine), 300000);
        s.architectures.n = 0; /* the native one */
        compare_archs(&s, machine, ARRAY_SIZE(machine), 100000);
        s.default_action = "SCMP_ACT_LOG";
        compare_archs(&s, machine, ARRAY_SIZE(machine), 100000);
}

static const char *const random_ops[] = { "SCMP_CMP_EQ",       "SCMP_CMP_NE", "SCMP_CMP_LT",
                                          "SCMP_CMP_LE",       "SCMP_CMP_GT", "SCMP_CMP_GE",
                                          "SCMP_CMP_MASKED_EQ" };

/* Conditions by chance on four calls, two of which i386 also makes through a multiplexer. Compared
 * with what they say; and with libseccomp, but for rules that overlap: of two like "below 8" and
 * "up to 1 << 40" on one argument, it loses one. */
static void test_random_conditions(void **state)
{
        static const int wide[] = { 257, 288, 70, 0 }, narrow[] = { 295, 364, 401, 3, 102, 117 };
        static struct sock_filter code[BPF_MAXINSNS];
        unsigned seed = 11;

        for (int round = 0; round < 400; round++) {
                struct spec_seccomp_arg args[4];
                struct spec_seccomp_rule rule = { LIST("openat", "accept4", "msgrcv", "read"),
                                                  "SCMP_ACT_ALLOW", .args = args };
                struct spec_seccomp s = { .default_action = "SCMP_ACT_LOG",
                                          .architectures = LIST("SCMP_ARCH_X86"),
                                          .rules = &rule,
                                          .n_rules = 1 };
                bool overlap = round % 5 == 0;
                struct seccomp_plan plan;

                rule.n_args = (size_t)(1 + rand_r(&seed) % 3);
                for (size_t i = 0; i < rule.n_args; i++)
                        args[i] = (struct spec_seccomp_arg){
                                (uint64_t)i, some_arg(&seed), some_arg(&seed),
                                random_ops[(unsigned)rand_r(&seed) % ARRAY_SIZE(random_ops)]
                        };
                if (overlap)
                        args[rule.n_args - 1].index = 0;
                make(&s, &plan);
                scmp_make(&s, code, ARRAY_SIZE(code));
                for (int i = 0; i < 3000; i++) {
                        bool small = i % 2;
                        struct seccomp_data d = {
                                .arch = small ? AUDIT_ARCH_I386 : AUDIT_ARCH_X86_64,
                                .nr = small ? narrow[rand_r(&seed) % 6] : wide[rand_r(&seed) % 4],
                        };
                        uint32_t ours, want;

                        for (int k = 0; k < 6; k++)
                                d.args[k] = some_arg(&seed);
                        ours = bpf_run(plan.code, &d);
                        want = rule_holds(&rule, d.args, small) ? SECCOMP_RET_ALLOW
                                                                : SECCOMP_RET_LOG;
                        if (!small || (d.nr != 102 && d.nr != 117))
                                assert_int_equal(ours, want);
                        if (!overlap)
                                assert_int_equal(ours, bpf_run(code, &d));
                }
        }
}

static void test_enosys_above_the_highest(void **state)
{
        struct spec_seccomp s = { .default_action = "SCMP_ACT_ERRNO",
                                  .architectures = LIST("SCMP_ARCH_X86", "SCMP_ARCH_X32"),
                                  RULES({ LIST("read", "faccessat2"), "SCMP_ACT_ALLOW" },
                                        { LIST("clone3"), "SCMP_ACT_ERRNO" }) };
        const uint32_t eperm = SECCOMP_RET_ERRNO | EPERM, enosys = SECCOMP_RET_ERRNO | ENOSYS;
        struct seccomp_plan p;

        make(&s, &p);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 439, 0), SECCOMP_RET_ALLOW);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 438, 0), eperm);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 435, 0), eperm);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 440, 0), enosys);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 9999, 0), enosys);
        assert_int_equal(decide(&p, AUDIT_ARCH_I386, 438, 0), eperm);
        assert_int_equal(decide(&p, AUDIT_ARCH_I386, 440, 0), enosys);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 0x40000000, 0), SECCOMP_RET_ALLOW);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 0x40000000 + 440, 0), enosys);
        assert_int_equal(decide(&p, AUDIT_ARCH_AARCH64, 440, 0), SECCOMP_RET_KILL_THREAD);

        /* Without x32, its numbers are as foreign as another architecture's. */
        s.architectures.n = 1;
        make(&s, &p);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 0x40000000, 0), SECCOMP_RET_KILL_THREAD);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, UINT32_MAX, 0), eperm);

        /* A rule that repeats the default still tells what the profile knows. */
        s.rules[1].names = (struct strings)LIST("futex_waitv");
        make(&s, &p);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 449, 0), eperm);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 450, 0), enosys);
}

static void test_no_enosys(void **state)
{
        static const char *const permissive[] = { "SCMP_ACT_ALLOW", "SCMP_ACT_LOG",
                                                  "SCMP_ACT_TRACE" };
        struct spec_seccomp s = { RULES({ LIST("read"), "SCMP_ACT_KILL" }) };
        struct spec_seccomp own = { .default_action = "SCMP_ACT_ERRNO",
                                    .default_errno_ret = { true, 42 },
                                    RULES({ LIST("nobody_knows"), "SCMP_ACT_ALLOW" }) };
        struct seccomp_plan p;

        for (size_t i = 0; i < ARRAY_SIZE(permissive); i++) {
                s.default_action = permissive[i];
                make(&s, &p);
                assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 999, 0) & SECCOMP_RET_ACTION_FULL,
                                 seccomp_name_find(seccomp_actions, permissive[i])->value);
        }
        /* A profile that names no call is not old: it refuses all. */
        make(&own, &p);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 999, 0), SECCOMP_RET_ERRNO | 42);
}

static void test_names_newer_than_the_library(void **state)
{
        struct spec_seccomp s = { .default_action = "SCMP_ACT_ERRNO",
                                  .architectures = LIST("SCMP_ARCH_X86", "SCMP_ARCH_X32"),
                                  RULES({ LIST("mseal", "no_such_call"), "SCMP_ACT_ALLOW" }) };
        struct seccomp_plan p;

        make(&s, &p);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 462, 0), SECCOMP_RET_ALLOW);
        assert_int_equal(decide(&p, AUDIT_ARCH_I386, 462, 0), SECCOMP_RET_ALLOW);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 0x40000000 + 462, 0), SECCOMP_RET_ALLOW);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 461, 0), SECCOMP_RET_ERRNO | EPERM);
        assert_int_equal(p.unknown.n, 1);
        assert_string_equal(p.unknown.v[0], "no_such_call");
}

static void test_unconditional_beats_the_rest(void **state)
{
        struct spec_seccomp s = {
                .default_action = "SCMP_ACT_KILL",
                RULES({ LIST("read"), "SCMP_ACT_KILL" } /* the default: as if it weren't there */,
                      { LIST("read"), "SCMP_ACT_TRAP", ARGS({ 0, 5, 0, "SCMP_CMP_EQ" }) },
                      { LIST("read"), "SCMP_ACT_ALLOW" }, { LIST("read"), "SCMP_ACT_LOG" },
                      { LIST("write"), "SCMP_ACT_TRAP", ARGS({ 0, 5, 0, "SCMP_CMP_EQ" }) },
                      { LIST("write"), "SCMP_ACT_ALLOW", ARGS({ 0, 3, 0, "SCMP_CMP_GT" }) })
        };
        static struct sock_filter code[64];
        struct seccomp_plan p;
        struct seccomp_data d = { .arch = AUDIT_ARCH_X86_64, .args = { 5 } };

        make(&s, &p);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 0, 5), SECCOMP_RET_ALLOW);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 1, 5), SECCOMP_RET_TRAP);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 1, 6), SECCOMP_RET_ALLOW);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 1, 3), SECCOMP_RET_KILL_THREAD);
        s.n_rules = 4;
        scmp_make(&s, code, ARRAY_SIZE(code));
        assert_int_equal(bpf_run(code, &d), SECCOMP_RET_ALLOW); /* libseccomp agrees */
}

static void test_size_of_programs(void **state)
{
        struct spec_seccomp s = big_profile();
        struct seccomp_plan p;

        make(&s, &p);
        print_message("# %u instructions for three architectures\n", p.n);
        assert_true(p.n < 400);
}

static void test_long_programs(void **state)
{
        static const char *names[] = { "read",  "ioctl", "openat", "write", "open",
                                       "close", "stat",  "fstat",  "poll",  "lseek" };
        struct spec_seccomp_rule rules[150];
        struct spec_seccomp_arg args[150];
        struct spec_seccomp s = { .default_action = "SCMP_ACT_ERRNO",
                                  .rules = rules,
                                  .n_rules = ARRAY_SIZE(rules) };
        struct seccomp_plan p;
        struct err e = { 0 };

        /* Jumps over more than 255 instructions, and many actions. */
        for (unsigned i = 0; i < ARRAY_SIZE(rules); i++) {
                args[i] = (struct spec_seccomp_arg){ 0, i, 0, "SCMP_CMP_EQ" };
                rules[i] = (struct spec_seccomp_rule){ { names, 3 },
                                                       "SCMP_ACT_ERRNO",
                                                       .errno_ret = { true, 100 + i },
                                                       .args = &args[i],
                                                       .n_args = 1 };
        }
        make(&s, &p);
        assert_true(p.n > 1500);
        for (unsigned i = 0; i < ARRAY_SIZE(rules); i++) {
                uint32_t want = SECCOMP_RET_ERRNO | (100 + i);

                assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 0, i), want);
                assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 257, i), want);
        }
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 257, 150), SECCOMP_RET_ERRNO | EPERM);
        assert_int_equal(decide(&p, AUDIT_ARCH_X86_64, 5, 1), SECCOMP_RET_ERRNO | EPERM);

        for (unsigned i = 0; i < ARRAY_SIZE(rules); i++)
                rules[i].names.n = ARRAY_SIZE(names);
        assert_int_equal(seccomp_plan_make(&arena, &s, &p, &e), -1);
        assert_int_equal(e.code, ERR_LIMIT);
}
#endif

/* ---- values ---- */

static void test_bad_values_name_their_field(void **state)
{
        struct spec_seccomp base = { .default_action = "SCMP_ACT_ERRNO" };
        struct spec_seccomp_arg arg = { 0, 0, 0, "SCMP_CMP_EQ" };
        struct spec_seccomp_rule rule = { LIST("read"), "SCMP_ACT_ALLOW", .args = &arg,
                                          .n_args = 1 };
#define CASE(text, ...)                                                                            \
        do {                                                                                       \
                struct spec_seccomp s = base;                                                      \
                struct spec_seccomp_rule r = rule;                                                 \
                struct spec_seccomp_arg a = arg;                                                   \
                struct seccomp_plan p = { .n = 99 };                                               \
                struct err e = { 0 };                                                              \
                s.rules = &r;                                                                      \
                s.n_rules = 1;                                                                     \
                r.args = &a;                                                                       \
                __VA_ARGS__;                                                                       \
                assert_int_equal(seccomp_plan_make(&arena, &s, &p, &e), -1);                       \
                assert_int_equal(e.code, ERR_INVALID);                                             \
                assert_non_null(strstr(e.chain, text));                                            \
                assert_int_equal(p.n, 99);                                                         \
        } while (0)

        CASE("linux.seccomp.defaultAction: 'SCMP_ACT_FOO'", s.default_action = "SCMP_ACT_FOO");
        CASE("linux.seccomp.defaultAction: ", s.default_action = NULL);
        CASE("linux.seccomp.defaultAction: ", s.default_action = "SCMP_ACT_NOTIFY");
        CASE("linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW", s.default_action = "SCMP_ACT_ALLOW";
             s.default_errno_ret = (struct opt_u64){ true, 1 });
        CASE("linux.seccomp.defaultErrnoRet: 65536",
             s.default_errno_ret = (struct opt_u64){ true, 65536 });
        CASE("linux.seccomp.architectures: 'SCMP_ARCH_VAX'",
             s.architectures = (struct strings)LIST("SCMP_ARCH_X86_64", "SCMP_ARCH_VAX"));
        CASE("linux.seccomp.flags: 'SECCOMP_FILTER_FLAG_NEW_LISTENER'",
             s.flags = (struct strings)LIST("SECCOMP_FILTER_FLAG_NEW_LISTENER"));
        CASE("linux.seccomp.syscalls[0].action: 'ALLOW'", r.action = "ALLOW");
        CASE("linux.seccomp.syscalls[0].errnoRet", r.errno_ret = (struct opt_u64){ true, 1 });
        CASE("linux.seccomp.syscalls[0].names", r.names.n = 0);
        CASE("linux.seccomp.syscalls[0].args.op: 'EQ'", a.op = "EQ");
        CASE("linux.seccomp.syscalls[0].args.index: 6", a.index = 6);
        CASE("linux.seccomp.syscalls[0].args.index: 18446744073709551615", a.index = UINT64_MAX);
        CASE("linux.seccomp.listenerPath", r.action = "SCMP_ACT_NOTIFY");
        CASE("linux.seccomp.listenerMetadata", s.listener_metadata = "x");
        CASE("linux.seccomp.syscalls[0].action: SCMP_ACT_NOTIFY", r.action = "SCMP_ACT_NOTIFY";
             s.listener_path = "/x"; r.names = (struct strings)LIST("close", "write"));
}

static void test_flags(void **state)
{
        struct spec_seccomp_rule rule = { LIST("getppid"), "SCMP_ACT_NOTIFY" };
        struct spec_seccomp s = { .default_action = "SCMP_ACT_ALLOW" };
        struct seccomp_plan p;

        make(&s, &p);
        assert_int_equal(p.flags, SECCOMP_FILTER_FLAG_SPEC_ALLOW);
        assert_false(p.notify);
        s.flags.v = (const char *[]){ NULL }; /* an empty list, not an absent one */
        make(&s, &p);
        assert_int_equal(p.flags, 0);
        s.flags = (struct strings)LIST("SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
                                       "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV");
        make(&s, &p);
        assert_int_equal(p.flags, SECCOMP_FILTER_FLAG_LOG);
        s.rules = &rule;
        s.n_rules = 1;
        s.listener_path = "/run/agent";
        make(&s, &p);
        assert_int_equal(p.flags, SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
        assert_true(p.notify);
}

/* ---- in force ---- */

static void load(const struct spec_seccomp *s, int *ret_listener)
{
        struct seccomp_plan p;
        struct err e = { 0 };

        CHECK_EQ(seccomp_plan_make(&arena, s, &p, &e), 0);
        CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        CHECK_EQ(seccomp_install(p.code, p.n, p.flags, ret_listener), 0);
}

#define ON_GETPPID(act, ...)                                                                       \
        (&(struct spec_seccomp){ .default_action = "SCMP_ACT_ALLOW",                               \
                                 .listener_path = "/x",                                            \
                                 RULES({ LIST("getppid"), act, __VA_ARGS__ }) })

static void child_errno(void)
{
        load(ON_GETPPID("SCMP_ACT_ERRNO", .errno_ret = { true, 77 }), NULL);
        CHECK_EQ(syscall(SYS_getppid), -1);
        CHECK_EQ(errno, 77);
}
static void child_kill_process(void)
{
        load(ON_GETPPID("SCMP_ACT_KILL_PROCESS"), NULL);
        syscall(SYS_getppid);
}
static void child_kill_thread(void)
{
        load(ON_GETPPID("SCMP_ACT_KILL"), NULL);
        syscall(SYS_getppid);
}
static void on_trap(int sig, siginfo_t *info, void *context)
{
        _exit(info->si_syscall == SYS_getppid ? 0 : 1);
}
static void child_trap(void)
{
        struct sigaction sa = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

        sigaction(SIGSYS, &sa, NULL);
        load(ON_GETPPID("SCMP_ACT_TRAP"), NULL);
        syscall(SYS_getppid);
        _exit(2);
}
static void child_trace(void)
{
        load(ON_GETPPID("SCMP_ACT_TRACE", .errno_ret = { true, 3 }), NULL);
        CHECK_EQ(syscall(SYS_getppid), -1); /* nobody traces us */
        CHECK_EQ(errno, ENOSYS);
}
static void child_log(void)
{
        load(ON_GETPPID("SCMP_ACT_LOG"), NULL);
        CHECK(syscall(SYS_getppid) > 0);
}
static void child_notify(void)
{
        struct seccomp_notif req = { 0 };
        struct seccomp_notif_resp resp = { 0 };
        int listener = -1, status;
        pid_t pid;

        load(ON_GETPPID("SCMP_ACT_NOTIFY"), &listener);
        CHECK(listener >= 0 && fcntl(listener, F_GETFD) == FD_CLOEXEC);
        pid = fork();
        if (pid == 0)
                _exit(syscall(SYS_getppid) == 4321 ? 0 : 1);
        CHECK_EQ(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &req), 0);
        CHECK_EQ(req.data.nr, SYS_getppid);
        resp.id = req.id;
        resp.val = 4321;
        CHECK_EQ(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp), 0);
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}
static void child_enosys(void)
{
        struct spec_seccomp s = { .default_action = "SCMP_ACT_ERRNO",
                                  RULES({ LIST("read", "write", "exit_group", "exit", "close",
                                               "mmap", "munmap", "sigaltstack", "faccessat2"),
                                          "SCMP_ACT_ALLOW" }) };

        load(&s, NULL);
        CHECK(syscall(SYS_getppid) == -1 && errno == EPERM);
        CHECK(syscall(449 /* futex_waitv */, 0, 0, 0, 0, 0) == -1 && errno == ENOSYS);
}
static void child_args(void)
{
        struct spec_seccomp s = {
                .default_action = "SCMP_ACT_ALLOW",
                RULES({ LIST("lseek"), "SCMP_ACT_ERRNO", .errno_ret = { true, 99 },
                        ARGS({ 0, 77, 0, "SCMP_CMP_GE" }, { 1, 1ull << 40, 0, "SCMP_CMP_LT" }) })
        };

        load(&s, NULL);
        CHECK(syscall(SYS_lseek, 77, (1l << 40) - 1, 0) == -1 && errno == 99);
        CHECK(syscall(SYS_lseek, 78, 0, 0) == -1 && errno == 99);
        CHECK(syscall(SYS_lseek, 77, 1l << 40, 0) == -1 && errno == EBADF);
        CHECK(syscall(SYS_lseek, 76, 0, 0) == -1 && errno == EBADF);
}
static void child_unprivileged(void)
{
        struct seccomp_plan p;
        struct err e = { 0 };

        if (getuid() == 0)
                CHECK_EQ(syscall(SYS_setuid, 12345), 0);
        CHECK_EQ(seccomp_plan_make(&arena, ON_GETPPID("SCMP_ACT_LOG"), &p, &e), 0);
        CHECK_EQ(seccomp_install(p.code, p.n, p.flags, NULL), -EACCES);
        CHECK_EQ(seccomp_install(p.code, 0, p.flags, NULL), -EINVAL);
}
#if defined __x86_64__
static void child_i386(void)
{
        struct spec_seccomp s = { .default_action = "SCMP_ACT_ALLOW",
                                  .architectures = LIST("SCMP_ARCH_X86"),
                                  RULES({ LIST("getppid"), "SCMP_ACT_ERRNO",
                                          .errno_ret = { true, 66 } }) };
        long r = 0;

        __asm__ volatile("int $0x80" : "=a"(r) : "a"(64) : "memory", "r8", "r9", "r10", "r11");
        if (r == -ENOSYS)
                child_skip("no 32-bit calls in this kernel");
        load(&s, NULL);
        __asm__ volatile("int $0x80" : "=a"(r) : "a"(64) : "memory", "r8", "r9", "r10", "r11");
        CHECK_EQ((int)r, -66);
}
static void child_foreign_arch_is_killed(void)
{
        long r;

        load(ON_GETPPID("SCMP_ACT_LOG"), NULL); /* x86_64 alone */
        __asm__ volatile("int $0x80" : "=a"(r) : "a"(64) : "memory", "r8", "r9", "r10", "r11");
}
#endif

static void test_actions_in_force(void **state)
{
        int status;

        IN_CHILD(child_errno);
        IN_CHILD(child_trap);
        IN_CHILD(child_trace);
        IN_CHILD(child_log);
        IN_CHILD(child_notify);
        status = child_status(child_kill_process);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
        status = child_status(child_kill_thread);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}
static void test_enosys_in_force(void **state)
{
        IN_CHILD(child_enosys);
}
static void test_arguments_in_force(void **state)
{
        IN_CHILD(child_args);
}
static void test_loading_takes_privilege(void **state)
{
        IN_CHILD(child_unprivileged);
}
#if defined __x86_64__
static void test_32_bit_calls_in_force(void **state)
{
        int status;

        IN_CHILD(child_i386);
        status = child_status(child_foreign_arch_is_killed);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}
#endif

static void test_what_the_kernel_has(void **state)
{
        assert_true(seccomp_has_action(SECCOMP_RET_USER_NOTIF));
        assert_false(seccomp_has_action(0x7ff10000));
        assert_true(seccomp_has_flag(SECCOMP_FILTER_FLAG_LOG));
        assert_true(seccomp_has_flag(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV));
        assert_false(seccomp_has_flag(1u << 30));
}

static void test_tables(void **state)
{
        static struct {
                const char *name;
                uint32_t nr;
        } direct[] = {
                { "socket", 359 },
                { "accept4", 364 },
                { "shutdown", 373 },
                { "shmat", 397 },
        };
        const struct seccomp_arch *x86 = seccomp_arch_find("SCMP_ARCH_X86");
        struct seccomp_number n[2];

        assert_non_null(seccomp_arch_here()->name);
        for (const struct seccomp_arch *a = seccomp_archs; a->name; a++)
                assert_ptr_equal(seccomp_arch_find(a->name), a);
        for (size_t i = 0; i < ARRAY_SIZE(direct); i++) {
                assert_int_equal(seccomp_numbers(x86, direct[i].name, n), 2);
                assert_int_equal(n[1].nr, direct[i].nr);
        }
        assert_int_equal(seccomp_numbers(x86, "accept", n), 1); /* through socketcall alone */
        assert_int_equal(n[0].nr, 102);
        assert_int_equal(n[0].operation, 5);
        assert_int_equal(seccomp_numbers(x86, "nothing", n), 0);
        assert_int_equal(seccomp_numbers(x86, "", n), 0);
}

static int teardown(void **state)
{
        arena_done(&arena);
        return 0;
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tables),
                cmocka_unit_test(test_bad_values_name_their_field),
                cmocka_unit_test(test_flags),
                cmocka_unit_test(test_what_the_kernel_has),
                cmocka_unit_test(test_actions_in_force),
                cmocka_unit_test(test_enosys_in_force),
                cmocka_unit_test(test_arguments_in_force),
                cmocka_unit_test(test_loading_takes_privilege),
#if defined __x86_64__
                cmocka_unit_test(test_32_bit_calls_in_force),
                cmocka_unit_test(test_big_profile_as_libseccomp),
                cmocka_unit_test(test_random_conditions),
                cmocka_unit_test(test_enosys_above_the_highest),
                cmocka_unit_test(test_no_enosys),
                cmocka_unit_test(test_names_newer_than_the_library),
                cmocka_unit_test(test_unconditional_beats_the_rest),
                cmocka_unit_test(test_size_of_programs),
                cmocka_unit_test(test_long_programs),
#endif
        };

        return cmocka_run_group_tests_name("seccomp", tests, NULL, teardown);
}
