# vm: --cgroup v2
"""Pure cgroup v2, driven through its files: limits, their enforcement, freezing, devices, delegation."""

import json
import os
import pathlib
import subprocess

import kit
import pytest

lacks = pytest.mark.lacks
MIB = 1 << 20


def group(box):
    return kit.CGROUP / box.cgroup.lstrip("/")


def value(box, file):
    return (group(box) / file).read_text().strip()


def device(path):
    number = os.stat(path).st_rdev
    return os.major(number), os.minor(number)


DISK = device("/dev/vda")
THROTTLE = {"major": DISK[0], "minor": DISK[1], "rate": 2 * MIB}

LIMITS = {
    "memory": ({"memory": {"limit": 64 * MIB}}, {"memory.max": str(64 * MIB)}),
    # The specification counts memory and swap together, v2 swap alone.
    "swap": ({"memory": {"limit": 64 * MIB, "swap": 96 * MIB}}, {"memory.swap.max": str(32 * MIB)}),
    "swap-none": ({"memory": {"limit": 64 * MIB, "swap": 64 * MIB}}, {"memory.swap.max": "0"}),
    "swap-all": ({"memory": {"limit": 64 * MIB, "swap": -1}}, {"memory.swap.max": "max"}),
    "memory-all": ({"memory": {"limit": -1}}, {"memory.max": "max"}),
    "reservation": ({"memory": {"reservation": 32 * MIB}}, {"memory.low": str(32 * MIB)}),
    "pids": ({"pids": {"limit": 20}}, {"pids.max": "20"}),
    "pids-all": ({"pids": {"limit": -1}}, {"pids.max": "max"}),
    "cpu-quota": ({"cpu": {"quota": 20000, "period": 50000}}, {"cpu.max": "20000 50000"}),
    "cpu-quota-alone": ({"cpu": {"quota": 30000}}, {"cpu.max": "30000 100000"}),
    "cpu-period-alone": ({"cpu": {"period": 50000}}, {"cpu.max": "max 50000"}),
    "cpuset": ({"cpu": {"cpus": "1", "mems": "0"}}, {"cpuset.cpus": "1", "cpuset.mems": "0"}),
    "hugetlb": ({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]}, {"hugetlb.2MB.max": str(4 * MIB)}),
    "io-max": (
        {"blockIO": {"throttleReadBpsDevice": [THROTTLE], "throttleWriteIOPSDevice": [THROTTLE]}},
        {"io.max": f"{DISK[0]}:{DISK[1]} rbps={2 * MIB} wbps=max riops=max wiops={2 * MIB}"},
    ),
    "unified": (
        {"unified": {"memory.high": str(48 * MIB), "pids.max": "7"}},
        {"memory.high": str(48 * MIB), "pids.max": "7"},
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limit_reaches_its_file(box, name):
    resources, files = LIMITS[name]
    box.resources.update(resources)
    box.create().ok()
    assert {f: value(box, f) for f in files} == files


def test_shares_become_a_weight(box):
    """Runtimes disagree on the curve; all keep the order and the default."""
    weights = []
    for shares in (2, 512, 1024, 262144):
        box.resources["cpu"] = {"shares": shares}
        box.create().ok()
        weights.append(int(value(box, "cpu.weight")))
        box.delete("--force").ok()
    assert weights == sorted(set(weights)) and weights[0] == 1 and weights[-1] == 10000


@lacks("runc", "crun", why="older than burst and idle")
def test_cpu_burst_and_idle(box):
    box.resources["cpu"] = {"quota": 50000, "period": 100000, "burst": 20000}
    box.create().ok()
    assert value(box, "cpu.max.burst") == "20000"
    box.delete("--force").ok()
    box.resources["cpu"] = {"idle": 1}
    box.create().ok()
    assert value(box, "cpu.idle") == "1"


def test_io_weight(box):
    box.resources["blockIO"] = {"weight": 500}
    box.create().ok()
    files = [f for f in ("io.bfq.weight", "io.weight") if (group(box) / f).exists()]
    values = {f: value(box, f) for f in files}
    assert any(v not in ("default 100", "100") for v in values.values()), values


@lacks("runc", why="1.1.5 ignores it")
@lacks("crun", why="1.8.1 ignores it")
def test_zero_pids_is_a_limit(box):
    """Written as 1: into a v2 cgroup of none, not even init can be cloned."""
    box.resources["pids"] = {"limit": 0}
    box.create().ok()
    assert value(box, "pids.max") == "1"


@lacks("crun", why="1.8.1 doesn't look whether the controller is there")
def test_limit_of_a_missing_file_is_an_error(box):
    box.resources["unified"] = {"memory.nonesuch": "1"}
    box.create().failed("memory.nonesuch")


def test_memory_limit_kills(box, shell):
    box.resources["memory"] = {"limit": 32 * MIB, "swap": 32 * MIB}
    box.script("dd if=/dev/zero of=/dev/null bs=128M count=1; echo status $?; sleep 1000").create().ok()
    box.start().ok()
    assert "status 137" in box.printed("status")
    assert "oom_kill 1" in value(box, "memory.events")


def test_pids_limit_stops_forks(box):
    box.resources["pids"] = {"limit": 6}
    result = box.script("for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo survived").run()
    assert "fork" in result.err, result


def test_cpu_quota_throttles(box):
    box.resources["cpu"] = {"quota": 10000, "period": 100000}
    box.up("sh", "-c", "while :; do :; done")
    throttled = lambda: "nr_throttled 0" not in value(box, "cpu.stat")
    assert kit.eventually(throttled)


def test_cpuset_confines(box):
    box.resources["cpu"] = {"cpus": "1", "mems": "0"}
    out = box.output("grep _allowed_list /proc/self/status")
    assert out.split() == ["Cpus_allowed_list:", "1", "Mems_allowed_list:", "0"]


def test_io_limit_slows(box, clock):
    box.resources["blockIO"] = {"throttleWriteBpsDevice": [THROTTLE]}
    box.output("dd if=/dev/zero of=/file bs=1M count=4 oflag=direct")
    assert clock() > 1.2


# ---- update ----


def test_update_by_flags(box):
    box.resources.update({"memory": {"limit": 64 * MIB}, "pids": {"limit": 20}})
    box.up()
    box.runtime("update", "--memory", str(80 * MIB), "--pids-limit", "30", box.id).ok()
    box.runtime("update", "--cpu-quota", "40000", "--cpu-period", "80000", "--cpuset-cpus", "0", box.id).ok()
    files = {"memory.max": str(80 * MIB), "pids.max": "30", "cpu.max": "40000 80000", "cpuset.cpus": "0"}
    assert {f: value(box, f) for f in files} == files
    assert box.status == "running"


def test_update_by_resources(box):
    box.resources.update({"memory": {"limit": 64 * MIB, "swap": 64 * MIB}, "pids": {"limit": 20}})
    box.up()
    resources = {"memory": {"limit": 96 * MIB, "swap": 96 * MIB}, "unified": {"memory.high": str(90 * MIB)}}
    box.runtime("update", "--resources", "-", box.id, input=json.dumps(resources)).ok()
    files = {"memory.max": str(96 * MIB), "memory.high": str(90 * MIB), "pids.max": "20"}
    assert {f: value(box, f) for f in files} == files


def test_update_keeps_what_it_does_not_name(box):
    box.resources["cpu"] = {"quota": 20000, "period": 50000}
    box.up()
    box.runtime("update", "--pids-limit", "30", box.id).ok()
    assert value(box, "cpu.max") == "20000 50000"


# ---- freezing, killing, deleting ----


def test_pause_stops_and_resume_continues(box):
    box.up("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.02; done")
    count = lambda: (box.rootfs / "count").read_text()
    assert kit.eventually((box.rootfs / "count").exists)
    box.runtime("pause", box.id).ok()
    assert value(box, "cgroup.freeze") == "1" and "frozen 1" in value(box, "cgroup.events")
    assert box.status == "paused"
    before = count()
    assert not kit.eventually(lambda: count() != before, 0.3)
    box.runtime("resume", box.id).ok()
    assert box.status == "running"
    assert kit.eventually(lambda: count() != before)


def test_a_paused_container_can_be_killed_and_deleted(box):
    box.up()
    box.runtime("pause", box.id).ok()
    box.delete("--force").ok()
    assert not group(box).exists()


@lacks("runc", why="1.1.5 execs into it and hangs")
def test_exec_in_a_paused_container_is_refused(box):
    box.up()
    box.runtime("pause", box.id).ok()
    box.exec("true", timeout=10).failed("paused")


def test_exec_joins_the_cgroup(box):
    box.up()
    assert box.exec("cat", "/proc/self/cgroup").ok().out.strip() == "0::/"
    box.exec("sleep", "1000", flags=["--detach"]).ok()
    assert len(value(box, "cgroup.procs").split()) == 2


NESTED = """mkdir /sys/fs/cgroup/leaf && echo 1 >/sys/fs/cgroup/leaf/cgroup.procs &&
    echo +pids >/sys/fs/cgroup/cgroup.subtree_control && echo moved; sleep 1000"""


def nested(box):
    """A container whose init has moved to a cgroup of its own, as systemd does: nothing may join the
    container's cgroup itself any more."""
    box.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev"])
    box.up("sh", "-c", NESTED)
    box.printed("moved")
    return box


def test_exec_where_init_has_moved(box):
    nested(box)
    assert box.exec("cat", "/proc/self/cgroup").ok().out.strip() == "0::/leaf"


def test_delete_removes_nested_cgroups(box):
    nested(box)
    box.delete("--force").ok()
    assert not group(box).exists()


@lacks("runc", why="1.1.5 leaves them and the cgroup")
def test_delete_ends_what_init_left_without_a_pid_namespace(box):
    box.namespace_drop("pid")
    box.up("sh", "-c", "sleep 1234 & sleep 1235 & sleep 0.1")
    box.stopped()
    box.delete().ok()
    try:
        assert not group(box).exists()
        assert not subprocess.run(["pgrep", "-f", "sleep 123[45]"]).returncode == 0
    finally:
        if group(box).exists():
            (group(box) / "cgroup.kill").write_text("1")
            kit.eventually(lambda: not value(box, "cgroup.procs"))
            group(box).rmdir()


@lacks("runc", why="1.1.5 only warns")
@lacks("crun", why="1.8.1 joins it")
def test_create_refuses_a_populated_cgroup(box):
    group(box).mkdir(parents=True)
    sleeper = subprocess.Popen(["sleep", "1000"])
    try:
        (group(box) / "cgroup.procs").write_text(str(sleeper.pid))
        box.create().failed("not empty")
    finally:
        sleeper.kill()
        sleeper.wait()
        kit.eventually(lambda: not value(box, "cgroup.procs"))
        group(box).rmdir()


@lacks("crun", why="1.8.1 hangs")
def test_create_refuses_a_frozen_cgroup(box):
    group(box).mkdir(parents=True)
    (group(box) / "cgroup.freeze").write_text("1")
    box.create(timeout=10).failed("frozen")
    (group(box) / "cgroup.freeze").write_text("0")
    if group(box).exists():
        group(box).rmdir()


# ---- statistics ----


@lacks("crun", why="has no events")
def test_events_stats(box):
    box.resources.update({"memory": {"limit": 64 * MIB}, "pids": {"limit": 20}})
    box.up("sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 1000")
    data = lambda: json.loads(box.runtime("events", "--stats", box.id).ok().out)["data"]
    assert kit.eventually(lambda: data()["cpu"]["usage"]["total"] > 0)
    stats = data()
    assert stats["memory"]["usage"]["limit"] == 64 * MIB and stats["memory"]["usage"]["usage"] > 0
    assert stats["pids"]["limit"] == 20 and stats["pids"]["current"] >= 1


@lacks("crun", why="has no events")
def test_events_tell_of_an_oom(box, runtime):
    box.resources["memory"] = {"limit": 32 * MIB, "swap": 32 * MIB}
    box.up("sh", "-c", "while [ ! -e /go ]; do sleep 0.05; done;"
                       "dd if=/dev/zero of=/dev/null bs=128M count=1; sleep 1000")
    out = box.dir / "events"
    with open(out, "w") as f:
        events = runtime.popen("events", box.id, stdout=f)
    try:
        kit.eventually(lambda: out.read_text(), 2)  # the first statistics: it listens now
        (box.rootfs / "go").touch()
        assert kit.eventually(lambda: '"type":"oom"' in out.read_text().replace(" ", "")), out.read_text()
    finally:
        events.kill()
        events.wait()


# ---- devices ----


def disks(box, *rules):
    """A container that may make nodes, with nodes of both disks."""
    box.caps("CAP_MKNOD", "CAP_DAC_OVERRIDE")
    box.resources["devices"] += [
        {"allow": True, "type": "b", "major": DISK[0], "minor": m, "access": a} for m, a in rules]
    return box


def access(minor):
    return (f"mknod /d{minor} b {DISK[0]} {minor} && echo made;"
            f"dd if=/d{minor} of=/dev/null bs=512 count=1 && echo read;"
            f"dd if=/dev/zero of=/d{minor} bs=512 count=0 conv=notrunc && echo written; true")


def test_device_policy_denies(box):
    """Making nodes is harmless and allowed to all; opening them is not."""
    out = disks(box).output(access(0))
    assert "read" not in out and "written" not in out


def test_device_policy_allows_what_it_says(box):
    first, second = os.stat("/dev/vda").st_rdev & 0xFF, os.minor(os.stat("/dev/vdb").st_rdev)
    disks(box, (second, "rm")).caps("CAP_MKNOD", "CAP_DAC_OVERRIDE")
    out = box.output(f"{access(second)}; echo --; {access(first)}")
    allowed, denied = out.split("--")
    assert allowed.split() == ["made", "read"]
    assert "read" not in denied


def test_later_device_rules_win(box):
    minor = os.minor(os.stat("/dev/vdb").st_rdev)
    disks(box, (minor, "rwm"))
    box.resources["devices"].append(
        {"allow": False, "type": "b", "major": DISK[0], "minor": minor, "access": "w"})
    assert box.output(access(minor)).split() == ["made", "read"]


def test_default_devices_work(box):
    box.output("cat /dev/null; head -c 4 /dev/zero /dev/urandom >/dev/null; echo x >/dev/tty || true")


def test_one_device_program_per_container(box, shell):
    """update must not stack programs up."""
    programs = lambda: [p for p in json.loads(shell("bpftool", "-j", "cgroup", "show", group(box)) or "[]")
                        if "device" in p["attach_type"]]
    box.up()
    assert len(programs()) == 1
    for limit in ("30", "40"):
        box.runtime("update", "--pids-limit", limit, box.id).ok()
    assert len(programs()) == 1


# ---- what the container sees, and what is delegated to it ----


def test_cgroup_namespace(box):
    assert box.output("cat /proc/self/cgroup").strip() == "0::/"


def test_without_a_cgroup_namespace(box):
    box.namespace_drop("cgroup")
    assert box.output("cat /proc/self/cgroup").strip() == f"0::{box.cgroup}"


def test_cgroup_mount_shows_only_its_own(box):
    box.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "ro"])
    box.resources["pids"] = {"limit": 23}
    out = box.output("cat /sys/fs/cgroup/pids.max; mkdir /sys/fs/cgroup/x 2>&1;"
                     "grep ' /sys/fs/cgroup ' /proc/self/mountinfo")
    assert out.startswith("23\n") and "Read-only" in out and " - cgroup2 " in out


DELEGATE = pathlib.Path("/sys/kernel/cgroup/delegate").read_text().split()


def owners(box):
    return {f.name: f.stat().st_uid for f in group(box).iterdir()}


@lacks("runc", why="1.1.5 does so with the systemd driver only")
def test_cgroup_is_delegated_to_a_user_namespace(box):
    box.mapped().mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev"])
    box.script("mkdir /sys/fs/cgroup/sub && echo $$ >/sys/fs/cgroup/sub/cgroup.procs && echo joined; sleep 1000")
    box.create().ok()
    have = owners(box)
    assert group(box).stat().st_uid == 100000
    assert {f for f, uid in have.items() if uid == 100000} == {f for f in DELEGATE if f in have}
    assert have["memory.max"] == 0
    box.start().ok()
    box.printed("joined")


@pytest.mark.parametrize("why", ["read-only", "no-cgroup-namespace"])
def test_cgroup_is_not_delegated(box, why):
    options = ["nosuid", "noexec", "nodev"] + (["ro"] if why == "read-only" else [])
    box.mapped().mount("/sys/fs/cgroup", "cgroup", "cgroup", options)
    if why == "no-cgroup-namespace":
        box.namespace_drop("cgroup")
    box.create().ok()
    assert set(owners(box).values()) == {0} and group(box).stat().st_uid == 0


# ---- starting in the cgroup ----


def test_the_container_starts_again_after_cgroup_kill(box):
    """A killed cgroup that is used again: some kernels kill what is cloned into it."""
    for _ in range(2):
        group(box).mkdir(parents=True, exist_ok=True)
        (group(box) / "cgroup.kill").write_text("1")
        assert box.output("echo alive").strip() == "alive"
