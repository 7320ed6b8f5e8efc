# vm: --cgroup v2
# vm: --cgroup hybrid
"""What a checkpoint carries from one container to the next: terminals, connections, mounts, namespaces,
cgroups; what it costs when it fails; and that runc and berth-oci read each other's."""

import fcntl
import json
import os
import pathlib
import select
import shutil
import socket
import struct
import subprocess
import termios
import time

import kit
import pytest
from test_checkpoint import COUNTER, checkpoint, count, counting, criu_log, detached, images, restore, start

pytestmark = pytest.mark.lacks("crun", why="Debian builds it without CRIU")
v2_only = pytest.mark.only("v2")  # once is enough for what has nothing to do with cgroups


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


@v2_only
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


@v2_only
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


@v2_only
def test_a_directory_above_the_root(box):
    """It brings the container's root file system along as a mount of its own."""
    box.bind(box.dir, "/above")
    start(box)
    assert counting(box)
    twice(box)
    assert counting(box, count(box))
    assert box.exec("cat", "/above/rootfs/etc/group").ok().out.startswith("root")


@v2_only
def test_a_mount_made_inside_is_not_taken_for_one_from_outside(box, outside):
    box.bind(outside, "/tree").caps("CAP_SYS_ADMIN")
    (outside / "inner").mkdir()
    start(box, "mount -t tmpfs inner /tree/inner; echo mine >/tree/inner/mine; " + COUNTER)
    assert counting(box)
    twice(box)
    assert box.exec("cat", "/tree/inner/mine").ok().out == "mine\n"
    assert not list((outside / "inner").iterdir())


def test_a_cgroup_mount_without_a_cgroup_namespace(box):
    box.namespaces("pid", "network", "ipc", "uts", "mount")
    box.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro"])
    start(box)
    assert counting(box)
    look = lambda: box.exec("sh", "-c", "find /sys/fs/cgroup -name cgroup.procs | sort").ok().out
    before = look()
    assert before
    twice(box)
    assert look() == before


# ---- namespaces ----


@pytest.fixture
def netns(shell):
    shell("ip", "netns", "add", "criu-test")
    shell("ip", "-n", "criu-test", "link", "add", "dummy7", "type", "dummy")
    yield pathlib.Path("/run/netns/criu-test")
    shell("ip", "netns", "del", "criu-test")


@v2_only
def test_a_network_namespace_that_was_joined_is_joined_again(box, netns):
    box.namespaces("pid", "ipc", "uts", "mount", "cgroup", network=netns)
    start(box)
    assert counting(box)
    twice(box)
    assert os.stat(f"/proc/{box.pid}/ns/net").st_ino == netns.stat().st_ino
    assert "dummy7" in box.exec("ip", "link").ok().out


@v2_only
def test_a_network_namespace_of_its_own_has_its_loopback(box):
    start(box.caps("CAP_NET_RAW"))
    assert counting(box)
    twice(box)
    assert box.exec("ping", "-c", "1", "-W", "5", "127.0.0.1").ok()


@v2_only
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


@v2_only
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


# ---- cgroups ----


def group_of(pid):
    return {line.split(":", 2)[2] for line in open(f"/proc/{pid}/cgroup").read().split()}


def test_another_id_in_another_cgroup(box, containers):
    other = containers()
    box.resources["pids"] = {"limit": 20}
    start(box, "sleep 1001 & " + COUNTER)
    assert counting(box)
    path = checkpoint(box)
    other.config = json.loads(json.dumps(box.config))
    other.linux["cgroupsPath"] = other.cgroup = f"/berth-vm/else/{other.id}"
    shutil.rmtree(other.rootfs)
    other.config["root"]["path"] = str(box.rootfs)
    other.save()
    restore(other, path=path)
    assert counting(box, count(box))
    assert any(g.endswith(f"/else/{other.id}") for g in group_of(other.pid))
    assert not any(box.id in g.split("/") for g in group_of(other.pid))
    assert len(json.loads(other.runtime("ps", "--format", "json", other.id).ok().out)) >= 2
    kit.cgroup_parents_remove("/berth-vm/else")


def test_a_paused_container_stays_paused(box):
    start(box)
    assert counting(box)
    box.runtime("pause", box.id).ok()
    checkpoint(box, "--leave-running")
    assert box.status == "paused"
    now = count(box)
    time.sleep(1)
    assert count(box) == now
    box.runtime("resume", box.id).ok()
    assert counting(box, now)


def test_cgroups_left_to_the_runtime(box):
    """As podman restores into a pod."""
    start(box)
    assert counting(box)
    twice(box, restore_flags=("--manage-cgroups-mode", "ignore"))
    assert any(g.endswith(f"/{box.id}") for g in group_of(box.pid))


@pytest.fixture
def systemd_box(base, workshop):
    runtime = kit.Runtime(base)
    plain = runtime.argv
    runtime.argv = lambda *args, globals=(): plain(*args, globals=("--systemd-cgroup", *globals))
    box = kit.Container(runtime, workshop, "scoped", "/berth-vm")
    box.linux["cgroupsPath"] = f"system.slice:berth:{box.id}"
    yield box
    box.delete("--force").ok()
    shutil.rmtree(box.dir)


def test_the_systemd_driver(systemd_box):
    box = systemd_box
    box.resources["memory"] = {"limit": 64 << 20}
    unit = f"berth-{box.id}.scope"
    show = lambda name: subprocess.check_output(["systemctl", "show", unit, f"-p{name}", "--value"], text=True).strip()
    start(box, "sleep 1001 & " + COUNTER)
    assert counting(box)
    checkpoint(box)
    assert show("ActiveState") != "active"
    restore(box)
    assert (show("ActiveState"), show("MemoryMax") if "v2" in os.environ["BERTH_VM_VARIANT"] else str(64 << 20)) == ("active", str(64 << 20))
    assert any(g.endswith(f"/system.slice/{unit}") for g in group_of(box.pid))
    assert counting(box, count(box))
    box.runtime("pause", box.id).ok()
    assert box.status == "paused"
    box.runtime("resume", box.id).ok()


# ---- hooks, configuration, exit status ----


@v2_only
def test_hooks(box):
    def hook(name):
        return [{"path": "/bin/sh", "args": ["sh", "-c", f"cat >{box.dir}/{name}.json; echo {name} >>{box.dir}/hooks"]}]

    box.config["hooks"] = {k: hook(k) for k in ("prestart", "createRuntime", "poststart", "poststop")}
    start(box)
    assert counting(box)
    checkpoint(box)
    assert (box.dir / "hooks").read_text().split() == ["prestart", "createRuntime", "poststart", "poststop"]
    (box.dir / "hooks").unlink()
    restore(box)
    assert (box.dir / "hooks").read_text().split() == ["prestart", "createRuntime"]
    assert json.loads((box.dir / "createRuntime.json").read_text())["pid"] == box.pid


@v2_only
def test_a_configuration_file_for_criu(box):
    (box.dir / "criu.conf").write_text("log-file mine.log\n")
    box.config["annotations"] = {"org.criu.config": str(box.dir / "criu.conf")}
    start(box)
    assert counting(box)
    path = checkpoint(box, "--leave-running")
    assert (path / "mine.log").exists()


@v2_only
def test_in_the_foreground(box):
    """The exit status is the container's, which is deleted at its end; the log is where it was asked for."""
    start(box, "trap 'exit 7' TERM; " + COUNTER)
    assert counting(box)
    work = box.dir / "work"
    path = images(box)
    box.runtime("checkpoint", "--image-path", path, "--work-path", work, box.id).ok()
    assert (work / "dump.log").exists() and not (path / "dump.log").exists()
    null = subprocess.DEVNULL
    restored = box.runtime.popen("restore", "--image-path", path, "--work-path", work, "--bundle", box.dir, box.id,
                                 stdin=null, stdout=null, stderr=null)
    assert counting(box, count(box))
    box.kill("TERM").ok()
    assert restored.wait(20) == 7
    assert box.runtime("state", box.id).code != 0


# ---- failures ----


def nothing_left(box, host):
    assert box.runtime("state", box.id).code != 0
    assert not (box.runtime.root / box.id).exists()
    assert kit.mount_table() == host
    assert not [d for top, dirs, _ in os.walk("/sys/fs/cgroup") for d in dirs if d == box.id]


@pytest.mark.lacks("runc", why="it leaves more behind, and says less")
def test_failures_leave_nothing(box):
    host = kit.mount_table()
    start(box)
    assert counting(box)
    path = checkpoint(box)
    nothing_left(box, host)
    ask = lambda *flags: box.runtime("restore", "--detach", "--image-path", path, *flags, "--bundle", box.dir, box.id)

    ask("--image-path", box.dir / "nosuch").failed("--image-path", "nosuch")
    nothing_left(box, host)

    os.rename(box.rootfs / "bin" / "busybox", box.rootfs / "bin" / "away")
    ask().failed("criu cannot restore", str(path / "restore.log"), "busybox")
    nothing_left(box, host)
    os.rename(box.rootfs / "bin" / "away", box.rootfs / "bin" / "busybox")

    box.config["hooks"] = {"createRuntime": [{"path": "/bin/false"}]}
    box.save()
    ask().failed("createRuntime", "/bin/false")
    nothing_left(box, host)
    del box.config["hooks"]

    box.bind("/nosuch-source", "/mnt").save()
    ask().failed("/nosuch-source")
    nothing_left(box, host)
    box.config["mounts"].pop()
    box.save()

    restore(box)
    assert counting(box, count(box))


@pytest.mark.lacks("runc", why="other words")
def test_what_is_refused(box, shell):
    path = images(box)
    ask = lambda *flags, **kw: box.runtime("checkpoint", "--image-path", path, *flags, box.id, **kw)
    ask().failed("does not exist")
    box.args("sleep", "1000").create().ok()
    ask().failed("created")
    box.start().ok()
    ask("--parent-path", "/abs").failed("--parent-path", "relative")
    ask("--parent-path", "nosuch").failed("--parent-path", "nosuch")
    ask("--page-server", "1.2.3.4").failed("--page-server", "ADDRESS:PORT")
    ask("--empty-ns", "uts").failed("--empty-ns", "uts")
    ask("--status-fd", "99").failed("--status-fd", "99")
    ask(env={"PATH": "/nowhere"}).failed("criu", "PATH")
    old = box.dir / "old"
    old.mkdir()
    (old / "criu").write_text(FAKE_CRIU)
    (old / "criu").chmod(0o755)
    ask(env={"PATH": f"{old}:{os.environ['PATH']}"}).failed("criu 3.15.2 is too old", "3.17")
    assert box.status == "running"


FAKE_CRIU = """#!/usr/bin/python3
import socket, sys
s = socket.socket(fileno=int(sys.argv[2]))
s.recv(4096)
s.send(bytes([8, 10, 16, 1, 0x52, 6, 8, 3, 16, 15, 32, 2]))
s.recv(4096)
"""


# ---- other ways to move memory ----


@v2_only
def test_files_that_were_deleted_and_locks(box):
    start(box, "exec 5>/held; echo x >&5; ln /held /second; rm /held; " + COUNTER)
    assert counting(box)
    twice(box, "--link-remap", "--file-locks", restore_flags=("--file-locks",))
    assert counting(box, count(box))


@v2_only
def test_a_page_server(box, shell):
    start(box)
    assert counting(box)
    path = images(box)
    server = subprocess.Popen(["criu", "page-server", "--images-dir", path, "--port", "27001", "--address", "127.0.0.1"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kit.eventually(lambda: ":27001 " in shell("ss", "-ltn"), 20)
    checkpoint(box, "--page-server", "127.0.0.1:27001", path=path)
    assert server.wait(20) == 0
    restore(box, path=path)
    assert counting(box, count(box))


@v2_only
def test_lazy_pages(box):
    start(box)
    assert counting(box)
    path = images(box)
    ready, theirs = os.pipe()
    null = subprocess.DEVNULL
    dump = box.runtime.popen("checkpoint", "--image-path", path, "--work-path", path, "--lazy-pages", "--page-server",
                             "127.0.0.1:27002", "--status-fd", str(theirs), box.id, pass_fds=[theirs],
                             stdin=null, stdout=null, stderr=null)
    os.close(theirs)
    assert os.read(ready, 1) == b"\0", criu_log(box)
    daemon = subprocess.Popen(["criu", "lazy-pages", "--images-dir", path, "--work-dir", path, "--page-server", "--port",
                               "27002", "--address", "127.0.0.1"], stdout=null, stderr=null)
    assert kit.eventually((path / "lazy-pages.socket").exists, 20)
    # The one that is being saved lives until its last page is fetched.
    at = count(box)
    box.config["linux"]["cgroupsPath"] = "/berth-vm/lazy"
    box.save()
    box.id, first = "lazy", box.id
    detached(box, "restore", "--detach", "--lazy-pages", "--image-path", path, "--work-path", path, "--bundle", box.dir,
             box.id)
    assert counting(box, at)
    assert daemon.wait(60) == 0 and dump.wait(60) == 0
    box.delete("--force").ok()
    box.id = first


# ---- runc ----


def by_runc(box, *args, **kw):
    argv = ["runc", "--root", str(box.dir / "runc"), *map(str, args)]
    null = subprocess.DEVNULL
    done = subprocess.run(argv, stdin=null, stdout=null, stderr=null, timeout=60)
    assert done.returncode == 0, (argv, criu_log(box))


@pytest.mark.lacks("runc", why="it is the other side of this test")
def test_images_are_runc_s_too(box):
    mine, its = images(box, "mine"), images(box, "its")
    box.bind("/etc", "/out", "ro")
    start(box)
    assert counting(box)
    checkpoint(box, path=mine)
    by_runc(box, "restore", "--detach", "--image-path", mine, "--work-path", mine, "--bundle", box.dir, box.id)
    try:
        assert counting(box, count(box))
        by_runc(box, "checkpoint", "--image-path", its, "--work-path", its, box.id)
    finally:
        subprocess.run(["runc", "--root", str(box.dir / "runc"), "delete", "--force", box.id], stderr=subprocess.DEVNULL)
    restore(box, path=its)
    assert counting(box, count(box))
    assert "passwd" in box.exec("ls", "/out").ok().out
