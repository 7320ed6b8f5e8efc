/* The device program. It keeps the accesses that are still undecided in R3 and walks the rules
 * from the last to the first: the first that it meets which names the device decides the
 * accesses it names. */
#include "kernel/bpf-device.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/mem.h"

static_assert((int)DEVICE_MKNOD == (int)BPF_DEVCG_ACC_MKNOD &&
                      (int)DEVICE_READ == (int)BPF_DEVCG_ACC_READ &&
                      (int)DEVICE_WRITE == (int)BPF_DEVCG_ACC_WRITE,
              "accesses are the kernel's");

/* ---- a small assembler ---- */

enum { R_RESULT = BPF_REG_0, R_CTX, R_TYPE, R_ACCESS, R_MAJOR, R_MINOR };

static struct bpf_insn load(int reg, int offset)
{
        return (struct bpf_insn){ .code = BPF_LDX | BPF_MEM | BPF_W,
                                  .dst_reg = (uint8_t)reg & 15,
                                  .src_reg = R_CTX,
                                  .off = (int16_t)offset };
}

/* 32-bit arithmetic with a constant: AND, RSH, MOV. */
static struct bpf_insn alu(int op, int reg, int32_t imm)
{
        return (struct bpf_insn){ .code = (uint8_t)(BPF_ALU | op | BPF_K),
                                  .dst_reg = (uint8_t)reg & 15,
                                  .imm = imm };
}

static struct bpf_insn copy(int to, int from)
{
        return (struct bpf_insn){ .code = BPF_ALU | BPF_MOV | BPF_X,
                                  .dst_reg = (uint8_t)to & 15,
                                  .src_reg = (uint8_t)from & 15 };
}

/* Jumps past the rule where reg op imm holds; the distance is filled in when the rule is done. */
static struct bpf_insn jump(int op, int reg, uint32_t imm)
{
        return (struct bpf_insn){ .code = (uint8_t)(BPF_JMP32 | op | BPF_K),
                                  .dst_reg = (uint8_t)reg & 15,
                                  .imm = (int32_t)imm };
}

static struct bpf_insn leave(void)
{
        return (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT };
}

/* ---- rules ---- */

static bool is_total(const struct device_rule *r)
{
        return r->type == 'a' && r->major < 0 && r->minor < 0 && (r->access & DEVICE_ALL) == 7;
}

/* Returns the number of instructions; at most 3 tests and 3 for the verdict. */
static size_t rule_emit(const struct device_rule *r, struct bpf_insn *out)
{
        size_t n = 0, jumps[4], n_jumps = 0;

        if (r->type != 'a') {
                jumps[n_jumps++] = n;
                out[n++] = jump(BPF_JNE, R_TYPE,
                                r->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
        }
        if (r->major >= 0) {
                jumps[n_jumps++] = n;
                out[n++] = jump(BPF_JNE, R_MAJOR, (uint32_t)r->major);
        }
        if (r->minor >= 0) {
                jumps[n_jumps++] = n;
                out[n++] = jump(BPF_JNE, R_MINOR, (uint32_t)r->minor);
        }
        if ((r->access & DEVICE_ALL) != DEVICE_ALL) {
                if (r->allow) {
                        out[n++] = alu(BPF_AND, R_ACCESS, ~r->access & DEVICE_ALL);
                        jumps[n_jumps++] = n;
                        out[n++] = jump(BPF_JNE, R_ACCESS, 0);
                } else {
                        out[n++] = copy(R_CTX, R_ACCESS);
                        out[n++] = alu(BPF_AND, R_CTX, r->access & DEVICE_ALL);
                        jumps[n_jumps++] = n;
                        out[n++] = jump(BPF_JEQ, R_CTX, 0);
                }
        }
        out[n++] = alu(BPF_MOV, R_RESULT, r->allow);
        out[n++] = leave();
        for (size_t i = 0; i < n_jumps; i++)
                out[jumps[i]].off = (int16_t)(n - jumps[i] - 1);
        return n;
}

size_t bpf_device_program(const struct device_rule *rules, size_t n, struct bpf_insn *insns)
{
        const struct bpf_insn start[] = {
                load(R_ACCESS, offsetof(struct bpf_cgroup_dev_ctx, access_type)),
                load(R_MAJOR, offsetof(struct bpf_cgroup_dev_ctx, major)),
                load(R_MINOR, offsetof(struct bpf_cgroup_dev_ctx, minor)),
                copy(R_TYPE, R_ACCESS), /* type in the low half, accesses in the high one */
                alu(BPF_AND, R_TYPE, 0xffff),
                alu(BPF_RSH, R_ACCESS, 16),
        };
        size_t len = ARRAY_SIZE(start);

        static_assert(ARRAY_SIZE(start) + 2 <= BPF_DEVICE_INSNS(0), "room for start and end");
        memcpy(insns, start, sizeof start);
        while (n-- > 0) {
                len += rule_emit(&rules[n], insns + len);
                if (is_total(&rules[n])) /* the verifier refuses what can't be reached */
                        return len;
        }
        insns[len++] = alu(BPF_MOV, R_RESULT, 0);
        insns[len++] = leave();
        return len;
}

/* ---- the kernel ---- */

static int bpf(int command, union bpf_attr *attr)
{
        int r = (int)syscall(SYS_bpf, command, attr, sizeof *attr);

        return r < 0 ? -errno : r;
}

static int program_load(const struct bpf_insn *insns, size_t n)
{
        static const char license[] = "Apache-2.0";
        union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
                                .insn_cnt = (uint32_t)n,
                                .insns = (uintptr_t)insns,
                                .license = (uintptr_t)license };

        memcpy(attr.prog_name, "berth_device", sizeof "berth_device");
        return bpf(BPF_PROG_LOAD, &attr);
}

#define ATTACHED_MAX 64 /* BPF_CGROUP_MAX_PROGS */

static int attached(int dir, uint32_t *ids, uint32_t *ret_n, uint32_t *ret_flags)
{
        union bpf_attr attr = { .query = { .target_fd = (uint32_t)dir,
                                           .attach_type = BPF_CGROUP_DEVICE,
                                           .prog_ids = (uintptr_t)ids,
                                           .prog_cnt = ATTACHED_MAX } };
        int r = bpf(BPF_PROG_QUERY, &attr);

        if (r < 0)
                return r;
        *ret_n = attr.query.prog_cnt;
        *ret_flags = attr.query.attach_flags;
        return 0;
}

static int program_by_id(uint32_t id)
{
        union bpf_attr attr = { .prog_id = id };

        return bpf(BPF_PROG_GET_FD_BY_ID, &attr);
}

static int attach(int dir, int program, uint32_t flags, int replaced)
{
        union bpf_attr attr = { .target_fd = (uint32_t)dir,
                                .attach_bpf_fd = (uint32_t)program,
                                .attach_type = BPF_CGROUP_DEVICE,
                                .attach_flags = flags };

        if (flags & BPF_F_REPLACE)
                attr.replace_bpf_fd = (uint32_t)replaced;
        return bpf(BPF_PROG_ATTACH, &attr);
}

static int detach(int dir, int program)
{
        union bpf_attr attr = { .target_fd = (uint32_t)dir,
                                .attach_bpf_fd = (uint32_t)program,
                                .attach_type = BPF_CGROUP_DEVICE };

        return bpf(BPF_PROG_DETACH, &attr);
}

/* Programs attached with BPF_F_ALLOW_MULTI all have to agree, so an older one of ours (or
 * systemd's own for DeviceAllow=) has to give way or an update could never allow more. */
static int program_swap(int dir, int program)
{
        uint32_t ids[ATTACHED_MAX], n = 0, flags = 0;
        int r = attached(dir, ids, &n, &flags);

        if (r < 0)
                return r;
        if (n > 0 && !(flags & BPF_F_ALLOW_MULTI)) /* a single one: attaching replaces it */
                return attach(dir, program, flags & BPF_F_ALLOW_OVERRIDE, -1);
        if (n == 1) {
                AUTO_FD int old = program_by_id(ids[0]);

                if (old >= 0)
                        return attach(dir, program, BPF_F_ALLOW_MULTI | BPF_F_REPLACE, old);
        }
        r = attach(dir, program, BPF_F_ALLOW_MULTI, -1);
        for (uint32_t i = 0; r == 0 && i < n; i++) {
                AUTO_FD int old = program_by_id(ids[i]);

                r = old == -ENOENT ? 0 : old < 0 ? old : detach(dir, old);
        }
        return r;
}

int bpf_device_attach(int cgroup_dir, const struct device_rule *rules, size_t n)
{
        AUTO_FREE struct bpf_insn *insns = NULL;
        AUTO_FD int program = -1;

        if (BPF_DEVICE_INSNS(n) > BPF_MAXINSNS * 16)
                return -E2BIG;
        insns = mem_alloc(mem_mul(sizeof *insns, BPF_DEVICE_INSNS(n)));
        program = program_load(insns, bpf_device_program(rules, n, insns));
        return program < 0 ? program : program_swap(cgroup_dir, program);
}
