"""What can happen to containers: kills at random moments, full disks, readers that don't, floods of output,
zombies, fork bombs. Afterwards `ps` tells the truth, `rm -f` cleans, `system check` finds nothing, nothing hangs.

BERTH_LIVES=500 sets how many lifecycles the random kills go through (default 8).
"""

import collections
import contextlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

import kit
import pytest
from enginekit import IMAGE, eventually, kill, processes_of

LIVES = int(os.environ.get("BERTH_LIVES", "8"))
SCRIPT = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"


def truth(engine):
    """Every container that `ps -a` lists is as it says: up with processes, or down without. Asked again
    for a while, since what is starting or ending meanwhile was something else when it was listed."""
    lies = []

    def told():
        lies.clear()
        for row in engine.json("ps", "-a", "--format", "json"):
            pids = processes_of(row["Id"])
            if row["State"] in ("running", "paused") and row["Pid"] not in pids:
                lies.append((row, pids))
            elif row["State"] in ("exited", "created") and pids:
                lies.append((row, pids))
        return not lies

    assert eventually(told, 5), lies


def clean(engine):
    """rm -f of everything cleans everything; `system check` is content without a repair."""
    engine("rm", "-fa", timeout=60).ok()
    assert engine.ids() == []
    engine.check()


def lifecycle(engine, name):
    """The commands of a life, one after another, to be killed at any moment."""
    yield ("run", "-d", "--name", name, IMAGE, "sh", "-c", SCRIPT)
    yield ("stop", "-t", "1", name)
    yield ("start", name)
    yield ("rm", "-f", name)
    yield ("run", "--rm", "--name", name, IMAGE, "sh", "-c", "exit 3")


def test_the_command_is_killed(engine):
    rng = random.Random(1)
    killers = collections.defaultdict(lambda: kit.AtRandom(rng))
    for life in range(LIVES):
        for step, words in enumerate(lifecycle(engine, f"c{life}")):
            process = engine.popen(*words)
            killers[step].kill(process)
            process.wait(30)
        truth(engine)
        if life % 8 == 7:
            # What was being made when its maker was killed goes with the next that is made.
            engine.run("--rm", IMAGE, "true").ok()
            clean(engine)
    engine.run("--rm", IMAGE, "true").ok()
    clean(engine)


def test_the_name_is_free_after_a_killed_create(engine):
    """Wherever `create` was killed, the next has the name, or it is listed and can be removed."""
    killer = kit.AtRandom(random.Random(2))
    for _ in range(LIVES):
        process = engine.popen("create", "--name", "web", IMAGE, "true")
        killer.kill(process)
        process.wait(30)
        engine("create", IMAGE).ok()
        if engine.state("web"):
            assert engine.run("-d", "--name", "x", IMAGE, "true").code == 0
            assert engine("start", "web").ok()
            assert engine("rm", "-f", "web", "x").ok()
        assert engine("create", "--name", "web", IMAGE).ok()
        engine("rm", "-fa").ok()
    clean(engine)


def test_the_monitor_is_killed(engine):
    rng = random.Random(3)
    for life in range(LIVES // 3):
        id = engine.up("sh", "-c", SCRIPT, flags=("--name", "m"))
        time.sleep(rng.uniform(0, 0.1))
        kill(engine.monitor_state(id)["monitor"])
        assert engine.state("m")[0] == "dead"
        assert engine("system", "check").code == 1  # it says what is to be done
        assert engine("wait", "m", timeout=10).code == 0
        if life % 3 == 0:  # it can be started again, and what was left of it is gone
            engine("start", "m").ok()
            record, = engine.exits(id)
            assert record["lost"] == "its monitor was killed" and engine.state("m")[0] == "running"
            engine("stop", "-t", "1", "m").ok()
            assert engine.state("m") == ("exited", 5) or engine.state("m") == ("exited", 137)
        elif life % 3 == 1:
            engine("stop", "m", timeout=20).ok()
            assert eventually(lambda id=id: not processes_of(id))
        clean(engine)


def test_a_foreground_command_s_monitor_is_killed(engine):
    process = engine.popen("run", "--rm", "--name", "m", IMAGE, "sh", "-c", SCRIPT, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    kill(engine.monitor_state(engine.ids()[0])["monitor"])
    assert process.wait(10) == 125
    process.stdout.close()
    assert engine.state("m")[0] == "dead"
    clean(engine)


def test_init_is_killed(engine):
    for _ in range(LIVES // 3):
        engine.up("sh", "-c", SCRIPT, flags=("--name", "m"))
        os.kill(engine.json("ps", "--format", "json")[0]["Pid"], signal.SIGKILL)
        assert engine("wait", "m").ok().out == "137\n"
        assert engine.state("m") == ("exited", 137)
        engine("rm", "m").ok()
    clean(engine)


def test_commands_of_all_kinds_at_once(engine):
    """rm -f beside start, stop beside kill, of the same containers: none hangs, and rm -f wins."""
    rng = random.Random(4)
    for _ in range(max(LIVES // 6, 2)):
        engine("create", "--name", "m", IMAGE, "sh", "-c", SCRIPT).ok()
        words = [("start", "m"), ("stop", "-t", "0", "m"), ("kill", "m"), ("rm", "-f", "m"), ("start", "m"),
                 ("rm", "-f", "m"), ("restart", "-t", "0", "m"), ("rename", "m", "n"), ("rm", "-f", "n")]
        rng.shuffle(words)
        started = [engine.popen(*w) for w in words]
        for process in started:
            process.wait(60)
        truth(engine)
        clean(engine)


def test_removal_while_it_starts(engine):
    for _ in range(LIVES // 4):
        engine("create", "--name", "m", IMAGE, "sh", "-c", SCRIPT).ok()
        start, remove = engine.popen("start", "m"), engine.popen("rm", "-f", "m")
        assert remove.wait(20) == 0
        start.wait(20)
        assert engine.state("m") is None
    clean(engine)


def test_the_starter_is_killed_while_it_starts(engine):
    killer = kit.AtRandom(random.Random(5))
    for _ in range(LIVES // 2):
        engine("create", "--name", "m", IMAGE, "sh", "-c", SCRIPT).ok()
        killer.kill(engine.popen("start", "m"))
        engine("rm", "-f", "m", timeout=20).ok()
        assert engine.state("m") is None
    clean(engine)


def test_one_whose_command_was_killed_still_removes_itself(engine):
    process = engine.popen("run", "--rm", "--name", "m", IMAGE, "sleep", "0.7")
    assert eventually(lambda: (engine.state("m") or ("",))[0] == "running")
    kit.kill_and_wait(process)
    assert eventually(lambda: not engine.ids(), 15)


# ---- a reboot ----


def test_the_run_directory_is_gone(engines):
    engine = engines()
    engine.run("--name", "five", IMAGE, "sh", "-c", "exit 5")
    engine.run("--name", "quiet", "--log-driver", "none", IMAGE, "sh", "-c", "exit 6")
    engine("create", "--name", "new", IMAGE, "true").ok()
    up = engine.up("sleep", "100", flags=("--name", "up"))
    pids = [engine.monitor_state(up)["monitor"], engine.monitor_state(up)["pid"]]
    for pid in pids:  # as the end of the machine would
        kill(pid)
    for path in engine.shared():
        kit.sh("umount", "-l", path)
    assert eventually(lambda: not processes_of(up))
    shutil.rmtree(engine.runroot)
    assert engine.state("five") == ("exited", 5)
    assert engine.state("quiet") == ("exited", 6)
    assert engine.state("new")[0] == "created"
    assert engine.state("up")[0] == "dead"
    engine.check()
    assert engine("start", "five", "up", "new").ok()
    assert engine("wait", "five").ok().out == "5\n"
    assert engine.state("up")[0] == "running"
    clean(engine)


# ---- what lies about ----


def test_check_finds_and_repairs(engine):
    engine("create", "--name", "lost", IMAGE, "true").ok()
    engine("create", "--name", "kept", IMAGE, "true").ok()
    lost, kept = [r["Id"] for n in ("lost", "kept")
                  for r in engine.json("ps", "-a", "--format", "json") if n in r["Names"]]
    shutil.rmtree(engine.dir(lost))
    (engine.root / "records" / kept).unlink()
    (engine.runroot / "containers" / ("a" * 64)).mkdir(parents=True)
    assert eventually(lambda: engine("ps", "-aq", "--no-trunc").out.split() == [lost])
    found = engine("system", "check")
    assert found.code == 1, found
    for what in ("container lost: its directory is missing", f"container {kept[:12]}: it is in no index",
                 f"run directory {'a' * 12}"):
        assert what in found.out, found
    assert engine("system", "check", "--repair").ok().out.count("(repaired)") == 3
    engine.check()
    assert engine.ids() == [kept]
    assert engine("start", "-a", "kept").ok()
    clean(engine)


# ---- full disks ----


def fill(path):
    """Leaves nothing free."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    for piece in (1 << 20, 4096, 1):
        try:
            while True:
                os.write(fd, b"x" * piece)
        except OSError:
            pass
    os.close(fd)
    return path


def test_the_disk_is_full(engines, disk):
    """Upper directory, log and database are on one disk of 96 MB, full while a container runs."""
    small = disk(96)
    engine = engines(root=small.path / "store")
    id = engine.up("sh", "-c", "trap 'exit 5' TERM; while :; do echo line; echo x >>/f 2>/dev/null; sleep 0.01; done",
                   flags=("--name", "m"))
    ballast = fill(small.path / "ballast")
    time.sleep(0.5)
    assert engine.state("m")[0] == "running"
    made = engine("create", IMAGE, timeout=30)
    assert made.code and "space" in made.err, made
    assert engine("exec", "m", "true", timeout=20).code == 0
    engine("stop", "-t", "2", "m", timeout=30).ok()
    assert engine.state("m") == ("exited", 5)
    removed = engine("rm", "m", timeout=30)
    ballast.unlink()
    if removed.code:
        engine("rm", "-f", "m").ok()
    assert not processes_of(id)
    engine.run("--rm", IMAGE, "true").ok()
    clean(engine)
    engine.destroy()


# ---- output ----


def test_a_reader_that_never_reads(engine):
    """`berth run ... | nobody`: the container waits, as at a pipe; stop and rm -f do not."""
    process = engine.popen("run", "--name", "m", IMAGE, "sh", "-c", "while :; do echo 0123456789; done",
                           stdout=subprocess.PIPE)
    assert eventually(lambda: (engine.state("m") or ("",))[0] == "running")
    time.sleep(1)
    before = time.monotonic()
    engine("stop", "-t", "1", "m", timeout=20).ok()
    assert time.monotonic() - before < 10
    assert engine.state("m") == ("exited", 137)
    process.stdout.close()
    process.wait(10)
    process = engine.popen("start", "-a", "m", stdout=subprocess.PIPE)
    assert eventually(lambda: engine.state("m")[0] == "running")
    time.sleep(1)
    engine("rm", "-f", "m", timeout=20).ok()
    process.stdout.close()
    process.wait(10)


def test_an_attached_one_that_never_reads(engine):
    """A forgotten `attach` does not hold the service up."""
    id = engine.up("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i 0123456789012345678901234567890123456789; done",
                   flags=("--name", "m", "--log-opt", "max-size=1m"))
    process = engine.popen("attach", "m", stdout=subprocess.PIPE)
    time.sleep(2.5)
    def last():
        return int(engine("logs", "--tail", "1", "m").out.split()[0])
    first = last()
    assert eventually(lambda: last() > first + 1000, 10)
    engine("rm", "-f", "m", timeout=20).ok()
    process.stdout.close()
    process.wait(10)


def test_much_output(engine):
    """500 MB through the log: the container ends, the log keeps its limits, commands answer meanwhile."""
    id = engine.up("sh", "-c", "dd if=/dev/zero bs=1M count=500 2>/dev/null | tr '\\0' 'a'; exit 3",
                   flags=("--name", "m", "--log-opt", "max-size=1m", "--log-opt", "max-file=3"))
    assert engine("exec", "m", "true", timeout=30).code in (0, 125)
    assert engine("wait", "m", timeout=180).ok().out == "3\n"
    size = sum(p.stat().st_size for p in engine.dir(id).glob("ctr.log*"))
    assert 0 < size < 5 << 20, size
    engine("rm", "m").ok()


# ---- processes ----


def state_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


@pytest.mark.parametrize("flags", [(), ("--init",), ("--pid", "host")], ids=["sh", "init", "host"])
def test_orphans(engine, flags):
    """Whose they become reaps them: the container's PID 1, berth-init, or the monitor."""
    script = "trap 'exit 5' TERM; i=0; while [ $i -lt 50 ]; do (sleep 0.05 & ) ; i=$((i+1)); done; echo ready; " \
             "while :; do sleep 0.05; done"
    id = engine.up("sh", "-c", script, flags=("--name", "m", *flags))
    assert eventually(lambda: "ready" in engine("logs", "m").out)
    below = [engine.monitor_state(id)["monitor"], engine.monitor_state(id)["pid"]]

    def zombies():
        found = set(processes_of(id))
        for pid in below:
            with contextlib.suppress(OSError):
                found |= {int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
        return [p for p in found if state_of(p) == "Z"]

    assert eventually(lambda: not zombies()), zombies()
    engine("stop", "-t", "2", "m", timeout=20).ok()
    assert engine.state("m") == ("exited", 5)
    assert eventually(lambda: not processes_of(id))
    engine("rm", "m").ok()


@pytest.mark.needs("controller:pids")
def test_a_fork_bomb(engine):
    id = engine.up("sh", "-c", "f() { f | f & }; f; trap '' TERM; while :; do sleep 1; done",
                   flags=("--name", "m", "--pids-limit", "40"))
    time.sleep(1)
    assert len(processes_of(id)) <= 40
    assert engine.state("m")[0] in ("running", "exited")
    engine("rm", "-f", "m", timeout=30).ok()
    assert eventually(lambda: not processes_of(id))
    clean(engine)
