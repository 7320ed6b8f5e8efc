"""The kit itself: what the other tests build on is what it says it is, judged by other programs."""

import http.client
import json
import socket
import subprocess
import tarfile
import io
import time

import kit
import pytest

pytestmark = pytest.mark.fast


def layers():
    return [kit.Layer([kit.dir("a", uid=7), kit.file("a/b", "text", 0o4755), kit.symlink("a/c", "b")]),
            kit.Layer([kit.hardlink("d", "a/b"), kit.whiteout("a/c")], "zstd"),
            kit.Layer([kit.fifo("p"), kit.char("n", 1, 3), kit.file("x" * 300, "long")], "none")]


def test_tar_is_read_by_others():
    entries = [kit.file("deep/" * 40 + "f", "1", xattrs={"user.x": "y"}), kit.file("big", uid=1 << 30),
               kit.file("time", mtime=1.5), kit.symlink("l" * 90, "t" * 150),
               kit.file("/".join(["n" * 50] * 5), "2"), kit.file("n" * 200), kit.file("/".join(["n" * 120] * 2))]
    found = tarfile.open(fileobj=io.BytesIO(kit.tar(entries)))
    assert [m.name for m in found] == [e.name for e in entries]
    members = {m.name: m for m in found.getmembers()}
    assert members["deep/" * 40 + "f"].pax_headers["SCHILY.xattr.user.x"] == "y"
    assert members["big"].uid == 1 << 30
    assert members["time"].mtime == 1.5
    assert members["l" * 90].linkname == "t" * 150


@pytest.mark.needs("program:skopeo")
@pytest.mark.parametrize("docker", [False, True])
def test_push_and_read_back_by_skopeo(registry, repo, tmp_path, docker):
    image = kit.Image(layers()[:1] if docker else layers(), {"Cmd": ["x"]}, docker=docker)
    ref = registry.push(image, f"{repo}:1")
    out = kit.sh("skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{ref}").stdout
    assert out.encode() == image.body
    kit.sh("skopeo", "copy", "-q", "--preserve-digests", "--src-tls-verify=false", f"docker://{ref}",
           f"{'dir' if docker else 'oci'}:{tmp_path}/copy{'' if docker else ':1'}")


@pytest.mark.needs("program:skopeo", "program:umoci")
def test_layout_is_taken_by_skopeo_and_umoci(registry, repo, tmp_path):
    image = kit.Image(layers()[:1], {"Cmd": ["x"]})
    layout = image.layout(tmp_path / "layout", "1")
    kit.skopeo_push(layout, "1", f"{registry.address}/{repo}:1", "--dest-tls-verify=false")
    assert registry.manifest(f"{repo}:1")[1] == image.digest
    kit.sh("umoci", "raw", "unpack", "--image", f"{layout}:1", tmp_path / "rootfs")
    found = kit.tree(tmp_path / "rootfs")
    assert found["a/b"]["mode"] == "-rwsr-xr-x" and found["a"]["owner"] == (7, 0) and found["a/c"]["link"] == "b"


def test_index_artifact_and_referrer(registry, repo):
    parts = [kit.Image([[kit.file("f", p)]], platform=p) for p in ("linux/amd64", "linux/arm/v7")]
    index = kit.Index(parts)
    registry.push(index, f"{repo}:multi")
    registry.push(kit.Artifact("data", subject=parts[0]), f"{repo}:art")
    kind, digest, body = registry.manifest(f"{repo}:multi")
    assert (kind, digest) == (kit.INDEX, index.digest)
    assert json.loads(body)["manifests"][1]["platform"]["variant"] == "v7"
    assert sorted(registry.tags(repo)) == ["art", "multi"]


def test_tls_and_passwords(tls_registry, auth_registry, repo, authority):
    image = kit.Image([[kit.file("f")]])
    kit.sh("curl", "-sSf", "--cacert", authority.ca, f"https://{tls_registry.address}/v2/") if kit.shutil.which(
        "curl") else None
    tls_registry.push(image, f"{repo}:1")
    auth_registry.push(image, f"{repo}:1")
    stranger = kit.Client(auth_registry.address)
    status, headers, _ = stranger.http("GET", "/v2/")
    assert status == 401 and headers["WWW-Authenticate"].startswith("Basic")


class TestProxy:
    @pytest.fixture
    def image(self, registry, repo):
        self.image = kit.Image([kit.Layer([kit.file("f", bytes(range(256)) * 400)], "none")])
        registry.push(self.image, f"{repo}:1")
        self.path = f"/v2/{repo}/blobs/{self.image.layers[0].digest}"
        return self.image

    def get(self, proxy, **headers):
        return kit.Client(proxy.address).http("GET", self.path, headers=headers)

    def test_passes_and_records(self, proxy, image, repo):
        assert self.get(proxy)[2] == image.layers[0].blob
        status, headers, body = self.get(proxy, Range="bytes=100-")
        assert (status, body) == (206, image.layers[0].blob[100:])
        assert proxy.count("GET", "/blobs/") == 2
        assert proxy.found("GET")[1].headers["range"] == "bytes=100-"
        assert kit.eventually(lambda: proxy.bytes_of("/blobs/") == 2 * len(image.layers[0].blob) - 100)
        client = kit.Client(proxy.address)
        client.push(kit.Image([[kit.file("g")]]), f"{repo}:through")  # uploads pass too

    def test_status_times_skip(self, proxy, image):
        proxy.fault("GET", "/blobs/", times=2, skip=1, status=429, headers={"Retry-After": "1"})
        assert [self.get(proxy)[0] for _ in range(4)] == [200, 429, 429, 200]

    def test_ranges(self, proxy, image):
        proxy.fault("GET", "/blobs/", times=1, ignore_range=True)
        proxy.fault("GET", "/blobs/", times=1, content_range="bytes 5-9/10")
        assert self.get(proxy, Range="bytes=100-")[0] == 200
        status, headers, body = self.get(proxy, Range="bytes=100-")
        assert (status, headers["Content-Range"]) == (206, "bytes 5-9/10")

    def test_bodies_end_early(self, proxy, image):
        proxy.fault("GET", "/blobs/", times=1, truncate_after=70000)
        with pytest.raises(http.client.IncompleteRead) as e:
            self.get(proxy)
        assert len(e.value.partial) == 70000
        proxy.fault("GET", "/blobs/", times=1, reset_after=70000)
        with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
            self.get(proxy)
        proxy.fault("GET", "/blobs/", times=1, corrupt_at=70001)
        body = self.get(proxy)[2]
        assert [i for i, (a, b) in enumerate(zip(body, image.layers[0].blob)) if a != b] == [70001]
        proxy.fault("GET", "/blobs/", times=1, close_before=True)
        with pytest.raises(http.client.RemoteDisconnected):
            self.get(proxy)

    def test_stalls(self, proxy, image):
        proxy.fault("GET", "/blobs/", times=1, stall_after=1000, stall_s=0.5)
        start = time.monotonic()
        assert self.get(proxy)[2] == image.layers[0].blob
        assert time.monotonic() - start >= 0.5

    def test_headers_and_redirects(self, proxy, image, registry):
        proxy.fault("HEAD", "/manifests/", drop=["docker-content-digest"])
        headers = kit.Client(proxy.address).http("HEAD", self.path.split("/blobs")[0] + "/manifests/1")[1]
        assert "Docker-Content-Digest" not in headers
        proxy.fault("GET", "/blobs/", redirect=f"http://{registry.address}{{path}}")
        status, headers, _ = self.get(proxy)
        assert (status, headers["Location"]) == (307, f"http://{registry.address}{self.path}")


def test_fake_serves_nonsense(fake):
    image = kit.Image([[kit.file("f", "x" * 1000)]])
    image.manifest["layers"][0]["size"] = -1
    fake.add(image, "a/b:1")
    fake.blobs[image.layers[0].digest] = b"something else"
    client = kit.Client(fake.address)
    assert client.manifest("a/b:1")[2] == image.body
    assert client.blob("a/b", image.layers[0].digest) == b"something else"
    assert client.http("GET", f"/v2/a/b/blobs/{image.layers[0].digest}", headers={"Range": "bytes=10-"})[2] == b"else"
    assert client.http("GET", f"/v2/a/b/blobs/{image.layers[0].digest}", headers={"Range": "bytes=99-"})[0] == 416
    assert client.http("GET", "/v2/a/b/manifests/2")[0] == 404


def test_watch_sees_what_is_left(base, disk, watch):
    assert watch.leaks(0) == []
    left = subprocess.Popen(["sleep", "100"])
    assert any("sleep" in l for l in watch.leaks(0))
    left.kill()
    left.wait()
    small = disk(32)
    assert len(watch.leaks(0)) == 2  # a mount and a loop device
    (small.path / "f").write_bytes(b"durable")
    kit.sh("sync", "-f", small.path / "f")
    copy = small.snapshot(base / "copy")
    copy.mount()
    assert (copy.path / "f").read_bytes() == b"durable"
    copy.destroy()


def test_wire_is_tls(tls_registry):
    with socket.create_connection(("127.0.0.1", tls_registry.port)) as s:
        s.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.0 400")
