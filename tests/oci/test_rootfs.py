"""root, devices, masked and read-only paths, and the root's propagation."""

import os
import stat
import subprocess

import kit
import pytest

pytestmark = pytest.mark.fast
lacks = pytest.mark.lacks

EPERM = 1


# ---- root ----


def test_readonly_root(box):
    box.config["root"]["readonly"] = True
    box.script("touch /x").run().failed("read-only file system")
    assert box.output("echo x > /dev/shm/x && cat /dev/shm/x") == "x\n"


def test_writable_root(box):
    box.script("echo made > /x").run().ok()
    assert (box.rootfs / "x").read_text() == "made\n"


def test_absolute_root(box):
    box.config["root"]["path"] = str(box.rootfs)
    box.args("true").run().ok()


def test_root_that_is_a_symlink(box):
    os.symlink("rootfs", box.dir / "link")
    box.config["root"]["path"] = "link"
    result = box.args("true").run()
    assert result.code in (0, 1) and "panic" not in result.err


@pytest.mark.parametrize("path", ["nosuch", "/nosuch/root"])
def test_root_that_does_not_exist(box, path):
    box.config["root"]["path"] = path
    box.run().failed(("no such file", "does not exist", "not exist")).names(path)


def test_root_that_is_a_file(box):
    (box.dir / "file").write_text("x")
    box.config["root"]["path"] = "file"
    box.run().failed(("not a directory",)).names("file")


def test_root_is_required(box):
    del box.config["root"]
    box.run().failed("root")


def test_root_on_a_shared_mount(box):
    """The host's mounts are shared under systemd; nothing may propagate out."""
    subprocess.run(f"mount --bind {box.dir} {box.dir} && mount --make-rshared {box.dir}", shell=True, check=True)
    try:
        before = kit.mount_table()
        box.up()
        assert kit.mount_table() == before
        box.delete("--force").ok()
        assert kit.mount_table() == before
    finally:
        subprocess.run(["umount", box.dir], check=True)


def test_bundle_is_not_busy_afterwards(box):
    """No mount of a container is left holding its directory."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", box.dir / "rootfs" / "tmp"], check=True)
    try:
        box.up()
        box.delete("--force").ok()
    finally:
        kit.eventually(lambda: kit.children_reap() or not kit.children(), 2)
        subprocess.run(["umount", box.dir / "rootfs" / "tmp"], check=True)


# ---- devices ----

DEFAULTS = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}


def test_default_devices(box):
    names = " ".join(f"/dev/{n}" for n in DEFAULTS)
    rows = [r.split() for r in box.output(f"stat -c '%n %t %T %a %F' {names}").splitlines()]
    for name, major, minor, mode, *kind in rows:
        assert (int(major, 16), int(minor, 16)) == DEFAULTS[name[5:]], name
        assert (mode, kind) == ("666", ["character", "special", "file"]), name


def test_default_devices_can_be_used(box):
    out = box.output("echo x > /dev/null; head -c 2 /dev/zero | od -An -tx1; head -c 8 /dev/urandom | wc -c;"
                     "echo x > /dev/full || echo full")
    assert out.split() == ["00", "00", "8", "full"]


def test_default_symlinks(box):
    out = box.output("for l in fd stdin stdout stderr; do readlink /dev/$l; done; readlink /dev/ptmx || echo bind")
    assert out.split()[:4] == ["/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"]
    assert out.split()[4] in ("pts/ptmx", "/dev/pts/ptmx", "bind")


def test_kcore_is_not_linked_without_need(box):
    """/dev/core appears only where /proc/kcore exists; it is masked then."""
    out = box.output("readlink /dev/core || echo none").strip()
    assert out in ("none", "/proc/kcore")


def test_ptmx_opens_terminals_of_the_container(box):
    assert box.args("probe", "open", "/dev/ptmx", "x").run().ok().out == "ok\n"


def test_no_console_without_a_terminal(box):
    assert box.output("test -e /dev/console && echo there || echo none") == "none\n"


@pytest.mark.parametrize("type, mode", [("c", 0o640), ("b", 0o600), ("p", 0o622), ("u", 0o666)])
def test_devices(box, type, mode):
    device = {"path": "/dev/sub/made", "type": type, "fileMode": mode, "uid": 5, "gid": 6}
    if type != "p":
        device.update(major=7, minor=200)
    box.linux["devices"] = [device]
    out = box.output("stat -c '%F|%a|%u|%g|%t|%T' /dev/sub/made").strip()
    kind = {"c": "character special file", "u": "character special file", "b": "block special file", "p": "fifo"}
    numbers = "0|0" if type == "p" else "7|c8"
    assert out == f"{kind[type]}|{mode:o}|5|6|{numbers}"


def test_device_outside_dev(box):
    box.linux["devices"] = [{"path": "/opt/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]
    assert box.output("stat -c %t:%T /opt/null") == "1:3\n"


def test_device_mode_ignores_the_umask(box):
    box.linux["devices"] = [{"path": "/dev/made", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]
    out = box.script("stat -c %a /dev/made /dev/null").run(preexec_fn=lambda: os.umask(0o077)).ok().out
    assert out.split() == ["666", "666"]


def test_device_default_mode(box):
    box.linux["devices"] = [{"path": "/dev/made", "type": "c", "major": 1, "minor": 3}]
    box.args("stat", "-c", "%a", "/dev/made").run().ok()


def test_same_device_as_a_default(box):
    box.linux["devices"] = [
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o644, "uid": 0, "gid": 0}]
    box.resources["devices"].append({"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"})
    assert box.output("stat -c %t:%T /dev/null") == "1:3\n"


@lacks("runc", "crun", why="keep the file that is there")
def test_existing_file_that_is_another_device(box):
    """config-linux.md: the runtime MUST generate an error."""
    os.mknod(box.rootfs / "opt-device", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    box.linux["devices"] = [{"path": "/opt-device", "type": "c", "major": 1, "minor": 3}]
    box.run().failed("/opt-device")


def test_existing_file_that_is_the_device(box):
    os.mknod(box.rootfs / "opt-device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    box.linux["devices"] = [{"path": "/opt-device", "type": "c", "major": 1, "minor": 3}]
    box.args("true").run().ok()


@lacks("runc", "crun", why="keep the file that is there")
def test_existing_regular_file(box):
    (box.rootfs / "opt-device").write_text("x")
    box.linux["devices"] = [{"path": "/opt-device", "type": "c", "major": 1, "minor": 3}]
    box.run().failed("/opt-device")


@pytest.mark.parametrize("device, field", [
    ({"path": "/dev/x", "type": "z", "major": 1, "minor": 3}, "type"),
    ({"path": "/dev/x", "type": "", "major": 1, "minor": 3}, "type"),
    ({"type": "c", "major": 1, "minor": 3}, "path"), ({"path": "/dev/x", "major": 1, "minor": 3}, "type"),
    ({"path": "/dev/x", "type": "c", "major": 1 << 40, "minor": 3}, "major"),
    ({"path": "/dev/x", "type": "c", "major": -2, "minor": 3}, "major")])
@lacks("runc", "crun", why="have their own validation")
def test_invalid_devices_name_the_field(box, device, field):
    box.linux["devices"] = [device]
    box.run().failed().names("linux.devices[0]." + field)


def test_device_access_is_limited(box):
    """mknod is allowed, as runc and crun do; opening what the configuration does not list is not."""
    box.caps("CAP_MKNOD")
    out = box.output("mknod /tmp/mem c 1 1; mknod /tmp/zero c 1 5; probe open /tmp/mem r; probe open /tmp/zero r")
    assert out == f"errno {EPERM}\nok\n"


# ---- masked and read-only paths ----


def test_masked_file_reads_as_empty(box):
    (box.rootfs / "etc/secret").write_text("secret")
    box.linux["maskedPaths"] = ["/etc/secret"]
    assert box.output("cat /etc/secret") == ""


def test_masked_directory_is_empty_and_readonly(box):
    (box.rootfs / "etc/secrets").mkdir()
    (box.rootfs / "etc/secrets/key").write_text("secret")
    box.linux["maskedPaths"] = ["/etc/secrets"]
    assert box.output("ls -A /etc/secrets; touch /etc/secrets/x 2>/dev/null || echo refused") == "refused\n"


def test_masked_path_that_does_not_exist(box):
    box.linux["maskedPaths"] = ["/nosuch/path", "/proc/nosuch"]
    box.args("true").run().ok()
    assert not (box.rootfs / "nosuch").exists()


def test_masked_files_of_proc_and_sys(box):
    out = box.output("cat /proc/kcore 2>/dev/null | head -c 1; cat /proc/keys | wc -c; ls /sys/firmware")
    assert out.split() == ["0"]


def test_masked_paths_of_many_kinds_at_once(box):
    """Several directories share one mask."""
    paths = []
    for i in range(20):
        (box.rootfs / f"d{i}").mkdir()
        (box.rootfs / f"d{i}/x").touch()
        paths.append(f"/d{i}")
    box.linux["maskedPaths"] = paths
    assert "x" not in box.output("for d in /d*; do ls -A $d; done").split()


def test_readonly_path(box):
    (box.rootfs / "etc/ro").mkdir()
    box.linux["readonlyPaths"] = ["/etc/ro", "/etc/passwd"]
    out = box.output("touch /etc/ro/x 2>/dev/null || echo refused; echo x >> /etc/passwd || echo refused; cat /etc/passwd")
    assert out == "refused\nrefused\n" + kit.PASSWD


def test_readonly_path_that_does_not_exist(box):
    box.linux["readonlyPaths"] = ["/nosuch/path"]
    box.args("true").run().ok()
    assert not (box.rootfs / "nosuch").exists()


def test_proc_sys_is_readonly(box):
    box.caps("CAP_SYS_ADMIN", "CAP_NET_ADMIN")
    assert "refused" in box.output("echo 1 > /proc/sys/net/ipv4/ip_forward || echo refused")


@lacks("crun", why="loses the other flags")
def test_readonly_path_of_a_mount_inside(box):
    """A mount below is kept where it is, and the flags of the path's own mount stay."""
    box.mount("/etc/ro", "tmpfs", "tmpfs", ["nosuid", "nodev", "noexec"])
    box.linux["readonlyPaths"] = ["/etc/ro"]
    options = [l.split()[5] for l in box.output("cat /proc/self/mountinfo").splitlines() if l.split()[4] == "/etc/ro"][-1]
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(options.split(","))


@pytest.mark.parametrize("key", ["maskedPaths", "readonlyPaths"])
@lacks("runc", "crun", why="take them")
def test_paths_must_be_absolute(box, key):
    box.linux[key] = ["relative/path"]
    box.run().failed().names("linux." + key)


# ---- propagation of the root ----


def root_tags(box):
    for line in box.output("cat /proc/self/mountinfo").splitlines():
        fields = line.split(" - ")[0].split(" ")
        if fields[4] == "/":
            tags = fields[6:]
    return " ".join(tags)


@lacks("crun", why="masks by a bind that unbindable forbids")
@lacks("runc", why="1.1.5 leaves shared roots private and refuses unbindable ones")
@pytest.mark.parametrize("value, tag", [
    ("shared", "shared:"), ("rshared", "shared:"), ("private", ""), ("rprivate", ""),
    ("unbindable", "unbindable"), ("runbindable", "unbindable"), ("slave", ""), ("rslave", "")])
def test_rootfs_propagation(box, value, tag):
    box.linux["rootfsPropagation"] = value
    tags = root_tags(box)
    assert tag in tags if tag else "shared:" not in tags and "unbindable" not in tags


@lacks("crun", why="takes it")
def test_unknown_rootfs_propagation(box):
    box.linux["rootfsPropagation"] = "nosuch"
    box.run().failed().names("linux.rootfsPropagation")


@lacks("crun", why="1.8.1 does not bind recursively")
def test_slave_root_sees_later_mounts_of_the_host(box):
    box.linux["rootfsPropagation"] = "rslave"
    (box.rootfs / "late").mkdir()
    subprocess.run(f"mount --bind {box.dir} {box.dir} && mount --make-rshared {box.dir}", shell=True, check=True)
    try:
        box.up()
        subprocess.run(["mount", "-t", "tmpfs", "late", box.rootfs / "late"], check=True)
        assert " /late " in box.exec("cat", "/proc/self/mountinfo").ok().out
    finally:
        box.delete("--force").ok()
        subprocess.run(["umount", "-R", box.dir], check=True)
