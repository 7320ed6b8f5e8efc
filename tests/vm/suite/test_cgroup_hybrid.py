# vm: --cgroup hybrid
"""Hybrid: a v2 hierarchy without controllers beside v1 gives what v1 has not."""

import kit
import pytest

lacks = pytest.mark.lacks
UNIFIED = kit.CGROUP / "unified"


def leaf(box):
    return UNIFIED / box.cgroup.lstrip("/")


@lacks("crun", why="leaves v2 alone")
def test_the_v2_leaf_is_used_and_removed(box):
    box.up()
    assert str(box.pid) in (leaf(box) / "cgroup.procs").read_text().split()
    box.exec("sleep", "1000", flags=["--detach"]).ok()
    assert len((leaf(box) / "cgroup.procs").read_text().split()) == 2
    box.delete("--force").ok()
    assert not leaf(box).exists()


@lacks("crun", why="leaves v2 alone")
def test_the_v2_leaf_has_pressure_and_kill(box):
    box.up()
    assert "some avg10" in (leaf(box) / "cpu.pressure").read_text()
    (leaf(box) / "cgroup.kill").write_text("1")
    box.stopped()


@lacks("runc", "crun", why="look at v1's freezer only")
def test_a_group_frozen_through_v2_is_refused(box):
    leaf(box).mkdir(parents=True)
    (leaf(box) / "cgroup.freeze").write_text("1")
    box.create(timeout=10).failed("frozen")
    if leaf(box).exists():
        leaf(box).rmdir()
