"""Layers that nobody means well with: each is refused with words that name the blob, the entry and the
rule, or unpacked inside its root; nothing outside is touched, nothing is left."""

import gzip
import os
import pathlib
import random
import subprocess
import time

import hostile
import images
import kit
import layering
import pytest
from images import dir, file

CANARY = b"untouched"


@pytest.fixture(params=layering.BACKENDS)
def stage(request, base, tmp_path):
    return layering.Stage(tmp_path / "staged", request.param)


@pytest.fixture
def outside(tmp_path):
    """A directory whose file must stay as it is; looks at it again afterwards."""
    top = tmp_path / "outside"
    top.mkdir()
    (top / "canary").write_bytes(CANARY)
    top.chmod(0o750)
    before = kit.tree(top)
    parents = set(os.listdir(tmp_path)) - {"staged"}
    yield top
    assert kit.tree(top) == before
    assert set(os.listdir(tmp_path)) - {"staged"} == parents


def refusal(stage, case):
    answer = stage.unpack(case.entries)
    if case.lean and answer.code == "NONE":
        assert answer.leans
        answer = stage.settle()
    return answer


@pytest.mark.fast
@pytest.mark.parametrize("case", hostile.REFUSED, ids=lambda c: c.name)
def test_refused(stage, outside, case):
    answer = refusal(stage, case).failed(case.code, *case.rule)
    if case.entry:
        assert f"'{case.entry}'" in answer.text, answer


CASES = [name for name, *_ in hostile.harmless("/x")]


@pytest.mark.fast
@pytest.mark.parametrize("name", CASES)
def test_harmless(stage, outside, tmp_path, name):
    _, entries, expected = next(c for c in hostile.harmless(str(outside)) if c[0] == name)
    data = images.tar(entries)
    if stage.unpack(data).ok().leans:
        stage.settle().ok()
    found = stage.entries()
    for path, content in expected.items():
        assert path in found, (path, sorted(found))
        if content is not None:
            assert found[path]["content"] == images.digest(content), path
    assert not [e for e in found.values() if any(x.startswith("trusted.overlay.") and x != "trusted.overlay.opaque"
                                                 for x in e["xattrs"])]
    stage.tar(tmp_path / "staged" / "out").ok()
    assert (tmp_path / "staged" / "out").read_bytes() == data


def test_opaque_only_where_the_layer_says_so(stage):
    stage.unpack([dir("./"), dir("d", xattrs={"trusted.overlay.opaque": b"y"})]).ok()
    assert stage.entries()["d"]["xattrs"] == {}


# ---- bombs ----


@pytest.mark.parametrize("bomb", (hostile.zeros, hostile.zeros_zstd))
def test_ten_gigabytes(stage, bomb):
    """It stops at 1 GiB and 200 times the size of what was compressed."""
    blob = b"".join(bomb(10))
    assert len(blob) < 16 << 20
    start = time.monotonic()
    answer = stage.unpack(blob, compress=None, threads=3)
    answer.failed("LIMIT", "archive of more than")
    assert time.monotonic() - start < 60
    stage.clear()


def test_a_file_over_the_limit(stage):
    stage.unpack([dir("./"), file("f", bytes(2000))], limit_file=1999).failed("LIMIT", "more than 1999 bytes", "'f'")


def test_ten_million_entries(base, tmp_path):
    """The limit ends it, and what it may take of memory until then is bounded."""
    stage = layering.Stage(tmp_path / "staged", "erofs")
    start, seen = time.monotonic(), []

    def stream():
        for piece in hostile.entries(10):
            yield piece
            seen.append(1)
            if len(seen) % 10 == 0 and (found := memory()):
                most.append(found)

    most = [0]
    stage.unpack(stream(), compress=None).failed("LIMIT", "more than", "entries")
    assert len(seen) < 150 and time.monotonic() - start < 120
    assert 0 < max(most) < 450 << 10, max(most)


def memory():
    import test_layer
    for pid in test_layer.workers():
        return int(test_layer.status_of(pid).get("VmHWM", "0 kB").split()[0])


def test_too_many_entries_for_a_directory(base, tmp_path):
    stage = layering.Stage(tmp_path / "staged", "directory")
    stage.unpack(hostile.entries(1), compress=None, limit_entries=30000).failed("LIMIT", "more than 30000 entries")
    deep = [dir("./"), file("/".join(str(n % 10) for n in range(300)) + "/f")]
    stage.clear()
    stage.unpack(deep, limit_entries=200).failed("LIMIT", "too many directories")


def test_a_window_too_large(stage):
    stage.unpack(hostile.window_of_two_gigabytes(), compress=None).failed("LIMIT", "window is too large")


def test_replacing_directories_for_ever(base, tmp_path):
    stage = layering.Stage(tmp_path / "staged", "directory")
    stage.unpack([dir("./")] + [f(n) for n in range(5000) for f in (lambda n: dir("d"), lambda n: file("d"))]).failed(
        "LIMIT", "too many directories are replaced")


# ---- garbage ----


def test_garbage(stage):
    """Random bytes in random places: refused or not, it neither dies nor leaves its tree."""
    rng = random.Random(11)
    sample = images.tar([dir("./"), file("a", b"x" * 700), images.symlink("s", "/etc"), images.hardlink("h", "a"),
                         file("s/p", b"1", xattrs={"user.a": b"b"}), file("n" * 200, b"y")])
    for _ in range(150):
        data = bytearray(sample)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            data[at:at + 1] = rng.choice((b"", rng.randbytes(1), rng.randbytes(9)))
        blob = rng.choice((bytes, gzip.compress, images.zstd))(bytes(data))
        stage.clear()
        answer = stage.unpack(blob, compress=None, threads=rng.choice((1, 2, 3)))
        assert answer.code in ("NONE", "INVALID", "LIMIT"), answer
        assert answer.code == "NONE" or answer.text


# ---- through berth ----


@pytest.mark.fast
def test_pulling_names_the_blob_and_leaves_nothing(berth, registry):
    """The same through a pull: the blob is named too, and the store is as empty as before."""
    cases = [c for c in hostile.REFUSED if not c.lean][::7]
    for n, case in enumerate(cases):
        layer = images.Layer(tar=images.tar(case.entries) if isinstance(case.entries, list) else case.entries)
        ref = registry.push(images.Image([images.Layer([dir("./"), file("ok")]), layer]), f"hostile/h{n}")
        result = berth("pull", *registry.flags, ref)
        assert result.code != 0 and layer.digest in result.err, (case.name, result)
        for phrase in case.rule:
            assert phrase in result.err, (case.name, result)
    assert berth("images", "-q", "-a").ok().out.strip() == ""
    assert os.listdir(berth.root / "stage") == []


def test_wrong_media_types_are_seen_through(berth, registry):
    """What the bytes are counts: archives are often labelled wrong."""
    entries = [dir("./"), file("f", b"x")]
    for n, (what, said) in enumerate((("gzip", ".tar"), ("gzip", ".tar+zstd"), ("zstd", ".tar+gzip"), ("zstd", ".tar"),
                                      ("none", ".tar+gzip"))):
        layer = images.Layer(entries + [file(str(n))], what, media_type=images.OCI + "layer.v1" + said)
        berth("pull", *registry.flags, registry.push(images.Image([layer]), f"mislabelled/m{n}")).ok()


@pytest.mark.parametrize("signal, words", ((31, "system call that it is not allowed to make"), (9, "berth-layer was killed"),
                                           (11, "ended by signal 11 (SIGSEGV)")))
def test_a_dead_worker_is_an_error_that_says_so(berth, proxy, registry, signal, words):
    """The filter's SIGSYS, the OOM killer, a crash: sent from outside while it unpacks."""
    layer = images.Layer([dir("./")] + [file(f"f{n}", random.Random(n).randbytes(1 << 20)) for n in range(10)], "none")
    registry.push(images.Image([layer]), f"dead/worker{signal}")
    ref = f"{proxy.address}/dead/worker{signal}"
    proxy.fault("GET", layer.digest, stall_after=9 << 20)
    process = berth.popen("pull", *proxy.flags, ref, stderr=subprocess.PIPE, text=True)
    assert kit.eventually(lambda: [os.kill(pid, signal) for pid in layers_of(process.pid)])
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0 and words in err and layer.digest in err, err
    # What had been received goes on from there; then nothing is staged.
    proxy.clear()
    berth("pull", *proxy.flags, ref).ok()


def layers_of(parent):
    """Processes of berth-layer that parent has started."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue
        if name.endswith("(berth-layer") and int(rest.split()[1]) == parent:
            found.append(int(stat.parent.name))
    return found
