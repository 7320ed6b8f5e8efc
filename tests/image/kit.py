"""Images, registries and berth itself for the tests of images.

images.py makes images, registry.py starts docker-registry, proxy.py has the ones that misbehave; what
they define is here too. The program under test is $BERTH (default: build/berth).
"""

import contextlib
import importlib.util
import itertools
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import time

from images import *  # noqa: F401,F403
from proxy import Fake, Fault, Proxy  # noqa: F401
from registry import Authority, Client, Registry, die_along, free_port  # noqa: F401

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parent.parent
BERTH = os.environ.get("BERTH") or str(REPO / "build" / "berth")
BERTH_OCI = os.environ.get("BERTH_OCI") or str(REPO / "build" / "berth-oci")
TIMEOUT = 120

# What the suites share about processes and mounts is in the runtime's kit.
_spec = importlib.util.spec_from_file_location("ocikit", HERE.parent / "oci" / "kit.py")
ocikit = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(ocikit)
Result, isolate, eventually, children_reap = ocikit.Result, ocikit.isolate, ocikit.eventually, ocikit.children_reap
children, mount_table = ocikit.children, ocikit.mount_table


def sh(*argv, check=True, timeout=TIMEOUT, **kw):
    """A command of another program; its completed process, with text output."""
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout, **kw)
    if check:
        assert done.returncode == 0, (argv, done.returncode, done.stdout, done.stderr)
    return done


class Berth:
    """The program with a store and a run directory of its own, and a home without anybody's files.

        berth("pull", *registry.flags, ref).ok()
        berth.json("images", "--format", "json")
    """

    serial = itertools.count(1)

    def __init__(self, base, binary=BERTH):
        self.base, self.binary = pathlib.Path(base), binary
        self.root, self.runroot, self.home = self.base / "store", self.base / "run", self.base / "home"
        self.home.mkdir(parents=True)
        self.env = {k: v for k, v in os.environ.items()
                    if not k.lower().endswith("_proxy") and k not in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG")}
        (self.home / "registries.conf").write_text("")
        self.env.update(HOME=str(self.home), XDG_RUNTIME_DIR=str(self.home / "runtime"),
                        XDG_CONFIG_HOME=str(self.home / ".config"), XDG_DATA_HOME=str(self.home / ".local"),
                        CONTAINERS_REGISTRIES_CONF=str(self.home / "registries.conf"))
        (self.home / "runtime").mkdir()

    def argv(self, *args):
        return [self.binary, "--root", str(self.root), "--runroot", str(self.runroot), *map(str, args)]

    def popen(self, *args, env=None, prefix=(), **kw):
        """Started, behind the words of prefix; the test waits for it. Output goes nowhere where it isn't asked for."""
        kw.setdefault("stdin", subprocess.DEVNULL)
        kw.setdefault("stdout", subprocess.DEVNULL)
        kw.setdefault("stderr", subprocess.DEVNULL)
        process = subprocess.Popen([*prefix, *self.argv(*args)], env={**self.env, **(env or {})}, **kw)
        ocikit.OWN[process.pid] = process
        return process

    def __call__(self, *args, input=None, env=None, timeout=TIMEOUT, binary=False, **kw):
        """Runs one command to its end."""
        n = next(self.serial)
        out, err = self.base / f"out.{n}", self.base / f"err.{n}"
        stdin = self.base / f"in.{n}"
        stdin.write_bytes(input.encode() if isinstance(input, str) else input or b"")
        with open(stdin, "rb") as i, open(out, "wb") as o, open(err, "wb") as e:
            process = self.popen(*args, env=env, stdin=i, stdout=o, stderr=e, **kw)
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError(f"{process.args} hung; stderr: {err.read_text(errors='replace')}") from None
        printed = out.read_bytes() if binary else out.read_text(errors="replace")
        result = Result(process.args, code, printed, err.read_text(errors="replace"))
        for path in (stdin, out, err):
            path.unlink()
        return result

    def json(self, *args, **kw):
        return json.loads(self(*args, **kw).ok().out)

    def run(self, *args, **kw):
        return self("run", *args, **kw)

    def pull(self, registry, name, *flags, **kw):
        """Pulls NAME:TAG from a registry, proxy or fake."""
        return self("pull", *registry.flags, *flags, f"{registry.address}/{name}", **kw)

    def check(self, *flags):
        """`system check`, which must find nothing wrong."""
        return self("system", "check", *flags).ok()

    # ---- the store as it lies on disk ----

    def staged(self):
        return self.listed("stage")

    def listed(self, *parts):
        """The names in a directory of the store."""
        try:
            return sorted(os.listdir(self.root.joinpath(*parts)))
        except FileNotFoundError:
            return []

    def layers(self):
        return self.listed("layers")

    def blobs(self):
        return self.listed("blobs", "sha256")

    def shared(self):
        """Where layers are mounted for all containers; they stay until the layer goes."""
        return [m for m in mount_table() if m.startswith(f"{self.runroot}/layers/")]

    def destroy(self):
        for path in reversed(self.shared()):
            sh("umount", path, check=False)
        shutil.rmtree(self.base, ignore_errors=True)


# ---- trees ----


def tree(path, xattrs=True, mtimes=True):
    """A directory as {path: attributes}, for comparing two of them entry by entry. Hard links appear as
    the first of their names."""
    top, found, inodes = os.fspath(path), {}, {}
    for here, dirs, files in os.walk(top):
        dirs.sort()
        for name in [*sorted(files), *(d for d in dirs), *([""] if here == top else [])]:
            full = os.path.join(here, name)
            st = os.lstat(full)
            entry = {"mode": stat.filemode(st.st_mode), "owner": (st.st_uid, st.st_gid)}
            if mtimes:
                entry["mtime"] = st.st_mtime_ns
            if stat.S_ISREG(st.st_mode):
                entry["content"] = digest(pathlib.Path(full).read_bytes())  # noqa: F405
            if stat.S_ISLNK(st.st_mode):
                entry["link"] = os.readlink(full)
            if stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
                entry["device"] = (os.major(st.st_rdev), os.minor(st.st_rdev))
            if not stat.S_ISDIR(st.st_mode) and st.st_nlink > 1:
                entry["same"] = inodes.setdefault((st.st_dev, st.st_ino), os.path.relpath(full, top))
            if xattrs:
                entry["xattrs"] = {x: os.getxattr(full, x, follow_symlinks=False)
                                   for x in sorted(os.listxattr(full, follow_symlinks=False))}
            found[os.path.relpath(full, top)] = entry
    return found


def tree_differs(a, b):
    """Lines that say where two trees differ; none where they don't."""
    lines = []
    for path in sorted(a.keys() | b.keys()):
        if path not in a or path not in b:
            lines.append(f"{path}: only in {'the first' if path in a else 'the second'}")
        elif a[path] != b[path]:
            keys = [k for k in a[path].keys() | b[path].keys() if a[path].get(k) != b[path].get(k)]
            lines += [f"{path}: {k}: {a[path].get(k)} / {b[path].get(k)}" for k in sorted(keys)]
    return lines


# ---- disks ----


class Disk:
    """An ext4 (with a journal, unlike some machines' root) on a loop device, mounted in this run's own
    mount namespace at .path."""

    def __init__(self, base, megabytes, *options):
        self.base = pathlib.Path(base)
        self.base.mkdir(parents=True)
        self.image, self.path = self.base / "disk", self.base / "mnt"
        self.path.mkdir()
        with open(self.image, "wb") as f:
            f.truncate(megabytes << 20)
        sh("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", *options, self.image)
        self.mount()

    def mount(self, *options):
        sh("mount", "-o", ",".join(("loop", *options)), self.image, self.path)
        return self

    def umount(self):
        if os.path.ismount(self.path):
            assert eventually(lambda: sh("umount", self.path, check=False).returncode == 0, 10), self.path

    def snapshot(self, base):
        """What a power cut would leave: a copy of the device as it is now, not of the page cache above
        it. Mounted, the journal is replayed."""
        copy = object.__new__(Disk)
        copy.base = pathlib.Path(base)
        copy.base.mkdir(parents=True)
        copy.image, copy.path = copy.base / "disk", copy.base / "mnt"
        copy.path.mkdir()
        sh("cp", "--sparse=always", self.image, copy.image)
        return copy

    def free(self):
        s = os.statvfs(self.path)
        return s.f_bavail * s.f_frsize

    def destroy(self):
        self.umount()
        shutil.rmtree(self.base, ignore_errors=True)


def loops(base):
    """Loop devices over files below base."""
    found = []
    for path in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if path.read_text().startswith(str(base)):
                found.append(f"/dev/{path.parts[3]}")
    return found


# ---- leaks ----


class Watch:
    """What existed before a test; leaks() says what it left."""

    def __init__(self, base):
        self.base = base
        self.stores = []  # Berth objects made for this test
        self.may_stage = False
        self.ignore = []  # directories whose mounts are nobody's leak
        self.children = set(children())
        self.before = set(self.things())

    def things(self):
        shared = {m for b in self.stores for m in b.shared()}
        yield from (f"mount {m}" for m in mount_table()
                    if m not in shared and not any(m.startswith(f"{i}/") for i in self.ignore))
        yield from (f"loop device {d}" for d in loops(self.base))

    def of_stores(self):
        for b in self.stores:
            for part in ("trash", "containers") if self.may_stage else ("stage", "trash", "containers"):
                yield from (f"{part}/{name}" for name in b.listed(part))
            if (b.runroot / "oci").is_dir():
                yield from (f"container {name}" for name in os.listdir(b.runroot / "oci") if name[0] != ".")

    def now(self):
        children_reap()
        new = {p: v for p, v in children().items() if p not in self.children}
        found = [f"process {p} {v}" for p, v in new.items()]
        return found + sorted(set(self.things()) - self.before) + sorted(self.of_stores())

    def leaks(self, timeout=10):
        """What stays after a moment's grace: deletion goes on in the background."""
        found = []

        def none():
            found[:] = self.now()
            return not found

        eventually(none, timeout)
        return found

    def end(self, pids):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def kill_and_wait(process, sig=signal.SIGKILL):
    """Ends a command that a test started, with what it started: berth's helpers end when it does."""
    process.send_signal(sig)
    process.wait()
    eventually(lambda: children_reap() or True, 0.1)


class AtRandom:
    """Kills commands at moments of their lives. How long they live is learnt while killing, for machines and
    their loads differ tenfold: one that ended was given too long a while, one that was killed may live longer."""

    def __init__(self, rng, longest=0.1):
        self.rng, self.longest = rng, longest

    def kill(self, process):
        """False where it had ended by the moment that was chosen."""
        start = time.monotonic()
        end = start + self.rng.uniform(0, self.longest)
        while time.monotonic() < end:
            if process.poll() is not None:
                self.longest = min(self.longest, time.monotonic() - start)
                return False
            time.sleep(0.001)
        kill_and_wait(process)
        self.longest *= 1.1
        return True
