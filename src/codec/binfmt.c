#include "codec/binfmt.h"

#ifndef EM_LOONGARCH
#define EM_LOONGARCH 258
#endif

#include <elf.h>
#include <string.h>

#include "base/macro.h"

/* How much of a file the kernel looks at first: BINPRM_BUF_SIZE. */
#define HEAD 256

/* ---- scripts ---- */

static bool is_blank(char c)
{
        return c == ' ' || c == '\t';
}

/* [s, end) without blanks on either side. */
static void trim(const char **s, const char **end)
{
        while (*s < *end && is_blank(**s))
                ++*s;
        while (*end > *s && is_blank((*end)[-1]))
                --*end;
}

static void copy(char out[static BINFMT_PATH], const char *s, const char *end)
{
        size_t n = MIN((size_t)(end - s), (size_t)BINFMT_PATH - 1);

        memcpy(out, s, n);
        out[n] = 0;
}

static void inspect_script(const char *head, size_t n, struct binfmt *ret)
{
        const char *s = head + 2, *end = memchr(s, '\n', n - 2), *word;
        bool whole = end || n < HEAD;

        ret->kind = BINFMT_SCRIPT;
        if (!end)
                end = head + n;
        /* The kernel's copy ends at a NUL byte, too. */
        word = memchr(s, 0, (size_t)(end - s));
        if (word) {
                end = word;
                whole = true;
        }
        if (end > s && end[-1] == '\r') {
                ret->carriage_return = true;
                end--;
        }
        trim(&s, &end);
        for (word = s; word < end && !is_blank(*word);)
                word++;
        copy(ret->path, s, word);
        if (word == s)
                ret->fault = BINFMT_NO_INTERPRETER;
        else if (word == end && !whole)
                ret->fault = BINFMT_LONG_LINE;
        s = word;
        trim(&s, &end);
        copy(ret->argument, s, end);
}

/* ---- ELF ---- */

struct elf {
        const struct binfmt_source *source;
        struct binfmt *ret;
        bool wide; /* 64 bits */
        uint64_t phoff;
        unsigned phnum, phentsize;
};

static uint64_t number(const struct elf *e, const unsigned char *p, unsigned n)
{
        uint64_t v = 0;

        for (unsigned i = 0; i < n; i++)
                v = v << 8 | p[e->ret->big_endian ? i : n - 1 - i];
        return v;
}

/* A field of the 32 bit or the 64 bit struct at p. */
#define GET(e, p, T, m)                                                                            \
        ((e)->wide ? number((e), (p) + offsetof(Elf64_##T, m), sizeof(((Elf64_##T *)0)->m))        \
                   : number((e), (p) + offsetof(Elf32_##T, m), sizeof(((Elf32_##T *)0)->m)))

static void fault(struct elf *e, enum binfmt_fault f)
{
        if (e->ret->fault == BINFMT_FINE)
                e->ret->fault = f;
}

static int read_at(const struct binfmt_source *s, void *buf, size_t n, uint64_t offset, size_t *ret)
{
        ssize_t got = s->read(s->context, buf, n, offset);

        if (got < 0)
                return (int)got;
        *ret = (size_t)got;
        return 0;
}

static int read_loader(struct elf *e, uint64_t offset, uint64_t size)
{
        char path[BINFMT_PATH];
        size_t got = 0;
        int r;

        if (size < 2 || size > sizeof path) {
                fault(e, BINFMT_BAD_LOADER);
                return 0;
        }
        r = read_at(e->source, path, (size_t)size, offset, &got);
        if (r < 0)
                return r;
        if (got < size)
                fault(e, BINFMT_CUT_SHORT);
        else if (path[size - 1] != 0 || path[0] == 0)
                fault(e, BINFMT_BAD_LOADER);
        else
                memcpy(e->ret->path, path, (size_t)size);
        return 0;
}

static int inspect_segment(struct elf *e, const unsigned char *p)
{
        uint64_t type = GET(e, p, Phdr, p_type), offset = GET(e, p, Phdr, p_offset);
        uint64_t size = GET(e, p, Phdr, p_filesz), end;

        if (type != PT_LOAD && type != PT_INTERP)
                return 0;
        if (__builtin_add_overflow(offset, size, &end) || end > e->source->size)
                fault(e, BINFMT_CUT_SHORT);
        /* The kernel uses the first loader. */
        return type == PT_INTERP && !e->ret->path[0] ? read_loader(e, offset, size) : 0;
}

static int inspect_segments(struct elf *e)
{
        for (unsigned i = 0; i < e->phnum; i++) {
                unsigned char p[sizeof(Elf64_Phdr)];
                uint64_t at = e->phoff + (uint64_t)i * e->phentsize;
                size_t got = 0;
                int r;

                r = read_at(e->source, p, e->phentsize, at, &got);
                if (r < 0)
                        return r;
                if (got < e->phentsize) {
                        fault(e, BINFMT_CUT_SHORT);
                        return 0;
                }
                r = inspect_segment(e, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int inspect_elf(const struct binfmt_source *s, const unsigned char *head, size_t n,
                       struct binfmt *ret)
{
        struct elf e = { .source = s, .ret = ret, .wide = head[EI_CLASS] == ELFCLASS64 };
        uint64_t type;

        ret->kind = BINFMT_ELF;
        ret->bits = e.wide ? 64 : 32;
        ret->big_endian = head[EI_DATA] == ELFDATA2MSB;
        if (n < (e.wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr))) {
                fault(&e, BINFMT_CUT_SHORT);
                return 0;
        }
        ret->machine = (unsigned)GET(&e, head, Ehdr, e_machine);
        type = GET(&e, head, Ehdr, e_type);
        e.phoff = GET(&e, head, Ehdr, e_phoff);
        e.phnum = (unsigned)GET(&e, head, Ehdr, e_phnum);
        e.phentsize = (unsigned)GET(&e, head, Ehdr, e_phentsize);
        if ((head[EI_CLASS] != ELFCLASS32 && head[EI_CLASS] != ELFCLASS64) ||
            (head[EI_DATA] != ELFDATA2LSB && head[EI_DATA] != ELFDATA2MSB))
                fault(&e, BINFMT_BAD_HEADER);
        else if (type != ET_EXEC && type != ET_DYN)
                fault(&e, BINFMT_NO_PROGRAM);
        else if (e.phentsize != (e.wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) ||
                 e.phnum == 0 || e.phnum > 65536 / e.phentsize || e.phoff > INT64_MAX / 2)
                fault(&e, BINFMT_BAD_HEADER);
        else
                return inspect_segments(&e);
        return 0;
}

/* ---- the rest ---- */

static const struct magic {
        const char *bytes;
        size_t n;
        const char *what;
} magics[] = {
        { "MZ", 2, "a Windows program" },
        { "\xcf\xfa\xed\xfe", 4, "a macOS program" },
        { "\xca\xfe\xba\xbe", 4, "a macOS program or a Java class" },
        { "\0asm", 4, "a WebAssembly module" },
        { "\x1f\x8b", 2, "a gzip archive" },
        { "PK\3\4", 4, "a zip archive" },
        { "\x28\xb5\x2f\xfd", 4, "a zstd archive" },
        { "\xef\xbb\xbf#!", 5, "a script behind a byte order mark" },
        { "\xff\xfe", 2, "UTF-16 text" },
        { "\xfe\xff", 2, "UTF-16 text" },
        { "version https://git-lfs", 23, "a Git LFS pointer, not the file itself" },
};

static const char *describe(const char *head, size_t n)
{
        for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
                if (n >= magics[i].n && memcmp(head, magics[i].bytes, magics[i].n) == 0)
                        return magics[i].what;
        return memchr(head, 0, n) ? "data of an unknown format" : "text without a #! line";
}

int binfmt_inspect(const struct binfmt_source *s, struct binfmt *ret)
{
        char head[HEAD];
        size_t n = 0;
        int r;

        *ret = (struct binfmt){ .kind = BINFMT_EMPTY };
        r = read_at(s, head, sizeof head, 0, &n);
        if (r < 0 || n == 0)
                return r;
        if (n >= 2 && head[0] == '#' && head[1] == '!') {
                inspect_script(head, n, ret);
                return 0;
        }
        if (n >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0) {
                if (n > EI_DATA)
                        return inspect_elf(s, (const unsigned char *)head, n, ret);
                ret->kind = BINFMT_ELF;
                ret->fault = BINFMT_CUT_SHORT;
                return 0;
        }
        ret->kind = BINFMT_OTHER;
        ret->what = describe(head, n);
        return 0;
}

static const struct {
        unsigned machine;
        const char *name;
} machines[] = {
        { EM_386, "i386" },    { EM_X86_64, "x86-64" },
        { EM_ARM, "arm" },     { EM_AARCH64, "arm64" },
        { EM_RISCV, "riscv" }, { EM_S390, "s390" },
        { EM_PPC, "powerpc" }, { EM_PPC64, "powerpc64" },
        { EM_MIPS, "mips" },   { EM_LOONGARCH, "loongarch" },
        { EM_SPARC, "sparc" }, { EM_SPARCV9, "sparc64" },
        { EM_68K, "m68k" },    { EM_PARISC, "parisc" },
        { EM_SH, "superh" },   { EM_ALPHA, "alpha" },
        { EM_IA_64, "ia64" },  { EM_BPF, "bpf" },
};

const char *binfmt_machine_name(unsigned machine)
{
        for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
                if (machines[i].machine == machine)
                        return machines[i].name;
        return NULL;
}
