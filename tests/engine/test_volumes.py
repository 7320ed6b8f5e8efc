"""Named volumes and --mount: what is shared, kept, copied up, and when a volume may go."""

import json
import os
import signal
import threading

import pytest
from enginekit import IMAGE, eventually


@pytest.fixture(autouse=True)
def no_volumes(engine):
    yield
    engine("rm", "--all", "--force").ok()
    engine("volume", "rm", "--all", "--force").ok()


def sh(engine, script, *flags):
    return engine("run", "--rm", *flags, IMAGE, "sh", "-c", script)


@pytest.mark.fast
def test_outlives_containers(engine):
    sh(engine, "echo kept >/d/f", "-v", "data:/d").ok()
    assert sh(engine, "cat /e/f", "-v", "data:/e").ok().out == "kept\n"
    assert engine("volume", "ls", "-q").ok().out == "data\n"
    assert sh(engine, "echo x >/d/g", "-v", "data:/d:ro").code == 1


def test_gets_the_images_content_once(engine):
    first = sh(engine, "ls /etc; rm /etc/passwd", "-v", "etc:/etc").ok().out
    assert "passwd" in first
    assert sh(engine, "test -e /etc/passwd", "-v", "etc:/etc").code == 1
    assert "passwd" not in sh(engine, "ls /etc", "-v", "bare:/etc:nocopy").out


@pytest.mark.parametrize("spec, script, out", [
    ("type=volume,source=m,target=/d", "echo x >/d/f && cat /d/f", "x\n"),
    ("src=m,dst=/d,readonly", "touch /d/f 2>/dev/null || echo no", "no\n"),
    ("type=volume,dst=/d", "touch /d/f && echo yes", "yes\n"),
    ("type=tmpfs,destination=/d,tmpfs-size=1m,tmpfs-mode=0700",
     "grep -c ' /d tmpfs.*size=1024k' /proc/mounts; stat -c %a /d", "1\n700\n"),
    ("type=devpts,dst=/d", "awk '$2 == \"/d\" {print $3}' /proc/mounts; ls /d", "devpts\nptmx\n"),
    ("type=bind,src=/usr,dst=/d,ro,bind-propagation=rslave", "touch /d/f 2>/dev/null || echo no", "no\n"),
])
def test_mount(engine, spec, script, out):
    assert sh(engine, script, "--mount", spec).ok().out == out


@pytest.mark.parametrize("flags, words", [
    (["-v", "a/b:/x"], "not an absolute path"), (["-v", "./a:/x"], "mkdir -p"),
    (["-v", "/nonexistent:/x"], "cannot use"), (["-v", "d:x"], "no absolute path"), (["-v", "d:/"], 'can\'t be "/"'),
    (["-v", "/usr:/x:U"], "the host's own"), (["-v", "/usr:/x:frobnicate"], "no option"),
    (["-v", "d:/x", "-v", "e:/x"], "mounted on"), (["-v", ".hidden:/x"], "not an absolute path"),
    (["--mount", "type=glob,src=/usr/*,dst=/x"], "not supported"),
    (["--mount", "type=bind,dst=/x"], "needs a source"), (["--mount", "type=nonsense,dst=/x"], "none of"),
    (["--mount", "type=volume,src=v"], "no absolute path"), (["--mount", "src=v,dst=/x,colour=red"], "no key"),
    (["--mount", "type=volume,src=v,dst=/x,volume-subpath=../a"], "no path below"),
    (["--mount", "type=volume,src=v,dst=/x,volume-subpath=/a"], "no path below"),
    (["--mount", "type=bind,src=/usr,dst=/x,subpath=a"], "of a volume with a name"),
    (["--mount", "type=image,src=nosuch:1,dst=/x"], "berth pull nosuch:1"),
    (["--mount", "type=image,dst=/x"], "needs a source"),
    (["--mount", "type=tmpfs,dst=/x,tmpfs-size=much"], "no size"),
])
def test_refusals(engine, flags, words):
    sh(engine, "true", *flags).failed(words, code=125)
    assert engine("volume", "ls", "-q").ok().out == ""


@pytest.mark.fast
def test_in_use(engine):
    engine("create", "--name", "user", "-v", "data:/d", IMAGE, "true").ok()
    engine("volume", "rm", "data").failed('"user"', code=2)
    assert engine("volume", "prune", "-f").ok().out == ""
    assert engine("volume", "ls", "-q", "--filter", "dangling=true").ok().out == ""
    assert engine("volume", "rm", "-f", "data").ok().out == "data\n"
    assert engine("ps", "-aq").ok().out == ""
    engine("volume", "rm", "data").failed("no volume", code=1)
    assert engine("volume", "rm", "-f", "data").ok().out == ""


def test_create_list_inspect(engine):
    assert engine("volume", "create", "--label", "app=db", "one").ok().out == "one\n"
    engine("volume", "create", "one").failed("exists")
    name = engine("volume", "create").ok().out.strip()
    assert len(name) == 64
    assert engine("volume", "ls", "-q", "--filter", "label=app").ok().out == "one\n"
    found = json.loads(engine("volume", "inspect", "one").ok().out)
    assert (found[0]["Name"], found[0]["Driver"], found[0]["Labels"]) == ("one", "local", {"app": "db"})
    assert engine("volume", "inspect", "-f", "{{.Name}} {{.Scope}}", name[:10]).ok().out == f"{name} local\n"
    assert engine("volume", "exists", "one").code == 0
    assert engine("volume", "exists", "two").code == 1
    assert sorted(engine("volume", "prune", "-f").ok().out.split()) == sorted(["one", name])


def test_two_first_users_at_once(engine):
    """Both see the whole of what was copied, or what is there: never a half."""
    outs = []

    def use():
        outs.append(sh(engine, "ls /bin | wc -l", "-v", "bin:/bin").ok().out)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(outs) == 4 and len(set(outs)) == 1, outs


def test_a_link_in_the_image_leads_nowhere_else(engine):
    """A destination below a link of the container's own is found inside its root."""
    engine("run", "--name", "l", IMAGE, "sh", "-c", "ln -s / /out").ok()
    image = engine("commit", "l").ok().out.strip()
    assert engine("run", "--rm", "-v", "h:/out/etc", image, "ls", "/etc").ok().out.split().count("shadow") == 0
    engine("rm", "l").ok()
    engine("rmi", "-f", image).ok()


@pytest.mark.fast
def test_volumes_from(engine, tmp_path):
    """What the other has: binds, named and anonymous volumes, but no tmpfs; ours win."""
    (tmp_path / "f").write_text("host")
    engine("run", "--name", "first", "-v", f"{tmp_path}:/b", "-v", "named:/n", "-v", "/a", "--tmpfs", "/t", "-v",
           "other:/own", IMAGE, "sh", "-c", "echo a >/a/f; echo n >/n/f; echo t >/t/f; echo o >/own/f").ok()
    script = "cat /b/f /n/f /a/f; ls /own; ls /t 2>/dev/null"
    assert sh(engine, script, "--volumes-from", "first", "-v", "mine:/own").out == "hostn\na\n"
    assert sh(engine, "touch /a/x || touch /n/x || echo no", "--volumes-from", "first:ro").ok().out == "no\n"
    sh(engine, "touch /a/x /n/x", "--volumes-from", "first:rw,z").ok()
    sh(engine, "true", "--volumes-from", "first:shared").failed("none of ro, rw", code=125)
    sh(engine, "true", "--volumes-from", "nosuch").failed("no such container", code=125)
    engine("create", "--name", "second", "--volumes-from", "first", IMAGE, "cat", "/a/f").ok()
    found = {m["Destination"]: (m["Type"], m.get("Name")) for m in engine.json("inspect", "second")[0]["Mounts"]}
    assert found == {"/b": ("bind", None), "/n": ("volume", "named"), "/a": ("volume", ""),
                     "/own": ("volume", "other")}
    assert engine.json("inspect", "second")[0]["HostConfig"]["VolumesFrom"] == ["first"]
    engine("rm", "first").failed('used by container "second"')
    engine("rm", "-f", "first").failed('used by container "second"')
    engine("volume", "rm", "named").failed("in use", code=2)
    assert engine("start", "-a", "second").ok().out == "a\n"
    engine("rm", "second").ok()
    engine("rm", "first").ok()


def test_volumes_from_as_podman(engine, podman):
    outs = []
    for call in (engine, podman):
        call("run", "--network", "none", "--name", "vf", "-v", "/a", "-v", "nv:/n", IMAGE, "sh", "-c",
             "echo a >/a/f; echo n >/n/f")
        done = call("run", "--rm", "--network", "none", "--volumes-from", "vf:ro", IMAGE, "sh", "-c",
                    "cat /a/f /n/f; touch /a/x 2>/dev/null || echo no")
        outs.append(done.out if call is engine else done.stdout)
        call("rm", "-f", "vf")
    podman("volume", "rm", "nv")
    assert outs[0] == outs[1] == "a\nn\nno\n"


@pytest.mark.parametrize("kind, out", [("bind", "ext4"), ("tmpfs", "tmpfs"), ("ignore", "")])
def test_image_volume(engine, kind, out):
    engine("create", "--name", "src", IMAGE).ok()
    image = engine("commit", "-c", "VOLUME /vol", "src").ok().out.strip()
    engine("rm", "src").ok()
    kinds = engine("run", "--rm", "--image-volume", kind, image, "sh", "-c",
                   "awk '$2 == \"/vol\" {print $3}' /proc/mounts").ok().out.strip()
    assert bool(kinds) == bool(out) and (kind != "tmpfs" or kinds == "tmpfs") and (kind != "bind" or kinds != "tmpfs")
    engine("rmi", image).ok()


def test_volume_driver(engine):
    sh(engine, "true", "--volume-driver", "local", "-v", "d:/d").ok()
    sh(engine, "true", "--volume-driver", "nfs", "-v", "d:/d").failed("no driver but local", code=125)


@pytest.mark.fast
def test_subpath(engine):
    sh(engine, "mkdir -p /d/a/b && echo deep >/d/a/b/f && ln -s /etc /d/out", "-v", "s:/d").ok()
    part = "type=volume,src=s,dst=/x,volume-subpath="
    assert sh(engine, "cat /x/f; ls /x", "--mount", part + "a/b").ok().out == "deep\nf\n"
    assert sh(engine, "cat /x", "--mount", part + "a/b/f,ro").ok().out == "deep\n"
    sh(engine, "touch /x/g", "--mount", part + "a/./b").ok()
    assert sh(engine, "ls /d/a/b", "-v", "s:/d").ok().out == "f\ng\n"
    sh(engine, "true", "--mount", part + "none").failed("cannot use", code=125)
    sh(engine, "true", "--mount", part + "out").failed("cannot use", code=125)
    assert engine("run", "--name", "twice", "--mount", part + "a", IMAGE, "ls", "/x").ok().out == "b\n"
    assert engine("start", "-a", "twice").ok().out == "b\n"
    engine("volume", "rm", "s").failed("in use", code=2)
    engine("rm", "twice").ok()


@pytest.mark.fast
def test_image_mount(engine):
    """An image's tree, read-only; its layers stay while a container has them."""
    engine("run", "--name", "src", IMAGE, "sh", "-c", "mkdir /data && echo of-image >/data/f").ok()
    image = engine("commit", "src", "localhost/data:1").ok().out.strip()
    engine("rm", "src").ok()
    flags = ("--mount", "type=image,src=localhost/data:1,dst=/i")
    assert sh(engine, "cat /i/data/f; touch /i/x 2>/dev/null || echo no", *flags).ok().out == "of-image\nno\n"
    engine("create", "--name", "user", *flags, IMAGE, "cat", "/i/data/f").ok()
    found = engine.json("inspect", "user")[0]["Mounts"]
    assert [(m["Type"], m["Source"], m["Destination"], m["RW"]) for m in found] == [
        ("image", "localhost/data:1", "/i", False)]
    engine("rmi", "-f", image).ok()
    assert engine("start", "-a", "user").ok().out == "of-image\n"
    engine("rm", "user").ok()
    engine("system", "prune", "-f").ok()
    sh(engine, "true", *flags).failed("berth pull", code=125)


def test_image_mount_as_podman(engine, podman):
    script = "cat /i/etc/hostname 2>/dev/null; ls /i; touch /i/x 2>/dev/null || echo no"
    flags = ("--mount", f"type=image,src={IMAGE},dst=/i")
    theirs = podman("run", "--rm", "--network", "none", *flags, IMAGE, "sh", "-c", script)
    assert theirs.returncode == 0, theirs
    assert sh(engine, script, *flags).ok().out == theirs.stdout


def test_gone_while_it_ran(engine):
    """A container that removes itself, with mounts of its monitor's: nothing is left."""
    id = engine.up("sleep", "0.2", flags=["--rm", "--mount", f"type=image,src={IMAGE},dst=/i"])
    assert eventually(lambda: not engine.dir(id).exists(), 10)


def test_df_counts_them(engine):
    engine("volume", "create", "idle").ok()
    sh(engine, "head -c 300000 /dev/zero >/d/f", "-v", "idle:/d").ok()
    id = engine("create", "-v", "used:/d", IMAGE, "sh", "-c", "head -c 200000 /dev/zero >/f").ok().out.strip()
    engine("start", "-a", id).ok()
    rows = {r["Type"]: r for r in json.loads(engine("system", "df", "--format", "json").ok().out)}
    volumes = rows["Local Volumes"]
    assert (volumes["Total"], volumes["Active"]) == (2, 1)
    assert 300_000 <= volumes["RawReclaimable"] < volumes["RawSize"] < 400_000
    stopped = rows["Containers"]
    assert (stopped["Total"], stopped["Active"]) == (1, 0) and stopped["RawReclaimable"] >= 200_000
    engine.up("sleep", "100", flags=("--name", "up"))
    rows = {r["Type"]: r for r in json.loads(engine("system", "df", "--format", "json").ok().out)}
    assert (rows["Containers"]["Total"], rows["Containers"]["Active"]) == (2, 1)
    assert rows["Containers"]["RawReclaimable"] < rows["Containers"]["RawSize"]
    links = {line.split()[0]: line.split()[1] for line in engine("system", "df", "-v").ok().out.splitlines()
             if line.split()[:1] in (["idle"], ["used"])}
    assert links == {"idle": "0", "used": "1"}


def mounted(engine, name):
    return str(engine.root / "volumes" / name / "_data") in {m.split()[1] for m in open("/proc/mounts")}


@pytest.mark.fast
def test_a_file_system_of_its_own(engine):
    """A tmpfs: one for all that have it at a time, gone with the last."""
    engine("volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=1m,mode=0700", "t").ok()
    assert json.loads(engine("volume", "inspect", "t").ok().out)[0]["Options"] == {
        "type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=0700"}
    assert not mounted(engine, "t")
    one = engine.up("sh", "-c", "echo shared >/d/f; sleep 100", flags=["-v", "t:/d"])
    assert eventually(lambda: engine("exec", one, "cat", "/d/f").out == "shared\n", 10)
    two = engine.up("sleep", "100", flags=["-v", "t:/d"])
    assert engine("exec", two, "cat", "/d/f").ok().out == "shared\n"
    assert engine("exec", two, "sh", "-c", "df -k /d | tail -1 | awk '{print $2}'; stat -c %a /d").ok().out == "1024\n700\n"
    engine("rm", "-f", one).ok()
    assert mounted(engine, "t")
    engine("stop", "-t0", two).ok()
    assert not mounted(engine, "t")
    engine("start", two).ok()
    assert engine("exec", two, "ls", "/d").ok().out == ""
    engine("rm", "-f", two).ok()
    assert not mounted(engine, "t")


@pytest.mark.parametrize("flags", [["-d"], []], ids=["detached", "attended"])
def test_it_is_unmounted_when_the_last_one_ends(engine, flags):
    """By itself, without a command: the monitor has it done, also where nobody looks."""
    engine("volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "t").ok()
    other = engine.up("sleep", "100", flags=["-v", "t:/d"])
    engine.run(*flags, "--name", "m", "-v", "t:/d", IMAGE, "sh", "-c", "mount | grep -q /d").ok()
    engine.becomes("m", "exited")
    assert mounted(engine, "t")  # the other has it
    engine("container", "cleanup", other).failed("is running")
    engine("kill", other).ok()
    assert eventually(lambda: not mounted(engine, "t"), 10)
    engine("start", "-a", "m").ok()
    assert eventually(lambda: not mounted(engine, "t"), 10)
    engine("container", "cleanup", "--all").ok()
    engine("rm", other, "m").ok()
    engine("volume", "rm", "t").ok()


def test_cleanup_after_a_monitor_that_was_killed(engine):
    engine("volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "t").ok()
    id = engine.up("sleep", "100", flags=["--name", "m", "-v", "t:/d"])
    os.kill(engine.monitor_state(id)["monitor"], signal.SIGKILL)
    assert eventually(lambda: engine("container", "cleanup", "m").code == 0 and not mounted(engine, "t"), 10)
    engine("rm", "-f", "m").ok()
    engine("volume", "rm", "t").ok()


def test_a_directory_of_the_host(engine, tmp_path):
    (tmp_path / "f").write_text("of the host\n")
    engine("volume", "create", "-o", "type=none", "-o", "o=bind,ro", "-o", f"device={tmp_path}", "b").ok()
    assert sh(engine, "cat /d/f; touch /d/x 2>/dev/null || echo no", "-v", "b:/d").ok().out == "of the host\nno\n"
    assert sh(engine, "cat /d/f", "-v", "b:/d:ro").ok().out == "of the host\n"
    engine("volume", "rm", "b").ok()
    assert (tmp_path / "f").exists()


def test_options_that_do_not_work(engine):
    engine("volume", "create", "-o", "colour=red", "x").failed("none of type")
    engine("volume", "create", "-o", "o=ro", "x").failed("a device or a type")
    engine("volume", "create", "-o", "type=nosuchfs", "-o", "device=none", "x").ok()
    sh(engine, "true", "-v", "x:/d").failed("cannot mount volume", code=125)
    engine("volume", "rm", "x").ok()
