/*
 * agent.c: the guest's end of tests/vm/run. It takes a job from the host, makes this clone of a
 * saved machine its own (clock, entropy, shared directory), runs the job's script under bash and
 * reports the exit status.
 *
 * Ports of the virtio-serial device: 1 control, 2 the job's stdin, 3 its stdout, 4 its stderr.
 * On the control port:
 *   guest -> host   ready\n                                      once, at boot
 *   host -> guest   JOB LENGTH SECONDS.NANOSECONDS ENTROPY SHARE\n SCRIPT
 *   guest -> host   started\n                                    the job has been read
 *   guest -> host   exit STATUS\n                                128+n when signal n ended the job
 * LENGTH is the script's in bytes, ENTROPY is in hex, SHARE a directory to mount the host's 9p
 * export on, or "-".
 *
 * Invariants:
 * I1  When no job runs, the agent sleeps in read() on the control port and holds no other state:
 *     run saves the machine at that point, and each clone goes on from it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SCRIPT_PATH "/run/vm-job"
#define SCRIPT_MAX (1 << 20)
#define STATUS_VM_FAILED 125

enum port { PORT_CONTROL = 1, PORT_STDIN, PORT_STDOUT, PORT_STDERR, PORT_MAX };

struct job {
        size_t length;
        struct timespec now;
        char entropy[256];
        char share[4096];
};

/* Returns 0, or -1 when the other side is gone. */
static int write_all(int fd, const char *data, size_t size)
{
        while (size > 0) {
                ssize_t n = write(fd, data, size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -1;
                data += n;
                size -= n;
        }
        return 0;
}

/* Reads exactly size bytes. A port whose host end is closed gives 0 at once: wait for its
 * return. */
static int read_all(int fd, char *data, size_t size)
{
        while (size > 0) {
                ssize_t n = read(fd, data, size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -1;
                if (n == 0)
                        usleep(20 * 1000);
                data += n;
                size -= n;
        }
        return 0;
}

static int read_line(int fd, char *line, size_t size)
{
        for (size_t i = 0; i < size; i++) {
                if (read_all(fd, &line[i], 1) < 0)
                        return -1;
                if (line[i] == '\n') {
                        line[i] = '\0';
                        return 0;
                }
        }
        errno = E2BIG;
        return -1;
}

/* The device's number depends on what else the kernel found first, and there is no udev link: the
 * machine boots without udev's coldplug. Returns the number, or -1 after 50 s. */
static int ports_find(void)
{
        for (int tries = 0; tries < 5000; tries++) {
                for (int device = 0; device < 10; device++) {
                        char path[64];
                        snprintf(path, sizeof path, "/dev/vport%dp%d", device, PORT_CONTROL);
                        if (access(path, F_OK) == 0)
                                return device;
                }
                usleep(10 * 1000);
        }
        return -1;
}

static int port_open(int device, enum port port, int flags)
{
        char path[64];
        snprintf(path, sizeof path, "/dev/vport%dp%d", device, port);
        return open(path, flags | O_CLOEXEC);
}

/* All clones of a saved machine share its random state: without this they draw the same UUIDs. */
static void entropy_add(const char *hex)
{
        struct {
                struct rand_pool_info info;
                char data[sizeof((struct job *)0)->entropy];
        } pool = {};
        size_t size = strlen(hex);
        memcpy(pool.data, hex, size);
        pool.info.buf_size = size;
        pool.info.entropy_count = size * 4;
        int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return;
        ioctl(fd, RNDADDENTROPY, &pool);
        ioctl(fd, RNDRESEEDCRNG);
        close(fd);
}

static void directory_make(const char *path)
{
        char part[sizeof((struct job *)0)->share];
        for (size_t i = 1; i < sizeof part && path[i - 1]; i++) {
                if (path[i] != '/' && path[i])
                        continue;
                memcpy(part, path, i);
                part[i] = '\0';
                mkdir(part, 0755);
        }
}

/* cache=loose: four times faster than the coherent modes for many small files. The price is that
 * the guest doesn't see what the host changes while a job runs. */
static int share_mount(const char *path)
{
        directory_make(path);
        return mount("share", path, "9p", 0,
                     "trans=virtio,version=9p2000.L,msize=512000,cache=loose,access=any");
}

static void share_flush(const char *path)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return;
        syncfs(fd);
        close(fd);
}

/* Reads the next job and stores its script in SCRIPT_PATH. */
static int job_read(int control, struct job *job)
{
        char header[4600];
        if (read_line(control, header, sizeof header) < 0)
                return -1;
        *job = (struct job){};
        if (sscanf(header, "JOB %zu %ld.%ld %255s %4095[^\n]", &job->length, &job->now.tv_sec,
                   &job->now.tv_nsec, job->entropy, job->share) != 5 ||
            job->length > SCRIPT_MAX) {
                errno = EBADMSG;
                return -1;
        }
        char *script = malloc(job->length + 1);
        int fd = open(SCRIPT_PATH, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
        int r = -1;
        if (script && fd >= 0 && read_all(control, script, job->length) == 0)
                r = write_all(fd, script, job->length);
        if (fd >= 0)
                close(fd);
        free(script);
        return r;
}

/* The job gets pipes of its own, not the ports: a daemon that it leaves behind would keep a port
 * open, and the next clone's output would be mixed with it. ret_ends are ours, by port. */
static pid_t job_spawn(int ret_ends[PORT_MAX])
{
        int pipes[PORT_MAX][2];
        for (int p = PORT_STDIN; p < PORT_MAX; p++)
                if (pipe2(pipes[p], O_CLOEXEC) < 0)
                        return -1;
        pid_t pid = fork();
        if (pid == 0) {
                setsid();
                dup2(pipes[PORT_STDIN][0], STDIN_FILENO);
                dup2(pipes[PORT_STDOUT][1], STDOUT_FILENO);
                dup2(pipes[PORT_STDERR][1], STDERR_FILENO);
                signal(SIGPIPE, SIG_DFL);
                execl("/bin/bash", "bash", SCRIPT_PATH, NULL);
                _exit(127);
        }
        for (int p = PORT_STDIN; p < PORT_MAX; p++) {
                bool is_input = p == PORT_STDIN;
                ret_ends[p] = pipes[p][is_input ? 1 : 0];
                close(pipes[p][is_input ? 0 : 1]);
        }
        /* A job that doesn't read its stdin must not stop us from passing on its output. */
        fcntl(ret_ends[PORT_STDIN], F_SETFL, O_NONBLOCK);
        return pid;
}

static void fd_close(int *fd)
{
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

/* Passes on what is ready on from. Returns false at its end. */
static bool output_relay(int from, int to)
{
        static char data[65536];
        ssize_t n = read(from, data, sizeof data);
        if (n > 0)
                write_all(to, data, n);
        return n > 0;
}

/* One portion of stdin waits here until the job takes it. */
struct input {
        char data[65536];
        size_t start, end;
};

static void input_relay(struct input *in, int from, int *to)
{
        if (in->start == in->end) {
                ssize_t n = read(from, in->data, sizeof in->data);
                in->start = 0;
                in->end = n > 0 ? n : 0;
                if (n <= 0) {
                        fd_close(to);
                        return;
                }
        }
        ssize_t n = write(*to, in->data + in->start, in->end - in->start);
        if (n > 0)
                in->start += n;
        else if (errno != EAGAIN)
                fd_close(to);
}

/* Relays until the job has ended and its output is drained. Daemons left behind may hold the pipes
 * for ever: 100 ms of silence after the end is the end. Returns the exit status. */
static int job_relay(pid_t pid, const int ports[PORT_MAX], int ends[PORT_MAX])
{
        static struct input input;
        int pidfd = syscall(SYS_pidfd_open, pid, 0), status = 0;
        bool ended = false;
        input.start = input.end = 0;
        while (!ended || ends[PORT_STDOUT] >= 0 || ends[PORT_STDERR] >= 0) {
                bool full = input.start < input.end;
                int stdin_fd = ends[PORT_STDIN];
                struct pollfd wait[] = {
                        { pidfd, POLLIN, 0 },
                        { stdin_fd < 0 ? -1
                          : full       ? stdin_fd
                                       : ports[PORT_STDIN],
                          full ? POLLOUT : POLLIN, 0 },
                        { ends[PORT_STDOUT], POLLIN, 0 },
                        { ends[PORT_STDERR], POLLIN, 0 },
                };
                int n = poll(wait, 4, ended ? 100 : -1);
                if (n == 0)
                        break;
                for (int p = PORT_STDOUT; p < PORT_MAX; p++)
                        if (wait[p - 1].revents && !output_relay(ends[p], ports[p]))
                                fd_close(&ends[p]);
                if (wait[0].revents) {
                        waitpid(pid, &status, 0);
                        ended = true;
                        fd_close(&pidfd);
                        fd_close(&ends[PORT_STDIN]);
                } else if (wait[1].revents) {
                        input_relay(&input, ports[PORT_STDIN], &ends[PORT_STDIN]);
                }
        }
        for (int p = PORT_STDIN; p < PORT_MAX; p++)
                fd_close(&ends[p]);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int job_run(const struct job *job, const int ports[PORT_MAX])
{
        int ends[PORT_MAX];
        bool shared = job->share[0] == '/';
        clock_settime(CLOCK_REALTIME, &job->now);
        entropy_add(job->entropy);
        if (shared && share_mount(job->share) < 0) {
                dprintf(ports[PORT_STDERR], "agent: cannot mount the share on %s: %s\n", job->share,
                        strerror(errno));
                return STATUS_VM_FAILED;
        }
        pid_t pid = job_spawn(ends);
        if (pid < 0)
                return STATUS_VM_FAILED;
        int status = job_relay(pid, ports, ends);
        if (shared)
                share_flush(job->share);
        return status;
}

int main(void)
{
        static const int flags[PORT_MAX] = {
                [PORT_CONTROL] = O_RDWR,
                [PORT_STDIN] = O_RDONLY,
                [PORT_STDOUT] = O_WRONLY,
                [PORT_STDERR] = O_WRONLY,
        };
        static struct job job;
        int ports[PORT_MAX] = { -1 };
        int device = ports_find();
        for (int p = PORT_CONTROL; p < PORT_MAX; p++) {
                ports[p] = port_open(device, p, flags[p]);
                if (ports[p] < 0) {
                        fprintf(stderr, "agent: cannot open port %d: %s\n", p, strerror(errno));
                        return 1;
                }
        }
        signal(SIGPIPE, SIG_IGN);
        write_all(ports[PORT_CONTROL], "ready\n", 6);
        for (;;) {
                char reply[32];
                if (job_read(ports[PORT_CONTROL], &job) < 0) {
                        fprintf(stderr, "agent: cannot read a job: %s\n", strerror(errno));
                        return 1;
                }
                write_all(ports[PORT_CONTROL], "started\n", 8);
                int status = job_run(&job, ports);
                int length = snprintf(reply, sizeof reply, "exit %d\n", status);
                write_all(ports[PORT_CONTROL], reply, length);
        }
}
