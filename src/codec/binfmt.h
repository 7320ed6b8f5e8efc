/* What kind of program a file is, as execve(2) would see it: fs/binfmt_script.c and fs/binfmt_elf.c
 * of the kernel, elf(5). It tells why exec failed where the kernel says only ENOENT or ENOEXEC: a
 * script's interpreter, an ELF file's loader, another machine's program, a file cut short.
 *
 * Pure: bytes come through the caller's reader, and whether a path exists or a machine is ours is
 * the caller's to see. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct binfmt_source {
        /* As pread(2), but returns -errno; short reads only at the end. */
        ssize_t (*read)(void *context, void *buf, size_t n, uint64_t offset);
        void *context;
        uint64_t size; /* of the file */
};

enum binfmt_kind {
        BINFMT_EMPTY,
        BINFMT_SCRIPT,
        BINFMT_ELF,
        BINFMT_OTHER, /* no format that every kernel runs: .what */
        BINFMT_KIND_MAX
};

enum binfmt_fault {
        BINFMT_FINE,
        BINFMT_NO_INTERPRETER, /* nothing after "#!" */
        BINFMT_LONG_LINE,      /* the interpreter's path does not end within the first 256 bytes */
        BINFMT_BAD_HEADER,     /* an ELF header or program headers that make no sense */
        BINFMT_NO_PROGRAM,     /* an ELF object, archive member or core file */
        BINFMT_CUT_SHORT,      /* program headers or segments lie beyond the end of the file */
        BINFMT_BAD_LOADER,     /* the path of the ELF loader is empty, too long or not ended */
        BINFMT_FAULT_MAX
};

#define BINFMT_PATH 256 /* longer loader paths are BINFMT_BAD_LOADER: the kernel's bound is 4096 */

struct binfmt {
        enum binfmt_kind kind;
        enum binfmt_fault fault;
        /* A script's interpreter, an ELF file's loader; "" where there is none. */
        char path[BINFMT_PATH];
        char argument[BINFMT_PATH]; /* the rest of a script's first line, "" without */
        /* That line ends in CR: left out here, but for the kernel part of its last word. */
        bool carriage_return;
        unsigned bits;    /* ELF: 32 or 64 */
        unsigned machine; /* ELF: EM_* */
        bool big_endian;
        const char *what; /* BINFMT_OTHER: "a Windows program", "text without a #! line", ... */
};

/* 0 with *ret filled, or the reader's -errno. */
int binfmt_inspect(const struct binfmt_source *s, struct binfmt *ret);

/* "x86-64", "arm64", ...; NULL for one that has no name here. */
const char *binfmt_machine_name(unsigned machine);
