/* Seccomp profiles by chance: what comes out is a program that the kernel takes, which decides on
 * this machine's calls as the rules, read one by one, say. */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdlib.h>

#include "oci/seccomp-plan.h"
#include "oci/test-bpf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
        const uint8_t *p;
        size_t n;
};

static uint8_t byte(struct input *in)
{
        return in->n ? in->n--, *in->p++ : 0;
}

static const char *pick(struct input *in, const char *const *v, size_t n)
{
        return v[byte(in) % n];
}
#define PICK(in, v) pick((in), (v), ARRAY_SIZE(v))

static const char *const actions[] = { "SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "SCMP_ACT_KILL",
                                       "SCMP_ACT_LOG",   "SCMP_ACT_TRACE", "SCMP_ACT_KILL_PROCESS",
                                       "SCMP_ACT_TRAP",  "SCMP_ACT_NONE" };
static const char *const names[] = { "read",   "write",  "socket", "socketcall", "shmat", "openat",
                                     "clone3", "accept", "mseal",  "no_such",    "stat",  "ipc",
                                     "access", "mount",  "bind",   "getpid" };
static const char *const archs[] = { "SCMP_ARCH_X86",   "SCMP_ARCH_X32",     "SCMP_ARCH_X86_64",
                                     "SCMP_ARCH_S390X", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM",
                                     "SCMP_ARCH_VAX" };
static const char *const ops[] = { "SCMP_CMP_EQ",        "SCMP_CMP_NE", "SCMP_CMP_LT",
                                   "SCMP_CMP_LE",        "SCMP_CMP_GT", "SCMP_CMP_GE",
                                   "SCMP_CMP_MASKED_EQ", "SCMP_CMP_" };
static const uint64_t values[] = { 0, 1, 2, 40, UINT32_MAX, 1ull << 32, UINT64_MAX, 1ull << 63 };

static uint64_t value(struct input *in)
{
        uint8_t b = byte(in);

        return values[b % 8] + (b >> 4) - 8;
}

static struct strings list(struct arena *a, struct input *in, const char *const *from, size_t n)
{
        struct strings s = { .n = byte(in) % 5 };

        s.v = arena_array(a, const char *, s.n);
        for (size_t i = 0; i < s.n; i++)
                s.v[i] = pick(in, from, n);
        return s;
}

static void errno_of(struct input *in, struct opt_u64 *ret)
{
        uint8_t b = byte(in);

        *ret = (struct opt_u64){ b & 1, b >> 1 };
}

static void rule(struct arena *a, struct input *in, struct spec_seccomp_rule *ret)
{
        ret->names = list(a, in, names, ARRAY_SIZE(names));
        ret->action = PICK(in, actions);
        errno_of(in, &ret->errno_ret);
        ret->n_args = byte(in) % 8;
        ret->args = arena_array(a, struct spec_seccomp_arg, ret->n_args);
        for (size_t i = 0; i < ret->n_args; i++) {
                struct spec_seccomp_arg *arg = &ret->args[i];

                *arg = (struct spec_seccomp_arg){ byte(in) % 7, value(in), value(in),
                                                  PICK(in, ops) };
        }
}

static uint32_t action_of(const char *name, const struct opt_u64 *errno_ret)
{
        uint32_t v = seccomp_name_find(seccomp_actions, name)->value;

        if (v == SECCOMP_RET_ERRNO || v == SECCOMP_RET_TRACE)
                v |= errno_ret->set ? (uint32_t)errno_ret->v : EPERM;
        return v;
}

static bool names_it(const struct spec_seccomp_rule *r, uint32_t nr, uint32_t *highest)
{
        struct seccomp_number n[2];
        bool found = false;

        for (size_t i = 0; i < r->names.n; i++)
                if (seccomp_numbers(seccomp_arch_here(), r->names.v[i], n)) {
                        found |= n[0].nr == nr;
                        *highest = MAX(*highest, n[0].nr);
                }
        return found;
}

static uint32_t expect(const struct spec_seccomp *s, uint32_t nr, const __u64 *args)
{
        uint32_t def = action_of(s->default_action, &s->default_errno_ret), got = def, highest = 0;
        bool decided = false, always = false, denies, any = false;

        for (size_t i = 0; i < s->n_rules; i++) {
                const struct spec_seccomp_rule *r = &s->rules[i];
                uint32_t action = action_of(r->action, &r->errno_ret);

                if (!names_it(r, nr, &highest) || action == def || always)
                        continue;
                if (r->n_args == 0)
                        always = true;
                else if (decided || !rule_holds(r, args, false))
                        continue;
                decided = true;
                got = action;
        }
        any = highest > 0;
        for (size_t i = 0; i < s->n_rules; i++)
                any |= names_it(&s->rules[i], 0, &highest); /* number 0 is a call, too */
        denies = def != SECCOMP_RET_ALLOW && def != SECCOMP_RET_LOG &&
                 (def & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_TRACE;
        return denies && any && nr > highest ? SECCOMP_RET_ERRNO | ENOSYS : got;
}

static void compare(const struct spec_seccomp *s, const struct seccomp_plan *p, struct input *in)
{
        static const uint32_t numbers[] = { 0, 1, 41, 30, 257, 435, 43, 462, 4, 21, 165, 49, 39 };

        for (int i = 0; i < 64; i++) {
                struct seccomp_data d = { .arch = seccomp_arch_here()->audit };

                d.nr = (int)(i % 4 ? numbers[(unsigned)i % 13] + (i == 63) : byte(in) * 2u);
                for (int k = 0; k < 6; k++)
                        d.args[k] =
                                values[(unsigned)(i * 7 + k * 3) % 8] + (i % 3 == 0) - (i % 5 == 0);
                if (bpf_run(p->code, &d) != expect(s, (uint32_t)d.nr, d.args))
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct input in = { data, size };
        AUTO_ARENA a = { 0 };
        struct spec_seccomp s = { .default_action = PICK(&in, actions) };
        struct seccomp_plan p;
        struct err e = { 0 };

        errno_of(&in, &s.default_errno_ret);
        s.architectures = list(&a, &in, archs, ARRAY_SIZE(archs));
        s.n_rules = byte(&in) % 12;
        s.rules = arena_array(&a, struct spec_seccomp_rule, s.n_rules);
        for (size_t i = 0; i < s.n_rules; i++)
                rule(&a, &in, &s.rules[i]);
        if (seccomp_plan_make(&a, &s, &p, &e) < 0) {
                if (e.code == ERR_NONE || !e.chain[0])
                        abort();
                return 0;
        }
        if (bpf_wrong(p.code, p.n))
                abort();
        compare(&s, &p, &in);
        return 0;
}
