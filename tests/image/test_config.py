"""What registries.conf, hosts.toml and certs.d make berth do, at the commands; skopeo reads the same
registries.conf. The rules themselves are unit tests (test-registry-config.c)."""

import contextlib
import os
import pathlib
import pty

import kit
import pytest


@pytest.fixture
def image():
    return kit.Image([kit.Layer([kit.file("a", b"hello")])])


def conf(berth, text):
    path = pathlib.Path(berth.env["CONTAINERS_REGISTRIES_CONF"])
    path.write_text(text)
    return path


@pytest.fixture
def etc():
    """Directories below /etc that are there for this test alone."""
    made = []

    def make(*parts):
        path = pathlib.Path("/etc")
        for part in parts:
            path = path / part
            if not path.exists():
                path.mkdir()
                made.append(path)
        return path

    yield make
    for path in reversed(made):
        for file in path.iterdir():
            file.unlink()
        path.rmdir()


def skopeo(berth, path, *argv, check=True):
    """Debian's skopeo takes no $CONTAINERS_REGISTRIES_CONF, but the user's file."""
    user = berth.home / ".config/containers/registries.conf"
    user.parent.mkdir(parents=True, exist_ok=True)
    user.write_text(path.read_text())
    return kit.sh("skopeo", *argv, check=check, env=berth.env)


@pytest.mark.fast
def test_location_and_insecure(berth, registry, repo, image):
    registry.push(image, f"{repo}:1")
    path = conf(berth, f"[[registry]]\nprefix = 'example.invalid/a'\nlocation = '{registry.address}/{repo}'\n"
                       "insecure = true\n")
    berth("pull", "example.invalid/a:1").ok()
    assert skopeo(berth, path, "inspect", "--raw", "docker://example.invalid/a:1").stdout == image.body.decode()
    assert berth.json("image", "inspect", "example.invalid/a:1")[0]["Digest"] == image.digest


def test_wildcard(berth, registry, repo, image):
    registry.push(image, f"{repo}:1")
    path = conf(berth, f"[[registry]]\nprefix = '*.example.invalid'\nlocation = '{registry.address}'\n"
                       "insecure = true\n")
    berth("pull", f"deep.down.example.invalid/{repo}:1").ok()
    skopeo(berth, path, "inspect", "--raw", f"docker://deep.down.example.invalid/{repo}:1")


def test_mirrors_in_their_order(berth, registry, proxy, fake, repo, image):
    """The first does not answer, the second lacks it, the third has it, the upstream is not asked."""
    registry.push(image, f"{repo}:1")
    conf(berth, "[[registry]]\nlocation = 'example.invalid'\n" + "".join(
        f"[[registry.mirror]]\nlocation = '{where}'\ninsecure = true\n"
        for where in (f"127.0.0.1:{kit.free_port()}", fake.address, f"{proxy.address}/{repo}")))
    berth("pull", "example.invalid/x:1").failed()  # the third has REPO/x only
    registry.push(image, f"{repo}/x:1")
    result = berth("pull", "example.invalid/x:1").ok()
    assert fake.count("GET", "/v2/x/manifests/1") and proxy.count("GET", f"/v2/{repo}/x/blobs/")
    assert "mirror" in result.err


def test_mirror_for_digests_only(berth, registry, proxy, repo, image):
    registry.push(image, f"{repo}:1")
    conf(berth, f"[[registry]]\nlocation = '{registry.address}'\ninsecure = true\n[[registry.mirror]]\n"
                f"location = '{proxy.address}'\ninsecure = true\npull-from-mirror = 'digest-only'\n")
    berth("pull", f"{registry.address}/{repo}:1").ok()
    assert not proxy.requests
    berth("rmi", f"{registry.address}/{repo}:1").ok()
    berth("pull", f"{registry.address}/{repo}@{image.digest}").ok()
    assert proxy.count("GET", "/blobs/")


def test_blocked(berth, registry, repo, image):
    registry.push(image, f"{repo}:1")
    path = conf(berth, f"[[registry]]\nlocation = '{registry.address}/{repo}'\nblocked = true\n")
    result = berth("pull", f"{registry.address}/{repo}:1").failed()
    assert result.code == 4 and "blocked" in result.err and str(path) in result.err
    assert "blocked" in skopeo(berth, path, "inspect", f"docker://{registry.address}/{repo}:1", check=False).stderr


def test_error_names_line_and_column(berth):
    path = conf(berth, "[[registry]]\nlocation = 'a'\ninsecure = yes\n")
    result = berth("pull", "example.invalid/x").failed()
    assert f"'{path}', line 3, column 12" in result.err and result.code == 2


def test_short_names(berth, registry, fake, repo, image):
    registry.push(image, "library/x:1")
    registry.push(image, f"{repo}:1")
    conf(berth, f"unqualified-search-registries = ['{fake.address}', '{registry.address}']\n"
                f"[aliases]\n'y' = '{registry.address}/{repo}'\n"
                f"[[registry]]\nlocation = '{registry.address}'\ninsecure = true\n"
                f"[[registry]]\nlocation = '{fake.address}'\ninsecure = true\n")
    berth("pull", "y:1").ok()
    assert fake.requests == []
    assert berth.json("image", "inspect", f"{registry.address}/{repo}:1")
    berth("pull", "library/x:1").ok()
    assert fake.count("GET", "/v2/library/x/manifests/1")


def test_hosts_toml(berth, registry, proxy, repo, image, etc):
    """containerd's way of saying it: a mirror with a header, and ns= for whoever proxies."""
    registry.push(image, f"{repo}:1")
    place = etc("berth", "certs.d", "example.invalid")
    (place / "hosts.toml").write_text(f"server = 'http://{registry.address}'\n[host.'http://{proxy.address}']\n"
                                      f"capabilities = ['pull', 'resolve']\n[host.'http://{proxy.address}'.header]\n"
                                      "x-test = ['one', 'two']\n")
    berth("pull", f"example.invalid/{repo}:1").ok()
    asked = proxy.found("GET", "/manifests/1")[0]
    assert "ns=example.invalid" in asked.path
    assert asked.headers.get_all("x-test") == ["one", "two"]
    proxy.clear()
    berth("push", "-q", f"example.invalid/{repo}:1", f"example.invalid/{repo}:2").ok()
    assert not proxy.requests and "2" in registry.tags(repo)


def test_private_authority_of_certs_d(berth, tls_registry, authority, repo, image, etc):
    tls_registry.push(image, f"{repo}:1")
    name = f"{tls_registry.address}/{repo}:1"
    refused = berth("pull", "--tls-verify", name).failed()
    assert "certificate" in refused.err and f"certs.d/{tls_registry.address}" in refused.err
    place = etc("containers", "certs.d", tls_registry.address)
    (place / "ca.crt").write_bytes(authority.ca.read_bytes())
    berth("pull", "--tls-verify", name).ok()
    kit.sh("skopeo", "inspect", f"docker://{name}", env=berth.env)


def test_client_certificate(berth, registries, authority, repo, image, tmp_path):
    """A registry that asks for one; the key is readable for root alone."""
    registry = registries(authority=authority, client_ca=authority.ca)
    certs = authority.certs_dir(tmp_path / "certs")
    name = f"{registry.address}/{repo}:1"
    berth("pull", f"--cert-dir={certs}", name).failed()
    cert, key = authority.issue("client", usage="clientAuth")
    (certs / "client.cert").write_bytes(cert.read_bytes())
    (certs / "client.key").write_bytes(key.read_bytes())
    os.chmod(certs / "client.key", 0o600)
    layout = image.layout(tmp_path / "layout", "1")
    kit.sh("skopeo", "copy", f"--dest-cert-dir={certs}", f"oci:{layout}:1", f"docker://{name}", env=berth.env)
    berth("pull", f"--cert-dir={certs}", name).ok()


def test_mirror_does_not_get_the_upstreams_password(berth, auth_registry, fake, repo, image):
    auth_registry.push(image, f"{repo}:1")
    conf(berth, f"[[registry]]\nlocation = '{auth_registry.address}'\ninsecure = true\n"
                f"[[registry.mirror]]\nlocation = '{fake.address}'\ninsecure = true\n")
    fake.fault("*", "", status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    berth("pull", "--creds", "alice:wonder land", f"{auth_registry.address}/{repo}:1").ok()
    assert fake.requests and not any(r.headers["Authorization"] for r in fake.requests)


# ---- short names at a terminal ----


@pytest.fixture
def aliases(tmp_path):
    """Where the choices of root are kept; a place of this test's own."""
    kit.sh("mount", "--bind", tmp_path, "/var/cache")
    yield tmp_path / "containers" / "short-name-aliases.conf"
    kit.sh("umount", "/var/cache")


def ask(berth, answer, *argv):
    """A command at a terminal, and what is typed once it asks; its status and what was shown."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(berth.binary, berth.argv(*argv), berth.env)
    seen = ""
    with contextlib.suppress(OSError):  # EIO at the end
        while data := os.read(fd, 4096):
            seen += data.decode(errors="replace")
            if answer is not None and "] " in seen:
                os.write(fd, answer)
                answer = None
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.replace("\r", "")


def ambiguous(berth, registry, fake, mode):
    conf(berth, f"unqualified-search-registries = ['{fake.address}', '{registry.address}']\nshort-name-mode = '{mode}'\n"
                + "".join(f"[[registry]]\nlocation = '{at}'\ninsecure = true\n" for at in (registry.address, fake.address)))


@pytest.mark.parametrize("mode", ["enforcing", "permissive"])
@pytest.mark.parametrize("argv", [["pull"], ["run", "--rm"]], ids=lambda a: a[0])
def test_a_short_name_is_asked_for(berth, registry, fake, aliases, repo, mode, argv):
    """Also in permissive mode, as podman does it; the choice is kept, for podman too."""
    registry.push(kit.busybox({"Cmd": ["true"]}), f"{repo}/a:1")
    registry.push(kit.busybox({"Cmd": ["true"]}), f"{repo}/b:1")
    ambiguous(berth, registry, fake, mode)
    code, seen = ask(berth, b"2\n", *argv, f"{repo}/a:1")
    assert code == 0, seen
    assert f"  1  {fake.address}/{repo}/a:1\n  2  {registry.address}/{repo}/a:1\n" in seen and fake.requests == []
    assert aliases.read_text() == f'[aliases]\n  "{repo}/a" = "{registry.address}/{repo}/a"\n'
    berth("rmi", f"{registry.address}/{repo}/a:1").ok()
    berth(*argv, f"{repo}/a:1").ok()  # nobody is asked again, and a terminal is not needed
    code, seen = ask(berth, b"2\n", "pull", f"{repo}/b:1")
    assert code == 0 and aliases.read_text().count("\n") == 3
    podman = ("podman", "--root", berth.home / "p", "--runroot", berth.home / "q", "--storage-driver", "vfs")
    said = kit.sh(*podman, "pull", f"{repo}/a:1", env=berth.env).stderr
    assert f'Resolved "{repo}/a" as an alias ({aliases}'.replace(str(aliases.parent.parent), "/var/cache") in said, said


@pytest.mark.parametrize("answer, code, said", [
    (b"3\n", 2, '"3" is none of 1 to 2'), (b"x\n", 2, '"x" is none'), (b"\x04", 1, "nothing was typed"),
    (b"\n", 3, "cannot pull")])  # the first, which is not there: no other is tried
def test_answers_that_choose_nothing(berth, registry, fake, aliases, repo, image, answer, code, said):
    registry.push(image, f"{repo}:1")
    ambiguous(berth, registry, fake, "enforcing")
    got, seen = ask(berth, answer, "pull", "--retry=0", f"{repo}:1")
    assert said in seen and got == code, (got, seen)
    assert not aliases.exists() and berth.json("images", "--format", "json") == []


def test_modes_without_a_terminal(berth, registry, fake, aliases, repo, image):
    registry.push(image, f"{repo}:1")
    ambiguous(berth, registry, fake, "enforcing")
    for argv in (["pull"], ["run", "--rm"], ["manifest", "inspect"]):
        refused = berth(*argv, f"{repo}:1").failed("forbids to guess", f"{fake.address}/{repo}:1")
    assert fake.requests == [] and "Write the full name" in refused.err
    ambiguous(berth, registry, fake, "permissive")
    berth("pull", f"{repo}:1").ok()
    assert fake.count("GET", f"/v2/{repo}/manifests/1")
    berth("rmi", f"{registry.address}/{repo}:1").ok()
    ambiguous(berth, registry, fake, "disabled")
    assert ask(berth, None, "pull", f"{repo}:1")[0] == 0
    assert not aliases.exists()


def test_a_choice_that_cannot_be_kept(berth, registry, fake, aliases, repo, image):
    """Is a warning; a file of choices that can't be understood is an error."""
    registry.push(image, f"{repo}:1")
    ambiguous(berth, registry, fake, "enforcing")
    aliases.parent.write_text("a file")
    code, seen = ask(berth, b"2\n", "pull", f"{repo}:1")
    assert code == 0 and "the choice is not kept" in seen, seen
    aliases.parent.unlink()
    aliases.parent.mkdir()
    aliases.write_text("[aliases\n")
    berth("pull", f"{repo}:1").failed("short-name-aliases.conf', line 1")
