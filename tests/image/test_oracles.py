"""What other programs unpack from the same bytes, compared entry by entry: owners, modes, times,
attributes, hard links, holes. bsdtar (libarchive) for one layer; umoci for images, whose layers are
stacked here as berth stacks them."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess

import images
import kit
import layering
import pytest
import test_layer
from images import dir, file, hardlink, opaque, symlink, whiteout


def need(program):
    if not shutil.which(program):
        pytest.skip(f"needs the program {program}")


@pytest.mark.fast
def test_libarchive(base, tmp_path):
    need("bsdtar")
    entries = [dir("./", 0o711, uid=3, mtime=5)] + [e for e in test_layer.EVERYTHING[1:] if e.name != "d/link too" and e.mtime >= 0]
    data = images.tar([dir("/".join("p" * 49 for _ in range(n))) for n in range(1, 60)] + entries)
    at, path = tmp_path / "oracle", tmp_path / "a.tar"
    at.mkdir()
    path.write_bytes(data)
    subprocess.run(["bsdtar", "--numeric-owner", "--xattrs", "--acls", "-xpf", path, "-C", at], check=True)
    oracle = kit.tree(at)
    for backend in layering.BACKENDS:
        stage = layering.Stage(tmp_path / backend, backend)
        stage.unpack(data).ok()
        found = stage.entries()
        for path, entry in oracle.items():
            # It restores no trusted.*, and ACLs of its own syntax alone.
            for tree in (entry, found[path]):
                tree["xattrs"] = {k: v for k, v in tree["xattrs"].items() if not k.startswith(("trusted.", "system."))}
                if path in ("d/acl", "setgid"):
                    tree["mode"] = tree["mode"].replace("+", "")
        # It makes things in the root after having set its time.
        found["."]["mtime"] = oracle["."]["mtime"]
        assert kit.tree_differs(oracle, found) == []


LAYERS = [
    [dir("./"), dir("etc"), dir("usr", 0o755, mtime=100), dir("usr/bin", mtime=200), file("usr/bin/tool", b"1", 0o4755),
     file("etc/passwd", b"root:x:0:0", uid=0), dir("var", 0o775, gid=8), dir("var/cache"), file("var/cache/a", b"a"),
     file("var/cache/b", b"b"), symlink("bin", "usr/bin"), file("etc/shared", b"s" * 5000), hardlink("etc/also", "etc/shared"),
     dir("gone"), file("gone/f", b"x"), dir("mixed"), file("mixed/lower", b"l"), file("becomes-dir", b"f"),
     dir("becomes-file"), file("becomes-file/f", b"x")],
    [dir("./", mtime=9), dir("etc", 0o700, uid=1, gid=2), file("etc/new", b"n", xattrs={"user.x": b"y"}),
     dir("var", 0o775, gid=8), dir("var/cache", mtime=7), opaque("var/cache"), file("var/cache/c", b"c"), whiteout("gone"),
     dir("usr", 0o755, mtime=100), dir("usr/bin", mtime=201), file("usr/bin/tool", b"2", 0o755, uid=5,
                                                                    xattrs={"security.capability": test_layer.CAPABILITY})],
    [dir("mixed", 0o750, mtime=3), file("mixed/upper", b"u"), whiteout("becomes-dir"), dir("becomes-dir"),
     file("becomes-dir/f", b"in"), whiteout("becomes-file"), file("becomes-file", b"now a file"),
     dir("etc", 0o700, uid=1, gid=2), whiteout("etc/also")],
]


@contextlib.contextmanager
def stacked(stages, at):
    """Their trees one over another, the first lowest."""
    with contextlib.ExitStack() as stack:
        lowers = [stack.enter_context(s.tree()) for s in stages]
        at.mkdir()
        for n, path in enumerate(lowers):  # short names: mount options have an end
            link = at.parent / f"l{n}"
            link.symlink_to(path)
        kit.sh("mount", "-t", "overlay", "overlay", "-o", "ro,lowerdir=" + ":".join(
            f"{at.parent}/l{n}" for n in reversed(range(len(lowers)))), at)
        try:
            yield at
        finally:
            kit.sh("umount", at)


def unpack_all(layout, backend, tmp_path):
    """A Stage for each layer of the layout's only image."""
    blobs = pathlib.Path(layout) / "blobs/sha256"
    index = json.loads((pathlib.Path(layout) / "index.json").read_text())

    def read(descriptor):
        return json.loads((blobs / descriptor["digest"].partition(":")[2]).read_text())

    manifest = read(index["manifests"][0])
    diff_ids = read(manifest["config"])["rootfs"]["diff_ids"]
    stages = []
    for n, (layer, diff_id) in enumerate(zip(manifest["layers"], diff_ids)):
        stages.append(layering.Stage(tmp_path / f"s{n}", backend))
        with open(blobs / layer["digest"].partition(":")[2], "rb") as f:
            answer = layering.call("unpack", stages[-1].dir, f, backend=backend, digest=layer["digest"],
                                   size=layer["size"], diff_id=diff_id, threads=3).ok()
        if answer.leans:
            with stacked(stages[:-1], tmp_path / f"lower{n}") if stages[:-1] else contextlib.nullcontext() as lower:
                stages[-1].settle(lower).ok()
            for link in tmp_path.glob("l[0-9]*"):
                link.is_symlink() and link.unlink()
    return stages


def compare(layout, backend, tmp_path):
    need("umoci")
    at = tmp_path / "umoci"
    subprocess.run(["umoci", "raw", "unpack", "--image", f"{layout}:latest", at], check=True, stdout=subprocess.DEVNULL)
    oracle = kit.tree(at)
    shutil.rmtree(at)
    (tmp_path / "work").mkdir()
    stages = unpack_all(layout, backend, tmp_path / "work")
    with stacked(stages, tmp_path / "work" / "merged") as merged:
        found = kit.tree(merged)
    return oracle, found


def without_times_of(tree, *paths):
    for path in paths:
        tree[path].pop("mtime")


@pytest.mark.fast
@pytest.mark.parametrize("backend", layering.BACKENDS)
def test_umoci(base, tmp_path, backend):
    layout = images.Image([images.Layer(e) for e in LAYERS]).layout(tmp_path / "layout", "latest")
    oracle, found = compare(layout, backend, tmp_path)
    # umoci changes what is there: a link count that has lost its other name, and directories whose
    # times a later layer's removals moved.
    for tree in oracle, found:
        test_layer.alone_again(tree)
        without_times_of(tree, ".", "etc", "mixed", "gone") if "gone" in tree else without_times_of(tree, ".", "etc", "mixed")
    assert kit.tree_differs(oracle, found) == []


@pytest.mark.big
@pytest.mark.parametrize("backend", layering.BACKENDS)
def test_umoci_on_a_big_image(base, tmp_path, backend):
    need("skopeo")
    layout = base / "big"
    if not layout.exists():
        subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{os.environ['BERTH_BIG_IMAGE']}",
                        f"oci:{layout}:latest"], check=True)
    work = base / f"work-{backend}"
    work.mkdir()
    try:
        oracle, found = compare(layout, backend, work)
        for tree in oracle, found:
            test_layer.alone_again(tree)
        differs = kit.tree_differs(oracle, found)
        times = [d for d in differs if ": mtime: " in d]
        assert [d for d in differs if d not in times] == []
        # Directories out of which umoci removed what a whiteout named.
        assert all(found[d.partition(": mtime")[0]]["mode"][0] == "d" for d in times) and len(times) < 50, times
    finally:
        shutil.rmtree(work, ignore_errors=True)
