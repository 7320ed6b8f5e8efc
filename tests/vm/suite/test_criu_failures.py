# vm: --cgroup v2
"""Checkpoints: hooks, the configuration of CRIU, exit status, failures, memory sent elsewhere; and that
runc and berth-oci read each other's."""

import json
import os
import subprocess

import kit
import pytest
from test_checkpoint import COUNTER, checkpoint, count, counting, criu_log, detached, images, restore, start
from test_criu import twice

pytestmark = pytest.mark.lacks("crun", why="Debian builds it without CRIU")


# ---- hooks, configuration, exit status ----


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


def test_a_configuration_file_for_criu(box):
    (box.dir / "criu.conf").write_text("log-file mine.log\n")
    box.config["annotations"] = {"org.criu.config": str(box.dir / "criu.conf")}
    start(box)
    assert counting(box)
    path = checkpoint(box, "--leave-running")
    assert (path / "mine.log").exists()


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


@pytest.mark.lacks("runc", why="1.1 has no --link-remap")
def test_files_that_were_deleted_and_locks(box):
    start(box, "exec 5>/held; echo x >&5; ln /held /second; rm /held; " + COUNTER)
    assert counting(box)
    twice(box, "--link-remap", "--file-locks", restore_flags=("--file-locks",))
    assert counting(box, count(box))


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


@pytest.mark.lacks("runc", why="it leaves a cgroup behind")
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
