"""Many containers: one after another and at once; nothing grows and nothing stays."""

import os
import subprocess
import time

import kit
import pytest

IN_A_ROW, AT_ONCE = 1000, 100


class Host:
    """What could grow: mounts, cgroups, processes, files, and descriptors of long-lived processes."""

    def __init__(self, base):
        self.mounts = len(kit.mount_table())
        self.cgroups = {line.split()[0]: int(line.split()[2]) for line in open("/proc/cgroups") if line[0] != "#"}
        self.dirs = {str(d): len(os.listdir(d)) for d in kit.CGROUP.iterdir() if d.is_dir()}
        self.files = sum(len(files) + len(dirs) for _, dirs, files in os.walk(base))
        self.run = {d: set(os.listdir(d)) for d in ("/run", "/tmp", "/dev/shm", "/var/run") if os.path.isdir(d)}


def same_place(box, base, before):
    after = Host(base)
    assert after.mounts == before.mounts
    assert after.files == before.files
    assert not kit.cgroups_below(box.cgroup.rsplit("/", 1)[0])
    assert not [n for n in os.listdir("/run") if "berth" in n and n not in before.run["/run"]
                and not os.path.isdir(f"/run/{n}")]


def quietly(argv):
    return subprocess.call(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def one_after_another(box, base, n):
    box.args("true").save()
    box.runtime("state", box.id)  # the state directory itself is made once
    box.create().ok()
    box.delete("--force").ok()
    kit.children_reap()
    before = Host(base)
    start = time.monotonic()
    for i in range(n):
        for argv in (["create", "--bundle", box.dir, box.id], ["start", box.id], ["delete", "--force", box.id]):
            assert quietly(box.runtime.argv(*argv)) == 0, (i, argv)
        kit.children_reap()
    taken = time.monotonic() - start
    print(f"{n} times create, start, delete: {taken:.1f} s, {1000 * taken / n:.1f} ms each")
    same_place(box, base, before)


@pytest.mark.fast
def test_fifty_in_a_row(box, base):
    one_after_another(box, base, 50)


def test_a_thousand_in_a_row(box, base):
    one_after_another(box, base, IN_A_ROW)


def all_at_once(containers, base, n):
    boxes = [containers() for _ in range(n)]
    for box in boxes:
        box.args("true").save()
    runtime = boxes[0].runtime
    runtime("list")
    before = Host(base)
    start = time.monotonic()
    with open(os.devnull, "r+b") as null:
        running = [runtime.popen("run", "--bundle", b.dir, b.id, stdin=null, stdout=null) for b in boxes]
        codes = [p.wait(120) for p in running]
    print(f"{n} runs at once: {time.monotonic() - start:.1f} s")
    assert codes == [0] * n
    assert runtime.ids() == []
    same_place(boxes[0], base, before)


@pytest.mark.fast
def test_ten_at_once(containers, base):
    all_at_once(containers, base, 10)


def test_a_hundred_at_once(containers, base):
    all_at_once(containers, base, AT_ONCE)


def test_a_hundred_living_at_once(containers, base):
    """They all run, are listed, and go together."""
    boxes = [containers() for _ in range(AT_ONCE)]
    for box in boxes:
        box.args("sleep", "1000").save()
    runtime = boxes[0].runtime
    with open(os.devnull, "r+b") as null:
        made = [runtime.popen("run", "--detach", "--bundle", b.dir, b.id, stdin=null, stdout=null) for b in boxes]
        assert [p.wait(120) for p in made] == [0] * AT_ONCE
        assert sorted(runtime.ids()) == sorted(b.id for b in boxes)
        gone = [runtime.popen("delete", "--force", b.id, stdin=null, stdout=null) for b in boxes]
        assert kit.eventually(lambda: kit.children_reap() is not None and all(p.poll() == 0 for p in gone), 120)
    assert runtime.ids() == []


@pytest.mark.fast
def test_failed_creates_leave_nothing(box, base):
    """A configuration that fails late: after namespaces, cgroups and mounts were made."""
    box.mount("/m", "nosuchfs", "none").save()
    box.create().failed()
    before = Host(base)
    for _ in range(50):
        box.create().failed()
    same_place(box, base, before)


@pytest.mark.fast
def test_descriptors_of_the_caller_do_not_grow(box):
    """Fifty containers later, this process holds what it held."""
    count = lambda: len(os.listdir("/proc/self/fd"))
    box.args("true").run().ok()
    before = count()
    for _ in range(20):
        box.run().ok()
    assert count() == before
