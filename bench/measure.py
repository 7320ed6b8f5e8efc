"""The figures. Each function returns plain data; those that compare run all candidates in turns."""

import json
import os
import pathlib
import subprocess
import tempfile

from bundle import Bundle, seccomp

STEP = 64 * 1024  # of the memory limits tried
# a container's life as an engine sees it, each verb a process of its own
LIFE = '"$0" --root "$1" create -b "$2" "$3" && "$0" --root "$1" start "$3" && "$0" --root "$1" kill "$3" KILL;' \
       ' "$0" --root "$1" delete --force "$3"'
TRIES = 5  # a limit counts when so many runs in a row succeed


class Runtime:
    """An OCI runtime with a state directory of its own."""

    def __init__(self, name, path, base):
        self.name, self.path = name, str(path)
        self.root = base / f"state-{name}"

    def argv(self, *args):
        return [self.path, "--root", str(self.root), *map(str, args)]

    def call(self, *args, **kw):
        kw = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **kw}
        return subprocess.run(self.argv(*args), **kw)

    def version(self):
        first = subprocess.run([self.path, "--version"], capture_output=True, text=True).stdout.split("\n")[0]
        return first.split()[-1] if first else "?"


class Bench:
    """One session: the compiled tools, the bundles, the candidates."""

    def __init__(self, base, tools, runtimes, rootfs, log):
        self.base, self.tools, self.runtimes, self.rootfs, self.log = base, tools, runtimes, rootfs, log
        self.true = Bundle(base / "true", rootfs, ["true"])
        self.sleep = Bundle(base / "sleep", rootfs, ["sleep", "1000000"])

    def interleave(self, candidates, baseline, turns, copies=1, warmups=2):
        """candidates: {name: argv}. Returns the runner's JSON; its table goes to the log."""
        with tempfile.NamedTemporaryFile(dir=self.base) as out:
            argv = [self.tools / "interleave", "-n", turns, "-p", copies, "-w", warmups, "-b", baseline, "-j", out.name]
            for name, command in candidates.items():
                argv += ["--", name, *command]
            done = subprocess.run(list(map(str, argv)), capture_output=True, text=True)
            if done.returncode not in (0, 1):
                raise SystemExit(done.stderr)
            self.log(done.stdout)
            return json.loads(pathlib.Path(out.name).read_text())

    def floor(self, mode):
        return [self.tools / "floor", "-c", mode, self.rootfs, "/bin/true"]

    def run_true(self, turns, copies=1, modes=(0, 1, 3), warmups=2):
        candidates = {f"floor -c {m}": self.floor(m) for m in modes}
        for r in self.runtimes:
            candidates[r.name] = r.argv("run", "-b", self.true.path, f"bench-{os.getpid()}-{copies}-{{}}")
        return self.interleave(candidates, "floor -c 3", turns, copies, warmups)

    def run_filtered(self, turns):
        """`true` under podman's default seccomp profile; None where there is no profile to be had."""
        profile = seccomp()
        if profile is None:
            return None
        bundle = Bundle(self.base / "seccomp", self.rootfs, ["true"], seccomp=profile)
        candidates = {"floor -c 3": self.floor(3)}
        for r in self.runtimes:
            candidates[r.name] = r.argv("run", "-b", bundle.path, f"bench-{os.getpid()}-f-{{}}")
        return self.interleave(candidates, "floor -c 3", turns)

    def lifecycle(self, turns):
        """create, start, kill and delete of a sleeping container."""
        candidates = {r.name: ["/bin/sh", "-c", LIFE, r.path, r.root, self.sleep.path, f"bench-{os.getpid()}-l-{{}}"]
                      for r in self.runtimes}
        return self.interleave(candidates, self.runtimes[0].name, turns)

    def in_running(self, verbs, turns):
        """{verb: result}: verbs on a container that each runtime keeps running meanwhile."""
        started = []
        try:
            for r in self.runtimes:
                name = f"bench-{os.getpid()}-{r.name}"
                r.call("create", "-b", self.sleep.path, name, check=True)
                started.append((r, name))
                r.call("start", name, check=True)
            return {verb: self.interleave({r.name: [w.replace("ID", name) for w in r.argv(*words)]
                                           for r, name in started}, started[0][0].name, turns)
                    for verb, words in verbs.items()}
        finally:
            for r, name in started:
                r.call("delete", "--force", name)

    def starts_with(self, runtime, limit):
        """Whether `true` runs to its end, TRIES times in a row, under a memory limit."""
        bundle = Bundle(tempfile.mkdtemp(dir=self.base) + "/b", self.rootfs, ["true"], limit)
        for i in range(TRIES):
            name = f"bench-{os.getpid()}-limit-{limit}-{i}"
            done = runtime.call("run", "-b", bundle.path, name)
            if done.returncode:
                runtime.call("delete", "--force", name)
                return False
        return True

    def smallest_limit(self, runtime, top=16 << 20):
        """The smallest memory limit, in steps of STEP, that starts `true`; None above top."""
        low, high = 0, top // STEP
        if not self.starts_with(runtime, top):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            if self.starts_with(runtime, middle * STEP):
                high = middle
            else:
                low = middle
        return high * STEP


def stripped(binary, into):
    """A stripped copy of a binary: what would be installed."""
    out = into / pathlib.Path(binary).name
    subprocess.run(["strip", "-o", out, binary], check=True)
    return out


def is_static(binary):
    return b"INTERP" not in subprocess.run(["readelf", "-lW", binary], capture_output=True).stdout
