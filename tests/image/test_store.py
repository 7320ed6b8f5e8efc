"""The store: killed at each system call of every change, and each of them failing, it is whole and has
lost nothing; what is removed gives its space back; its index can be lost."""

import errno
import json
import os
import shutil
import sqlite3

import kit
import pytest
from strikes import SYS_WRITE, Killer, go_on, only_x86_64

full = [pytest.param(1, id="all")]
sampled = [pytest.param(17, id="sampled", marks=[pytest.mark.fast, pytest.mark.sampled])]


def layer(name, size=20_000):
    return kit.Layer([kit.dir(name), kit.file(f"{name}/data", name.encode() * (size // len(name))),
                      kit.file(f"{name}/script", "#!/bin/sh\n", 0o755)])


COMMON = layer("common")
OLD = kit.Image([COMMON, layer("old")], {"Cmd": ["/old"], "Labels": {"kind": "old"}})
NEW = kit.Image([COMMON, layer("new")], {"Cmd": ["/new"], "Labels": {"kind": "new"}},
                created="2024-03-04T05:06:07Z")
FOLDERS = ["layers", "images", "refs", "blobs/sha256", "stage"]


@pytest.fixture(scope="session")
def archives(base):
    made = {}
    for name, image in (("old", OLD), ("new", NEW)):
        layout = image.layout(base / f"layout-{name}", f"localhost/{name}:1")
        made[name] = base / f"{name}.tar"
        kit.sh("tar", "-cf", made[name], "-C", layout, "oci-layout", "index.json", "blobs")
        shutil.rmtree(layout)
    return made


@pytest.fixture(scope="session")
def killer(base):
    return Killer(base)


def contents(berth):
    """What lies in the store, by name."""
    return {folder: berth.listed(*folder.split("/")) for folder in FOLDERS}


def images(berth):
    return berth.json("images", "--format", "json")


def names(images):
    return sorted(name for image in images for name in image["Names"])


class Struck:
    """A store with an image in it, struck in the middle of a change again and again."""

    def __init__(self, berth, killer, archives, step):
        self.berth, self.killer, self.archives, self.step = berth, killer, archives, step
        berth("load", "-i", archives["old"]).ok()
        self.before = contents(berth)
        self.old = images(berth)
        self.as_prepared = False  # the last strike has changed nothing

    def verb(self, verb):
        return {"load": ["load", "-i", self.archives["new"]], "tag": ["tag", "localhost/old:1", "localhost/old:2"],
                "untag": ["untag", "localhost/new:1", "localhost/new:1"], "rmi": ["rmi", "localhost/new:1"],
                "prune": ["image", "prune", "--all", "--force", "--filter", "label=kind=new"],
                "collect": ["system", "prune", "--all", "--force", "--filter", "label=kind=new"],
                "open": ["images"]}[verb]

    def prepare(self, verb):
        """The state in which the verb makes sense."""
        if verb in ("rmi", "untag", "prune", "collect") and not self.as_prepared:
            self.berth("load", "-i", self.archives["new"]).ok()
        if verb == "open":  # with an index that has to be made
            (self.berth.root / "berth.db").unlink(missing_ok=True)
        self.prepared = contents(self.berth)

    def strike(self, verb, n, child=0, error=0):
        result = self.berth(*self.verb(verb), prefix=self.killer.argv(n, child, error), timeout=60)
        return *self.killer.struck(), result

    def whole(self, context):
        """Nothing is wrong, the old image is as it was, the new one is there whole or not at all."""
        go_on(kit.children())
        kit.children_reap()
        check = self.berth("system", "check", "--deep", "--json")
        assert (check.code, json.loads(check.out or "null")) == (0, []), (context, check)
        now = images(self.berth)
        old = [i for i in now if i["Labels"] == {"kind": "old"}]
        assert [{**i, "Names": 0, "RepoTags": 0} for i in old] == [{**i, "Names": 0, "RepoTags": 0}
                                                                   for i in self.old], context
        assert "localhost/old:1" in names(now), context
        for found in self.berth.json("image", "inspect", *(i["Id"] for i in now)):
            assert len(found["RootFS"]["Layers"]) == 2 == len(found["Berth"]["Layers"]), context
            assert all("Disk" in l for l in found["Berth"]["Layers"]), context
        self.as_prepared = contents(self.berth) == self.prepared and not self.berth.listed("trash")
        return now

    def restore(self, now, context):
        """All that was added can be removed, and gives its space back."""
        if "localhost/old:2" in names(now):
            self.berth("untag", "localhost/old:1", "localhost/old:2").ok()
        self.berth("image", "prune", "--all", "--force", "--filter", "label=kind=new").ok()
        self.berth("system", "prune", "--force").ok()
        assert contents(self.berth) == self.before, context
        assert self.berth.listed("trash") == [], context

    def walk(self, verb, child=0, error=0, after=None):
        """Strikes at every step until the verb completes unharmed; how many steps there were."""
        n = 0
        while True:
            self.prepare(verb)
            what, call, result = self.strike(verb, n, child, error)
            context = (verb, f"step {n}", f"call {call}", what, result)
            if after and what != "completed":
                after(context, call, result)
            now = self.whole(context)
            if not self.as_prepared:
                self.restore(now, context)
            if what == "completed":
                assert result.code == 0, context
                return n
            n += self.step


@pytest.fixture
def struck(berth, killer, archives, request):
    return Struck(berth, killer, archives, request.param)


steps = pytest.mark.parametrize("struck", full + sampled, indirect=True)


@only_x86_64
@steps
@pytest.mark.parametrize("verb", ["load", "tag", "untag", "rmi", "prune", "collect", "open"])
def test_killed_at_each_call(struck, verb):
    assert struck.walk(verb) >= 60 - struck.step


@only_x86_64
@steps
@pytest.mark.parametrize("verb, child", [("load", 1), ("rmi", 1)])
def test_helper_killed_at_each_call(struck, verb, child):
    """The helper that unpacks; the one that starts who deletes."""
    assert struck.walk(verb, child=child) >= struck.step


@only_x86_64
@steps
@pytest.mark.parametrize("name", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("verb", ["load", "tag", "untag", "rmi", "collect"])
def test_each_call_fails(struck, verb, name):
    """Each change fails once: it succeeds all the same, or says why."""

    def after(context, call, result):
        assert result.code < 128, context
        if result.code and call != SYS_WRITE:  # which may have been the message itself
            assert result.err.strip(), context

    assert struck.walk(verb, error=getattr(errno, name), after=after) >= 10


@pytest.mark.fast
def test_the_index_can_be_lost(berth, archives):
    for archive in archives.values():
        berth("load", "-i", archive).ok()
    berth("tag", "localhost/old:1", "example.com/x:2").ok()
    before = images(berth)
    assert len(before) == 2
    (berth.root / "berth.db").unlink()
    assert images(berth) == before
    berth.check()


@pytest.mark.fast
@pytest.mark.parametrize("what", ["garbage", "foreign", "empty", "cut"])
def test_a_damaged_index_is_kept_aside(berth, archives, what):
    berth("load", "-i", archives["old"]).ok()
    before = images(berth)
    db = berth.root / "berth.db"
    if what == "garbage":
        db.write_bytes(os.urandom(20_000))
    elif what == "foreign":
        db.unlink()
        with sqlite3.connect(db) as other:
            other.execute("create table precious(x)")
        other.close()
    elif what == "empty":
        db.write_bytes(b"")
    else:
        os.truncate(db, 6000)
    result = berth("images", "--format", "json").ok()
    assert json.loads(result.out) == before
    aside = sorted(p for p in os.listdir(berth.root) if ".broken-" in p)
    assert (what == "empty") or (aside and aside[0] in result.err), (aside, result)
    assert berth("images").ok().err == ""
    berth.check()


@pytest.mark.fast
def test_an_index_of_another_berth_is_made_again(berth, archives):
    berth("load", "-i", archives["old"]).ok()
    before = images(berth)
    seal = bytearray((berth.root / "db.lock").read_bytes())
    assert seal[8:16] == b"berth 4\0"
    seal[14:15] = b"9"
    (berth.root / "db.lock").write_bytes(seal)
    with sqlite3.connect(berth.root / "berth.db") as db:
        db.execute("drop table images")
    db.close()
    result = berth("images", "--format", "json").ok()
    assert (json.loads(result.out), result.err) == (before, "")
    assert not [p for p in os.listdir(berth.root) if ".broken-" in p]
    berth.check()


@pytest.mark.fast
def test_check_finds_each_damage_and_repairs_it(berth, archives):
    def damaged(damage, words, images_left):
        for archive in archives.values():
            berth("load", "-i", archive).ok()
        damage()
        found = berth("system", "check", "--deep", "--json")
        assert found.code == 1, found
        assert any(words in f"{f['object']}: {f['problem']}" for f in json.loads(found.out)), found
        again = berth("system", "check", "--deep", "--json")  # looking repairs nothing
        assert again.code == 1
        repaired = berth("system", "check", "--deep", "--repair", "--json")
        assert repaired.code == 0 and all(f["repaired"] for f in json.loads(repaired.out)), repaired
        berth.check("--deep")
        assert len(images(berth)) == images_left

    def flip(path):
        with open(path, "r+b") as f:
            f.seek(700)
            byte = f.read(1)
            f.seek(700)
            f.write(bytes([byte[0] ^ 1]))

    def key(image, n):
        return image.layers[n].diff_id.removeprefix("sha256:")

    def own_file(image):
        top = berth.root / "layers" / key(image, 1)
        return top / "layer.tar" if (top / "layer.tar").exists() else next(top.glob("fs/*/data"))

    damaged(lambda: flip(own_file(NEW)), f"layer {key(NEW, 1)}: ", 1)
    damaged(lambda: shutil.rmtree(berth.root / "layers" / key(NEW, 0) / "fs", ignore_errors=True)
            or (berth.root / "layers" / key(NEW, 0) / "layer.erofs").unlink(missing_ok=True), "missing", 0)
    config = NEW.id.removeprefix("sha256:")
    damaged(lambda: (berth.root / "blobs/sha256" / config).write_bytes(b"{}"), f"blob {NEW.id}: ", 1)
    damaged(lambda: (berth.root / "blobs/sha256" / config).unlink(), "its configuration", 1)


@pytest.mark.fast
def test_what_is_used_stays(berth, archives):
    """A layer that two images have goes with the second of them."""
    for archive in archives.values():
        berth("load", "-i", archive).ok()
    assert len(berth.layers()) == 3
    out = berth("rmi", "localhost/new:1").ok().out.splitlines()
    assert out[0] == "Untagged: localhost/new:1" and f"Deleted: {NEW.id}" in out
    assert len([l for l in out if l.startswith("Deleted: ")]) == 2  # the image, and one layer
    assert len(berth.layers()) == 2
    berth("rmi", "localhost/old:1").ok()
    assert berth.layers() == berth.blobs() == berth.listed("images") == []
    assert kit.eventually(lambda: berth.listed("trash") == [])


@pytest.mark.fast
def test_interrupted_deletion_is_finished_later(berth, archives):
    berth("load", "-i", archives["old"]).ok()
    left = berth.root / "trash" / "0123.1.2.3.4"
    (left / "deep" / "deeper").mkdir(parents=True)
    (left / "deep" / "file").write_text("x")
    berth("rmi", "localhost/old:1").ok()
    assert kit.eventually(lambda: berth.listed("trash") == [])


@pytest.mark.fast
def test_unprivileged_reading(berth, archives):
    """Who may only read the store lists it, also where the index is open nowhere else."""
    berth("load", "-i", archives["old"]).ok()
    kit.sh("chmod", "-R", "a+rX", berth.root)
    os.chmod(berth.base, 0o755)
    berth.home.chmod(0o777)

    def demote():
        os.setgid(65534)
        os.setuid(65534)

    result = berth("images", preexec_fn=demote).ok()
    assert "localhost/old" in result.out
    result = berth("untag", "localhost/old:1", preexec_fn=demote)
    assert result.code != 0 and "cannot be written" in result.err


@pytest.mark.fast
def test_reading_from_a_read_only_file_system(berth, archives):
    berth("load", "-i", archives["old"]).ok()
    kit.sh("mount", "--bind", berth.root, berth.root)
    try:
        kit.sh("mount", "-o", "remount,bind,ro", berth.root)
        assert "localhost/old" in berth("images").ok().out
        assert berth("image", "inspect", "localhost/old:1").ok()
        assert berth("rmi", "localhost/old:1").code != 0
    finally:
        kit.sh("umount", berth.root)
    assert names(images(berth)) == ["localhost/old:1"]


@pytest.mark.fast
def test_disk_full(berths, disk, archives):
    """What does not fit is refused with a reason; lists go on; space comes back."""
    where = disk(8)
    berth = berths(where.path / "b")
    berth("load", "-i", archives["old"]).ok()
    with open(where.path / "filler", "wb") as f:
        try:
            while True:
                f.write(b"\0" * 65536)
        except OSError as e:
            assert e.errno == errno.ENOSPC
    result = berth("load", "-i", archives["new"])
    assert result.code != 0 and "no space left" in result.err.lower(), result
    assert names(images(berth)) == ["localhost/old:1"]
    (where.path / "filler").unlink()
    berth.check("--deep")
    berth("load", "-i", archives["new"]).ok()
    assert len(images(berth)) == 2
    berth("system", "prune", "--force").ok()


@pytest.mark.fast
@pytest.mark.parametrize("inode", [128, 256])
def test_the_index_stays_up_to_date(berths, disk, archives, inode):
    """Also where the file system keeps times in seconds: a list has nothing to catch up with."""
    where = disk(16, "-I", str(inode))
    berth = berths(where.path / "b")
    for archive in archives.values():
        berth("load", "-i", archive).ok()
    berth("rmi", "localhost/new:1").ok()
    assert "up to date" not in berth("--debug", "images").ok().err
    kit.sh("touch", berth.root / "images")
    assert "up to date" in berth("--debug", "images").ok().err
    assert "up to date" not in berth("--debug", "images").ok().err
    assert kit.eventually(lambda: berth.listed("trash") == [])


@pytest.mark.fast
def test_eight_at_once(berth, archives):
    """Loading the same and removing it, over each other."""
    berth("load", "-i", archives["old"]).ok()
    for _ in range(3):
        running = [berth.popen("load", "-i", archives["new"]) for _ in range(5)]
        running += [berth.popen("rmi", "--force", "--ignore", "localhost/new:1") for _ in range(3)]
        for process in running:
            process.wait(60)
        berth.check("--deep")
        assert "localhost/old:1" in names(images(berth))
    berth("load", "-i", archives["new"]).ok()
    berth("image", "prune", "--all", "--force").ok()
    berth("system", "prune", "--force").ok()
    assert contents(berth) == {folder: [] for folder in FOLDERS}
