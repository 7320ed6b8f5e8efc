# vm: --cgroup v2
"""What other machines may lack: capabilities that let limits be raised, dummy network devices, time
namespaces, idmapped mounts on a disk; and this kernel's age."""

import subprocess

import kit
import pytest

lacks = pytest.mark.lacks
MAPPING = [{"containerID": 0, "hostID": 100000, "size": 65536}]


# ---- CAP_SYS_RESOURCE ----


def test_rlimits_above_the_callers(box):
    box.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 2048, "hard": 4096}]
    box.script("ulimit -n; ulimit -H -n")
    result = box.run(prefix=("prlimit", "--nofile=1024:1024")).ok()
    assert result.out.split() == ["2048", "4096"]


def test_unlimited_core_and_memlock(box):
    most = (1 << 64) - 1
    box.process["rlimits"] = [{"type": f"RLIMIT_{n}", "soft": most, "hard": most} for n in ("CORE", "MEMLOCK")]
    box.script("ulimit -c; ulimit -l")
    assert box.run(prefix=("prlimit", "--core=0:0", "--memlock=65536:65536")).ok().out.split() == ["unlimited"] * 2


def test_rlimit_above_the_kernels_maximum_is_an_error(box):
    box.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1 << 40, "hard": 1 << 40}]
    box.run().failed()


def test_oom_score_can_be_lowered(box):
    box.process["oomScoreAdj"] = -900
    assert box.output("cat /proc/self/oom_score_adj").strip() == "-900"


def test_oom_score_minimum(box):
    box.process["oomScoreAdj"] = -1000
    assert box.output("cat /proc/self/oom_score_adj").strip() == "-1000"


# ---- time namespaces ----


@lacks("runc", why="1.1.5 has none")
def test_time_offsets(box):
    box.linux["namespaces"].append({"type": "time"})
    box.linux["timeOffsets"] = {"boottime": {"secs": 864000}, "monotonic": {"secs": 432000, "nanosecs": 5}}
    uptime, _, offsets = box.output("cat /proc/uptime /proc/self/timens_offsets").partition("\n")
    assert float(uptime.split()[0]) > 864000
    assert [line.split() for line in offsets.splitlines()] == [
        ["monotonic", "432000", "5"], ["boottime", "864000", "0"]]


@lacks("runc", why="1.1.5 has none")
def test_exec_joins_the_time_namespace(box):
    box.linux["namespaces"].append({"type": "time"})
    box.linux["timeOffsets"] = {"boottime": {"secs": 864000}}
    box.up()
    assert float(box.exec("cat", "/proc/uptime").ok().out.split()[0]) > 864000


# ---- network devices ----


@pytest.fixture
def dummies(shell):
    """Two devices of no hardware in the host's network namespace, gone with whatever namespace has them."""
    names = ["berth0", "berth1"]
    for i, name in enumerate(names):
        shell("ip", "link", "add", name, "type", "dummy")
        shell("ip", "address", "add", f"192.0.2.{i + 1}/24", "dev", name)
        shell("ip", "-6", "address", "add", f"2001:db8::{i + 1}/64", "dev", name)
        shell("ip", "link", "set", name, "up", "mtu", "1400")
    yield names
    for name in names:
        shell("ip", "link", "del", name, check=False)


@lacks("runc", "crun", why="older than netDevices")
def test_net_devices_move_with_their_addresses(box, dummies, shell):
    box.linux["netDevices"] = {"berth0": {"name": "eth7"}, "berth1": {}}
    box.up()
    assert "berth" not in shell("ip", "link")
    out = shell("nsenter", f"--net=/proc/{box.pid}/ns/net", "ip", "address")
    for word in ("eth7", "192.0.2.1/24", "2001:db8::1/64", "berth1", "192.0.2.2/24", "mtu 1400"):
        assert word in out, out
    assert out.count("UP") >= 2, out


@lacks("runc", "crun", why="older than netDevices")
def test_a_missing_net_device_is_an_error(box):
    box.linux["netDevices"] = {"nosuch0": {}}
    box.create().failed("nosuch0")


@lacks("runc", "crun", why="older than netDevices")
def test_net_device_name_in_use_is_an_error(box, dummies, shell):
    box.linux["netDevices"] = {"berth0": {"name": "lo"}}
    box.create().failed("lo")
    assert "berth0" in shell("ip", "link")


# ---- idmapped mounts ----


@pytest.fixture
def data(box):
    path = box.dir / "data"
    path.mkdir()
    (path / "file").write_text("x")
    path.chmod(0o777)
    return path


def idmapped(box, data, *options, **keys):
    box.config["mounts"].append(
        {"destination": "/data", "type": "bind", "source": str(data), "options": ["rbind", *options], **keys})
    return box


@lacks("runc", "crun", why="1.1.5 and 1.8.1 want a user namespace")
def test_idmapped_mount_without_a_user_namespace(box, data):
    idmapped(box, data, "idmap", uidMappings=MAPPING, gidMappings=MAPPING)
    assert box.output("stat -c '%u %g' /data/file").split() == ["100000", "100000"]


@lacks("runc", why="1.1.5 wants the mapping spelt out")
def test_idmapped_mount_like_the_container(box, data):
    """On disk it stays root's, whatever the container's root is elsewhere."""
    box.mapped()
    data_owner = data.stat().st_uid
    subprocess.run(["chown", "-R", "0:0", data], check=True)
    idmapped(box, data, "idmap")
    assert box.output("stat -c '%u %g' /data/file; echo y >/data/new").split() == ["0", "0"]
    assert (data / "new").stat().st_uid == 0, data_owner


@lacks("runc", "crun", why="older than ridmap")
@pytest.mark.parametrize("option, owner", [("idmap", "0"), ("ridmap", "100000")])
def test_recursive_idmapped_mount(box, data, shell, option, owner):
    other = box.dir / "other"
    other.mkdir()
    (other / "file").write_text("x")
    (data / "sub").mkdir()
    shell("mount", "--bind", other, data / "sub")
    try:
        idmapped(box, data, option, uidMappings=MAPPING, gidMappings=MAPPING)
        assert box.output("stat -c %u /data/file /data/sub/file").split() == ["100000", owner]
    finally:
        shell("umount", data / "sub")


# ---- recursive mount attributes ----


def test_recursive_read_only(box, data, shell):
    (data / "sub").mkdir()
    shell("mount", "-t", "tmpfs", "none", data / "sub")
    try:
        idmapped(box, data, "rro")
        out = box.output("for f in /data/x /data/sub/x; do touch $f 2>/dev/null || echo refused; done")
        assert out.split() == ["refused", "refused"]
    finally:
        shell("umount", data / "sub")


# ---- schedulers and memory policies of a kernel of 2022 ----


@lacks("runc", "crun", why="older than memoryPolicy")
def test_memory_policy(box):
    box.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}
    assert "bind=static:0" in box.output("cat /proc/self/numa_maps")


@lacks("runc", "crun", why="older than memoryPolicy")
def test_memory_policy_that_this_kernel_lacks_is_an_error(box):
    """Weighted interleaving came with 6.9."""
    box.linux["memoryPolicy"] = {"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0"}
    box.create().failed("memoryPolicy")


@lacks("runc", why="1.1.5 has no scheduler")
def test_scheduler_deadline(box):
    box.process["scheduler"] = {"policy": "SCHED_DEADLINE", "runtime": 10000000, "deadline": 50000000,
                                "period": 100000000}
    box.caps("CAP_SYS_NICE")
    assert "policy 6" in box.output("probe sched")
