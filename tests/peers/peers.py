"""Other engines, each with directories of its own, driving the runtime under test.

The runtime is $BERTH_OCI (default: build/berth-oci). The same tests pass with BERTH_OCI=/usr/sbin/runc,
which is how they are checked themselves.
"""

import ctypes
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
BINARY = os.environ.get("BERTH_OCI") or str(HERE.parent.parent / "build" / "berth-oci")
PEER = {"runc": "runc", "crun": "crun"}.get(os.path.basename(BINARY), "berth")
TIMEOUT = 60

CGROUP = pathlib.Path("/sys/fs/cgroup")
PARENT = f"berth-peers-{os.getpid()}"  # the cgroup that holds every container of these tests

CLONE_NEWNS, MS_REC, MS_PRIVATE, PR_SET_CHILD_SUBREAPER = 0x20000, 0x4000, 1 << 18, 36
libc = ctypes.CDLL(None, use_errno=True)


def must(rc, what):
    if rc < 0:
        raise OSError(ctypes.get_errno(), what)


def mount(source, target, kind=None, flags=0, data=None):
    encoded = [v.encode() if v else None for v in (source, str(target), kind)]
    must(libc.mount(*encoded, flags, data.encode() if data else None), f"mount {target}")


def isolate():
    """A mount namespace of our own, so that what engines mount ends with these tests; and the role of
    reaper, so that the monitors they orphan become our children and can be waited for."""
    must(libc.unshare(CLONE_NEWNS), "unshare")
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    must(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")
    reaper.start()


def eventually(probe, timeout=15.0, step=0.02):
    """Polls probe() until it is true; returns its last value."""
    end = time.monotonic() + timeout
    while True:
        value = probe()
        if value or time.monotonic() > end:
            return value
        time.sleep(step)


class Reaper(threading.Thread):
    """Waits for orphans as soon as they end. podman takes a monitor that is a zombie for a living one,
    and waits 20 s for it; the first process of a test machine isn't always a good parent."""

    def __init__(self):
        super().__init__(daemon=True)
        self.lock = threading.Lock()
        self.own = {}  # what spawn() started: whoever started them waits for them

    def spawn(self, *args, **kw):
        with self.lock:
            self.own = {pid: process for pid, process in self.own.items() if process.returncode is None}
            process = subprocess.Popen(*args, **kw)
            self.own[process.pid] = process
        return process

    def run(self):
        while True:
            with self.lock:
                for pid in self.children():
                    if pid not in self.own:
                        os.waitpid(pid, os.WNOHANG)
            time.sleep(0.01)

    @staticmethod
    def children():
        found = []
        for task in pathlib.Path("/proc/self/task").iterdir():
            try:
                found += [int(pid) for pid in (task / "children").read_text().split()]
            except OSError:
                pass  # a thread that has just ended; its children are another one's by the next look
        return found

    def orphans(self):
        with self.lock:
            return [pid for pid in self.children() if pid not in self.own]


reaper = Reaper()


class Result:
    def __init__(self, argv, code, out, err):
        self.argv, self.code, self.out, self.err = argv, code, out, err

    def __repr__(self):
        return f"<{' '.join(map(str, self.argv))}: {self.code}\nstdout: {self.out}\nstderr: {self.err}>"

    def ok(self):
        assert self.code == 0, self
        return self

    def exits(self, code, *phrases):
        assert self.code == code, self
        for phrase in phrases:
            assert phrase.lower() in (self.out + self.err).lower(), (phrase, self)
        return self


def call(argv, input=None, timeout=TIMEOUT, **kw):
    """Runs a command to its end. Output goes through files: monitors keep inherited pipes open."""
    argv = [str(a) for a in argv]
    files = {name: os.memfd_create(name) for name in ("out", "err")}
    stdin = os.memfd_create("in")
    os.write(stdin, (input or "").encode())
    os.lseek(stdin, 0, 0)
    try:
        process = reaper.spawn(argv, stdin=stdin, stdout=files["out"], stderr=files["err"], **kw)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = "hung"
        text = {}
        for name, fd in files.items():
            text[name] = os.pread(fd, 1 << 22, 0).decode(errors="replace")
        return Result(argv, code, text["out"], text["err"])
    finally:
        for fd in (stdin, *files.values()):
            os.close(fd)


class Terminal:
    """A program on a pseudoterminal of our own, as a person would use it."""

    def __init__(self, argv, rows=24, cols=80, **kw):
        self.fd, slave = pty.openpty()
        self.seen = ""
        self.size(rows, cols)
        self.process = reaper.spawn([str(a) for a in argv], stdin=slave, stdout=slave, stderr=slave,
                                    start_new_session=True,
                                    preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **kw)
        os.close(slave)

    def size(self, rows, cols):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def send(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern, timeout=20):
        """Waits until the output so far matches; forgets what came before the end of the match."""
        end = time.monotonic() + timeout
        while not (m := re.search(pattern, self.seen)):
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            assert ready, f"'{pattern}' did not come; seen: {self.seen!r}"
            try:
                self.seen += os.read(self.fd, 4096).decode(errors="replace")
            except OSError:  # the other side is closed
                raise AssertionError(f"'{pattern}' did not come before the end; seen: {self.seen!r}")
        self.seen = self.seen[m.end():]
        return m

    def seen_until(self, text):
        """Waits for text; returns what came before it."""
        return self.expect("(?s)(.*?)" + re.escape(text)).group(1)

    def end(self, timeout=20):
        """The exit code. What comes until then is read, so that nobody blocks on writing it."""
        end = time.monotonic() + timeout
        while self.process.poll() is None:
            assert time.monotonic() < end, f"did not end; seen: {self.seen!r}"
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self.fd, 4096).decode(errors="replace")
                except OSError:
                    time.sleep(0.02)
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.fd)


def await_size(terminal, rows, cols):
    """Asks a shell on the terminal for its size until it is this one: sizes travel through several programs."""
    end = time.monotonic() + 15
    serial = 0
    while True:
        serial += 1
        terminal.send(f"stty size; echo {serial}-$((40+2))\n")
        before = terminal.seen_until(f"{serial}-42")
        if f"{rows} {cols}" in before:
            return
        assert time.monotonic() < end, f"{rows} {cols} never arrived: {before!r}"
        time.sleep(0.05)


def resized(terminal):
    """The size it was started with reaches the shell, and so does a new one."""
    await_size(terminal, 31, 97)
    terminal.size(45, 120)
    await_size(terminal, 45, 120)


class Cgroup:
    """The cgroup of a container in each v1 hierarchy, or in v2."""

    def __init__(self, pid):
        self.paths = {}
        for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for name in controllers.split(","):
                self.paths[name.removeprefix("name=")] = path.lstrip("/")

    def read(self, v1, v2):
        """A file's text: v1 = (controller, file), v2 = file."""
        controller, name = v1
        if controller in self.paths:
            return (CGROUP / controller / self.paths[controller] / name).read_text().strip()
        return (CGROUP / self.paths[""] / v2).read_text().strip()

    def memory(self):
        return int(self.read(("memory", "memory.limit_in_bytes"), "memory.max"))

    def pids(self):
        return int(self.read(("pids", "pids.max"), "pids.max"))

    def quota(self):
        """CPU quota as a share of one CPU."""
        if "cpu" in self.paths:
            return int(self.read(("cpu", "cpu.cfs_quota_us"), "")) / int(self.read(("cpu", "cpu.cfs_period_us"), ""))
        quota, period = self.read(("cpu", ""), "cpu.max").split()
        return int(quota) / int(period)


def remove_parent_cgroups():
    """Removes our cgroup everywhere; returns the paths that could not be removed."""
    left = []
    for top in [CGROUP, *CGROUP.iterdir()]:
        for here, _, _ in os.walk(top / PARENT, topdown=False):
            if not eventually(lambda: rmdir(here), timeout=3):
                left.append(here)
    return left


def rmdir(path):
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def processes_naming(text):
    """PIDs of living processes whose command line holds text, this one aside."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if text in (entry / "cmdline").read_bytes().decode(errors="replace"):
                    found.append(int(entry.name))
            except OSError:
                pass
    return found


# --- podman -------------------------------------------------------------------------------------------

CONTAINERS_CONF = """
[containers]
log_driver = "k8s-file"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
image_default_transport = "containers-storage:"
tmp_dir = "{base}/tmp"
volume_path = "{base}/volumes"
runtime = "{binary}"
runtime_supports_json = ["{name}", "{binary}"]
runtime_supports_nocgroups = ["{name}", "{binary}"]
runtime_supports_nocgroup = ["{name}", "{binary}"]
[network]
network_config_dir = "{base}/net"
"""

STORAGE_CONF = """
[storage]
driver = "overlay"
runroot = "{base}/r"
graphroot = "{base}/g"
"""


class Podman:
    """Debian's podman (and buildah) on a storage of their own."""

    IMAGE = "localhost/busybox-peers"

    def __init__(self, base):
        self.base = base
        base.mkdir()
        values = {"base": base, "binary": BINARY, "name": os.path.basename(BINARY)}
        (base / "containers.conf").write_text(CONTAINERS_CONF.format(**values))
        (base / "storage.conf").write_text(STORAGE_CONF.format(**values))
        self.env = {**os.environ, "CONTAINERS_CONF": str(base / "containers.conf"),
                    "CONTAINERS_STORAGE_CONF": str(base / "storage.conf")}
        self.names = 0

    def leftovers(self):
        """What the runtime still knows of ours, in its default state directory: the podman that cleans up
        after a container can't be told another one."""
        known = json.loads(call([BINARY, "list", "--format", "json"]).ok().out or "null") or []
        return [c["id"] for c in known if c["bundle"].startswith(str(self.base))]

    def argv(self, verb, *args):
        # --root as a flag, not in the configuration alone: only flags reach the podman that conmon calls at the end
        flags = ["--root", f"{self.base}/g", "--runroot", f"{self.base}/r"]
        if "--hooks-dir" in args:  # a flag of podman, not of run
            at = args.index("--hooks-dir")
            flags, args = [*flags, *map(str, args[at:at + 2])], args[:at] + args[at + 2:]
        if verb in ("run", "create"):
            if "--cgroups" not in args:
                args = ("--cgroup-parent", f"/{PARENT}", *args)
            if "--network" not in args:
                args = ("--network", "none", *args)
        return ["podman", *flags, verb, *map(str, args)]

    def __call__(self, verb, *args, **kw):
        return call(self.argv(verb, *args), env=self.env, **kw)

    def terminal(self, verb, *args):
        return Terminal(self.argv(verb, *args), rows=31, cols=97, env=self.env)

    def start(self, *args):
        """A detached container with a name; returns the name."""
        self.names += 1
        name = f"peer-{self.names}"
        self("run", "-d", "--name", name, *args).ok()
        return name

    def inspect(self, name, what):
        return self("inspect", "-f", "{{" + what + "}}", name).ok().out.strip()

    def cgroup(self, name):
        return Cgroup(self.inspect(name, ".State.Pid"))

    def remove_all(self):
        left = self("ps", "-aq").out.split()
        if left:
            self("rm", "-f", "-t", "0", *left)


def build_image(podman, base):
    """Builds the test image with buildah from nothing but busybox, for podman and as an OCI layout."""
    tree = base / "tree"
    for name in ("bin", "etc", "tmp", "root", "proc", "sys", "dev"):
        (tree / name).mkdir(parents=True)
    (tree / "tmp").chmod(0o1777)
    shutil.copy("/bin/busybox", tree / "bin/busybox")
    for name in subprocess.run(["busybox", "--list"], capture_output=True, text=True).stdout.split():
        if name != "busybox":
            (tree / "bin" / name).symlink_to("busybox")
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000:guest:/tmp:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\nguest:x:1000:\nextra:x:2000:guest\n")

    def buildah(*args):
        return call(["buildah", *args], env=podman.env).ok().out.strip()
    working = buildah("from", "scratch")
    buildah("copy", "-q", working, tree, "/")
    buildah("config", "--cmd", "/bin/sh", "--env", "PATH=/bin", "--env", "IMAGE=peers", working)
    buildah("commit", "-q", working, Podman.IMAGE)
    buildah("rm", working)
    buildah("push", "-q", Podman.IMAGE, f"oci:{base}/layout:latest")
    buildah("push", "-q", Podman.IMAGE, f"oci-archive:{base}/image.tar:{Podman.IMAGE}:latest")
    return base


# --- containerd ---------------------------------------------------------------------------------------

CONTAINERD_CONF = """
version = 2
root = "{base}/root"
state = "{base}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "{base}/sock"
"""


class Containerd:
    """A private containerd, used through ctr."""

    IMAGE = "localhost/busybox-peers:latest"
    RUN = pathlib.Path("/run/containerd")  # shims put their sockets there, whatever the configuration says

    def __init__(self, base):
        self.base = base
        base.mkdir()
        (base / "config.toml").write_text(CONTAINERD_CONF.format(base=base))
        self.made_run = not self.RUN.exists()
        self.RUN.mkdir(exist_ok=True)
        mount("tmpfs", self.RUN, "tmpfs")
        self.log = open(base / "log", "wb")
        self.daemon = reaper.spawn(["containerd", "-c", base / "config.toml"], stdout=self.log, stderr=self.log)
        self.names = 0
        assert eventually(lambda: self("version").code == 0), (base / "log").read_text()

    def argv(self, *args):
        return ["ctr", "-a", f"{self.base}/sock", *map(str, args)]

    def __call__(self, *args, **kw):
        return call(self.argv(*args), **kw)

    def run_argv(self, *args, image=IMAGE):
        """`ctr run` with our runtime and cgroup. args: options, then ID and command after "--"."""
        split = args.index("--")
        self.names += 1
        name = f"peer-{self.names}"
        return name, self.argv("run", "--runc-binary", BINARY, "--runc-root", self.base / "s", "--cgroup",
                               f"/{PARENT}/{name}", *args[:split], image, name, *args[split + 1:])

    def run(self, *args, **kw):
        _, argv = self.run_argv("--rm", *args)
        return call(argv, **kw)

    def start(self, *args):
        name, argv = self.run_argv("-d", *args)
        call(argv).ok()
        return name

    def pid(self, name):
        for line in self("tasks", "ls").ok().out.splitlines():
            if line.split()[0] == name:
                return int(line.split()[1])
        raise AssertionError(f"no task {name}")

    def status(self, name):
        for line in self("tasks", "ls").ok().out.splitlines():
            if line.split()[0] == name:
                return line.split()[2]
        return None

    def remove_all(self):
        for name in self("tasks", "ls", "-q").out.split():
            self("tasks", "resume", name)
            self("tasks", "delete", "-f", name)
        for name in self("containers", "ls", "-q").out.split():
            self("containers", "delete", name)

    def stop(self):
        self.remove_all()
        self.daemon.terminate()
        self.daemon.wait(20)
        self.log.close()
        eventually(lambda: not processes_naming(f"{self.base}/sock"))
        subprocess.run(["umount", "-l", self.RUN], check=True)
        if self.made_run:
            rmdir(self.RUN)


# --- conmon -------------------------------------------------------------------------------------------


class Conmon:
    """conmon, called as podman and CRI-O call it, over a bundle unpacked by umoci."""

    def __init__(self, base, layout):
        self.base = base
        base.mkdir()
        call(["umoci", "unpack", "--image", f"{layout}:latest", base / "unpacked"]).ok()
        self.config = json.loads((base / "unpacked/config.json").read_text())
        self.names = 0
        for name in ("exits", "state"):
            (base / name).mkdir()

    def runtime(self, *args, **kw):
        return call([BINARY, "--root", self.base / "state", *args], **kw)

    def bundle(self, args, terminal=False, **process):
        """A bundle of its own for one container: umoci's config.json, its shared root file system."""
        self.names += 1
        path = self.base / f"c{self.names}"
        path.mkdir()
        config = json.loads(json.dumps(self.config))
        config["process"].update(args=args, terminal=terminal, **process)
        config["process"].pop("rlimits", None)
        config["root"].update(path=str(self.base / "unpacked/rootfs"), readonly=True)
        config["linux"]["cgroupsPath"] = f"/{PARENT}/{path.name}"
        (path / "config.json").write_text(json.dumps(config))
        return path

    def spawn(self, path, *flags):
        """Starts conmon for the bundle; returns (what it reported on its sync pipe, the conmon PID file)."""
        mine, theirs = os.pipe()
        pidfile = path / "conmon.pid"
        argv = ["conmon", "--api-version", "1", "-c", path.name, "-u", path.name, "-n", path.name, "-r", BINARY,
                "--runtime-arg", f"--root={self.base}/state", "-b", path, "-p", path / "pid", "--exit-dir",
                self.base / "exits", "-l", f"k8s-file:{path}/log", "-P", pidfile, "--full-attach", "--log-level",
                "error", *flags]
        env = {**os.environ, "_OCI_SYNCPIPE": str(theirs)}
        call(argv, env=env, pass_fds=[theirs]).ok()
        os.close(theirs)
        with os.fdopen(mine) as pipe:
            lines = []
            for line in pipe:
                lines.append(json.loads(line))
                if "--exec" not in flags or len(lines) == 2:
                    break
        return lines

    def exit_code(self, name):
        path = self.base / "exits" / name
        assert eventually(path.exists), f"conmon wrote no exit code of {name}"
        return int(eventually(path.read_text))

    def log(self, path):
        """[(stream, text)] of the container's log."""
        rows = [line.split(" ", 3) for line in (path / "log").read_text().splitlines()]
        return [(row[1], row[3]) for row in rows]

    def remove_all(self):
        for name in self.runtime("list", "-q").out.split():
            self.runtime("delete", "--force", name)
