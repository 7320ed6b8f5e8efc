"""cp: docker's rules for directories, owners, and paths that a container has laid as traps."""

import io
import os
import subprocess
import tarfile

import kit
import pytest
from enginekit import IMAGE


@pytest.fixture(params=["running", "stopped"])
def box(request, engine):
    """A container with some files, running or stopped."""
    script = ("mkdir -p /d/sub; echo one >/d/f; echo two >/d/sub/g; ln -s f /d/link; ln -s /etc /abs; ln -s / /root-link; "
              "ln -s ../../../../../../../etc /up; chown 12:34 /d/f; echo ready >/ready; ")
    engine("run", "-d", "--name", "box", IMAGE, "sh", "-c", script + "exec sleep 100").ok()
    assert kit.eventually(lambda: "/ready" in engine("diff", "box").out)
    if request.param == "stopped":
        engine("stop", "-t", "0", "box").ok()
    yield "box"
    engine("rm", "-f", "box").ok()


def look(engine, script):
    """What the container's files look like, whatever it is doing."""
    image = engine("commit", "box").ok().out.strip()
    try:
        return engine("run", "--rm", image, "sh", "-c", script).out
    finally:
        engine("rmi", "-f", image).ok()


@pytest.mark.fast
def test_out(engine, box, tmp_path):
    engine("cp", "box:/d/f", tmp_path / "new").ok()
    assert (tmp_path / "new").read_text() == "one\n" and (tmp_path / "new").stat().st_uid == 0
    engine("cp", "-a", "box:/d/f", tmp_path).ok()
    assert ((tmp_path / "f").stat().st_uid, (tmp_path / "f").stat().st_gid) == (12, 34)
    engine("cp", "box:/d", tmp_path).ok()
    engine("cp", "box:/d", tmp_path / "renamed").ok()
    engine("cp", "box:d/.", tmp_path / "content").ok()
    for name in ("d", "renamed", "content"):
        assert sorted(os.listdir(tmp_path / name)) == ["f", "link", "sub"]
        assert (tmp_path / name / "sub" / "g").read_text() == "two\n"
        assert os.readlink(tmp_path / name / "link") == "f"
    (tmp_path / "into").mkdir()
    engine("cp", "box:/d/.", tmp_path / "into").ok()
    assert sorted(os.listdir(tmp_path / "into")) == ["f", "link", "sub"]


@pytest.mark.fast
def test_in(engine, box, tmp_path):
    (tmp_path / "s" / "deep").mkdir(parents=True)
    (tmp_path / "s" / "a").write_text("a\n")
    (tmp_path / "s" / "deep" / "b").write_text("b\n")
    os.chown(tmp_path / "s" / "a", 77, 88)
    os.chmod(tmp_path / "s" / "a", 0o640)
    engine("cp", tmp_path / "s" / "a", "box:/d/f").ok()
    engine("cp", tmp_path / "s", "box:/d").ok()
    engine("cp", tmp_path / "s", "box:/named").ok()
    engine("cp", f"{tmp_path}/s/.", "box:/named2").ok()
    engine("cp", "-a", tmp_path / "s" / "a", "box:/kept").ok()
    out = look(engine, "cat /d/f /d/s/a /named/deep/b /named2/a; stat -c '%u %g %a' /named/a /kept")
    assert out == "a\na\nb\na\n0 0 640\n77 88 640\n"


@pytest.mark.fast
def test_streams(engine, box):
    data = engine("cp", "box:/d", "-", binary=True).ok().out
    names = tarfile.open(fileobj=io.BytesIO(data)).getnames()
    assert names == ["d", "d/f", "d/link", "d/sub", "d/sub/g"]
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        member = tarfile.TarInfo("x/y")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"tar"))
    engine("cp", "-", "box:/d", input=made.getvalue()).ok()
    assert look(engine, "cat /d/x/y") == "tar"


@pytest.mark.parametrize("source, to, words", [
    ("box:/none", ".", "cannot open"), ("/etc/hostname", "box:/none/", "no directory"),
    ("/etc/hostname", "box:/none/x", "cannot open"), ("/etc", "box:/d/f", "is no directory"),
    ("box:/d", "/etc/hostname", "is no directory"), ("/etc/hostname", "/tmp", "only one"), ("box:/d", "box:/e", "only one"),
    ("none:/d", ".", "no such container"),
])
def test_refusals(engine, box, tmp_path, source, to, words):
    engine("cp", source, to, cwd=tmp_path).failed(words)


def test_links_lead_nowhere_out(engine, box, tmp_path):
    """Absolute links and ".." end at the container's root, both ways."""
    secret = tmp_path / "secret"
    secret.write_text("host\n")
    assert look(engine, f"ls {secret} 2>/dev/null") == ""
    engine("cp", f"box:/root-link{secret}", tmp_path / "got").failed("cannot open")
    engine("cp", "box:/up/passwd", tmp_path / "passwd").ok()
    assert (tmp_path / "passwd").read_text() != open("/etc/passwd").read()
    before = sorted(os.listdir("/etc"))
    engine("cp", secret, "box:/abs/planted").ok()
    engine("cp", secret, "box:/up/planted2").ok()
    assert sorted(os.listdir("/etc")) == before
    assert look(engine, "cat /etc/planted /etc/planted2") == "host\nhost\n"


@pytest.mark.parametrize("make, words", [
    (lambda t: [("../out", "f", None)], "cannot unpack"),
    (lambda t: [("l", "l", str(t)), ("l/out", "f", None)], "cannot make"),
    (lambda t: [("h", "h", "../../../../../../../../../etc/passwd")], "cannot make"),
])
def test_tars_that_mean_harm(engine, box, tmp_path, make, words):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, kind, target in make(tmp_path):
            member = tarfile.TarInfo(name)
            if kind == "l":
                member.type, member.linkname = tarfile.SYMTYPE, target
            elif kind == "h":
                member.type, member.linkname = tarfile.LNKTYPE, "/nonexistent" + target
            tar.addfile(member)
    engine("cp", "-", "box:/d/sub", input=data.getvalue()).failed(words)
    assert not (tmp_path / "out").exists()


def test_a_race_of_renames(engine, tmp_path):
    """A directory that turns into a link to / and back, all the time: nothing of the host comes or goes."""
    bait, target = tmp_path / "bait", tmp_path / "target"
    target.mkdir()
    bait.write_text("host\n")
    script = (f"mkdir -p /x/real{target}; ln -s / /x/evil; mv /x/real /x/d; "
              "while :; do mv /x/d /x/real; mv /x/evil /x/d; mv /x/d /x/evil; mv /x/real /x/d; done")
    engine("run", "-d", "--name", "race", IMAGE, "sh", "-c", script).ok()
    try:
        for n in range(60):
            engine("cp", bait, f"race:/x/d{target}/planted")
            engine("cp", f"race:/x/d{bait}", tmp_path / "got")
            engine("cp", "race:/x", tmp_path / f"all{n}")
            assert os.listdir(target) == [] and not (tmp_path / "got").exists()
            assert not list((tmp_path / f"all{n}").rglob("bait"))
    finally:
        engine("rm", "-f", "race").ok()


def test_volumes(engine, tmp_path):
    (tmp_path / "f").write_text("x")
    engine("run", "-d", "--name", "v", "-v", "vol:/v", "-v", "/usr:/ro:ro", IMAGE, "sleep", "100").ok()
    engine("cp", tmp_path / "f", "v:/v/f").ok()
    assert engine("exec", "v", "cat", "/v/f").ok().out == "x"
    engine("cp", tmp_path / "f", "v:/ro/f").failed("Read-only")
    engine("stop", "-t", "0", "v").ok()
    engine("cp", tmp_path / "f", "v:/v/g").failed("only while")
    engine("rm", "v").ok()
    engine("volume", "rm", "vol").ok()


@pytest.mark.parametrize("flags", [["run", "-d"], ["create"]])
def test_a_read_only_root(engine, tmp_path, flags):
    engine(*flags, "--read-only", "--name", "ro", IMAGE, "sleep", "100").ok()
    result = engine("cp", "/etc/hostname", "ro:/x")
    got = engine("cp", "ro:/etc/passwd", tmp_path / "p")
    engine("rm", "-f", "ro").ok()
    assert result.code and "ead-only" in result.err and got.code == 0


def test_no_rights_come_out(engine, tmp_path):
    """A set-user-ID file of a container's user would be root's on the host, its devices the host's, and its file
    capabilities good there: all that only with --archive."""
    script = ("mkdir /d /d/s; cp /bin/busybox /d/su; chown 1000 /d/su; chmod 6755 /d/su; chmod 2777 /d/s; "
              "mknod /d/disk b 7 99; mkfifo /d/fifo; exec sleep 100")
    engine("run", "-d", "--name", "box", "--cap-add", "mknod", "--device-cgroup-rule", "b 7:99 m", IMAGE, "sh", "-c",
           script).ok()
    assert kit.eventually(lambda: "A /d/fifo" in engine("diff", "box").out)
    engine("cp", "box:/d", tmp_path / "plain").ok()
    mode = {n: oct((tmp_path / "plain" / n).lstat().st_mode)[-4:] for n in ("su", "s")}
    assert mode == {"su": "0755", "s": "0777"}
    assert sorted(os.listdir(tmp_path / "plain")) == ["fifo", "s", "su"]
    engine("cp", "-a", "box:/d", tmp_path / "archive").ok()
    assert oct((tmp_path / "archive" / "su").stat().st_mode)[-4:] == "6755"
    assert (tmp_path / "archive" / "su").stat().st_uid == 1000
    assert (tmp_path / "archive" / "disk").is_block_device()
    engine("rm", "-f", "box").ok()


def test_names_are_no_commands_to_a_terminal(engine, tmp_path):
    engine("run", "--name", "box", IMAGE, "sh", "-c", "touch \"/tmp/a$(printf '\\033[31m')b\"").ok()
    assert engine("diff", "box").ok().out.splitlines() == ["C /tmp", "A /tmp/a\\x1b[31mb"]
    assert "\\u001b" in engine("diff", "--format", "json", "box").ok().out
    engine("commit", "-m", "a\x1b[31mb", "box", "evil").ok()
    for flags in ((), ("--format", "table {{.Comment}}")):
        assert "a\\x1b[31mb" in engine("history", *flags, "evil").ok().out
    assert engine("history", "--format", "{{.Comment}}", "evil").ok().out.startswith("a\x1b[31mb\n")  # for programs
    engine("rm", "box").ok()
    engine("rmi", "evil").ok()
