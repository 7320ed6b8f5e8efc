# vm: --cgroup v2 --user tester
"""Without root: a user's own containers, in a user namespace and the cgroups that systemd delegates."""

import os
import subprocess

import kit
import pytest

lacks = pytest.mark.lacks
UID, GID = os.getuid(), os.getgid()
DELEGATED = ("systemd-run", "--user", "--scope", "--quiet", "-p", "Delegate=yes")


@pytest.fixture
def box(containers):
    """As `spec --rootless` has it: only the caller's id is mapped, and no cgroup is asked for."""
    box = containers()
    box.linux["namespaces"].append({"type": "user"})
    box.linux["uidMappings"] = [{"containerID": 0, "hostID": UID, "size": 1}]
    box.linux["gidMappings"] = [{"containerID": 0, "hostID": GID, "size": 1}]
    del box.linux["cgroupsPath"], box.linux["resources"]
    return box


def subordinate(box):
    """All of the ids that /etc/subuid grants, which newuidmap has to write."""
    box.linux["uidMappings"].append({"containerID": 1, "hostID": 100000, "size": 65535})
    box.linux["gidMappings"].append({"containerID": 1, "hostID": 100000, "size": 65535})
    return box


def test_we_are_not_root():
    assert UID == 1000 and os.geteuid() == 1000


def test_runs_as_root_of_its_own(box):
    assert box.output("id -u; cat /proc/self/uid_map").split() == ["0", "0", str(UID), "1"]


def test_whole_life(box):
    box.up()
    assert box.status == "running"
    assert box.exec("id", "-u").ok().out == "0\n"
    box.kill().ok()
    box.stopped()
    box.delete().ok()


def test_subordinate_ids(box):
    subordinate(box)
    box.process["user"] = {"uid": 33, "gid": 33}
    assert box.output("id -u; touch /tmp/x").strip() == "33"
    assert (box.rootfs / "tmp" / "x").stat().st_uid == 100032
    box.process["user"] = {"uid": 0, "gid": 0}
    box.delete("--force")
    box.output("rm /tmp/x")


@lacks("runc", why="1.1.5 stumbles over a file of its own first")
def test_ids_that_are_not_granted(box):
    box.linux["uidMappings"] = [{"containerID": 0, "hostID": 500000, "size": 10}]
    box.create().failed(("newuidmap", "uid"))


def test_subordinate_exec(box):
    subordinate(box).up()
    assert box.exec("id", "-u", flags=["--user", "7:7"]).ok().out == "7\n"


def test_devices_are_bound_not_made(box):
    """An unprivileged user can't make nodes."""
    out = box.output("echo x >/dev/null && head -c 3 /dev/zero | wc -c; ls -l /dev/null | cut -c1")
    assert out.split() == ["3", "c"]


def test_no_cgroup_needed(box):
    """From a login session, whose cgroup belongs to root."""
    box.up()
    box.delete("--force").ok()


def own(pid):
    return kit.CGROUP / open(f"/proc/{pid}/cgroup").read().strip().removeprefix("0::/")


@lacks("runc", "crun", why="don't look beneath their own cgroup when no path is given")
def test_limits_in_a_delegated_cgroup(box):
    """Started in a scope of the user's systemd, the container gets a cgroup below it."""
    box.linux["resources"] = {"memory": {"limit": 64 << 20}, "pids": {"limit": 20}}
    box.args("sleep", "1000")
    box.create(prefix=DELEGATED).ok()
    assert (own(box.pid) / "memory.max").read_text() == f"{64 << 20}\n"


def systemd(box, **resources):
    box.linux["cgroupsPath"] = f"user.slice:berth:{box.id}"
    box.linux["resources"] = resources
    plain = box.runtime.argv
    box.runtime = type(box.runtime)(box.runtime.base)
    box.runtime.argv = lambda *args, globals=(): plain(*args, globals=("--systemd-cgroup", *globals))
    return box


@lacks("crun", why="moves the container to a cgroup below the scope")
def test_limits_by_the_users_systemd(box):
    systemd(box, memory={"limit": 64 << 20}, pids={"limit": 20}, cpu={"quota": 20000, "period": 100000}).up()
    group = own(box.pid)
    assert group.name == f"berth-{box.id}.scope" and f"user@{UID}.service" in str(group)
    files = {"memory.max": str(64 << 20), "pids.max": "20", "cpu.max": "20000 100000"}
    assert {f: (group / f).read_text().strip() for f in files} == files
    box.runtime("update", "--pids-limit", "30", box.id).ok()
    assert (group / "pids.max").read_text() == "30\n"
    assert box.exec("echo", "here").ok().out == "here\n"
    box.runtime("pause", box.id).ok()
    assert box.status == "paused"
    box.runtime("resume", box.id).ok()
    box.delete("--force").ok()
    assert not group.exists()


def test_cgroup_mount_under_the_users_systemd(box):
    """systemd chooses where the scope is: below the user's own service, not below the slice's name alone."""
    systemd(box, pids={"limit": 23})
    box.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "ro"])
    assert box.output("cat /sys/fs/cgroup/pids.max") == "23\n"


def test_a_controller_that_is_not_delegated(box):
    """io: the limit can't be set, and that isn't passed over in silence."""
    disk = os.stat("/dev/vda").st_rdev
    rate = {"major": os.major(disk), "minor": os.minor(disk), "rate": 1 << 20}
    systemd(box, blockIO={"throttleReadBpsDevice": [rate]}).args("true")
    box.create().failed("io")


def test_host_network_and_pid_namespace(box):
    """sysfs can't be mounted for another's network namespace: the config binds the host's."""
    box.namespace_drop("network", "pid")
    box.config["mounts"] = [m for m in box.config["mounts"] if m["destination"] not in ("/sys", "/proc")]
    box.bind("/sys", "/sys", "nosuid", "noexec", "nodev", "ro").bind("/proc", "/proc")
    box.linux["maskedPaths"] = box.linux["readonlyPaths"] = []
    assert box.output("echo alive").strip() == "alive"


def test_set_groups_is_denied(box):
    assert "deny" in box.output("cat /proc/self/setgroups")


def test_state_of_other_users_is_not_touched(box):
    """The default state directory is the user's own."""
    out = subprocess.run([kit.BINARY, "list", "-q"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert out.returncode == 0, out
