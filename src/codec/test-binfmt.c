/* Inspecting programs: made up ones, this test itself, and the kernel's verdict on some of them. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/str.h"
#include "codec/binfmt.h"

struct file {
        const char *data;
        size_t size;
        int error;
};

static ssize_t read_file(void *context, void *buf, size_t n, uint64_t offset)
{
        const struct file *f = context;

        if (f->error)
                return -f->error;
        if (offset >= f->size)
                return 0;
        n = MIN(n, f->size - (size_t)offset);
        memcpy(buf, f->data + offset, n);
        return (ssize_t)n;
}

static struct binfmt inspect(const void *data, size_t size)
{
        struct file f = { data, size, 0 };
        struct binfmt b;

        assert_int_equal(binfmt_inspect(&(struct binfmt_source){ read_file, &f, size }, &b), 0);
        return b;
}

static ssize_t read_fd(void *context, void *buf, size_t n, uint64_t offset)
{
        ssize_t got = pread(*(int *)context, buf, n, (off_t)offset);

        return got < 0 ? -errno : got;
}

/* ---- scripts ---- */

static void test_scripts(void **state)
{
        static const struct {
                const char *text, *path, *argument;
                bool carriage_return;
                enum binfmt_fault fault;
        } cases[] = {
                { "#!/bin/sh\necho", "/bin/sh", "", false, BINFMT_FINE },
                { "#!/bin/sh", "/bin/sh", "", false, BINFMT_FINE },
                { "#! \t/bin/sh \t\n", "/bin/sh", "", false, BINFMT_FINE },
                { "#!/usr/bin/env -S python3 -u \n", "/usr/bin/env", "-S python3 -u", false,
                  BINFMT_FINE },
                { "#!/bin/sh\r\necho\r\n", "/bin/sh", "", true, BINFMT_FINE },
                { "#!/usr/bin/env bash\r\n", "/usr/bin/env", "bash", true, BINFMT_FINE },
                { "#!/bin/sh\r", "/bin/sh", "", true, BINFMT_FINE },
                { "#!\n/bin/sh", "", "", false, BINFMT_NO_INTERPRETER },
                { "#!  \t\n", "", "", false, BINFMT_NO_INTERPRETER },
                { "#!", "", "", false, BINFMT_NO_INTERPRETER },
                { "#!sh\n", "sh", "", false, BINFMT_FINE },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct binfmt b = inspect(cases[i].text, strlen(cases[i].text));

                assert_int_equal(b.kind, BINFMT_SCRIPT);
                assert_string_equal(b.path, cases[i].path);
                assert_string_equal(b.argument, cases[i].argument);
                assert_int_equal(b.carriage_return, cases[i].carriage_return);
                assert_int_equal(b.fault, cases[i].fault);
        }
}

static void test_long_scripts(void **state)
{
        char text[600];
        struct binfmt b;

        /* The kernel sees 256 bytes: 254 after the mark. */
        memset(text, 'a', sizeof text);
        memcpy(text, "#!/", 3);
        assert_int_equal(inspect(text, sizeof text).fault, BINFMT_LONG_LINE);
        assert_int_equal(inspect(text, 256).fault, BINFMT_LONG_LINE);
        assert_int_equal(inspect(text, 255).fault, BINFMT_FINE);
        text[255] = '\n';
        b = inspect(text, sizeof text);
        assert_int_equal(b.fault, BINFMT_FINE);
        assert_int_equal(strlen(b.path), 253);
        text[255] = 'a';
        text[100] = ' ';
        b = inspect(text, sizeof text);
        assert_int_equal(b.fault, BINFMT_FINE);
        assert_int_equal(strlen(b.path), 98);
        assert_int_equal(strlen(b.argument), 155);
}

/* ---- neither ---- */

static void test_others(void **state)
{
        static const struct {
                const char *text;
                size_t n;
                const char *what;
        } cases[] = {
                { "echo hello\n", 11, "text without a #! line" },
                { "#", 1, "text without a #! line" },
                { " #!/bin/sh\n", 11, "text without a #! line" },
                { "MZ\x90\0", 4, "a Windows program" },
                { "\xef\xbb\xbf#!/bin/sh\n", 13, "a script behind a byte order mark" },
                { "\x7f"
                  "EL",
                  3, "text without a #! line" },
                { "\x01\x02\0\x03", 4, "data of an unknown format" },
                { "\x1f\x8b\x08", 3, "a gzip archive" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct binfmt b = inspect(cases[i].text, cases[i].n);

                assert_int_equal(b.kind, BINFMT_OTHER);
                assert_string_equal(b.what, cases[i].what);
        }
        assert_int_equal(inspect("", 0).kind, BINFMT_EMPTY);
}

static void test_reader_fails(void **state)
{
        struct file f = { "", 0, EIO };
        struct binfmt b;

        assert_int_equal(binfmt_inspect(&(struct binfmt_source){ read_file, &f, 9 }, &b), -EIO);
}

/* ---- ELF ---- */

struct image {
        Elf64_Ehdr h;
        Elf64_Phdr p[3];
        char loader[16];
        char code[100];
};

static struct image make_image(void)
{
        struct image i = {
                .h = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
                       .e_type = ET_DYN,
                       .e_machine = EM_AARCH64,
                       .e_phoff = offsetof(struct image, p),
                       .e_phentsize = sizeof(Elf64_Phdr),
                       .e_phnum = 3 },
                .p = { { .p_type = PT_PHDR, .p_offset = 1 << 30 },
                       { .p_type = PT_INTERP,
                         .p_offset = offsetof(struct image, loader),
                         .p_filesz = sizeof "/lib/ld.so" },
                       { .p_type = PT_LOAD, .p_filesz = sizeof(struct image) } },
                .loader = "/lib/ld.so",
        };

        return i;
}

static void test_elf(void **state)
{
        struct image i = make_image();
        struct binfmt b = inspect(&i, sizeof i);

        assert_int_equal(b.kind, BINFMT_ELF);
        assert_int_equal(b.fault, BINFMT_FINE);
        assert_int_equal(b.bits, 64);
        assert_false(b.big_endian);
        assert_int_equal(b.machine, EM_AARCH64);
        assert_string_equal(binfmt_machine_name(b.machine), "arm64");
        assert_null(binfmt_machine_name(0xfffe));
        assert_string_equal(b.path, "/lib/ld.so");
        i.h.e_phnum = 1;
        assert_string_equal(inspect(&i, sizeof i).path, "");
}

static void test_elf_faults(void **state)
{
        static const struct {
                size_t offset;
                uint16_t value;
                enum binfmt_fault fault;
        } cases[] = {
                { offsetof(struct image, h.e_type), ET_REL, BINFMT_NO_PROGRAM },
                { offsetof(struct image, h.e_type), ET_CORE, BINFMT_NO_PROGRAM },
                { offsetof(struct image, h.e_phentsize), 55, BINFMT_BAD_HEADER },
                { offsetof(struct image, h.e_phnum), 0, BINFMT_BAD_HEADER },
                { offsetof(struct image, h.e_phnum), 65535, BINFMT_BAD_HEADER },
                { offsetof(struct image, h.e_phnum), 1000, BINFMT_CUT_SHORT },
                { offsetof(struct image, h.e_phoff) + 6, 0xffff, BINFMT_BAD_HEADER },
                { offsetof(struct image, h.e_phoff) + 4, 1, BINFMT_CUT_SHORT },
                { offsetof(struct image, p[1].p_filesz), 1, BINFMT_BAD_LOADER },
                { offsetof(struct image, p[1].p_filesz), 300, BINFMT_CUT_SHORT },
                { offsetof(struct image, p[1].p_filesz), 5, BINFMT_BAD_LOADER },
                { offsetof(struct image, p[1].p_offset), 60000, BINFMT_CUT_SHORT },
                { offsetof(struct image, p[2].p_filesz), 60000, BINFMT_CUT_SHORT },
                { offsetof(struct image, p[2].p_offset) + 6, 0xffff, BINFMT_CUT_SHORT },
                { offsetof(struct image, loader), 0, BINFMT_BAD_LOADER },
                { EI_CLASS, ELFDATA2LSB << 8 | 9, BINFMT_BAD_HEADER },
                { EI_DATA, 9, BINFMT_BAD_HEADER },
        };

        for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
                struct image i = make_image();
                struct binfmt b;

                memcpy((char *)&i + cases[c].offset, &cases[c].value, sizeof cases[c].value);
                b = inspect(&i, sizeof i);
                assert_int_equal(b.kind, BINFMT_ELF);
                if (b.fault != cases[c].fault)
                        fail_msg("case %zu: fault %d, expected %d", c, b.fault, cases[c].fault);
        }
}

static void test_elf_cut_anywhere(void **state)
{
        struct image i = make_image();

        for (size_t n = 4; n < sizeof i; n++) {
                struct binfmt b = inspect(&i, n);

                assert_int_equal(b.kind, BINFMT_ELF);
                assert_int_equal(b.fault, BINFMT_CUT_SHORT);
        }
}

static void test_elf_of_other_machines(void **state)
{
        static const Elf32_Ehdr big = {
                .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2MSB, EV_CURRENT },
                .e_type = ET_EXEC << 8,
                .e_machine = EM_PPC << 8,
                .e_phoff = 52u << 24,
                .e_phentsize = sizeof(Elf32_Phdr) << 8,
                .e_phnum = 1 << 8,
        };
        struct {
                Elf32_Ehdr h;
                Elf32_Phdr p;
        } image = { .h = big, .p = { .p_type = PT_LOAD << 24, .p_filesz = 84u << 24 } };
        struct binfmt b = inspect(&image, sizeof image);

        assert_int_equal(b.fault, BINFMT_FINE);
        assert_int_equal(b.bits, 32);
        assert_true(b.big_endian);
        assert_int_equal(b.machine, EM_PPC);
}

static void test_this_program(void **state)
{
        AUTO_FD int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        struct binfmt b;
        struct stat st;

        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(
                binfmt_inspect(&(struct binfmt_source){ read_fd, &fd, (uint64_t)st.st_size }, &b),
                0);
        assert_int_equal(b.kind, BINFMT_ELF);
        assert_int_equal(b.fault, BINFMT_FINE);
        assert_int_equal(b.bits, 8 * sizeof(void *));
        if (b.path[0])
                assert_int_equal(access(b.path, X_OK), 0);
}

/* ---- the kernel agrees ---- */

/* What execve(2) says of a program: 0 when it ran, else the errno. */
static int kernel_says(const void *data, size_t size)
{
        AUTO_FD int fd = memfd_create("program", 0);
        int status;
        pid_t pid;

        assert_int_equal(fd_write_all(fd, data, size), 0);
        pid = fork();
        if (pid == 0) {
                char *argv[] = { (char[]){ "x" }, NULL };

                fexecve(fd, argv, argv + 1);
                _exit(errno);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void test_kernel_agrees(void **state)
{
        static const struct {
                const char *text;
                int error;
        } cases[] = {
                { "#!/bin/true\n", 0 },        { "#! \t/bin/true \t\n", 0 },
                { "#!/bin/true\r\n", ENOENT }, { "#!/bin/true x\r\n", 0 },
                { "#!\n", ENOEXEC },           { "\xef\xbb\xbf#!/bin/true\n", ENOEXEC },
                { "echo\n", ENOEXEC },
        };
        struct image i = make_image();
        char text[300];

        for (size_t c = 0; c < ARRAY_SIZE(cases); c++)
                assert_int_equal(kernel_says(cases[c].text, strlen(cases[c].text)), cases[c].error);
        memset(text, '/', sizeof text);
        memcpy(text, "#!", 2);
        memcpy(text + 247, "bin/true\n", 9);
        assert_int_equal(kernel_says(text, 256), 0);
        text[255] = ' ';
        assert_int_equal(kernel_says(text, sizeof text), 0);
        text[255] = 'x';
        assert_int_equal(inspect(text, sizeof text).fault, BINFMT_LONG_LINE);
        assert_int_equal(kernel_says(text, sizeof text), ENOEXEC);
        i.h.e_machine = EM_VAX;
        assert_int_equal(kernel_says(&i, sizeof i), ENOEXEC);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_scripts),
                cmocka_unit_test(test_long_scripts),
                cmocka_unit_test(test_others),
                cmocka_unit_test(test_reader_fails),
                cmocka_unit_test(test_elf),
                cmocka_unit_test(test_elf_faults),
                cmocka_unit_test(test_elf_cut_anywhere),
                cmocka_unit_test(test_elf_of_other_machines),
                cmocka_unit_test(test_this_program),
                cmocka_unit_test(test_kernel_agrees),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
