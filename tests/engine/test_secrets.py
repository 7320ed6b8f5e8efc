"""Secrets: their commands, compared with podman's, and that they are in no place where they must not be."""

import json
import os
import pathlib
import subprocess

import pytest
from enginekit import IMAGE

DATA = "Tr0ub4dor-and-3"


def feed(engine, data, *args):
    done = subprocess.run(engine.argv(*args), input=data.encode(), env=engine.env, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


@pytest.fixture
def secret(engine):
    yield feed(engine, DATA, "secret", "create", "db", "-")
    engine("secret", "rm", "--all").ok()


def sh(engine, script, *flags):
    return engine("run", "--rm", *flags, IMAGE, "sh", "-c", script)


@pytest.mark.fast
@pytest.mark.parametrize("spec, script, out", [
    ("db", "cat /run/secrets/db; stat -c ' %a %u:%g' /run/secrets/db", f"{DATA} 444 0:0\n"),
    ("db,mode=0400,uid=7,gid=8,target=x", "stat -c '%a %u:%g' /run/secrets/x", "400 7:8\n"),
    ("source=db,target=/etc/key", "cat /etc/key", DATA),
    ("db,type=env", "printf %s $db", DATA),
    ("db,type=env,target=DB", "printf %s $DB", DATA),
    ("db", "echo x >/run/secrets/db 2>/dev/null || echo no", "no\n"),
    ("db", "awk '$2 == \"/run/secrets\" {print $3}' /proc/mounts", "tmpfs\n"),
])
def test_use(engine, secret, spec, script, out):
    assert sh(engine, script, "--secret", spec).ok().out == out


def test_of_a_user(engine, secret):
    flags = ("--secret", "db,mode=0400,uid=7", "-u")
    assert sh(engine, "cat /run/secrets/db", *flags, "7").ok().out == DATA
    assert sh(engine, "cat /run/secrets/db", *flags, "8").code == 1


# The same in podman; {} is the engine's container command.
@pytest.mark.parametrize("spec, script", [
    ("db", "cat /run/secrets/db; stat -c ' %a %u:%g' /run/secrets/db"),
    ("db,target=/etc/key,mode=440", "cat /etc/key; stat -c %a /etc/key"),
    ("db,type=env,target=DB", "printf %s $DB"),
])
def test_as_podman(engine, podman, secret, spec, script):
    made = subprocess.run(podman.argv("secret", "create", "db", "-"), input=DATA.encode(), capture_output=True)
    assert made.returncode == 0, made
    theirs = podman("run", "--rm", "--network", "none", "--secret", spec, IMAGE, "sh", "-c", script)
    podman("secret", "rm", "db")
    assert theirs.returncode == 0 and sh(engine, script, "--secret", spec).ok().out == theirs.stdout


def test_listing_as_podman(engine, podman, secret):
    made = subprocess.run(podman.argv("secret", "create", "-l", "a=b", "db", "-"), input=b"x", capture_output=True)
    assert made.returncode == 0, made
    engine("secret", "create", "--replace", "-l", "a=b", "db", "/etc/hostname").ok()
    shapes = []
    for ls, inspect, pretty in ((engine("secret", "ls").ok().out, engine("secret", "inspect", "db").ok().out,
                                 engine("secret", "inspect", "--pretty", "db").ok().out),
                                (podman("secret", "ls").stdout, podman("secret", "inspect", "db").stdout,
                                 podman("secret", "inspect", "--pretty", "db").stdout)):
        found = json.loads(inspect)[0]
        assert len(found["ID"]) == 25
        found["Spec"]["Driver"]["Options"] = None
        shapes.append((ls.split("\n")[0].split(), ls.split("\n")[1].split()[1:3], [*found], found["Spec"],
                       [line.split(":")[0] for line in pretty.splitlines()]))
    podman("secret", "rm", "db")
    assert shapes[0] == shapes[1]


@pytest.mark.fast
def test_nowhere_else(engine, secret):
    """Neither in the store's other files nor the run directory, nor in what is printed."""
    id = engine.up("sleep", "100", flags=["--name", "s", "--secret", "db", "--secret", "db,type=env,target=DB"])
    own = {engine.root / "secrets" / secret / "data", engine.dir(id) / "secrets" / "0",
           engine.dir(id) / "secrets" / "env"}
    found = set()
    for top in (engine.root, engine.runroot):
        for path, _, names in os.walk(top):
            for name in names:
                file = pathlib.Path(path, name)
                if file.is_file() and not file.is_symlink() and DATA.encode() in file.read_bytes():
                    found.add(file)
    assert found == own
    assert all(p.stat().st_mode & 0o777 in (0o600, 0o444) and p.parent.stat().st_mode & 0o777 == 0o700 for p in own)
    assert (engine.root / "secrets").stat().st_mode & 0o777 == 0o700
    pid = engine.monitor_state(id)["monitor"]
    assert DATA.encode() not in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    shown = engine("inspect", "s").ok().out
    assert DATA not in shown
    assert json.loads(shown)[0]["Config"]["Secrets"][0] == {"Name": "db", "ID": secret, "UID": 0, "GID": 0,
                                                           "Mode": 0o444}
    assert engine("exec", "s", "sh", "-c", "printf %s $DB").ok().out == DATA
    assert engine("diff", "s").ok().out.count("db") == 0
    engine("restart", "-t0", "s").ok()
    assert engine("exec", "s", "sh", "-c", "printf %s $DB; cat /run/secrets/db").ok().out == DATA * 2
    image = engine("commit", "s").ok().out.strip()
    assert engine("run", "--rm", image, "sh", "-c", "ls /run/secrets; echo $DB").ok().out.strip() == ""
    engine("rm", "-f", "s").ok()
    engine("rmi", image).ok()
    assert not engine.dir(id).exists()


def test_lasts_beyond_the_secret(engine):
    feed(engine, DATA, "secret", "create", "gone", "-")
    engine("create", "--name", "g", "--secret", "gone", IMAGE, "cat", "/run/secrets/gone").ok()
    engine("secret", "rm", "gone").ok()
    assert engine("start", "-a", "g").ok().out == DATA
    engine("rm", "g").ok()


def test_below_a_tmpfs_of_the_callers(engine, secret):
    assert sh(engine, "cat /run/secrets/db", "--secret", "db", "--tmpfs", "/run").ok().out == DATA
    assert sh(engine, "cat /run/secrets/db", "--secret", "db", "--read-only").ok().out == DATA


@pytest.mark.fast
def test_commands(engine, tmp_path):
    file = tmp_path / "f"
    file.write_bytes(b"\0binary\n")
    first = engine("secret", "create", "--label", "k=v", "one", file).ok().out.strip()
    engine("secret", "create", "one", file).failed("name in use")
    again = engine("secret", "create", "--replace", "one", file).ok().out.strip()
    assert again != first and os.listdir(engine.root / "secrets") == [again]
    left = engine.root / "secrets" / ".gone-of-one-that-was-killed"
    left.mkdir()
    (left / "data").write_text("x")
    engine.env["PASS"] = DATA
    two = engine("secret", "create", "--env", "two", "PASS").ok().out.strip()
    del engine.env["PASS"]
    assert sorted(engine("secret", "ls", "-q").ok().out.split()) == sorted([again, two])
    assert engine("secret", "ls", "--filter", "name=one", "--format", "{{.Name}} {{.Driver}}").ok().out == "one file\n"
    assert engine("secret", "ls", "--noheading", "--filter", f"id={two[:6]}").ok().out.split()[1] == "two"
    assert engine("secret", "inspect", "-f", "{{.Spec.Name}}", two[:10]).ok().out == "two\n"
    assert sh(engine, "od -An -c /run/secrets/one", "--secret", "one").ok().out.split()[0] == "\\0"
    assert sh(engine, "cat /run/secrets/two", "--secret", "two").ok().out == DATA
    sh(engine, "true", "--secret", "one,type=env").failed("zero byte", code=125)
    assert engine("secret", "exists", "one").code == 0
    assert engine("secret", "rm", "one", "nosuch").code == 125
    assert engine("secret", "exists", "one").code == 1
    assert engine("secret", "rm", "-i", "nosuch").ok().out == ""
    assert engine("secret", "rm", "--all").ok().out == two + "\n"
    assert os.listdir(engine.root / "secrets") == []


@pytest.mark.parametrize("spec, words", [
    ("nosuch", "no secret"), ("db,type=file", "neither mount"), ("db,mode=9", "not octal"), ("db,uid=me", "no number"),
    ("db,colour=red", "no KEY=VALUE"), ("type=env", "names no secret"), ("db,type=env,mode=400", "are for files"),
    ("db,target=../../..", "can't be a file"), ("db,type=env,target=a=b", "variable's name"),
])
def test_refusals(engine, secret, spec, words):
    sh(engine, "true", "--secret", spec).failed(words, code=125)


def test_sizes_and_names(engine, tmp_path):
    file = tmp_path / "f"
    file.write_bytes(b"")
    engine("secret", "create", "e", file).failed("larger than 0")
    file.write_bytes(b"x" * 512000)
    engine("secret", "create", "e", file).failed("less than 512000")
    file.write_bytes(b"x" * 511999)
    engine("secret", "create", "e", file).ok()
    assert sh(engine, "wc -c </run/secrets/e", "--secret", "e").ok().out == "511999\n"
    sh(engine, "true", "--secret", "e,type=env").failed("too long for a variable", code=125)
    engine("secret", "rm", "e").ok()
    for name in ("a b", "-a", "a.", "x" * 65, "a/b"):
        engine("secret", "create", "--", name, file).failed("can't be a secret's name")
    engine("secret", "create", "--driver", "pass", "e", file).failed("no driver but file")
    engine("run", "--rm", "--secret", "e", "host", "true").failed("is for containers of an image", code=125)
