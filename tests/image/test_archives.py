"""Archives: what docker, podman, skopeo and umoci write is loaded, what is saved is read by them, and
an archive that lies gives an error that says where, and leaves nothing."""

import contextlib
import gzip
import io
import json
import os
import pty
import random
import shutil
import subprocess
import tarfile

import kit
import pytest
from podman import Podman

NAME = "localhost/sample:1"
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}


def layers(compression="gzip"):
    """Something of everything that a later layer may do to an earlier one."""
    rnd = random.Random(7).randbytes(200_000)
    return [
        kit.Layer([kit.dir("etc", uid=3), kit.file("etc/a", "one\n"), kit.file("etc/b", rnd, 0o4755),
                   kit.hardlink("etc/c", "etc/b"), kit.dir("gone"), kit.file("gone/x"),
                   kit.symlink("l", "etc/a")], compression),
        kit.Layer([kit.whiteout("gone/x"), kit.dir("etc", uid=3, mode=0o750), kit.opaque("etc"),
                   kit.file("etc/d", "two\n", uid=1000, gid=7)], compression),
        kit.Layer([kit.dir("n" * 120), kit.file("n" * 120 + "/f", "x" * 1000, xattrs={"user.k": "v"})], compression),
    ]


def sample(compression="gzip", **kw):
    return kit.Image(layers(compression), {"Cmd": ["/l"], "Env": ["A=b"], "Labels": {"k": "v"}}, **kw)


def inspect(berth, name):
    return berth.json("image", "inspect", name)[0]


def assert_is(berth, name, image, exact=False):
    found = inspect(berth, name)
    assert found["Id"].removeprefix("sha256:") == image.id.removeprefix("sha256:")
    assert found["RootFS"]["Layers"] == [l.diff_id for l in image.layers]
    if exact:
        assert found["Digest"] == image.digest
    return found


def assert_nothing(berth):
    """Not a trace of what failed."""
    assert kit.eventually(lambda: not any(berth.listed(p) for p in ("stage", "trash"))), berth.staged()
    assert (berth.layers(), berth.blobs(), berth.listed("images"), berth.listed("refs")) == ([], [], [], [])
    berth.check()


def loaded(result):
    return [line.removeprefix("Loaded image: ") for line in result.ok().out.splitlines()]


def skopeo(*args):
    return kit.sh("skopeo", "--insecure-policy", *args)


def index_of(path):
    return json.loads((path / "index.json").read_text())["manifests"]


def blob_of(path, digest):
    return (path / "blobs" / "sha256" / digest.partition(":")[2]).read_bytes()


@pytest.fixture(scope="module")
def podman_storage(base):
    if not shutil.which("podman"):
        pytest.skip("needs the program podman")
    found = Podman(base / "pod")  # it takes paths of up to 50 bytes
    found("images")
    yield found
    found.destroy()


@pytest.fixture
def podman(podman_storage):
    yield podman_storage
    podman_storage("rmi", "--all", "--force")


@pytest.fixture
def source(tmp_path):
    """The sample as an OCI layout."""
    return sample().layout(tmp_path / "source", "1")


# ---- loading what others wrote ----


@pytest.mark.needs("program:skopeo")
@pytest.mark.parametrize("transport, compression", [
    (t, c) for t in ("docker-archive", "oci-archive", "oci", "dir") for c in ("gzip", "zstd", "none")
    if (t, c) != ("docker-archive", "zstd")])  # which skopeo does not convert
def test_load_of_skopeo(berth, tmp_path, transport, compression):
    image = sample(compression)
    image.layout(tmp_path / "source", "1")
    path = tmp_path / "copy"
    tag = "" if transport == "dir" else ":x.io/a/b:1"
    preserve = () if transport == "docker-archive" else ("--preserve-digests",)
    skopeo("copy", "-q", *preserve, f"oci:{tmp_path}/source:1", f"{transport}:{path}{tag}")
    names = loaded(berth("load", "-i", path))
    assert names == [image.id if transport == "dir" else "x.io/a/b:1"]
    assert_is(berth, names[0], image, exact=transport != "docker-archive")
    berth.check("--deep")


@pytest.mark.parametrize("format", ["docker-archive", "oci-archive", "docker-dir", "oci-dir"])
def test_load_of_podman(berth, podman, source, tmp_path, format):
    done = podman("pull", "-q", f"oci:{source}:1")
    assert done.returncode == 0, done.stderr
    ref = done.stdout.split()[-1]
    assert podman("tag", ref, NAME).returncode == 0
    done = podman("save", "-q", "--format", format, "-o", tmp_path / "saved", NAME)
    assert done.returncode == 0, done.stderr
    names = loaded(berth("load", "-i", tmp_path / "saved"))
    assert names == [sample().id if format == "docker-dir" else NAME]
    assert_is(berth, names[0], sample())


@pytest.mark.needs("program:skopeo")
@pytest.mark.parametrize("transport", ["docker-archive", "oci-archive"])
@pytest.mark.parametrize("pack", ["", "gzip", "zstd"])
def test_load_of_a_pipe(berth, source, tmp_path, transport, pack):
    skopeo("copy", "-q", f"oci:{source}:1", f"{transport}:{tmp_path}/a:{NAME}")
    feed = subprocess.Popen([pack, "-c", tmp_path / "a"] if pack else ["cat", tmp_path / "a"],
                            stdout=subprocess.PIPE)
    done = subprocess.run(berth.argv("load", "-q"), stdin=feed.stdout, capture_output=True, text=True,
                          env=berth.env, timeout=kit.TIMEOUT)
    feed.stdout.close()
    assert feed.wait() == 0 and done.returncode == 0, done
    assert done.stdout == f"Loaded image: {NAME}\n" and done.stderr == ""
    assert_is(berth, NAME, sample())
    assert berth.staged() == []


@pytest.mark.needs("program:skopeo")
def test_load_of_a_compressed_file(berth, source, tmp_path):
    skopeo("copy", "-q", f"oci:{source}:1", f"docker-archive:{tmp_path}/a:{NAME}")
    (tmp_path / "a.gz").write_bytes(gzip.compress((tmp_path / "a").read_bytes(), 1))
    assert loaded(berth("load", "-i", tmp_path / "a.gz")) == [NAME]
    assert_is(berth, NAME, sample())


def archive(members):
    """A tar of (name, content) pairs or of the kit's entries."""
    return kit.tar([kit.file(*m) if isinstance(m, tuple) else m for m in members])


def hex_of(data):
    return kit.digest(data)[7:]


def docker_archive(image, names=(NAME,), legacy=False, replace=(), extra=()):
    """As docker wrote it before version 25: with legacy, one directory a layer, the same layer's
    again being a link. replace: (member, content or entry; None: left out)."""
    config = image.blobs[image.id]
    members, paths, first = [], [], {}
    for n, layer in enumerate(image.layers):
        path = f"{n:064x}/layer.tar" if legacy else f"{hex_of(layer.tar)}.tar"
        paths.append(path)
        if layer.diff_id in first:
            if legacy:
                members.append(kit.symlink(path, f"../{first[layer.diff_id]}"))
            continue
        first[layer.diff_id] = path
        if legacy:
            members += [kit.dir(f"{n:064x}"), (f"{n:064x}/VERSION", "1.0"), (f"{n:064x}/json", "{}")]
        members.append((path, layer.tar))
    members.append((f"{hex_of(config)}.json", config))
    if legacy:
        members.append(("repositories", json.dumps({"x": {"1": paths[-1][:64]}})))
    members.append(("manifest.json", json.dumps(
        [{"Config": f"{hex_of(config)}.json", "RepoTags": list(names), "Layers": paths}])))
    return archive(changed(members, replace) + list(extra))


def changed(members, replace):
    replace, found = dict(replace), []
    for m in members:
        name = m[0] if isinstance(m, tuple) else m.name
        if name not in replace:
            found.append(m)
        elif replace[name] is not None:
            new = replace[name]
            found.append(new if isinstance(new, kit.Entry) else (name, new))
    return found


def oci_archive(image, *tags, replace=(), extra=(), entries=None):
    members = [("oci-layout", '{"imageLayoutVersion":"1.0.0"}')]
    for name, data in image.all_blobs().items():
        members.append((f"blobs/sha256/{name[7:]}", data))
    for m in image.manifests():
        members.append((f"blobs/sha256/{m.digest[7:]}", m.body))
    if entries is None:
        entries = [image.descriptor(annotations={"org.opencontainers.image.ref.name": t}) for t in tags]
        entries = entries or [image.descriptor()]
    members.append(("index.json", json.dumps({"schemaVersion": 2, "manifests": entries})))
    return archive(changed(members, replace) + list(extra))


@pytest.mark.fast
def test_load_of_old_docker(berth):
    """Layers in directories, an equal one as a symbolic link, names as docker shortens them."""
    same = layers()
    image = kit.Image([same[0], same[2], same[0]], {})
    names = loaded(berth("load", input=docker_archive(image, ["busybox:1", "x.io/y:2"], legacy=True)))
    assert names == ["docker.io/library/busybox:1", "x.io/y:2"]
    assert_is(berth, "busybox:1", image)
    assert len(berth.layers()) == 2


@pytest.mark.fast
def test_load_of_docker_25(berth):
    """Both formats in one archive: the manifest is the layout's, the names are of both."""
    image = sample("none")
    docker = json.dumps([{"Config": f"blobs/sha256/{image.id[7:]}", "RepoTags": ["busybox:1"],
                          "Layers": [f"blobs/sha256/{l.digest[7:]}" for l in image.layers]}])
    names = loaded(berth("load", input=oci_archive(image, "x.io/y:2", extra=[("manifest.json", docker)])))
    assert names == ["x.io/y:2", "docker.io/library/busybox:1"]
    assert_is(berth, "busybox:1", image, exact=True)


def test_load_of_a_compressed_docker_layer(berth):
    image = sample()
    packed = {f"{hex_of(l.tar)}.tar": l.blob for l in image.layers}
    loaded(berth("load", input=docker_archive(image, replace=packed)))
    assert_is(berth, NAME, image)


def test_load_without_names(berth):
    image = sample()
    assert loaded(berth("load", input=docker_archive(image, []))) == [image.id]
    assert loaded(berth("load", input=oci_archive(image))) == [image.id]
    assert_is(berth, image.id, image)


def test_bare_tags_are_of_localhost(berth):
    image = sample()
    assert loaded(berth("load", input=oci_archive(image, "latest", "busybox:2"))) == [
        "localhost/latest:latest", "localhost/busybox:2"]


def test_what_is_here_only_gets_names(berth, registry, repo):
    image = sample()
    registry.push(image, f"{repo}:1")
    berth.pull(registry, f"{repo}:1").ok()
    done = berth("load", input=docker_archive(image))
    assert loaded(done) == [NAME]
    assert inspect(berth, NAME)["Digest"] == image.digest
    assert len(berth.listed("images")) == 1


def test_load_moves_a_name(berth):
    one, two = kit.Image([[kit.file("1")]]), kit.Image([[kit.file("2")]])
    for image in (one, two):
        berth("load", input=docker_archive(image)).ok()
    assert_is(berth, NAME, two)
    assert inspect(berth, one.id)["RepoTags"] == []


class TestPlatforms:
    PARTS = {p: kit.Image([[kit.file("f", p)]], platform=f"linux/{p}") for p in ("amd64", "arm64", "s390x")}

    @pytest.fixture(params=["index", "side by side"])
    def data(self, request):
        index = kit.Index(self.PARTS.values())
        if request.param == "index":
            return oci_archive(index, "x.io/multi:1")
        entries = [i.descriptor(platform=i.platform) for i in self.PARTS.values()]
        return oci_archive(index, entries=entries)

    def test_this_machines(self, berth, data):
        name, = loaded(berth("load", input=data))
        here = {"x86_64": "amd64", "aarch64": "arm64", "s390x": "s390x"}[os.uname().machine]
        assert_is(berth, name, self.PARTS[here], exact=True)

    def test_named(self, berth, data):
        name, = loaded(berth("load", "--platform", "linux/arm64", input=data))
        assert_is(berth, name, self.PARTS["arm64"], exact=True)

    def test_missing(self, berth, data):
        berth("load", "--platform", "linux/riscv64", input=data).failed("riscv64")
        assert_nothing(berth)

    def test_a_single_image_for_another(self, berth):
        data = docker_archive(self.PARTS["s390x"])
        berth("load", "--platform", "linux/amd64", input=data).failed("linux/s390x")
        assert_nothing(berth)
        loaded(berth("load", input=data))  # asked for nothing else, it is what was named


def test_artifacts_are_passed_over(berth):
    image, artifact = sample(), kit.Artifact("data")
    data = oci_archive(image, extra=[(f"blobs/sha256/{artifact.digest[7:]}", artifact.body)],
                       entries=[artifact.descriptor(), image.descriptor()])
    done = berth("load", input=data)
    assert loaded(done) == [image.id]
    assert artifact.digest in done.err


# ---- saving for others ----


@pytest.fixture
def held(berth):
    """A store that holds the sample, without the blobs that its layers came in."""
    berth("load", "-q", input=oci_archive(sample(), NAME)).ok()
    return berth


FORMATS = {"docker-archive": "docker-archive:{}", "oci-archive": "oci-archive:{}", "oci-dir": "oci:{}",
           "docker-dir": "dir:{}"}


@pytest.mark.needs("program:skopeo")
@pytest.mark.parametrize("format", FORMATS)
def test_skopeo_reads_what_is_saved(held, tmp_path, format):
    held("save", "-q", "--format", format, "-o", tmp_path / "a", NAME).ok()
    place = FORMATS[format].format(tmp_path / "a")
    config = skopeo("inspect", "--config", "--raw", place).stdout
    assert config.encode() == sample().blobs[sample().id]
    skopeo("copy", "-q", place, f"oci:{tmp_path}/copy:1")  # checks every digest
    skopeo("copy", "-q", f"oci:{tmp_path}/copy:1", f"docker-archive:{tmp_path}/again:x:1")
    other = json.loads(tarfile.open(tmp_path / "again").extractfile("manifest.json").read())
    assert [l.removesuffix(".tar") for l in other[0]["Layers"]] == [l.diff_id[7:] for l in sample().layers]


@pytest.mark.parametrize("format", FORMATS)
def test_podman_loads_what_is_saved(held, podman, tmp_path, format):
    held("save", "-q", "--format", format, "-o", tmp_path / "a", NAME).ok()
    done = podman("load", "-q", "-i", tmp_path / "a")
    assert done.returncode == 0, done.stderr
    found = json.loads(podman("image", "inspect", sample().id[7:]).stdout)[0]
    assert found["RootFS"]["Layers"] == [l.diff_id for l in sample().layers]
    if format.endswith("archive"):  # directories it names after their paths
        assert found["RepoTags"] == [NAME]


@pytest.mark.needs("program:umoci")
def test_umoci_unpacks_what_is_saved(held, source, tmp_path):
    held("save", "-q", "--format", "oci-dir", "-o", tmp_path / "a", NAME).ok()
    kit.sh("umoci", "raw", "unpack", "--image", f"{tmp_path}/a:{NAME}", tmp_path / "ours")
    kit.sh("umoci", "raw", "unpack", "--image", f"{source}:1", tmp_path / "theirs")
    ours, theirs = kit.tree(tmp_path / "ours"), kit.tree(tmp_path / "theirs")
    del ours["."], theirs["."]  # the layers don't have it: it is as umoci made it
    assert kit.tree_differs(ours, theirs) == []
    assert len(ours) > 4


@pytest.mark.fast
def test_saved_and_loaded_again(held, berths, tmp_path):
    other = berths()
    for format in FORMATS:
        held("save", "-q", "--format", format, "-o", tmp_path / format, NAME).ok()
        name, = loaded(other("load", "-i", tmp_path / format))
        assert_is(other, name, sample())
    other.check("--deep")


# ---- exactness ----


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("format", ["oci-archive", "oci-dir", "docker-dir"])
def test_manifest_is_exact_with_its_blobs(berth, tmp_path, compression, format):
    """Kept blobs, and layers that are not compressed, come out as they went in."""
    image = sample(compression)
    keep = () if compression == "none" else ("--keep-blobs",)
    berth("load", *keep, input=oci_archive(image, NAME)).ok()
    done = berth("save", "--format", format, "-o", tmp_path / "a", NAME).ok()
    assert "manifest of its own" not in done.err
    if format == "docker-dir":
        assert (tmp_path / "a" / "manifest.json").read_bytes() == image.body
        assert {p.name for p in (tmp_path / "a").iterdir()} == {
            "manifest.json", "version", *(b[7:] for b in image.blobs)}
        return
    if format == "oci-archive":
        (tmp_path / "x").mkdir()
        kit.sh("tar", "-C", tmp_path / "x", "-xf", tmp_path / "a")
    path = tmp_path / ("x" if format == "oci-archive" else "a")
    entry, = index_of(path)
    assert entry["digest"] == image.digest and blob_of(path, image.digest) == image.body
    assert sorted(os.listdir(path / "blobs" / "sha256")) == sorted(b[7:] for b in (*image.blobs, image.digest))
    for name, data in image.blobs.items():
        assert blob_of(path, name) == data


def test_a_new_manifest_is_said_to_be_one(held, tmp_path):
    done = held("save", "--format", "oci-dir", "-o", tmp_path / "a", NAME).ok()
    assert "manifest of its own" in done.err
    entry, = index_of(tmp_path / "a")
    manifest = json.loads(blob_of(tmp_path / "a", entry["digest"]))
    assert manifest["config"]["digest"] == sample().id
    for layer, ours in zip(sample().layers, manifest["layers"]):
        assert ours["mediaType"] == layer.media_type
        assert gzip.decompress(blob_of(tmp_path / "a", ours["digest"])) == layer.tar


def test_compression_as_asked_for(berth, tmp_path):
    berth("load", "--keep-blobs", input=oci_archive(sample("zstd"), NAME)).ok()
    for flag, kind in (("--compress", "+gzip"), ("--uncompressed", "")):
        berth("save", "-q", flag, "--format", "oci-dir", "-o", tmp_path / f"a{kind}", NAME).ok()
        entry, = index_of(tmp_path / f"a{kind}")
        manifest = json.loads(blob_of(tmp_path / f"a{kind}", entry["digest"]))
        for layer, ours in zip(sample().layers, manifest["layers"]):
            assert ours["mediaType"] == kit.OCI + "layer.v1.tar" + kind
            data = blob_of(tmp_path / f"a{kind}", ours["digest"])
            assert (gzip.decompress(data) if kind else data) == layer.tar
    berth("save", "--compress", NAME).failed("never compressed")
    berth("save", "--compress", "--uncompressed", NAME).failed("exclude")


def test_dockers_manifest_becomes_ocis(berth, tmp_path):
    """Other readers than docker's may come to a layout; the ID stays."""
    image = sample(docker=True)
    berth("load", "--keep-blobs", input=oci_archive(image, NAME)).ok()
    berth("save", "-q", "--format", "oci-dir", "-o", tmp_path / "oci", NAME).ok()
    entry, = index_of(tmp_path / "oci")
    manifest = json.loads(blob_of(tmp_path / "oci", entry["digest"]))
    assert manifest["mediaType"] == kit.MANIFEST and manifest["config"]["digest"] == image.id
    assert [(l["mediaType"], l["digest"]) for l in manifest["layers"]] == [
        (kit.OCI + "layer.v1.tar+gzip", l.digest) for l in image.layers]
    berth("save", "-q", "--format", "docker-dir", "-o", tmp_path / "dir", NAME).ok()
    assert (tmp_path / "dir" / "manifest.json").read_bytes() == image.body


@pytest.mark.parametrize("format", ["docker-archive", "oci-archive"])
def test_saved_twice_is_the_same(held, berths, format):
    other = berths()
    other("load", input=oci_archive(sample(), NAME)).ok()
    one, two = (b("save", "-q", "--format", format, NAME, binary=True).ok().out for b in (held, other))
    assert one == two
    for member in tarfile.open(fileobj=io.BytesIO(one)):
        assert (member.mtime, member.uid, member.gid) == (0, 0, 0)


# ---- names and several images ----


@pytest.mark.fast
def test_several_images_share_layers(berth, berths, tmp_path):
    base, top = layers()[:2]
    one, two = kit.Image([base], {"Cmd": ["1"]}), kit.Image([base, top], {"Cmd": ["2"]})
    berth("load", input=docker_archive(one, ["a:1", "a:2"])).ok()
    berth("load", input=docker_archive(two, ["b:1"])).ok()
    for format in ("docker-archive", "oci-archive"):
        berth("save", "-q", "-m", "--format", format, "-o", tmp_path / format, "a:1", "b:1", "a:2").ok()
        found = [m.name for m in tarfile.open(tmp_path / format)]
        assert len(found) == len(set(found))
        other = berths()
        assert sorted(loaded(other("load", "-i", tmp_path / format))) == [
            f"docker.io/library/{n}" for n in ("a:1", "a:2", "b:1")]
        assert_is(other, "a:2", one)
        assert_is(other, "b:1", two)
    manifest = json.loads(tarfile.open(tmp_path / "docker-archive").extractfile("manifest.json").read())
    assert [i["RepoTags"] for i in manifest] == [
        ["docker.io/library/a:1", "docker.io/library/a:2"], ["docker.io/library/b:1"]]


def test_names_are_those_asked_for(berth):
    berth("load", input=docker_archive(sample(), ["a:1", "a:2"])).ok()

    def tags(*names):
        data = berth("save", "-q", *names, binary=True).ok().out
        return json.loads(tarfile.open(fileobj=io.BytesIO(data)).extractfile("manifest.json").read())[0]["RepoTags"]

    assert tags("a:2") == ["docker.io/library/a:2"]
    assert tags("docker.io/library/a:1") == ["docker.io/library/a:1"]
    assert tags(sample().id[7:19]) == []
    assert tags(sample().id, "a:1") == ["docker.io/library/a:1"]
    berth("save", "b:1").failed("b:1")


# ---- where it is written to ----


def test_no_archive_on_a_terminal(held):
    master, slave = pty.openpty()
    done = subprocess.run(held.argv("save", NAME), stdout=slave, stderr=subprocess.PIPE, text=True, env=held.env)
    os.close(slave)
    os.close(master)
    assert done.returncode == 2 and "terminal" in done.stderr and "-o FILE" in done.stderr


def test_a_file_appears_when_it_is_whole(held, tmp_path, disk):
    small = disk(16)
    (small.path / "a").write_text("before")
    with open(small.path / "fill", "wb", buffering=0) as f, contextlib.suppress(OSError):
        while f.write(bytes(100_000)):
            pass
    os.truncate(small.path / "fill", (small.path / "fill").stat().st_size - 100_000)
    held("save", "-o", small.path / "a", NAME).failed("no space left")
    assert (small.path / "a").read_text() == "before"
    assert sorted(p.name for p in small.path.iterdir() if p.name != "lost+found") == ["a", "fill"]
    held("save", "-o", small.path / "d", "--format", "oci-dir", NAME).failed("no space left")
    assert not (small.path / "d").exists()
    (small.path / "fill").unlink()
    held("save", "-q", "-o", small.path / "a", NAME).ok()
    assert tarfile.open(small.path / "a").getmember("manifest.json")
    done = subprocess.run(held.argv("save", NAME), stdout=open("/dev/full", "w"), stderr=subprocess.PIPE,
                          text=True, env=held.env)
    assert done.returncode == 1 and "no space left" in done.stderr


def test_directories_must_be_new_or_empty(held, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    held("save", "-q", "--format", "oci-dir", "-o", tmp_path / "empty", NAME).ok()
    assert (tmp_path / "empty" / "index.json").exists()
    held("save", "--format", "oci-dir", "-o", tmp_path / "full", NAME).failed("not empty")
    held("save", "-o", tmp_path / "full", NAME).failed("is a directory")
    held("save", "--format", "docker-dir", NAME).failed("--output")
    held("save", "--format", "docker-dir", "-o", tmp_path / "two", NAME, sample().id).ok()  # one image twice
    assert sorted(os.listdir(tmp_path / "full")) == ["x"]


# ---- hostile and broken ones ----


def hostile():
    """(what is wrong, the archive, what the error must name)"""
    image = sample()
    config = f"{hex_of(image.blobs[image.id])}.json"
    layer = f"{hex_of(image.layers[1].tar)}.tar"
    blob = f"blobs/sha256/{image.layers[1].digest[7:]}"
    manifest = f"blobs/sha256/{image.digest[7:]}"
    other = kit.tar([kit.file("other")])

    def docker(**kw):
        return docker_archive(image, **kw)

    def oci(**kw):
        return oci_archive(image, NAME, **kw)

    def listed(**more):
        return json.dumps([{"Config": config, "RepoTags": [NAME], "Layers": [], **more}])

    yield "a name with ..", docker(extra=[("../evil", "x")]), ["../evil", "leaves"]
    yield "an absolute name", docker(extra=[("/tmp/evil", "x")]), ["/tmp/evil", "leaves"]
    yield "a directory with ..", docker(extra=[kit.dir("a/../../evil")]), ["leaves"]
    yield "a symlink out", docker(replace={layer: kit.symlink(layer, "../../../etc/passwd")}), [layer, "links out"]
    yield "an absolute symlink", docker(replace={layer: kit.symlink(layer, "/etc/passwd")}), [layer, "links out"]
    yield "a hard link out", docker(replace={layer: kit.hardlink(layer, "../etc/passwd")}), [layer, "links out"]
    yield "a circle", docker(replace={layer: kit.symlink(layer, layer)}), [layer, "circle"]
    yield "a manifest that is a device", docker(replace={"manifest.json": kit.char("manifest.json", 1, 3)}), [
        "manifest.json", "no file"]
    yield "a manifest that is a link out", docker(
        replace={"manifest.json": kit.symlink("manifest.json", "/proc/self/environ")}), ["links out"]
    yield "a config outside", docker(replace={"manifest.json": listed(Config="../../etc/passwd")}), ["../../etc/passwd"]
    yield "a layer outside", docker(replace={"manifest.json": listed(Layers=["/etc/passwd"] * 3)}), ["/etc/passwd"]
    yield "no config", docker(replace={config: None}), [config]
    yield "no layer", docker(replace={layer: None}), [layer, "layer 2"]
    yield "no manifest", docker(replace={"manifest.json": None}), ["manifest.json"]
    yield "too few layers", docker(replace={"manifest.json": listed()}), ["0 layers", "3 diff_ids"]
    yield "another config", docker(replace={config: b'{"rootfs":{}}'}), [config, "digest"]
    yield "another layer", docker(replace={layer: other}), [kit.digest(other), image.layers[1].diff_id]
    yield "two manifests", docker(extra=[("manifest.json", "[]")]), ["manifest.json", "twice"]
    yield "two configs", docker(extra=[(config, "{}")]), [config, "twice"]
    yield "a huge manifest", docker(replace={"manifest.json": "[" + " " * (4 << 20) + "]"}), ["manifest.json", "limit"]
    yield "a deep manifest", docker(replace={"manifest.json": "[" * 1000}), ["manifest.json"]
    yield "a manifest with a key twice", docker(
        replace={"manifest.json": listed()[:-2] + ', "Config": "x"}]'}), ["manifest.json", "duplicate"]
    yield "a name that is none", docker(replace={"manifest.json": listed(RepoTags=["a b"])}), ["a b"]
    yield "cut off in a layer", docker()[:100_000], ["cut off"]
    yield "a wrong checksum", docker(extra=[kit.file("x", fields={0: b"y"}, checksum=False)]), ["checksum"]
    yield "no tar", b"x" * 5000, ["no tar"]
    yield "nothing", b"", ["empty"]
    yield "gzip of nothing", gzip.compress(b""), ["empty"]
    yield "gzip cut off", gzip.compress(docker())[:-50_000], ["cut off"]
    yield "gzip that is damaged", bytearray(gzip.compress(docker(), 1)).replace(b"\x00\x00", b"\x01\x02"), []
    yield "xz", b"\xfd7zXZ\0" + b"x" * 1000, ["xz", "gzip and zstd"]
    yield "a root file system", kit.tar([kit.file("etc/passwd")]), ["no image", "berth import"]
    yield "docker before 1.10", archive([("repositories", "{}")]), ["1.10"]
    yield "layout: no version file", oci(replace={"oci-layout": None}), ["oci-layout"]
    yield "layout: another version", oci(replace={"oci-layout": '{"imageLayoutVersion":"2.0"}'}), ["2.0"]
    yield "layout: no index", oci(replace={"index.json": None}), ["index.json"]
    yield "layout: no manifest", oci(replace={manifest: None}), [manifest]
    yield "layout: another manifest", oci(replace={manifest: image.body[:-1] + b" "}), [manifest, "digest"]
    yield "layout: a longer manifest", oci(replace={manifest: image.body + b" "}), [manifest, "bytes"]
    yield "layout: two manifests", oci(extra=[(manifest, image.body)]), [manifest, "twice"]
    yield "layout: no layer", oci(replace={blob: None}), [blob, "layer 2"]
    yield "layout: a shorter layer", oci(replace={blob: image.layers[1].blob[:-1]}), [blob, "bytes"]
    yield "layout: another layer", oci(
        replace={blob: bytes(len(image.layers[1].blob))}), [image.layers[1].digest]
    yield "layout: a digest that is none", oci_archive(image, entries=[
        image.descriptor() | {"digest": "sha256:../../etc/passwd"}]), ["no digest"]
    yield "layout: of a negative size", oci_archive(image, entries=[image.descriptor() | {"size": -1}]), ["size"]
    yield "layout: both manifests and layers", oci(replace={"index.json": json.dumps(
        {"manifests": [image.descriptor()], "layers": []})}), ["both"]
    wrong = sample()
    wrong.config["rootfs"]["diff_ids"][1] = kit.digest(b"x")
    wrong.config_seal()
    yield "layout: a wrong diffID", oci_archive(wrong, NAME), [image.layers[1].diff_id]
    loop = kit.Index([kit.Index([image])])
    yield "layout: indexes without end", oci_archive(loop, NAME), ["index"]


HOSTILE = list(hostile())


@pytest.mark.parametrize("data, names", [h[1:] for h in HOSTILE], ids=[h[0] for h in HOSTILE])
@pytest.mark.parametrize("way", ["file", "pipe"])
def test_hostile_archives(berth, tmp_path, data, names, way):
    outside = sorted(os.listdir(tmp_path.parent))
    if way == "file":
        (tmp_path / "a").write_bytes(data)
        done = berth("load", "-i", tmp_path / "a")
    else:
        child = subprocess.run(berth.argv("load"), input=data, capture_output=True, env=berth.env, timeout=60)
        done = kit.Result(child.args, child.returncode, child.stdout.decode(), child.stderr.decode())
    done.failed(*names)
    assert done.code in (1, 2, 3) and done.out == "" and "berth: " in done.err
    assert_nothing(berth)
    assert sorted(os.listdir(tmp_path.parent)) == outside


@pytest.mark.fast
def test_hostile_directories(berth, tmp_path):
    """Files of a layout may be links, but not to what lies outside, nor FIFOs, which never end."""
    image = sample()
    path = image.layout(tmp_path / "a", "1")
    blob = path / "blobs" / "sha256" / image.layers[0].digest[7:]
    blob.rename(path / "moved")
    blob.symlink_to("../../moved")
    loaded(berth("load", "-i", path))
    berth("rmi", image.id).ok()
    blob.unlink()
    os.mkfifo(blob)
    berth("load", "-i", path).failed(blob.name, "no regular file")
    blob.unlink()
    (tmp_path / "outside").write_bytes(image.layers[0].blob)
    blob.symlink_to(tmp_path / "outside")
    berth("load", "-i", path).failed(blob.name)
    assert_nothing(berth)


@pytest.mark.fast
def test_the_second_image_is_bad(berth):
    """What was loaded before it stays, complete."""
    one, two = kit.Image([[kit.file("1")]]), kit.Image([[kit.file("2")], [kit.file("3")]])
    layer = f"blobs/sha256/{two.layers[1].digest[7:]}"
    both = kit.Index([one, two])
    data = oci_archive(both, replace={layer: bytes(len(two.layers[1].blob))}, entries=[
        i.descriptor(annotations={"org.opencontainers.image.ref.name": f"x.io/{n}:1"})
        for n, i in (("a", one), ("b", two))])
    berth("load", input=data).failed("x.io/b:1", "layer 2")
    assert_is(berth, "x.io/a:1", one)
    assert kit.eventually(lambda: len(berth.layers()) == 1)
    berth.check()


@pytest.mark.stages
def test_killed_at_any_moment(berth, tmp_path):
    """Then a check finds nothing wrong, and the next load succeeds."""
    image = kit.Image([kit.Layer([kit.file(f"f{n}", random.Random(n).randbytes(3_000_000))], "none")
                       for n in range(4)])
    (tmp_path / "a").write_bytes(docker_archive(image))
    killer = kit.AtRandom(random.Random(1))
    killed = 0
    for n in range(15):
        stdin = open(tmp_path / "a", "rb") if n % 2 else subprocess.DEVNULL
        more = () if n % 2 else ("-i", tmp_path / "a")
        killed += killer.kill(berth.popen("load", *more, stdin=stdin))
        berth.check()
        if n % 5 == 4:
            berth("rmi", "--force", image.id)
    assert killed >= 2
    loaded(berth("load", "-i", tmp_path / "a"))
    assert_is(berth, NAME, image)
    berth.check("--deep")


# ---- import ----


def rootfs():
    return kit.tar([kit.dir("bin"), kit.file("bin/x", "#!", 0o755), kit.file("etc/os-release", "ID=x")])


@pytest.mark.parametrize("pack", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("way", ["file", "pipe"])
def test_import(berth, tmp_path, pack, way):
    data = kit.COMPRESSION[pack][1](rootfs())
    (tmp_path / "fs.tar").write_bytes(data)
    flags = ["-m", "hello", "-c", 'CMD ["/bin/x", "-v"]', "-c", "ENV A=b C=d", "--change", "USER 7:8", "-c",
             "EXPOSE 80 53/udp", "-c", "LABEL k='a b'", "-c", "VOLUME /data", "-c", "WORKDIR /srv", "-c",
             'ENTRYPOINT ["/init"]', "-c", "STOPSIGNAL SIGQUIT", "--arch", "arm64", "--variant", "v8"]
    if way == "file":
        done = berth("import", *flags, tmp_path / "fs.tar", "base:1")
    else:
        done = berth("import", *flags, "-", "base:1", input=data)
    found = inspect(berth, "base:1")
    assert done.ok().out.strip().removeprefix("sha256:") == found["Id"].removeprefix("sha256:")
    assert found["RootFS"]["Layers"] == [kit.digest(rootfs())]
    config = found["Config"]
    assert config["Cmd"] == ["/bin/x", "-v"] and config["Entrypoint"] == ["/init"]
    assert config["Env"] == ["A=b", "C=d"] and config["User"] == "7:8" and config["WorkingDir"] == "/srv"
    assert config["Labels"] == {"k": "a b"} and config["StopSignal"] == "SIGQUIT"
    assert set(config["ExposedPorts"]) == {"80/tcp", "53/udp"} and set(config["Volumes"]) == {"/data"}
    assert (found["Architecture"], found["Variant"], found["Comment"]) == ("arm64", "v8", "hello")
    berth.check("--deep")


@pytest.mark.fast
def test_import_is_reproducible(berth, berths):
    ids = {b("import", "-", input=rootfs(), env=EPOCH).ok().out for b in (berth, berths())}
    assert len(ids) == 1
    assert inspect(berth, ids.pop().strip())["Created"] == "2023-11-14T22:13:20Z"


def test_imported_is_as_podman_imports(berth, podman, tmp_path):
    (tmp_path / "fs.tar").write_bytes(rootfs())
    flags = ("-c", "CMD sleep 1", "-c", "ENV A=b", "-c", "WORKDIR /x", "-c", "EXPOSE 80/tcp", "-c", "LABEL a=b")
    berth("import", *flags, tmp_path / "fs.tar", "base:1").ok()
    done = podman("import", *flags, tmp_path / "fs.tar", "base:1")
    assert done.returncode == 0, done.stderr
    theirs = json.loads(podman("image", "inspect", done.stdout.split()[-1].removeprefix("sha256:")).stdout)[0]
    ours = inspect(berth, "base:1")
    assert ours["RootFS"]["Layers"] == theirs["RootFS"]["Layers"]
    for key in ("Cmd", "Env", "WorkingDir", "ExposedPorts", "Labels"):
        assert ours["Config"][key] == theirs["Config"][key], key
    assert [ours[key] for key in ("Os", "Architecture")] == [theirs[key] for key in ("Os", "Architecture")]
    # Of x86-64 a level would say what this machine can do, and keep the image from lesser ones.
    assert ours["Architecture"] != "amd64" or ours.get("Variant", "") == ""


def test_imported_runs(berth):
    berth("import", "-c", 'CMD ["/bin/sh", "-c", "echo $A"]', "-c", "ENV A=it-runs", "-", "shell",
          input=kit.tar(kit.busybox_entries())).ok()
    assert berth.run("--rm", "shell").ok().out == "it-runs\n"


@pytest.mark.fast
@pytest.mark.parametrize("args, names", [
    (["https://example.org/x.tar"], ["curl"]),
    (["-", "a/UPPER:1"], ["UPPER"]),
    (["-", "a@sha256:" + "0" * 64], ["digest"]),
    (["-c", "RUN true", "-"], ["RUN true", "CMD, ENTRYPOINT"]),
    (["-c", "EXPOSE x", "-"], ["EXPOSE x"]),
    (["/does/not/exist"], ["/does/not/exist"]),
])
def test_import_refuses(berth, args, names):
    berth("import", *args, input=rootfs()).failed(*names)
    assert_nothing(berth)


def test_import_of_broken_tars(berth):
    for data in (rootfs()[:700], gzip.compress(rootfs())[:-20], b"x" * 2000):
        berth("import", "-", input=data).failed("cannot import")
        assert_nothing(berth)


# ---- places ----


@pytest.mark.needs("program:skopeo")
@pytest.mark.parametrize("transport", ["oci", "oci-archive", "docker-archive", "dir"])
def test_pull_of_a_place(berth, source, tmp_path, transport):
    tag = "" if transport == "dir" else ":x.io/a:1"
    skopeo("copy", "-q", f"oci:{source}:1", f"{transport}:{tmp_path}/a{tag}")
    done = berth("pull", "-q", f"{transport}:{tmp_path}/a{tag}").ok()
    assert done.out.split()[-1].removeprefix("sha256:") == sample().id[7:]
    assert_is(berth, sample().id if transport == "dir" else "x.io/a:1", sample())


@pytest.mark.needs("program:skopeo")
def test_push_to_a_place(held, tmp_path):
    """A layout takes several images, and one name again."""
    other = kit.Image([[kit.file("other")]])
    held("load", input=docker_archive(other, ["other:1"])).ok()
    held("push", "-q", NAME, f"oci:{tmp_path}/l:one").ok()
    held("push", "-q", NAME, f"oci:{tmp_path}/l:two").ok()
    held("push", "-q", "other:1", f"oci:{tmp_path}/l:one").ok()
    names = {e["annotations"]["org.opencontainers.image.ref.name"]: e for e in index_of(tmp_path / "l")}
    assert sorted(names) == ["one", "two"] and len(index_of(tmp_path / "l")) == 2
    for tag, image in (("one", other), ("two", sample())):
        assert skopeo("inspect", "--config", "--raw", f"oci:{tmp_path}/l:{tag}").stdout.encode() == \
            image.blobs[image.id]
    held("push", "-q", NAME, f"docker-archive:{tmp_path}/d:x:1").ok()
    manifest = json.loads(tarfile.open(tmp_path / "d").extractfile("manifest.json").read())
    assert manifest[0]["RepoTags"] == ["docker.io/library/x:1"]
    held("push", "-q", NAME, f"dir:{tmp_path}/dir").ok()
    held("push", "-q", NAME, f"dir:{tmp_path}/dir").failed("not empty")
    held("push", "--digestfile", "x", NAME, f"oci:{tmp_path}/l:one").failed("--digestfile")


def test_places_that_are_not_there(berth, tmp_path):
    berth("pull", f"oci:{tmp_path}/none:1").failed(f"{tmp_path}/none")
    berth("pull", "docker-daemon:busybox:1").failed("docker-daemon", "berth load")
    berth("push", "docker-daemon:x", f"oci:{tmp_path}/x").failed("docker-daemon")
    sample().layout(tmp_path / "a", "1")
    berth("pull", f"oci:{tmp_path}/a:2").failed('"2"')
    assert_nothing(berth)


# ---- help ----


@pytest.mark.parametrize("command, flags", [
    ("save", "-o --output --format -m --multi-image-archive --compress --uncompressed -q --quiet"),
    ("load", "-i --input -q --quiet --platform"),
    ("import", "-c --change -m --message --arch --os --variant -q --quiet"),
])
def test_flags_that_people_type(berth, command, flags):
    text = berth(command, "--help").ok().out
    assert [f for f in flags.split() if f not in text.replace(",", " ").split()] == []
    assert berth("image", command, "--help").ok().out.splitlines()[2:] == text.splitlines()[2:]
