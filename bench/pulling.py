"""What bench/pull measures with: a disk for each turn, the candidates, and a clock for process trees."""

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time

ACCEPT = ", ".join(f"application/vnd.{k}+json" for k in (
    "oci.image.manifest.v1", "docker.distribution.manifest.v2"))
TICK = os.sysconf("SC_CLK_TCK")


def run(*argv, **kw):
    return subprocess.run([str(a) for a in argv], check=True, capture_output=True, text=True, **kw)


class Disk:
    """A new ext4 with a journal on a loop device, straight to its file: every turn begins alike. Some machines'
    own file systems have no journal, and then deleted inodes slow down new ones."""

    def __init__(self, base, megabytes):
        self.file, self.path = base / "disk", base / "mnt"
        with open(self.file, "wb") as f:
            os.posix_fallocate(f.fileno(), 0, megabytes << 20)
        self.path.mkdir(exist_ok=True)

    @contextlib.contextmanager
    def fresh(self):
        run("mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", self.file)
        device = run("losetup", "-f", "--show", "--direct-io=on", self.file).stdout.strip()
        try:
            run("mount", "-o", "noinit_itable", device, self.path)
            try:
                yield self.path
            finally:
                for _ in range(50):
                    if subprocess.run(["umount", "-R", self.path], capture_output=True).returncode == 0:
                        break
                    time.sleep(0.1)
                else:
                    run("umount", "-l", self.path)
        finally:
            run("losetup", "-d", device)


class Source:
    """An image on a registry that speaks plain HTTP: HOST:PORT/REPOSITORY:TAG."""

    def __init__(self, ref):
        self.ref = ref
        self.address, _, rest = ref.partition("/")
        self.repository, _, self.tag = rest.partition(":")
        self.manifest = json.loads(self.request("GET"))
        self.layers = "".join(f"{l['digest']} {l['size']}\n" for l in self.manifest["layers"])

    def request(self, method):
        c = http.client.HTTPConnection(self.address)
        c.request(method, f"/v2/{self.repository}/manifests/{self.tag}", headers={"Accept": ACCEPT})
        body = c.getresponse().read()
        c.close()
        return body

    def size(self):
        return sum(l["size"] for l in self.manifest["layers"])


# ---- measuring ----


def stat_of(pid):
    """(parent, ticks of CPU with those of children it waited for, RSS in KiB)"""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1]), sum(map(int, fields[11:15])), int(fields[21]) * os.sysconf("SC_PAGESIZE") // 1024


def tree_rss(roots):
    """The resident memory of these processes and all below them, in KiB; shared pages count in each."""
    parents, rss = {}, {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                parents[int(name)], _, rss[int(name)] = stat_of(name)

    def inside(pid):
        while pid:
            if pid in roots:
                return True
            pid = parents.get(pid, 0)
        return False

    return sum(kib for pid, kib in rss.items() if inside(pid))


class Sampler(threading.Thread):
    """Looks at the memory of a process tree every few milliseconds. Costs time: never in a timed turn."""

    def __init__(self, roots):
        super().__init__(daemon=True)
        self.roots, self.peak, self.stopping = set(roots), 0, threading.Event()
        self.start()

    def run(self):
        while not self.stopping.wait(0.005):
            self.peak = max(self.peak, tree_rss(self.roots))

    def stop(self):
        self.stopping.set()
        self.join()
        return self.peak


CLOCK = None  # the program that clock.c is


def timed(argv, env=None, stdin=None, daemon=None, sample=False):
    """Runs a command: {wall, cpu (s), rss (KiB, the largest process), sum (KiB, with sample)}. A daemon's CPU
    and memory are its too."""
    before = stat_of(daemon)[1] if daemon else 0
    with tempfile.NamedTemporaryFile() as out:
        p = subprocess.Popen([str(a) for a in (CLOCK, out.name, *argv)], env={**os.environ, **(env or {})},
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             stdin=subprocess.PIPE if stdin else subprocess.DEVNULL, start_new_session=True)
        sampler = Sampler([p.pid, *([daemon] if daemon else [])]) if sample else None
        try:
            said, _ = p.communicate(stdin.encode() if stdin else None)
        except BaseException:
            os.killpg(p.pid, signal.SIGKILL)  # it would keep the disk busy
            p.wait()
            raise
        if p.returncode:
            raise SystemExit(f"{' '.join(map(str, argv))}: {p.returncode}: {said.decode()}")
        found = json.loads(pathlib.Path(out.name).read_text())
    if daemon:
        found["cpu"] += (stat_of(daemon)[1] - before) / TICK
        found["rss"] = max(found["rss"], high_water(daemon))
    if sampler:
        found["sum"] = sampler.stop()
    return found


def high_water(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    return 0


# ---- candidates ----


class Candidate:
    """Pulls into a directory. start() and stop() are not measured."""

    daemon = None
    warm = True  # knows what a second pull is
    env = None

    def __init__(self, name):
        self.name = name

    def start(self, base):
        self.base = base

    def stop(self):
        pass

    def pull(self, source, sample=False):
        return timed(self.argv(source), self.env, daemon=self.daemon, sample=sample)

    def remove(self, source):
        return timed(self.remove_argv(source), self.env, daemon=self.daemon)


class Floor(Candidate):
    warm = False

    def __init__(self, name, program, *flags):
        super().__init__(name)
        self.program, self.flags = program, flags

    def pull(self, source, sample=False):
        host, _, port = source.address.partition(":")
        argv = [self.program, *self.flags, host, port, source.repository, self.base / "floor"]
        return timed(argv, stdin=source.layers, sample=sample)


class Berth(Candidate):
    def __init__(self, name, program, backend=None):
        super().__init__(name)
        self.program = program
        self.env = {"BERTH_LAYERS": backend} if backend else None

    def own(self, *args):
        return [self.program, "--root", self.base / "berth", "--runroot", self.base / "run", *args]

    def argv(self, source):
        return self.own("pull", "-q", "--tls-verify=false", source.ref)

    def remove_argv(self, source):
        return self.own("rmi", source.ref)

    def stop(self):
        # deletion goes on after rmi has returned
        subprocess.run(self.own("system", "prune", "-af"), env={**os.environ, **(self.env or {})},
                       capture_output=True)


class Podman(Candidate):
    def own(self, *args):
        return ["podman", "--root", self.base / "podman", "--runroot", self.base / "podman-run", "--storage-driver",
                "overlay", "--log-level", "error", *args]

    def argv(self, source):
        return self.own("pull", "-q", "--tls-verify=false", source.ref)

    def remove_argv(self, source):
        return self.own("rmi", source.ref)

    def stop(self):
        for path in ("podman/overlay", "podman"):
            subprocess.run(["umount", "-l", self.base / path], capture_output=True)


class Containerd(Candidate):
    """With a daemon of its own, whose CPU and memory count."""

    def start(self, base):
        super().start(base)
        self.socket = base / "containerd.sock"
        config = base / "containerd.toml"
        off = "".join(f'"io.containerd.{p}",' for p in (
            "grpc.v1.cri", "snapshotter.v1.btrfs", "snapshotter.v1.devmapper", "snapshotter.v1.zfs", "snapshotter.v1.aufs"))
        config.write_text(f'version = 2\nroot = "{base}/containerd"\nstate = "{base}/containerd-run"\n'
                          f'disabled_plugins = [{off}]\n[grpc]\n  address = "{self.socket}"\n')
        self.process = subprocess.Popen(["containerd", "-c", config, "-l", "error"], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        self.daemon = self.process.pid
        for _ in range(200):
            if self.socket.exists() and subprocess.run(self.own("version"), capture_output=True).returncode == 0:
                return
            time.sleep(0.05)
        raise SystemExit("containerd does not start")

    def own(self, *args):
        return ["ctr", "-a", self.socket, *args]

    def argv(self, source):
        return self.own("images", "pull", "--plain-http", "--snapshotter", "overlayfs", source.ref)

    def remove_argv(self, source):
        return self.own("images", "rm", "--sync", source.ref)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def candidates(floor, berth):
    """Those that are here, and the names of the others."""
    found = [Floor("floor", floor), Floor("floor, synced", floor, "-s"),
             Floor("floor, tars, synced", floor, "-k", "-s"),
             Berth("berth", berth, "erofs"), Berth("berth, directories", berth, "directory")]
    missing = []
    for name, kind, programs in (("podman", Podman, ["podman"]), ("containerd", Containerd, ["containerd", "ctr"])):
        if all(map(shutil.which, programs)):
            found.append(kind(name))
        else:
            missing.append(name)
    return found, missing
