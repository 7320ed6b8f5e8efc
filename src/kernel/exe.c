#include "kernel/exe.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/sys.h"

#define PAGE 4096ul
#define DOWN(x) ((x) & ~(PAGE - 1))
#define UP(x) DOWN((x) + PAGE - 1)
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Segments hold the guards that ASan puts between variables: copying those whole is what it
 * reports. */
#ifdef __has_feature
#define SANITIZED __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static int prot_of(const ElfW(Phdr) * p)
{
        return (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
               (p->p_flags & PF_X ? PROT_EXEC : 0);
}

/* Replaces the file mapping at [at, at + n) by an anonymous copy. mremap swaps it in one step,
 * so even the code that runs here may be replaced. */
static int replace(uintptr_t at, size_t n, int prot)
{
        void *copy = mmap(NULL, n, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

        if (copy == MAP_FAILED)
                return -errno;
        memcpy(copy, (const void *)at, n);
        if (mprotect(copy, n, prot) == 0 &&
            mremap(copy, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)at) != MAP_FAILED)
                return 0;
        munmap(copy, n);
        return -errno;
}

static int replace_segments(void)
{
        const ElfW(Phdr) *ph = (const void *)getauxval(AT_PHDR);
        int n = (int)getauxval(AT_PHNUM);
        uintptr_t base = 0;

        for (int i = 0; i < n; i++)
                if (ph[i].p_type == PT_PHDR)
                        base = (uintptr_t)ph - ph[i].p_vaddr;
        for (int i = 0; i < n; i++) {
                uintptr_t at = DOWN(base + ph[i].p_vaddr);
                int r;

                if (ph[i].p_type != PT_LOAD)
                        continue;
                r = replace(at, UP(base + ph[i].p_vaddr + ph[i].p_filesz) - at, prot_of(&ph[i]));
                if (r < 0)
                        return r;
        }
        for (int i = 0; i < n; i++) {
                uintptr_t at = base + ph[i].p_vaddr;

                /* The linker pads RELRO to whole pages; what startup made read-only stays so. */
                if (ph[i].p_type == PT_GNU_RELRO && DOWN(at + ph[i].p_memsz) > DOWN(at))
                        mprotect((void *)DOWN(at), DOWN(at + ph[i].p_memsz) - DOWN(at), PROT_READ);
        }
        return 0;
}

/* An empty executable file that nobody can write: what /proc/self/exe will show. The kernel
 * refuses an executable that is open for writing (ETXTBSY), hence the second descriptor. */
static int empty_file(void)
{
        AUTO_FD int rw = memfd_create("berth", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        int fd;

        if (rw < 0 || fchmod(rw, 0555) < 0 || fcntl(rw, F_ADD_SEALS, SEALS) < 0)
                return -errno;
        fd = open(fd_path(rw).s, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* PR_SET_MM_MAP sets all fields or none: these are the present ones, from /proc/self/stat (proc(5),
 * fields 26-28 and 45-51). */
static int read_map(struct prctl_mm_map *m)
{
        char text[2048], *at;
        uint64_t v[52] = { 0 };
        ssize_t n = fd_read_text_at(AT_FDCWD, "/proc/self/stat", text, sizeof text);

        if (n < 0)
                return (int)n;
        at = strrchr(text, ')');
        if (!at || at[1] != ' ')
                return -EBADMSG;
        at += 3; /* the state, field 3, is a letter */
        for (int i = 4; i < 52 && *at; i++)
                v[i] = strtoull(at, &at, 10);
        *m = (struct prctl_mm_map){
                .start_code = v[26],
                .end_code = v[27],
                .start_stack = v[28],
                .start_data = v[45],
                .end_data = v[46],
                .start_brk = v[47],
                .arg_start = v[48],
                .arg_end = v[49],
                .env_start = v[50],
                .env_end = v[51],
                .brk = (uint64_t)(uintptr_t)sbrk(0),
        };
        return 0;
}

static int let_go(void)
{
        struct prctl_mm_map map;
        unsigned size = 0;
        int r = read_map(&map);

        if (r < 0)
                return r;
        if (prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0) < 0)
                return -errno;
        AUTO_FD int exe = empty_file();
        if (exe < 0)
                return exe;
        r = replace_segments();
        if (r < 0)
                return r;
        map.exe_fd = (uint32_t)exe;
        return prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0) < 0 ? -errno : 0;
}

static bool is_sealed(int exe)
{
        int seals = fcntl(exe, F_GET_SEALS); /* -1 for a file that can't have any */

        return seals >= 0 && (seals & SEALS) == SEALS;
}

static int run_copy(char **argv)
{
        AUTO_FD int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        AUTO_FD int copy = memfd_create("berth", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        struct stat st;
        ssize_t n;

        if (exe < 0 || copy < 0)
                return -errno;
        if (is_sealed(exe))
                return 0; /* this is the copy */
        if (fstat(exe, &st) < 0)
                return -errno;
        while ((n = sendfile(copy, exe, NULL, (size_t)st.st_size)) > 0)
                ;
        if (n < 0 || fchmod(copy, 0500) < 0 || fcntl(copy, F_ADD_SEALS, SEALS) < 0)
                return -errno;
        fexecve(copy, argv, environ);
        return -errno;
}

int exe_detach(char **argv)
{
        return !SANITIZED && let_go() == 0 ? 0 : run_copy(argv);
}
