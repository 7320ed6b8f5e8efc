"""A monitor's long life: lines with rotations, attaches, commands, health checks, waits. Its descriptors, memory and
children stay what they were. BERTH_TIMES=1000 for a longer one than CI's."""

import contextlib
import os
import pathlib
import socket
import struct
import subprocess

import pytest
from enginekit import eventually, processes_of

pytestmark = pytest.mark.needs("path:/bin/busybox")
TIMES = int(os.environ.get("BERTH_TIMES", "40"))
SCRIPT = "while read n; do seq 1 $n; done"


class Held:
    """What a monitor holds."""

    def __init__(self, pid):
        self.pid = pid

    def descriptors(self):
        """What they are of; all sockets and pipes are alike. One that is closed while we look is none."""
        found = []
        for fd in pathlib.Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                what = os.readlink(fd)
                found.append("one" if "socket" in what or "pipe" in what else what)
        return sorted(found)

    def memory(self):
        """KiB of its own: what it has written to."""
        text = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(("Private_Dirty", "Swap:")))

    def children(self):
        return pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()


@pytest.fixture
def up(engine):
    def make(*flags):
        id = engine.up("sh", "-c", SCRIPT, flags=("-i", "--name", "m", *flags))
        held = Held(engine.monitor_state(id)["monitor"])
        return id, held

    yield make
    engine("rm", "-f", "m", timeout=60).ok()


def attach(engine, lines):
    """Attached, has so many lines printed, sees them, and leaves."""
    process = engine.popen("attach", "m", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write(b"%d\n" % lines)
    process.stdin.flush()
    while process.stdout.readline() != b"%d\n" % lines:
        pass
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def steady(held, once, times):
    """Does a thing twice, then often: nothing is held that was not held before."""
    once()
    once()
    assert eventually(lambda: len(held.children()) == 1)
    descriptors, memory = held.descriptors(), held.memory()
    for _ in range(times):
        once()
    assert eventually(lambda: held.descriptors() == descriptors), (descriptors, held.descriptors())
    assert eventually(lambda: len(held.children()) == 1), held.children()
    assert held.memory() <= memory + 64, (memory, held.memory())


def test_attaches_and_rotations(engine, up):
    id, held = up("--log-opt", "max-size=64k", "--log-opt", "max-file=3")
    steady(held, lambda: attach(engine, 2000), TIMES)
    assert len(list(engine.dir(id).glob("ctr.log*"))) == 3


def test_commands(engine, up):
    id, held = up()
    before = len(processes_of(id))
    steady(held, lambda: engine("exec", "m", "true").ok(), TIMES)
    steady(held, lambda: engine("exec", "-d", "m", "true").ok(), TIMES)
    assert eventually(lambda: len(processes_of(id)) == before)


@pytest.mark.parametrize("command, output", [("true", ""), ("echo x; exit 1", "x\n"), ("yes", "y\n" * 250)],
                         ids=["good", "bad", "flood"])
def test_health_checks(engine, up, command, output):
    """One that floods its output leaves no more of it than is kept."""
    id, held = up("--health-cmd", command, "--health-interval", "1h", "--health-timeout", "200ms", "--health-retries", "100")
    steady(held, lambda: engine("healthcheck", "run", "m"), TIMES if command == "true" else TIMES // 4)
    last = engine.json("inspect", "m")[0]["State"]["Health"]["Log"][-1]
    assert last["Output"].startswith(output[:500]) and len(last["Output"]) <= 500


def test_restarts(engine, up):
    id, held = up("--restart", "always")
    steady(held, lambda: engine("restart", "-t", "0", "m").ok(), TIMES // 4)
    assert len(engine.exits(id)) == 5


def connect(engine, id):
    here = os.open(engine.run_dir(id), os.O_PATH)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(f"/proc/self/fd/{here}/ctl")
    sock.settimeout(10)
    os.close(here)
    return sock


def test_who_connects_and_says_nothing(engine, up):
    """Clients that never ask, and a wrong request: dropped, and others are served."""
    id, held = up()
    descriptors = held.descriptors()
    for junk in (b"x", b"\0" * 2000, b"\xff" * 88):
        with connect(engine, id) as sock:
            read, write = os.pipe()
            socket.send_fds(sock, [junk], [read] * 50)
            os.close(read)
            os.close(write)
            sock.recv(100)
    mute = [connect(engine, id) for _ in range(100)]
    attach(engine, 3)
    for sock in mute:
        sock.close()
    assert eventually(lambda: held.descriptors() == descriptors), (descriptors, held.descriptors())


def test_more_wait_than_can(engine, up):
    """Who comes too late is told so, and does not take it for the container's end."""
    id, _ = up()
    waiting = [connect(engine, id) for _ in range(63)]
    for sock in waiting:
        sock.send(struct.pack("=IIi4xq64s", 3, 0, 0, -1, b""))  # WIRE_WAIT
    for verb in ("wait", "attach"):
        engine(verb, "m", timeout=30).failed("too many wait")
    engine("stop", "-t", "0", "m", timeout=30).ok()
    for sock in waiting:
        assert struct.unpack_from("=ii", sock.recv(100)) == (0, 137)
        sock.close()
