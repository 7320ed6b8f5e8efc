"""Containers for the tests of the OCI runtime: the runtime under test, bundles, host-side views.

The runtime is chosen by $BERTH_OCI (default: build/berth-oci), so that the same tests also run
against other runtimes, which is how the tests themselves are checked.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parent.parent
BINARY = os.environ.get("BERTH_OCI") or str(REPO / "build" / "berth-oci")
# Which program this is, for expectations that only another runtime lacks.
PEER = {"runc": "runc", "crun": "crun"}.get(os.path.basename(BINARY), "berth")

TIMEOUT = 60
CGROUP = pathlib.Path("/sys/fs/cgroup")
V1_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb")

CLONE_NEWNS = 0x00020000
PR_SET_CHILD_SUBREAPER = 36
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
OWN = {}  # commands that tests started and wait for themselves: pid -> Popen
libc = ctypes.CDLL(None, use_errno=True)


def check(rc, what):
    if rc < 0:
        raise OSError(ctypes.get_errno(), what)
    return rc


def isolate():
    """A mount namespace of our own, so that mounts by others don't count as leaks, and the role of
    reaper, so that orphaned container processes become our children and can't hide."""
    check(libc.unshare(CLONE_NEWNS), "unshare")
    check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount")
    check(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def eventually(probe, timeout=30.0, step=0.01):
    """Polls probe() until it is true; returns its value, the last one when time runs out."""
    end = time.monotonic() + timeout
    while True:
        value = probe()
        if value or time.monotonic() > end:
            return value
        time.sleep(step)


class Result:
    """How one call of the runtime ended."""

    def __init__(self, argv, code, out, err):
        self.argv, self.code, self.out, self.err = argv, code, out, err

    def __repr__(self):
        return f"<{' '.join(map(str, self.argv))}: {self.code}\nstdout: {self.out}\nstderr: {self.err}>"

    def ok(self):
        assert self.code == 0, self
        return self

    def failed(self, *phrases, code=None):
        """Asserts a failure whose message holds every phrase (a tuple: one of them; case ignored).
        The phrases are those that engines look for in runc's messages; crun has its own."""
        assert self.code != 0, self
        if code is not None:
            assert self.code == code, self
        text = (self.err + self.out).lower()
        assert "panic:" not in text and self.code != -signal.SIGSEGV, self
        for phrase in phrases if PEER != "crun" else ():
            options = phrase if isinstance(phrase, tuple) else (phrase,)
            assert any(o.lower() in text for o in options), f"{options} not in {self}"
        return self

    def names(self, *nouns):
        """Asserts that the message names these; berth's own promise, not asked of other runtimes."""
        if PEER == "berth":
            self.failed(*nouns)
        return self


class Runtime:
    """The runtime under test with a state directory of its own."""

    def __init__(self, base, binary=BINARY):
        self.base = pathlib.Path(base)
        self.binary = binary
        self.root = self.base / "state"
        self.root.mkdir(exist_ok=True)
        self.serial = 0

    def argv(self, *args, globals=()):
        return [self.binary, "--root", str(self.root), *map(str, globals), *map(str, args)]

    def popen(self, *args, globals=(), **kw):
        process = subprocess.Popen(self.argv(*args, globals=globals), **kw)
        OWN[process.pid] = process
        return process

    def __call__(self, *args, globals=(), prefix=(), input=None, timeout=TIMEOUT, stdout=None, **kw):
        """Runs one command to its end. Output goes through files, since the container's processes
        keep inherited descriptors open after the runtime has gone."""
        self.serial += 1
        argv = [*map(str, prefix), *self.argv(*args, globals=globals)]
        out = pathlib.Path(stdout) if stdout else self.base / f"out.{self.serial}"
        err = self.base / f"err.{self.serial}"
        stdin = subprocess.DEVNULL
        if input is not None:
            stdin = tempfile.TemporaryFile(dir=self.base)
            stdin.write(input.encode() if isinstance(input, str) else input)
            stdin.seek(0)
        with open(out, "wb") as o, open(err, "wb") as e:
            process = subprocess.Popen(argv, stdin=stdin, stdout=o, stderr=e, **kw)
            code = self.wait(process, timeout)
        if code is None:
            raise AssertionError(f"{argv} hung; stderr: {err.read_text(errors='replace')}")
        result = Result(argv, code, out.read_text(errors="replace"), err.read_text(errors="replace"))
        err.unlink()
        if not stdout:
            out.unlink()
        return result

    def wait(self, process, timeout):
        """Its exit code; None when it hung and was killed. A runtime that waits for the end of a PID
        namespace waits for us meanwhile, whose children some of its processes may be."""
        OWN[process.pid] = process
        end = time.monotonic() + timeout
        pidfd = os.pidfd_open(process.pid)
        try:
            while time.monotonic() < end:
                if select.select([pidfd], [], [], min(0.3, timeout))[0]:
                    return process.wait()
                children_reap()
        finally:
            os.close(pidfd)
        process.kill()
        process.wait()
        return None

    def state(self, id):
        return json.loads(self("state", id).ok().out)

    def ids(self):
        return self("list", "-q").ok().out.split()


# ---- the root file system and the configuration ----

APPLETS = """sh cat ls echo true false sleep id env pwd mkdir touch mount umount grep stat readlink
    test dd head hostname stty tty kill ps sed wc date uname sysctl rm ln chmod mknod cp sort tr cut
    awk find ip ifconfig ping seq printf expr mv od du df setsid nproc cmp yes chown tail""".split()

PASSWD = "root:x:0:0::/root:/bin/sh\nweb:x:1000:1000:w:/home/web:/bin/sh\n"


def rootfs_make(path, busybox, probe):
    """A small root file system: busybox, the probe, the usual directories and account files."""
    path.mkdir()
    for d in ("bin", "dev", "etc", "home", "lib", "proc", "root", "run", "sys", "tmp", "usr", "var"):
        (path / d).mkdir()
    (path / "tmp").chmod(0o1777)
    os.link(busybox, path / "bin" / "busybox")
    os.link(probe, path / "bin" / "probe")
    for a in APPLETS:
        os.symlink("busybox", path / "bin" / a)
    (path / "etc" / "passwd").write_text(PASSWD)
    (path / "etc" / "group").write_text("root:x:0:\nweb:x:1000:\n")


DEFAULT_CAPS = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
ALL_BUT_USER = ("pid", "network", "ipc", "uts", "mount", "cgroup")
MASKED = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"]
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def mounts():
    def m(destination, type, *options, source=None):
        return {"destination": destination, "type": type, "source": source or type, "options": list(options)}

    return [
        m("/proc", "proc"),
        m("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        m("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
        m("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k", source="shm"),
        m("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        m("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
    ]


def config(cgroups_path):
    caps = {k: list(DEFAULT_CAPS) for k in ("bounding", "effective", "permitted")}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": ["true"],
            "env": ["PATH=/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": caps,
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "box",
        "mounts": mounts(),
        "linux": {
            "cgroupsPath": cgroups_path,
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": t} for t in ALL_BUT_USER],
            "maskedPaths": list(MASKED),
            "readonlyPaths": list(READONLY),
        },
    }


class Container:
    """One bundle and its container; the configuration is a dict to edit before run() or create()."""

    def __init__(self, runtime, workshop, id, cgroup_parent):
        self.runtime, self.id = runtime, id
        self.dir = runtime.base / id
        self.dir.mkdir()
        self.rootfs = self.dir / "rootfs"
        rootfs_make(self.rootfs, workshop.busybox, workshop.probe)
        self.cgroup = f"{cgroup_parent}/{id}"
        self.config = config(self.cgroup)
        self.stdout = self.dir / "stdout"
        self.text = None  # config.json verbatim, where a test wants it so

    @property
    def process(self):
        return self.config["process"]

    @property
    def linux(self):
        return self.config["linux"]

    @property
    def resources(self):
        return self.config["linux"]["resources"]

    def args(self, *argv):
        self.process["args"] = list(argv)
        return self

    def script(self, text):
        return self.args("sh", "-c", text)

    def caps(self, *names, sets=("bounding", "effective", "permitted")):
        self.process["capabilities"] = {s: list(names) for s in sets}
        return self

    def namespaces(self, *types, **paths):
        """Exactly these namespaces: new ones by name, joined ones as name=path."""
        self.linux["namespaces"] = [{"type": t} for t in types]
        self.linux["namespaces"] += [{"type": t, "path": str(p)} for t, p in paths.items()]
        return self

    def namespace_drop(self, *types):
        self.linux["namespaces"] = [n for n in self.linux["namespaces"] if n["type"] not in types]
        if "network" in types:  # sysfs belongs to the owner of the network namespace
            pass
        return self

    def mount(self, destination, type="none", source="none", options=()):
        self.config["mounts"].append(
            {"destination": str(destination), "type": type, "source": str(source), "options": list(options)}
        )
        return self

    def bind(self, source, destination, *options):
        return self.mount(destination, "bind", source, ("rbind", *options))

    def mapped(self, base=100000, size=65536):
        """A user namespace of its own, and a rootfs that belongs to it."""
        self.linux["namespaces"].append({"type": "user"})
        mapping = [{"containerID": 0, "hostID": base, "size": size}]
        self.linux["uidMappings"] = self.linux["gidMappings"] = mapping
        for top, dirs, files in os.walk(self.rootfs):
            for name in [".", *dirs, *files]:
                path = os.path.join(top, name)
                if not os.path.islink(path) and os.stat(path).st_nlink == 1 or os.path.isdir(path):
                    os.lchown(path, base, base)
        return self

    def save(self):
        text = self.text if self.text is not None else json.dumps(self.config)
        (self.dir / "config.json").write_text(text)

    # ---- verbs ----

    def run(self, *flags, **kw):
        self.save()
        return self.runtime("run", "--bundle", self.dir, *flags, self.id, **kw)

    def output(self, script=None, **kw):
        """Runs a shell script (or the configured args) to its end; what it printed."""
        if script is not None:
            self.script(script)
        return self.run(**kw).ok().out

    def create(self, *flags, **kw):
        self.save()
        kw.setdefault("stdout", self.stdout)
        return self.runtime("create", "--bundle", self.dir, *flags, self.id, **kw)

    def start(self, **kw):
        return self.runtime("start", self.id, **kw)

    def up(self, *argv):
        """Created and started, running argv (default: sleep)."""
        self.args(*(argv or ("sleep", "1000")))
        self.create().ok()
        self.start().ok()
        return self

    def state(self):
        return self.runtime.state(self.id)

    @property
    def status(self):
        return self.state()["status"]

    @property
    def pid(self):
        return self.state()["pid"]

    def kill(self, sig="KILL", *flags):
        return self.runtime("kill", *flags, self.id, sig)

    def exec(self, *argv, flags=(), **kw):
        return self.runtime("exec", *flags, self.id, *argv, **kw)

    def exec_process(self, process, *flags, **kw):
        """exec --process with a process object, given keys over the container's own."""
        path = self.dir / "process.json"
        path.write_text(json.dumps({**self.process, **process}))
        return self.runtime("exec", "--process", path, *flags, self.id, **kw)

    def delete(self, *flags):
        return self.runtime("delete", *flags, self.id)

    def stopped(self, timeout=10):
        """Waits until the container has stopped, reaping its init where that is our child."""

        def gone():
            children_reap()
            return self.status == "stopped"

        assert eventually(gone, timeout), self.state()
        return self

    def printed(self, text, timeout=10):
        """Waits until the started container has printed text."""
        read = lambda: self.stdout.read_text(errors="replace")
        assert eventually(lambda: text in read(), timeout), read()
        return read()

    # ---- the host's view ----

    def cgroup_dir(self, controller):
        return CGROUP / controller / self.cgroup.lstrip("/")

    def cgroup_file(self, controller, name):
        return (self.cgroup_dir(controller) / name).read_text().strip()

    def processes(self):
        return [int(p) for p in self.cgroup_file("pids", "cgroup.procs").split()]


class Workshop:
    """What is built once a session: helper programs and where they lie."""

    def __init__(self, base):
        self.base = pathlib.Path(base)
        self.busybox = self.base / "busybox"
        shutil.copy2("/bin/busybox", self.busybox)
        self.built = {}
        self.probe = self.build("probe.c")

    def build(self, source, *flags):
        """A static program of tests/oci/<source>."""
        key = (source, flags)
        if key not in self.built:
            out = self.base / f"{pathlib.Path(source).stem}.{len(self.built)}"
            argv = ["cc", "-D_GNU_SOURCE", "-O1", "-Wall", "-Werror", "-static", "-o", out, HERE / source, *flags]
            subprocess.run(argv, check=True)
            self.built[key] = out
        return self.built[key]


# ---- leaks ----


def children():
    """Our child processes: pid -> (state letter, name)."""
    found = {}
    for task in os.listdir("/proc/self/task"):
        try:
            pids = open(f"/proc/self/task/{task}/children").read().split()
        except OSError:
            continue
        for pid in pids:
            try:
                name, rest = open(f"/proc/{pid}/stat").read().split("(", 1)[1].rsplit(")", 1)
            except OSError:
                continue
            found[int(pid)] = (rest.split()[0], name)
    return found


def children_reap():
    """Collects orphans that have ended, not the commands that a test waits for; pid -> wait status."""
    ended = {}
    for pid, (state, _) in children().items():
        if state == "Z" and (pid not in OWN or OWN[pid].returncode is not None):
            try:
                ended[pid] = os.waitpid(pid, os.WNOHANG)[1]
            except ChildProcessError:
                pass
    return ended


def cgroups_below(parent):
    """Every cgroup below parent, in every hierarchy."""
    found = []
    for top in CGROUP.iterdir():
        base = top / parent.lstrip("/")
        if base.is_dir() and not top.is_symlink():
            found += [str(pathlib.Path(d)) for d, _, _ in os.walk(base) if pathlib.Path(d) != base]
    return found


def cgroup_parents_remove(parent):
    """Ends what failed tests may have left below parent, and removes the groups."""
    for group in cgroups_below(parent):
        for pid in pathlib.Path(group, "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):  # each stands in every hierarchy
                os.kill(int(pid), signal.SIGKILL)
    eventually(lambda: children_reap() and not children(), 1)
    for top in CGROUP.iterdir():
        base = top / parent.lstrip("/")
        if base.is_dir() and not top.is_symlink():
            for d, _, _ in os.walk(base, topdown=False):
                try:
                    os.rmdir(d)
                except OSError:
                    pass


def mount_table():
    return sorted(line.split(" ", 5)[4] for line in open("/proc/self/mountinfo"))


class Watch:
    """What existed before a test; leaks() says what it left."""

    def __init__(self, runtime, cgroup_parent):
        self.runtime, self.cgroup_parent = runtime, cgroup_parent
        self.children = set(children())
        self.before = set(self.things())

    def things(self):
        yield from (f"cgroup {c}" for c in cgroups_below(self.cgroup_parent))
        yield from (f"mount {m}" for m in mount_table())
        if self.runtime.root.is_dir():
            yield from (f"state {d}" for d in os.listdir(self.runtime.root) if d[0] != ".")

    def now(self):
        children_reap()
        new = {p: v for p, v in children().items() if p not in self.children}
        found = [f"process {p} {v}" for p, v in new.items()]
        return found + sorted(set(self.things()) - self.before)

    def leaks(self, timeout=5):
        """What stays after a moment's grace: an init that was killed takes a while to go."""
        found = []

        def none():
            found[:] = self.now()
            return not found

        eventually(none, timeout)
        return found
