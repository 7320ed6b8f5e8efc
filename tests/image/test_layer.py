"""Unpacking: what berth-layer makes of a blob, in both forms of a layer, compared with each other and
with what GNU tar makes of it; verification, resuming, threads, confinement, and the way back."""

import gzip
import io
import os
import pathlib
import random
import struct
import subprocess
import tarfile
import threading
import time

import images
import kit
import layering
import pytest
from images import block, char, dir, fifo, file, hardlink, opaque, symlink, whiteout

OPAQUE = "trusted.overlay.opaque"
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
ACL = struct.pack("<I" + "HHI" * 5, 2, 1, 6, 0xFFFFFFFF, 2, 5, 1000, 4, 4, 0xFFFFFFFF, 0x10, 4, 0xFFFFFFFF,
                  0x20, 4, 0xFFFFFFFF)


def kernel():
    return tuple(int(n) for n in os.uname().release.split("-")[0].split(".")[:2])


@pytest.fixture(params=layering.BACKENDS)
def backend(request, base):
    if request.param == "erofs" and kernel() < (6, 12):
        pytest.skip("EROFS is mounted from files since Linux 6.12")
    return request.param


@pytest.fixture
def stages(tmp_path):
    """stages(backend): a new Stage each time."""
    made = []

    def make(backend):
        made.append(layering.Stage(tmp_path / f"{backend}{len(made)}", backend))
        return made[-1]

    return make


@pytest.fixture
def stage(stages, backend):
    return stages(backend)


def exact(stage, data, path):
    """The archive comes back byte by byte."""
    stage.tar(path).ok()
    assert path.read_bytes() == data


# ---- what is unpacked ----

EVERYTHING = [
    dir("./", 0o711, uid=3, gid=4, mtime=5),
    dir("d", 0o1777, mtime=1.25),
    dir("setgid", 0o2775, gid=50, xattrs={"system.posix_acl_default": ACL}),
    file("setgid/inherits-nothing", b"1"),
    dir("setgid/nor-this"),
    file("d/file", b"content" * 1000, uid=1000, gid=1001, mtime=1600000000.123456789),
    file("d/empty", mode=0),
    file("d/suid", b"x", 0o6755, uid=2, gid=2),
    file("d/capable", b"x", 0o755, uid=1, xattrs={"security.capability": CAPABILITY, "user.empty": b""}),
    file("d/acl", b"x", 0o644, xattrs={"system.posix_acl_access": ACL}),
    file("d/binary", xattrs={"user.binary": b"\0\1=\n\xff"}),
    hardlink("d/same", "d/suid"),
    hardlink("d/again", "./d/same"),
    symlink("d/link", "../d/file", uid=7),
    symlink("d/dangling", "/nowhere/at/all", mtime=7.5, xattrs={"trusted.t": b"on a link"}),
    hardlink("d/link too", "d/link"),
    char("d/null", 1, 3, 0o666),
    block("d/disk", 259, 70000, gid=6),
    fifo("d/fifo", 0o4711, uid=9),
    dir("closed", 0),
    file("closed/inside", b"y"),
    file("n" * 255, b"longest"),
    file("/".join("p" * 49 for _ in range(60)), b"deep", mtime=-1.5),
    file("old", mtime=-(1 << 31)),
    file(b"latin-\xe9\xff".decode("utf-8", "surrogateescape"), b"no UTF-8"),
]


@pytest.mark.fast
def test_every_type_and_attribute(stage, tmp_path):
    data = images.tar([dir("/".join("p" * 49 for _ in range(n))) for n in range(1, 60)] + EVERYTHING)
    answer = stage.unpack(data).ok()
    assert not answer.leans and answer.entries == len(EVERYTHING) + 59
    oracle = kit.tree(layering.gnu_tar(data, tmp_path / "oracle"))
    assert kit.tree_differs(oracle, stage.entries()) == []
    exact(stage, data, tmp_path / "out")


@pytest.mark.fast
def test_whiteouts(stage):
    stage.unpack([
        dir("./"), dir("a"), whiteout("a/gone"), whiteout("top"),
        dir("later"), opaque("later"), file("later/f"),
        dir("sub"), file("sub/kept"), whiteout("sub/kept"), whiteout("other"), file("other"),
        whiteout("tree"), dir("tree"), file("tree/new"), dir("tree2"), whiteout("tree2"),
        file(".wh..wh.plnk"), dir(".wh..wh.aufs"), file(".wh..wh.aufs/x"),
        dir("x"), file("x/.wh.f", b"content of a whiteout"),
    ]).ok()
    found = stage.entries()
    gone = {p for p, e in found.items() if e["mode"].startswith("c")}
    assert gone == {"a/gone", "top", "x/f"}
    assert all(found[p]["device"] == (0, 0) for p in gone)
    assert {p for p, e in found.items() if OPAQUE in e["xattrs"]} == {"later", "tree", "tree2"}
    assert not any(".wh." in p for p in found)


def test_names_of_all_kinds(stage):
    stage.unpack([dir("./"), dir("/abs/"), file("//abs//f"), file("./abs/./g"), dir("abs//h///"),
                  symlink("s", "/abs"), file("s/through"), symlink("up", "../../abs/h"), file("up/deep"),
                  symlink("new", "made/here"), file("new/f")]).ok()
    stage.settle().ok()
    assert {"abs/f", "abs/g", "abs/h", "abs/through", "abs/h/deep", "made/here/f"} <= stage.entries().keys()


SPARSE = dict(old="gnu", v00="posix 0.0", v01="posix 0.1", v10="posix 1.0")


@pytest.mark.parametrize("kind", SPARSE)
def test_sparse_files(stage, tmp_path, kind):
    top = tmp_path / "made"
    top.mkdir()
    with open(top / "sparse", "wb") as f:
        for i in range(40):
            f.seek(i * 65536)
            f.write(bytes([i + 1]) * 4096)
        f.truncate(5 << 20)
    with open(top / "hole", "wb") as f:
        f.truncate(1 << 20)
    format, *version = SPARSE[kind].split()
    data = subprocess.run(["tar", "-C", top, "-cS", f"--format={format}", *(f"--sparse-version={v}" for v in version),
                           "--sort=name", "."], stdout=subprocess.PIPE, check=True).stdout
    assert len(data) < 1 << 20
    stage.unpack(data).ok()
    oracle = kit.tree(layering.gnu_tar(data, tmp_path / "oracle"))
    assert kit.tree_differs(oracle, stage.entries()) == []
    if stage.backend == "directory":
        assert os.stat(stage.dir / "fs/sparse").st_blocks * 512 < 1 << 20
    exact(stage, data, tmp_path / "out")


def test_duplicates_the_last_wins(stage, tmp_path):
    entries = [
        dir("./"), file("f", b"first"), file("f", b"second"), file("f", b"third"),
        dir("d"), dir("d/deep"), file("d/deep/f", b"was here"), file("d", b"a file now"),
        symlink("l", "f"), file("l", b"no link"), file("s", b"file"), symlink("s", "f"),
        file("n", b"node"), fifo("n"), dir("e", 0o700), file("e/kept", b"k"), dir("e", 0o755, uid=5),
        file("t", b"target"), hardlink("h", "t"), hardlink("h", "t"), file("h", b"own"),
        dir("g"), file("g/in", b"inside"), hardlink("g2", "g/in"), hardlink("g", "g/in"),
        dir("again"), file("again/x", b"1"), file("again", b"2"), dir("again"), file("again/x", b"3"),
    ]
    data = images.tar(entries)
    stage.unpack(data).ok()
    found = stage.entries()
    content = {p: e["content"] for p, e in found.items() if "content" in e}
    assert content == {p: images.digest(c) for p, c in {
        "f": b"third", "d": b"a file now", "l": b"no link", "e/kept": b"k", "t": b"target", "h": b"own",
        "g": b"inside", "g2": b"inside", "again/x": b"3"}.items()}
    assert found["s"]["link"] == "f" and found["n"]["mode"][0] == "p" and found["e"]["owner"] == (5, 0)
    assert found["g"]["same"] == found["g2"]["same"]
    exact(stage, data, tmp_path / "out")


def test_hard_links_whose_targets_come_later(stage, tmp_path):
    data = images.tar([dir("./"), hardlink("b", "a"), hardlink("c", "b"), hardlink("d", "c"), file("a", b"x"),
                       hardlink("e", "missing"), file("e", b"replaces the link")])
    answer = stage.unpack(data).ok()
    assert not answer.leans
    found = stage.entries()
    assert len({found[p]["same"] for p in "abcd"}) == 1 and "same" not in found["e"]
    exact(stage, data, tmp_path / "out")


# ---- both forms are one ----

NAMES = ["a", "b", "c", "usr", "bin"]


def random_path(rng, depth=4):
    return "/".join(rng.choice(NAMES) for _ in range(rng.randint(1, depth)))


def random_entry(rng, before):
    """One that may go well with those before it."""
    path, kind = random_path(rng), rng.randrange(20)
    attributes = dict(uid=rng.choice((0, 0, 5)), gid=rng.choice((0, 7)), mtime=rng.randrange(1 << 30))
    if kind < 5:
        return dir(path, rng.choice((0o755, 0o700, 0o2775)), **attributes)
    if kind < 11:
        return file(path, rng.randbytes(rng.choice((0, 1, 511, 512, 3000))), rng.choice((0o644, 0o4755)), **attributes)
    if kind < 13:
        return symlink(path, rng.choice(("", "/", "../", "./")) + random_path(rng), **attributes)
    if kind < 15:
        # Targets that are not there have tests of their own.
        files = [e.name for e in before if e.type in "02" and ".wh." not in e.name]
        return hardlink(path, rng.choice(files)) if files else fifo(path)
    if kind < 17:
        return whiteout(path)
    if kind < 18:
        return opaque(path)
    if kind < 19:
        return rng.choice((fifo(path), char(path, 1, 3), char(path, 0, 0)))
    return file(path + "/", b"x", **attributes)


def alone_again(found):
    """A directory layer keeps what was replaced, as one more link to what was not."""
    names = [e["same"] for e in found.values() if "same" in e]
    for e in found.values():
        if names.count(e.get("same")) == 1:
            del e["same"]


@pytest.mark.parametrize("seed", range(60))
def test_both_forms_agree_on_random_archives(stages, base, tmp_path, seed):
    if kernel() < (6, 12):
        pytest.skip("EROFS is mounted from files since Linux 6.12")
    rng = random.Random(seed)
    entries = []
    for _ in range(rng.randint(1, 60)):
        entries.append(random_entry(rng, entries))
    data, results = None, {}
    while data is None:  # an entry that is refused is left out, and must be refused by both
        trial = images.tar(entries)
        answers = {}
        for backend in layering.BACKENDS:
            stage = stages(backend)
            answers[backend] = (stage, stage.unpack(trial))
        texts = {a.text for _, a in answers.values()}
        assert len(texts) == 1, texts
        text = texts.pop()
        if " is refused: " in text:
            del entries[int(text.split("its entry ")[1].split()[0]) - 1]
            continue
        data = trial
        for backend, (stage, answer) in answers.items():
            answer.ok()
            if answer.leans and stage.settle().code != "NONE":
                # A hard link to nothing: those entries too have to go.
                dangling = [e for e in entries if e.type == "1"]
                entries = [e for e in entries if e not in dangling]
                data = None
                break
            results[backend] = stage.entries()
            exact(stage, data, tmp_path / f"out-{backend}")
    for found in results.values():
        alone_again(found)
    assert kit.tree_differs(results["erofs"], results["directory"]) == []


# ---- compressions and threads ----


def blobs(data):
    third = len(data) // 3 + 1
    parts = [data[i:i + third] for i in range(0, len(data), third)]
    skip = b"\x5a\x2a\x4d\x18" + struct.pack("<I", 7) + b"skipped"
    return {"plain": data, "gzip": gzip.compress(data), "zstd": images.zstd(data),
            "gzip members": b"".join(gzip.compress(p, 1) for p in parts) + gzip.compress(b""),
            "zstd frames": skip + b"".join(images.zstd(p) + skip for p in parts)}


@pytest.mark.parametrize("threads", (1, 2, 3))
def test_compressions_and_threads(stage, threads):
    rng = random.Random(1)
    entries = [dir("./")] + [file(f"f{i}", rng.randbytes(rng.choice((10, 700_000))) * 2) for i in range(9)]
    data = images.tar(entries)
    seen = set()
    for name, blob in blobs(data).items():
        stage.clear()
        answer = stage.unpack(blob, compress=None, threads=threads, diff_id=images.digest(data)).ok()
        assert (answer.size, answer.tar_size, answer.diff_id) == (len(blob), len(data), images.digest(data)), name
        seen.add(str(stage.entries()))
    assert len(seen) == 1


def test_sha512_and_unknown_digests(stage):
    data = images.tar([dir("./"), file("f", b"x")])
    blob = gzip.compress(data)
    stage.unpack(blob, compress=None, digest=images.digest(blob, "sha512"), diff_id=images.digest(data, "sha512")).ok()
    stage.clear()
    answer = stage.unpack(iter([blob[:10], blob[10:]]), compress=None).ok()
    assert (answer.digest, answer.diff_id, answer.size) == (images.digest(blob), images.digest(data), len(blob))


def test_no_more_than_size_is_read(stage, tmp_path):
    blob = gzip.compress(images.tar([dir("./"), file("f", b"x")]))
    path = tmp_path / "archive"
    path.write_bytes(blob + b"what follows")
    with open(path, "rb", buffering=0) as f:
        layering.call("unpack", stage.dir, f, backend=stage.backend, size=len(blob)).ok()
        assert f.read() == b"what follows"


# ---- verification ----

SAMPLE = [dir("./"), dir("d")] + [file(f"d/{i}", bytes([i]) * 3000, mtime=i) for i in range(60)]


@pytest.mark.fast
def test_wrong_digest_size_and_diff_id(stage):
    data = images.tar(SAMPLE)
    blob = gzip.compress(data)
    other = images.digest(b"other")
    stage.unpack(blob, compress=None, digest=other).failed("INVALID", images.digest(blob))
    stage.clear()
    stage.unpack(blob, compress=None, diff_id=other).failed("INVALID", "diffID", other, images.digest(data))
    stage.clear()
    stage.unpack(blob, compress=None, size=len(blob) + 1).failed("UNAVAILABLE", f"after {len(blob)} of {len(blob) + 1}")
    stage.clear()
    stage.unpack(blob, compress=None, size=len(blob) - 1).failed("INVALID", "digest")
    stage.clear()
    stage.unpack(blob, compress=None, digest="sha256:../../etc").failed("INVALID", "is no digest")


@pytest.mark.parametrize("compression", ("plain", "gzip", "zstd"))
def test_cut_off_anywhere(stage, compression):
    blob = blobs(images.tar(SAMPLE))[compression]
    rng = random.Random(2)
    for cut in [0, 1, 3, len(blob) - 1, *(rng.randrange(len(blob)) for _ in range(12))]:
        stage.clear()
        stage.unpack(iter([blob[:cut]]), compress=None, digest=images.digest(blob), size=len(blob)).failed(
            "UNAVAILABLE", f"ends after {cut} of {len(blob)} bytes")


@pytest.mark.parametrize("compression", ("plain", "gzip", "zstd"))
def test_damaged_anywhere(stage, compression):
    """Whatever a wrong byte does on its way, what is told is that the blob's digest is wrong."""
    blob = blobs(images.tar(SAMPLE))[compression]
    rng = random.Random(3)
    for _ in range(25):
        at = rng.randrange(len(blob))
        damaged = blob[:at] + bytes([blob[at] ^ rng.randrange(1, 256)]) + blob[at + 1:]
        stage.clear()
        stage.unpack(damaged, compress=None, digest=images.digest(blob), threads=rng.choice((1, 2, 3))).failed(
            "INVALID", "its bytes have the digest", images.digest(damaged))


# ---- the spool ----


def test_resuming(stage):
    blob = gzip.compress(images.tar(SAMPLE))
    for at in (1, 3, 4, 1000, len(blob) - 1, len(blob)):
        stage.clear()
        (stage.dir / "spool").write_bytes(blob[:at] + b"a torn end of the last write")
        stage.unpack(blob, compress=None, resume=at, spool=1).ok()
        assert (stage.dir / "spool").read_bytes() == blob
        whole = stage.entries()
        stage.clear()
        stage.unpack(blob, compress=None).ok()
        assert kit.tree_differs(stage.entries(), whole) == []


@pytest.mark.fast
def test_a_corrupt_spool_is_told_from_a_corrupt_blob(stage):
    blob = gzip.compress(images.tar(SAMPLE))
    (stage.dir / "spool").write_bytes(b"\0" * 1000)
    answer = stage.unpack(blob, compress=None, resume=1000, spool=1).failed("INVALID", "digest")
    assert answer.corrupt_spool
    stage.clear()
    assert not stage.unpack(b"\0" * 1000 + blob[1000:], compress=None, digest=images.digest(blob)).corrupt_spool


def test_what_was_received_is_in_the_spool(stage):
    """Killed at any moment, the next try goes on from there."""
    blob = gzip.compress(images.tar(SAMPLE), 0)
    half = threading.Event()

    def pieces():
        yield blob[:100000]
        half.set()
        time.sleep(60)

    def kill():
        half.wait(30)
        assert kit.eventually(lambda: (stage.dir / "spool").stat().st_size == 100000)
        for pid in workers():
            os.kill(pid, 9)

    killer = threading.Thread(target=kill)
    killer.start()
    # The feeder sleeps on: only the worker's end is waited for.
    answer = layering.call("unpack", stage.dir, pieces(), backend=stage.backend, digest=images.digest(blob),
                           size=len(blob), spool=1, timeout=0.1)
    killer.join()
    assert answer.status == -9
    spooled = (stage.dir / "spool").stat().st_size
    for left in ("layer.tar", "layer.erofs"):
        (stage.dir / left).unlink(missing_ok=True)
    subprocess.run(["rm", "-rf", stage.dir / "fs", stage.dir / "replaced"], check=True)
    stage.unpack(blob, compress=None, resume=spooled, spool=1).ok()


def workers():
    """Processes of berth-layer that are ours."""
    found = []
    for p in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = p.read_text().rpartition(")")
        except OSError:
            continue
        if "berth-layer" in fields[0] and int(fields[2].split()[1]) == os.getpid():
            found.append(int(p.parent.name))
    return found


# ---- confinement ----


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {k: v.strip() for k, _, v in (line.partition(":") for line in lines)}


@pytest.mark.fast
def test_confined_while_it_reads(stage):
    blob = gzip.compress(images.tar(SAMPLE), 0)
    seen = {}

    def pieces():
        yield blob[:50000]
        assert kit.eventually(lambda: workers() and status_of(workers()[0])["Seccomp"] == "2")
        pid = workers()[0]
        seen.update(status_of(pid))
        seen["fds"] = {os.readlink(f) for f in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
        yield blob[50000:]

    layering.call("unpack", stage.dir, pieces(), backend=stage.backend, digest=images.digest(blob),
                  size=len(blob)).ok()
    assert seen["Seccomp"] == "2" and seen["NoNewPrivs"] == "1"
    if stage.backend == "erofs":
        assert seen["Uid"].split() == ["65534"] * 4 and seen["Groups"] == ""
        assert all(int(seen[c], 16) == 0 for c in ("CapPrm", "CapEff", "CapBnd", "CapAmb", "CapInh"))
    else:
        chown, override, fsetid, kill, sys_admin, net_admin = (1 << n for n in (0, 1, 4, 5, 21, 12))
        caps = int(seen["CapPrm"], 16)
        assert caps & chown and caps & override and caps & fsetid and caps & sys_admin
        assert not caps & (kill | net_admin)


# ---- a full disk ----


def test_a_full_disk(stage, disk):
    small = disk(16)
    full = layering.Stage(small.path / "s", stage.backend)
    data = images.tar([dir("./")] + [file(f"f{i}", random.Random(i).randbytes(1 << 20)) for i in range(40)])
    for threads in (1, 3):
        answer = full.unpack(data, threads=threads).failed("LIMIT", "no space left on device")
        assert "write" in answer.text
        full.clear()


# ---- the way back ----


def test_packing(stage, tmp_path):
    data = images.tar(SAMPLE)
    stage.unpack(data).ok()
    for compression, decompress in (("none", bytes), ("gzip", gzip.decompress), ("zstd", unzstd)):
        outs = []
        for n in range(2):
            out = tmp_path / f"{compression}{n}"
            answer = stage.tar(out, "pack", compression=compression).ok()
            outs.append(out.read_bytes())
            assert (answer.digest, answer.size) == (images.digest(outs[-1]), len(outs[-1]))
        assert outs[0] == outs[1] and decompress(outs[0]) == data
    stage.tar(tmp_path / "x", "pack", compression="bzip2").failed("INVALID", "'bzip2'")


def unzstd(data):
    return subprocess.run(["zstd", "-qdc"], input=data, stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.fast
def test_a_changed_layer_is_not_given_out(stage, tmp_path):
    stage.unpack(SAMPLE).ok()
    victim = stage.dir / ("layer.tar" if stage.backend == "erofs" else "fs/d/9")
    with open(victim, "r+b") as f:
        f.seek(2000)
        f.write(b"!")
    stage.tar(tmp_path / "out").failed("STATE", "instead of", stage.diff_id)
    victim.unlink()
    stage.tar(tmp_path / "out").failed("NOT_FOUND", "cannot open")


def test_damaged_headers_are_refused(stages, base, tmp_path):
    stage = stages("directory")
    data = images.tar(SAMPLE + [file("d/5", b"again")])
    stage.unpack(data).ok()
    path = stage.dir / "layer.headers"
    good = unzstd(path.read_bytes())
    rng = random.Random(4)
    for _ in range(60):
        bad = bytearray(good)
        for _ in range(rng.randint(1, 3)):
            bad[rng.randrange(len(bad))] = rng.choice((0, 255, rng.randrange(256), ord("F"), ord("C"), ord("M")))
        path.write_bytes(images.zstd(bytes(bad[:rng.choice((len(bad), rng.randrange(len(bad))))])))
        answer = stage.tar(tmp_path / "out")
        assert answer.code in ("STATE", "NOT_FOUND", "SYSTEM", "INVALID") or bytes(bad) == good, answer
    # A way out of the tree is no way.
    for escape in (b"D\x09../../etcF\x06passwdC\x10", b"D\x04/etcF\x06passwdC\x10"):
        path.write_bytes(images.zstd(b"berth-headers 1\n" + escape + b"E"))
        answer = stage.tar(tmp_path / "out")
        assert answer.code != "NONE" and (tmp_path / "out").read_bytes() == b""


def test_decompressing(base, tmp_path):
    data = random.Random(5).randbytes(300000) * 3
    for name, blob in blobs(data).items():
        layering.call("inflate", blob=blob, output=tmp_path / "out").ok()
        assert (tmp_path / "out").read_bytes() == data, name
    layering.call("inflate", blob=gzip.compress(data)[:-3], output=tmp_path / "out").failed("INVALID", "cut off")


# ---- leaning on lower layers ----


@pytest.fixture
def lower(tmp_path):
    top = tmp_path / "lower"
    top.mkdir()
    kit.sh("sh", "-ec", "mkdir -p etc usr/lib opt/x; chmod 1751 opt; chown 5:6 opt;"
           "touch -d @1234.5 opt; chmod 700 opt/x; echo content >etc/file; chown 7:8 etc/file; chmod 4711 etc/file;"
           "touch -d @77 etc/file; ln -s usr/lib lib; ln -s /usr abs; mkfifo etc/fifo; ln -s file etc/link; touch -d @99 usr/lib",
           cwd=top)
    os.setxattr(top / "opt", "user.a", b"b")
    os.utime(top / "opt", (1234.5, 1234.5))
    return top


def test_implied_directories_take_lower_attributes(stage, lower, tmp_path):
    data = images.tar([file("opt/x/y/f", b"1"), file("fresh/f", b"2")])
    assert stage.unpack(data).ok().leans
    stage.settle(lower).ok()
    mine, theirs = stage.entries(), kit.tree(lower)
    for path in ("opt", "opt/x"):
        assert mine[path] == theirs[path], path
    for path in ("opt/x/y", "fresh", "."):
        assert (mine[path]["mode"], mine[path]["owner"]) == ("drwxr-xr-x", (0, 0))
    exact(stage, data, tmp_path / "out")
    assert not (stage.dir / "lean").exists()


def test_hard_links_to_lower_files(stage, lower, tmp_path):
    data = images.tar([dir("./"), dir("etc"), hardlink("etc/one", "etc/file"), hardlink("etc/two", "/etc/file"),
                       hardlink("etc/three", "etc/two"), hardlink("etc/pipe", "etc/fifo"),
                       hardlink("etc/l", "etc/link"), hardlink("etc/via", "etc//./file")])
    assert stage.unpack(data).ok().leans
    stage.settle(lower).ok()
    mine, theirs = stage.entries(), kit.tree(lower)
    for path in ("one", "two", "three"):
        assert {k: v for k, v in mine[f"etc/{path}"].items() if k != "same"} == theirs["etc/file"], path
    assert mine["etc/one"]["same"] == mine["etc/via"]["same"]
    assert mine["etc/pipe"]["mode"] == theirs["etc/fifo"]["mode"] and mine["etc/l"]["link"] == "file"
    exact(stage, data, tmp_path / "out")


def test_parents_that_are_symlinks_below(stage, lower, tmp_path):
    """As when layers are unpacked one over another: lib/x is usr/lib/x."""
    data = images.tar([file("lib/x", b"1"), file("abs/lib/y", b"2"), file("plain", b"3"), file("plain", b"4")])
    assert stage.unpack(data).ok().leans
    stage.settle(lower).ok()
    mine = stage.entries()
    assert {"usr/lib/x", "usr/lib/y"} <= mine.keys()
    assert mine["lib"]["link"] == "usr/lib" and mine["abs"]["link"] == "/usr"
    assert mine["usr/lib"] == kit.tree(lower)["usr/lib"]
    exact(stage, data, tmp_path / "out")


@pytest.mark.fast
def test_a_hard_link_to_nothing(stage, lower):
    for target in ("missing", "etc", "missing/deep"):
        stage.clear()
        assert stage.unpack([dir("./"), hardlink("l", target)]).ok().leans
        stage.settle(lower).failed("INVALID", "'l'", f"'{target}'", "hard link")
        stage.settle().failed("INVALID", "'l'", f"'{target}'", "hard link")


def test_settling_without_lower_layers(stage):
    stage.unpack([file("a/b/c", b"1")]).ok()
    stage.settle().ok()
    found = stage.entries()
    assert all((found[p]["mode"], found[p]["owner"], found[p]["mtime"]) == ("drwxr-xr-x", (0, 0), 0)
               for p in ("a", "a/b"))


# ---- other programs' archives ----


@pytest.mark.parametrize("format", (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
def test_pythons_archives(stage, tmp_path, format):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as t:
        for name in (".", "d", "d/" + "l" * 90):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            t.addfile(info)
        for n in range(1, 99):
            info = tarfile.TarInfo(f"d/{'l' * 90}/" + "n" * n)
            info.size, info.uid, info.mtime = n, n * 1000, n
            t.addfile(info, io.BytesIO(b"x" * n))
    data = out.getvalue()
    stage.unpack(data).ok()
    assert kit.tree_differs(kit.tree(layering.gnu_tar(data, tmp_path / "oracle")), stage.entries()) == []
    exact(stage, data, tmp_path / "out")


# ---- without privileges ----

SHIFT = 100000


@pytest.fixture
def namespace(base):
    """A command that runs another one as root of a user namespace."""
    keeper = subprocess.Popen(["unshare", "--user", "sleep", "600"])
    own = os.readlink("/proc/self/ns/user")
    assert kit.eventually(lambda: os.readlink(f"/proc/{keeper.pid}/ns/user") != own)
    for kind in "uid", "gid":
        pathlib.Path(f"/proc/{keeper.pid}/{kind}_map").write_text(f"0 {SHIFT} 65536\n")
    yield "nsenter", "-U", "-t", str(keeper.pid)
    keeper.kill()
    keeper.wait()


@pytest.mark.fast
def test_in_a_user_namespace(stages, namespace, tmp_path):
    """As rootless berth runs it: owners are shifted, overlayfs's attributes are user.*, a device is an
    empty file, and what only the host's root may set is left out."""
    stage = stages("directory")
    os.chown(stage.dir, SHIFT, SHIFT)
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == 0 and path != pathlib.Path("/"):
            os.chmod(path, path.stat().st_mode | 0o011)
    capability3 = struct.pack("<IIIIII", 0x03000001, 1 << 13, 0, 0, 0, SHIFT)
    data = images.tar([
        dir("./", uid=1), dir("d", 0o2750, uid=1000, gid=1000), file("d/f", b"x", 0o4755, uid=1000),
        file("d/capable", b"x", xattrs={"security.capability": CAPABILITY, "trusted.no": b"1", "user.yes": b"2",
                                        "user.overlay.opaque": b"y"}),
        char("d/null", 1, 3, 0o666), block("d/disk", 8, 0), fifo("d/fifo"), symlink("d/l", "f", uid=5),
        whiteout("d/gone"), opaque("d"), hardlink("d/h", "d/f")])
    blob = gzip.compress(data)
    answer = layering.call("unpack", stage.dir, blob, wrap=namespace, backend="directory", userxattr=1,
                           digest=images.digest(blob), size=len(blob)).ok()
    assert answer.diff_id == images.digest(data)
    found = stage.entries()
    assert found["d"]["owner"] == (SHIFT + 1000, SHIFT + 1000) and found["d"]["mode"] == "drwxr-s---"
    assert found["d"]["xattrs"] == {"user.overlay.opaque": b"y"}
    assert found["d/f"]["mode"] == "-rwsr-xr-x" and found["d/f"]["same"] == found["d/h"]["same"]
    assert found["d/capable"]["xattrs"] == {"security.capability": capability3, "user.yes": b"2"}
    assert found["d/null"]["mode"] == "-rw-rw-rw-" and found["d/disk"]["mode"][0] == "-"
    assert found["d/l"]["owner"] == (SHIFT + 5, SHIFT)
    assert found["d/gone"]["mode"][0] == "c" and found["d/gone"]["device"] == (0, 0)
    stage.diff_id, stage.tar_size = answer.diff_id, len(data)
    layering.call("tar", stage.dir, output=tmp_path / "out", wrap=namespace, backend="directory",
                  diff_id=answer.diff_id).ok()
    assert (tmp_path / "out").read_bytes() == data
