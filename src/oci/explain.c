#include "oci/explain.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "codec/binfmt.h"

static ssize_t read_at(void *context, void *buf, size_t n, uint64_t offset)
{
        ssize_t r = pread(*(int *)context, buf, n, (off_t)offset);

        return r < 0 ? -errno : r;
}

static int inspect(const char *path, struct binfmt *ret)
{
        AUTO_FD int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        struct binfmt_source s = { .read = read_at, .context = &fd };
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        s.size = (uint64_t)st.st_size;
        return binfmt_inspect(&s, ret);
}

/* What this program was compiled for is what the host runs natively, and a 64-bit host its 32-bit
 * sibling. */
static bool runs_here(const struct binfmt *b)
{
#if defined(__x86_64__)
        return b->machine == EM_X86_64 || b->machine == EM_386;
#elif defined(__aarch64__)
        return b->machine == EM_AARCH64 || b->machine == EM_ARM;
#elif defined(__riscv)
        return b->machine == EM_RISCV;
#elif defined(__s390x__)
        return b->machine == EM_S390;
#elif defined(__powerpc64__)
        return b->machine == EM_PPC64;
#else
        return true;
#endif
}

/* Each looks for one cause: 0 where it isn't it, -1 with e filled where it is. */
typedef int cause_fn(const char *path, const struct binfmt *b, int error, struct err *e);

static int carriage_return(const char *path, const struct binfmt *b, int error, struct err *e)
{
        if (b->kind != BINFMT_SCRIPT || !b->carriage_return || error != ENOENT)
                return 0;
        err_set(e, ERR_NOT_FOUND,
                "exec: \"%s\": its first line ends in a carriage return, so the kernel looks for "
                "\"%s\\r\": no such file or directory",
                path, b->argument[0] ? b->argument : b->path);
        return err_hint(e, "the script has Windows line ends: convert it (dos2unix), or set eol=lf "
                           "in .gitattributes");
}

static int no_interpreter(const char *path, const struct binfmt *b, int error, struct err *e)
{
        struct stat st;

        if (b->kind != BINFMT_SCRIPT)
                return 0;
        if (b->fault == BINFMT_NO_INTERPRETER) {
                err_set(e, ERR_INVALID,
                        "exec: \"%s\": exec format error: \"#!\" names no interpreter", path);
                return err_hint(e, "write the interpreter's path after \"#!\"");
        }
        if (stat(b->path, &st) == 0 || errno != ENOENT)
                return 0;
        err_set(e, ERR_NOT_FOUND,
                "exec: \"%s\": its interpreter \"%s\" is missing in the container: no such file or "
                "directory",
                path, b->path);
        return err_hint(e, "install it in the image, or change the script's first line");
}

static int interpreter_denied(const char *path, const struct binfmt *b, int error, struct err *e)
{
        if (b->kind != BINFMT_SCRIPT || error != EACCES ||
            faccessat(AT_FDCWD, b->path, X_OK, AT_EACCESS) == 0)
                return 0;
        err_set(e, ERR_DENIED,
                "exec: \"%s\": its interpreter \"%s\" can't be executed: permission denied", path,
                b->path);
        return err_hint(e, "chmod +x the interpreter in the image");
}

static int no_loader(const char *path, const struct binfmt *b, int error, struct err *e)
{
        struct stat st;

        if (b->kind != BINFMT_ELF || !b->path[0] || stat(b->path, &st) == 0 || errno != ENOENT)
                return 0;
        err_set(e, ERR_NOT_FOUND,
                "exec: \"%s\": its ELF loader \"%s\" is missing in the container: no such file or "
                "directory",
                path, b->path);
        return err_hint(e, strstr(b->path, "musl")
                                   ? "it was built for musl (Alpine): use such a "
                                     "base image, or link it statically"
                                   : "use a base image with that C library, or link "
                                     "it statically");
}

static int other_machine(const char *path, const struct binfmt *b, int error, struct err *e)
{
        const char *name = binfmt_machine_name(b->machine);

        if (b->kind != BINFMT_ELF || error != ENOEXEC || runs_here(b))
                return 0;
        err_set(e, ERR_INVALID,
                "exec: \"%s\": exec format error: it is a program for %s, which this host can't "
                "run",
                path, name ? name : "another architecture");
        return err_hint(e, "pull the image for this host's architecture, or install an emulator "
                           "(binfmt_misc)");
}

static int broken_elf(const char *path, const struct binfmt *b, int error, struct err *e)
{
        static const char *const faults[] = {
                [BINFMT_BAD_HEADER] = "its ELF header makes no sense",
                [BINFMT_NO_PROGRAM] = "it is an object or core file, not a program",
                [BINFMT_CUT_SHORT] = "the file is cut short",
                [BINFMT_BAD_LOADER] = "the name of its ELF loader makes no sense",
        };

        if (b->kind != BINFMT_ELF || b->fault >= (int)ARRAY_SIZE(faults) || !faults[b->fault])
                return 0;
        err_set(e, ERR_INVALID, "exec: \"%s\": exec format error: %s", path, faults[b->fault]);
        return err_hint(e, "the file is damaged: check the image's layer");
}

static int no_format(const char *path, const struct binfmt *b, int error, struct err *e)
{
        if (error != ENOEXEC || (b->kind != BINFMT_EMPTY && b->kind != BINFMT_OTHER))
                return 0;
        if (b->kind == BINFMT_EMPTY)
                return err_set(e, ERR_INVALID, "exec: \"%s\": exec format error: the file is empty",
                               path);
        err_set(e, ERR_INVALID, "exec: \"%s\": exec format error: it is %s", path, b->what);
        return err_hint(e, "a script needs a first line such as \"#!/bin/sh\"");
}

static cause_fn *const causes[] = { carriage_return, no_interpreter, interpreter_denied, no_loader,
                                    other_machine,   broken_elf,     no_format };

static int explain_denied(const char *path, struct err *e)
{
        struct statvfs fs;
        struct stat st;

        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
                return err_set(e, ERR_DENIED, "exec: \"%s\": is a directory: permission denied",
                               path);
        if (statvfs(path, &fs) == 0 && fs.f_flag & ST_NOEXEC) {
                err_set(e, ERR_DENIED,
                        "exec: \"%s\": permission denied: it is on a mount with \"noexec\"", path);
                return err_hint(e, "remove noexec from that mount, or put the program elsewhere");
        }
        if (stat(path, &st) == 0 && !(st.st_mode & 0111)) {
                err_set(e, ERR_DENIED,
                        "exec: \"%s\": permission denied: the file is not executable", path);
                return err_hint(e, "chmod +x it in the image");
        }
        return 0;
}

int explain_exec(const char *path, int error, struct err *e)
{
        struct binfmt b;

        if (error == EACCES && explain_denied(path, e) < 0)
                return -1;
        if (inspect(path, &b) == 0)
                for (size_t i = 0; i < ARRAY_SIZE(causes); i++)
                        if (causes[i](path, &b, error, e) < 0)
                                return -1;
        return err_sys(e, error, "exec: \"%s\"", path);
}
