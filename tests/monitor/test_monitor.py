"""berth-monitor with real containers: streams, stop, restarts, health, evidence, deaths."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import termios
import time

import kit
import pytest
from kit import eventually

pytestmark = pytest.mark.fast


def test_runs_to_its_end_and_says_how(make):
    c = make().script("echo out; echo err >&2; exit 7").up()
    state = c.ended()
    assert (state["status"], state["exitCode"], state["oomKilled"]) == ("exited", 7, False)
    assert c.log() == "out\n" and c.log("stderr") == "err\n"
    [record] = c.exits()
    assert record["exitCode"] == 7 and record["number"] == 1 and "asked" not in record
    assert [e["action"] for e in c.events()] == ["start", "die"]
    assert c.events()[1]["attributes"] == {"exitCode": "7", "oomKilled": "false"}


def test_a_command_that_is_missing_is_127(make):
    c = make()
    c.config["process"]["args"] = ["/no/such/program"]
    error = c.start()
    assert "/no/such/program" in error
    assert c.process.wait(10) == 1
    assert c.state()["exitCode"] == 127 and c.state()["status"] == "exited"


def test_last_line_without_newline_and_partial_writes(make):
    c = make().script("echo -n begin; sleep 0.3; echo ' end'; echo -n last").up()
    c.ended()
    assert c.log() == "begin end\nlast\n"
    assert [row[2] for row in c.log_lines()] == ["P", "F", "F"]


def test_attached_sees_everything(make):
    c = make().script("read x; echo got $x; echo err >&2; cat; exit 3").up(openStdin=True)
    a = c.attach(kit.STDIN | kit.STDOUT | kit.STDERR)
    a.type(b"hello\n")
    a.type(b"more\n")
    a.sock.send(b"e")
    assert a.collect() == (b"got hello\nmore\n", b"err\n", 3)
    assert c.ended()["exitCode"] == 3


def test_terminal(make):
    c = make().tty().script("read x; stty size; exit 4").up(openStdin=True)
    a = c.attach(kit.STDIN | kit.STDOUT)
    a.sock.send(b"w" + struct.pack("=HH", 40, 132))
    a.type(b"go\n")
    out, err, code = a.collect()
    assert b"40 132" in out and err == b"" and code == 4
    assert "40 132" in c.log()


def test_stop_by_signal_then_by_force(make):
    polite = make().script("trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done").up()
    eventually(lambda: "up" in polite.log())
    assert polite.call(kit.STOP, why="berth stop")["code"] == 5
    deaf = make().script("trap '' TERM; echo up; while :; do sleep 0.05; done").up()
    eventually(lambda: "up" in deaf.log())
    begin = time.monotonic()
    assert deaf.call(kit.STOP, timeout_ms=300, why="berth stop")["code"] == 137
    assert 0.25 < time.monotonic() - begin < 5
    assert deaf.ended()["oomKilled"] is False
    [record] = deaf.exits()
    assert record["asked"]["why"] == "berth stop" and record["asked"]["pid"] == os.getpid()
    assert record["signal"] == 9


def test_frozen_container_is_killed_too(make):
    c = make().script("echo up; sleep 100").up(stopTimeoutMs=200)
    eventually(lambda: "up" in c.log())
    subprocess.run([kit.RUNTIME, "--root", c.oci_root, "pause", c.id], check=True)
    assert c.call(kit.STOP)["code"] == 137


def test_wait_and_signal(make):
    c = make().script("echo up; sleep 100").up()
    eventually(lambda: "up" in c.log())
    waiting = c.ctl(kit.WAIT)
    assert c.call(kit.SIGNAL, signal=9, why="berth kill")["status"] == 0
    assert waiting.reply()["code"] == 137
    assert c.exits()[0]["asked"]["why"] == "berth kill"


def test_restarts_with_back_off_up_to_the_limit(make):
    c = make().script("echo life; exit 1").up(restart="on-failure", restartMax=3)
    state = c.ended()
    assert state["restarts"] == 3 and c.log() == "life\n" * 4
    starts = [e["time"] for e in c.events() if e["action"] == "start"]
    gaps = [b - a for a, b in zip(starts, starts[1:])]
    assert all(gap >= 100_000_000 << i for i, gap in enumerate(gaps)), gaps  # RESTART_DELAY_MS, doubled
    assert [r["number"] for r in c.exits()] == [1, 2, 3, 4]


def test_only_the_last_five_records_are_kept(make):
    c = make().script("exit 1").up(restart="on-failure", restartMax=6)
    c.ended(60)
    assert [r["number"] for r in c.exits()] == [3, 4, 5, 6, 7]


def test_a_stop_ends_restarts(make):
    c = make().script("exit 1").up(restart="always")
    eventually(lambda: c.state()["restarts"] >= 2)
    c.call(kit.STOP)
    assert c.ended()["status"] == "exited"


def test_restart_on_request(make):
    c = make().script("echo life; sleep 100").up(stopTimeoutMs=300)
    eventually(lambda: "life" in c.log())
    first = c.state()["pid"]
    assert c.call(kit.RESTART)["status"] == 0
    assert c.state()["pid"] != first and c.state()["status"] == "running"
    c.call(kit.STOP, signal=9)
    assert c.ended()["restarts"] == 0


def test_health(make):
    c = make().script("touch /tmp/good; echo up; sleep 100").up(
        healthTest=["/bin/test", "-f", "/tmp/good"], healthIntervalMs=200, healthTimeoutMs=2000, healthRetries=2)
    assert c.state()["health"] == "starting"
    eventually(lambda: c.state()["health"] == "healthy")
    (c.dir / "rootfs/tmp/good").unlink()
    eventually(lambda: c.state()["health"] == "unhealthy")
    assert c.state()["status"] == "running"
    assert c.call(kit.HEALTH)["code"] == 1
    c.call(kit.STOP, signal=9)
    assert [e["attributes"]["health_status"] for e in c.events() if e["action"] == "health_status"] == \
        ["healthy", "unhealthy"]


def test_health_check_that_hangs_times_out(make):
    c = make().script("sleep 100").up(healthTest=["/bin/sleep", "50"], healthIntervalMs=100, healthTimeoutMs=200,
                                      healthRetries=1, healthOnFailure="kill")
    assert c.ended()["exitCode"] == 137
    assert "health" in c.exits()[0]["asked"]["why"]


def test_time_limit(make):
    c = make().script("sleep 100").up(timeoutMs=300, stopTimeoutMs=200)
    assert c.ended()["exitCode"] == 137
    assert c.exits()[0]["asked"]["why"] == "its time is up"


def memory_limit(c, size):
    c.config["linux"].setdefault("resources", {})["memory"] = {"limit": size}


def test_oom_of_init_is_told_from_oom_of_a_child(make):
    c = make().script("exec dd if=/dev/zero of=/dev/null bs=200M count=1")
    memory_limit(c, 32 << 20)
    c.up()
    state = c.ended()
    assert state["exitCode"] == 137 and state["oomKilled"] is True
    [record] = c.exits()
    assert record["delta"]["oomKill"] >= 1 and record["oomKilled"] is True
    assert any("Killed process" in line or "oom-kill" in line for line in record["kernelLog"]), record["kernelLog"]
    assert "oom" in [e["action"] for e in c.events()]

    child = make().script("dd if=/dev/zero of=/dev/null bs=200M count=1; exit 9")
    memory_limit(child, 32 << 20)
    child.up()
    assert child.ended()["oomKilled"] is False
    [record] = child.exits()
    assert record["exitCode"] == 9 and record["delta"]["oomKill"] >= 1


def test_a_reader_that_never_reads_is_dropped(make):
    c = make().script("seq 200000; echo done >&2").up()
    slow = c.attach()
    assert c.ended(30)["exitCode"] == 0
    assert c.log("stderr") == "done\n"
    slow.close()


def test_the_primary_reader_misses_nothing(make):
    c = make().script("read x; seq 300000").up(openStdin=True)
    a = c.attach(kit.STDIN | kit.STDOUT | kit.PRIMARY)
    a.type(b"\n")
    time.sleep(0.5)
    out, _, code = a.collect()
    assert code == 0 and out == "".join(f"{i}\n" for i in range(1, 300001)).encode()
    c.ended()


@pytest.mark.parametrize("tty", [False, True])
def test_a_runtime_told_ahead(make, tty):
    """It plans before its monitor has anything else, and its error is told all the same."""
    c = make().script("echo out; exit 7")
    if tty:
        c.tty()
    assert c.start(ahead=True) is None
    assert c.ended()["exitCode"] == 7 and c.log().split() == ["out"]
    c = make().script("true")
    c.config["process"]["cwd"] = "relative"
    assert "cwd" in c.start(ahead=True)


def test_one_primary_client_may_leave_the_directory_to_it(make):
    """Locked as it comes, so that nobody else thinks it left; and only what the client says counts."""
    c = make().script("read x; echo bye").up(openStdin=True, onExit=["/bin/true"])
    first, second = (c.attach(kit.STDIN | kit.STDOUT | kit.PRIMARY) for _ in range(2))
    first.type(b"\n")
    assert [kind for kind, _ in second.packets()][-1] == "x"
    assert not second.sock.recv(1)
    assert [kind for kind, _ in first.packets()][-1] == "l"
    first.type(b"too late")
    held = os.open(c.dir, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(held, fcntl.LOCK_EX)
    other = os.open(c.dir, os.O_RDONLY | os.O_DIRECTORY)
    c.process.send_signal(signal.SIGSTOP)
    socket.send_fds(first.sock, [b"d"], [held])
    os.close(held)
    first.close()
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    c.process.send_signal(signal.SIGCONT)
    c.ended()
    os.close(other)
    assert not c.dir.exists()


def test_orphans_are_reaped(make):
    c = make().script("(sleep 0.1 & ) ; (sleep 0.1 &) ; sleep 0.6; echo end").up()
    c.config["linux"]["namespaces"] = [n for n in c.config["linux"]["namespaces"] if n["type"] != "pid"]
    c.ended()
    assert c.log() == "end\n"


def test_a_killed_monitor_is_told_from_a_live_one(make):
    c = make().script("echo up; sleep 100").up()
    eventually(lambda: "up" in c.log())
    pid = c.state()["pid"]
    c.process.kill()
    c.process.wait()
    assert kit.alive(pid)
    # a new one takes over the place: the old container goes first
    c.script("echo second")
    c.up()
    c.ended()
    assert not kit.alive(pid)
    assert c.log() == "up\nsecond\n"


def test_rotation_while_it_runs(make):
    c = make().script("seq 20000").up(logMaxSize=200000, logMaxFiles=10)
    c.ended()
    files = sorted(c.dir.glob("ctr.log.*"), key=lambda p: -int(p.suffix[1:])) + [c.dir / "ctr.log"]
    assert len(files) > 3
    lines = [line.split(" ", 3)[3] for f in files for line in f.read_text().splitlines()]
    assert lines == [str(i) for i in range(1, 20001)][-len(lines):]


def test_events_are_numbered_without_gaps(make):
    containers = [make().script("exit 0") for _ in range(6)]
    for c in containers:
        c.up()
    for c in containers:
        c.ended()
    rows = [json.loads(line) for line in (containers[0].events_dir / "journal").read_text().splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, 13))


def test_on_exit_runs_once_at_the_very_end(make, tmp_path):
    c = make().script("exit 1")
    c.up(restart="on-failure", restartMax=1, onExit=["/bin/sh", "-c", f"echo x >> {tmp_path}/ran"])
    c.ended()
    eventually(lambda: (tmp_path / "ran").exists())
    time.sleep(0.2)
    assert (tmp_path / "ran").read_text() == "x\n"


def test_small(make):
    """What each further container costs: pages of the program's file are shared by all monitors."""
    c = make().script("echo up; sleep 100").up()
    eventually(lambda: "up" in c.log())
    rollup = open(f"/proc/{c.process.pid}/smaps_rollup").read()
    dirty = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_Dirty"))
    assert dirty < 200, rollup
    c.call(kit.STOP, signal=9)


def pipe_of(c, stream, flags):
    """The other end of one of the container's pipes."""
    return os.open(f"/proc/{c.state()['pid']}/fd/{stream}", flags | os.O_NONBLOCK)


def test_two_who_type_at_once(make):
    """While the container does not read, what one has typed does not overwrite the other's."""
    c = make().script("while ! test -e /go; do sleep 0.05; done; head -c 20000").up(openStdin=True)
    pipe = pipe_of(c, 0, os.O_RDONLY)
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
    typists = [c.attach(flags=kit.STDIN | kit.STDOUT) for _ in range(2)]
    c.process.send_signal(signal.SIGSTOP)  # so that it finds both at once
    for n, typist in enumerate(typists):
        typist.type(b"yz"[n:n + 1] * 10000)
    c.process.send_signal(signal.SIGCONT)
    eventually(lambda: struct.unpack("=i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0] == 4096)
    os.close(pipe)
    (c.dir / "rootfs" / "go").touch()
    out = typists[0].collect()[0]
    assert out in (b"y" * 10000 + b"z" * 10000, b"z" * 10000 + b"y" * 10000), (out.count(b"y"), out.count(b"z"))
    c.ended()
    for typist in typists:
        typist.close()


def test_a_pipe_that_is_always_full_at_the_end(make):
    """Writers that outlive init, as they do in the host's PID namespace: what they write after it is nobody's. Here one
    fills the pipe again before each packet that the monitor may send."""
    c = make().script("read x").up(openStdin=True, logDriver="none")
    reader = c.attach(flags=kit.STDIN | kit.STDOUT | kit.PRIMARY)
    pipe = pipe_of(c, 1, os.O_WRONLY)
    room = 1 << 20  # more than the reader's socket holds, by much
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, room)

    def fill():
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            while True:
                os.write(pipe, b"x" * 4096)

    def unread():
        return struct.unpack("=i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]

    def stuck():  # all that it may hold is on its way to the reader, who does not read
        fill()
        time.sleep(0.02)
        return unread() == room

    eventually(stuck)
    init = c.state()["pid"]
    reader.type(b"\n")
    eventually(lambda: not kit.alive(init))
    got = 0
    for kind, data in reader.packets():
        got += len(data) if kind == "o" else 0
        assert got < 4 * room, "it never ends"
        fill()
    os.close(pipe)
    assert kind == "l"
    reader.close()
    c.ended()


def test_no_place_for_more_clients(make):
    """Who says nothing makes place for who does; where all wait, the last place is for who changes something."""
    c = make().script("sleep 100").up()
    mute = [kit.connect(c.run_dir) for _ in range(70)]
    assert c.call(kit.REOPEN)["status"] == 0
    waiting = [c.ctl(kit.WAIT) for _ in range(63)]
    assert [c.call(op)["status"] for op in (kit.WAIT, kit.ATTACH, kit.REOPEN)] == [-errno.EUSERS, -errno.EUSERS, 0]
    waiting.pop().close()
    waiting.append(c.ctl(kit.WAIT))
    assert c.call(kit.STOP, signal=9)["code"] == 137
    assert [w.reply()["code"] for w in waiting] == [137] * 63
    for sock in (*mute, *waiting):
        sock.close()
    c.ended()


def hold_up(c):
    """From when /go is there its init does not get ready."""
    c.config["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "test ! -e /go || sleep 100"]}]}
    return c.dir / "rootfs/go"


@pytest.mark.parametrize("ahead", [False, True])
def test_an_init_that_does_not_get_ready(make, ahead):
    c = make().script("sleep 100")
    hold_up(c).touch()
    error = c.start(ahead=ahead, startTimeoutMs=300)
    assert "was not ready within" in error, error
    assert c.process.wait(10) and c.state()["status"] == "exited"


def test_a_restart_that_does_not_get_ready(make):
    c = make().script("sleep 100")
    go = hold_up(c)
    c.up(startTimeoutMs=3000)
    go.touch()
    assert c.call(kit.RESTART, signal=9)["status"] == -errno.ECANCELED
    assert c.process.wait(10) and "was not ready within" in c.state()["error"]


def test_an_init_that_is_stopped_on_its_way(make):
    """Root of a PID namespace that a container joins can stop its init: its monitor does not wait for ever."""
    host = make().script("while :; do kill -STOP -1; done").up()
    for _ in range(20):  # on a busy machine one may slip through
        c = make().script("sleep 100")
        next(n for n in c.config["linux"]["namespaces"] if n["type"] == "pid")["path"] = f"/proc/{host.state()['pid']}/ns/pid"
        error = c.start(startTimeoutMs=300)
        if error:
            break
        c.call(kit.STOP, signal=9)
    assert "was not ready within" in error and c.process.wait(10)
    host.call(kit.STOP, signal=9)


def test_the_monitor_s_protection_is_its_own(make):
    """What the OOM killer is told of a monitor (-999 in a service, say) is not said of its container."""
    own = pathlib.Path("/proc/self/oom_score_adj")
    before = own.read_text()
    c = make().script("cat /proc/self/oom_score_adj; sleep 100")
    own.write_text("500")
    try:
        c.up()
    finally:
        own.write_text(before)
    assert pathlib.Path(f"/proc/{c.process.pid}/oom_score_adj").read_text() == "500\n"
    eventually(lambda: c.log() == "0\n")
    c.call(kit.STOP, signal=9)
