#include "diag/device-program.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#define STACK_SIZE 512
#define STEPS_MAX 200000
/* Where the interpreted program believes its memory to be. */
#define CONTEXT_AT 0x10000u
#define STACK_TOP 0x20000u

struct machine {
        uint64_t r[11];
        struct bpf_cgroup_dev_ctx context;
        uint8_t stack[STACK_SIZE];
};

/* at is the program's to choose: any 64-bit number. n is at most 8. */
static uint8_t *memory(struct machine *m, uint64_t at, size_t n, bool write)
{
        if (!write && at >= CONTEXT_AT && at <= CONTEXT_AT + sizeof m->context - n)
                return (uint8_t *)&m->context + (at - CONTEXT_AT);
        if (at >= STACK_TOP - STACK_SIZE && at <= STACK_TOP - n)
                return m->stack + (at - (STACK_TOP - STACK_SIZE));
        return NULL;
}

static size_t size_of(uint8_t code)
{
        switch (BPF_SIZE(code)) {
        case BPF_B:
                return 1;
        case BPF_H:
                return 2;
        case BPF_W:
                return 4;
        default:
                return 8;
        }
}

/* BPF_LDX, BPF_ST and BPF_STX in plain memory mode. */
static int run_memory(struct machine *m, const struct bpf_insn *i)
{
        bool load = BPF_CLASS(i->code) == BPF_LDX;
        uint64_t base = m->r[load ? i->src_reg : i->dst_reg];
        size_t n = size_of(i->code);
        uint8_t *p;
        uint64_t v;

        if (BPF_MODE(i->code) != BPF_MEM)
                return -EOPNOTSUPP;
        p = memory(m, base + (uint64_t)(int64_t)i->off, n, !load);
        if (!p)
                return -EINVAL;
        if (load) {
                v = 0;
                memcpy(&v, p, n); /* little-endian hosts only, as berth's are */
                m->r[i->dst_reg] = v;
        } else {
                v = BPF_CLASS(i->code) == BPF_ST ? (uint64_t)(int64_t)i->imm : m->r[i->src_reg];
                memcpy(p, &v, n);
        }
        return 0;
}

static int alu(uint8_t op, uint64_t a, uint64_t b, unsigned bits, uint64_t *ret)
{
        switch (op) {
        case BPF_ADD:
                *ret = a + b;
                return 0;
        case BPF_SUB:
                *ret = a - b;
                return 0;
        case BPF_MUL:
                *ret = a * b;
                return 0;
        case BPF_OR:
                *ret = a | b;
                return 0;
        case BPF_AND:
                *ret = a & b;
                return 0;
        case BPF_XOR:
                *ret = a ^ b;
                return 0;
        case BPF_MOV:
                *ret = b;
                return 0;
        case BPF_LSH:
                *ret = a << (b % bits);
                return 0;
        case BPF_RSH:
                *ret = a >> (b % bits);
                return 0;
        case BPF_ARSH:
                *ret = bits == 32 ? (uint64_t)(uint32_t)((int32_t)a >> (b % 32))
                                  : (uint64_t)((int64_t)a >> (b % 64));
                return 0;
        case BPF_NEG:
                *ret = -a;
                return 0;
        default:
                return -EOPNOTSUPP; /* division, byte swaps */
        }
}

static int run_alu(struct machine *m, const struct bpf_insn *i)
{
        bool wide = BPF_CLASS(i->code) == BPF_ALU64;
        uint64_t a = m->r[i->dst_reg];
        uint64_t b = BPF_SRC(i->code) == BPF_X ? m->r[i->src_reg] : (uint64_t)(int64_t)i->imm;
        uint64_t v;
        int r;

        if (i->off != 0) /* sign-extending moves and signed division */
                return -EOPNOTSUPP;
        if (!wide) {
                a = (uint32_t)a;
                b = (uint32_t)b;
        }
        r = alu(BPF_OP(i->code), a, b, wide ? 64 : 32, &v);
        if (r == 0)
                m->r[i->dst_reg] = wide ? v : (uint32_t)v;
        return r;
}

/* 1 taken, 0 not. */
static int jump(uint8_t op, uint64_t a, uint64_t b, bool wide)
{
        int64_t sa = wide ? (int64_t)a : (int32_t)a, sb = wide ? (int64_t)b : (int32_t)b;

        switch (op) {
        case BPF_JA:
                return 1;
        case BPF_JEQ:
                return a == b;
        case BPF_JNE:
                return a != b;
        case BPF_JGT:
                return a > b;
        case BPF_JGE:
                return a >= b;
        case BPF_JLT:
                return a < b;
        case BPF_JLE:
                return a <= b;
        case BPF_JSET:
                return (a & b) != 0;
        case BPF_JSGT:
                return sa > sb;
        case BPF_JSGE:
                return sa >= sb;
        case BPF_JSLT:
                return sa < sb;
        case BPF_JSLE:
                return sa <= sb;
        default:
                return -EOPNOTSUPP;
        }
}

static int run_jump(struct machine *m, const struct bpf_insn *i)
{
        bool wide = BPF_CLASS(i->code) == BPF_JMP;
        uint64_t a = m->r[i->dst_reg];
        uint64_t b = BPF_SRC(i->code) == BPF_X ? m->r[i->src_reg] : (uint64_t)(int64_t)i->imm;

        if (!wide && BPF_OP(i->code) == BPF_JA)
                return -EOPNOTSUPP; /* its offset is in imm */
        if (!wide) {
                a = (uint32_t)a;
                b = (uint32_t)b;
        }
        return jump(BPF_OP(i->code), a, b, wide);
}

/* One instruction; *pc moves. 1: the program ended. */
static int step(struct machine *m, const struct bpf_insn *insns, size_t n, size_t *pc)
{
        const struct bpf_insn *i = &insns[*pc];
        int r;

        if (i->dst_reg > 10 || i->src_reg > 10)
                return -EINVAL;
        switch (BPF_CLASS(i->code)) {
        case BPF_LD: /* only the 64-bit constant, in two instructions */
                if (i->code != (BPF_LD | BPF_IMM | BPF_DW) || i->src_reg != 0 || *pc + 1 >= n)
                        return -EOPNOTSUPP;
                m->r[i->dst_reg] = (uint32_t)i->imm | (uint64_t)(uint32_t)i[1].imm << 32;
                *pc += 2;
                return 0;
        case BPF_LDX:
        case BPF_ST:
        case BPF_STX:
                r = run_memory(m, i);
                break;
        case BPF_ALU:
        case BPF_ALU64:
                r = run_alu(m, i);
                break;
        default:
                if (i->code == (BPF_JMP | BPF_EXIT))
                        return 1;
                r = run_jump(m, i);
                if (r > 0) {
                        *pc = (size_t)((int64_t)*pc + i->off);
                        r = 0;
                }
        }
        ++*pc;
        return r;
}

int device_program_ask(const struct bpf_insn *insns, size_t n, const struct device_ask *ask)
{
        struct machine m = {
                .context = { .access_type =
                                     ask->access << 16 |
                                     (ask->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR),
                             .major = ask->major,
                             .minor = ask->minor },
        };
        size_t pc = 0;

        m.r[1] = CONTEXT_AT;
        m.r[10] = STACK_TOP;
        for (unsigned steps = 0; steps < STEPS_MAX; steps++) {
                int r;

                if (pc >= n)
                        return -EINVAL;
                r = step(&m, insns, n, &pc);
                if (r < 0)
                        return r;
                if (r > 0)
                        return m.r[0] == 1;
        }
        return -EINVAL;
}
