# vm: --cgroup v2
# vm: --cgroup hybrid
"""The systemd cgroup driver: a transient scope for each container, made and asked over D-Bus."""

import json
import os
import subprocess

import kit
import pytest

lacks = pytest.mark.lacks
MIB = 1 << 20
V2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
SLICE = "system.slice"


@pytest.fixture
def runtime(base):
    """Each verb gets --systemd-cgroup, as podman and containerd pass it."""
    runtime = kit.Runtime(base)
    plain = runtime.argv
    runtime.argv = lambda *args, globals=(): plain(*args, globals=("--systemd-cgroup", *globals))
    return runtime


@pytest.fixture
def box(containers):
    box = containers()
    box.linux["cgroupsPath"] = f"{SLICE}:berth:{box.id}"
    return box


def scope(box):
    return f"berth-{box.id}.scope"


def show(unit, *names):
    """Properties of a unit."""
    out = subprocess.check_output(["systemctl", "show", unit, *[f"-p{n}" for n in names]], text=True)
    return dict(line.split("=", 1) for line in out.splitlines())


def group(box, slice=SLICE, controller="memory"):
    top = kit.CGROUP if V2 else kit.CGROUP / controller
    return top / slice / scope(box)


def loaded(unit):
    return show(unit, "LoadState")["LoadState"] == "loaded" and show(unit, "ActiveState")["ActiveState"] != "inactive"


def test_a_scope_holds_the_container(box):
    box.up()
    got = show(scope(box), "ActiveState", "Slice", "Delegate", "ControlGroup", "Description")
    assert (got["ActiveState"], got["Slice"], got["Delegate"]) == ("active", SLICE, "yes")
    assert got["ControlGroup"] == f"/{SLICE}/{scope(box)}"
    assert box.id in got["Description"]
    assert str(box.pid) in (group(box) / "cgroup.procs").read_text().split()


def test_delete_removes_the_unit(box):
    box.up()
    box.kill().ok()
    box.stopped()
    box.delete().ok()
    assert kit.eventually(lambda: not loaded(scope(box)))
    assert not group(box).exists()


def test_a_failed_create_leaves_no_unit(box):
    box.args("/nonexistent").create().failed()
    assert kit.eventually(lambda: not loaded(scope(box)))
    assert not group(box).exists()


LIMITS = {
    "memory": ({"memory": {"limit": 64 * MIB}}, {"MemoryMax" if V2 else "MemoryLimit": str(64 * MIB)}),
    "pids": ({"pids": {"limit": 20}}, {"TasksMax": "20"}),
    "cpu": ({"cpu": {"quota": 20000, "period": 100000}}, {"CPUQuotaPerSecUSec": "200ms"}),
}
if V2:
    LIMITS["cpuset"] = ({"cpu": {"cpus": "1", "mems": "0"}}, {"AllowedCPUs": "1", "AllowedMemoryNodes": "0"})
    LIMITS["reservation"] = ({"memory": {"reservation": 32 * MIB}}, {"MemoryLow": str(32 * MIB)})
else:
    LIMITS["shares"] = ({"cpu": {"shares": 512}}, {"CPUShares": "512"})


@pytest.mark.parametrize("name", LIMITS)
def test_systemd_knows_the_limit(box, name):
    """A limit that systemd isn't told of is lost when it next writes the cgroup's files."""
    resources, properties = LIMITS[name]
    box.resources.update(resources)
    box.create().ok()
    assert show(scope(box), *properties) == properties


FILES = {"memory.max": str(64 * MIB), "pids.max": "20", "cpu.max": "20000 100000"} if V2 else {
    "memory.limit_in_bytes": str(64 * MIB)}
RESOURCES = {"memory": {"limit": 64 * MIB}, "pids": {"limit": 20}, "cpu": {"quota": 20000, "period": 100000}}


def files(box):
    return {f: (group(box) / f).read_text().strip() for f in FILES}


def test_limits_survive_a_reload(box):
    box.resources.update(RESOURCES)
    box.up()
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    assert files(box) == FILES


def test_update_tells_systemd(box):
    box.up()
    box.runtime("update", "--resources", "-", box.id, input=json.dumps(RESOURCES)).ok()
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    assert files(box) == FILES and show(scope(box), "TasksMax") == {"TasksMax": "20"}


@pytest.mark.only("v2")
def test_what_systemd_has_no_property_for(box):
    box.resources["unified"] = {"memory.oom.group": "1", "memory.high": str(48 * MIB)}
    box.create().ok()
    assert (group(box) / "memory.oom.group").read_text().strip() == "1"
    assert show(scope(box), "MemoryHigh") == {"MemoryHigh": str(48 * MIB)}


def test_annotations_set_properties(box):
    box.config["annotations"] = {
        "org.systemd.property.TimeoutStopUSec": "uint64 123456789",
        "org.systemd.property.CollectMode": "'inactive-or-failed'",
        "org.systemd.property.Documentation": "['man:berth(1)']",
    }
    box.create().ok()
    assert show(scope(box), "TimeoutStopUSec", "CollectMode", "Documentation") == {
        "TimeoutStopUSec": "2min 3.456789s", "CollectMode": "inactive-or-failed", "Documentation": '"man:berth(1)"'}


@lacks("runc", why="1.1.5 knows no Sec properties but in whole seconds")
def test_annotations_in_seconds(box):
    """...Sec is the name in unit files: a number of seconds there, ...USec on the bus."""
    box.config["annotations"] = {"org.systemd.property.TimeoutStopSec": "uint64 17"}
    box.create().ok()
    assert show(scope(box), "TimeoutStopUSec") == {"TimeoutStopUSec": "17s"}


@lacks("runc", "crun", why="name the property, not what it should have been")
def test_a_wrong_annotation_is_an_error(box):
    box.config["annotations"] = {"org.systemd.property.TimeoutStopUSec": "uint64 many"}
    box.create().failed("TimeoutStopUSec")


def test_slices_nest_by_their_names(box):
    box.linux["cgroupsPath"] = f"berth-inner.slice:berth:{box.id}"
    box.up()
    assert show(scope(box), "ControlGroup") == {"ControlGroup": f"/berth.slice/berth-inner.slice/{scope(box)}"}
    assert (group(box, "berth.slice/berth-inner.slice") / "cgroup.procs").read_text().split()


def test_a_slice_as_the_name(box):
    """kubelet's and podman's pods: the container's cgroup is itself a slice's child by name only."""
    box.linux["cgroupsPath"] = f"machine.slice:libpod:{box.id}"
    box.up()
    assert show(f"libpod-{box.id}.scope", "Slice") == {"Slice": "machine.slice"}
    box.delete("--force").ok()
    assert not loaded(f"libpod-{box.id}.scope")


def test_without_a_cgroups_path(box):
    del box.linux["cgroupsPath"]
    box.up()
    path = open(f"/proc/{box.pid}/cgroup").read()
    assert box.id in path and path.strip().endswith(".scope"), path


@lacks("runc", "crun", why="their message doesn't say which form is wanted")
def test_a_path_that_is_no_unit(box):
    box.linux["cgroupsPath"] = "/some/path"
    box.create().failed("cgroupsPath", "slice")


def stale(box, *properties):
    subprocess.run(["systemd-run", "-q", "--scope", f"--unit={scope(box)}", *properties, "sleep", "60"],
                   check=False, timeout=30)


@lacks("runc", why="1.1.5 takes no notice of the unit")
def test_a_failed_unit_of_the_name_is_replaced(box):
    """What a crash left: systemd keeps failed units until somebody resets them."""
    stale(box, "-pRuntimeMaxSec=1", "-pTimeoutStopSec=1")
    assert kit.eventually(lambda: show(scope(box), "ActiveState") == {"ActiveState": "failed"}), show(
        scope(box), "ActiveState")
    box.up()
    assert show(scope(box), "ActiveState") == {"ActiveState": "active"}


@lacks("runc", why="1.1.5 only warns")
def test_a_living_unit_of_the_name_is_not(box):
    sleeper = subprocess.Popen(["systemd-run", "-q", "--scope", f"--unit={scope(box)}", "sleep", "60"])
    try:
        assert kit.eventually(lambda: loaded(scope(box)))
        box.create(timeout=60).failed()
        assert sleeper.poll() is None
    finally:
        subprocess.run(["systemctl", "stop", scope(box)], check=True)
        sleeper.wait()


def test_exec_pause_resume_kill(box):
    box.up()
    assert box.exec("echo", "here").ok().out == "here\n"
    box.runtime("pause", box.id).ok()
    assert box.status == "paused"
    box.runtime("resume", box.id).ok()
    assert box.status == "running"
    box.runtime("pause", box.id).ok()
    box.delete("--force").ok()
    assert not loaded(scope(box))


def disk_read(box, rule=()):
    disk = os.stat("/dev/vda").st_rdev
    box.caps("CAP_MKNOD", "CAP_DAC_OVERRIDE")
    number = {"type": "b", "major": os.major(disk), "minor": os.minor(disk)}
    box.resources["devices"] += [{"allow": True, "access": a, **number} for a in rule]
    # Waits to be told: systemd may have written the policy anew by then.
    box.up("sh", "-c", f"mknod /d b {number['major']} {number['minor']}; while [ ! -e /go ]; do sleep 0.05; done;"
                       "dd if=/d of=/dev/null bs=512 count=1 && echo read; echo done; sleep 1000")
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    (box.rootfs / "go").touch()
    return "read" in box.printed("done").split()


def test_device_policy_denies_after_a_reload(box):
    assert not disk_read(box)


def test_device_policy_allows_after_a_reload(box):
    assert disk_read(box, ["r"])


@pytest.mark.only("v2")
def test_cgroup_is_delegated_to_a_user_namespace(box):
    box.mapped().mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev"])
    box.create().ok()
    assert group(box).stat().st_uid == 100000
    assert (group(box) / "cgroup.procs").stat().st_uid == 100000
    assert (group(box) / "memory.max").stat().st_uid == 0


def test_the_unit_goes_when_the_container_ends(box):
    box.args("sleep", "0.2").create().ok()
    box.start().ok()
    box.stopped()
    box.delete().ok()
    assert kit.eventually(lambda: not loaded(scope(box)))


def test_run_to_the_end(box):
    box.args("sh", "-c", "exit 7")
    assert box.run().code == 7
    assert kit.eventually(lambda: not loaded(scope(box)))
