"""cgroups: where a container goes, each limit's file, update, freezing, and the v2 leaf of a hybrid host.

These read the host's files of v1 controllers; tests/vm runs the v2 and systemd variants."""

import json
import os
import pathlib

import kit
import pytest

pytestmark = [pytest.mark.fast, pytest.mark.needs("cgroup:memory", "cgroup:pids", "cgroup:cpu")]
lacks = pytest.mark.lacks

UNIFIED = kit.CGROUP / "unified"
GONE = "9223372036854771712"  # what memory files show for "no limit"


def made(box, **resources):
    box.resources.update(resources)
    box.args("sleep", "1000").create().ok()
    return box


# ---- where ----


def test_container_is_in_every_controller(box):
    made(box)
    pid = str(box.pid)
    for controller in ("memory", "pids", "cpu", "cpuset", "devices", "freezer", "blkio", "cpuacct"):
        assert pid in box.cgroup_file(controller, "cgroup.procs").split(), controller


def test_groups_are_removed_by_delete(box):
    made(box).delete().ok()
    assert not box.cgroup_dir("memory").exists()


def test_groups_that_were_there_before_stay(box):
    """What the runtime did not create it does not remove: the parents."""
    parent = box.cgroup_dir("memory").parent
    parent.mkdir(exist_ok=True)
    box.args("true").run().ok()
    assert parent.is_dir()


def test_relative_cgroups_path(box):
    """The runtime chooses the place, the same each time."""
    box.linux["cgroupsPath"] = "berth-test-relative/" + box.id
    places = []
    for _ in range(2):
        made(box)
        places.append(open(f"/proc/{box.pid}/cgroup").read())
        box.delete("--force").ok()
    assert places[0] == places[1]
    line = [l for l in places[0].splitlines() if ":memory:" in l][0]
    assert line.endswith(f"berth-test-relative/{box.id}")
    for d in kit.CGROUP.glob("*/berth-test-relative"):
        d.rmdir()


def test_default_cgroups_path(box):
    del box.linux["cgroupsPath"]
    made(box)
    line = [l for l in open(f"/proc/{box.pid}/cgroup") if ":memory:" in l][0]
    assert line.strip().endswith("/" + box.id)


@pytest.mark.parametrize("path", ["/../../../berth-test-escape", "/berth/../../../berth-test-escape"])
def test_cgroups_path_with_dots_stays_below_the_mount(box, path):
    box.linux["cgroupsPath"] = path
    result = box.args("true").run()
    assert not pathlib.Path("/sys/fs/berth-test-escape").exists()
    assert not (kit.CGROUP / "berth-test-escape").exists()
    assert result.code in (0, 1)
    for d in [*kit.CGROUP.glob("*/berth-test-escape"), *kit.CGROUP.glob("*/berth")]:
        d.rmdir()


@lacks("runc", "crun", why="leave unified alone where v1 controllers are mounted")
@pytest.mark.needs("path:/sys/fs/cgroup/unified/cgroup.procs")
def test_hybrid_host_has_a_v2_leaf_too(box):
    """PSI, cgroup.kill, cgroup.freeze and cgroup.events then work."""
    made(box)
    leaf = UNIFIED / box.cgroup.lstrip("/")
    assert str(box.pid) in (leaf / "cgroup.procs").read_text().split()
    assert "some" in (leaf / "cpu.pressure").read_text() if (leaf / "cpu.pressure").exists() else True
    box.delete("--force").ok()
    assert not leaf.exists()


def test_exec_is_in_the_containers_groups(box):
    box.up()
    out = box.exec("cat", "/proc/self/cgroup").ok().out
    init = box.exec("cat", "/proc/1/cgroup").ok().out
    assert out == init


def test_children_count(box):
    box.up("sh", "-c", "sleep 1000 & sleep 1000 & echo up; wait")
    box.printed("up")
    assert len(box.processes()) == 3


# ---- memory ----

MEMORY = [
    ({"limit": 64 << 20}, "memory.limit_in_bytes", str(64 << 20)),
    ({"limit": -1}, "memory.limit_in_bytes", GONE),
    ({"limit": 64 << 20, "reservation": 32 << 20}, "memory.soft_limit_in_bytes", str(32 << 20)),
    ({"limit": 64 << 20, "swap": 96 << 20}, "memory.memsw.limit_in_bytes", str(96 << 20)),
    ({"limit": 64 << 20, "swap": -1}, "memory.memsw.limit_in_bytes", GONE),
    ({"swappiness": 7}, "memory.swappiness", "7"),
    ({"swappiness": 0}, "memory.swappiness", "0"),
]


@pytest.mark.parametrize("memory, file, value", MEMORY)
def test_memory(box, memory, file, value):
    if not (kit.CGROUP / "memory" / file).exists():
        pytest.skip(f"this kernel has no {file}")
    made(box, memory=memory)
    assert box.cgroup_file("memory", file) == value


def test_memory_disable_oom_killer(box):
    made(box, memory={"limit": 64 << 20, "disableOOMKiller": True})
    assert "oom_kill_disable 1" in box.cgroup_file("memory", "memory.oom_control")


@pytest.mark.parametrize("memory", [{"kernel": 64 << 20}, {"kernelTCP": 64 << 20}])
def test_memory_limits_that_kernels_have_dropped(box, memory):
    """Not an error where only the kernel lacks it for long: runc ignores kernel, since 5.16."""
    result = box.args("true")
    box.resources["memory"] = {"limit": 128 << 20, **memory}
    assert box.run().code in (0, 1)


@lacks("crun", why="says what the kernel said")
def test_swap_below_the_limit_is_an_error(box):
    box.resources["memory"] = {"limit": 64 << 20, "swap": 32 << 20}
    box.run().failed("memory").names("linux.resources.memory.swap")


@pytest.mark.parametrize("value", [101, 1 << 40, -1])
def test_swappiness_out_of_range(box, value):
    box.resources["memory"] = {"swappiness": value}
    box.run().failed().names("linux.resources.memory.swappiness")


@pytest.mark.parametrize("limit", ["64M", 1.5, 1 << 70, True, [], {}])
@lacks("crun", why="takes some")
def test_memory_limit_of_the_wrong_type(box, limit):
    box.resources["memory"] = {"limit": limit}
    box.run().failed().names("linux.resources.memory.limit")


@pytest.mark.parametrize("kib", [256, 512])
@lacks("runc", "crun", why="need more themselves")
def test_small_memory_limit_starts_a_small_program(box, kib):
    box.args("true").resources["memory"] = {"limit": kib << 10}
    box.run().ok()


def test_memory_limit_is_enforced(box):
    box.resources["memory"] = {"limit": 32 << 20, "swap": 32 << 20}
    assert box.args("probe", "eat", str(100 << 20)).run().code == 137


def test_limit_too_small_to_start_is_explained(box):
    """runc#2812: the message says that memory ran out and what the limit was."""
    box.resources["memory"] = {"limit": 4096}
    box.args("true").run().failed().names("memory")


# ---- cpu and cpuset ----


@pytest.mark.parametrize("cpu, file, value", [
    ({"shares": 512}, "cpu.shares", "512"), ({"quota": 50000, "period": 100000}, "cpu.cfs_quota_us", "50000"),
    ({"quota": 50000, "period": 200000}, "cpu.cfs_period_us", "200000"), ({"quota": -1}, "cpu.cfs_quota_us", "-1"),
    ({"period": 50000}, "cpu.cfs_period_us", "50000")])
def test_cpu(box, cpu, file, value):
    made(box, cpu=cpu)
    assert box.cgroup_file("cpu", file) == value


@lacks("runc", "crun", why="older than burst")
def test_cpu_burst(box):
    made(box, cpu={"quota": 50000, "period": 100000, "burst": 20000})
    assert box.cgroup_file("cpu", "cpu.cfs_burst_us") == "20000"


@lacks("runc", why="older than idle")
def test_cpu_idle(box):
    made(box, cpu={"idle": 1})
    assert box.cgroup_file("cpu", "cpu.idle") == "1"


@lacks("runc", "crun", why="older than burst")
def test_cpu_burst_above_quota_is_an_error(box):
    box.resources["cpu"] = {"quota": 10000, "period": 100000, "burst": 20000}
    box.run().failed().names("burst")


@pytest.mark.needs("path:/sys/fs/cgroup/cpu/cpu.rt_runtime_us")
def test_realtime(box):
    parent = box.cgroup_dir("cpu").parent
    parent.mkdir(exist_ok=True)
    (parent / "cpu.rt_runtime_us").write_text("10000")
    made(box, cpu={"realtimeRuntime": 5000, "realtimePeriod": 1000000})
    assert box.cgroup_file("cpu", "cpu.rt_runtime_us") == "5000"


def test_cpuset(box):
    made(box, cpu={"cpus": "0", "mems": "0"})
    assert box.cgroup_file("cpuset", "cpuset.cpus") == "0"
    assert box.cgroup_file("cpuset", "cpuset.mems") == "0"
    assert "Cpus_allowed_list:\t0\n" in open(f"/proc/{box.pid}/status").read()


def test_cpuset_is_inherited_without_a_value(box):
    made(box)
    assert box.cgroup_file("cpuset", "cpuset.cpus") == (kit.CGROUP / "cpuset/cpuset.cpus").read_text().strip()


@pytest.mark.parametrize("cpus", ["4096", "x", "1-", "-1"])
def test_invalid_cpuset(box, cpus):
    box.resources["cpu"] = {"cpus": cpus}
    box.run().failed().names(("linux.resources.cpu.cpus", "cpuset.cpus"))


@pytest.mark.parametrize("cpu, noun", [
    ({"shares": -1}, "shares"), ({"quota": 10}, "quota"), ({"period": 10}, "period"), ({"shares": "1"}, "shares")])
def test_invalid_cpu(box, cpu, noun):
    box.resources["cpu"] = cpu
    result = box.args("true").run()
    if cpu != {"shares": -1} or kit.PEER == "berth":
        result.failed().names(noun)


# ---- pids ----


@pytest.mark.parametrize("limit, value", [(100, "100"), (-1, "max"), (1, "1")])
def test_pids(box, limit, value):
    made(box, pids={"limit": limit})
    assert box.cgroup_file("pids", "pids.max") == value


@lacks("runc", "crun", why="older ones take 0 as no limit")
def test_pids_of_zero_is_a_limit(box):
    """config-linux.md: "0" is a valid limit value; nothing may fork. Written as 1, as runc does since 1.4:
    the kernel would not let init itself be cloned into a v2 cgroup of none, and systemd refuses it."""
    made(box, pids={"limit": 0})
    assert box.cgroup_file("pids", "pids.max") == "1"
    box.start().ok()
    assert box.status == "running"


def test_pids_limit_is_enforced(box):
    box.resources["pids"] = {"limit": 5}
    out = box.script("for i in 1 2 3 4 5 6 7 8; do sleep 3 & done; wait").run()
    assert "fork" in out.err.lower()


# ---- block I/O, huge pages, network, rdma, unified ----


def disk():
    """A block device that can be throttled: "major:minor", or None."""
    for d in sorted(pathlib.Path("/sys/block").iterdir()):
        if not d.name.startswith(("loop", "ram")):
            return (d / "dev").read_text().strip()


THROTTLES = [("throttleReadBpsDevice", "read_bps"), ("throttleWriteBpsDevice", "write_bps"),
             ("throttleReadIOPSDevice", "read_iops"), ("throttleWriteIOPSDevice", "write_iops")]


@pytest.mark.parametrize("key, file", THROTTLES)
def test_block_throttles(box, key, file):
    numbers = disk()
    if not numbers:
        pytest.skip("no block device")
    major, minor = map(int, numbers.split(":"))
    made(box, blockIO={key: [{"major": major, "minor": minor, "rate": 1048576}]})
    assert box.cgroup_file("blkio", f"blkio.throttle.{file}_device") == f"{numbers} 1048576"


def test_block_weight(box):
    bfq = (kit.CGROUP / "blkio" / "blkio.bfq.io_service_bytes").exists()
    if not bfq:
        pytest.skip("this kernel has no I/O weights")
    made(box, blockIO={"weight": 300})
    names = ("blkio.weight", "blkio.bfq.weight")
    values = [box.cgroup_file("blkio", n) for n in names if (box.cgroup_dir("blkio") / n).exists()]
    assert "300" in values


@pytest.mark.parametrize("weight", [5, 1001, 70000, -1])
@lacks("runc", "crun", why="have their own validation")
def test_block_weight_out_of_range(box, weight):
    box.resources["blockIO"] = {"weight": weight}
    box.run().failed().names("linux.resources.blockIO.weight")


def test_throttle_of_a_device_that_does_not_exist(box):
    box.resources["blockIO"] = {"throttleReadBpsDevice": [{"major": 250, "minor": 250, "rate": 1000}]}
    box.run().failed().names("250:250")


@pytest.mark.parametrize("file", ["hugetlb.2MB.rsvd.limit_in_bytes"])
def test_hugepages(box, file):
    v1 = kit.CGROUP / "hugetlb" / file
    if not v1.exists():
        pytest.skip("the v1 controller hugetlb is not mounted")
    made(box, hugepageLimits=[{"pageSize": "2MB", "limit": 4 << 20}])
    if kit.PEER != "berth":
        file = "hugetlb.2MB.limit_in_bytes"
    assert box.cgroup_file("hugetlb", file) == str(4 << 20)


@lacks("runc", "crun", why="have no such check")
def test_hugepages_of_an_unknown_size(box):
    box.resources["hugepageLimits"] = [{"pageSize": "3MB", "limit": 1}]
    box.run().failed().names("3MB")


@lacks("runc", "crun", why="ignore what they can't apply")
@pytest.mark.parametrize("resources, noun", [
    ({"network": {"classID": 1048577}}, "net_cls"), ({"network": {"priorities": [{"name": "lo", "priority": 1}]}}, "net_prio"),
    ({"rdma": {"mlx5_1": {"hcaHandles": 3}}}, "rdma")])
def test_limits_of_controllers_that_are_not_there(box, resources, noun):
    if (kit.CGROUP / noun).exists():
        pytest.skip(f"{noun} is mounted here")
    box.resources.update(resources)
    box.run().failed().names(noun)


@lacks("runc", "crun", why="refuse unified on any host with v1 controllers, or ignore it")
def test_unified_of_a_controller_that_is_not_there(box):
    """memory belongs to v1 here; the specification wants an error, not silence."""
    box.resources["unified"] = {"memory.high": "1000000"}
    box.run().failed().names("memory.high")


@lacks("runc", "crun", why="refuse unified on any host with v1 controllers, or ignore it")
@pytest.mark.parametrize("key", ["../x", "a/b", "", "/etc/passwd", "memory/../../x"])
def test_unified_keys_are_file_names(box, key):
    box.resources["unified"] = {key: "1"}
    box.run().failed().names("unified")


# ---- devices ----


def device_list(box):
    return box.cgroup_file("devices", "devices.list").splitlines()


def test_device_rules_are_applied_in_order(box):
    box.resources["devices"] = [
        {"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
        {"allow": True, "type": "b", "major": 8, "access": "r"},
        {"allow": False, "type": "c", "major": 10, "minor": 229, "access": "w"}]
    rows = device_list(made(box))
    assert "c 10:229 r" in rows and "b 8:* r" in rows
    assert "c 10:229 rw" not in rows and "a *:* rwm" not in rows


def test_default_devices_are_allowed(box):
    rows = device_list(made(box))
    for device in ("c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 136:* rwm"):
        assert device in rows, rows


def test_allow_everything(box):
    box.resources["devices"] = [{"allow": True, "access": "rwm"}]
    assert device_list(made(box)) == ["a *:* rwm"]


@lacks("runc", why="ignores letters that it does not know")
@pytest.mark.parametrize("rule", [{"allow": True, "type": "z", "access": "r"}, {"allow": True, "type": "c", "access": "rx"}])
def test_invalid_device_rules(box, rule):
    box.resources["devices"] = [rule]
    box.run().failed().names("linux.resources.devices[0]")


# ---- groups that are not fit ----


@lacks("runc", "crun", why="1.1.5 warns, 1.8.1 joins")
def test_create_in_a_group_that_is_not_empty(containers):
    holder, box = containers().up(), containers()
    box.linux["cgroupsPath"] = holder.cgroup
    box.run().failed(("not empty", "processes")).names(holder.cgroup)
    assert holder.status == "running"
    assert holder.exec("true").code == 0


@lacks("crun", why="hangs")
def test_create_in_a_frozen_group(box):
    group = box.cgroup_dir("freezer")
    group.mkdir(parents=True)
    (group / "freezer.state").write_text("FROZEN")
    try:
        box.run(timeout=20).failed("frozen")
        assert group.exists() or kit.PEER != "berth"
    finally:
        if group.exists():
            (group / "freezer.state").write_text("THAWED")
            group.rmdir()


@lacks("crun", why="hangs")
def test_exec_in_a_frozen_group(box):
    """Someone else froze it; no verb may hang on it."""
    box.up()
    state = box.cgroup_dir("freezer") / "freezer.state"
    state.write_text("FROZEN")
    try:
        assert box.exec("true", timeout=20).code != 0
        box.state()
    finally:
        state.write_text("THAWED")


def test_delete_force_of_a_frozen_group(box):
    box.up()
    (box.cgroup_dir("freezer") / "freezer.state").write_text("FROZEN")
    assert box.runtime("delete", "--force", box.id, timeout=20).code == 0


def test_delete_removes_groups_made_inside(box):
    """A container may have made subgroups of its own."""
    box.up()
    for controller in ("memory", "pids"):
        (box.cgroup_dir(controller) / "sub" / "sub").mkdir(parents=True)
    box.delete("--force").ok()


# ---- update ----


@pytest.mark.parametrize("flag, value, controller, file, want", [
    ("--memory", "128M", "memory", "memory.limit_in_bytes", str(128 << 20)),
    ("--memory-reservation", "33554432", "memory", "memory.soft_limit_in_bytes", str(32 << 20)),
    ("--cpu-share", "300", "cpu", "cpu.shares", "300"), ("--cpu-quota", "60000", "cpu", "cpu.cfs_quota_us", "60000"),
    ("--cpu-period", "50000", "cpu", "cpu.cfs_period_us", "50000"), ("--pids-limit", "77", "pids", "pids.max", "77"),
    ("--cpuset-cpus", "0", "cpuset", "cpuset.cpus", "0"), ("--cpuset-mems", "0", "cpuset", "cpuset.mems", "0")])
def test_update_by_flag(box, flag, value, controller, file, want):
    if kit.PEER == "crun" and flag == "--memory":
        value = str(128 << 20)
    made(box, memory={"limit": 64 << 20})
    box.runtime("update", flag, value, box.id).ok()
    assert box.cgroup_file(controller, file) == want


@lacks("runc", "crun", why="newer flags")
@pytest.mark.parametrize("flags, file, want", [(["--cpu-idle", "1"], "cpu.idle", "1"),
                                               (["--cpu-quota", "50000", "--cpu-burst", "10000"], "cpu.cfs_burst_us", "10000")])
def test_update_by_newer_flags(box, flags, file, want):
    made(box)
    box.runtime("update", *flags, box.id).ok()
    assert box.cgroup_file("cpu", file) == want


def test_update_from_stdin(box):
    made(box)
    text = json.dumps({"memory": {"limit": 96 << 20}, "pids": {"limit": 55}, "cpu": {"shares": 200}})
    box.runtime("update", "--resources", "-", box.id, input=text).ok()
    assert box.cgroup_file("memory", "memory.limit_in_bytes") == str(96 << 20)
    assert box.cgroup_file("pids", "pids.max") == "55"
    assert box.cgroup_file("cpu", "cpu.shares") == "200"


def test_update_from_a_file(box):
    made(box)
    (box.dir / "r.json").write_text(json.dumps({"pids": {"limit": 56}}))
    box.runtime("update", "--resources", box.dir / "r.json", box.id).ok()
    assert box.cgroup_file("pids", "pids.max") == "56"


def test_update_of_memory_and_swap_both_ways(box):
    """v1 wants them raised and lowered in different orders."""
    made(box, memory={"limit": 64 << 20, "swap": 64 << 20})
    for limit in (128 << 20, 32 << 20):
        text = json.dumps({"memory": {"limit": limit, "swap": limit}})
        box.runtime("update", "--resources", "-", box.id, input=text).ok()
        assert box.cgroup_file("memory", "memory.limit_in_bytes") == str(limit)
        assert box.cgroup_file("memory", "memory.memsw.limit_in_bytes") == str(limit)


def test_update_keeps_what_is_not_named(box):
    made(box, memory={"limit": 64 << 20}, pids={"limit": 50})
    box.runtime("update", "--pids-limit", "60", box.id).ok()
    assert box.cgroup_file("memory", "memory.limit_in_bytes") == str(64 << 20)


def test_update_with_invalid_json(box):
    made(box)
    box.runtime("update", "--resources", "-", box.id, input="{").failed()
    box.runtime("update", "--resources", "-", box.id, input='{"memory":{"limit":"x"}}').failed().names("memory.limit")


def test_update_that_the_kernel_refuses(box):
    made(box)
    box.runtime("update", "--cpuset-cpus", "4000", box.id).failed().names("cpuset")


def test_update_does_not_touch_devices(box):
    made(box)
    before = device_list(box)
    box.runtime("update", "--pids-limit", "60", box.id).ok()
    assert device_list(box) == before


def test_update_of_a_running_container(box):
    box.up()
    box.runtime("update", "--pids-limit", "1", box.id).ok()
    assert box.cgroup_file("pids", "pids.max") == "1"
    assert box.status == "running"


def test_update_of_a_stopped_container(box):
    box.up()
    box.kill().ok()
    box.stopped()
    assert box.runtime("update", "--pids-limit", "10", box.id).code in (0, 1)


# ---- exec into a subgroup ----


@lacks("crun", why="--cgroup is for v2 there")
def test_exec_cgroup_that_does_not_exist(box):
    box.up()
    box.exec("true", flags=["--cgroup", "nosuch"]).failed()


@lacks("crun", why="--cgroup is for v2 there")
def test_exec_cgroup(box):
    box.up()
    (box.cgroup_dir("memory") / "sub").mkdir()
    out = box.exec("cat", "/proc/self/cgroup", flags=["--cgroup", "memory:sub"]).ok().out
    memory = [l for l in out.splitlines() if ":memory:" in l][0]
    assert memory.endswith("/sub")


@lacks("crun", why="--cgroup is for v2 there")
@pytest.mark.parametrize("path", ["../..", "memory:../..", "/.."])
def test_exec_cgroup_stays_inside(box, path):
    box.up()
    box.exec("true", flags=["--cgroup", path]).failed()
