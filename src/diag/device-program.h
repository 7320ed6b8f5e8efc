/* What a cgroup v2 device program answers: BPF_PROG_TYPE_CGROUP_DEVICE programs, run here in a
 * small interpreter over the questions that matter.
 *
 * Engines generate these programs each in their own manner, so nothing is matched by pattern:
 * the program is asked, as the kernel would ask it (kernel/bpf/cgroup.c;
 * Documentation/bpf/standardization/ instruction-set.rst). What it can't run (helper calls,
 * maps, atomics) is said, not guessed. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpf_insn;

enum { DEVICE_ASK_MKNOD = 1, DEVICE_ASK_READ = 2, DEVICE_ASK_WRITE = 4 };

struct device_ask {
        char type; /* 'c' or 'b' */
        uint32_t major, minor;
        unsigned access; /* DEVICE_ASK_*, or-ed */
};

/* 1 allowed, 0 denied, -EOPNOTSUPP where the program does something that is not interpreted,
 * -EINVAL where it is malformed (runs off its end, reads outside its context and stack, never
 * ends). */
int device_program_ask(const struct bpf_insn *insns, size_t n, const struct device_ask *ask);
