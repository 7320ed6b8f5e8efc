"""mounts of config.json: every option string, propagation, idmaps, and where they land."""

import os
import re
import subprocess

import kit
import pytest

lacks = pytest.mark.lacks
fast = pytest.mark.fast


class Mount:
    """One line of mountinfo."""

    def __init__(self, line):
        left, right = line.split(" - ", 1)
        fields, (self.type, self.source, super) = left.split(" "), right.split(" ", 2)
        self.root, self.path, self.tags = fields[3], fields[4], fields[6:]
        self.options, self.super = set(fields[5].split(",")), set(super.strip().split(","))


def table(box, before=""):
    out = box.output(before + "cat /proc/self/mountinfo")
    return [Mount(line) for line in out.splitlines()]


def at(mounts, path):
    found = [m for m in mounts if m.path == path]
    assert found, f"nothing mounted at {path}"
    return found[-1]


def mounted(box, path="/m"):
    return at(table(box), path)


# ---- options: what each does to the mount ----

# option -> (set on the mount or file system, must be there)
FLAGS = [
    ("ro", "ro", True), ("rw", "ro", False), ("nosuid", "nosuid", True), ("suid", "nosuid", False),
    ("nodev", "nodev", True), ("dev", "nodev", False), ("noexec", "noexec", True), ("exec", "noexec", False),
    ("noatime", "noatime", True), ("nodiratime", "nodiratime", True), ("diratime", "nodiratime", False),
    ("relatime", "relatime", True), ("strictatime", "relatime", False), ("strictatime", "noatime", False),
    ("nostrictatime", "relatime", True),
]
NEWER = [("nosymfollow", "nosymfollow", True), ("symfollow", "nosymfollow", False)]


@fast
@pytest.mark.parametrize("option, flag, present", FLAGS)
def test_flag_of_a_new_file_system(box, option, flag, present):
    box.mount("/m", "tmpfs", "tmpfs", [option])
    assert (flag in mounted(box).options) == present


@fast
@pytest.mark.parametrize("option, flag, present", FLAGS)
def test_flag_of_a_bind_mount(box, option, flag, present):
    (box.dir / "v").mkdir()
    box.mount("/m", "bind", box.dir / "v", ["bind", option])
    assert (flag in mounted(box).options) == present


@fast
@lacks("runc", "crun", why="older than nosymfollow")
@pytest.mark.parametrize("option, flag, present", NEWER)
def test_symfollow(box, option, flag, present):
    box.mount("/m", "tmpfs", "tmpfs", [option])
    assert (flag in mounted(box).options) == present


@fast
@pytest.mark.parametrize("option, flag", [("sync", "sync"), ("dirsync", "dirsync"), ("lazytime", "lazytime")])
def test_flag_of_the_superblock(box, option, flag):
    if option == "lazytime" and kit.PEER != "berth":
        pytest.xfail("runc 1.1.5 and crun 1.8.1 do not know it")
    box.mount("/m", "tmpfs", "tmpfs", [option])
    m = mounted(box)
    assert flag in m.super | m.options


@fast
@pytest.mark.parametrize("option", ["async", "nolazytime", "loud", "silent", "atime", "norelatime", "defaults"])
def test_options_that_leave_the_default(box, option):
    if option in ("nolazytime", "loud", "silent", "norelatime", "defaults") and kit.PEER != "berth":
        pytest.xfail("older runtimes pass it on as data")
    box.mount("/m", "tmpfs", "tmpfs", [option])
    m = mounted(box)
    assert not {"ro", "noexec", "nosuid", "nodev", "sync", "lazytime"} & (m.options | m.super)


@fast
@lacks("runc", "crun", why="older than iversion as a flag")
def test_iversion_is_recognised(box):
    """The flag has no meaning to tmpfs; it must not arrive there as data, which tmpfs would refuse."""
    box.mount("/m", "tmpfs", "tmpfs", ["iversion"])
    box.mount("/n", "tmpfs", "tmpfs", ["noiversion"])
    table(box)


@lacks("crun", why="flags only add up")
@fast
def test_later_options_win(box):
    box.mount("/m", "tmpfs", "tmpfs", ["ro", "noexec", "rw", "exec"])
    assert not {"ro", "noexec"} & mounted(box).options


@lacks("runc", why="1.1.5 changes the mode back")
@fast
def test_file_system_data(box):
    box.mount("/m", "tmpfs", "tmpfs", ["nosuid", "mode=711", "size=128k", "uid=7", "gid=8"])
    m = mounted(box)
    assert {"size=128k", "mode=711", "uid=7", "gid=8"} <= m.super
    assert box.output("stat -c %a:%u:%g /m") == "711:7:8\n"


@fast
def test_unknown_option_reaches_the_file_system(box):
    box.mount("/m", "tmpfs", "tmpfs", ["nosuchoption"])
    box.run().failed(("invalid argument", "nosuchoption")).names("mounts[6]", "nosuchoption")


@fast
def test_unknown_file_system(box):
    box.mount("/m", "nosuchfs", "none")
    box.run().failed(("no such device", "nosuchfs")).names("nosuchfs", "mounts[6]")


@fast
def test_remount(box):
    """The mount that is there gets other flags."""
    box.mount("/m", "tmpfs", "tmpfs", ["size=64k"])
    box.mount("/m", "tmpfs", "tmpfs", ["remount", "ro", "size=128k"])
    mounts = table(box)
    assert len([m for m in mounts if m.path == "/m"]) == 1
    m = at(mounts, "/m")
    assert "ro" in m.options | m.super and "size=128k" in m.super


@lacks("crun", why="loses them")
@fast
def test_bind_remount_keeps_the_flags_that_a_user_namespace_locks(box):
    """There, a ro bind that forgot the nosuid,nodev of its source would be refused by the kernel."""
    source = box.dir / "v"
    source.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nosuid,nodev,noexec", "tmpfs", source], check=True)
    try:
        box.mapped().mount("/m", "bind", source, ["bind", "ro"])
        assert {"ro", "nosuid", "nodev", "noexec"} <= mounted(box).options
    finally:
        subprocess.run(["umount", source], check=True)


# ---- recursive options ----


@pytest.fixture
def tree(box):
    """A volume with a file system mounted inside it: v and v/sub."""
    v = box.dir / "v"
    v.mkdir()
    (v / "sub").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", v / "sub"], check=True)
    yield v
    subprocess.run(["umount", v / "sub"], check=True)


RECURSIVE = [
    ("rro", "ro", True), ("rnosuid", "nosuid", True), ("rnodev", "nodev", True), ("rnoexec", "noexec", True),
    ("rnoatime", "noatime", True), ("rnodiratime", "nodiratime", True), ("rrelatime", "relatime", True),
    ("rstrictatime", "relatime", False), ("rnosymfollow", "nosymfollow", True),
]


@lacks("crun", why="1.8.1 asks the kernel wrongly for access times")
@fast
@pytest.mark.parametrize("option, flag, present", RECURSIVE)
def test_recursive_option(box, tree, option, flag, present):
    box.mount("/m", "bind", tree, ["rbind", option])
    mounts = table(box)
    assert (flag in at(mounts, "/m").options) == present
    assert (flag in at(mounts, "/m/sub").options) == present


UNDO = [("rrw", "ro"), ("rsuid", "nosuid"), ("rdev", "nodev"), ("rexec", "noexec"), ("rsymfollow", "nosymfollow"),
        ("rdiratime", "nodiratime")]


@lacks("crun", why="1.8.1 asks the kernel wrongly for access times")
@fast
@pytest.mark.parametrize("option, flag", UNDO)
def test_recursive_option_that_clears(box, tree, option, flag):
    if flag == "nosymfollow" and kit.PEER == "runc":
        pytest.xfail("older")
    subprocess.run(["mount", "-o", f"remount,bind,{flag}", tree / "sub"], check=True)
    box.mount("/m", "bind", tree, ["rbind", option])
    assert flag not in at(table(box), "/m/sub").options


@lacks("crun", why="1.8.1 asks the kernel wrongly")
@lacks("runc", why="1.1.5 asks the kernel wrongly")
@fast
@pytest.mark.parametrize("option", ["ratime", "rnorelatime", "rnostrictatime"])
def test_recursive_access_time_options(box, tree, option):
    box.mount("/m", "bind", tree, ["rbind", option])
    assert "noatime" not in at(table(box), "/m/sub").options


@fast
def test_plain_ro_is_not_recursive(box, tree):
    box.mount("/m", "bind", tree, ["rbind", "ro"])
    mounts = table(box)
    assert "ro" in at(mounts, "/m").options and "ro" not in at(mounts, "/m/sub").options


@fast
def test_bind_is_not_recursive(box, tree):
    box.mount("/m", "bind", tree, ["bind"])
    assert "/m/sub" not in [m.path for m in table(box)]


@fast
def test_rro_cannot_be_written(box, tree):
    box.mount("/m", "bind", tree, ["rbind", "rro"])
    box.script("touch /m/sub/x").run().failed("read-only")


# ---- propagation ----


@lacks("crun", why="leaves shared and unbindable private")
@fast
@pytest.mark.parametrize("option, tag", [
    ("private", None), ("rprivate", None), ("shared", "shared:"), ("rshared", "shared:"),
    ("unbindable", "unbindable"), ("runbindable", "unbindable"), ("slave", None), ("rslave", None)])
def test_propagation(box, option, tag):
    (box.dir / "v").mkdir()
    box.mount("/m", "bind", box.dir / "v", ["bind", option])
    tags = mounted(box).tags
    assert any(t.startswith(tag) for t in tags) if tag else not any(t.startswith("shared:") for t in tags)


@pytest.fixture
def shared(box):
    """A volume whose mounts propagate."""
    v = box.dir / "v"
    v.mkdir()
    subprocess.run(f"mount --bind {v} {v} && mount --make-shared {v} && mkdir {v}/sub", shell=True, check=True)
    yield v
    subprocess.run(f"umount -R {v}", shell=True, check=True)


@pytest.mark.parametrize("option, arrives", [("rslave", True), ("rprivate", False)])
def test_mounts_of_the_host_arrive_in_a_slave(box, shared, option, arrives):
    box.mount("/m", "bind", shared, ["rbind", option])
    box.up()
    subprocess.run(["mount", "-t", "tmpfs", "late", shared / "sub"], check=True)
    out = box.exec("cat", "/proc/self/mountinfo").ok().out
    assert (" /m/sub " in out) == arrives


@pytest.mark.parametrize("option, arrives", [("rshared", True), ("rslave", False)])
def test_mounts_of_the_container_arrive_in_a_peer(box, shared, option, arrives):
    box.linux["rootfsPropagation"] = "shared" if arrives else "slave"
    box.mount("/m", "bind", shared, ["rbind", option])
    box.caps("CAP_SYS_ADMIN")
    box.up("sh", "-c", "mount -t tmpfs late /m/sub && echo up; exec sleep 1000")
    box.printed("up")
    assert (str(shared / "sub") in kit.mount_table()) == arrives


# ---- what can be mounted where ----


@fast
def test_mounts_are_made_in_order(box):
    box.mount("/m", "tmpfs", "one", [])
    box.mount("/m/n", "tmpfs", "two", [])
    box.mount("/m", "tmpfs", "three", [])
    mounts = [m for m in table(box) if m.path.startswith("/m")]
    assert [m.source for m in mounts] == ["one", "two", "three"]


@fast
def test_file_bind(box):
    source = box.dir / "file"
    source.write_text("content")
    box.bind(source, "/etc/made.conf")
    assert box.output("cat /etc/made.conf") == "content"


@fast
def test_file_bind_over_a_file_that_exists(box):
    source = box.dir / "file"
    source.write_text("content")
    box.bind(source, "/etc/passwd", "ro")
    assert box.output("cat /etc/passwd; echo x >> /etc/passwd || echo refused").startswith("contentrefused")
    assert (box.rootfs / "etc/passwd").read_text() == kit.PASSWD


@fast
def test_device_bind(box):
    box.bind("/dev/zero", "/dev/myzero")
    assert box.output("head -c 3 /dev/myzero | od -An -tx1").split() == ["00"] * 3


@fast
def test_socket_bind(box):
    """A volume that is a socket, such as an engine's own."""
    import socket

    path = box.dir / "sock"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
        box.bind(path, "/run/sock")
        assert box.output("test -S /run/sock && echo yes") == "yes\n"


@fast
def test_relative_source_of_a_bind_is_relative_to_the_bundle(box):
    (box.dir / "v").mkdir()
    (box.dir / "v" / "file").write_text("content")
    box.bind("v", "/m")
    assert box.output("cat /m/file") == "content"


@fast
def test_relative_source_does_not_depend_on_the_current_directory(box):
    (box.dir / "v").mkdir()
    (box.dir / "v" / "file").write_text("content")
    box.bind("v", "/m").script("cat /m/file")
    assert box.run(cwd="/").ok().out == "content"


@fast
def test_relative_destination_is_below_the_root(box):
    box.mount("made/here", "tmpfs", "tmpfs", [])
    assert mounted(box, "/made/here").type == "tmpfs"


@fast
def test_destinations_are_made(box):
    box.mount("/a/b/c/d", "tmpfs", "tmpfs", [])
    assert mounted(box, "/a/b/c/d").type == "tmpfs"


@fast
@pytest.mark.parametrize("options", [["bind"], ["rbind"], ["bind", "ro"]])
def test_missing_source(box, options):
    box.mount("/m", "bind", "/nosuch/source", options)
    box.run().failed("/nosuch/source", ("no such file", "does not exist")).names("mounts")


@fast
def test_directory_over_a_file(box):
    """Engines derive a bad mount from these words."""
    (box.dir / "v").mkdir()
    box.bind(box.dir / "v", "/etc/passwd")
    box.run().failed("not a directory").names("/etc/passwd")


@fast
def test_file_over_a_directory(box):
    (box.dir / "file").write_text("x")
    box.bind(box.dir / "file", "/home")
    box.run().failed(("not a directory", "is a directory")).names("/home")


@fast
def test_destination_through_symlinks_stays_inside(box):
    outside = box.dir / "outside"
    outside.mkdir()
    os.symlink("/var/target", box.rootfs / "absolute")
    os.symlink("../../../../../../var/target", box.rootfs / "dots")
    os.symlink("absolute/deeper", box.rootfs / "chain")
    (box.rootfs / "var/target/deeper").mkdir(parents=True)
    for i, dest in enumerate(("/absolute/0", "/dots/1", "/chain/2")):
        box.mount(dest, "tmpfs", f"t{i}", [])
    paths = {m.source: m.path for m in table(box)}
    assert [paths[f"t{i}"] for i in range(3)] == ["/var/target/0", "/var/target/1", "/var/target/deeper/2"]


@fast
def test_destination_with_dots_stays_inside(box):
    box.mount("/../../../../m", "tmpfs", "dots", [])
    assert {m.source: m.path for m in table(box)}["dots"] == "/m"


@fast
def test_trailing_slash_and_doubled_slashes(box):
    box.mount("//m//n/", "tmpfs", "slashes", [])
    assert {m.source: m.path for m in table(box)}["slashes"] == "/m/n"


@fast
def test_bind_of_a_symlink_follows_it(box):
    (box.dir / "real").mkdir()
    (box.dir / "real" / "file").write_text("content")
    os.symlink("real", box.dir / "link")
    box.bind(box.dir / "link", "/m")
    assert box.output("cat /m/file") == "content"


@fast
def test_many_mounts(box):
    for i in range(200):
        box.mount(f"/m/{i}", "tmpfs", "tmpfs", ["size=4k"])
    assert len([m for m in table(box) if m.path.startswith("/m/")]) == 200


@fast
def test_long_destination(box):
    path = "/" + "/".join(["d" * 200] * 15)
    box.mount(path, "tmpfs", "tmpfs", [])
    assert mounted(box, path).type == "tmpfs"


# ---- special file systems ----


@fast
def test_default_file_systems(box):
    types = {m.path: m.type for m in table(box)}
    assert [types[p] for p in ("/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys")] == [
        "proc", "tmpfs", "devpts", "tmpfs", "mqueue", "sysfs"]


@fast
def test_nothing_of_the_host_is_mounted(box):
    """The old root is gone: every mount lies where the configuration put it."""
    known = {"/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", *kit.MASKED, *kit.READONLY}
    assert {m.path for m in table(box)} <= known


@fast
def test_proc_shows_the_pid_namespace(box):
    assert box.output("ls /proc | grep -c '^[0-9]'; echo $$").split()[-1] == "1"


@fast
def test_tmpcopyup(box):
    (box.rootfs / "etc" / "deep").mkdir()
    (box.rootfs / "etc" / "deep" / "file").write_text("deep")
    os.chown(box.rootfs / "etc" / "deep" / "file", 5, 6)
    os.symlink("deep/file", box.rootfs / "etc" / "link")
    box.mount("/etc", "tmpfs", "tmpfs", ["tmpcopyup", "mode=755"])
    out = box.output("cat /etc/link; stat -c %u:%g /etc/deep/file; echo x > /etc/new; grep ' /etc ' /proc/mounts")
    assert out.startswith("deep5:6\n") and "tmpfs" in out
    assert not (box.rootfs / "etc" / "new").exists()


@fast
@pytest.mark.needs("cgroup:memory")
def test_cgroup_mount(box):
    """On a host with v1 controllers: a directory for each, holding the container's own groups."""
    box.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", "ro"])
    out = box.output("ls /sys/fs/cgroup; cat /sys/fs/cgroup/memory/cgroup.procs; "
                     "mkdir /sys/fs/cgroup/memory/x || echo refused")
    assert "memory" in out.split() and "pids" in out.split()
    assert "1" in out.split() and "refused" in out


@fast
@pytest.mark.needs("cgroup:memory")
def test_cgroup_mount_without_a_cgroup_namespace(box):
    """Only the container's own subtree is shown."""
    box.namespace_drop("cgroup")
    box.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro"])
    out = box.output("cat /sys/fs/cgroup/memory/cgroup.procs; ls /sys/fs/cgroup/memory")
    assert out.split()[0] == "1" and "berth-test" not in out


@fast
def test_overlay_mount(box):
    for d in ("lower", "upper", "work"):
        (box.dir / d).mkdir()
    (box.dir / "lower" / "file").write_text("lower")
    options = [f"{d}dir={box.dir}/{d}" for d in ("lower", "upper", "work")]
    box.mount("/m", "overlay", "overlay", options)
    assert box.output("cat /m/file; echo upper > /m/file") == "lower"
    assert (box.dir / "upper" / "file").read_text() == "upper\n"


# ---- idmapped mounts ----

MAP = [{"containerID": 0, "hostID": 0, "size": 100}, {"containerID": 1000, "hostID": 5000, "size": 10}]


def idmapped(box, source, option="idmap", bind="bind", mappings=None):
    box.mount("/m", "bind", source, [bind, option])
    if mappings:
        box.config["mounts"][-1].update(uidMappings=mappings, gidMappings=mappings)


@fast
@lacks("runc", "crun", why="older than idmap with mappings of the mount")
def test_idmap_with_mappings_of_its_own(box):
    (box.dir / "v").mkdir()
    (box.dir / "v" / "file").touch()
    os.chown(box.dir / "v" / "file", 1000, 1001)
    idmapped(box, box.dir / "v", mappings=[{"containerID": 1000, "hostID": 5000, "size": 10}])
    assert box.output("stat -c %u:%g /m/file") == "5000:5001\n"


@fast
@lacks("runc", "crun", why="older than idmap with mappings of the mount")
@pytest.mark.needs("kernel:6.3")  # idmapped tmpfs
def test_idmap_is_not_recursive_and_ridmap_is(box, tree):
    os.chown(tree, 1000, 1000)
    os.chown(tree / "sub", 1000, 1000)
    mappings = [{"containerID": 1000, "hostID": 5000, "size": 10}]
    idmapped(box, tree, "idmap", "rbind", mappings)
    assert box.output("stat -c %u /m /m/sub").split() == ["5000", "1000"]
    box.config["mounts"].pop()
    idmapped(box, tree, "ridmap", "rbind", mappings)
    assert box.output("stat -c %u /m /m/sub").split() == ["5000", "5000"]


@fast
@lacks("runc", "crun", why="older than idmap")
def test_idmap_by_the_containers_user_namespace(box):
    v = box.dir / "v"
    v.mkdir()
    (v / "file").touch()
    os.chown(v / "file", 7, 8)
    box.mapped()
    idmapped(box, v)
    assert box.output("stat -c %u:%g /m/file") == "7:8\n"


@fast
@lacks("runc", "crun", why="older than idmap")
@pytest.mark.parametrize("option", ["idmap", "ridmap"])
def test_idmap_without_any_mapping_is_an_error(box, option):
    (box.dir / "v").mkdir()
    idmapped(box, box.dir / "v", option)
    box.run().failed("idmap").names("mounts")


@fast
@lacks("runc", "crun", why="older than idmap")
@pytest.mark.parametrize("missing", ["uidMappings", "gidMappings"])
def test_mappings_come_in_pairs(box, missing):
    (box.dir / "v").mkdir()
    idmapped(box, box.dir / "v", mappings=MAP)
    del box.config["mounts"][-1][missing]
    box.run().failed().names("mounts", "Mappings")


# ---- invalid values ----


@fast
@pytest.mark.parametrize("mount, field", [
    ({"type": "tmpfs"}, "destination"), ({"destination": 1}, "destination"), ({"destination": ""}, "destination"),
    ({"destination": "/m", "type": "tmpfs", "options": "ro"}, "options"),
    ({"destination": "/m", "type": "tmpfs", "options": [1]}, "options")])
@lacks("runc", "crun", why="have their own validation")
def test_invalid_values_name_the_field(box, mount, field):
    box.config["mounts"].append(mount)
    box.run().failed().names(f"mounts[{len(box.config['mounts']) - 1}].{field}")
