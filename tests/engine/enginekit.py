"""What the engine's tests are made of: berth with an image loaded, podman beside it, and what must not be left."""

import contextlib
import itertools
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import subprocess
import time

import kit
from kit import eventually
from podman import Podman

IMAGE = "localhost/bb:1"
CGROUP = pathlib.Path("/sys/fs/cgroup")
serial = itertools.count(1)


class Engine(kit.Berth):
    """berth with IMAGE in its store; the tests' shorthands.

        web = engine.up("sleep", "100")     # run -d: the id
        engine.sh("echo hi").out            # run --rm IMAGE sh -c ...
    """

    def __init__(self, base, layout, root=None):
        super().__init__(base)
        if root:
            self.root = pathlib.Path(root)
        self("load", "-q", "-i", layout).ok()

    def up(self, *command, flags=()):
        return self.run("-d", *flags, IMAGE, *command).ok().out.strip()

    def sh(self, script, *flags, **kw):
        return self.run("--rm", *flags, IMAGE, "sh", "-c", script, **kw)

    def state(self, name):
        """(State, ExitCode) as ps has it, or None."""
        for row in self.json("ps", "-a", "--format", "json"):
            if name in row["Names"] or row["Id"].startswith(name):
                return row["State"], row["ExitCode"]
        return None

    def becomes(self, name, state, timeout=30):
        assert eventually(lambda: (self.state(name) or ("",))[0] == state, timeout), self.state(name)

    def ids(self):
        return self("ps", "-aq", "--no-trunc").ok().out.split()

    def dir(self, id):
        return self.root / "containers" / id

    def run_dir(self, id):
        return self.runroot / "containers" / id

    def monitor_state(self, id):
        return json.loads((self.run_dir(id) / "state.json").read_text())

    def exits(self, id):
        """The exit records, oldest first."""
        files = sorted((self.dir(id) / "exits").glob("*.json"), key=lambda p: int(p.stem))
        return [json.loads(p.read_text()) for p in files]

    def events(self):
        path = self.root / "events" / "journal"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def actions(self, id):
        return [e["action"] for e in self.events() if e["id"] == id]

    def log(self, id):
        return (self.dir(id) / "ctr.log").read_text()

    # ---- leaks ----

    def leftovers(self):
        with contextlib.suppress(OSError):
            yield from (f"run directory {n}" for n in os.listdir(self.runroot / "containers"))
        yield from (f"directory {n}" for n in self.listed("containers"))
        yield from (f"record {n}" for n in self.listed("records"))
        with contextlib.suppress(OSError):
            yield from (f"runtime's state {n}" for n in os.listdir(self.runroot / "oci") if n[0] != ".")
        for id in {e["id"] for e in self.events() if e["type"] == "container"}:
            yield from (f"cgroup {c}" for c in cgroups_of(id))

    def destroy(self):
        if not self.base.exists():
            return
        with contextlib.suppress(AssertionError):
            self("rm", "-fa", timeout=60)
        for path in self.shared():
            kit.sh("umount", "-l", path, check=False)
        for id in {e["id"] for e in self.events() if e["type"] == "container"}:
            for group in sorted(cgroups_of(id), reverse=True):
                end_group(group)
        shutil.rmtree(self.base, ignore_errors=True)
        if self.root.exists():
            shutil.rmtree(self.root, ignore_errors=True)


def cgroups_of(id):
    tops = [CGROUP, *(p for p in CGROUP.iterdir() if p.is_dir() and not p.is_symlink())]
    found = [t / f"berth-{id}" for t in tops] + [CGROUP / "system.slice" / f"berth-{id}.scope" / "container"]
    return [str(path) for path in found if path.is_dir()]


def end_group(path):
    """What a failed test left in a container's group, where `rm -f` found nothing to remove any more."""
    for line in (pathlib.Path(path) / "cgroup.procs").read_text().split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(line), signal.SIGKILL)

    def removed():
        with contextlib.suppress(OSError):
            os.rmdir(path)
        return not os.path.exists(path)

    eventually(removed, 2)


class Watch:
    """What there was before a test; leaks() says what it left."""

    def __init__(self, base):
        self.engines, self.own = [], []
        self.base = base
        self.children = set(kit.children())
        self.mounts = set(kit.mount_table())

    def now(self):
        kit.children_reap()
        new = {p: v for p, v in kit.children().items() if p not in self.children}
        shared = {m for e in self.engines for m in e.shared()}
        mounts = {m for m in kit.mount_table() if m.startswith(str(self.base))} - self.mounts - shared
        mounts = {m for m in mounts if not m.startswith(f"{self.base}/podman/")}  # the peer's own
        return [f"process {p} {v}" for p, v in new.items()] + [f"mount {m}" for m in sorted(mounts)] + sorted(
            f"{e.base.name}: {left}" for e in self.engines for left in e.leftovers())

    def leaks(self, timeout=20):
        """What stays after a moment's grace: a monitor goes on for a moment after its container."""
        found = []

        def none():
            found[:] = self.now()
            return not found

        eventually(none, timeout)
        return found

    def end_all(self):
        for e in self.engines:
            if e.base.exists():
                with contextlib.suppress(AssertionError):
                    e("rm", "-fa", timeout=60)
        for pid in set(kit.children()) - self.children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: kit.children_reap() or not set(kit.children()) - self.children, 2)
        for e in self.own:
            e.destroy()


class Peer(Podman):
    """podman with IMAGE, for running the same."""

    def __init__(self, base, layout):
        super().__init__(base)
        done = self("pull", "-q", f"oci:{layout}:{IMAGE}")
        assert done.returncode == 0, done.stderr
        self.image = done.stdout.strip()
        self("tag", self.image, IMAGE)

    def argv(self, verb, *args):
        flags = ["--root", f"{self.base}/g", "--runroot", f"{self.base}/r"]
        if verb in ("run", "create"):
            args = ("--cgroup-parent", self.group, *args)
        return ["podman", *flags, verb, *map(str, args)]


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, argv, env, rows=24, cols=80):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(argv[0], argv, env)
        self.text = b""
        self.code = None
        self.resize(rows, cols)

    def resize(self, rows, cols):
        import fcntl
        import struct
        import termios
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def type(self, text):
        os.write(self.fd, text.encode() if isinstance(text, str) else text)

    def pump(self, timeout):
        if not select.select([self.fd], [], [], timeout)[0]:
            return False
        try:
            more = os.read(self.fd, 65536)
        except OSError:
            more = b""
        self.text += more
        return bool(more)

    def expect(self, text, timeout=15):
        """Reads until the text has come, and forgets all up to its end."""
        end, wanted = time.monotonic() + timeout, text.encode()
        while wanted not in self.text:
            assert time.monotonic() < end, (text, self.text)
            if not self.pump(0.1):
                assert self.alive() or self.pump(0) or wanted in self.text, (text, self.text)
        self.text = self.text.partition(wanted)[2]

    def alive(self):
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is None

    def wait(self, timeout=15):
        end = time.monotonic() + timeout
        while self.alive():
            assert time.monotonic() < end, self.text
            self.pump(0.05)
        while self.pump(0):
            pass
        os.close(self.fd)
        return self.code


def processes_of(id):
    """Pids in the container's cgroups, which may go while we look."""
    found = set()
    for group in cgroups_of(id):
        with contextlib.suppress(OSError):
            found |= {int(p) for p in pathlib.Path(group, "cgroup.procs").read_text().split()}
    return sorted(found)


def kill(pid, sig=signal.SIGKILL):
    os.kill(pid, sig)

    def gone():
        kit.children_reap()
        return not pathlib.Path(f"/proc/{pid}").exists()

    assert eventually(gone, 5), pid


__all__ = ["CGROUP", "Engine", "IMAGE", "Peer", "Terminal", "Watch", "cgroups_of", "eventually", "kill", "kit",
           "processes_of", "serial", "subprocess"]
