"""checkpoint and restore with a program in CRIU's place: what is asked of it, and what its failures come to.
Whether the real one then does it is seen in the test VM, whose kernel Debian's CRIU fits."""

import json
import os
import shutil
import subprocess

import kit
import pytest

pytestmark = [pytest.mark.fast, pytest.mark.lacks("crun", "runc", why="they have other words for it")]

# Protocol buffers as {field number: [values]}; numbers and bytes. Shared by the program and the tests.
PROTOBUF = '''
def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return value, at


def decode(data):
    fields, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        value, at = varint(data, at)
        if key & 7 == 2:
            value, at = data[at:at + value], at + value
        fields.setdefault(key >> 3, []).append(value)
    return fields
'''

FAKE = "#!/usr/bin/python3" + PROTOBUF + '''
import os, socket, struct, sys
here = os.path.dirname(os.path.abspath(__file__))
mode = open(here + "/mode").read()
s = socket.socket(fileno=int(sys.argv[2]))
assert sys.argv[1] == "swrk" and s.type == socket.SOCK_SEQPACKET
assert decode(s.recv(65536)) == {1: [10], 4: [1]}
s.send(bytes([8, 10, 16, 1, 0x52, 6, 8, 3, 16, 15 if mode == "old" else 18, 32, 2]))
data = s.recv(1 << 20)
open(here + "/request", "wb").write(data)
request = decode(data)
kind, opts = request.get(1, [0])[0], decode(request.get(2, [b""])[0])
if mode == "mute":
    sys.exit(1)
if mode == "garbage":
    s.send(b"\\x08\\x01\\xff")
peer = struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
work = f"/proc/{peer}/fd/{opts[17][0]}"
log = open(f"{work}/{opts[10][0].decode()}", "w")
if mode == "fail":
    log.write("(00.01) Error (criu/tun.c:85): tun: a warning\\n" + "(00.01) all is well\\n" * 9)
    log.write("(00.02) Error (criu/pie.c:1): the cause\\n(00.02) ---\\n(00.03)   1: Error (criu/x.c:2): the end\\n")
    log.write("(00.03) Unfreezing\\n(00.04) Error (criu/cr-dump.c:9): Dumping FAILED.\\n")
    log.flush()
if mode == "notify":
    s.send(b"\\x08\\x06\\x10\\x01\\x2a\\x0e\\x0a\\x0cnetwork-lock")
    assert decode(s.recv(65536)) == {1: [6], 3: [1]}
if mode == "hook":  # with a pid that is nobody's
    s.send(b"\\x08\\x06\\x10\\x01\\x2a\\x12\\x0a\\x10setup-namespaces")
    open(here + "/answer", "wb").write(s.recv(65536))
    s.send(bytes([8, kind, 16, 0]))
open(here + "/root", "w").write("\\n".join(os.listdir(opts[13][0].decode()) if kind == 2 else []))
s.send(bytes([8, kind, 16, int(mode != "fail")]))
'''
exec(PROTOBUF)


class Fake:
    """Stands first in PATH under the name of criu."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        (path / "criu").write_text(FAKE)
        (path / "criu").chmod(0o755)
        self.env = {"PATH": f"{path}:{os.environ['PATH']}"}

    def mode(self, name):
        (self.path / "mode").write_text(name)
        return self

    @property
    def request(self):
        fields = decode((self.path / "request").read_bytes())
        return fields[1][0], decode(fields[2][0])

    def texts(self, number):
        return [value.decode() for value in self.request[1].get(number, [])]


@pytest.fixture
def criu(box):
    return Fake(box.dir / "fake").mode("ok")


@pytest.fixture
def images(box):
    path = box.dir / "images"
    yield path


def checkpoint(box, criu, images, *flags):
    return box.runtime("checkpoint", "--image-path", images, *flags, box.id, env=criu.env)


def restore(box, criu, images, *flags):
    return box.runtime("restore", "--detach", "--image-path", images, "--bundle", box.dir, *flags, box.id, env=criu.env)


def test_what_is_asked_for(box, criu, images):
    box.bind("/etc", "/mnt/etc", "ro").up()
    pid = box.pid
    checkpoint(box, criu, images, "--leave-running", "--tcp-established", "--manage-cgroups-mode", "ignore").ok()
    kind, opts = criu.request
    assert kind == 1 and opts[2] == [pid] and opts[3] == opts[5] == opts[12] == [1] and opts[34] == [0]
    assert 8 not in opts and 16 not in opts
    assert opts[38] == [0x40000000]  # CLONE_NEWNET: what is in the network namespace is left to others
    external = criu.texts(37)
    assert "mnt[/mnt/etc]:/mnt/etc" in external and "mnt[/proc/timer_list]:/dev/null" in external
    assert criu.texts(44)[0].endswith(box.cgroup) and criu.texts(10) == ["dump.log"]
    assert json.loads((images / "descriptors.json").read_text())[0] == "/dev/null"
    assert box.status == "running"


def test_afterwards_the_container_is_gone(box, criu, images):
    box.config["hooks"] = {"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", f"cat >{box.dir}/poststop"]}]}
    box.up()
    checkpoint(box, criu.mode("notify"), images).ok()
    box.runtime("state", box.id).failed("does not exist")
    assert json.loads((box.dir / "poststop").read_text())["status"] == "stopped"


def test_its_log_is_quoted(box, criu, images):
    box.up()
    result = checkpoint(box, criu.mode("fail"), images)
    result.failed("criu cannot checkpoint", f"{images}/dump.log", "the cause, and at last: the end")
    assert "warning" not in result.err and "FAILED" not in result.err
    assert box.status == "running"


@pytest.mark.parametrize("mode", ["mute", "garbage"])
def test_one_that_makes_no_sense(box, criu, images, mode):
    box.up()
    checkpoint(box, criu.mode(mode), images).failed("criu")
    assert box.status == "running"


def test_one_that_is_too_old_or_missing(box, criu, images):
    box.up()
    checkpoint(box, criu.mode("old"), images).failed("criu 3.15.2 is too old", "3.17")
    (criu.path / "criu").unlink()
    criu.env = {"PATH": str(criu.path)}
    checkpoint(box, criu, images).failed("criu is missing", "PATH", "install criu")
    assert box.status == "running"


def test_the_real_one_does_it_or_says_why(box, images):
    if not shutil.which("criu"):
        pytest.skip("criu is not installed")
    box.up()
    result = box.runtime("checkpoint", "--leave-running", "--image-path", images, box.id)
    if result.code != 0:
        result.failed("criu cannot checkpoint", f"{images}/dump.log")
        # Debian 12's does not fit later kernels than its own.
        if "vdso" in result.err:
            assert "does not fit kernel " + os.uname().release[:40] in result.err
    assert box.status == "running"


# ---- restore ----


@pytest.fixture
def saved(box, criu, images):
    images.mkdir()
    (images / "descriptors.json").write_text('["/dev/null", "pipe:[77]", "pipe:[78]"]')
    box.save()
    return images


def test_what_a_restore_asks_for(box, criu, saved):
    """Mount points are made, and nothing of it is to be seen on the host."""
    source = box.dir / "source"
    (source / "below").mkdir(parents=True)
    box.mount("/run", "tmpfs", "tmpfs").bind(source, "/mnt/new").bind(source / "below", "/run/deep/er").save()
    result = restore(box, criu.mode("fail"), saved, "--tcp-close", "--lsm-profile", "apparmor:x")
    result.failed("criu cannot restore", f"{saved}/restore.log", "the end")
    kind, opts = criu.request
    assert kind == 2 and opts[26] == opts[50] == opts[52] == [1] and criu.texts(53) == ["apparmor:x"]
    external = criu.texts(37)
    assert f"mnt[/mnt/new]:{source}" in external and f"mnt[/run/deep/er]:{source}/below" in external
    assert "mnt[/dev/null]:/dev/null" in external
    assert [decode(i) for i in opts[27]] == [{1: [b"pipe:[77]"], 2: [1]}, {1: [b"pipe:[78]"], 2: [2]}]
    roots = [decode(r) for r in opts[25]]
    assert roots and all(r[2][0].decode().endswith(box.cgroup) for r in roots if r[1][0] in (b"pids", b"freezer", b""))
    assert "bin" in (criu.path / "root").read_text().split()  # the root file system, for CRIU alone
    assert (box.rootfs / "mnt" / "new").is_dir() and not list((box.rootfs / "run").iterdir())
    box.runtime("state", box.id).failed("does not exist")


def test_namespaces_to_enter(box, criu, saved):
    holder = subprocess.Popen(["unshare", "--net", "--uts", "sleep", "1000"])
    try:
        assert kit.eventually(lambda: open(f"/proc/{holder.pid}/comm").read() == "sleep\n")
        ns = f"/proc/{holder.pid}/ns"
        box.namespaces("pid", "ipc", "mount", network=f"{ns}/net", uts=f"{ns}/uts").save()
        restore(box, criu.mode("fail"), saved).failed("criu")
        assert b"extRootNetNS" in [decode(i)[1][0] for i in criu.request[1][27]]
        assert [decode(j) for j in criu.request[1][39]] == [{1: [b"uts"], 2: [f"{ns}/uts".encode()]}]
        box.namespaces("pid", "ipc", "uts", "mount", network="/nosuch").save()
        restore(box, criu, saved).failed("linux.namespaces", "/nosuch")
    finally:
        holder.kill()
        holder.wait()


def test_a_notification_that_fails_ends_it(box, criu, saved):
    restore(box, criu.mode("hook"), saved).failed("does not say what init's pid is")
    assert decode((criu.path / "answer").read_bytes()) == {1: [6]}  # no success
    box.runtime("state", box.id).failed("does not exist")


def test_what_a_restore_refuses(box, criu, saved):
    restore(box, criu, box.dir / "nosuch").failed("--image-path", "nosuch")
    box.process["terminal"] = True
    box.save()
    restore(box, criu, saved).failed("cannot allocate tty")
    box.process["terminal"] = False
    box.bind("/nosuch", "/mnt").save()
    restore(box, criu, saved).failed("/nosuch")
    box.config["mounts"].pop()
    box.save()
    (saved / "descriptors.json").write_text("[")
    restore(box, criu, saved).failed("descriptors.json")
    (saved / "descriptors.json").unlink()
    restore(box, criu, saved).failed("descriptors.json")
    box.runtime("state", box.id).failed("does not exist")
