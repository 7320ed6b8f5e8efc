"""berth-fetch as it uploads: against docker-registry, against one that is strict, over a wire that
breaks."""

import hashlib
import json
import os
import random
import threading

import kit
import pytest
from fetching import HELPER, Failed, Fetch
from taking import Taker, Wire

pytestmark = pytest.mark.skipif(not HELPER, reason="berth-fetch is not built: it needs libcurl")
SIZE = 3_000_000


def noise(n, seed=1):
    return random.Random(seed).randbytes(n)


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def pushing(server, repo, **options):
    return Fetch(server.address, repo, push=True, **{"retry_delay_ms": 10, "retries": 3, **options})


@pytest.fixture
def takers():
    made = []

    def make(**kw):
        made.append(Taker(**kw))
        return made[-1]

    yield make
    for t in made:
        t.stop()


def upload_file(f, data, name=None, size=None):
    fd = os.memfd_create("blob")
    try:
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        return f.call("upload", [fd], digest=name or digest(data), size=len(data) if size is None else size)
    finally:
        os.close(fd)


def upload_pipe(f, data, name=None, size=0):
    r, w = os.pipe()
    id = f.start("upload", [r], digest=name or digest(data), size=size)
    os.close(r)

    def write():
        try:
            with os.fdopen(w, "wb") as out:
                out.write(data)
        except BrokenPipeError:
            pass

    writer = threading.Thread(target=write)
    writer.start()
    try:
        return f.wait(id)
    finally:
        f.close() if not f.answered(id) else None
        writer.join(20)


# ---- the real one ----


@pytest.mark.fast
@pytest.mark.parametrize("how", [upload_file, upload_pipe])
@pytest.mark.parametrize("size", [0, 1, 70_000, 9_000_000])
def test_docker_registry_takes_it(registry, repo, how, size):
    data = noise(size)
    with pushing(registry, repo) as f:
        assert not f.call("blob-exists", digest=digest(data))["exists"]
        how(f, data)
        assert f.call("blob-exists", digest=digest(data))["exists"]
    assert registry.blob(repo, digest(data)) == data


@pytest.mark.parametrize("cut_after", [100_000, 2_000_000])
def test_wire_breaks_before_docker_registry(registry, repo, cut_after):
    data = noise(SIZE)
    wire = Wire(registry.address, cut_after)
    try:
        with pushing(wire, repo) as f:
            upload_file(f, data)
        assert wire.cuts == 1
        assert registry.blob(repo, digest(data)) == data
    finally:
        wire.stop()


def test_docker_registry_mounts(registry, repo):
    data = noise(70_000, 5)
    other = repo + "/from"
    with pushing(registry, other) as f:
        upload_file(f, data)
    with pushing(registry, repo, mount_from=[other]) as f:
        assert f.call("mount", digest=digest(data), **{"from": other})["mounted"]
        assert f.call("blob-exists", digest=digest(data))["exists"]
        assert not f.call("mount", digest=digest(b"none"), **{"from": other})["mounted"]


def test_wrong_digest_is_refused(registry, repo):
    with pushing(registry, repo) as f:
        with pytest.raises(Failed, match="digest"):
            upload_file(f, b"these bytes", digest(b"others"))
        assert not f.call("blob-exists", digest=digest(b"others"))["exists"]


# ---- a strict one ----


def test_monolithic(takers, repo):
    taker = takers()
    data = noise(SIZE)
    with pushing(taker, repo) as f:
        upload_file(f, data)
    assert taker.blobs[digest(data)] == data
    assert taker.count("POST") == 1 and taker.count("PUT") == 1 and not taker.count("PATCH")


def test_goes_on_where_it_broke_off(takers, repo):
    taker = takers()
    taker.lose = 1_234_567
    data = noise(SIZE)
    with pushing(taker, repo) as f:
        upload_file(f, data)
    assert taker.blobs[digest(data)] == data
    puts = taker.found("PUT")
    assert [p.body_size for p in puts] == [SIZE, SIZE - 1_234_567]
    assert puts[1].headers["Content-Range"] == f"1234567-{SIZE - 1}"
    assert taker.count("POST") == 1


def test_starts_over_where_the_upload_is_forgotten(takers, repo):
    taker = takers()
    taker.lose, taker.forget = 1000, True
    data = noise(SIZE)
    with pushing(taker, repo) as f:
        upload_file(f, data)
    assert taker.blobs[digest(data)] == data
    assert taker.count("POST") == 2


def test_server_errors_are_tried_again(takers, repo):
    taker = takers()
    fault = taker.fault("PUT", "/blobs/uploads/", times=2, status=503)
    with pushing(taker, repo) as f:
        upload_file(f, b"abc")
    assert fault.used == 2 and taker.blobs[digest(b"abc")] == b"abc"


def test_given_up_uploads_are_deleted(takers, repo):
    taker = takers()
    taker.fault("PUT", "/blobs/uploads/", status=400)
    with pushing(taker, repo) as f:
        with pytest.raises(Failed, match="400"):
            upload_file(f, b"abc")
    assert taker.deleted == [b""] and not taker.sessions


def test_wrong_digest_leaves_nothing(takers, repo):
    taker = takers()
    with pushing(taker, repo) as f:
        with pytest.raises(Failed, match="digest_invalid"):
            upload_file(f, b"these bytes", digest(b"others"))
    assert taker.deleted == [b"these bytes"] and not taker.sessions and not taker.blobs


def test_tries_end(takers, repo):
    taker = takers()
    fault = taker.fault("PUT", "/blobs/uploads/", status=500)
    with pushing(taker, repo) as f:
        with pytest.raises(Failed, match="500"):
            upload_file(f, b"abc")
    assert fault.used == 4


def test_file_too_short(takers, repo):
    with pushing(takers(), repo) as f:
        with pytest.raises(Failed, match="too short"):
            upload_file(f, b"abc", size=4)


# ---- chunks ----


def test_chunks(takers, repo):
    taker = takers()
    data = noise(9_000_000)
    with pushing(taker, repo) as f:
        upload_pipe(f, data)
    assert taker.blobs[digest(data)] == data
    sizes = [p.body_size for p in taker.found("PATCH")]
    assert sum(sizes) == len(data) and max(sizes) <= 4 << 20
    at = 0
    for patch in taker.found("PATCH"):
        assert patch.headers["Content-Range"] == f"{at}-{at + patch.body_size - 1}"
        at += patch.body_size
    assert [p.body_size for p in taker.found("PUT")] == [0]


def test_chunks_are_as_large_as_asked(takers, repo):
    taker = takers(chunk_min=5_000_000)
    data = noise(12_000_000)
    with pushing(taker, repo) as f:
        upload_pipe(f, data)
    assert [p.body_size for p in taker.found("PATCH")] == [5_000_000, 5_000_000, 2_000_000]
    assert taker.blobs[digest(data)] == data


def test_chunk_goes_on_where_it_broke_off(takers, repo):
    taker = takers()
    taker.lose = 1_000_000
    data = noise(6_000_000)
    with pushing(taker, repo) as f:
        upload_pipe(f, data, size=len(data))
    assert taker.blobs[digest(data)] == data
    assert taker.found("PATCH")[1].headers["Content-Range"] == f"1000000-{(4 << 20) - 1}"


def test_416_is_followed_by_a_question(takers, repo):
    taker = takers()
    fault = taker.fault("PATCH", "", times=1, status=416)
    with pushing(taker, repo) as f:
        upload_pipe(f, b"abc" * 1000)
    assert fault.used == 1 and taker.count("GET", "/uploads/") == 1
    assert taker.blobs[digest(b"abc" * 1000)]


def test_pipe_can_not_start_over(takers, repo):
    taker = takers()
    taker.lose, taker.forget = 1000, True
    with pushing(taker, repo) as f:
        with pytest.raises(Failed, match="lost the upload"):
            upload_pipe(f, noise(100_000))
        assert not taker.blobs


def test_pipe_of_another_size(takers, repo):
    taker = takers()
    with pushing(taker, repo) as f:
        with pytest.raises(Failed, match="has 3 bytes, not 4"):
            upload_pipe(f, b"abc", size=4)
    assert taker.deleted == [b"abc"]


# ---- mounts, locations ----


def test_refused_mount_leads_to_the_upload(takers, repo):
    taker = takers()
    with pushing(taker, repo, mount_from=["a/b"]) as f:
        assert not f.call("mount", digest=digest(b"abc"), **{"from": "a/b"})["mounted"]
        upload_file(f, b"abc")
    assert taker.blobs[digest(b"abc")] == b"abc"
    assert taker.count("POST") == 1  # the upload that was opened instead was used


@pytest.mark.parametrize("location", ["/v2/{name}/blobs/uploads/{id}", "{id}?_state=a%2Fb&x=", "./{id}"])
def test_relative_locations(takers, repo, location):
    taker = takers(location=location)
    with pushing(taker, repo) as f:
        upload_file(f, b"abc")
        upload_pipe(f, b"abcd")
    assert taker.finished == [digest(b"abc"), digest(b"abcd")]


def test_location_elsewhere_gets_no_credentials(takers, repo):
    one, other = takers(), takers()
    other.sessions["far"] = b""
    one.location = f"http://{other.address}/v2/x/blobs/uploads/far"
    one.fault("POST", "", times=1, status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    with pushing(one, repo, creds="me:secret") as f:
        upload_file(f, b"abc")
    assert other.finished == [digest(b"abc")]
    assert one.found("POST")[-1].headers["Authorization"]
    assert not other.found("PUT")[0].headers["Authorization"]


def test_upload_without_location(takers, repo):
    taker = takers()
    taker.fault("POST", "", status=202)
    with pushing(taker, repo) as f:
        with pytest.raises(Failed, match="without a Location"):
            upload_file(f, b"abc")


# ---- manifests ----


def put(f, sealed, reference, body=None):
    fd = os.memfd_create("manifest")
    try:
        os.write(fd, body or sealed.body)
        return f.call("put-manifest", [fd], reference=reference, media_type=sealed.media_type,
                      size=len(body or sealed.body))
    finally:
        os.close(fd)


@pytest.fixture
def image():
    return kit.Image([kit.Layer([kit.file("a", b"hello")])])


def artifact(image, kind="application/x-signature", **more):
    made = kit.Image([])
    made.manifest["subject"] = image.descriptor()
    made.manifest["artifactType"] = kind
    made.manifest.update(more)
    return made


@pytest.mark.fast
def test_manifest_bytes_arrive_as_they_are(registry, repo, image):
    image.text = json.dumps(image.manifest, indent=7) + "\n\n"
    with pushing(registry, repo) as f:
        for data in image.all_blobs().values():
            upload_file(f, data)
        assert put(f, image, "1")["digest"] == image.digest
        assert put(f, image, image.digest)["digest"] == image.digest
        with pytest.raises(Failed, match="digest"):
            put(f, image, digest(b"else"))
        with pytest.raises(Failed, match="neither a tag nor"):
            put(f, image, "a b")
    assert registry.manifest(f"{repo}:1")[1:] == (image.digest, image.body)


def test_manifest_whose_blobs_are_missing(registry, repo, image):
    with pushing(registry, repo) as f:
        with pytest.raises(Failed, match="(?i)blob"):
            put(f, image, "1")


def test_referrers_are_listed_by_hand(registry, repo, image):
    """docker-registry 2.8 has no referrers API: the tag is what other clients look at."""
    registry.push(image, f"{repo}:1")
    one, two = artifact(image, annotations={"a": "b"}), artifact(image, "application/x-sbom")
    with pushing(registry, repo) as f:
        for made in (one, two, one):
            for data in made.all_blobs().values():
                upload_file(f, data)
            put(f, made, made.digest)
        listed = f.call("referrers", digest=image.digest)
    tag = image.digest.replace(":", "-")
    kind, _, body = registry.manifest(f"{repo}:{tag}")
    index = json.loads(body)
    assert kind == kit.INDEX and index["mediaType"] == kit.INDEX
    assert index["manifests"] == [
        {"mediaType": kit.MANIFEST, "digest": one.digest, "size": len(one.body),
         "artifactType": "application/x-signature", "annotations": {"a": "b"}},
        {"mediaType": kit.MANIFEST, "digest": two.digest, "size": len(two.body),
         "artifactType": "application/x-sbom"}]
    assert [d["digest"] for d in json.loads(listed["data"])["manifests"]] == [one.digest, two.digest]


def test_referrers_are_left_to_who_lists_them(takers, repo, image):
    taker = takers(referrers_kept=True)
    made = artifact(image)
    with pushing(taker, repo) as f:
        put(f, made, made.digest)
    assert taker.count("PUT") == 1 and not taker.count("GET", "sha256-")


def test_referrers_tag_that_is_something_else(takers, repo, image):
    taker = takers()
    tag = image.digest.replace(":", "-")
    taker.manifests[repo, tag] = (image.media_type, image.body, {})
    made = artifact(image)
    with pushing(taker, repo) as f:
        with pytest.raises(Failed, match="holds no index"):
            put(f, made, made.digest)
    assert taker.manifests[repo, tag][1] == image.body


def test_delete(registry, repo, image):
    registry.push(image, f"{repo}:1")
    with pushing(registry, repo) as f:
        f.call("delete-manifest", digest=image.digest)
        with pytest.raises(Failed):
            f.manifest(image.digest)
