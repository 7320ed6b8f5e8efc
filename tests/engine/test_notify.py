"""--sdnotify, --preserve-fds and --requires: what a service manager is told, and what passes the monitor."""

import os
import socket

import pytest
from enginekit import IMAGE, eventually


class Manager:
    """The socket that a service manager gives."""

    def __init__(self, path):
        self.path = str(path)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.env = dict(os.environ, NOTIFY_SOCKET=self.path)

    def said(self, timeout=0):
        self.sock.settimeout(timeout)
        try:
            return self.sock.recv(4096).decode().split()
        except (BlockingIOError, TimeoutError):
            return None


@pytest.fixture
def manager(base):
    found = Manager(base / "notify.sock")
    yield found
    found.sock.close()
    os.unlink(found.path)


def monitor(engine, id):
    return engine.monitor_state(id)["monitor"]


def test_conmon(engine, manager):
    id = engine.run("-d", "--sdnotify", "conmon", IMAGE, "sleep", "100", env=manager.env).ok().out.strip()
    assert manager.said(10) == [f"MAINPID={monitor(engine, id)}", "READY=1"] and manager.said() is None
    assert "NOTIFY_SOCKET" not in engine("exec", id, "env").ok().out
    engine("stop", "-t0", id).ok()
    engine("start", id, env=manager.env).ok()
    assert manager.said(10) == [f"MAINPID={monitor(engine, id)}", "READY=1"]
    engine("rm", "-f", id).ok()


@pytest.mark.parametrize("flags", [(), ("--sdnotify", "container")])
def test_container(engine, manager, flags):
    """`run` is done when the container says so, on a socket of its own; meanwhile its output goes on."""
    tty = "head -c 200000 /dev/zero | tr '\\0' x; echo; test -S $NOTIFY_SOCKET && echo has it; read x </go; sleep 100"
    started = engine.popen("run", "-d", "--name", "n", *flags, IMAGE, "sh", "-c", f"mkfifo /go; {tty}",
                           env=manager.env)
    try:
        assert eventually(lambda: "has it" in engine("logs", "--tail", "1", "n").out, 20)
        full = engine.json("inspect", "n")[0]["Id"]
        assert started.poll() is None and manager.said() is None
        say(engine, full, "STATUS=half\nMAINPID=1\n")
        say(engine, full, "READY=1\nMAINPID=1\n")
        assert started.wait(10) == 0
        assert manager.said(10) == [f"MAINPID={monitor(engine, full)}", "READY=1"] and manager.said() is None
        for _ in range(50):
            say(engine, full, "WATCHDOG=1\n")  # nobody is held up by what nobody wants to hear
    finally:
        started.kill()
        started.wait()
        engine("rm", "-f", "n").ok()


def say(engine, id, text):
    # by a descriptor: its path may be longer than an address
    dir = os.open(engine.runroot / "oci" / id / "notify", os.O_PATH)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.connect(f"/proc/self/fd/{dir}/notify.sock")
        s.send(text.encode())
    os.close(dir)


def test_ended_before_it_was_ready(engine, manager):
    engine.run("-d", "--rm", IMAGE, "true", env=manager.env).ok()
    assert manager.said() is None


def test_healthy(engine, manager):
    id = engine.run("-d", "--sdnotify", "healthy", "--health-cmd", "true", "--health-interval", "100ms", IMAGE, "sleep",
                    "100", env=manager.env).ok().out.strip()
    assert manager.said(10) == [f"MAINPID={monitor(engine, id)}", "READY=1"]
    assert engine("healthcheck", "run", id).code == 0
    engine("rm", "-f", id).ok()


def test_ignore(engine, manager):
    out = engine.run("--rm", "--sdnotify", "ignore", IMAGE, "env", env=manager.env).ok().out
    assert "NOTIFY_SOCKET" not in out and manager.said() is None
    engine.run("--sdnotify", "maybe", IMAGE, "true").failed("none of container, conmon, healthy, ignore")


def test_attended(engine, manager):
    """berth itself is the main process: it says only that it is ready."""
    engine.run("--rm", "--sdnotify", "conmon", IMAGE, "true", env=manager.env)
    assert manager.said() in (["READY=1"], None)
    run = engine.popen("run", "--rm", "--name", "n", "--sdnotify", "conmon", IMAGE, "sleep", "100", env=manager.env)
    assert manager.said(10) == ["READY=1"]
    engine("rm", "-f", "n").ok()
    run.wait(10)


def test_unit(engine):
    engine("create", "--name", "a", "--sdnotify", "conmon", IMAGE, "true").ok()
    engine("create", "--name", "b", IMAGE, "true").ok()
    assert "\nType=notify\n" in engine("generate", "systemd", "a").ok().out
    assert "\nType=exec\n" in engine("generate", "systemd", "b").ok().out
    engine("rm", "a", "b").ok()


# ---- descriptors ----


def given(*texts):
    """Pipes with these texts, from 3 on, as preexec_fn."""
    ends = []
    for text in texts:
        r, w = os.pipe()
        os.write(w, text.encode())
        os.close(w)
        ends.append(r)

    def place():
        high = [os.dup2(r, 100 + i) for i, r in enumerate(ends)]
        for i, fd in enumerate(high):
            os.dup2(fd, 3 + i)
            os.close(fd)

    return place, ends


LIST = "cat <&3; cat <&4; for f in /proc/self/fd/*; do echo $(basename $f) $(readlink $f); done"


@pytest.mark.parametrize("detach", [False, True])
def test_preserve_fds(engine, detach):
    place, ends = given("one\n", "two\n")
    flags = ["--preserve-fds", "2", "--name", "p", *(["-d"] if detach else [])]
    engine.run(*flags, IMAGE, "sh", "-c", f"{LIST}; exec sleep 0.1", preexec_fn=place, close_fds=False).ok()
    engine("wait", "p").ok()
    lines = engine("logs", "p").ok().out.splitlines()
    assert lines[:2] == ["one", "two"]
    assert {int(line.split()[0]) for line in lines[2:] if "pipe:" in line} <= {0, 1, 2, 3, 4}, lines
    assert not [line for line in lines[2:] if "socket:" in line or str(engine.base) in line], lines
    for end in ends:
        os.close(end)
    engine("rm", "p").ok()


def test_the_monitor_keeps_none(engine):
    """Its reader sees the end of a pipe when the container has closed it."""
    r, w = os.pipe()

    def place():
        os.dup2(w, 3)

    id = engine.run("-d", "--preserve-fds", "1", IMAGE, "sh", "-c", "echo hello >&3; exec 3>&-; exec sleep 100",
                    preexec_fn=place, close_fds=False).ok().out.strip()
    os.close(w)
    with open(r) as pipe:
        assert pipe.read() == "hello\n"
    engine("rm", "-f", id).ok()


def test_listen_fds(engine):
    place, ends = given("one\n")
    env = dict(os.environ, LISTEN_FDS="1")
    out = engine.run("--rm", IMAGE, "sh", "-c", "cat <&3; echo $LISTEN_FDS $LISTEN_PID", preexec_fn=place,
                     close_fds=False, env=env).ok().out
    assert out == "one\n1 1\n"
    os.close(ends[0])
    # where there is none, nothing of ours is in its place
    out = engine.run("--rm", IMAGE, "sh", "-c", "readlink /proc/self/fd/3; echo done", env=env).ok().out
    assert out == "done\n"
    id = engine.run("-d", "--health-cmd", "ls -l /proc/self/fd", IMAGE, "sleep", "100", env=env).ok().out.strip()
    engine("healthcheck", "run", id).ok()
    assert "socket:" not in engine.json("inspect", id)[0]["State"]["Health"]["Log"][0]["Output"]
    engine("rm", "-f", id).ok()


def test_descriptors_that_are_not_there(engine):
    """berth's own are none of the caller's, whatever their numbers are."""
    engine.run("--rm", "--preserve-fds", "1", IMAGE, "true").failed("descriptor 3 does not exist")
    id = engine.up("sleep", "100")
    engine("exec", "--preserve-fds", "1", id, "true").failed("descriptor 3 does not exist")
    engine("rm", "-f", id).ok()
    engine("create", "--preserve-fds", "1", IMAGE).failed("run's")
    engine.run("--preserve-fds", "1", "--restart", "always", IMAGE).failed("exclude each other")


# ---- what a container requires ----


def test_requires(engine):
    for name, flags in (("db", ()), ("cache", ()), ("app", ("--requires", "db,cache")), ("web", ("--requires", "app"))):
        engine("create", "--name", name, *flags, IMAGE, "sleep", "100").ok()
    engine("start", "web").ok()
    assert {n: engine.state(n)[0] for n in ("db", "cache", "app", "web")} == dict.fromkeys(
        ("db", "cache", "app", "web"), "running")
    starts = [e["name"] for e in engine.events() if e["action"] == "start" and e["name"] in ("db", "app", "web")]
    assert starts[-3:] == ["db", "app", "web"]
    engine("stop", "-t0", "db", "web").ok()
    engine("start", "web").ok()
    assert engine.state("db")[0] == "running"
    engine.run("--rm", "--requires", "nosuch", IMAGE, "true").failed("--requires")
    engine("stop", "-t0", "db").ok()
    engine.run("--rm", "--requires", "db", IMAGE, "true").ok()
    assert engine.state("db")[0] == "running"
    engine("rm", "-f", "web", "app", "cache", "db").ok()
    engine("create", "--name", "a", IMAGE, "true").ok()
    engine("create", "--name", "b", "--requires", "a", IMAGE, "true").ok()
    engine("rm", "a").ok()
    engine("start", "b").failed("requires")
    engine("rm", "b").ok()
