"""berth login and logout; podman and skopeo find what is stored, and berth finds what they store."""

import base64
import json
import os
import pty
import select
import stat
import time

import kit
import pytest

ALICE = ("alice", "wonder land")


def auth_file(berth):
    return berth.home / "runtime/containers/auth.json"


def stored(berth):
    return json.loads(auth_file(berth).read_text())["auths"]


def log_in(berth, registry, user="alice", password="wonder land", *flags, **kw):
    return berth("login", "-u", user, "--password-stdin", *registry.flags, *flags, registry.address,
                 input=password + "\n", **kw)


def peer(berth, *argv, check=True):
    """podman (which mounts something wherever its storage is) or skopeo in berth's home."""
    if argv[0] == "podman":
        argv = ("podman", "--root", berth.home / "p", "--runroot", berth.home / "q", "--storage-driver", "vfs", *argv[1:])
    return kit.sh(*argv, check=check, env=berth.env)


@pytest.mark.fast
def test_login_and_logout(berth, auth_registry):
    assert log_in(berth, auth_registry).ok().out == "Login Succeeded!\n"
    assert stored(berth) == {auth_registry.address: {"auth": base64.b64encode(b"alice:wonder land").decode()}}
    assert stat.S_IMODE(auth_file(berth).stat().st_mode) == 0o600
    assert stat.S_IMODE(auth_file(berth).parent.stat().st_mode) == 0o700
    assert berth("login", "--get-login", auth_registry.address).ok().out == "alice\n"
    out = berth("logout", auth_registry.address).ok().out
    assert out == f"Removed login credentials for {auth_registry.address}\n"
    assert stored(berth) == {}
    again = berth("logout", auth_registry.address).failed()
    assert again.code == 3 and "not logged in" in again.err
    assert berth("login", "--get-login", auth_registry.address).failed().code == 3


def test_wrong_password_stores_nothing(berth, auth_registry):
    result = log_in(berth, auth_registry, password="wrong").failed()
    assert result.code == 4 and "refused the user name or the password" in result.err
    assert "wrong" not in result.err and not auth_file(berth).exists()


def test_pull_and_push_use_it(berth, auth_registry, repo):
    image = kit.Image([kit.Layer([kit.file("a", b"hello")])])
    auth_registry.push(image, f"{repo}:1")
    refused = berth.pull(auth_registry, f"{repo}:1").failed()
    assert "berth login" in refused.err
    log_in(berth, auth_registry).ok()
    berth.pull(auth_registry, f"{repo}:1").ok()
    berth("push", "-q", *auth_registry.flags, f"{auth_registry.address}/{repo}:1").ok()
    berth("logout", "--all").ok()
    assert berth("push", "-q", *auth_registry.flags, f"{auth_registry.address}/{repo}:1").failed().code == 4


def test_peers_use_what_we_store(berth, auth_registry, repo):
    auth_registry.push(kit.Image([kit.Layer([kit.file("a", b"hello")])]), f"{repo}:1")
    log_in(berth, auth_registry).ok()
    assert peer(berth, "podman", "login", "--get-login", auth_registry.address).stdout == "alice\n"
    peer(berth, "skopeo", "inspect", "--tls-verify=false", f"docker://{auth_registry.address}/{repo}:1")
    peer(berth, "podman", "logout", auth_registry.address)
    assert stored(berth) == {}


def test_we_use_what_peers_store(berth, auth_registry, repo):
    auth_registry.push(kit.Image([kit.Layer([kit.file("a", b"hello")])]), f"{repo}:1")
    for name in ("podman", "skopeo"):
        peer(berth, name, "login", "--tls-verify=false", "-u", "bob", "-p", "builder", auth_registry.address)
        assert berth("login", "--get-login", auth_registry.address).ok().out == "bob\n"
        result = berth("login", *auth_registry.flags, auth_registry.address).ok()
        assert result.out == f"Existing credentials are valid. Already logged in to {auth_registry.address}\n"
        berth.pull(auth_registry, f"{repo}:1").ok()
        berth("logout", auth_registry.address).ok()
        assert peer(berth, name, "login", "--get-login", auth_registry.address, check=False).returncode


def test_namespaced_login(berth, auth_registry, repo):
    """podman's logins below a host: the longest key wins."""
    auth_registry.push(kit.Image([kit.Layer([kit.file("a", b"hello")])]), f"{repo}:1")
    key = f"{auth_registry.address}/{repo}"
    berth("login", "-u", "bob", "--password-stdin", *auth_registry.flags, key, input="builder").ok()
    assert list(stored(berth)) == [key]
    auth_file(berth).write_text(json.dumps({"auths": {**stored(berth), auth_registry.address: {
        "auth": base64.b64encode(b"alice:wrong").decode()}}}))
    berth.pull(auth_registry, f"{repo}:1").ok()
    peer(berth, "skopeo", "inspect", "--tls-verify=false", f"docker://{auth_registry.address}/{repo}:1")
    assert berth("login", "--get-login", key).ok().out == "bob\n"
    assert berth("login", "--get-login", auth_registry.address).ok().out == "alice\n"


def test_the_rest_of_the_file_stays(berth, auth_registry):
    auth_file(berth).parent.mkdir(parents=True)
    before = {"auths": {"other.io": {"auth": "YTpi", "email": "x"}}, "credHelpers": {"h.io": "x"}, "more": [1, None]}
    auth_file(berth).write_text(json.dumps(before))
    log_in(berth, auth_registry).ok()
    after = json.loads(auth_file(berth).read_text())
    assert after["auths"].pop(auth_registry.address)
    assert after == before
    assert not [p for p in auth_file(berth).parent.iterdir() if p.name != "auth.json"]


def test_broken_file_is_left_alone(berth, auth_registry):
    auth_file(berth).parent.mkdir(parents=True)
    auth_file(berth).write_text('{"auths": {\n x')
    result = log_in(berth, auth_registry).failed()
    assert "line 2, column 2" in result.err
    assert auth_file(berth).read_text() == '{"auths": {\n x'


def test_authfile(berth, auth_registry, tmp_path):
    path = tmp_path / "deep" / "file.json"
    log_in(berth, auth_registry, "alice", "wonder land", f"--authfile={path}").ok()
    assert not auth_file(berth).exists() and json.loads(path.read_text())["auths"]
    assert berth("login", "--get-login", auth_registry.address).failed()
    env = {"REGISTRY_AUTH_FILE": str(path)}
    assert berth("login", "--get-login", auth_registry.address, env=env).ok().out == "alice\n"
    berth("logout", "--authfile", path, auth_registry.address).ok()
    assert json.loads(path.read_text()) == {"auths": {}}


def test_credentials_kept_elsewhere_are_pointed_out(berth, auth_registry):
    docker = berth.home / ".docker" / "config.json"
    docker.parent.mkdir()
    docker.write_text(json.dumps({"auths": {auth_registry.address: {
        "auth": base64.b64encode(b"alice:wonder land").decode()}}}))
    assert berth("login", "--get-login", auth_registry.address).ok().out == "alice\n"
    result = berth("logout", auth_registry.address).failed()
    assert ".docker/config.json" in result.err and json.loads(docker.read_text())["auths"]


def test_helper(berth, auth_registry, repo, tmp_path):
    """A credential helper keeps the login; pull gets it from there."""
    auth_registry.push(kit.Image([kit.Layer([kit.file("a", b"hello")])]), f"{repo}:1")
    program = tmp_path / "docker-credential-test"
    program.write_text(f"#!/bin/sh\nset -e\ncase $1 in\nstore) cat >{tmp_path}/kept ;;\n"
                       f"get) cat >/dev/null; cat {tmp_path}/kept 2>/dev/null || "
                       "{ echo credentials not found in native keychain; exit 1; } ;;\n"
                       f"erase) rm {tmp_path}/kept ;;\nesac\n")
    program.chmod(0o755)
    auth_file(berth).parent.mkdir(parents=True)
    auth_file(berth).write_text(json.dumps({"credHelpers": {auth_registry.address: "test"}}))
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    result = log_in(berth, auth_registry, "alice", "wonder land", "-v", env=env).ok()
    assert "Used: docker-credential-test" in result.out
    assert json.loads((tmp_path / "kept").read_text()) == {
        "ServerURL": auth_registry.address, "Username": "alice", "Secret": "wonder land"}
    assert "auths" not in json.loads(auth_file(berth).read_text())
    berth.pull(auth_registry, f"{repo}:1", env=env).ok()
    berth("logout", auth_registry.address, env=env).ok()
    assert not (tmp_path / "kept").exists()


@pytest.fixture
def helper(berth, tmp_path):
    """helper(NAME): a docker-credential-NAME of its own on berth's PATH."""
    berth.env["PATH"] = f"{tmp_path}:{os.environ['PATH']}"

    def make(name):
        place, program = tmp_path / name, tmp_path / f"docker-credential-{name}"
        place.mkdir()
        program.write_text(f"""#!/usr/bin/python3
import json, pathlib, sys, urllib.parse
verb, said, place = sys.argv[1], sys.stdin.read(), pathlib.Path({str(place)!r})
if (place / "broken").exists():
    sys.exit(print("the keychain is locked") or 3)
if verb == "list":
    print(json.dumps({{k["ServerURL"]: k["Username"] for k in map(json.loads, (p.read_text() for p in place.iterdir()))}}))
    sys.exit()
path = place / urllib.parse.quote(json.loads(said)["ServerURL"] if verb == "store" else said.strip(), "")
if verb == "store":
    path.write_text(said)
elif not path.exists():
    sys.exit(print("credentials not found in native keychain") or 1)
elif verb == "get":
    print(path.read_text())
else:
    path.unlink()
""")
        program.chmod(0o755)
        return place

    return make


def kept(place):
    return {k["ServerURL"]: k["Username"] for k in (json.loads(p.read_text()) for p in place.iterdir())}


def use_helpers(berth, *names):
    (berth.home / "registries.conf").write_text(f"credential-helpers = {json.dumps(names)}\n")


def test_helpers_of_registries_conf(berth, auth_registry, repo, helper):
    """They keep logins for all registries, instead of the file, and are asked for them."""
    auth_registry.push(kit.Image([kit.Layer([kit.file("a", b"hello")])]), f"{repo}:1")
    place = helper("one")
    use_helpers(berth, "one")
    result = log_in(berth, auth_registry, "alice", "wonder land", "-v").ok()
    assert "Used: docker-credential-one" in result.out
    assert kept(place) == {auth_registry.address: "alice"} and not auth_file(berth).exists()
    assert berth("login", "--get-login", auth_registry.address).ok().out == "alice\n"
    ref = f"{auth_registry.address}/{repo}:1"
    berth("pull", *auth_registry.flags, ref).ok()
    berth("push", "-q", *auth_registry.flags, ref).ok()
    berth("rmi", ref).ok()
    berth("create", "--name", "c", ref, "x").ok()
    berth("rm", "c").ok()
    berth("logout", auth_registry.address).ok()
    assert kept(place) == {}
    assert berth("logout", auth_registry.address).failed().code == 3
    assert berth("pull", *auth_registry.flags, "--policy=always", ref).failed().code == 4


def test_helpers_and_podman(berth, auth_registry, helper):
    """podman keeps and finds logins at the same places."""
    places = helper("one"), helper("two")
    use_helpers(berth, "one", "containers-auth.json", "two")
    flags = ("--tls-verify=false", "-u", "bob", "-p", "builder")
    peer(berth, "podman", "login", *flags, auth_registry.address)
    theirs = [kept(p) for p in places]
    assert berth("login", "--get-login", auth_registry.address).ok().out == "bob\n"
    berth("logout", auth_registry.address).ok()
    assert peer(berth, "podman", "login", "--get-login", auth_registry.address, check=False).returncode
    log_in(berth, auth_registry, "bob", "builder").ok()
    assert [kept(p) for p in places] == theirs == [{auth_registry.address: "bob"}, {}]
    assert peer(berth, "podman", "login", "--get-login", auth_registry.address).stdout == "bob\n"
    peer(berth, "podman", "logout", auth_registry.address, check=False)  # it takes the second one's "not found" ill
    assert berth("login", "--get-login", auth_registry.address).failed().code == 3


def test_helpers_in_their_order(berth, auth_registry, helper):
    """One that fails makes the next one the one to ask; that it failed is said where none has credentials."""
    one, two = helper("one"), helper("two")
    use_helpers(berth, "one", "two", "containers-auth.json")
    (one / "broken").touch()
    log_in(berth, auth_registry).ok()
    assert kept(two) == {auth_registry.address: "alice"}
    assert berth("login", "--get-login", auth_registry.address).ok().out == "alice\n"
    failed = berth("logout", auth_registry.address).failed("credential-helpers of registries.conf", "the keychain is locked")
    assert failed.code == 1 and kept(two) == {}  # what could be removed is
    failed = berth("pull", *auth_registry.flags, f"{auth_registry.address}/x:1").failed("the keychain is locked")
    (one / "broken").unlink()
    use_helpers(berth, "none", "containers-auth.json")
    berth("pull", *auth_registry.flags, f"{auth_registry.address}/x:1").failed("'docker-credential-none'", "credential-helpers")
    log_in(berth, auth_registry).ok()
    assert list(stored(berth)) == [auth_registry.address]
    berth("login", "--get-login", auth_registry.address).ok()


def test_helpers_and_what_they_do_not_keep(berth, auth_registry, helper, tmp_path):
    """A namespace's login goes to the file; --authfile wins over all helpers."""
    one = helper("one")
    use_helpers(berth, "one")
    key = f"{auth_registry.address}/team"
    asked = ("login", "-u", "bob", "--password-stdin", *auth_registry.flags)
    berth(*asked, key, input="builder").failed("'docker-credential-one' keeps logins for whole registries only")
    use_helpers(berth, "one", "containers-auth.json")
    berth(*asked, key, input="builder").ok()
    assert list(stored(berth)) == [key] and kept(one) == {}
    path = tmp_path / "file.json"
    berth(*asked, f"--authfile={path}", auth_registry.address, input="builder").ok()
    assert list(json.loads(path.read_text())["auths"]) == [auth_registry.address] and kept(one) == {}
    log_in(berth, auth_registry).ok()
    assert kept(one) == {auth_registry.address: "alice"}
    berth("logout", "--all").ok()
    assert kept(one) == {} and stored(berth) == {}


def test_helpers_that_are_none(berth):
    (berth.home / "registries.conf").write_text("credential-helpers = 'a/b'\n")
    assert "'a/b' is no name of a credential helper" in berth("pull", "127.0.0.1:1/x").failed().err
    (berth.home / "registries.conf").write_text("credential-helpers = [1]\n")
    assert "'credential-helpers' is no array of strings" in berth("login", "--get-login", "x.io").failed().err


def test_tls(berth, tls_registry):
    """Without users a registry takes any: what counts is its certificate."""
    refused = berth("login", "-u", "a", "--password-stdin", "--tls-verify", tls_registry.address, input="b").failed()
    assert "certificate" in refused.err and not auth_file(berth).exists()
    log_in(berth, tls_registry).ok()


@pytest.mark.parametrize("argv, said", [
    (["-u", "a"], "no password"),
    ([], "no user name"),
    (["--password-stdin"], "needs --username"),
    (["-u", "a", "-p", "b", "--password-stdin"], "exclude each other"),
    (["-u", "a:b", "-p", "c"], "no ':'"),
    (["-u", "a", "-p", ""], "no password"),
])
def test_usage(berth, auth_registry, argv, said):
    result = berth("login", *argv, auth_registry.address, input="").failed()
    assert result.code == 2 and said in result.err


@pytest.mark.parametrize("name", ["a b", "quay.io/x:tag", "quay.io@sha256:0", "/", "busybox", ""])
def test_no_registry(berth, name):
    assert berth("login", "-u", "a", "-p", "b", name).failed().code == 2


def test_password_on_the_command_line_is_warned_of(berth, auth_registry):
    result = berth("login", "-u", "alice", "-p", "wonder land", auth_registry.address).ok()
    assert "--password-stdin" in result.err


# ---- at a terminal ----


class Terminal:
    def __init__(self, berth, *argv):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(berth.binary, berth.argv(*argv), berth.env)
        self.seen = ""

    def until(self, text, timeout=60):
        end = time.monotonic() + timeout
        while text not in self.seen:
            assert select.select([self.fd], [], [], max(0, end - time.monotonic()))[0], self.seen
            try:
                data = os.read(self.fd, 4096).decode()
            except OSError:
                data = ""
            assert data, f"ended: {self.seen!r}"
            self.seen += data

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        try:
            while data := os.read(self.fd, 4096).decode():
                self.seen += data
        except OSError:
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def echoes(fd):
    import termios
    return bool(termios.tcgetattr(fd)[3] & termios.ECHO)


def test_prompts_without_echo(berth, auth_registry):
    t = Terminal(berth, "login", auth_registry.address)
    t.until("Username: ")
    t.type("alice\n")
    t.until("Password: ")
    assert kit.eventually(lambda: not echoes(t.fd))
    t.type("wonder land\n")
    assert t.end() == 0 and "Login Succeeded!" in t.seen
    assert "wonder" not in t.seen


def test_interrupt_gives_the_echo_back(berth, auth_registry):
    t = Terminal(berth, "login", "-u", "alice", auth_registry.address)
    t.until("Password: ")
    assert kit.eventually(lambda: not echoes(t.fd))
    t.type("won\x03")
    t.until("interrupted")
    assert echoes(t.fd)
    assert t.end() != 0 and not auth_file(berth).exists()
