"""Where containers and monitors are among systemd's units, and what systemd then leaves alone."""

import pathlib
import shlex
import subprocess

import pytest
from enginekit import CGROUP, IMAGE, eventually, kill, kit, processes_of

SCRIPT = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"


def group_of(pid):
    return pathlib.Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::")


def up(engine, *flags):
    """Container and its monitor: (id, pid of init, pid of the monitor)."""
    id = engine.up("sh", "-c", SCRIPT, flags=flags)
    assert eventually(lambda: "ready" in engine.log(id))
    state = engine.monitor_state(id)
    return id, state["pid"], state["monitor"]


def test_a_scope_for_each(engine, systemctl):
    id, pid, monitor = up(engine, "--name", "a", "-m", "64m")
    shown = systemctl.show(f"berth-{id}.scope")
    assert (shown["ActiveState"], shown["Delegate"], shown["Slice"]) == ("active", "yes", "system.slice")
    top = f"/system.slice/berth-{id}.scope"
    assert (group_of(pid), group_of(monitor)) == (f"{top}/container", f"{top}/monitor")
    assert (CGROUP / group_of(pid)[1:] / "memory.max").read_text() == f"{64 << 20}\n"
    assert not (CGROUP / top[1:] / "cgroup.procs").read_text()
    engine("exec", "a", "true").ok()
    engine("rm", "-f", "a").ok()
    assert eventually(lambda: systemctl.show(f"berth-{id}.scope")["LoadState"] == "not-found")
    assert engine.json("info", "--format", "json")["host"]["cgroupManager"] == "systemd"
    own = engine("--cgroup-manager", "cgroupfs", "info", "--format", "{{.host.cgroupManager}}").ok().out
    assert own == "cgroupfs\n"


def test_reload_and_the_end_of_who_started_it(engine, systemctl, unit):
    words = " ".join(engine.argv("run", "-d", "--name", "a", IMAGE, "sleep", "1000"))
    unit("starter.service", f"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart={words}\n")
    systemctl("start", "starter.service")
    before = engine.json("inspect", "a")[0]["State"]
    systemctl("daemon-reload")
    systemctl("daemon-reexec")
    systemctl("stop", "starter.service")
    after = engine.json("inspect", "a")[0]["State"]
    assert after["Status"] == "running" and after["Pid"] == before["Pid"]
    engine("exec", "a", "true").ok()
    engine("rm", "-f", "a").ok()


def test_evidence_before_systemd_removes_the_cgroup(engine):
    id = engine("create", "--name", "a", IMAGE, "sh", "-c", "i=0; while [ $i -lt 300 ]; do i=$((i+1)); done").ok().out.strip()
    for _ in range(6):  # at once: the scope before may still be there
        engine("start", "a").ok()
        engine("wait", "a").ok()
    for record in engine.exits(id):
        assert record["last"]["cpuUsageNs"] > 0 and "memoryPeak" in record["last"], record
    engine("rm", "a").ok()


def test_out_of_memory(engine):
    done = engine.run("--name", "a", "-m", "16m", "--memory-swap", "16m", IMAGE, "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")
    assert done.code == 137
    state = engine.json("inspect", "a")[0]["State"]
    assert state["OOMKilled"] is True
    record, = engine.exits(engine.ids()[0])
    assert any("oom" in line.lower() for line in record["kernelLog"]), record
    engine("rm", "a").ok()


def test_systemd_stops_it(engine, systemctl):
    id, *_ = up(engine, "--name", "a", "--restart", "always")
    systemctl("stop", f"berth-{id}.scope")
    assert engine.state("a") == ("exited", 5)
    assert engine.exits(id)[-1]["asked"]["why"] == "a signal to the monitor"
    engine("rm", "a").ok()


def test_the_monitor_is_killed(engine, systemctl):
    id, pid, monitor = up(engine, "--name", "a")
    kill(monitor)
    assert engine.state("a")[0] == "dead"
    engine("rm", "-f", "a").ok()
    assert not processes_of(id)
    assert eventually(lambda: systemctl.show(f"berth-{id}.scope")["LoadState"] == "not-found")


def test_slices(engine):
    id, pid, _ = up(engine, "--name", "a", "--cgroup-parent", "some-batch.slice")
    assert group_of(pid) == f"/some.slice/some-batch.slice/berth-{id}.scope/container"
    engine("rm", "-f", "a").ok()
    engine.run("--rm", "--cgroup-parent", "/some", IMAGE, "true").failed("no slice", code=125)


def test_without_systemd(engine, systemctl):
    id = engine("--cgroup-manager", "cgroupfs", "run", "-d", IMAGE, "sleep", "1000").ok().out.strip()
    state = engine.monitor_state(id)
    assert (group_of(state["pid"]), group_of(state["monitor"])) == (f"/berth-{id}", "/berth-monitors")
    engine("restart", "-t", "0", id).ok()  # what it was made with is what counts
    assert group_of(engine.monitor_state(id)["pid"]) == f"/berth-{id}"
    engine("rm", "-f", id).ok()


@pytest.mark.parametrize("source", ["host"])
def test_sandboxes(engine, source):
    done = engine.run("--rm", source, "cat", "/proc/self/cgroup")
    assert done.code == 0, done


@pytest.fixture
def sessions_killed(systemctl):
    """logind kills what is left of a session when it ends."""
    conf = pathlib.Path("/run/systemd/logind.conf.d/kill.conf")
    conf.parent.mkdir(exist_ok=True)
    conf.write_text("[Login]\nKillUserProcesses=yes\n")
    systemctl("restart", "systemd-logind")
    yield
    conf.unlink()
    systemctl("restart", "systemd-logind")


def test_the_session_that_started_it_ends(engine, sessions_killed):
    """A root shell in a user's session, as sudo's is, and then the terminal is gone."""
    login = subprocess.Popen(["runuser", "-l", "tester", "-c", "cat /proc/self/cgroup; exec sleep 1000"],
                             stdout=subprocess.PIPE, text=True)
    session = CGROUP / login.stdout.readline().strip().removeprefix("0::/")
    assert session.name.startswith("session-"), session
    words = shlex.join(engine.argv("run", "-d", "--name", "a", IMAGE, "sleep", "1000"))
    subprocess.run(["sh", "-c", f"echo $$ >{session}/cgroup.procs && exec {words}"], check=True, timeout=120)
    login.kill()
    login.wait()
    # The control: what else was in the session goes.
    assert eventually(lambda: kit.children_reap() or not session.exists(), 90)
    assert engine.state("a")[0] == "running"
    engine("exec", "a", "true").ok()
    engine("rm", "-f", "a").ok()
