# vm: --cgroup v1
# vm: --cgroup hybrid
"""cgroup v1 controllers, alone and with a v2 hierarchy beside them that has no controllers."""

import json
import os
import subprocess

import kit
import pytest

lacks = pytest.mark.lacks
MIB = 1 << 20


def group(box, controller):
    return kit.CGROUP / controller / box.cgroup.lstrip("/")


def value(box, path):
    controller, file = path.split("/")
    return (group(box, controller) / file).read_text().strip()


def device(path):
    number = os.stat(path).st_rdev
    return os.major(number), os.minor(number)


DISK = device("/dev/vda")
THROTTLE = {"major": DISK[0], "minor": DISK[1], "rate": 2 * MIB}

LIMITS = {
    "memory": ({"memory": {"limit": 64 * MIB}}, {"memory/memory.limit_in_bytes": str(64 * MIB)}),
    "swap": (
        {"memory": {"limit": 64 * MIB, "swap": 96 * MIB}},
        {"memory/memory.memsw.limit_in_bytes": str(96 * MIB)},
    ),
    "reservation": ({"memory": {"reservation": 32 * MIB}}, {"memory/memory.soft_limit_in_bytes": str(32 * MIB)}),
    "swappiness": ({"memory": {"swappiness": 7}}, {"memory/memory.swappiness": "7"}),
    "oom-killer": ({"memory": {"disableOOMKiller": True, "limit": 64 * MIB}},
                   {"memory/memory.oom_control": "oom_kill_disable 1\nunder_oom 0\noom_kill 0"}),
    "pids": ({"pids": {"limit": 20}}, {"pids/pids.max": "20"}),
    "cpu": (
        {"cpu": {"quota": 20000, "period": 50000, "shares": 512}},
        {"cpu/cpu.cfs_quota_us": "20000", "cpu/cpu.cfs_period_us": "50000", "cpu/cpu.shares": "512"},
    ),
    "cpuset": ({"cpu": {"cpus": "1", "mems": "0"}}, {"cpuset/cpuset.cpus": "1", "cpuset/cpuset.mems": "0"}),
    "hugetlb": ({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]},
                {"hugetlb/hugetlb.2MB.limit_in_bytes": str(4 * MIB)}),
    "throttle": (
        {"blockIO": {"throttleReadBpsDevice": [THROTTLE], "throttleWriteIOPSDevice": [THROTTLE]}},
        {"blkio/blkio.throttle.read_bps_device": f"{DISK[0]}:{DISK[1]} {2 * MIB}",
         "blkio/blkio.throttle.write_iops_device": f"{DISK[0]}:{DISK[1]} {2 * MIB}"},
    ),
    "network": ({"network": {"classID": 1048577}}, {"net_cls/net_cls.classid": "1048577"}),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limit_reaches_its_file(box, name):
    resources, files = LIMITS[name]
    box.resources.update(resources)
    box.create().ok()
    assert {f: value(box, f) for f in files} == files


def test_network_priorities(box):
    """The file knows the interfaces of the network namespace that writes it."""
    box.namespace_drop("network")
    box.resources["network"] = {"priorities": [{"name": "lo", "priority": 5}]}
    box.create().ok()
    assert "lo 5" in value(box, "net_prio/net_prio.ifpriomap").splitlines()


@lacks("runc", why="1.1.5 ignores it")
def test_kernel_tcp(box):
    box.resources["memory"] = {"kernelTCP": 16 * MIB}
    box.create().ok()
    assert value(box, "memory/memory.kmem.tcp.limit_in_bytes") == str(16 * MIB)


CONTROLLERS = ["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb",
               "net_cls", "net_prio", "perf_event"]


def test_joins_every_controller_and_leaves_none(box):
    """Also those without a limit: statistics and signals need them."""
    box.up()
    pid = str(box.pid)
    for controller in CONTROLLERS:
        assert pid in value(box, f"{controller}/cgroup.procs").split(), controller
    box.delete("--force").ok()
    assert [c for c in CONTROLLERS if group(box, c).exists()] == []


def test_exec_joins_every_controller(box):
    box.up()
    box.exec("sleep", "1000", flags=["--detach"]).ok()
    counts = {c: len(value(box, f"{c}/cgroup.procs").split()) for c in CONTROLLERS}
    assert set(counts.values()) == {2}, counts


def test_memory_limit_kills(box):
    box.resources["memory"] = {"limit": 32 * MIB, "swap": 32 * MIB}
    assert "status 137" in box.output("dd if=/dev/zero of=/dev/null bs=128M count=1; echo status $?")


def test_pids_limit_stops_forks(box):
    box.resources["pids"] = {"limit": 6}
    result = box.script("for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo survived").run()
    assert "fork" in result.err, result


def test_update(box):
    """Memory and swap have to move in the right order: neither may pass the other on the way."""
    box.resources.update({"memory": {"limit": 64 * MIB, "swap": 64 * MIB}, "pids": {"limit": 20}})
    box.up()
    for size in (128 * MIB, 32 * MIB):
        resources = {"memory": {"limit": size, "swap": size}}
        box.runtime("update", "--resources", "-", box.id, input=json.dumps(resources)).ok()
        assert value(box, "memory/memory.limit_in_bytes") == str(size)
        assert value(box, "memory/memory.memsw.limit_in_bytes") == str(size)
    box.runtime("update", "--cpuset-cpus", "0", "--pids-limit", "31", box.id).ok()
    assert value(box, "cpuset/cpuset.cpus") == "0" and value(box, "pids/pids.max") == "31"


def frozen(box):
    """By whichever freezer: where a v2 hierarchy is, its own is the better one (SIGKILL still works)."""
    if group(box, "unified").exists() and "frozen 1" in value(box, "unified/cgroup.events"):
        return True
    return value(box, "freezer/freezer.state") == "FROZEN"


def test_pause_resume_and_delete_while_paused(box):
    box.up()
    box.runtime("pause", box.id).ok()
    assert frozen(box) and box.status == "paused"
    box.runtime("resume", box.id).ok()
    assert not frozen(box) and box.status == "running"
    box.runtime("pause", box.id).ok()
    box.delete("--force").ok()
    assert not group(box, "freezer").exists()


def test_delete_ends_what_init_left_without_a_pid_namespace(box):
    box.namespace_drop("pid")
    box.up("sh", "-c", "sleep 1234 & sleep 1235 & sleep 0.1")
    box.stopped()
    box.delete("--force").ok()
    assert subprocess.run(["pgrep", "-f", "sleep 123[45]"]).returncode != 0
    assert not group(box, "pids").exists()


@lacks("crun", why="has no events")
def test_events_stats(box):
    box.resources.update({"memory": {"limit": 64 * MIB}, "pids": {"limit": 20}})
    box.up()
    stats = json.loads(box.runtime("events", "--stats", box.id).ok().out)["data"]
    assert stats["memory"]["usage"]["limit"] == 64 * MIB and stats["memory"]["usage"]["usage"] > 0
    assert stats["pids"]["limit"] == 20 and stats["cpu"]["usage"]["total"] > 0


def test_device_policy(box):
    box.caps("CAP_MKNOD", "CAP_DAC_OVERRIDE")
    second = os.minor(os.stat("/dev/vdb").st_rdev)
    box.resources["devices"].append(
        {"allow": True, "type": "b", "major": DISK[0], "minor": second, "access": "rm"})
    out = box.output(f"for m in {second} {DISK[1]}; do mknod /d$m b {DISK[0]} $m && echo made $m;"
                     " dd if=/d$m of=/dev/null bs=512 count=1 && echo read $m;"
                     " dd if=/dev/zero of=/d$m bs=512 count=0 conv=notrunc && echo written $m; done; true")
    assert f"read {second}" in out and f"written {second}" not in out
    assert f"read {DISK[1]}" not in out and f"written {DISK[1]}" not in out
    assert f"made {second}" in out


def test_cgroup_mount_shows_only_its_own(box):
    box.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "ro"])
    box.resources["pids"] = {"limit": 23}
    out = box.output("cat /sys/fs/cgroup/pids/pids.max; ls -l /sys/fs/cgroup; mkdir /sys/fs/cgroup/pids/x 2>&1; true")
    assert out.startswith("23\n") and "Read-only" in out
    assert "cpu -> cpu,cpuacct" in out and "memory" in out


def test_cgroup_namespace(box):
    assert {line.split(":")[2] for line in box.output("cat /proc/self/cgroup").split()} == {"/"}
