# vm: --cgroup v2
"""What a checkpoint carries from one container to the next: terminals, connections, mounts, namespaces."""

import fcntl
import os
import pathlib
import select
import socket
import struct
import termios
import time

import kit
import pytest
from test_checkpoint import COUNTER, checkpoint, count, counting, images, restore, start

pytestmark = pytest.mark.lacks("crun", why="Debian builds it without CRIU")


class Console:
    """A console socket, as conmon makes one, and the terminal that arrives on it."""

    def __init__(self, path):
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.listener.settimeout(20)
        self.fd, self.text = -1, b""

    def accept(self):
        connection, _ = self.listener.accept()
        with connection:
            _, (self.fd,), _, _ = socket.recv_fds(connection, 4096, 1)
        return self

    def write(self, text):
        os.write(self.fd, text.encode())

    def read_until(self, what):
        end = time.monotonic() + 20
        while what.encode() not in self.text and time.monotonic() < end:
            if select.select([self.fd], [], [], 0.2)[0]:
                self.text += os.read(self.fd, 4096)
        assert what.encode() in self.text

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self):
        self.listener.close()
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


@pytest.fixture
def consoles(box):
    made = []

    def make():
        made.append(Console(box.dir / f"tty{len(made)}.sock"))
        return made[-1]

    yield make
    for console in made:
        console.close()


def twice(box, *flags, restore_flags=()):
    """Checkpointed and restored."""
    path = checkpoint(box, *flags)
    restore(box, *restore_flags)
    return path


# ---- terminals and connections ----


def test_a_terminal_goes_to_the_new_console_socket(box, consoles):
    box.process["terminal"] = True
    box.script("i=0; while read line; do i=$((i+1)); echo $i-$line; done").save()
    first, second = consoles(), consoles()
    box.runtime("run", "--detach", "--bundle", box.dir, "--console-socket", first.path, box.id).ok()
    first.accept().write("a\n")
    first.read_until("1-a")
    checkpoint(box)
    first.close()
    restore(box, "--console-socket", second.path)
    second.accept().write("b\n")
    second.read_until("2-b")
    second.resize(33, 44)
    assert box.exec("stty", "-F", "/dev/console", "size").ok().out == "33 44\n"


TCP = """sleep 1000 | busybox nc -l -p 5000 >/count &
sleep 1; i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done | busybox nc 127.0.0.1 5000"""


def last(box):
    lines = (box.rootfs / "count").read_text().split("\n") if (box.rootfs / "count").exists() else [""]
    return int(lines[-2]) if len(lines) > 1 else 0


@pytest.mark.lacks("runc", why="it does not quote CRIU's log")
def test_a_tcp_connection_goes_on(box):
    start(box, TCP)
    assert kit.eventually(lambda: last(box) > 3, 20)
    path = images(box)
    refused = box.runtime("checkpoint", "--image-path", path, box.id)
    refused.failed("criu")
    assert "tcp" in refused.err.lower() and str(path) in refused.err
    assert box.status == "running"
    checkpoint(box, "--tcp-established")
    before = last(box)
    restore(box, "--tcp-established")
    assert kit.eventually(lambda: last(box) > before + 3, 20), last(box)
    numbers = (box.rootfs / "count").read_text().split("\n")[:-1]
    assert numbers == [str(n + 1) for n in range(len(numbers))]


# ---- mounts ----


@pytest.fixture
def outside(box, shell):
    """Directories of the host to bind: one of them with a file system below it."""
    top = box.dir / "outside"
    (top / "sub").mkdir(parents=True)
    (top / "file").write_text("file\n")
    shell("mount", "-t", "tmpfs", "sub", top / "sub")
    (top / "sub" / "deep").write_text("deep\n")
    yield top
    shell("umount", top / "sub")


@pytest.mark.lacks("runc", why="its clean-up unmounts the host's file systems")
def test_mounts(box, outside):
    """From outside: a tree, a file, through a link of the image's, below a tmpfs. From inside: a tmpfs's
    files, masks, read-only paths."""
    os.symlink("var", box.rootfs / "link")
    box.mount("/run", "tmpfs", "tmpfs", ["mode=755"])
    box.bind(outside, "/tree")
    box.bind(outside / "file", "/link/file", "ro")
    box.bind(outside / "sub", "/run/sub")
    box.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro", "nosuid", "noexec", "nodev"])
    start(box, "echo kept >/run/kept; " + COUNTER)
    assert counting(box)
    before = box.exec("cat", "/proc/self/mountinfo").ok().out
    host = kit.mount_table()
    twice(box)
    assert kit.mount_table() == host
    assert box.exec("cat", "/tree/sub/deep", "/link/file", "/run/sub/deep", "/run/kept").ok().out == "deep\nfile\ndeep\nkept\n"
    (outside / "sub" / "new").write_text("new\n")
    assert box.exec("cat", "/tree/sub/new", "/run/sub/new").ok().out == "new\nnew\n"
    assert box.exec("touch", "/var/file").code != 0
    assert box.exec("touch", "/proc/sys/kernel/hostname").code != 0
    assert box.exec("sh", "-c", "wc -c </proc/timer_list; ls /sys/firmware").ok().out == "0\n"
    points = lambda text: sorted(line.split()[4] for line in text.splitlines())
    assert points(box.exec("cat", "/proc/self/mountinfo").ok().out) == points(before)


def test_a_directory_above_the_root(box):
    """It brings the container's root file system along as a mount of its own."""
    box.bind(box.dir, "/above")
    start(box)
    assert counting(box)
    twice(box)
    assert counting(box, count(box))
    assert box.exec("cat", "/above/rootfs/etc/group").ok().out.startswith("root")


@pytest.mark.lacks("runc", why="it knows of no mounts below a bind mount")
def test_a_mount_made_inside_is_not_taken_for_one_from_outside(box, outside):
    box.bind(outside, "/tree").caps("CAP_SYS_ADMIN")
    (outside / "inner").mkdir()
    start(box, "mount -t tmpfs inner /tree/inner; echo mine >/tree/inner/mine; " + COUNTER)
    assert counting(box)
    twice(box)
    assert box.exec("cat", "/tree/inner/mine").ok().out == "mine\n"
    assert not list((outside / "inner").iterdir())


# ---- namespaces ----


@pytest.fixture
def netns(shell):
    shell("ip", "netns", "add", "criu-test")
    shell("ip", "-n", "criu-test", "link", "add", "dummy7", "type", "dummy")
    yield pathlib.Path("/run/netns/criu-test")
    shell("ip", "netns", "del", "criu-test")


def test_a_network_namespace_that_was_joined_is_joined_again(box, netns):
    box.namespaces("pid", "ipc", "uts", "mount", "cgroup", network=netns)
    start(box)
    assert counting(box)
    twice(box)
    assert os.stat(f"/proc/{box.pid}/ns/net").st_ino == netns.stat().st_ino
    assert "dummy7" in box.exec("ip", "link").ok().out


@pytest.mark.lacks("runc", why="it leaves the loopback device down")
def test_a_network_namespace_of_its_own_has_its_loopback(box):
    start(box.caps("CAP_NET_RAW"))
    assert counting(box)
    twice(box)
    assert box.exec("ping", "-c", "1", "-W", "5", "127.0.0.1").ok()


def test_a_user_namespace(box):
    box.mapped()
    (box.rootfs / "tmp").chmod(0o1777)
    start(box, "i=0; while :; do i=$((i+1)); echo $i >/tmp/count; sleep 0.05; done")
    number = lambda: int((box.rootfs / "tmp" / "count").read_text() or 0)
    assert kit.eventually(lambda: (box.rootfs / "tmp" / "count").exists() and number() > 1, 20)
    twice(box)
    then = number()
    assert kit.eventually(lambda: number() > then, 20)
    assert box.exec("cat", "/proc/self/uid_map").ok().out.split() == ["0", "100000", "65536"]


@pytest.mark.lacks("runc", why="its exec does not enter the time namespace")
def test_once_more_from_what_was_restored(box):
    """The clocks go on, also for who comes in later; pipes are those of the last engine."""
    start(box)
    assert counting(box)
    up = float(box.exec("cat", "/proc/uptime").ok().out.split()[0])
    twice(box)
    inside = os.stat(f"/proc/{box.pid}/ns/time").st_ino
    assert box.exec("stat", "-L", "-c", "%i", "/proc/self/ns/time").ok().out == f"{inside}\n"
    now = count(box)
    path = images(box, "second")
    checkpoint(box, path=path)
    restore(box, path=path)
    assert counting(box, now)
    assert float(box.exec("cat", "/proc/uptime").ok().out.split()[0]) >= up
