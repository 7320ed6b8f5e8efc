"""Pulls that are killed, starved, lied to and cut off: nothing half-done shows, and the next one goes on.

BERTH_KILLS says how often pulls and removals are killed at a random moment (200), BERTH_SEED at which."""

import collections
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import time

import kit
import pytest
from test_pull import images, noise, small, spooled

KILLS = int(os.environ.get("BERTH_KILLS", "200"))
MB = 1 << 20


def big(seed=1, megabytes=12):
    """An image with one layer large enough for a spool, and two small ones."""
    return kit.Image([kit.Layer([kit.file("f", noise(megabytes * MB, seed))], "none"), [kit.file("g")],
                      [kit.file("h", "h" * 5000)]], {"Cmd": ["x"]})


def sound(berth):
    """The store as it must be after anything: nothing wrong, nothing half-done under a name."""
    berth.check()
    for name in berth.layers():
        assert "meta.json" in berth.listed("layers", name)


def all_there(berth, image, ref, locks=False):
    """The image is whole, to the last byte of its layers; locks: a lock file may be left of a power cut."""
    assert images(berth)[ref] == image.digest
    assert len(berth.layers()) == len({l.diff_id for l in image.layers})
    assert [s for s in berth.staged() if not (locks and s.endswith(".lock"))] == []
    berth.check("--deep")


@pytest.fixture
def pulled(berth, proxy, registry, repo):
    """(image, reference through the proxy) of a pushed big image."""
    image = big()
    registry.push(image, f"{repo}:1")
    return image, f"{proxy.address}/{repo}:1"


class TestRegistry:
    """What a bad line or a bad server does to a download."""

    @pytest.mark.parametrize("how", [
        {"reset_after": 5 * MB}, {"truncate_after": 5 * MB}, {"close_before": True}, {"status": 500},
        {"status": 503}, {"status": 429, "headers": {"Retry-After": "1"}},
        {"stall_after": 3 * MB, "stall_s": 60}], ids=lambda h: "-".join(f"{k}={v}" for k, v in h.items())[:30])
    def test_once_then_well(self, berth, proxy, pulled, how):
        image, ref = pulled
        proxy.fault("GET", image.layers[0].digest, times=1, **how)
        berth("pull", *proxy.flags, "--retry-delay=100ms", ref, env={"BERTH_STALL_TIMEOUT": "2"}).ok()
        all_there(berth, image, ref)
        if "reset_after" in how or "truncate_after" in how or "stall_after" in how:
            asked = proxy.found("GET", image.layers[0].digest)
            assert len(asked) == 2 and asked[1].headers["range"]  # went on, not over

    def test_every_few_megabytes(self, berth, proxy, pulled):
        image, ref = pulled
        proxy.fault("GET", image.layers[0].digest, truncate_after=2 * MB)
        berth("pull", *proxy.flags, "--retry-delay=50ms", "--retry=10", ref).ok()
        all_there(berth, image, ref)
        assert proxy.bytes_of(image.layers[0].digest) < 1.1 * len(image.layers[0].blob)

    @pytest.mark.parametrize("how", [
        {"ignore_range": True}, {"content_range": "bytes 0-9/10"}, {"content_range": "nonsense"}, {"status": 416},
        {"status": 500}], ids=lambda h: "-".join(f"{k}={v}" for k, v in h.items()))
    def test_the_rest_is_answered_wrongly(self, berth, proxy, pulled, how):
        """The first answer breaks off, the one to the Range request is odd."""
        image, ref = pulled
        proxy.fault("GET", image.layers[0].digest, times=1, reset_after=5 * MB)
        proxy.fault("GET", image.layers[0].digest, times=1, headers_match={"Range": "bytes="}, **how)
        berth("pull", *proxy.flags, "--retry-delay=50ms", ref).ok()
        all_there(berth, image, ref)

    @pytest.mark.stages
    def test_gives_up_then_goes_on(self, berth, proxy, pulled):
        image, ref = pulled
        # Cut off, not reset: what a reset finds in the socket's buffer is lost, and that may be all of it.
        fault = proxy.fault("GET", image.layers[0].digest, truncate_after=5 * MB, times=1)
        then = proxy.fault("GET", image.layers[0].digest, status=503)
        failed = berth("pull", *proxy.flags, "--retry=1", "--retry-delay=50ms", ref).failed(image.layers[0].digest)
        assert "goes on from where it stopped" in failed.err and f'"{ref}"' in failed.err
        sound(berth)
        have = spooled(berth)
        assert have > 3 * MB and images(berth) == {}
        fault.times = then.times = 0
        proxy.requests.clear()
        berth("pull", *proxy.flags, ref).ok()
        all_there(berth, image, ref)
        assert [r.headers["range"] for r in proxy.found("GET", image.layers[0].digest)] == [f"bytes={have}-"]

    @pytest.mark.stages
    def test_spool_that_was_damaged(self, berth, proxy, pulled):
        image, ref = pulled
        proxy.fault("GET", image.layers[0].digest, times=2, skip=0, truncate_after=5 * MB)
        berth("pull", *proxy.flags, "--retry=0", ref).failed()
        (name,) = [n for n in berth.staged() if (berth.root / "stage" / n / "spool").exists()]
        path = berth.root / "stage" / name / "spool"
        with open(path, "r+b") as f:
            f.seek(1000)
            f.write(b"\xff" * 64)
        proxy.clear()
        done = berth("pull", *proxy.flags, ref).ok()
        assert "damaged" in done.err
        all_there(berth, image, ref)
        assert [bool(r.headers["range"]) for r in proxy.found("GET", image.layers[0].digest)] == [True, False]

    def test_bytes_that_were_flipped_on_the_way(self, berth, proxy, pulled):
        image, ref = pulled
        proxy.fault("GET", image.layers[0].digest, corrupt_at=7 * MB)
        berth("pull", *proxy.flags, ref).failed(image.layers[0].digest)
        assert berth.staged() == [] and images(berth) == {}
        sound(berth)

    def test_manifest_stalls_and_lies(self, berth, proxy, pulled):
        image, ref = pulled
        proxy.fault("GET", "/manifests/", times=1, status=500)
        proxy.fault("GET", "/manifests/", times=1, corrupt_at=20)
        berth("pull", *proxy.flags, "--retry=0", ref).failed()
        berth("pull", *proxy.flags, "--retry=0", ref).failed()
        assert images(berth) == {} and berth.layers() == []
        berth("pull", *proxy.flags, ref).ok()


class TestAtOnce:
    def test_eight_pulls_of_one_image(self, berth, proxy, pulled):
        image, ref = pulled
        proxy.fault("GET", image.layers[0].digest, rate=12 * MB)
        started = [berth.popen("pull", "-q", *proxy.flags, ref) for _ in range(8)]
        assert [p.wait(120) for p in started] == [0] * 8
        for layer in image.layers:
            assert proxy.count("GET", layer.digest) == 1
        all_there(berth, image, ref)

    def test_eight_images_that_share_a_layer(self, berth, proxy, registry, repo):
        shared = kit.Layer([kit.file("f", noise(3 * MB))], "none")
        made = []
        for i in range(8):
            made.append(kit.Image([shared, [kit.file(f"own{i}")]]))
            registry.push(made[-1], f"{repo}:{i}")
        started = [berth.popen("pull", "-q", *proxy.flags, f"{proxy.address}/{repo}:{i}") for i in range(8)]
        assert [p.wait(120) for p in started] == [0] * 8
        assert proxy.count("GET", shared.digest) == 1
        assert len(images(berth)) == 8 and len(berth.layers()) == 9
        sound(berth)

    def test_two_images_with_the_same_leaning_layers_in_another_order(self, berth, proxy, registry, repo):
        """Each holds the layer that the other one waits for below its own."""
        base = kit.Layer([kit.dir("d", 0o700), kit.file("d/base")])
        large, tiny = kit.Layer([kit.file("d/large", noise(2 * MB))], "none"), kit.Layer([kit.file("d/tiny")])
        made = [kit.Image([base, tiny, large]), kit.Image([base, large, tiny])]
        for i, image in enumerate(made):
            registry.push(image, f"{repo}:{i}")
        proxy.fault("GET", f"{large.digest}|{tiny.digest}", stall=1.0)
        started = [berth.popen("pull", "-q", *proxy.flags, f"{proxy.address}/{repo}:{i}") for i in range(2)]
        assert [p.wait(60) for p in started] == [0, 0]
        assert len(images(berth)) == 2 and len(berth.layers()) == 5
        sound(berth)

    def test_one_is_killed_and_the_other_takes_over(self, berth, proxy, pulled):
        image, ref = pulled
        proxy.fault("GET", image.layers[0].digest, times=1, stall_after=3 * MB)
        first = berth.popen("pull", *proxy.flags, ref)
        assert kit.eventually(lambda: spooled(berth) > MB)
        with open(berth.base / "said", "w") as said:
            second = berth.popen("pull", *proxy.flags, ref, stderr=said)
        assert kit.eventually(lambda: "waiting for another process" in (berth.base / "said").read_text())
        kit.kill_and_wait(first)
        assert second.wait(60) == 0
        asked = proxy.found("GET", image.layers[0].digest)
        assert len(asked) == 2 and asked[1].headers["range"]
        all_there(berth, image, ref)


@pytest.mark.stages
class TestKilled:
    def test_helpers_end_with_berth(self, berth, proxy, pulled, watch):
        image, ref = pulled
        proxy.fault("GET", image.layers[0].digest, stall_after=MB)
        process = berth.popen("pull", *proxy.flags, ref)
        assert kit.eventually(lambda: len(helpers(process.pid)) >= 2)
        kit.kill_and_wait(process)
        assert watch.leaks() == []

    def test_helpers_are_killed(self, berth, proxy, pulled):
        image, ref = pulled
        fault = proxy.fault("GET", image.layers[0].digest, stall_after=2 * MB)
        for name in ("berth-layer", "berth-fetch"):
            had = spooled(berth)
            process = berth.popen("pull", "-q", *proxy.flags, ref, stderr=subprocess.PIPE)
            assert kit.eventually(lambda: spooled(berth) > had)
            for pid, command in helpers(process.pid).items():
                if name in command:
                    os.kill(pid, signal.SIGKILL)
            said = process.communicate(timeout=60)[1].decode()
            assert process.returncode in (1, 2) and name in said, said
            sound(berth)
        fault.times = 0
        berth("pull", *proxy.flags, ref).ok()
        all_there(berth, image, ref)

    @pytest.mark.parametrize("backend, kills", [("erofs", KILLS), ("directory", KILLS // 4)])
    def test_at_random_moments(self, berth, proxy, registry, repo, backend, kills):
        """Pulls and removals, killed at any moment: the store is sound after each, the next pull succeeds, and
        once all is removed nothing takes up room."""
        rng = random.Random(int(os.environ.get("BERTH_SEED", "4")))
        berth.env["BERTH_LAYERS"] = backend
        base = kit.Layer([kit.file("f", noise(9 * MB, 5))], "none")
        tags = {}
        for i in range(3):
            tags[f"{proxy.address}/{repo}:{i}"] = image = kit.Image([base, [kit.file(f"g{i}", noise(300000, i))],
                                                                     [kit.file(f"h{i}")]])
            registry.push(image, f"{repo}:{i}")
        empty = used(berth)
        killed = 0
        killers = collections.defaultdict(lambda: kit.AtRandom(rng))
        for i in range(kills):
            ref = rng.choice(list(tags))
            there = ref in images(berth)
            what = "rmi" if there and rng.random() < 0.7 else "pull"
            argv = ["rmi", "-f", ref] if what == "rmi" else ["pull", "-q", *proxy.flags, ref]
            killed += killers[what, there].kill(berth.popen(*argv))
            if i % 10 == 9:
                sound(berth)
        assert killed > kills // 4, "hardly any was killed: the times are wrong for this machine"
        for ref, image in tags.items():
            berth("pull", *proxy.flags, ref).ok()
            assert images(berth)[ref] == image.digest
        sound(berth)
        berth("rmi", "-f", *tags).ok()
        berth("system", "prune", "-af").ok()
        assert kit.eventually(lambda: berth.layers() == [] and berth.listed("trash") == [], 10)
        sound(berth)
        assert berth.staged() == []
        assert berth.blobs() == [] and used(berth) - empty < 4 * MB  # the index and its log


def helpers(pid):
    """{pid: command} of berth's children."""
    found = {}
    for path in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if path.isdigit() and int(open(f"/proc/{path}/stat").read().rpartition(")")[2].split()[1]) == pid:
                found[int(path)] = open(f"/proc/{path}/cmdline").read().replace("\0", " ")
    return found


def used(berth):
    """Bytes on disk below the store."""
    if not berth.root.exists():
        return 0
    return int(kit.sh("du", "-s", "-B1", berth.root).stdout.split()[0])


def says_full(failed, berth, image, verb="pull"):
    """The error says what was about to be written, that there was no room for it, and what makes some where. What
    that is, is chance: several layers are written at once."""
    store = re.escape(str(berth.root))
    write = "cannot (write|make|create|lock|flush|move|open) [^:]*(sha256:[0-9a-f]{64})?[^:]*"
    digests, blobs = ("|".join(map(key, image.layers)) for key in (lambda l: l.digest, lambda l: "blobs/sha256/" +
                                                                   l.digest.removeprefix("sha256:")))
    record = f"image configuration: {write}|image manifest: {write}|" \
             f'cannot (write|make) .*"{store}/(images|refs|berth.db|sources)[^:]*'
    unpack = f"(cannot unpack blob '({digests})': )?{write}"
    wanted = {"pull": f'cannot pull "[^"]*": (layer ({digests}): ({unpack})|{record})',
              "load": f'cannot load "[^"]*": image "localhost/x:1": (layer [123] \\(({blobs})\\): ({unpack})|{record})',
              "import": f"cannot import \"[^\"]*\": ({write}|{record})",
              "tag": f'cannot write "{store}/refs/[0-9a-f]*"',
              "create": f"cannot (write|make)( directories in)? \"{store}/(containers|records)[^:]*\"|"
                        "cannot write the container's record|image \"[^\"]*\": cannot stack the image's layers"}
    said = failed.err.strip().splitlines()[-2:]
    assert re.fullmatch(f"berth: ({wanted[verb]}): no space left on device", said[0]), said
    assert re.fullmatch(f'hint: `berth system prune` makes room in "{store}"(, which is out of inodes)?.', said[-1]), failed


def fill(disk, kib):
    """Takes all the room but kib KiB; the file that does."""
    path = disk.path / "filler"
    kit.sh("sync", "-f", disk.path)  # what was deleted is room once the journal has it
    step = MB
    with open(path, "wb") as f:
        while (more := disk.free() - (kib << 10)) > 0 and step >= 1024:
            try:
                os.posix_fallocate(f.fileno(), os.fstat(f.fileno()).st_size, min(more, step))
            except OSError:  # the file system needs some for itself
                step //= 2
    return path


def fill_inodes(disk, n):
    """Takes all the inodes but n; the directory with the files that do."""
    path = disk.path / "fillers"
    path.mkdir()
    for i in range(os.statvfs(disk.path).f_favail - n):
        (path / str(i)).touch()
    return path


class TestDisk:
    @pytest.mark.parametrize("backend", ["erofs", "directory"])
    @pytest.mark.parametrize("megabytes", [6, 18, 24])
    def test_full(self, berths, disk, proxy, pulled, repo, backend, megabytes):
        image, ref = pulled
        small_disk = disk(megabytes)
        berth = berths(small_disk.path / "b")
        berth.env["BERTH_LAYERS"] = backend
        berth("images").ok()
        free = small_disk.free()
        says_full(berth("pull", *proxy.flags, ref).failed(), berth, image)
        sound(berth)
        assert berth.staged() == [] and images(berth) == {}
        berth("system", "prune", "-af").ok()
        assert kit.eventually(lambda: small_disk.free() > free - MB, 10)
        assert berth.layers() == []
        kit.Client(proxy.address).push(small("x"), f"{repo}:small")
        berth.pull(proxy, f"{repo}:small").ok()  # what fits still comes
        sound(berth)

    def test_a_small_layer_finds_it_full(self, berths, disk, proxy, pulled):
        """The big layer is still to come when a small one, beside it, has no room."""
        image, ref = pulled
        small_disk = disk(24)
        berth = berths(small_disk.path / "b")
        berth("images").ok()
        proxy.fault("GET", image.layers[0].digest, stall=30)
        filler = fill(small_disk, 16)
        failed = berth("pull", "--jobs=3", *proxy.flags, ref).failed()
        says_full(failed, berth, image)
        assert image.layers[0].digest not in failed.err
        assert berth.staged() == [] and images(berth) == {}
        filler.unlink()
        sound(berth)

    @pytest.mark.parametrize("backend", ["erofs", "directory"])
    @pytest.mark.parametrize("short", ["bytes", "inodes"])
    @pytest.mark.parametrize("verb", ["pull", "load", "import", "tag", "create"])
    def test_nearly_full(self, berths, disk, registry, repo, tmp_path, verb, short, backend):
        """A little more room each time, until it is enough: each failure says what had none, and leaves nothing.
        BERTH_STEP: how many KiB, or inodes, more (11)."""
        image = kit.Image([[kit.file("a", "x" * 3000)], [kit.file("b", "y" * 9000)], [kit.file("c")]], {"Cmd": ["x"]})
        registry.push(image, f"{repo}:1")
        ref = f"{registry.address}/{repo}:1"
        archive, tar = tmp_path / "image.tar", tmp_path / "tree.tar"
        layout = image.layout(tmp_path / "layout", "localhost/x:1")
        kit.sh("tar", "-cf", archive, "-C", layout, "oci-layout", "index.json", "blobs")
        tar.write_bytes(image.layers[1].tar)
        place = disk(8, "-m", "0", "-b", "1024", "-N", "512")
        berth = berths(place.path / "b")
        berth.env["BERTH_LAYERS"] = backend
        berth("pull", "-q", *registry.flags, ref).ok()
        if verb not in ("tag", "create"):
            berth("rmi", "-f", ref).ok()
        argv = {"pull": ["pull", "-q", *registry.flags, ref], "load": ["load", "-q", "-i", archive],
                "import": ["import", "-q", tar, "localhost/i:1"], "tag": ["tag", ref, "localhost/t:1"],
                "create": ["create", ref]}[verb]
        before = images(berth)
        assert kit.eventually(lambda: berth.listed("trash") == [])  # what is still deleted would give room
        berth.base = tmp_path  # what it prints needs room, too
        for room in range(0, 400, int(os.environ.get("BERTH_STEP", "11"))):
            fillers = (fill if short == "bytes" else fill_inodes)(place, room)
            done = berth(*argv)
            berth.check()
            if done.code == 0:
                break
            says_full(done, berth, image, verb)
            assert berth.staged() == [] == berth.listed("containers") and images(berth) == before
            shutil.rmtree(fillers) if fillers.is_dir() else fillers.unlink()
            berth("system", "prune", "-f").ok()
        assert room > 0 and done.code == 0
        if verb == "create":
            berth("rm", done.out.strip()).ok()
            for path in berth.shared():
                kit.sh("umount", path)

    @pytest.mark.parametrize("backend", ["erofs", "directory"])
    def test_power_cut(self, berths, disk, proxy, pulled, tmp_path, backend):
        """The disk as it is on the device at some moments of a pull, and after one; each copy is mounted as
        after a power cut, checked, and pulled to again."""
        image, ref = pulled
        real = disk(160)
        berth = berths(real.path / "b")
        berth.env["BERTH_LAYERS"] = backend
        slow = proxy.fault("GET", image.layers[0].digest, rate=2 * MB)
        process = berth.popen("pull", *proxy.flags, ref)
        copies = []
        while process.poll() is None and len(copies) < 7:
            if len(copies) < 4:  # on the way
                assert kit.eventually(lambda: spooled(berth) > len(copies) * MB)
            copies.append(real.snapshot(tmp_path / f"cut{len(copies)}"))
            if len(copies) == 4:
                slow.rate = None  # and in the end, as it comes
        assert process.wait(60) == 0 and len(copies) >= 4
        copies.append(real.snapshot(tmp_path / "after"))  # at once: what was reported as done must be there
        proxy.faults.clear()
        for i, copy in enumerate(copies):
            copy.mount()
            try:
                again = kit.Berth(copy.path / "c")
                again.env["BERTH_LAYERS"] = backend
                after(again, copy, image, ref, proxy, whole=i == len(copies) - 1)
            finally:
                copy.destroy()


def after(berth, copy, image, ref, proxy, whole):
    """One copy of the disk: berth.root is where the store was."""
    berth.root = copy.path / "b" / "store"
    if berth.root.exists():
        sound(berth)
    if whole:
        all_there(berth, image, ref, locks=True)
    berth("pull", *proxy.flags, ref).ok()
    all_there(berth, image, ref, locks=True)
    berth("rmi", "-f", ref).ok()
    berth("system", "prune", "-af").ok()
    assert kit.eventually(lambda: used(berth) < MB and berth.staged() == [], 10)
    shutil.rmtree(berth.base, ignore_errors=True)
