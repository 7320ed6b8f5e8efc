/* Device access on cgroup v2: rules turned into an eBPF program of type CGROUP_DEVICE, and
 * attached.
 *
 * Semantics are those of v1's devices.allow and devices.deny from an empty list: rules count in
 * order, later ones override earlier ones for exactly the accesses that they name; what no rule
 * allows is denied. See Documentation/admin-guide/cgroup-v1/devices.rst and cgroup-v2.rst
 * "Device controller". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum device_access { DEVICE_MKNOD = 1, DEVICE_READ = 2, DEVICE_WRITE = 4, DEVICE_ALL = 7 };

struct device_rule {
        bool allow;
        char type;            /* 'a' both, 'c', 'b' */
        int64_t major, minor; /* -1: all */
        uint8_t access;       /* enum device_access, or-ed */
};

struct bpf_insn;

/* The most instructions that rules can take. */
#define BPF_DEVICE_INSNS(n_rules) (8 + 9 * (n_rules))

/* Writes the program (pure) to insns, which has room for BPF_DEVICE_INSNS(n). Returns its
 * length. */
size_t bpf_device_program(const struct device_rule *rules, size_t n, struct bpf_insn *insns);

/* Loads the program and attaches it to the cgroup directory; where exactly one is attached
 * already, it is replaced in one step, so that no moment lacks a rule. -errno; -EPERM: needs
 * CAP_BPF or CAP_SYS_ADMIN in the initial user namespace; -E2BIG: too many rules. */
int bpf_device_attach(int cgroup_dir, const struct device_rule *rules, size_t n);
