"""berth push and manifest ...: what arrives is what was here, read back by skopeo and podman; what
need not be sent is not."""

import json
import os
import random
import signal

import kit
import pytest
from taking import Taker


def layers(compression="gzip", n=3):
    return [kit.Layer([kit.dir("d"), kit.file(f"d/{i}", bytes([i]) * 50_000)], compression=compression)
            for i in range(n)]


@pytest.fixture
def image():
    return kit.Image(layers(), config={"Cmd": ["/x"], "Labels": {"a": "b"}})


@pytest.fixture
def taker():
    made = Taker()
    yield made
    made.stop()


def push(berth, server, source, name, *flags, **kw):
    return berth("push", *server.flags, *flags, source, f"{server.address}/{name}", **kw)


def inspect(server, name, *flags):
    """As skopeo sees it, which verifies what it reads."""
    return kit.sh("skopeo", "inspect", *server.flags, *flags, f"docker://{server.address}/{name}").stdout


def copied(server, name, path):
    """A whole copy by skopeo: every blob is fetched and verified."""
    kit.sh("skopeo", "copy", "--src-tls-verify=false", "--preserve-digests", f"docker://{server.address}/{name}",
           f"dir:{path}")
    return json.loads((path / "manifest.json").read_text())


def tars(server, repo, manifest):
    """The diffIDs of the blobs that a manifest names."""
    found = []
    for d in manifest["layers"]:
        blob = server.blob(repo, d["digest"])
        assert len(blob) == d["size"]
        if d["mediaType"].endswith("gzip"):
            import gzip
            blob = gzip.decompress(blob)
        elif d["mediaType"].endswith("zstd"):
            blob = unzstd(blob)
        found.append(kit.digest(blob))
    return found


def unzstd(data):
    import subprocess
    return subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, check=True).stdout


def pulled(berth, server, image, name, *flags):
    server.push(image, name)
    berth.pull(server, name, *flags).ok()
    return f"{server.address}/{name}"


# ---- exactly ----


@pytest.mark.fast
def test_same_repository_sends_nothing(berth, registry, proxy, repo, image):
    registry.push(image, f"{repo}:1")
    berth.pull(proxy, f"{repo}:1").ok()
    proxy.clear()
    result = push(berth, proxy, f"{proxy.address}/{repo}:1", f"{repo}:2").ok()
    assert result.out == f"2: digest: {image.digest} size: {len(image.body)}\n"
    assert registry.manifest(f"{repo}:2") == (image.media_type, image.digest, image.body)
    assert not proxy.count("POST") and [r.path for r in proxy.found("PUT")] == [f"/v2/{repo}/manifests/2"]


@pytest.mark.fast
def test_other_repository_mounts(berth, registry, proxy, repo, image):
    registry.push(image, f"{repo}:1")
    berth.pull(proxy, f"{repo}:1").ok()
    proxy.clear()
    push(berth, proxy, f"{proxy.address}/{repo}:1", f"{repo}/other:1").ok()
    assert registry.manifest(f"{repo}/other:1") == (image.media_type, image.digest, image.body)
    mounts = proxy.found("POST", "mount=")
    assert len(mounts) == 3 and all(f"from={repo.replace('/', '%2F')}" in m.path or f"from={repo}" in m.path
                                    for m in mounts)
    assert len(proxy.found("PUT", "/blobs/uploads/")) == 1  # the configuration
    for l in image.layers:
        assert registry.blob(f"{repo}/other", l.digest) == l.blob


def test_kept_blobs_are_pushed_as_they_came(berth, registry, registries, repo, image):
    other = registries()
    name = pulled(berth, registry, image, f"{repo}:1", "--keep-blobs")
    push(berth, other, name, "x/y:1").ok()
    assert other.manifest("x/y:1") == (image.media_type, image.digest, image.body)
    for l in image.layers:
        assert other.blob("x/y", l.digest) == l.blob


def test_uncompressed_layers_come_out_as_they_were(berth, registry, registries, repo):
    image = kit.Image(layers("none"))
    other = registries()
    name = pulled(berth, registry, image, f"{repo}:1")
    push(berth, other, name, "x/y:1").ok()
    assert other.manifest("x/y:1") == (image.media_type, image.digest, image.body)


def test_manifest_keeps_its_bytes(berth, registry, repo, image):
    image.text = json.dumps(image.manifest, indent=3) + "\n"
    name = pulled(berth, registry, image, f"{repo}:1")
    push(berth, registry, name, f"{repo}:2").ok()
    assert registry.manifest(f"{repo}:2")[2] == image.body


def test_layers_that_may_not_be_distributed(berth, fake, taker):
    image = kit.Image(layers(n=2))
    image.manifest["layers"][0]["mediaType"] = kit.OCI + "layer.nondistributable.v1.tar+gzip"
    image.manifest["layers"][0]["urls"] = ["https://example.invalid/layer"]
    fake.add(image, "a/b:1")
    berth.pull(fake, "a/b:1", "--keep-blobs").ok()
    push(berth, taker, f"{fake.address}/a/b:1", "x/y:1").ok()
    assert image.layers[0].digest not in taker.blobs and image.layers[1].digest in taker.blobs
    assert taker.manifests["x/y", "1"][1] == image.body


# ---- anew ----


def test_packed_again(berth, registry, registries, repo, image, tmp_path):
    other = registries()
    name = pulled(berth, registry, image, f"{repo}:1")
    result = push(berth, other, name, "x/y:1", f"--digestfile={tmp_path}/digest").ok()
    kind, found, body = other.manifest("x/y:1")
    manifest = json.loads(body)
    assert kind == kit.MANIFEST and manifest["config"] == image.manifest["config"]
    assert tars(other, "x/y", manifest) == [l.diff_id for l in image.layers]
    assert f"digest: {found}" in result.out and (tmp_path / "digest").read_text() == found
    assert "another than here" in result.err or found == image.digest
    assert [d["digest"] for d in copied(other, "x/y:1", tmp_path / "copy")["layers"]] == \
        [d["digest"] for d in manifest["layers"]]
    again = push(berth, other, name, "x/y:2").ok()
    assert f"digest: {found}" in again.out  # known there now: not packed a second time
    assert other.manifest("x/y:2")[2] == body


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compression_format(berth, registry, registries, repo, image, compression):
    other = registries()
    name = pulled(berth, registry, kit.Image(layers("none")), f"{repo}:1")
    push(berth, other, name, "x/y:1", f"--compression-format={compression}", "--compression-level=2").ok()
    manifest = json.loads(other.manifest("x/y:1")[2])
    assert {d["mediaType"] for d in manifest["layers"]} == {kit.OCI + "layer.v1.tar+" + compression}
    assert tars(other, "x/y", manifest) == [l.diff_id for l in layers("none")]


def test_compression_that_the_registry_has_is_kept_unless_forced(berth, registry, repo, image):
    name = pulled(berth, registry, image, f"{repo}:1")
    push(berth, registry, name, f"{repo}:2", "--compression-format=zstd").ok()
    assert json.loads(registry.manifest(f"{repo}:2")[2])["layers"] == image.manifest["layers"]
    push(berth, registry, name, f"{repo}:3", "--compression-format=zstd", "--force-compression").ok()
    forced = json.loads(registry.manifest(f"{repo}:3")[2])
    assert {d["mediaType"] for d in forced["layers"]} == {kit.OCI + "layer.v1.tar+zstd"}
    assert tars(registry, repo, forced) == [l.diff_id for l in image.layers]


@pytest.mark.parametrize("docker", [False, True])
def test_formats(berth, registry, repo, docker):
    image = kit.Image(layers(), docker=docker)
    name = pulled(berth, registry, image, f"{repo}:1")
    push(berth, registry, name, f"{repo}:oci", "--format=oci").ok()
    push(berth, registry, name, f"{repo}:v2s2", "--format=v2s2").ok()
    kind, _, body = registry.manifest(f"{repo}:oci")
    assert kind == kit.MANIFEST and "docker" not in body.decode()
    kind, _, body = registry.manifest(f"{repo}:v2s2")
    assert kind == kit.DOCKER_MANIFEST and "oci" not in body.decode()
    same = "v2s2" if docker else "oci"
    assert registry.manifest(f"{repo}:{same}")[1] == image.digest
    for tag in ("oci", "v2s2"):
        inspect(registry, f"{repo}:{tag}")


def test_docker_has_no_zstd(berth, registry, repo):
    name = pulled(berth, registry, kit.Image(layers("zstd")), f"{repo}:1")
    refused = push(berth, registry, name, f"{repo}:2", "--format=docker", "--compression-format=zstd").failed()
    assert refused.code == 2 and "no zstd" in refused.err
    push(berth, registry, name, f"{repo}:2", "--format=docker").ok()
    kind, _, body = registry.manifest(f"{repo}:2")
    assert kind == kit.DOCKER_MANIFEST and b"zstd" not in body
    assert tars(registry, repo, json.loads(body)) == [l.diff_id for l in layers("zstd")]


def test_one_layer_twice_is_sent_once(berth, registry, taker, repo):
    layer = layers()[0]
    name = pulled(berth, registry, kit.Image([layer, layers()[1], layer]), f"{repo}:1")
    push(berth, taker, name, "x/y:1").ok()
    sent = [d["digest"] for d in json.loads(taker.manifests["x/y", "1"][1])["layers"]]
    assert sent[0] == sent[2] and len(taker.finished) == len(set(taker.finished)) == 3


def test_podman_runs_what_was_pushed(berth, registry, registries, repo, image, base):
    other = registries()
    name = pulled(berth, registry, image, f"{repo}:1")
    push(berth, other, name, "x/y:1").ok()
    place = ["--root", base / "podman-p", "--runroot", base / "podman-r", "--storage-driver", "vfs"]
    found = kit.sh("podman", *place, "pull", "-q", "--tls-verify=false", f"{other.address}/x/y:1").stdout.strip()
    assert f"sha256:{found}" == image.id


def test_we_push_what_podman_pulled_and_back(berth, registries, tmp_path):
    """skopeo's image through berth into another registry, and on by skopeo: one digest."""
    one, two, three = registries(), registries(), registries()
    source = kit.Image(layers()).layout(tmp_path / "layout", "1")
    kit.sh("skopeo", "copy", "--dest-tls-verify=false", f"oci:{source}:1", f"docker://{one.address}/a/b:1")
    berth.pull(one, "a/b:1", "--keep-blobs").ok()
    push(berth, two, f"{one.address}/a/b:1", "a/b:1").ok()
    kit.sh("skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--preserve-digests",
           f"docker://{two.address}/a/b:1", f"docker://{three.address}/a/b:1")
    assert one.manifest("a/b:1") == two.manifest("a/b:1") == three.manifest("a/b:1")


# ---- indexes, artifacts ----


@pytest.fixture
def index():
    return kit.Index([kit.Image(layers(n=2)), kit.Image(layers("none", 1), platform="linux/arm64/v8")])


def test_all_platforms(berth, registry, repo, index):
    name = pulled(berth, registry, index, f"{repo}:1", "--all-platforms")
    push(berth, registry, name, f"{repo}/other:1", "--all-platforms").ok()
    assert registry.manifest(f"{repo}/other:1") == (index.media_type, index.digest, index.body)
    for part in index.below:
        assert registry.manifest(f"{repo}/other@{part.digest}")[2] == part.body


def test_index_names_what_its_images_became(berth, registry, registries, repo, index):
    other = registries()
    name = pulled(berth, registry, index, f"{repo}:1", "--all-platforms")
    push(berth, other, name, "x/y:1", "--all-platforms", "--compression-format=zstd").ok()
    kind, _, body = other.manifest("x/y:1")
    entries = json.loads(body)["manifests"]
    assert kind == kit.INDEX and [d["platform"]["architecture"] for d in entries] == ["amd64", "arm64"]
    for d, part in zip(entries, index.below):
        _, found, text = other.manifest(f"x/y@{d['digest']}")
        assert len(text) == d["size"] and json.loads(text)["config"] == part.manifest["config"]
        assert tars(other, "x/y", json.loads(text)) == [l.diff_id for l in part.layers]


def test_platforms_that_are_not_here(berth, registry, repo, index):
    name = pulled(berth, registry, index, f"{repo}:1")
    refused = push(berth, registry, name, f"{repo}:2", "--all-platforms").failed()
    assert "linux/arm64 is not here" in refused.err and "--all-platforms" in refused.err


def test_artifact(berth, registry, registries, repo, image):
    """A signature of the image: pushed as it came, and listed among the image's referrers."""
    blob = kit.Layer(blob=b"signed", media_type="application/x-signature.data")
    artifact = kit.Image([blob])
    artifact.blobs = {kit.digest(kit.EMPTY): kit.EMPTY, blob.digest: blob.blob}
    artifact.manifest["config"] = {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
                                   "digest": kit.digest(kit.EMPTY)}
    artifact.manifest.update(artifactType="application/x-signature", subject=image.descriptor())
    other = registries()
    name = pulled(berth, registry, artifact, f"{repo}:sig")
    push(berth, other, name, "x/y:sig").ok()
    assert other.manifest("x/y:sig") == (artifact.media_type, artifact.digest, artifact.body)
    assert other.blob("x/y", blob.digest) == b"signed"
    listed = json.loads(other.manifest(f"x/y:{image.digest.replace(':', '-')}")[2])["manifests"]
    assert [(d["digest"], d["artifactType"]) for d in listed] == [(artifact.digest, "application/x-signature")]


# ---- registries as they are ----


@pytest.mark.fast
def test_tls_and_password(berth, registry, registries, authority, repo, image):
    secret = registries(authority=authority, users={"alice": "wonder land"})
    name = pulled(berth, registry, image, f"{repo}:1", "--keep-blobs")
    refused = push(berth, secret, name, "x/y:1").failed()
    assert refused.code == 4 and "berth login" in refused.err
    push(berth, secret, name, "x/y:1", "--creds", "alice:wonder land").ok()
    assert secret.manifest("x/y:1")[1] == image.digest
    berth("login", "-u", "alice", "--password-stdin", *secret.flags, secret.address, input="wonder land").ok()
    push(berth, secret, name, "x/y:2").ok()


def test_faults_on_the_way(berth, registry, proxy, registries, repo, image):
    """Each request fails once; the push takes its time and succeeds."""
    name = pulled(berth, registry, image, f"{repo}/from:1")
    for method in ("HEAD", "POST", "PUT"):
        proxy.fault(method, "", times=1, status=503)
        proxy.fault(method, "", times=1, skip=1, close_before=True)
    push(berth, proxy, name, f"{repo}:1", "--retry-delay=10ms").ok()
    assert all(f.used == 1 for f in proxy.faults)
    assert json.loads(registry.manifest(f"{repo}:1")[2])["config"] == image.manifest["config"]


def test_refusal_says_why(berth, registry, proxy, repo, image):
    name = pulled(berth, registry, image, f"{repo}/from:1")
    proxy.fault("PUT", "/manifests/", status=403, headers={"Content-Type": "application/json"},
                body=b'{"errors":[{"code":"DENIED","message":"tags are immutable"}]}')
    refused = push(berth, proxy, name, f"{repo}:1").failed()
    assert refused.code == 4 and "tags are immutable" in refused.err and f"{proxy.address}/{repo}:1" in refused.err


# ---- names and options ----


def test_where_its_name_says(berth, registry, repo, image):
    name = pulled(berth, registry, image, f"{repo}:1")
    new = f"{registry.address}/{repo}/new"
    berth("tag", name, f"{new}:a", f"{new}:b").ok()
    berth("push", *registry.flags, "-q", f"{new}:a").ok()
    assert registry.tags(f"{repo}/new") == ["a"]
    berth("push", *registry.flags, "-q", "--all-tags", new).ok()
    assert sorted(registry.tags(f"{repo}/new")) == ["a", "b"]
    berth("push", *registry.flags, "-q", f"{new}:a", f"docker://{new}:c").ok()
    assert sorted(registry.tags(f"{repo}/new")) == ["a", "b", "c"]


@pytest.mark.parametrize("argv, code, said", [
    (["{name}", "docker-daemon:x:1"], 1, "berth save"),
    (["{id}"], 2, "does not say where"),
    (["nothing:here"], 3, "nothing:here"),
    (["{name}", "A/B"], 2, "A/B"),
    (["--format=v2s1", "{name}"], 1, "schema 1"),
    (["--format=x", "{name}"], 2, "oci or docker"),
    (["--compression-level=10", "{name}"], 2, "level"),
    (["--force-compression", "{name}"], 2, "--compression-format"),
    (["--all-tags", "{name}"], 2, "names one already"),
    (["--sign-by=x", "{name}"], 1, "not signed"),
])
def test_usage(berth, registry, repo, image, argv, code, said):
    name = pulled(berth, registry, image, f"{repo}:1")
    result = berth("push", *registry.flags, *(a.format(name=name, id=image.id[7:20]) for a in argv)).failed()
    assert (result.code, said in result.err) == (code, True), result


def test_quiet(berth, registry, repo, image):
    name = pulled(berth, registry, image, f"{repo}:1")
    result = push(berth, registry, name, f"{repo}:2", "-q").ok()
    assert result.out == "" and result.err == ""


# ---- interrupted ----


def sessions(registry, repo):
    """Uploads that the registry keeps open."""
    path = registry.data / "docker/registry/v2/repositories" / repo / "_uploads"
    return sorted(path.glob("*/startedat"))


@pytest.fixture
def elsewhere(registries):
    """Another registry, from which nothing can be mounted: (it, a proxy before it)."""
    other = registries()
    proxy = kit.Proxy(other.address)
    yield other, proxy
    proxy.stop()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_uploads_are_deleted(berth, registry, elsewhere, repo, image, how, tmp_path):
    """Whatever ends it, kill -9 among it: berth-fetch outlives berth for that long."""
    other, proxy = elsewhere
    name = pulled(berth, registry, image, f"{repo}:1")
    proxy.fault("PUT", "/blobs/uploads/", stall=3600)
    with open(tmp_path / "err", "w") as err:
        process = berth.popen("push", *proxy.flags, name, f"{proxy.address}/{repo}/new:1", stderr=err)
        assert kit.eventually(lambda: proxy.count("PUT", "/blobs/uploads/") == 3, 20)
        assert len(sessions(other, f"{repo}/new")) == 3
        process.send_signal(how)
        process.wait(20)
    assert kit.eventually(lambda: not sessions(other, f"{repo}/new"), 20)
    assert proxy.count("DELETE", "/blobs/uploads/") == 3
    said = (tmp_path / "err").read_text()
    if how == signal.SIGKILL:
        return
    assert process.returncode == 130, said
    assert "stopped by" in said and "has been deleted at the registry" in said
    push(berth, other, name, f"{repo}/new:1").ok()


def test_failed_push_deletes_its_uploads(berth, registry, elsewhere, repo, image):
    other, proxy = elsewhere
    name = pulled(berth, registry, image, f"{repo}:1")
    proxy.fault("PUT", "/blobs/uploads/", times=1, status=400)
    proxy.fault("PUT", "/blobs/uploads/", stall=3600)
    push(berth, proxy, name, f"{repo}/new:1").failed("status 400")
    assert not sessions(other, f"{repo}/new")


def test_interrupted_while_packing(berth, registry, registries, repo):
    """Nothing is left of it, neither files nor processes (the fixture looks)."""
    big = kit.Image([kit.Layer([kit.file("f", random.Random(1).randbytes(32 << 20))], "none")])
    name = pulled(berth, registry, big, f"{repo}:1")
    process = berth.popen("push", *registry.flags, "--compression-format=zstd", "--compression-level=19", name,
                          f"{registries().address}/{repo}/new:1")
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    assert kit.eventually(lambda: any("berth-layer" in open(f"/proc/{p}/comm").read()
                                      for p in open(children).read().split()), 20)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130


# ---- what is shown ----


def test_packing_is_shown(berth, registry, registries, repo, image):
    """Layers that have to be compressed again say so before they are pushed; several are packed at once."""
    name = pulled(berth, registry, image, f"{repo}:1")
    said = push(berth, registries(), name, f"{repo}/new:1").ok().err
    for l in image.layers:
        assert f"{l.diff_id[7:19]}: packing" in said or f"{l.digest[7:19]}: packing" in said, said
    assert said.count("pushing") == 3 and said.count("done") == 3


# ---- manifest lists ----


@pytest.fixture
def parts(berth, registry, repo):
    """Names of an amd64 and an arm64 image that are here."""
    made = {}
    for platform in ("linux/amd64", "linux/arm64/v8"):
        image = kit.Image(layers("none", 1), platform=platform, config={"Env": [f"P={platform}"]})
        arch = platform.split("/")[1]
        made[arch] = image, pulled(berth, registry, image, f"{repo}/{arch}:1", f"--platform={platform}")
    return made


def entries(berth, name):
    return berth.json("manifest", "inspect", name)["manifests"]


def test_list_life(berth, registry, repo, parts):
    (amd, amd_name), (arm, arm_name) = parts["amd64"], parts["arm64"]
    first = berth("manifest", "create", "app:1", amd_name).ok().out
    assert len(first.strip()) == 64
    assert berth("manifest", "create", "app:1").failed().code == 1
    berth("manifest", "add", "--annotation", "a=b", "app:1", arm_name).ok()
    assert entries(berth, "app:1") == [
        {"mediaType": kit.MANIFEST, "digest": amd.digest, "size": len(amd.body),
         "platform": {"os": "linux", "architecture": "amd64"}},
        {"mediaType": kit.MANIFEST, "digest": arm.digest, "size": len(arm.body), "annotations": {"a": "b"},
         "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}}]
    berth("manifest", "annotate", "--arch", "arm", "--variant", "v7", "app:1", arm.digest).ok()
    assert entries(berth, "localhost/app:1")[1]["platform"] == {"os": "linux", "architecture": "arm", "variant": "v7"}
    berth("manifest", "remove", "app:1", amd_name).ok()
    assert [d["digest"] for d in entries(berth, "app:1")] == [arm.digest]
    assert berth("manifest", "create", "--amend", "app:1", amd_name).ok()
    assert len(entries(berth, "app:1")) == 2
    assert berth("manifest", "exists", "app:1").code == 0
    berth("manifest", "rm", "app:1").ok()
    assert berth("manifest", "exists", "app:1").code == 1
    berth("image", "exists", amd_name).ok()
    berth.check()


def test_list_is_pushed_with_its_images(berth, registry, repo, parts):
    (amd, amd_name), (arm, arm_name) = parts["amd64"], parts["arm64"]
    berth("manifest", "create", "app", amd_name, arm_name).ok()
    destination = f"{registry.address}/{repo}/list:1"
    berth("manifest", "push", "-q", *registry.flags, "app", destination).ok()
    kind, found, body = registry.manifest(f"{repo}/list:1")
    assert kind == kit.INDEX and [d["digest"] for d in json.loads(body)["manifests"]] == [amd.digest, arm.digest]
    for image, arch in ((amd, "amd64"), (arm, "arm64")):
        seen = json.loads(inspect(registry, f"{repo}/list:1", f"--override-arch={arch}"))
        assert seen["Architecture"] == arch and seen["Env"] == image.config["config"]["Env"]
    assert berth.json("manifest", "inspect", *registry.flags, f"docker://{destination}") == json.loads(body)
    assert kit.sh("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{destination}").stdout == body.decode()
    berth("manifest", "push", "-q", "--rm", *registry.flags, "app", destination).ok()
    assert berth("manifest", "exists", "app").code == 1
    berth.check()


def test_list_of_what_is_not_here(berth, registry, repo, index):
    registry.push(index, f"{repo}:1")
    berth("manifest", "create", "--all", *registry.flags, "app", f"docker://{registry.address}/{repo}:1").ok()
    assert [d["digest"] for d in entries(berth, "app")] == [i.digest for i in index.below]


def test_inspect_pulls_nothing(berth, registry, repo, image):
    registry.push(image, f"{repo}:1")
    assert berth.json("manifest", "inspect", *registry.flags, f"{registry.address}/{repo}:1") == image.manifest
    assert berth("manifest", "inspect", "--raw", *registry.flags, f"{registry.address}/{repo}:1").ok().out == \
        image.body.decode()
    assert not berth.layers() and not berth.blobs()


@pytest.mark.parametrize("argv, said", [
    (["add", "{image}", "{image}"], "is an image, no manifest list"),
    (["annotate", "app"], "--index"),
    (["annotate", "--arch=x", "app", "nothing"], "is not in the manifest list"),
    (["add", "--annotation=x", "app", "{image}"], "KEY=VALUE"),
    (["create", "a@sha256:0"], "a@sha256:0"),
])
def test_list_usage(berth, registry, repo, parts, argv, said):
    berth("manifest", "create", "app").ok()
    assert said in berth("manifest", *(a.format(image=parts["amd64"][1]) for a in argv)).failed().err
