"""diff, export and commit: what a container made of its image, read from its upper directory; skopeo and podman
as readers of what comes of it."""

import io
import json
import shutil
import subprocess
import tarfile

import kit
import pytest
from enginekit import IMAGE

CHANGES = """
echo new >/etc/new; echo more >>/etc/passwd; rm -f /etc/group; mkdir -p /a/b; ln -s /etc/passwd /a/link
echo one >/a/first; ln /a/first /a/second; mkfifo /a/fifo; chmod 4755 /a/first; chown 12:34 /a/b
"""


@pytest.fixture
def changed(engine):
    engine("run", "--name", "changed", IMAGE, "sh", "-c", CHANGES).ok()
    yield "changed"
    engine("rm", "-f", "changed").ok()


@pytest.mark.fast
def test_diff(engine, changed):
    lines = engine("diff", changed).ok().out.splitlines()
    assert lines == ["A /a", "A /a/b", "A /a/fifo", "A /a/first", "A /a/link", "A /a/second",
                     "C /etc", "D /etc/group", "A /etc/new", "C /etc/passwd"]
    shown = json.loads(engine("diff", "--format", "json", changed).ok().out)
    assert shown["deleted"] == ["/etc/group"] and shown["changed"] == ["/etc", "/etc/passwd"]


@pytest.mark.fast
def test_diff_of_nothing(engine):
    engine("run", "--name", "same", "-v", "/vol", "--tmpfs", "/tmpfs", IMAGE, "true").ok()
    assert engine("diff", "same").ok().out == ""
    engine("rm", "same").ok()


def test_diff_of_a_replaced_directory(engine):
    """An opaque directory: what it hides is gone."""
    engine("run", "--name", "o", IMAGE, "sh", "-c", "rm -r /etc; mkdir /etc; echo x >/etc/only").ok()
    lines = engine("diff", "o").ok().out.splitlines()
    image = engine("commit", "o").ok().out.strip()
    listed = engine("run", "--rm", image, "sh", "-c", "ls /etc").ok().out.split()
    engine("rm", "o").ok()
    engine("rmi", "-f", image).ok()
    assert "D /etc/passwd" in lines and "A /etc/only" in lines
    assert "only" in listed and "passwd" not in listed


def members(data):
    return {m.name.rstrip("/"): m for m in tarfile.open(fileobj=io.BytesIO(data))}


@pytest.mark.parametrize("running", [False, True])
def test_export(engine, running):
    script = CHANGES + ("exec sleep 100" if running else "")
    flags = ["-d"] if running else []
    engine("run", *flags, "--name", "e", "-v", "/vol", IMAGE, "sh", "-c", script).ok()
    if running:
        assert kit.eventually(lambda: "A /a/second" in engine("diff", "e").out)
        assert kit.eventually(lambda: "/a/b" in engine("exec", "e", "find", "/a", "-user", "12").out)
    data = engine("export", "e", binary=True).ok().out
    engine("rm", "-f", "e").ok()
    found = members(data)
    assert found["a/second"].islnk() and found["a/second"].linkname == "a/first"
    assert found["a/link"].issym() and (found["a/b"].uid, found["a/b"].gid) == (12, 34)
    assert "etc/group" not in found and "bin/busybox" in found
    assert not [n for n in found if n.startswith(("proc/", "sys/", "vol/"))]


def test_export_to_a_file(engine, changed, tmp_path):
    engine("export", "-o", tmp_path / "out.tar", changed).ok()
    assert "etc/new" in tarfile.open(tmp_path / "out.tar").getnames()
    engine("export", "-o", tmp_path / "none" / "out.tar", changed).failed("cannot open")


@pytest.mark.fast
def test_commit_runs(engine, changed):
    image = engine("commit", "-m", "why", "-a", "who", "-c", "CMD [\"cat\", \"/etc/new\"]", "-c", "ENV A=b",
                   changed, "committed:1").ok().out.strip()
    assert engine("run", "--rm", "committed:1").ok().out == "new\n"
    out = engine("run", "--rm", "committed:1", "sh", "-c",
                 "stat -c '%h %a' /a/first; test -e /etc/group || echo gone; readlink /a/link; echo $A").ok().out
    assert out == "2 4755\ngone\n/etc/passwd\nb\n"
    shown = json.loads(engine("image", "inspect", image).ok().out)[0]
    assert (shown["Comment"], shown["Author"]) == ("why", "who")
    assert len(shown["RootFS"]["Layers"]) == 2
    engine("rmi", "committed:1").ok()
    engine("system", "check", "--deep").ok()


def test_commit_of_a_commit(engine, changed):
    engine("commit", changed, "first:1").ok()
    engine("run", "--name", "second", "first:1", "sh", "-c", "rm /etc/new; echo 2 >/two").ok()
    engine("commit", "second", "second:1").ok()
    assert engine("run", "--rm", "second:1", "sh", "-c", "cat /two; ls /etc/new 2>/dev/null").out == "2\n"
    engine("rm", "second").ok()
    engine("rmi", "second:1", "first:1").ok()


def test_commit_while_it_runs(engine):
    id = engine.up("sh", "-c", "echo x >/x; exec sleep 100")
    assert kit.eventually(lambda: "A /x" in engine("diff", id).out)
    image = engine("commit", id).ok().out.strip()
    assert engine.actions(id)[-3:] == ["pause", "unpause", "commit"]
    assert engine.state(id)[0] == "running"
    engine("rm", "-f", id).ok()
    assert engine("run", "--rm", image, "cat", "/x").ok().out == "x\n"
    engine("rmi", "-f", image).ok()


def test_equal_containers_make_equal_layers(engine):
    ids = []
    for name in ("x", "y"):
        engine("run", "--name", name, IMAGE, "sh", "-c", "echo x >/x; touch -d @5 /x").ok()
        image = engine("commit", name, env={"SOURCE_DATE_EPOCH": "1000"}).ok().out.strip()
        ids.append(json.loads(engine("image", "inspect", image).ok().out)[0]["RootFS"]["Layers"])
        engine("rm", name).ok()
        engine("rmi", "-f", image)
    assert ids[0] == ids[1]


@pytest.mark.parametrize("format", ["oci", "docker"])
def test_peers_read_it(engine, changed, registry, tmp_path, format):
    if not shutil.which("skopeo"):
        pytest.skip("needs skopeo")
    engine("commit", "-f", format, changed, "peers:1").ok()
    place = f"{registry.address}/committed/{format}:1"
    engine("push", *registry.flags, "peers:1", place).ok()
    engine("rmi", "peers:1").ok()
    subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{place}", f"dir:{tmp_path}/d"], check=True)
    manifest = json.loads((tmp_path / "d" / "manifest.json").read_text())
    assert len(manifest["layers"]) == 2
    top = tarfile.open(tmp_path / "d" / manifest["layers"][1]["digest"].split(":")[1])
    names = [n.rstrip("/") for n in top.getnames()]
    assert "etc/.wh.group" in names and "etc/new" in names
    assert not [n for n in names if n in ("proc", "sys", "dev", "etc/hosts", "etc/hostname", "etc/resolv.conf")]
