# vm: --cgroup v2
"""checkpoint and restore through CRIU: a process tree goes on where it was."""

import os
import subprocess

import kit
import pytest

pytestmark = pytest.mark.lacks("crun", why="Debian builds it without CRIU")
COUNTER = "i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.05; done"


def count(box):
    try:
        return int((box.rootfs / "count").read_text() or 0)
    except FileNotFoundError:
        return 0


def counting(box, more_than=0):
    return kit.eventually(lambda: count(box) > more_than, 20)


def detached(box, *args, out=subprocess.DEVNULL):
    """With /dev/null as stdio: CRIU can't name a file that lies outside of the container."""
    log = box.dir / "log"
    process = box.runtime.popen(*args, globals=("--log", log), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    code = process.wait(60)
    assert code == 0, (args, code, log.read_text() if log.exists() else "", criu_log(box))


def criu_log(box):
    return [f"{path}: {line}" for path in box.dir.rglob("*.log")
            for line in path.read_text(errors="replace").splitlines() if "Error" in line]


def images(box, name="images"):
    path = box.dir / name
    path.mkdir(exist_ok=True)
    return path


def start(box, script=COUNTER, **kw):
    box.script(script)
    box.save()
    detached(box, "run", "--detach", "--bundle", box.dir, box.id, **kw)
    return box


def checkpoint(box, *flags, path=None):
    path = path or images(box)
    result = box.runtime("checkpoint", "--image-path", path, "--work-path", path, *flags, box.id)
    assert result.code == 0, (result, criu_log(box))
    return path


def restore(box, *flags, path=None, **kw):
    path = path or images(box)
    detached(box, "restore", "--detach", "--image-path", path, "--work-path", path, "--bundle", box.dir, *flags,
             box.id, **kw)


def test_a_counter_goes_on(box):
    start(box)
    assert counting(box, 3)
    checkpoint(box)
    stopped_at = count(box)
    assert box.runtime("state", box.id).code != 0  # a checkpointed container is gone
    restore(box)
    assert box.status == "running"
    assert counting(box, stopped_at + 3) and count(box) < stopped_at + 1000
    assert box.exec("cat", "/proc/1/comm").ok().out == "sh\n"


def test_restored_limits_and_cgroup(box):
    box.resources.update({"memory": {"limit": 64 << 20}, "pids": {"limit": 20}})
    start(box)
    assert counting(box)
    checkpoint(box)
    restore(box)
    group = kit.CGROUP / box.cgroup.lstrip("/")
    assert (group / "pids.max").read_text() == "20\n"
    assert str(box.pid) in (group / "cgroup.procs").read_text().split()
    box.runtime("pause", box.id).ok()
    assert box.status == "paused"
    box.runtime("resume", box.id).ok()


def test_leave_running(box):
    start(box)
    assert counting(box, 1)
    checkpoint(box, "--leave-running")
    assert box.status == "running"
    now = count(box)
    assert counting(box, now)


def test_pre_dump(box):
    """First the memory while it runs, then what has changed since."""
    start(box)
    assert counting(box, 1)
    checkpoint(box, "--pre-dump", path=images(box, "before"))
    assert box.status == "running"
    checkpoint(box, "--parent-path", "../before", path=images(box))
    stopped_at = count(box)
    restore(box)
    assert counting(box, stopped_at)


def test_pipes_are_connected_anew(box):
    """The engine that restores brings other pipes than the one that started."""
    first, second = os.pipe(), os.pipe()
    start(box, "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done", out=first[1])
    before = os.read(first[0], 100)
    assert before.startswith(b"1")
    checkpoint(box)
    restore(box, out=second[1])
    os.set_blocking(second[0], False)

    def read():
        try:
            return os.read(second[0], 100)
        except BlockingIOError:
            return b""

    got = kit.eventually(read, 10)
    assert got and int(got.split()[0]) > 1
    for fd in (*first, *second):
        os.close(fd)


def test_several_processes_and_a_pid_file(box):
    start(box, "sleep 1001 & sleep 1002 & " + COUNTER)
    assert counting(box, 1)
    checkpoint(box)
    restore(box, "--pid-file", box.dir / "pid")
    assert int((box.dir / "pid").read_text()) == box.pid
    out = box.exec("ps").ok().out
    assert "sleep 1001" in out and "sleep 1002" in out


def test_a_damaged_image_is_an_error(box):
    start(box)
    assert counting(box)
    path = checkpoint(box)
    (path / "inventory.img").unlink()
    result = box.runtime("restore", "--detach", "--image-path", path, "--work-path", path, "--bundle", box.dir, box.id)
    assert result.code != 0 and "criu" in result.err.lower(), result
    box.runtime("delete", "--force", box.id)
    assert not (box.runtime.root / box.id).exists()
