"""podman's way of each thing beside ours: the same commands, then what they print, return and leave.

A step is a command line for both. Compared are its exit status, what it prints, and with a probe what there is
then. `rough` steps print too differently to be compared; of failures the exit status counts where scripts
look at it (EXACT), elsewhere only that it failed. Each difference that stays is a row of a table *_KNOWN with its
reason: a row that doesn't differ any more fails as a new difference does, unless its reason begins with "where".
"""

import contextlib
import re
import subprocess
import tempfile
import time

import kit
import pytest
from enginekit import IMAGE

SLEEP = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"
# Whose exit status says what happened, not only that something failed.
EXACT = {"run", "exec", "start", "rm", "volume", "healthcheck", "container"}
# What the engines themselves end with where they can't do a thing.
ENGINE = {"berth": (1, 2, 3, 125), "podman": (1, 125, 255)}


class Side:
    def __init__(self, name, argv, env):
        self.name, self.argv, self.env = name, argv, env

    def __call__(self, *args):
        """Orphans are collected meanwhile: podman takes a monitor that is a zombie for a living one."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            process = subprocess.Popen(self.argv(*args), env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
            kit.ocikit.OWN[process.pid] = process
            end = time.monotonic() + 120
            while process.returncode is None:
                assert time.monotonic() < end, f"{process.args} hangs"
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.02)
                kit.children_reap()
            (out.seek(0), err.seek(0))
            return process.returncode, out.read(), err.read()


@pytest.fixture
def pair(engine, podman):
    """(ours, podman's); their containers and volumes are removed in the end."""
    sides = Side("berth", engine.argv, engine.env), Side("podman", podman.argv, podman.env)
    yield sides
    for side in sides:
        code, _, err = side("rm", "-f", "-a", "-t", "0")
        assert code == 0, (side.name, err)
        side("volume", "rm", "-a")


IDS = re.compile(r"\b(?:sha256:)?(?:[0-9a-f]{64}|[0-9a-f]{12})\b")


def plain(text):
    return IDS.sub("ID", text).strip()


def compare(pair, steps):
    """Runs the steps on both sides; all differences at once."""
    differ = {}
    for step in steps:
        args, how = step if isinstance(step[0], tuple) else (step, "")
        seen = []
        for side in pair:
            code, out, _ = side(*args)
            seen.append((code, "" if how == "rough" or code != 0 else
                         sorted(plain(out).splitlines()) if how == "sorted" else plain(out)))
        codes = [code for code, _ in seen]
        failed = all(code in ENGINE[side.name] for code, side in zip(codes, pair)) or (
            args[0] not in EXACT and all(codes))
        if seen[0] != seen[1] and not failed:
            differ[" ".join(args)] = seen
    return differ


def check(differ, known):
    """What differs is known, and what is known differs."""
    new = [f"{what}\n  berth:  {ours!r}\n  podman: {theirs!r}"
           for what, (ours, theirs) in differ.items() if what not in known]
    assert not new, "\n".join(new)
    stale = [what for what in known.keys() - differ.keys() if not known[what].startswith("where ")]
    assert not stale, f"no longer different: {stale}"


def inside(side, name, script, *flags):
    code, out, err = side("exec", *flags, name, "sh", "-c", script)
    assert code == 0, (side.name, script, out, err)
    return out


# ---- what a container sees ----

PROBES = {
    "user": "id -u; id -g; id -G",
    "cwd": "pwd",
    "host name": "hostname; cat /etc/hostname",
    "hosts": "grep -c '127.0.0.1.*localhost' /etc/hosts; grep one /etc/hosts",
    "resolv.conf": "grep -E '^(nameserver|search|options)' /etc/resolv.conf",
    "env": "tr '\\0' '\\n' < /proc/1/environ | sort",
    "capabilities": "grep Cap /proc/1/status",
    "no_new_privs": "grep NoNewPrivs /proc/1/status",
    "seccomp": "grep Seccomp: /proc/1/status",
    "umask": "grep Umask /proc/1/status",
    "oom": "cat /proc/1/oom_score_adj",
    "limit of files": "grep 'open files' /proc/1/limits",
    "core": "grep 'core file' /proc/1/limits",
    "devices": "ls /dev | sort | grep -v -e core -e ptmx",
    "shm": "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2",
    "tmpfs": "grep ' /t ' /proc/mounts | tr ',' '\\n' | grep size",
    "volume": "cat /v/file; ls -ln /v/file | cut -d' ' -f1",
    "read-only volume": "touch /ro/x 2>&1 | grep -c 'Read-only'",
    "masked": "cat /proc/kcore /proc/timer_list 2>/dev/null | wc -c; ls /proc/scsi /sys/firmware 2>/dev/null | wc -l",
    "read-only paths": "(echo > /proc/sysrq-trigger) 2>&1 | grep -c 'Read-only'; "
                       "(echo 1 > /proc/sys/kernel/panic) 2>&1 | grep -c 'Read-only'",
    "first process": "tr '\\0' ' ' < /proc/1/cmdline | cut -c1-8; grep -E '^(PPid|NSpid)' /proc/1/status",
    "interfaces": "ls /sys/class/net; cat /sys/class/net/lo/operstate",
    "root": "stat -c '%a %u %g' / /tmp /etc /dev /proc",
    "mount points": "cut -d' ' -f2 /proc/mounts | grep -v -e ^/proc/ -e ^/sys -e ^/etc/ | sort -u",
    "memory": "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null",
    "pids": "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null",
    "cpu": "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null",
    "cgroup": "cut -d: -f3 /proc/self/cgroup | sort -u",
}
FLAGS = ["--hostname", "one", "-e", "A=1", "-e", "B=two words", "-w", "/tmp", "--memory", "64m", "--pids-limit", "50",
         "--cpus", "0.5", "--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "nproc=1000:1000", "--tmpfs", "/t:size=1m", "--shm-size",
         "2m", "--add-host", "two:192.0.2.2", "--umask", "0027",
         "--oom-score-adj", "100", "--network", "none"]


def test_inside(pair, tmp_path):
    """One container with many flags each; what differs must be known, and what is known must differ."""
    (tmp_path / "file").write_text("shared\n")
    flags = [*FLAGS, "-v", f"{tmp_path}:/v", "-v", f"{tmp_path}:/ro:ro"]
    for side in pair:
        code, out, err = side("run", "-d", "--name", "box", *flags, IMAGE, "sh", "-c", SLEEP)
        assert code == 0, (side.name, err)
    marks = "; ".join(f"echo '== {name}'; {{ {script}; }} 2>&1" for name, script in PROBES.items())
    seen = []
    for side in pair:
        out = inside(side, "box", marks)
        seen.append({part.partition("\n")[0]: part.partition("\n")[2] for part in out.split("== ")[1:]})
        assert set(seen[-1]) == set(PROBES)
    differ = {name: (seen[0][name], seen[1][name]) for name in PROBES
              if plain(seen[0][name]) != plain(seen[1][name])}
    check(differ, INSIDE_KNOWN)


INSIDE_KNOWN = {
    "user": "root's groups are those of the image's /etc/group, as with docker; podman looks there for --user alone",
    "hosts": "podman adds the container's name to its host name",
    "resolv.conf": "podman makes none without a network; docker does",
    "env": "container=berth; podman sets TERM without a terminal too",
    "capabilities": "the default set: docs/compat.md",
    "no_new_privs": "on by default: docs/compat.md",
    "root": "podman's root directory is 0555 where no layer has one; docker's is 0755",
    "mount points": "/run/.containerenv is podman's",
    "cgroup": "where there are v1 controllers, podman's containers share the host's cgroup namespace",
}


def test_exec(pair):
    for side in pair:
        code, _, err = side("run", "-d", "--name", "box", "--network", "none", "-u", "1000", "--group-add", "3000",
                            IMAGE, "sh", "-c", SLEEP)
        assert code == 0, (side.name, err)
    differ = compare(pair, [
        ("exec", "box", "id", "-u"),
        ("exec", "box", "id", "-G"),
        ("exec", "-u", "7:8", "box", "id", "-G"),
        ("exec", "-u", "0", "box", "id", "-u"),
        ("exec", "-u", "0:7", "box", "id", "-g"),
        ("exec", "-w", "/tmp", "box", "pwd"),
        ("exec", "-e", "X=1", "box", "sh", "-c", "echo $X"),
        ("exec", "box", "sh", "-c", "exit 7"),
        ("exec", "box", "/no/such"),
        ("exec", "box", "/etc"),
        ("exec", "-u", "nobodyhere", "box", "true"),
        ("exec", "box", "sh", "-c", "kill -9 $$"),
        ("exec", "nosuch", "true"),
        ("exec", "box", "sh", "-c", "grep Cap /proc/self/status | wc -l"),
        ("exec", "-u", "0", "box", "sh", "-c", "echo made > /made; stat -c '%u %g %a' /made"),
        (("exec", "-d", "box", "true"), "rough"),
        (("top", "box", "pid", "comm"), "rough"),
        ("diff", "nosuch"),
    ])
    check(differ, EXEC_KNOWN)


EXEC_KNOWN = {}


def test_life(pair):
    differ = compare(pair, [
        ("create", "--name", "web", "--network", "none", "--label", "a=b", IMAGE, "sh", "-c",
         "echo out; echo err >&2; exit 42"),
        ("create", "--name", "web", IMAGE, "true"),
        ("create", "--pull", "never", "localhost/nothing:1"),
        ("run", "--no-such-flag", IMAGE),
        ("run", "--rm", "--network", "none", "--pull", "never", "localhost/nothing:1"),
        ("container", "exists", "web"),
        ("container", "exists", "nosuch"),
        ("ps", "-a", "--format", "{{.Names}} {{.State}} {{.Image}}"),
        ("ps", "--format", "{{.Names}}"),
        ("ps", "-a", "--filter", "label=a=b", "--format", "{{.Names}}"),
        ("ps", "-a", "--filter", "label=a=c", "--format", "{{.Names}}"),
        ("ps", "-a", "--filter", "name=^we", "--format", "{{.Names}}"),
        ("ps", "-a", "--filter", "status=bogus"),
        ("ps", "-a", "--filter", "colour=red"),
        ("ps", "-a", "-q"),
        ("inspect", "-f", "{{.Name}} {{.State.Status}} {{.State.Running}} {{.State.Pid}}", "web"),
        ("logs", "web"),
        ("pause", "web"),
        ("kill", "web"),
        ("stop", "web"),
        ("start", "web"),
        ("wait", "web"),
        ("logs", "web"),
        ("logs", "--tail", "1", "web"),
        ("start", "-a", "web"),
        ("inspect", "-f", "{{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Running}}", "web"),
        ("inspect", "-f", "{{index .Config.Labels \"a\"}} {{json .Config.Cmd}} {{len .Mounts}}", "web"),
        ("ps", "-a", "--filter", "exited=42", "--format", "{{.Names}} {{.ExitCode}}"),
        ("stop", "web"),
        ("exec", "web", "true"),
        ("attach", "web"),
        ("top", "web"),
        ("unpause", "web"),
        ("rename", "web", "other"),
        ("ps", "-a", "--format", "{{.Names}}"),
        ("rename", "nosuch", "x"),
        ("port", "other"),
        ("start", "nosuch"),
        ("wait", "nosuch"),
        ("logs", "nosuch"),
        ("inspect", "nosuch"),
        ("stop", "nosuch"),
        ("kill", "nosuch"),
        ("attach", "nosuch"),
        ("pause", "nosuch"),
        ("commit", "nosuch"),
        ("export", "nosuch"),
        ("cp", "nosuch:/x", "/tmp/nowhere"),
        ("update", "--memory", "64m", "nosuch"),
        ("healthcheck", "run", "nosuch"),
        ("healthcheck", "run", "other"),
        ("rm", "nosuch"),
        ("rm", "other", "nosuch"),
        ("ps", "-a", "--format", "{{.Names}}"),
        ("rm", "-f", "nosuch"),
        ("rm", "-i", "nosuch"),
        ("rm",),
        ("start",),
        ("kill", "--signal", "NOSIG", "x"),
    ])
    check(differ, LIFE_KNOWN)


LIFE_KNOWN = {
    "ps -a --format {{.Names}} {{.State}} {{.Image}}": "where podman is 4.3, it writes Created; docker created",
    "ps -a --format {{.Names}}": "of `rm other nosuch` podman removes none; docker and we the one that is there",
}


def test_running(pair):
    script = "trap 'echo usr1' USR1; trap 'echo term; exit 5' TERM; echo up; while :; do sleep 0.1; done"
    for side in pair:
        code, _, err = side("run", "-d", "--name", "box", "--network", "none", "--health-cmd", "false",
                            "--health-interval", "1h", "-v", "data:/data", IMAGE, "sh", "-c", script)
        assert code == 0, (side.name, err)
        assert kit.eventually(lambda side=side: side("logs", "box")[1] == "up\n", 10)
    differ = compare(pair, [
        ("rm", "box"),
        ("start", "box"),
        ("ps", "--format", "{{.Names}} {{.State}}"),
        ("container", "prune", "-f"),
        ("kill", "-s", "USR1", "box"),
        ("healthcheck", "run", "box"),
        ("pause", "box"),
        ("pause", "box"),
        ("exec", "box", "true"),
        ("ps", "--format", "{{.Names}} {{.State}}"),
        ("unpause", "box"),
        ("volume", "ls", "-q"),
        ("volume", "rm", "data"),
        ("volume", "exists", "data"),
        ("exec", "box", "sh", "-c", "touch /made; rm /etc/group; mkdir /d; chmod 700 /root"),
        (("diff", "box"), "sorted"),
        ("stop", "box"),
        ("wait", "box"),
        ("logs", "box"),
        ("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "box"),
        ("restart", "-t", "1", "box"),
        ("inspect", "-f", "{{.State.Status}}", "box"),
        ("kill", "box"),
        ("wait", "box"),
        ("container", "prune", "-f"),
        ("ps", "-aq"),
        ("volume", "prune", "-f"),
        ("volume", "ls", "-q"),
    ])
    check(differ, RUNNING_KNOWN)


RUNNING_KNOWN = {
    "rm box": "podman's 2 for one that runs is 1 here, as with docker",
    "start box": "podman prints nothing of one that runs; docker its name",
    "ps --format {{.Names}} {{.State}}": "podman's ps leaves out those that are paused; docker's shows them",
    "diff box": "a directory made to mount on is no change by the container",
}


def test_volumes_and_files(pair, tmp_path):
    (tmp_path / "from").mkdir()
    (tmp_path / "from/file").write_text("content")
    (tmp_path / "from/link").symlink_to("file")
    for side in pair:
        assert side("create", "--name", "box", "--network", "none", IMAGE, "true")[0] == 0
        out = tmp_path / side.name
        assert side("cp", tmp_path / "from", "box:/new")[0] == 0
        assert side("cp", "box:/new/.", out)[0] == 0, side.name
        assert (out / "file").read_text() == "content" and (out / "link").is_symlink(), side.name
        assert side("cp", "box:/nothing", out)[0] != 0
        names = subprocess.run([*side.argv("export", "box")], env=side.env, stdout=subprocess.PIPE, check=True).stdout
        (tmp_path / f"{side.name}.tar").write_bytes(names)
    lists = [subprocess.run(["tar", "-tf", tmp_path / f"{s.name}.tar"], capture_output=True, text=True,
                            check=True).stdout.split() for s in pair]
    own = {"run/.containerenv", "etc/mtab", "run/"}  # podman's
    names = [{n.removeprefix("./").rstrip("/") for n in found} - {n.rstrip("/") for n in own} - {"", "."}
             for found in lists]
    assert {n for n in names[0] ^ names[1] if not n.startswith(("dev", "proc", "sys", "etc/", "run"))} == set()
    differ = compare(pair, [
        ("volume", "create", "--label", "a=b", "v1"),
        ("volume", "create", "v1"),
        ("volume", "create", "bad/name"),
        ("volume", "inspect", "-f", "{{.Name}} {{.Driver}} {{.Scope}} {{index .Labels \"a\"}}", "v1"),
        ("volume", "inspect", "nosuch"),
        ("volume", "ls", "--filter", "label=a=b", "-q"),
        ("volume", "ls", "--format", "{{.Name}} {{.Driver}}"),
        ("volume", "exists", "v1"),
        ("volume", "exists", "nosuch"),
        ("volume", "rm", "nosuch"),
        ("volume", "rm", "-f", "nosuch"),
        ("volume", "rm", "v1", "nosuch"),
        ("volume", "ls", "-q"),
        (("commit", "-q", "box", "localhost/made:1"), ""),
        ("run", "--rm", "--network", "none", "localhost/made:1", "cat", "/new/file"),
        ("rmi", "localhost/nothing:1"),
        (("rmi", "-f", "localhost/made:1"), "rough"),
        (("generate", "systemd", "--name", "box"), "rough"),
        ("generate", "systemd", "nosuch"),
        (("system", "df"), "rough"),
        (("version",), "rough"),
        (("info",), "rough"),
        (("events", "--stream=false", "--since", "1h"), "rough"),
    ])
    check(differ, FILES_KNOWN)


FILES_KNOWN = {}
