"""berth pull: what it asks a registry, what it keeps, what it refuses, and what it shows."""

import json
import os
import pty
import re
import select
import signal
import struct
import fcntl
import termios
import time

import kit
import pytest


def noise(n, seed=1):
    """Bytes that don't compress."""
    return __import__("random").Random(seed).randbytes(n)


def small(*names, **kw):
    return kit.Image([[kit.file(n.replace("/", "-"), n)] for n in names or ("a",)], {"Cmd": ["x"]}, **kw)


def images(berth):
    """{name: ID} of what the store's own records say."""
    refs = [json.loads((berth.root / "refs" / r).read_text()) for r in berth.listed("refs")]
    return {r["name"]: r["digest"] for r in refs}


def nothing_left(berth):
    assert berth.staged() == [] and berth.layers() == [] and images(berth) == {}


class TestWhatIsAsked:
    pytestmark = pytest.mark.fast

    def test_by_tag_then_one_head(self, berth, proxy, registry, repo):
        image = small("a", "b")
        registry.push(image, f"{repo}:1")
        done = berth.pull(proxy, f"{repo}:1").ok()
        assert done.out == image.id.split(":")[1] + "\n"
        assert images(berth) == {f"{proxy.address}/{repo}:1": image.digest}
        assert len(berth.layers()) == 2
        proxy.clear()
        assert berth.pull(proxy, f"{repo}:1").ok().out == done.out
        assert [(r.method, r.path) for r in proxy.found(path="/manifests/|/blobs/")] == [
            ("HEAD", f"/v2/{repo}/manifests/1")]

    def test_by_digest_then_nothing(self, berth, proxy, registry, repo):
        image = small()
        registry.push(image, f"{repo}:1")
        berth.pull(proxy, f"{repo}@{image.digest}").ok()
        assert images(berth) == {}
        proxy.clear()
        assert berth.pull(proxy, f"{repo}@{image.digest}").ok().out == image.id.split(":")[1] + "\n"
        assert proxy.requests == []

    def test_another_name_of_the_same_image_costs_no_blob(self, berth, proxy, registry, repo):
        image = small()
        for tag in "12":
            registry.push(image, f"{repo}:{tag}")
        berth.pull(proxy, f"{repo}:1").ok()
        proxy.clear()
        berth.pull(proxy, f"{repo}:2").ok()
        assert proxy.count("*", "/blobs/") == 0
        assert len(images(berth)) == 2

    def test_shared_layers_are_fetched_once(self, berth, proxy, registry, repo):
        base = kit.Layer([kit.file("base", noise(3000))])
        for tag in "12":
            registry.push(kit.Image([base, [kit.file(tag)]]), f"{repo}:{tag}")
        berth.pull(proxy, f"{repo}:1").ok()
        proxy.clear()
        shown = berth.pull(proxy, f"{repo}:2").ok().err
        assert proxy.count("GET", base.digest) == 0
        assert f"{base.digest[7:19]}: already here" in shown

    def test_a_layer_that_is_in_it_twice(self, berth, proxy, registry, repo):
        twice = kit.Layer([kit.file("x")])
        registry.push(kit.Image([twice, [kit.file("y")], twice]), f"{repo}:1")
        berth.pull(proxy, f"{repo}:1").ok()
        assert len(berth.layers()) == 2
        assert proxy.count("GET", twice.digest) == 1

    def test_the_tag_has_moved(self, berth, registry, repo):
        first, second = small("a"), small("b")
        registry.push(first, f"{repo}:1")
        berth.pull(registry, f"{repo}:1").ok()
        registry.push(second, f"{repo}:1")
        assert berth.pull(registry, f"{repo}:1").ok().out == second.id.split(":")[1] + "\n"
        assert images(berth) == {f"{registry.address}/{repo}:1": second.digest}
        assert len(berth.listed("images")) == 2  # the old one is dangling

    def test_biggest_layer_first(self, berth, proxy, registry, repo):
        layers = [kit.Layer([kit.file("f", noise(n))]) for n in (5000, 900, 90000, 20000)]
        registry.push(kit.Image(layers), f"{repo}:1")
        berth.pull(proxy, f"{repo}:1", "--jobs=1").ok()
        asked = [r.path.split("/")[-1] for r in proxy.found("GET", "/blobs/")]
        assert [a for a in asked if a in [l.digest for l in layers]] == [layers[i].digest for i in (2, 3, 0, 1)]


class TestKinds:
    pytestmark = pytest.mark.fast

    @pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
    def test_compressions(self, berth, registry, repo, compression):
        registry.push(kit.Image([kit.Layer([kit.file("f", "x" * 9999)], compression)]), f"{repo}:1")
        berth.pull(registry, f"{repo}:1").ok()
        assert len(berth.layers()) == 1

    def test_docker_schema2(self, berth, registry, repo):
        image = small(docker=True)
        registry.push(image, f"{repo}:1")
        assert berth.pull(registry, f"{repo}:1").ok().out == image.id.split(":")[1] + "\n"

    def test_schema1_is_refused_by_name(self, berth, fake):
        image = small()
        image.text = json.dumps({"schemaVersion": 1, "name": "x", "tag": "1", "fsLayers": [], "history": []})
        fake.add(image, "x:1")
        failed = berth.pull(fake, "x:1").failed()
        assert "schema 1" in failed.err
        nothing_left(berth)

    def test_exact_bytes_are_kept(self, berth, registry, repo):
        image = small()
        image.text = json.dumps(image.manifest, indent=7) + "\n\n"
        registry.push(image, f"{repo}:1")
        berth.pull(registry, f"{repo}:1").ok()
        assert (berth.root / "blobs/sha256" / image.digest[7:]).read_bytes() == image.body

    def test_index(self, berth, registry, repo):
        parts = {p: small(p, platform=p) for p in ("linux/arm64", "linux/amd64", "linux/arm/v6", "linux/arm/v7")}
        index = kit.Index(parts.values())
        registry.push(index, f"{repo}:1")
        mine = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}[os.uname().machine]
        assert berth.pull(registry, f"{repo}:1").ok().out.strip() == parts[mine].id[7:]
        for asked, got in (("linux/arm", "linux/arm/v7"), ("arm/v6", None), ("linux/arm/v6", "linux/arm/v6"),
                           ("arm64", "linux/arm64")):
            done = berth.pull(registry, f"{repo}:1", "--platform", asked)
            if got:
                assert done.ok().out.strip() == parts[got].id[7:]
            else:
                done.failed()
        assert berth.pull(registry, f"{repo}:1", "--arch=arm", "--variant=v6").ok().out.strip() == \
            parts["linux/arm/v6"].id[7:]
        failed = berth.pull(registry, f"{repo}:1", "--platform=linux/s390x").failed()
        assert "nothing for linux/s390x" in failed.err and "linux/arm/v6" in failed.err

    def test_all_platforms(self, berth, registry, repo):
        parts = [small("a", platform="linux/arm64"), small("b", platform="linux/amd64")]
        proof = kit.Artifact("proof")
        index = kit.Index([*parts, proof])
        index.manifest["manifests"][2]["platform"] = {"os": "unknown", "architecture": "unknown"}
        registry.push(index, f"{repo}:1")
        berth.pull(registry, f"{repo}:1", "--all-platforms").ok()
        assert len(berth.layers()) == 2
        assert {index.digest[7:], proof.digest[7:], *(p.digest[7:] for p in parts)} <= set(berth.blobs())
        mine = parts["x86_64" == os.uname().machine]
        assert images(berth) == {f"{registry.address}/{repo}:1": mine.digest}
        berth.pull(registry, f"{repo}:1", "--all-platforms").ok()

    def test_artifact_is_kept_as_it_is(self, berth, registry, repo):
        thing = kit.Artifact(noise(300000))
        registry.push(thing, f"{repo}:1")
        berth.pull(registry, f"{repo}:1").ok()
        assert set(thing.all_blobs()) | {thing.digest} == {f"sha256:{b}" for b in berth.blobs()}
        assert berth.layers() == [] and berth.staged() == []

    def test_keep_blobs(self, berth, registry, repo):
        image = small("a", "b")
        registry.push(image, f"{repo}:1")
        berth.pull(registry, f"{repo}:1", "--keep-blobs").ok()
        for layer in image.layers:
            assert (berth.root / "blobs/sha256" / layer.digest[7:]).read_bytes() == layer.blob

    def test_layers_that_lean_on_lower_ones(self, berth, registry, repo):
        base = [kit.dir("d", 0o711, uid=5), kit.file("d/f", "below", uid=6)]
        upper = [kit.file("d/new"), kit.hardlink("d/same", "d/f")]
        image = kit.busybox({}, base, upper)
        registry.push(image, f"{repo}:1")
        ref = f"{registry.address}/{repo}:1"
        berth.pull(registry, f"{repo}:1").ok()
        out = berth.run("--rm", "--network=none", ref, "stat", "-c", "%a %u", "/d", "/d/same").ok().out
        assert out.split() == ["711", "5", "644", "6"]


class TestPolicies:
    pytestmark = pytest.mark.fast

    def test_never_and_missing(self, berth, proxy, registry, repo):
        registry.push(small(), f"{repo}:1")
        failed = berth.pull(proxy, f"{repo}:1", "--policy=never").failed("not to be pulled")
        assert failed.code == 3 and proxy.requests == []
        berth.pull(proxy, f"{repo}:1", "--policy=missing").ok()
        proxy.clear()
        berth.pull(proxy, f"{repo}:1", "--policy=missing").ok()
        berth.pull(proxy, f"{repo}:1", "--pull=never").ok()
        assert proxy.requests == []

    def test_newer_tolerates_silence_and_always_does_not(self, berth, proxy, registry, repo):
        registry.push(small(), f"{repo}:1")
        berth.pull(proxy, f"{repo}:1").ok()
        proxy.fault("*", "", status=503)
        done = berth.pull(proxy, f"{repo}:1", "--policy=newer", "--retry=0").ok()
        assert "does not answer" in done.err
        berth.pull(proxy, f"{repo}:1", "--retry=0").failed()

    def test_short_names(self, berth, registry, repo):
        image = small()
        registry.push(image, f"{repo}:1")
        name = repo.split("/")[-1]
        (berth.home / "registries.conf").write_text(
            f'short-name-mode = "permissive"\nunqualified-search-registries = ["127.0.0.1:1", "{registry.address}/test"]\n'
            f'[[registry]]\nlocation = "{registry.address}"\ninsecure = true\n'
            f'[[registry]]\nlocation = "127.0.0.1:1"\ninsecure = true\n[aliases]\n"thing" = "{registry.address}/{repo}"\n')
        berth("pull", "thing:1").ok()
        assert images(berth) == {f"{registry.address}/{repo}:1": image.digest}
        berth("rmi", "thing:1")
        shown = berth("pull", "--retry=0", f"{name}:1").ok().err
        assert "trying 127.0.0.1:1" in shown


class TestSeveral:
    pytestmark = pytest.mark.fast

    def test_one_fails(self, berth, registry, repo):
        a, b = small("a"), small("b")
        registry.push(a, f"{repo}:a")
        registry.push(b, f"{repo}:b")
        names = [f"{registry.address}/{repo}:{t}" for t in ("a", "missing", "b")]
        failed = berth("pull", *registry.flags, *names).failed()
        assert failed.code == 1
        assert failed.out.split() == [a.id[7:], b.id[7:]]
        assert f'"{names[1]}"' in failed.err

    def test_all_tags(self, berth, registry, repo):
        for tag in "abc":
            registry.push(small(tag), f"{repo}:{tag}")
        assert len(berth.pull(registry, repo, "-a").ok().out.split()) == 3
        assert sorted(images(berth)) == [f"{registry.address}/{repo}:{t}" for t in "abc"]
        berth.pull(registry, f"{repo}:a", "-a").failed("names one already")


def bad_digest(image, fake):
    layer = image.layers[0]
    fake.blobs[layer.digest] = layer.blob[:-1] + bytes([layer.blob[-1] ^ 1])


def bad_diff_id(image, fake):
    image.config["rootfs"]["diff_ids"][0] = kit.digest(b"other")
    image.config_seal()


def too_short(image, fake):
    fake.blobs[image.layers[0].digest] = image.layers[0].blob[:-10]


def too_long(image, fake):
    fake.blobs[image.layers[0].digest] = image.layers[0].blob + b"more"


def fewer_diff_ids(image, fake):
    image.config["rootfs"]["diff_ids"].pop()
    image.config_seal()


def other_rootfs(image, fake):
    image.config["rootfs"]["type"] = "base"
    image.config_seal()


def negative_size(image, fake):
    image.manifest["layers"][0]["size"] = -5


def no_digest(image, fake):
    image.manifest["layers"][0]["digest"] = "sha256:../../../../etc/passwd"


def both(image, fake):
    image.manifest["manifests"] = []


def twice(image, fake):
    image.text = json.dumps(image.manifest)[:-1] + ',"layers":[]}'


def other_config(image, fake):
    fake.blobs[image.manifest["config"]["digest"]] = b'{"rootfs":{"type":"layers","diff_ids":[]}}'


def not_a_layer(image, fake):
    data = b"<html>please log in</html>" * 10
    image.manifest["layers"][0].update(digest=kit.digest(data), size=len(data))
    image.blobs[kit.digest(data)] = data


@pytest.mark.fast
@pytest.mark.parametrize("spoil, says", [
    (bad_digest, "DIGEST"), (bad_diff_id, "diffID"), (too_short, "LAYER"), (too_long, "LAYER"),
    (fewer_diff_ids, "1 diffIDs"), (other_rootfs, "rootfs.type"), (negative_size, "size"), (no_digest, "no digest"),
    (both, "both"), (twice, "duplicate key"), (other_config, "configuration"), (not_a_layer, "LAYER")])
def test_what_is_wrong_is_named_and_nothing_stays(berth, fake, spoil, says):
    image = small("a", "b")
    spoil(image, fake)
    keep = dict(fake.blobs)
    fake.add(image, "x:1")
    fake.blobs.update(keep)
    failed = berth.pull(fake, "x:1", "--retry=0").failed()
    layer = image.manifest["layers"][0]["digest"]
    assert {"DIGEST": layer, "LAYER": layer}.get(says, says) in failed.err, failed.err
    assert f'"{fake.address}/x:1"' in failed.err
    assert berth.staged() == [] and images(berth) == {} and berth.listed("images") == []


def test_unknown_things_are_no_errors(berth, registry, repo):
    image = small()
    image.manifest.update({"x-new": [1, {"y": None}], "annotations": {"a": "b"}})
    image.manifest["layers"][0]["x"] = 1
    registry.push(image, f"{repo}:1")
    berth.pull(registry, f"{repo}:1").ok()


class TestShown:
    pytestmark = pytest.mark.fast

    def test_plain_lines(self, berth, registry, repo):
        image = small("a")
        registry.push(image, f"{repo}:1")
        lines = berth.pull(registry, f"{repo}:1").ok().err.splitlines()
        size = len(image.layers[0].blob)
        assert lines == [f"{image.layers[0].digest[7:19]}: pulling, {size}B",
                         f"{image.layers[0].digest[7:19]}: done, {size}B"]

    def test_quiet(self, berth, registry, repo):
        registry.push(small("a"), f"{repo}:1")
        assert berth.pull(registry, f"{repo}:1", "-q").ok().err == ""

    def test_rate_limit(self, berth, proxy, registry, repo):
        registry.push(small("a"), f"{repo}:1")
        proxy.fault("GET", "/manifests/", headers={"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600"})
        assert "76" in berth.pull(proxy, f"{repo}:1").ok().err

    def test_warnings_of_the_registry(self, berth, proxy, registry, repo):
        registry.push(small("a"), f"{repo}:1")
        proxy.fault("*", "", headers={"Warning": '299 - "be \\"nice\\""'})
        shown = berth.pull(proxy, f"{repo}:1").ok().err
        assert shown.count('be "nice"') == 1

    def test_bars_on_a_terminal(self, berth, proxy, registry, repo):
        image = kit.Image([kit.Layer([kit.file("f", noise(400000))]), [kit.file("g")]])
        registry.push(image, f"{repo}:1")
        proxy.fault("GET", image.layers[0].digest, rate=400000)
        screen = terminal(berth, "pull", *proxy.flags, f"{proxy.address}/{repo}:1", columns=90)
        name = image.layers[0].digest[7:19]
        assert re.search(name + r"  pulling  \[=*>? *\] +[\d.]+kB/400kB", screen.text)
        assert screen.text.count("\x1b[?25l") == screen.text.count("\x1b[?25h") > 1
        assert max(len(l) for l in screen.lines()) < 90
        assert screen.final()[-3:-1] == [f"{image.layers[1].digest[7:19]}  done, {len(image.layers[1].blob)}B"][:0] + \
            [f"{l.digest[7:19]}  done, {'400kB' if i == 0 else str(len(l.blob)) + 'B'}" for i, l in
             enumerate(image.layers)]
        assert screen.redraws() <= 10 * screen.seconds + 6


class Screen:
    def __init__(self, text, seconds):
        self.text, self.seconds = text, seconds

    def lines(self):
        return [re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", l) for l in re.split(r"[\r\n]+", self.text)]

    def redraws(self):
        return self.text.count("\x1b[J")

    def final(self):
        """What is left on the screen: a terminal that knows the few sequences used."""
        rows, at = [""], 0
        for token in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", self.text):
            if token == "\n":
                at += 1
                rows += [""] * (at + 1 - len(rows))
            elif token.endswith("A") and token[0] == "\x1b":
                at -= int(token[2:-1])
            elif token == "\x1b[J":
                rows[at:] = [""]
            elif token[0] not in "\x1b\r":
                rows[at] = token
        return rows


def terminal(berth, *args, columns=80, rows=24):
    """Runs a command with standard error and output on a terminal of that size."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    start = time.monotonic()
    process = berth.popen(*args, stdout=theirs, stderr=theirs, env={"TERM": "xterm"})
    os.close(theirs)
    seen = b""
    while True:
        ready, _, _ = select.select([ours], [], [], 60)
        assert ready, "silent for a minute"
        try:
            data = os.read(ours, 65536)
        except OSError:
            break
        if not data:
            break
        seen += data
    os.close(ours)
    assert process.wait(10) == 0, seen
    return Screen(seen.decode(errors="replace"), time.monotonic() - start)


@pytest.mark.stages
def test_an_interrupt_ends_it_and_it_goes_on(berth, proxy, registry, repo):
    image = kit.Image([kit.Layer([kit.file("f", noise(12 << 20))], "none"), [kit.file("g")]])
    registry.push(image, f"{repo}:1")
    slow = proxy.fault("GET", image.layers[0].digest, stall_after=3 << 20)
    process = berth.popen("pull", *proxy.flags, f"{proxy.address}/{repo}:1")
    assert kit.eventually(lambda: spooled(berth) > 1 << 20)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    have = spooled(berth)
    assert have > 1 << 20
    slow.times = 0
    proxy.requests.clear()
    berth.pull(proxy, f"{repo}:1").ok()
    ranges = [r.headers.get("range") for r in proxy.found("GET", image.layers[0].digest)]
    assert ranges == [f"bytes={have}-"]
    assert berth.staged() == []
    berth.check()


def spooled(berth):
    """Bytes of all spools in the store."""
    total = 0
    for name in berth.staged():
        try:
            total += (berth.root / "stage" / name / "spool").stat().st_size
        except OSError:
            pass
    return total
