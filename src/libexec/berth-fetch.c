/* berth-fetch: the only program with HTTP and TLS. It talks to one repository for its caller, over
 * the socket at descriptor 3 (image/fetch-protocol.h); image/registry.h has the theory of
 * operation.
 *
 * It begins with its caller's rights, to read configuration and credentials and to run credential
 * helpers. Before the first connection it gives them up: it becomes nobody without capabilities;
 * Landlock leaves it the files that resolving names and trusting certificates take; seccomp the
 * system calls that are listed below. What a hostile server could do to it then is to answer
 * wrongly, which its caller checks by digest. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/str.h"
#include "image/registry-internal.h"
#include "kernel/confine.h"

/* ---- what may be called ---- */

#define SOCKET_OF(family)                                                                          \
        {                                                                                          \
                .nr = SYS_socket, .argument = 1, .mask = ~0u, .value = (family)                    \
        }

static const struct confine_call calls[] = {
        CONFINE_CALL(read),
        CONFINE_CALL(write),
        CONFINE_CALL(recvfrom),
        CONFINE_CALL(recvmsg),
        CONFINE_CALL(sendto),
        CONFINE_CALL(sendmsg),
        CONFINE_CALL(sendmmsg),
        CONFINE_CALL(ppoll),
#ifdef SYS_poll
        CONFINE_CALL(poll),
#endif
        CONFINE_CALL(futex),
        CONFINE_CALL(rt_sigprocmask), /* swapcontext(), threads */
        CONFINE_CALL(close),
        CONFINE_CALL(lseek),
        CONFINE_CALL(pread64),
        CONFINE_CALL(writev),
        CONFINE_CALL(readv),
        CONFINE_CALL(fcntl),
        CONFINE_CALL(ioctl), /* FIONREAD of the resolver */
        CONFINE_CALL(memfd_create),
        CONFINE_CALL(getrandom),
        CONFINE_CALL(clock_gettime),
        CONFINE_CALL(clock_nanosleep),
        CONFINE_CALL(gettimeofday),
        CONFINE_CALL(restart_syscall),
        CONFINE_CALL(exit),
        CONFINE_CALL(exit_group),
        /* connections */
        SOCKET_OF(AF_INET),
        SOCKET_OF(AF_INET6),
        SOCKET_OF(AF_NETLINK),                /* which addresses this machine has: getaddrinfo(3) */
        CONFINE_REFUSE(socket, EAFNOSUPPORT), /* nscd and the like */
        CONFINE_CALL(socketpair),             /* between curl and its resolver's thread */
        CONFINE_CALL(connect),
        CONFINE_CALL(bind),
        CONFINE_CALL(getsockname),
        CONFINE_CALL(getpeername),
        CONFINE_CALL(getsockopt),
        CONFINE_CALL(setsockopt),
        CONFINE_CALL(shutdown),
        /* files that Landlock leaves: names and certificates */
        CONFINE_CALL(openat),
#ifdef SYS_open
        CONFINE_CALL(open),
        CONFINE_CALL(stat),
        CONFINE_CALL(access),
#endif
        CONFINE_CALL(fstat),
        CONFINE_CALL(newfstatat),
        CONFINE_CALL(getdents64),
        CONFINE_CALL(readlinkat),
        CONFINE_CALL(faccessat),
        CONFINE_CALL(uname),
        /* memory, but none that can be executed */
        CONFINE_CALL(brk),
        CONFINE_CALL(munmap),
        CONFINE_CALL(mremap),
        CONFINE_CALL(madvise),
        { .nr = SYS_mmap, .argument = 3, .mask = PROT_EXEC, .value = 0 },
        { .nr = SYS_mprotect, .argument = 3, .mask = PROT_EXEC, .value = 0 },
        CONFINE_REFUSE(mmap, EPERM), /* a module that a thread's end wants: libgcc_s */
        /* threads, but no processes; clone3() hides its flags, glibc falls back to clone() */
        CONFINE_REFUSE(clone3, ENOSYS),
        { .nr = SYS_clone, .argument = 1, .mask = CLONE_THREAD, .value = CLONE_THREAD },
        CONFINE_CALL(set_robust_list),
        CONFINE_CALL(rseq),
        CONFINE_CALL(sched_getaffinity),
        CONFINE_CALL(sched_yield),
        CONFINE_CALL(gettid),
        CONFINE_CALL(getpid),
        CONFINE_CALL(getuid),
        CONFINE_CALL(geteuid),
        CONFINE_CALL(getgid),
        CONFINE_CALL(getegid),
        CONFINE_CALL(rt_sigaction), /* curl around SIGPIPE */
        CONFINE_CALL(rt_sigreturn),
        CONFINE_CALL(prlimit64), /* the stack of a thread; the limits below are hard ones */
        CONFINE_CALL(sysinfo),
#ifdef __SANITIZE_ADDRESS__
        CONFINE_CALL(sigaltstack),
#endif
};

/* ---- what may be read ---- */

#define READABLE(p)                                                                                \
        {                                                                                          \
                .path = (p), .dir = AT_FDCWD, .rights = CONFINE_READ                               \
        }

static int restrict_files(const struct fetcher *f)
{
        const struct confine_path paths[] = {
                READABLE("/etc/resolv.conf"),
                READABLE("/etc/hosts"),
                READABLE("/etc/host.conf"),
                READABLE("/etc/nsswitch.conf"),
                READABLE("/etc/gai.conf"),
                READABLE("/etc/services"),
                READABLE("/etc/protocols"),
                /* what /etc/resolv.conf may point to, replaced whenever a network changes */
                READABLE("/run/systemd/resolve"),
                READABLE("/run/resolvconf"),
                READABLE("/run/NetworkManager"),
                READABLE("/etc/localtime"),
                READABLE("/etc/ssl"),
                READABLE("/etc/pki"),
                READABLE("/etc/ca-certificates"),
                READABLE("/usr/lib/ssl"),
                READABLE("/usr/share/ca-certificates"),
                READABLE("/usr/local/share/ca-certificates"),
                READABLE(f->ca_file ? f->ca_file : "/etc/hosts"),
                READABLE(f->ca_dir ? f->ca_dir : "/etc/hosts"),
                READABLE("/dev/urandom"),
                READABLE("/proc/sys/crypto/fips_enabled"),
        };
        int r = confine_landlock(paths, ARRAY_SIZE(paths), true);

        /* Not there on kernels without it: user and seccomp remain. */
        return r == -EOPNOTSUPP || r == -ENOSYS ? 0 : r;
}

/* ---- limits ---- */

static void limits_set(void)
{
        static const struct {
                int resource;
                rlim_t value;
        } limits[] = { { RLIMIT_CORE, 0 },
                       { RLIMIT_NOFILE, 512 },
                       { RLIMIT_FSIZE, 64u << 20 }, /* of an answer's memfd */
#ifndef __SANITIZE_ADDRESS__
                       { RLIMIT_AS, 1u << 30 }
#endif
        };

        for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
                struct rlimit now, want = { limits[i].value, limits[i].value };

                if (getrlimit((__rlimit_resource_t)limits[i].resource, &now) == 0 &&
                    now.rlim_max < want.rlim_max)
                        want.rlim_cur = want.rlim_max = now.rlim_max;
                setrlimit((__rlimit_resource_t)limits[i].resource, &want);
        }
}

/* glibc reads nsswitch.conf and its modules at the first use, which must not be later. */
static void resolver_load(void)
{
        struct addrinfo *list = NULL;

        if (getaddrinfo("localhost", NULL, NULL, &list) == 0)
                freeaddrinfo(list);
}

static int confine(const struct fetcher *f, struct err *e)
{
        int r;

        limits_set();
        r = confine_drop_user();
        if (r < 0)
                return err_sys(e, -r, "cannot give up the rights of this user");
        r = restrict_files(f);
        if (r < 0)
                return err_sys(e, -r, "cannot restrict access to files (Landlock)");
        r = confine_syscalls(calls, ARRAY_SIZE(calls), getenv("BERTH_CONFINE_TELL") != NULL);
        if (r < 0)
                return err_sys(e, -r, "cannot restrict system calls (seccomp)");
        return 0;
}

/* Go's programs, which are the peers, also take the proxy for http from HTTP_PROXY. */
static void proxy_environment(void)
{
        const char *proxy = getenv("HTTP_PROXY");

        if (proxy && !getenv("http_proxy"))
                setenv("http_proxy", proxy, 1);
}

int main(void)
{
        struct log log = { .fd = STDERR_FILENO,
                           .level = LOG_LEVEL_WARNING,
                           .program = "berth-fetch" };
        struct fetcher f = { .log = &log, .socket = FETCH_SOCKET_FD };
        struct err e = {};
        int type = 0;
        socklen_t n = sizeof type;

        if (getsockopt(f.socket, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_SEQPACKET) {
                fputs("berth-fetch is started by berth, to talk to a registry\n", stderr);
                return 2;
        }
        if (getenv("BERTH_FETCH_DEBUG"))
                log.level = LOG_LEVEL_DEBUG;
        f.packets_end = &f.packets;
        fcntl(f.socket, F_SETFD, FD_CLOEXEC); /* not for credential helpers */
        signal(SIGPIPE, SIG_IGN);
        signal(SIGINT, SIG_IGN); /* the caller ends us, by closing the socket */
        signal(SIGHUP, SIG_IGN);
        unsetenv("GNUTLS_NO_IMPLICIT_INIT"); /* not for credential helpers, either */
        proxy_environment();
        if (fetcher_open(&f, &e) < 0 || fetcher_prepare(&f, &e) < 0) {
                fetcher_answer_open(&f, &e);
                return FETCH_EXIT_FAILED;
        }
        resolver_load();
        if (confine(&f, &e) < 0) {
                fetcher_answer_open(&f, &e);
                return FETCH_EXIT_FAILED;
        }
        fetcher_answer_open(&f, NULL);
        return fetcher_run(&f);
}
