"""Targets for the tests of `berth look`: containers of several engines, bare processes, and the page.

The program is $BERTH (default: build/berth)."""

import ctypes
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
BERTH = os.environ.get("BERTH") or str(REPO / "build" / "berth")
CGROUP = pathlib.Path("/sys/fs/cgroup")
TIMEOUT = 60
libc = ctypes.CDLL(None, use_errno=True)


class Look:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __repr__(self):
        return f"<{self.code}\n{self.out}\n{self.err}>"

    @property
    def json(self):
        return json.loads(self.out)


def run(*args, **kwargs):
    """`berth look ARGS`, raw."""
    return Look(subprocess.run([BERTH, "look", *map(str, args)], capture_output=True, text=True,
                               timeout=TIMEOUT, **kwargs))


def page(what, *args):
    done = run(what, *args)
    assert done.code in (0, 4), done
    return done.out


def facts(what, *args, sample=0):
    done = run("--json", "--sample", sample, what, *args)
    assert done.code in (0, 4), done
    return done.json


def eventually(probe, timeout=10.0, step=0.02):
    end = time.monotonic() + timeout
    while True:
        value = probe()
        if value or time.monotonic() > end:
            return value
        time.sleep(step)


def make_rootfs(path):
    """A root file system of one static busybox."""
    for name in ("bin", "proc", "sys", "dev", "etc", "tmp", "data", "run", "srv"):
        (path / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", path / "bin" / "busybox")
    for name in ("sh", "sleep", "cat", "true", "mount", "dd", "yes", "head"):
        (path / "bin" / name).symlink_to("busybox")
    return path


def sh(*args, check=True, **kwargs):
    done = subprocess.run(list(map(str, args)), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=TIMEOUT, **kwargs)
    if check:
        assert done.returncode == 0, (args, done.stdout, done.stderr)
    return done


class Oci:
    """A container of an OCI runtime, from a bundle made by that runtime's own `spec`."""

    def __init__(self, runtime, tmp, rootfs, cgroup, change=None, container=None):
        self.runtime, self.id = runtime, container or f"look-{os.path.basename(runtime)}-{os.getpid()}-{tmp.name}"
        self.bundle = tmp
        self.cgroup = cgroup
        sh(runtime, "spec", cwd=tmp)
        config = json.loads((tmp / "config.json").read_text())
        config["root"] = {"path": str(rootfs), "readonly": True}
        config["process"]["terminal"] = False
        config["process"]["args"] = ["sleep", "1000"]
        config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 512, "hard": 1024}]
        config["linux"]["cgroupsPath"] = cgroup
        if change:
            change(config)
        (tmp / "config.json").write_text(json.dumps(config))
        self.config = config

    def start(self):
        # Its output must not be a pipe of ours: the container keeps it open.
        log = self.bundle / "log"
        with open(log, "w") as out:
            done = subprocess.run([self.runtime, "run", "-d", self.id], cwd=self.bundle, timeout=TIMEOUT,
                                  stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        assert done.returncode == 0, log.read_text()
        self.pid = json.loads(sh(self.runtime, "state", self.id).stdout)["pid"]
        return self

    def exec(self, *args):
        with open(self.bundle / "exec.log", "w") as out:
            pid_file = self.bundle / "exec.pid"
            done = subprocess.run([self.runtime, "exec", "-d", "--pid-file", pid_file, self.id, *args],
                                  timeout=TIMEOUT, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        assert done.returncode == 0, (self.bundle / "exec.log").read_text()
        return int(pid_file.read_text())

    def remove(self):
        sh(self.runtime, "delete", "--force", self.id, check=False)


class Bare:
    """A process started by us; ended with the fixture."""

    def __init__(self, *args, **kwargs):
        self.process = subprocess.Popen(list(map(str, args)), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        start_new_session=True, **kwargs)

    @property
    def pid(self):
        return self.process.pid

    def child(self, comm="sleep"):
        """The pid of the descendant with that name."""
        def find():
            for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
                try:
                    text = stat.read_text()
                    if f"({comm})" in text and os.getsid(int(text.split()[0])) == self.pid:
                        return int(text.split()[0])
                except (OSError, ValueError):
                    continue
            return None
        found = eventually(find)
        assert found, f"no {comm} below {self.pid}"
        return found

    def stop(self):
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def cgroup_dirs(path):
    """The directory of a cgroup path in each mounted hierarchy."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split(" ")[0] in ("cgroup", "cgroup2"):
            yield pathlib.Path(before.split(" ")[4] + path)


def remove_cgroup(path):
    for top in cgroup_dirs(path):
        if top.is_dir():
            for below in sorted((p for p in top.rglob("*") if p.is_dir()), reverse=True):
                eventually(lambda: rmdir(below))
            eventually(lambda: rmdir(top))


def rmdir(path):
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def temporary():
    return pathlib.Path(tempfile.mkdtemp(prefix="berth-look-"))
