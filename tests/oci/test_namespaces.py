"""linux.namespaces: new, joined and inherited ones; user namespaces, time offsets, sysctl."""

import os
import subprocess

import kit
import pytest

pytestmark = pytest.mark.fast
lacks = pytest.mark.lacks

FILES = {"pid": "pid", "network": "net", "mount": "mnt", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup",
         "user": "user", "time": "time"}


def inside(box, *files):
    return box.output("".join(f"readlink /proc/self/ns/{f};" for f in files)).split()


def ours(file):
    return os.readlink(f"/proc/self/ns/{file}")


# ---- new and inherited ----


def test_new_namespaces(box):
    files = [FILES[t] for t in kit.ALL_BUT_USER]
    for file, link in zip(files, inside(box, *files)):
        assert link != ours(file), file


@pytest.mark.parametrize("type", ["pid", "network", "ipc", "uts", "cgroup"])
def test_namespace_that_is_not_listed_is_inherited(box, type):
    box.namespace_drop(type)
    if type == "uts":
        del box.config["hostname"]
    if type == "ipc":
        box.config["mounts"] = [m for m in box.config["mounts"] if m["type"] != "mqueue"]
    assert inside(box, FILES[type]) == [ours(FILES[type])]


def test_time_and_user_namespaces_are_inherited_by_default(box):
    assert inside(box, "user", "time") == [ours("user"), ours("time")]


def test_pid_1(box):
    assert box.output("echo $$") == "1\n"


def test_duplicate_namespaces(box):
    box.linux["namespaces"].append({"type": "pid"})
    box.run().failed("pid").names("linux.namespaces")


@pytest.mark.parametrize("entry", [{"type": "nosuch"}, {"type": ""}, {}, {"type": 1}])
def test_unknown_namespace_type(box, entry):
    box.linux["namespaces"].append(entry)
    box.run().failed().names("linux.namespaces[6]")


def test_no_mount_namespace(box):
    """Without one there is nothing to pivot; runc refuses, since the mounts would be the host's."""
    box.namespace_drop("mount")
    before = kit.mount_table()
    result = box.run()
    assert kit.mount_table() == before
    if kit.PEER != "crun":
        result.failed()


def test_loopback_is_up_in_a_new_network_namespace(box):
    assert "UP" in box.output("ip link show lo").split("<")[1].split(">")[0].split(",")


# ---- joined ----


@pytest.fixture
def holder(containers):
    """A running container whose namespaces others join."""
    return containers().up()


@pytest.mark.parametrize("type", ["pid", "network", "ipc", "uts", "cgroup"])
def test_join(box, holder, type):
    path = f"/proc/{holder.pid}/ns/{FILES[type]}"
    box.namespace_drop(type)
    box.linux["namespaces"].append({"type": type, "path": path})
    if type == "uts":
        del box.config["hostname"]
    assert inside(box, FILES[type]) == [os.readlink(path)]


def test_joined_pid_namespace_shows_the_other_processes(box, holder):
    box.namespace_drop("pid").linux["namespaces"].append({"type": "pid", "path": f"/proc/{holder.pid}/ns/pid"})
    assert box.output("cat /proc/1/cmdline | tr '\\0' ' '; test $$ != 1 && echo other") == "sleep 1000 other\n"


@lacks("runc", why="waits for its zombie")
def test_end_of_a_container_in_a_joined_pid_namespace(box, holder):
    box.namespace_drop("pid").linux["namespaces"].append({"type": "pid", "path": f"/proc/{holder.pid}/ns/pid"})
    box.up()
    box.delete("--force").ok()
    assert holder.status == "running"


def test_joined_network_namespace_by_a_bind_mount(box):
    """As engines keep one: a file that holds the namespace."""
    path = box.dir / "netns"
    path.touch()
    subprocess.run(["unshare", f"--net={path}", "true"], check=True)
    try:
        box.namespace_drop("network").linux["namespaces"].append({"type": "network", "path": str(path)})
        assert inside(box, "net") == [f"net:[{path.stat().st_ino}]"]
    finally:
        subprocess.run(["umount", path], check=True)


def test_path_of_another_type(box, holder):
    box.namespace_drop("network")
    box.linux["namespaces"].append({"type": "network", "path": f"/proc/{holder.pid}/ns/uts"})
    box.run().failed().names("linux.namespaces", "uts")


def test_path_that_does_not_exist(box):
    box.namespace_drop("network")
    box.linux["namespaces"].append({"type": "network", "path": "/nosuch/netns"})
    box.run().failed(("no such file", "does not exist")).names("/nosuch/netns")


def test_path_that_is_no_namespace(box):
    box.namespace_drop("network")
    box.linux["namespaces"].append({"type": "network", "path": "/etc/passwd"})
    box.run().failed().names("/etc/passwd")


@lacks("runc", "crun", why="take it")
def test_relative_path(box, holder):
    box.namespace_drop("network")
    box.linux["namespaces"].append({"type": "network", "path": "proc/self/ns/net"})
    box.run().failed().names("linux.namespaces", "absolute")


# ---- user namespaces ----


def test_user_namespace_maps_ids(box):
    out = box.mapped(100000, 65536).output("cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /tmp/x")
    assert out.split() == ["0", "100000", "65536"] * 2 + ["0"]
    s = (box.rootfs / "tmp/x").stat()
    assert (s.st_uid, s.st_gid) == (100000, 100000)


def test_user_namespace_with_several_ranges(box):
    box.mapped()
    box.linux["uidMappings"] = box.linux["gidMappings"] = [
        {"containerID": 0, "hostID": 100000, "size": 1000}, {"containerID": 1000, "hostID": 300000, "size": 10},
        {"containerID": 5000, "hostID": 200000, "size": 1}]
    out = box.output("cat /proc/self/uid_map")
    assert out.split() == "0 100000 1000 1000 300000 10 5000 200000 1".split()


def test_user_namespace_has_devices(box):
    out = box.mapped().output("echo x > /dev/null && head -c 1 /dev/zero | od -An -tx1; ls -ln /dev/null | cut -c1")
    assert out.split() == ["00", "c"]


def test_user_in_a_user_namespace(box):
    box.mapped().process["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [7]}
    assert box.output("id -u; id -g; id -G").split()[:2] == ["1000", "1000"]


def test_user_that_is_not_mapped(box):
    box.mapped(size=1000).process["user"] = {"uid": 5000, "gid": 0}
    box.run().failed().names("process.user.uid", "5000")


def test_exec_in_a_user_namespace(box):
    box.mapped().up()
    out = box.exec("sh", "-c", "id -u; cat /proc/self/uid_map").ok().out
    assert out.split() == ["0", "0", "100000", "65536"]
    assert box.exec("id", "-u", flags=["--user", "1000:1000"]).ok().out == "1000\n"


def test_joined_user_namespace(containers):
    holder = containers().mapped().up()
    box = containers().mapped()
    box.linux["namespaces"] = [{"type": t} for t in kit.ALL_BUT_USER]
    box.linux["namespaces"].append({"type": "user", "path": f"/proc/{holder.pid}/ns/user"})
    del box.linux["uidMappings"], box.linux["gidMappings"]
    if kit.PEER == "runc":
        pytest.xfail("wants mappings beside the path")
    assert inside(box, "user") == [os.readlink(f"/proc/{holder.pid}/ns/user")]


def test_joined_user_and_network_namespaces_of_one_container(containers):
    holder = containers().mapped().up()
    box = containers().mapped()
    box.linux["namespaces"] = [{"type": t} for t in kit.ALL_BUT_USER if t != "network"]
    for type, file in (("user", "user"), ("network", "net")):
        box.linux["namespaces"].append({"type": type, "path": f"/proc/{holder.pid}/ns/{file}"})
    if kit.PEER != "crun":
        del box.linux["uidMappings"], box.linux["gidMappings"]
    if kit.PEER == "runc":
        pytest.xfail("wants mappings beside the path")
    assert inside(box, "user", "net") == [os.readlink(f"/proc/{holder.pid}/ns/{f}") for f in ("user", "net")]


def test_user_namespace_without_mappings(box):
    box.linux["namespaces"].append({"type": "user"})
    result = box.run()
    if kit.PEER == "berth":
        result.failed().names("uidMappings")


@lacks("runc", why="1.1.5 ignores them")
@lacks("crun", why="ignores them")
def test_mappings_without_a_user_namespace(box):
    box.linux["uidMappings"] = box.linux["gidMappings"] = [{"containerID": 0, "hostID": 1, "size": 1}]
    box.run().failed().names("Mappings")


@pytest.mark.parametrize("mapping, field", [
    ({"containerID": -1, "hostID": 0, "size": 1}, "containerID"),
    ({"containerID": 0, "hostID": 1 << 32, "size": 1}, "hostID"),
    ({"containerID": 0, "hostID": 0, "size": 0}, "size"), ({"containerID": 0, "size": 1}, "hostID")])
@lacks("runc", "crun", why="have their own validation")
def test_invalid_mappings(box, mapping, field):
    box.mapped().linux["uidMappings"] = [mapping]
    box.run().failed().names("linux.uidMappings[0]." + field)


def test_sysfs_in_a_user_namespace_with_the_hosts_network(box):
    """The kernel refuses such a mount; crun binds the host's instead, runc fails."""
    box.mapped().namespace_drop("network")
    result = box.script("ls /sys").run()
    if result.code == 0:
        assert "class" in result.out.split()
    else:
        result.failed("operation not permitted").names("/sys", "network namespace")


# ---- rootless ----


@pytest.mark.needs("program:setpriv")
def test_rootless_with_one_id(box, base):
    """An ordinary user maps only itself; no cgroups can be made."""
    for top, dirs, files in os.walk(box.dir):
        for name in [".", *dirs, *files]:
            if os.stat(os.path.join(top, name), follow_symlinks=False).st_nlink == 1 or name in dirs:
                os.lchown(os.path.join(top, name), 1000, 1000)
    os.chown(box.dir, 1000, 1000)
    os.chown(box.rootfs, 1000, 1000)
    box.linux["namespaces"] = [{"type": t} for t in (*kit.ALL_BUT_USER, "user")]
    box.linux["uidMappings"] = box.linux["gidMappings"] = [{"containerID": 0, "hostID": 1000, "size": 1}]
    del box.linux["resources"], box.linux["cgroupsPath"]
    for m in box.config["mounts"]:
        m["options"] = [o for o in m["options"] if not o.startswith("gid=")]
    root = box.dir / "state"
    box.script("id -u; cat /proc/self/uid_map").save()
    user = ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups"]
    env = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(box.dir)}
    other = kit.Runtime(base)
    other.root = root
    result = other("run", "--bundle", box.dir, "rootless", prefix=user, env=env)
    assert result.ok().out.split() == ["0", "0", "1000", "1"]


# ---- time ----


def clock(out):
    return {k: int(v) for k, v in (l.split() for l in out.splitlines())}


@lacks("runc", "crun", why="older than time namespaces")
def test_time_offsets(box):
    box.linux["namespaces"].append({"type": "time"})
    box.linux["timeOffsets"] = {"monotonic": {"secs": 172800}, "boottime": {"secs": 604800, "nanosecs": 5}}
    host = clock(subprocess.check_output([str(kit_probe(box)), "clock"], text=True))
    got = clock(box.args("probe", "clock").run().ok().out)
    assert 172800 <= got["monotonic"] - host["monotonic"] < 172860
    assert 604800 <= got["boottime"] - host["boottime"] < 604860


def kit_probe(box):
    return box.rootfs / "bin" / "probe"


@lacks("runc", "crun", why="older than time namespaces")
def test_negative_time_offset(box):
    box.linux["namespaces"].append({"type": "time"})
    box.linux["timeOffsets"] = {"boottime": {"secs": -10}}
    host = clock(subprocess.check_output([str(kit_probe(box)), "clock"], text=True))
    got = clock(box.args("probe", "clock").run().ok().out)
    assert -10 <= got["boottime"] - host["boottime"] < 5


@lacks("runc", "crun", why="older than time namespaces")
def test_new_time_namespace(box):
    box.linux["namespaces"].append({"type": "time"})
    assert inside(box, "time") != [ours("time")]


@lacks("runc", "crun", why="older than time namespaces")
def test_exec_is_in_the_time_namespace(box):
    box.linux["namespaces"].append({"type": "time"})
    box.linux["timeOffsets"] = {"boottime": {"secs": 604800}}
    box.up()
    assert box.exec("readlink", "/proc/self/ns/time").ok().out.strip() == os.readlink(f"/proc/{box.pid}/ns/time")


@lacks("runc", "crun", why="older than time namespaces")
def test_joined_time_namespace(containers):
    holder = containers()
    holder.linux["namespaces"].append({"type": "time"})
    holder.up()
    box = containers()
    path = f"/proc/{holder.pid}/ns/time"
    box.linux["namespaces"].append({"type": "time", "path": path})
    assert inside(box, "time") == [os.readlink(path)]


@lacks("runc", "crun", why="older than time namespaces")
@pytest.mark.parametrize("offsets", [{"nosuch": {"secs": 1}}, {"monotonic": {"secs": "1"}},
                                     {"boottime": {"secs": 1, "nanosecs": 1000000000}}])
def test_invalid_time_offsets(box, offsets):
    box.linux["namespaces"].append({"type": "time"})
    box.linux["timeOffsets"] = offsets
    box.run().failed().names("linux.timeOffsets")


@lacks("runc", "crun", why="older than time namespaces")
def test_time_offsets_without_a_time_namespace(box):
    box.linux["timeOffsets"] = {"boottime": {"secs": 1}}
    box.run().failed().names("timeOffsets")


# ---- sysctl ----


def test_sysctl(box):
    box.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "net.core.somaxconn": "256", "kernel.shmmax": "1048576",
                           "fs.mqueue.msg_max": "20", "kernel.msgmax": "4096"}
    out = box.output("cd /proc/sys; cat net/ipv4/ip_forward net/core/somaxconn kernel/shmmax fs/mqueue/msg_max kernel/msgmax")
    assert out.split() == ["1", "256", "1048576", "20", "4096"]


def test_sysctl_with_slashes(box):
    box.linux["sysctl"] = {"net/ipv4/ip_forward": "1"}
    assert box.output("cat /proc/sys/net/ipv4/ip_forward") == "1\n"


def test_sysctl_is_set_though_proc_sys_is_readonly(box):
    assert "/proc/sys" in box.linux["readonlyPaths"]
    box.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    assert box.output("cat /proc/sys/net/ipv4/ip_forward") == "1\n"


@pytest.mark.parametrize("key", ["vm.swappiness", "kernel.core_pattern", "fs.file-max", "kernel.hostname.x"])
def test_sysctl_of_the_whole_host_is_refused(box, key):
    box.linux["sysctl"] = {key: "1"}
    path = "/proc/sys/" + key.replace(".", "/")
    before = open(path).read() if os.path.exists(path) else None
    box.run().failed(key)
    assert before is None or open(path).read() == before


@pytest.mark.parametrize("key", ["net.ipv4.ip_forward", "kernel.shmmax"])
def test_sysctl_of_an_inherited_namespace_is_refused(box, key):
    box.namespace_drop("network", "ipc").linux["sysctl"] = {key: "1"}
    box.config["mounts"] = [m for m in box.config["mounts"] if m["type"] not in ("mqueue", "sysfs")]
    path = "/proc/sys/" + key.replace(".", "/")
    before = open(path).read()
    box.run().failed(key)
    assert open(path).read() == before


@pytest.mark.parametrize("key", ["net.nosuch", "net.core.nosuch", "net..core", "net.core/../../kernel/core_pattern",
                                 "net/../kernel/core_pattern", ""])
def test_sysctl_that_does_not_exist(box, key):
    before = open("/proc/sys/kernel/core_pattern").read()
    box.linux["sysctl"] = {key: "1"}
    box.run().failed()
    assert open("/proc/sys/kernel/core_pattern").read() == before


def test_sysctl_with_an_invalid_value(box):
    box.linux["sysctl"] = {"net.core.somaxconn": "lots"}
    box.run().failed().names("net.core.somaxconn", "lots")
