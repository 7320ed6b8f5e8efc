"""berth-fetch against real registries and against ones that misbehave, over its own socket."""

import base64
import email.utils
import hashlib
import json
import os
import random
import re
import ssl
import time
import urllib.parse

import kit
import pytest
from fetching import HELPER, Failed, Fetch

pytestmark = pytest.mark.skipif(not HELPER, reason="berth-fetch is not built: it needs libcurl")
QUICK = {"retry_delay_ms": 10}


def noise(n, seed=1):
    return random.Random(seed).randbytes(n)


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def image():
    return kit.Image([kit.Layer([kit.file("a", b"hello")])])


@pytest.fixture
def big(fake):
    """A blob of 3 MB at the fake registry: (digest, bytes)."""
    data = noise(3_000_000)
    fake.blobs[digest(data)] = data
    return digest(data), data


def blob_gets(server):
    return server.found("GET", "/blobs/")


# ---- what works ----


@pytest.mark.fast
def test_manifest_by_tag_and_by_digest(registry, repo, image):
    registry.push(image, f"{repo}:1")
    with Fetch(registry.address, repo) as f:
        found = f.manifest("1")
        assert found["data"] == image.body and found["digest"] == image.digest
        assert found["content_type"] == image.media_type
        assert f.manifest(image.digest)["data"] == image.body
        head = f.manifest("1", head=True)
        assert head["digest"] == image.digest and "data" not in head


def test_manifest_media_types(registry, repo):
    docker = kit.Image([kit.Layer([kit.file("a")])], docker=True)
    index = kit.Index([kit.Image([kit.Layer([kit.file("b")])])])
    registry.push(docker, f"{repo}:docker")
    registry.push(index, f"{repo}:index")
    with Fetch(registry.address, repo) as f:
        assert f.manifest("docker")["content_type"] == docker.media_type
        assert f.manifest("index")["content_type"] == index.media_type


def test_content_type_parameters_are_left_out(fake, image):
    fake.add(image, "a/b:1")
    fake.fault("GET", "/manifests/", headers={"Content-Type": image.media_type + "; charset=utf-8"})
    with Fetch(fake.address, "a/b") as f:
        assert f.manifest("1")["content_type"] == image.media_type


def test_accepts_all_kinds_and_says_who_asks(fake, image):
    fake.add(image, "a/b:1")
    with Fetch(fake.address, "a/b") as f:
        f.manifest("1")
    headers = fake.found("GET", "/manifests/")[0].headers
    for kind in (kit.MANIFEST, kit.INDEX, kit.DOCKER_MANIFEST, kit.DOCKER_LIST):
        assert kind in headers["Accept"]
    assert re.fullmatch(r"berth/\d+\.\d+.*", headers["User-Agent"])
    assert "Authorization" not in headers


@pytest.mark.fast
def test_blobs(registry, repo, image):
    registry.push(image, f"{repo}:1")
    blobs = image.all_blobs()
    with Fetch(registry.address, repo) as f:
        for name, data in blobs.items():
            assert f.call("small-blob", digest=name, size=len(data))["data"] == data
            assert f.blob(name, len(data))[0] == data
            assert f.blob(name, len(data), offset=3)[0] == data[3:]
            assert f.blob(name, len(data), offset=len(data))[0] == b""


def test_progress_is_told(fake, big):
    name, data = big
    with Fetch(fake.address, "a/b") as f:
        assert f.blob(name, len(data))[0] == data
        told = [m["bytes"] for m in f.events if m["event"] == "progress"]
    assert told == sorted(told) and told[-1] == len(data)


def test_empty_blob_asks_nobody(fake):
    with Fetch(fake.address, "a/b") as f:
        assert f.blob(digest(b""), 0)[0] == b""
    assert not fake.requests


def test_login_and_tags(registry, repo, image):
    for tag in ("1", "2", "latest"):
        registry.push(image, f"{repo}:{tag}")
    with Fetch(registry.address, repo) as f:
        f.call("login")
        assert sorted(json.loads(f.call("tags")["data"])) == ["1", "2", "latest"]


# ---- what is not there, and what is wrong ----


@pytest.mark.fast
def test_missing(registry, repo, image):
    registry.push(image, f"{repo}:1")
    with Fetch(registry.address, repo) as f:
        with pytest.raises(Failed, match="tag 'nope' does not exist in '.*" + repo) as e:
            f.manifest("nope")
        assert e.value.code == "not-found"
        with pytest.raises(Failed, match="does not exist"):
            f.manifest(digest(b"nothing"))
        with pytest.raises(Failed, match="does not exist"):
            f.blob(digest(b"nothing"), 7)
        assert f.manifest("1")["digest"] == image.digest


@pytest.mark.parametrize("reference", ["../../x", "a b", "sha256:abc", "sha256:" + "A" * 64, "", "a/b", "x" * 129])
def test_references_that_are_none(fake, reference):
    with Fetch(fake.address, "a/b") as f, pytest.raises(Failed, match="neither a tag nor a digest"):
        f.manifest(reference)
    assert not fake.requests


def test_manifest_with_other_content(fake, image):
    fake.add(image, "a/b:1")
    fake.manifests["a/b", image.digest] = (image.media_type, b"{}", {})
    with Fetch(fake.address, "a/b") as f, pytest.raises(Failed, match="not what was asked for"):
        f.manifest(image.digest)


def test_registry_that_names_another_digest(fake, image):
    fake.add(image, "a/b:1")
    fake.fault("GET", "/manifests/", headers={"Docker-Content-Digest": digest(b"other")})
    with Fetch(fake.address, "a/b") as f, pytest.raises(Failed, match="but the registry calls it"):
        f.manifest("1")


def test_head_without_digest_becomes_a_get(fake, image):
    fake.add(image, "a/b:1")
    fake.fault("*", "/manifests/", drop=["Docker-Content-Digest"])
    with Fetch(fake.address, "a/b") as f:
        assert f.manifest("1", head=True)["digest"] == image.digest
    assert fake.count("HEAD", "/manifests/") == 1 and fake.count("GET", "/manifests/") == 1


@pytest.mark.parametrize("length", [True, False])
def test_manifest_that_is_too_large(fake, length):
    body = b"{" + b" " * (5 << 20) + b"}"
    fake.manifests["a/b", "1"] = ("application/json", body, {})
    if not length:
        fake.fault("GET", "/manifests/", drop=["Content-Length"])
    with Fetch(fake.address, "a/b") as f, pytest.raises(Failed, match="larger than 4194304 bytes"):
        f.manifest("1")


def test_blob_longer_than_its_descriptor(fake, big):
    name, data = big
    with Fetch(fake.address, "a/b", **QUICK) as f:
        with pytest.raises(Failed, match="more bytes than its descriptor says"):
            f.blob(name, len(data) - 1)
        with pytest.raises(Failed, match="larger than|its descriptor says"):
            f.call("small-blob", digest=name, size=1000)
    assert len(blob_gets(fake)) == 2


def test_small_blob_with_other_content(fake):
    fake.blobs[digest(b"one")] = b"two"
    with Fetch(fake.address, "a/b") as f, pytest.raises(Failed, match="other content"):
        f.call("small-blob", digest=digest(b"one"), size=3)


def test_header_that_does_not_end(fake, image):
    fake.add(image, "a/b:1")
    fake.fault("GET", "/manifests/", headers={f"X-{i}": "y" * 8000 for i in range(60)})
    with Fetch(fake.address, "a/b", retries=0) as f, pytest.raises(Failed, match="header is too large"):
        f.manifest("1")


def test_words_of_strangers_are_cleaned(fake):
    body = json.dumps({"errors": [{"code": "DENIED", "message": "\x1b[31mred\nline" + "x" * 5000}]}).encode()
    fake.fault("GET", "/manifests/", status=403, body=body)
    with Fetch(fake.address, "a/b") as f, pytest.raises(Failed) as e:
        f.manifest("1")
    assert "\x1b" not in e.value.text and "\n" not in e.value.text and "red line" in e.value.text
    assert "status 403" in e.value.text and "berth login" in e.value.hint


@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"{", b'{"errors":{}}', b'{"errors":[7]}', b"[]"])
def test_errors_without_sense(fake, body):
    fake.fault("GET", "/manifests/", status=400, body=body)
    with Fetch(fake.address, "a/b") as f, pytest.raises(Failed, match="status 400"):
        f.manifest("1")


# ---- faults on the way ----


def hurt(fake, big, **fault):
    """Downloads a blob whose first request suffers; the requests."""
    name, data = big
    fake.fault("GET", "/blobs/", **{"times": 1, **fault})
    with Fetch(fake.address, "a/b", stall_s=1, **QUICK) as f:
        assert f.blob(name, len(data))[0] == data
        return blob_gets(fake), f.notes()


@pytest.mark.fast
@pytest.mark.parametrize("fault", ["reset_after", "truncate_after", "stall_after"])
def test_resume(fake, big, fault):
    requests, notes = hurt(fake, big, **{fault: 1_000_000})
    assert len(requests) == 2
    begin = int(re.fullmatch(r"bytes=(\d+)-", requests[1].headers["Range"])[1])
    # A reset may destroy what had arrived but was not read.
    assert 0 < begin <= 1_000_000 and (fault == "reset_after" or begin == 1_000_000)
    assert "trying again" in notes[0]


def test_resume_where_range_is_ignored(fake, big):
    fake.fault("GET", "/blobs/", times=1, truncate_after=1_000_000)
    requests, _ = hurt(fake, big, times=None, ignore_range=True)
    assert len(requests) == 2 and requests[1].sent == 3_000_000


@pytest.mark.parametrize("claim", ["bytes 5-2999999/3000000", "bytes 1000001-2999999/3000000",
                                   "bytes 1000000-2999999/4000000", "nonsense", "bytes */3000000"])
def test_wrong_content_range(fake, big, claim):
    """Bytes of which nobody knows where they belong are not used; it begins anew, without Range."""
    fake.fault("GET", "/blobs/", times=1, truncate_after=1_000_000)
    fake.fault("GET", "/blobs/", times=1, headers_match={"Range": "bytes"}, content_range=claim,
               body=noise(2_000_000, seed=2) if claim.startswith("bytes 5-") else None)
    name, data = big
    with Fetch(fake.address, "a/b", **QUICK) as f:
        got = f.blob(name, len(data))[0]
    if not claim.startswith("bytes 5-"):
        assert got == data
        assert "Range" not in blob_gets(fake)[2].headers
    else:  # an earlier beginning is plausible: what comes is what the server says; its reader checks the digest
        assert got[:1_000_000] == data[:1_000_000] and len(got) == len(data)


def test_416_begins_anew(fake, big):
    fake.fault("GET", "/blobs/", times=1, truncate_after=1_000_000)
    requests, _ = hurt(fake, big, headers_match={"Range": "bytes"}, status=416)
    assert len(requests) == 3 and "Range" not in requests[2].headers


def test_206_without_a_question(fake, big):
    name, data = big
    fake.fault("GET", "/blobs/", status=206, headers={"Content-Range": "bytes 10-20/3000000"}, body=b"x" * 11)
    with Fetch(fake.address, "a/b", **QUICK) as f, pytest.raises(Failed, match="another part"):
        f.blob(name, len(data))


@pytest.mark.fast
def test_retries_count_only_without_progress(fake, big):
    name, data = big
    fake.fault("GET", "/blobs/", truncate_after=200_000)
    with Fetch(fake.address, "a/b", retries=1, **QUICK) as f:
        assert f.blob(name, len(data))[0] == data
    assert len(blob_gets(fake)) == 15


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_server_errors_pass(fake, big, status):
    requests, notes = hurt(fake, big, times=2, status=status)
    assert len(requests) == 3 and f"status {status}" in notes[0]


def test_retries_end(fake, image):
    fake.add(image, "a/b:1")
    fake.fault("GET", "/manifests/", status=500)
    with Fetch(fake.address, "a/b", retries=2, **QUICK) as f, pytest.raises(Failed, match="status 500") as e:
        f.manifest("1")
    assert e.value.code == "unavailable" and fake.count("GET", "/manifests/") == 3


def test_no_retries_for_what_will_not_change(fake):
    for status in (400, 403, 404, 405):
        fake.clear()
        fake.fault("GET", "/manifests/", status=status)
        with Fetch(fake.address, "a/b", **QUICK) as f, pytest.raises(Failed):
            f.manifest("1")
        assert fake.count("GET", "/manifests/") == 1


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after(fake, image, form):
    fake.add(image, "a/b:1")
    begin = time.monotonic()
    value = "2" if form == "seconds" else email.utils.formatdate(time.time() + 3, usegmt=True)  # without its fraction
    fake.fault("GET", "/manifests/", times=1, status=429, headers={"Retry-After": value})
    with Fetch(fake.address, "a/b", **QUICK) as f:
        f.manifest("1")
    assert 1.9 < time.monotonic() - begin < 60


def test_retry_after_that_is_too_long(fake):
    said = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit"}]})
    fake.fault("GET", "/manifests/", status=429, headers={"Retry-After": "7200"}, body=said.encode())
    with Fetch(fake.address, "a/b") as f, pytest.raises(Failed, match="pull rate limit") as e:
        f.manifest("1")
    assert e.value.code == "limit" and "berth login" in e.value.hint
    assert fake.count("GET", "/manifests/") == 1


def test_connection_closed_without_a_word(fake, image):
    fake.add(image, "a/b:1")
    fake.fault("GET", "/manifests/", times=2, close_before=True)
    with Fetch(fake.address, "a/b", **QUICK) as f:
        assert f.manifest("1")["digest"] == image.digest


def test_nobody_there():
    port = kit.free_port()
    begin = time.monotonic()
    with Fetch(f"127.0.0.1:{port}", "a/b") as f, pytest.raises(Failed, match="Connection refused") as e:
        f.manifest("1")
    assert e.value.code == "unavailable" and time.monotonic() - begin < 6  # three tries would wait for 7 s
    with Fetch("no-such-host.invalid", "a/b") as f, pytest.raises(Failed, match="cannot be resolved") as e:
        f.manifest("1")
    assert e.value.hint


def test_reader_that_goes_away(fake, big):
    name, data = big
    with Fetch(fake.address, "a/b") as f:
        id, r = f.blob_start(name, len(data))
        os.read(r, 1000)
        os.close(r)
        with pytest.raises(Failed, match="nobody reads blob .*: broken pipe") as e:
            f.wait(id)
        assert e.value.sys == 32
        assert f.blob(name, len(data))[0] == data


# ---- pressure ----


def finish(f, id, r, want):
    got = []
    while part := os.read(r, 1 << 20):
        got.append(part)
    os.close(r)
    f.wait(id)
    assert b"".join(got) == want


@pytest.mark.parametrize("secure", [False, True])
def test_a_slow_reader_stops_nobody(registries, authority, secure):
    """A pipe that nobody reads pauses its own transfer, without a busy loop and without memory."""
    registry = registries(authority=authority if secure else None)
    large = noise(60_000_000)
    small = [noise(200_000, seed=n) for n in range(6)]
    for data in [large, *small]:
        registry.push_blob("a/b", digest(data), data)
    options = {"cert_dir": str(authority.certs_dir(registry.base / "c"))} if secure else {}
    with Fetch(registry.address, "a/b", **options) as f:
        id, r = f.blob_start(digest(large), len(large))
        for data in small:
            assert f.blob(digest(data), len(data))[0] == data
        before = f.cpu_s()
        time.sleep(1)
        assert f.cpu_s() - before <= 0.03
        assert int(f.status()["VmRSS"].split()[0]) < 20_000
        finish(f, id, r, large)


def test_many_at_once(registries, authority):
    registry = registries(authority=authority)
    blobs = [noise(1_500_000 + n, seed=n) for n in range(8)] + [noise(1000 + n, seed=n) for n in range(20)]
    for data in blobs:
        registry.push_blob("a/b", digest(data), data)
    with Fetch(registry.address, "a/b", cert_dir=str(authority.certs_dir(registry.base / "c"))) as f:
        started = [(data, *f.blob_start(digest(data), len(data))) for data in blobs]
        for data, id, r in started:
            finish(f, id, r, data)


def test_a_second_blob_meanwhile_keeps_its_pace(fake, big):
    name, data = big
    stalled = fake.fault("GET", "/blobs/", times=1, stall_after=500_000)
    with Fetch(fake.address, "a/b") as f:
        id, r = f.blob_start(name, len(data))
        assert kit.eventually(lambda: stalled.used)
        assert f.blob(name, len(data))[0] == data
        assert fake.found("GET", "/blobs/")[0].sent == 500_000
        stalled.stall_s = 0
        finish(f, id, r, data)


# ---- redirects ----


@pytest.fixture
def other():
    found = kit.Fake()
    yield found
    found.stop()


def with_password(fake):
    """Asks for Basic credentials on every path."""
    def call(x):
        if x.headers.get("Authorization"):
            return False
        x.send_whole(401, {"WWW-Authenticate": 'Basic realm="x"', "Content-Length": "0"}, b"")
        return True

    fake.fault("*", "", call=call)


@pytest.mark.fast
def test_redirect_elsewhere_without_credentials(fake, other, big):
    name, data = big
    other.blobs[name] = data
    basic = {"Authorization": "Basic"}
    fake.fault("GET", "/blobs/", redirect=other.url + "{path}?signature=a%2Bb", headers_match=basic)
    with_password(fake)
    other.fault("GET", "/blobs/", times=1, truncate_after=1_000_000)
    with Fetch(fake.address, "a/b", creds="alice:secret", **QUICK) as f:
        assert f.blob(name, len(data))[0] == data
    assert all("Authorization" not in r.headers and "secret" not in str(r.headers) for r in other.requests)
    assert [r.path.partition("?")[2] for r in other.requests] == ["signature=a%2Bb"] * 2
    # Each attempt asks the registry again: the place that it names may be good for a while only.
    assert len([r for r in blob_gets(fake) if r.headers.get("Authorization")]) == 2


def test_redirect_at_home_with_credentials(fake, big):
    name, data = big
    fake.fault("GET", "/elsewhere/", redirect="/v2/a/b/blobs/" + name)
    fake.fault("GET", "/v2/x/y/blobs/", headers_match={"Authorization": "Basic"}, redirect="/elsewhere/{path}")
    with_password(fake)
    with Fetch(fake.address, "x/y", creds="alice:secret") as f:
        assert f.blob(name, len(data))[0] == data
    assert fake.requests[-1].headers["Authorization"].startswith("Basic ")


def test_redirect_to_another_port_is_elsewhere(fake, other, image):
    other.add(image, "a/b:1")
    fake.fault("GET", "/manifests/", headers_match={"Authorization": "Basic"}, redirect=other.url + "{path}")
    with_password(fake)
    with Fetch(fake.address, "a/b", creds="alice:secret") as f:
        assert f.manifest("1")["digest"] == image.digest
    assert "Authorization" not in other.requests[0].headers


def test_circle_of_redirects(fake, big):
    fake.fault("GET", "/blobs/", redirect="{path}")
    with Fetch(fake.address, "a/b") as f, pytest.raises(Failed, match="more than 10 times"):
        f.blob(big[0], len(big[1]))
    assert len(blob_gets(fake)) == 11


@pytest.mark.parametrize("where", ["file:///etc/passwd", "gopher://127.0.0.1/", "http://", "//:99999/", "http://a b:c/"])
def test_redirects_to_nowhere(fake, big, where):
    fake.fault("GET", "/blobs/", redirect=where)
    with Fetch(fake.address, "a/b", retries=0) as f, pytest.raises(Failed):
        f.blob(big[0], len(big[1]))


def test_redirect_with_a_password_in_it(fake, other, big):
    name, data = big
    other.blobs[name] = data
    fake.fault("GET", "/blobs/", redirect=f"http://eve:word@{other.address}" + "{path}")
    with Fetch(fake.address, "a/b") as f:
        assert f.blob(name, len(data))[0] == data
    assert "Authorization" not in other.requests[0].headers


def test_layers_from_elsewhere(fake, other):
    """A layer that the registry may not pass on: its descriptor says where it is."""
    data = noise(100_000)
    other.blobs[digest(data)] = data
    with_password(fake)
    with Fetch(fake.address, "a/b", creds="alice:secret", **QUICK) as f:
        r, w = os.pipe()
        urls = [f"{other.url}/v2/nothing", f"{other.url}/v2/x/y/blobs/{digest(data)}"]
        id = f.start("blob", [w], digest=digest(data), size=len(data), offset=0, urls=urls)
        os.close(w)
        finish(f, id, r, data)
    assert [r.path for r in other.requests] == [u.removeprefix(other.url) for u in urls]
    assert all("Authorization" not in r.headers for r in other.requests)


def test_own_headers_stay_at_home(fake, other, big, tmp_path):
    """Those of hosts.toml may hold secrets."""
    name, data = big
    other.blobs[name] = data
    fake.fault("GET", "/blobs/", redirect=other.url + "{path}")
    directory = tmp_path / "root/etc/berth/certs.d/example.test"
    directory.mkdir(parents=True)
    (directory / "hosts.toml").write_text(f'[host."{fake.url}"]\n[host."{fake.url}".header]\nX-Secret = "word"\n')
    with Fetch("example.test", "a/b", root=str(tmp_path / "root")) as f:
        assert f.blob(name, len(data))[0] == data
    assert fake.requests[0].headers["X-Secret"] == "word"
    assert "X-Secret" not in other.requests[0].headers


@pytest.fixture
def secure_fake(authority):
    cert, key = authority.issue("fake")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    found = kit.Fake(context=context)
    yield found
    found.stop()


def test_no_redirect_from_https_to_http(secure_fake, other, authority, big, tmp_path):
    name, data = big
    other.blobs[name] = data
    secure_fake.fault("GET", "/blobs/", redirect=other.url + "{path}")
    with Fetch(secure_fake.address, "a/b", tls_verify=1, cert_dir=str(authority.certs_dir(tmp_path / "c"))) as f:
        with pytest.raises(Failed, match="from https to http"):
            f.blob(name, len(data))
    assert not other.requests
    with Fetch(secure_fake.address, "a/b", tls_verify=0) as f:
        assert f.blob(name, len(data))[0] == data


# ---- TLS ----


@pytest.mark.fast
def test_private_authority(tls_registry, authority, repo, image, tmp_path):
    tls_registry.push(image, f"{repo}:1")
    with Fetch(tls_registry.address, repo, tls_verify=1, cert_dir=str(authority.certs_dir(tmp_path / "c"))) as f:
        assert f.manifest("1")["digest"] == image.digest
    with Fetch(tls_registry.address, repo, tls_verify=1) as f, pytest.raises(Failed, match="cannot be trusted") as e:
        f.manifest("1")
    assert "certs.d" in e.value.hint and "--tls-verify=false" in e.value.hint
    with Fetch(tls_registry.address, repo, tls_verify=0) as f:
        assert f.manifest("1")["digest"] == image.digest
    with Fetch(tls_registry.address, repo) as f:  # a loopback address is insecure by default
        assert f.manifest("1")["digest"] == image.digest


def test_plain_registry_that_should_be_secure(registry, repo):
    with Fetch(registry.address, repo, tls_verify=1) as f, pytest.raises(Failed, match="does not speak TLS") as e:
        f.manifest("1")
    assert "--tls-verify=false" in e.value.hint


def test_client_certificate(registries, authority, image, tmp_path):
    registry = registries(authority=authority, client_ca=authority.ca)
    certs = authority.certs_dir(tmp_path / "c")
    with Fetch(registry.address, "a/b", cert_dir=str(certs), retries=0, tls_verify=1) as f, pytest.raises(Failed):
        f.manifest("1")
    cert, key = authority.issue("client", usage="clientAuth")
    (certs / "client.cert").write_bytes(cert.read_bytes())
    (certs / "client.key").write_bytes(key.read_bytes())
    with Fetch(registry.address, "a/b", cert_dir=str(certs), tls_verify=1) as f:
        with pytest.raises(Failed, match="does not exist"):
            f.manifest("1")


# ---- credentials ----


def test_password(auth_registry, repo):
    user, password = next(iter(auth_registry.users.items()))
    with Fetch(auth_registry.address, repo, creds=f"{user}:{password}") as f:
        f.call("login")
        with pytest.raises(Failed, match="does not exist"):
            f.manifest("1")
    with Fetch(auth_registry.address, repo, creds=f"{user}:wrong") as f:
        with pytest.raises(Failed, match="refused the user name or the password") as e:
            f.call("login")
        assert e.value.code == "denied" and "berth login" in e.value.hint
    with Fetch(auth_registry.address, repo) as f, pytest.raises(Failed, match="wants a user name") as e:
        f.manifest("1")
    assert "berth login" in e.value.hint


class Tokens:
    """A token server (distribution: docs/spec/auth/token) as part of a fake registry that asks for
    its tokens. Lives in faults: `attach(fake)`."""

    def __init__(self, users=None, expires=None, realm=None, identity=None):
        self.users, self.expires, self.realm, self.identity = users, expires, realm, identity
        self.good, self.asked, self.posted = set(), [], []
        self.challenge = None
        self.answer = None  # bytes, instead of a token

    def attach(self, fake):
        self.fake = fake
        fake.fault("*", "^/token", call=self.token)
        fake.fault("*", "^/v2/", call=self.guard)

    def guard(self, x):
        scheme, _, token = (x.headers.get("Authorization") or "").partition(" ")
        name = re.match(r"/v2/(.+?)/(?:manifests|blobs|tags)", x.path)
        want = f"repository:{name[1]}:pull" if name else ""
        if scheme == "Bearer" and token in self.good:
            return False
        field = self.challenge or (f'Bearer realm="{self.realm or self.fake.url + "/token"}",service="the, service"'
                                   + (f',scope="{want}"' if want else ""))
        x.send_whole(401, {"WWW-Authenticate": field, "Content-Length": "0"}, b"")
        return True

    def token(self, x):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(x.path).query)
        if x.command == "POST":
            form = urllib.parse.parse_qs(x.body.decode())
            self.posted.append(form)
            allowed = form.get("refresh_token") == [self.identity] and form["grant_type"] == ["refresh_token"]
        else:
            self.asked.append(query)
            sent = (x.headers.get("Authorization") or "").partition(" ")[2]
            allowed = not self.users or sent and tuple(base64.b64decode(sent).decode().split(":", 1)) in self.users
        if not allowed:
            body = json.dumps({"details": "incorrect username or password"}).encode()
            x.send_whole(401, {"Content-Length": str(len(body))}, body)
            return True
        token = f"t{len(self.good)}." + "x" * 2000
        self.good.add(token)
        answer = {"access_token" if x.command == "POST" else "token": token}
        if self.expires is not None:
            answer["expires_in"] = self.expires
        body = self.answer if self.answer is not None else json.dumps(answer).encode()
        x.send_whole(200, {"Content-Type": "application/json", "Content-Length": str(len(body))}, body)
        return True


@pytest.mark.fast
def test_token_anonymous(fake, image, big):
    fake.add(image, "a/b:1")
    tokens = Tokens()
    tokens.attach(fake)
    with Fetch(fake.address, "a/b") as f:
        f.manifest("1")
        for name, data in image.all_blobs().items():
            assert f.blob(name, len(data))[0] == data
    assert tokens.asked == [{"service": ["the, service"], "scope": ["repository:a/b:pull"]}]


def test_token_with_password(fake, image):
    fake.add(image, "a/b:1")
    tokens = Tokens(users={("alice", "p:w")})
    tokens.attach(fake)
    with Fetch(fake.address, "a/b", creds="alice:p:w") as f:
        f.manifest("1")
    assert tokens.asked[0]["account"] == ["alice"]
    with Fetch(fake.address, "a/b", creds="alice:wrong") as f:
        with pytest.raises(Failed, match="incorrect username or password") as e:
            f.manifest("1")
        assert e.value.code == "denied" and "berth login" in e.value.hint


def test_tokens_are_shared_by_who_waits(fake):
    tokens = Tokens()
    tokens.attach(fake)
    blobs = [noise(1000, seed=n) for n in range(8)]
    fake.blobs.update({digest(b): b for b in blobs})
    with Fetch(fake.address, "a/b") as f:
        for data, id, r in [(b, *f.blob_start(digest(b), len(b))) for b in blobs]:
            finish(f, id, r, data)
    assert len(tokens.asked) == 1


def test_token_that_is_refused_later(fake, image):
    fake.add(image, "a/b:1")
    tokens = Tokens(expires=3600)
    tokens.attach(fake)
    with Fetch(fake.address, "a/b") as f:
        f.manifest("1")
        tokens.good.clear()
        tokens.good.add("something else")
        f.manifest("1")
    assert len(tokens.asked) == 2


def test_token_that_never_helps(fake, image):
    fake.add(image, "a/b:1")
    tokens = Tokens()
    tokens.attach(fake)
    tokens.answer = b'{"token":"wrong"}'
    with Fetch(fake.address, "a/b") as f, pytest.raises(Failed, match="status 401") as e:
        f.manifest("1")
    assert e.value.code == "denied" and len(tokens.asked) < 4


def test_identity_token(fake, image, tmp_path):
    fake.add(image, "a/b:1")
    tokens = Tokens(identity="refresh me/+&")
    tokens.attach(fake)
    auth = tmp_path / "auth.json"
    auth.write_text(json.dumps({"auths": {fake.address: {"identitytoken": "refresh me/+&"}}}))
    auth.chmod(0o600)
    with Fetch(fake.address, "a/b", authfile=str(auth)) as f:
        f.manifest("1")
    form = tokens.posted[0]
    assert form["service"] == ["the, service"] and form["scope"] == ["repository:a/b:pull"]
    assert form["client_id"] == ["berth"] and not tokens.asked


def test_several_challenges(fake, image):
    fake.add(image, "a/b:1")
    tokens = Tokens()
    tokens.attach(fake)
    tokens.challenge = (f'Negotiate, Basic realm="a \\"quoted\\" word", Bearer realm="{fake.url}/token",'
                        'service=s,scope="repository:a/b:pull", Other x=y')
    with Fetch(fake.address, "a/b") as f:
        f.manifest("1")
    assert len(tokens.asked) == 1


@pytest.mark.parametrize("challenge", ["", "Bearer", "Bearer realm=", 'Bearer realm="', 'Bearer realm="file:///etc/passwd"',
                                       "Negotiate", "Bearer service=x", ", ,", 'Bearer realm="http://"'])
def test_challenges_without_sense(fake, challenge):
    tokens = Tokens()
    tokens.attach(fake)
    tokens.challenge = challenge or " "
    with Fetch(fake.address, "a/b", creds="u:p", retries=0) as f, pytest.raises(Failed):
        f.manifest("1")


@pytest.mark.parametrize("answer", [b"", b"{}", b"[]", b'{"token":7}', b'{"token":""}', b'{"token":"a\\r\\nb"}',
                                    b'{"token":"a","token":"b"}', b'{"token":"' + b"x" * (2 << 20) + b'"}'],
                         ids=lambda b: b[:20].decode())
def test_tokens_without_sense(fake, answer):
    tokens = Tokens()
    tokens.attach(fake)
    tokens.answer = answer
    with Fetch(fake.address, "a/b", retries=0) as f, pytest.raises(Failed, match="token"):
        f.manifest("1")


def test_password_not_to_an_unencrypted_token_server(secure_fake, authority, image, tmp_path):
    """Unless it is on this machine, which is why another name for it is used."""
    secure_fake.add(image, "a/b:1")
    tokens = Tokens(realm="http://tokens.invalid/token")
    tokens.attach(secure_fake)
    with Fetch(secure_fake.address, "a/b", creds="alice:secret", tls_verify=1,
               cert_dir=str(authority.certs_dir(tmp_path / "c"))) as f:
        with pytest.raises(Failed, match="not encrypted"):
            f.manifest("1")


# ---- mirrors, proxies ----


def configured(tmp_path, text):
    path = tmp_path / "registries.conf"
    path.write_text(text)
    return str(path)


def mirrored(tmp_path, upstream, *mirrors):
    return configured(tmp_path, f'[[registry]]\nprefix = "example.test"\nlocation = "{upstream}"\ninsecure = true\n' + "".join(
        f'[[registry.mirror]]\nlocation = "{m}"\ninsecure = true\n' for m in mirrors))


@pytest.mark.fast
def test_mirrors_in_turn(fake, other, image, tmp_path):
    dead = f"127.0.0.1:{kit.free_port()}"
    other.add(image, "a/b:1")
    fake.add(image, "a/b:1")
    conf = mirrored(tmp_path, fake.address, dead, other.address)
    with Fetch("example.test", "a/b", registries_conf=conf) as f:
        assert f.manifest("1")["digest"] == image.digest
        assert any(dead in n for n in f.notes())
        for name, data in image.all_blobs().items():
            assert f.blob(name, len(data))[0] == data
    assert not fake.requests


def test_mirror_that_lacks_it(fake, other, image, tmp_path):
    fake.add(image, "a/b:1")
    with Fetch("example.test", "a/b", registries_conf=mirrored(tmp_path, fake.address, other.address)) as f:
        assert f.manifest("1")["digest"] == image.digest
        assert any(other.address in n and "404" in n for n in f.notes())


def test_mirror_that_breaks_off(fake, other, tmp_path):
    data = noise(2_000_000)
    fake.blobs[digest(data)] = other.blobs[digest(data)] = data
    other.fault("GET", "/blobs/", times=1, truncate_after=600_000)
    other.fault("GET", "/blobs/", status=500)
    conf = mirrored(tmp_path, fake.address, other.address)
    with Fetch("example.test", "a/b", registries_conf=conf, retries=1, **QUICK) as f:
        assert f.blob(digest(data), len(data))[0] == data
    assert blob_gets(fake)[0].headers["Range"] == "bytes=600000-"


def test_upstream_error_is_the_one_told(fake, tmp_path):
    dead = f"127.0.0.1:{kit.free_port()}"
    with Fetch("example.test", "a/b", registries_conf=mirrored(tmp_path, fake.address, dead)) as f:
        with pytest.raises(Failed, match="tag '1' does not exist in 'example.test/a/b'"):
            f.manifest("1")


def test_proxy_from_the_environment(fake, other, image, tmp_path):
    other.add(image, "a/b:1")
    conf = configured(tmp_path, '[[registry]]\nlocation = "registry.invalid:99"\ninsecure = true\n')
    environment = {"http_proxy": other.url, "https_proxy": f"http://127.0.0.1:{kit.free_port()}"}
    with Fetch("registry.invalid:99", "a/b", registries_conf=conf, env=environment) as f:
        assert f.manifest("1")["digest"] == image.digest
    assert other.requests[-1].path == "http://registry.invalid:99/v2/a/b/manifests/1"
    fake.add(image, "a/b:1")
    with Fetch(fake.address, "a/b", env=environment) as f:  # never for loopback
        f.manifest("1")
    environment["no_proxy"] = "registry.invalid"
    with Fetch("registry.invalid:99", "a/b", registries_conf=conf, env=environment, retries=0) as f:
        with pytest.raises(Failed, match="cannot be resolved"):
            f.manifest("1")


# ---- what registries say beside ----


def test_warnings_and_limits(fake, image):
    fake.add(image, "a/b:1")
    fake.fault("GET", "/manifests/", headers={"Warning": ['299 - "going away soon"', '199 - "not this"'],
                                              "RateLimit-Limit": "100;w=21600", "ratelimit-remaining": "76;w=21600"})
    with Fetch(fake.address, "a/b") as f:
        for _ in range(3):
            f.manifest("1")
        assert f.rates() == ["76 of 100 pulls left in 6 h"]
        assert f.notes() == ["the registry says: going away soon"]


def test_tags_in_pages(fake):
    def page(number, last):
        link = {} if last else {"Link": f'</v2/a/b/tags/list?n=2&last={number}>; rel="next"'}
        body = json.dumps({"name": "a/b", "tags": [f"t{number}a", f"t{number}b", "../bad"]}).encode()
        return dict(status=200, body=body, headers=link)

    fake.fault("GET", r"tags/list\?n=1000$", **page(1, False))
    fake.fault("GET", r"last=1$", **page(2, False))
    fake.fault("GET", r"last=2$", **page(3, True))
    with Fetch(fake.address, "a/b") as f:
        assert json.loads(f.call("tags")["data"]) == ["t1a", "t1b", "t2a", "t2b", "t3a", "t3b"]


def test_tags_that_never_end(fake):
    fake.fault("GET", "tags/list", status=200, body=b'{"tags":["x"]}',
               headers={"Link": '</v2/a/b/tags/list?n=1000>; rel="next"'})
    with Fetch(fake.address, "a/b") as f:
        assert set(json.loads(f.call("tags")["data"])) == {"x"}
    assert fake.count("GET", "tags/list") == 1000


def test_referrers(fake, registry, repo, image):
    subject = digest(b"subject")
    listed = [{"mediaType": kit.MANIFEST, "digest": digest(b"sig"), "size": 7, "artifactType": "application/x"}]
    index = json.dumps({"schemaVersion": 2, "mediaType": kit.INDEX, "manifests": listed}).encode()
    fake.referrers = index
    with Fetch(fake.address, "a/b") as f:
        found = f.call("referrers", digest=subject)
        assert json.loads(found["data"])["manifests"] == listed and found["content_type"] == kit.INDEX
        assert found["digest"] == digest(found["data"])
    fake.referrers = None
    fake.manifests["a/b", subject.replace(":", "-")] = (kit.INDEX, index, {})
    with Fetch(fake.address, "a/b") as f:
        assert json.loads(f.call("referrers", digest=subject)["data"])["manifests"] == listed
    registry.push(image, f"{repo}:1")
    with Fetch(registry.address, repo) as f:  # has no referrers API
        assert json.loads(f.call("referrers", digest=image.digest)["data"])["manifests"] == []


# ---- the process ----


@pytest.mark.fast
def test_it_has_no_rights(fake, big):
    with Fetch(fake.address, "a/b") as f:
        id, r = f.blob_start(big[0], len(big[1]))
        os.read(r, 1000)
        status = f.status()
        assert status["Uid"].split() == ["65534"] * 4 and status["Gid"].split() == ["65534"] * 4
        assert status["Groups"].strip() == ""
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[capabilities], 16) == 0
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
        finish_rest = []
        while part := os.read(r, 1 << 20):
            finish_rest.append(part)
        os.close(r)
        f.wait(id)


def test_as_an_ordinary_user(fake, big):
    with Fetch(fake.address, "a/b", user=1000) as f:
        assert f.blob(big[0], len(big[1]))[0] == big[1]
        status = f.status()
        assert status["Uid"].split() == ["1000"] * 4 and status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"


def test_it_ends_with_its_caller(fake):
    f = Fetch(fake.address, "a/b")
    f.socket.close()
    assert f.process.wait(60) == 0
    f.close()


def test_it_talks_to_berth_only():
    result = kit.sh(HELPER, check=False)
    assert result.returncode == 2 and "started by berth" in result.stderr


def test_requests_that_are_none(fake):
    with Fetch(fake.address, "a/b") as f:
        with pytest.raises(Failed, match="does not understand 'dance'"):
            f.call("dance")
        with pytest.raises(Failed, match="does not understand 'blob'"):
            f.call("blob", digest=digest(b"x"), size=1, offset=0)  # without its pipe
        with pytest.raises(Failed, match="lacks 'digest'"):
            f.call("small-blob", size=3)
        with pytest.raises(Failed, match="no digest"):
            f.call("small-blob", digest="../x", size=3)


def test_memory(registries):
    registry = registries()
    blobs = [noise(20_000_000, seed=n) for n in range(4)]
    for data in blobs:
        registry.push_blob("a/b", digest(data), data)
    with Fetch(registry.address, "a/b") as f:
        started = [(data, *f.blob_start(digest(data), len(data))) for data in blobs]
        for data, id, r in started:
            finish(f, id, r, data)
        assert int(f.status()["VmHWM"].split()[0]) <= 16_000
