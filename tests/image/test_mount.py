"""`image mount`, `image unmount`, `image diff`: of both kinds of layers."""

import json
import os
import subprocess

import kit
import pytest
from kit import Image, Layer, dir, file, hardlink, opaque, symlink, whiteout

pytestmark = pytest.mark.fast


@pytest.fixture(params=["erofs", "directory"])
def berth(request, berths):
    made = berths()
    made.env["BERTH_LAYERS"] = request.param
    if request.param == "erofs" and tuple(map(int, os.uname().release.split(".")[:2])) < (6, 12):
        pytest.skip("EROFS is mounted from files since Linux 6.12")
    yield made
    made("image", "unmount", "--all", "--force")


@pytest.fixture
def add(berth, tmp_path):
    """add(name, layers...): an image in the store."""
    def make(name, *layers):
        path = tmp_path / f"layout-{name.replace(':', '-')}"
        Image([Layer(entries) for entries in layers]).layout(path, name)
        berth("load", "-q", "-i", path).ok()
        return name

    return make


BASE = [dir("etc"), file("etc/os-release", "ID=base\n"), dir("bin"), file("bin/sh", b"#!", 0o755, uid=5),
        dir("old"), file("old/a"), dir("var"), dir("var/cache"), file("var/cache/x")]
TOP = [dir("etc"), file("etc/new", "1"), whiteout("old"), dir("var/cache"), opaque("var/cache"), file("var/cache/y"),
       dir("added"), dir("added/deep"), file("added/deep/file"), file("bin/sh", b"#?", 0o755, uid=5)]


def shared(berth):
    """Where layers are mounted for all."""
    points = [line.split()[4] for line in open("/proc/self/mountinfo")]
    return [p for p in points if p.startswith(f"{berth.runroot}/layers/")]


def test_mount_prints_where(berth, add):
    add("localhost/one:1", BASE, TOP)
    path = berth("image", "mount", "localhost/one:1").ok().out.strip()
    assert path.startswith(f"{berth.runroot}/images/")
    tree = kit.tree(path)
    assert (tree["etc/os-release"]["content"], tree["bin/sh"]["owner"]) == (kit.digest(b"ID=base\n"), (5, 0))
    assert "old" not in tree and "var/cache/x" not in tree and "var/cache/y" in tree and "etc/new" in tree
    with pytest.raises(OSError, match="Read-only"):
        open(f"{path}/x", "w")
    assert berth("image", "mount", "localhost/one:1").ok().out.strip() == path  # again: where it is
    listed = berth("image", "mount").ok().out.split()
    assert listed == ["localhost/one:1", path]
    found = berth.json("image", "mount", "--format", "json")
    assert [(m["Repositories"], m["mountpoint"], m["id"]) for m in found] == [
        (["localhost/one:1"], path, os.path.basename(path))]
    assert berth("image", "unmount", "localhost/one:1").ok().out.strip() == os.path.basename(path)
    assert not os.path.exists(path)
    assert berth("image", "mount").ok().out == "" and berth.json("image", "mount", "--format", "json") == []


def test_mount_several_and_all(berth, add):
    add("localhost/one:1", BASE)
    add("localhost/two:1", BASE, TOP)
    lines = berth("image", "mount", "localhost/one:1", "localhost/two:1").ok().out.splitlines()
    assert [line.split()[0] for line in lines] == ["localhost/one:1", "localhost/two:1"]
    berth("image", "umount", "-a").ok()
    assert len(berth("image", "mount", "--all").ok().out.splitlines()) == 2
    assert len(berth("image", "unmount", "--all").ok().out.splitlines()) == 2


def test_layers_are_shared(berth, add):
    if berth.env["BERTH_LAYERS"] == "directory":
        pytest.skip("directories have one page cache anyway")
    add("localhost/one:1", BASE)
    add("localhost/two:1", BASE, TOP)
    berth("image", "mount", "--all").ok()
    assert len(shared(berth)) == 2  # BASE once
    berth("image", "unmount", "--all").ok()


def test_a_mounted_image_is_not_removed(berth, add):
    add("localhost/one:1", BASE, TOP)
    path = berth("image", "mount", "localhost/one:1").ok().out.strip()
    refused = berth("rmi", "localhost/one:1")
    assert refused.code == 2 and "image unmount" in refused.err
    berth("image", "unmount", "localhost/one:1").ok()
    berth("rmi", "localhost/one:1").ok()
    assert not os.path.exists(path)


def test_mount_outlives_its_image(berth, add):
    """Where somebody insists; an unpacked directory is no longer complete then."""
    add("localhost/one:1", BASE, TOP)
    path = berth("image", "mount", "localhost/one:1").ok().out.strip()
    berth("rmi", "-f", "localhost/one:1").ok()
    if berth.env["BERTH_LAYERS"] == "erofs":
        assert open(f"{path}/etc/os-release").read() == "ID=base\n"
    assert os.path.basename(path) in berth("image", "mount").ok().out
    assert kit.eventually(lambda: not shared(berth))
    berth("image", "unmount", os.path.basename(path)).ok()
    assert not os.path.exists(path)


def test_unmount_in_use(berth, add):
    add("localhost/one:1", BASE, TOP)
    path = berth("image", "mount", "localhost/one:1").ok().out.strip()
    with open(f"{path}/etc/os-release"):
        refused = berth("image", "unmount", "localhost/one:1")
        assert refused.code != 0 and "--force" in refused.err
        berth("image", "unmount", "-f", "localhost/one:1").ok()
    refused = berth("image", "unmount", "localhost/one:1")
    assert refused.code != 0 and "not mounted" in refused.err
    assert berth("image", "mount", "localhost/none").code != 0
    assert berth("image", "unmount", "localhost/none").code != 0


def test_diff_of_the_topmost_layer(berth, add):
    add("localhost/one:1", BASE, TOP)
    lines = berth("image", "diff", "localhost/one:1").ok().out.splitlines()
    assert lines == ["A /added", "A /added/deep", "A /added/deep/file", "C /bin", "C /bin/sh", "C /etc", "A /etc/new",
                     "D /old", "C /var", "C /var/cache", "D /var/cache/x", "A /var/cache/y"]
    found = berth.json("image", "diff", "--format", "json", "localhost/one:1")
    assert found == {"changed": ["/bin", "/bin/sh", "/etc", "/var", "/var/cache"],
                     "added": ["/added", "/added/deep", "/added/deep/file", "/etc/new", "/var/cache/y"],
                     "deleted": ["/old", "/var/cache/x"]}


def test_diff_of_two_images(berth, add):
    """They share their lowest layer; content alone differs in one file, nothing in another."""
    add("localhost/one:1", BASE, [dir("etc"), file("etc/same", "x"), file("etc/content", "aaa"), file("etc/gone"),
                                  symlink("link", "a"), dir("kind")])
    add("localhost/two:1", BASE, [dir("etc"), file("etc/same", "x"), file("etc/content", "bbb"), symlink("link", "b"),
                                  file("kind")], [file("etc/mode", mode=0o600)])
    lines = berth("image", "diff", "localhost/two:1", "localhost/one:1").ok().out.splitlines()
    assert lines == ["C /etc", "C /etc/content", "D /etc/gone", "A /etc/mode", "C /kind", "C /link"]
    assert berth("image", "diff", "localhost/one:1", "localhost/one:1").ok().out == ""
    back = berth("image", "diff", "localhost/one:1", "localhost/two:1").ok().out.splitlines()
    assert back == ["C /etc", "C /etc/content", "A /etc/gone", "D /etc/mode", "C /kind", "C /link"]


def test_diff_of_an_only_layer_is_all_of_it(berth, add):
    add("localhost/one:1", [dir("a"), file("a/b")])
    assert berth("image", "diff", "localhost/one:1").ok().out.splitlines() == ["A /a", "A /a/b"]


def test_refusals(berth, add):
    add("localhost/one:1", [file("a")])
    for args, words in ((("diff", "--format", "yaml", "localhost/one:1"), "json"),
                        (("mount", "--format", "x"), "json"), (("unmount",), "--all"),
                        (("mount", "-a", "localhost/one:1"), "exclude"), (("diff", "nowhere"), "nowhere")):
        refused = berth("image", *args)
        assert refused.code != 0 and words in refused.err, args
    if not hasattr(os, "setuid") or subprocess.run(["setpriv", "--version"], capture_output=True).returncode:
        pytest.skip("needs setpriv, for the part without privileges")
    done = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", *berth.argv("image", "mount")],
                          capture_output=True, text=True)
    assert done.returncode != 0 and "root" in done.stderr


def test_leaning_layers(berth, add):
    """What a layer leaves out it takes from those below: a directory's attributes, a hard link's target."""
    add("localhost/one:1", [dir("data", mode=0o1770, uid=7, gid=8, mtime=1_400_000_000), file("data/low", "content", uid=3),
                            dir("data/sub", mode=0o700, xattrs={"user.x": "1"})],
        [file("data/new", "1"), file("data/sub/f", "2"), hardlink("data/again", "data/low"), hardlink("data/third", "data/low")])
    path = berth("image", "mount", "localhost/one:1").ok().out.strip()
    tree = kit.tree(path)
    assert (tree["data"]["mode"], tree["data"]["owner"]) == ("drwxrwx--T", (7, 8))
    assert tree["data"]["mtime"] == 1_400_000_000 * 10**9
    assert tree["data/sub"]["mode"] == "drwx------" and tree["data/sub"]["xattrs"].get("user.x") == b"1"
    assert tree["data/again"]["content"] == kit.digest(b"content") and tree["data/again"]["owner"] == (3, 0)
    assert tree["data/third"]["content"] == kit.digest(b"content")
    berth("image", "unmount", "--all").ok()
    berth.check()


def test_json_of_nothing_is_an_object(berth, add):
    add("localhost/one:1", [file("a")])
    assert json.loads(berth("image", "diff", "--format", "json", "localhost/one:1", "localhost/one:1").ok().out) == {}
