# vm: --cgroup v2
# vm: --cgroup hybrid
"""Checkpoints and cgroups: by the file system and by systemd, paused, in other places than before."""

import json
import os
import shutil
import subprocess
import time

import kit
import pytest
from test_checkpoint import COUNTER, checkpoint, count, counting, restore, start
from test_criu import twice

pytestmark = pytest.mark.lacks("crun", why="Debian builds it without CRIU")


# ---- cgroups ----


@pytest.mark.lacks("runc", why="what it mounts depends on where it runs")
def test_a_cgroup_mount_without_a_cgroup_namespace(box):
    box.namespaces("pid", "network", "ipc", "uts", "mount")
    box.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro"])
    start(box)
    assert counting(box)
    look = lambda: box.exec("sh", "-c", "find /sys/fs/cgroup -name cgroup.procs | sort").ok().out
    before = look()
    assert before
    twice(box)
    assert look() == before


def group_of(pid):
    return {line.split(":", 2)[2] for line in open(f"/proc/{pid}/cgroup").read().split()}


@pytest.mark.lacks("runc", why="its processes stay in the cgroup that they were in")
def test_another_id_in_another_cgroup(box, containers):
    other = containers()
    box.resources["pids"] = {"limit": 20}
    start(box, "sleep 1001 & " + COUNTER)
    assert counting(box)
    path = checkpoint(box)
    other.config = json.loads(json.dumps(box.config))
    other.linux["cgroupsPath"] = other.cgroup = f"/berth-vm/else/{other.id}"
    shutil.rmtree(other.rootfs)
    other.config["root"]["path"] = str(box.rootfs)
    other.save()
    restore(other, path=path)
    assert counting(box, count(box))
    assert any(g.endswith(f"/else/{other.id}") for g in group_of(other.pid))
    assert not any(box.id in g.split("/") for g in group_of(other.pid))
    assert len(json.loads(other.runtime("ps", "--format", "json", other.id).ok().out)) >= 2
    kit.cgroup_parents_remove("/berth-vm/else")


def test_a_paused_container_stays_paused(box):
    start(box)
    assert counting(box)
    box.runtime("pause", box.id).ok()
    checkpoint(box, "--leave-running")
    assert box.status == "paused"
    now = count(box)
    time.sleep(1)
    assert count(box) == now
    box.runtime("resume", box.id).ok()
    assert counting(box, now)


def test_cgroups_left_to_the_runtime(box):
    """As podman restores into a pod."""
    start(box)
    assert counting(box)
    twice(box, restore_flags=("--manage-cgroups-mode", "ignore"))
    assert any(g.endswith(f"/{box.id}") for g in group_of(box.pid))


@pytest.fixture
def systemd_box(base, workshop):
    runtime = kit.Runtime(base)
    plain = runtime.argv
    runtime.argv = lambda *args, globals=(): plain(*args, globals=("--systemd-cgroup", *globals))
    box = kit.Container(runtime, workshop, "scoped", "/berth-vm")
    box.linux["cgroupsPath"] = f"system.slice:berth:{box.id}"
    yield box
    box.delete("--force").ok()
    shutil.rmtree(box.dir)


def test_the_systemd_driver(systemd_box):
    box = systemd_box
    box.resources["memory"] = {"limit": 64 << 20}
    unit = f"berth-{box.id}.scope"
    show = lambda name: subprocess.check_output(["systemctl", "show", unit, f"-p{name}", "--value"], text=True).strip()
    start(box, "sleep 1001 & " + COUNTER)
    assert counting(box)
    checkpoint(box)
    assert show("ActiveState") != "active"
    restore(box)
    assert (show("ActiveState"), show("MemoryMax") if "v2" in os.environ["BERTH_VM_VARIANT"] else str(64 << 20)) == ("active", str(64 << 20))
    assert any(g.endswith(f"/system.slice/{unit}") for g in group_of(box.pid))
    assert counting(box, count(box))
    box.runtime("pause", box.id).ok()
    assert box.status == "paused"
    box.runtime("resume", box.id).ok()
