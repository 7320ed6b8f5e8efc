"""--userns and its like: who root is outside, what is on disk, ranges that don't overlap, and podman beside it.

berth runs where /etc/subuid and /etc/subgid are ours: in a mount namespace in which they are bound over."""

import concurrent.futures
import itertools
import os
import stat
import tarfile

import pytest
from enginekit import IMAGE, Engine, kit

pytestmark = [pytest.mark.needs("path:/bin/busybox"), pytest.mark.needs("path:/etc/subuid"),
              pytest.mark.needs("path:/etc/subgid")]
MAPS = ("--uidmap", "0:100000:65536")
FIRST, COUNT = 2013265920, 10 * 65536
BIND = "mount --bind $SUBIDS /etc/subuid && mount --bind $SUBIDS /etc/subgid && exec \"$@\""
serial = itertools.count(1)


class Granted(Engine):
    """berth that sees an /etc/subuid with the lines that grant() says."""

    def grant(self, *lines):
        (self.home / "subids").write_text("".join(f"{line}\n" for line in lines))

    def argv(self, *args):
        return ["unshare", "-m", "env", f"SUBIDS={self.home}/subids", "sh", "-c", BIND, "sh", *super().argv(*args)]


@pytest.fixture
def granted(base, layout, watch):
    path = base / f"granted{next(serial)}"
    (path / "home").mkdir(parents=True)
    (path / "home/subids").write_text(f"containers:{FIRST}:{COUNT}\n")
    (path / "home/subids").rename(path / "subids")
    (path / "home").rmdir()
    found = Granted.__new__(Granted)
    kit.Berth.__init__(found, path)
    (path / "subids").rename(found.home / "subids")
    found("load", "-q", "-i", layout).ok()
    watch.engines.append(found)
    watch.own.append(found)
    yield found
    found("rm", "-fa", timeout=60).ok()


def mapping(engine, name):
    return [tuple(map(int, m.split(":"))) for m in
            engine.json("inspect", name)[0]["HostConfig"]["IDMappings"]["UidMap"]]


def pid_of(engine, name):
    return engine.json("inspect", name)[0]["State"]["Pid"]


def test_root_is_somebody_else(engine):
    id = engine.up("sh", "-c", "touch /made; chown 5:6 /made; mkfifo /f; exec sleep 100", flags=MAPS)
    pid = pid_of(engine, id)
    assert os.stat(f"/proc/{pid}").st_uid == 100000
    assert kit.eventually(lambda: os.path.exists(f"/proc/{pid}/root/f"), 10)
    seen = os.stat(f"/proc/{pid}/root/made")
    assert (seen.st_uid, seen.st_gid) == (100005, 100006)
    assert os.stat(f"/proc/{pid}/root/bin/busybox").st_uid == 100000
    disk = os.stat(engine.dir(id) / "upper/made")
    assert (disk.st_uid, disk.st_gid) == (5, 6)
    ls = engine("exec", id, "ls", "-ln", "/made", "/bin/busybox", "/etc/hosts").ok().out
    assert [line.split()[2:4] for line in ls.splitlines()] == [["0", "0"], ["0", "0"], ["5", "6"]]
    assert mapping(engine, id) == [(0, 100000, 65536)]
    engine("rm", "-f", id).ok()


def test_what_works_inside(engine):
    script = ("id -u; echo x > /etc/hosts && echo hosts; hostname other && echo named; mount -t tmpfs t /tmp || echo none;"
              "mknod /n c 1 3 || echo nonode; echo y > /dev/stdout; cat /proc/self/setgroups; echo z > /dev/shm/z && "
              "echo shm; chown 65535:65535 /etc && echo last; chown 65536 /etc || echo beyond")
    out = engine.sh(script, *MAPS, "--cap-add", "SYS_ADMIN,MKNOD").ok().out.split()
    assert out == ["0", "hosts", "named", "nonode", "y", "allow", "shm", "last", "beyond"]


@pytest.mark.parametrize("flags", [
    "--network host", "--pid host", "--ipc host", "--uts host", "--cgroupns host", "--privileged", "--init",
    "--network host --pid host --ipc host --privileged", "--read-only --tmpfs /x", "--user 1000:1000",
    "--device /dev/null:/dev/other", "--security-opt no-new-privileges=false", "--memory 64m --cpus 0.5",
])
def test_combined(engine, flags):
    uid = 1000 if "--user" in flags else 0
    script = "id -u; test -d /proc/self/fd && test -d /sys/class && ls /dev/shm >/dev/null && echo good"
    assert engine.sh(script, *MAPS, *flags.split()).ok().out.split() == [str(uid), "good"]


def test_no_group_for_terminals(engine):
    done = engine.sh("id -u; ls -lnd /dev/pts/ptmx", "--uidmap", "0:100000:2")
    assert done.ok().out.startswith("0\n")


def test_devices_of_the_image_are_none(engine, granted):
    """Its root may use what its cgroup allows; a node in a layer would be the host's device."""
    granted.run("--name", "maker", IMAGE, "true").ok()
    upper = granted.dir(granted.ids()[0]) / "upper"
    os.mknod(upper / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    granted("commit", "-q", "maker", "localhost/dev:1").ok()
    assert granted.run("--rm", "localhost/dev:1", "sh", "-c", "echo > /null").code == 0
    assert granted.run("--rm", "--privileged", *MAPS, "localhost/dev:1", "sh", "-c", "echo > /null").code != 0


def test_started_again_and_again(granted):
    granted.run("-d", "--name", "c", "--userns", "auto", IMAGE, "sh", "-c", "echo . >> /n; exec sleep 100").ok()
    before = mapping(granted, "c")
    granted("restart", "-t", "0", "c").ok()
    granted("stop", "-t", "0", "c").ok()
    granted("start", "c").ok()
    assert mapping(granted, "c") == before
    assert kit.eventually(lambda: granted("exec", "c", "cat", "/n").out == ".\n" * 3, 10)
    assert os.stat(f"/proc/{pid_of(granted, 'c')}").st_uid == before[0][1]


def test_commit_export_diff_and_cp(engine, tmp_path):
    flags = ("--name", "src", *MAPS)
    engine.up("sh", "-c", "mkdir /d; echo a > /d/a; chown -R 7:8 /d; rm /etc/group; echo r > /ready; exec sleep 100",
              flags=flags)
    assert kit.eventually(lambda: engine("exec", "src", "test", "-s", "/ready").code == 0, 10)
    (tmp_path / "new").write_text("new")
    os.chown(tmp_path / "new", 3, 4)

    def owners(path, *names):
        with tarfile.open(path) as t:
            return [(t.getmember(n).uid, t.getmember(n).gid) for n in names]

    for up in (True, False):
        engine("export", "-o", tmp_path / "out.tar", "src").ok()
        assert owners(tmp_path / "out.tar", "d/a", "bin/busybox") == [(7, 8), (0, 0)]
        assert "D /etc/group" in engine("diff", "src").ok().out.splitlines()
        (tmp_path / "one.tar").write_bytes(engine("cp", "src:/d", "-", binary=True).ok().out)
        assert owners(tmp_path / "one.tar", "d/a") == [(7, 8)]
        engine("cp", tmp_path / "new", f"src:/plain{up}").ok()
        engine("cp", "-a", tmp_path / "new", f"src:/kept{up}").ok()
        upper = engine.dir(engine.ids()[0]) / "upper"
        assert [(s.st_uid, s.st_gid) for s in (os.stat(upper / f"{n}{up}") for n in ("plain", "kept"))] == \
            [(0, 0), (3, 4)]
        if up:
            out = engine("exec", "src", "ls", "-ln", "/plainTrue", "/keptTrue").ok().out
            assert [line.split()[2:4] for line in out.splitlines()] == [["3", "4"], ["0", "0"]]
            engine("stop", "-t", "0", "src").ok()
    engine("commit", "-q", "src", "localhost/made:1").ok()
    ls = engine.run("--rm", "localhost/made:1", "ls", "-ln", "/d/a", "/keptTrue").ok().out
    assert [line.split()[2:4] for line in ls.splitlines()] == [["7", "8"], ["3", "4"]]
    engine("rm", "src").ok()


def test_cp_of_an_owner_that_is_not_mapped(engine, tmp_path):
    engine.up("sleep", "100", flags=("--name", "few", "--uidmap", "0:100000:10"))
    (tmp_path / "f").write_text("")
    os.chown(tmp_path / "f", 10, 10)
    engine("cp", "-a", tmp_path / "f", "few:/f").failed("finish")
    engine("rm", "-f", "few").ok()


def test_volumes(engine, tmp_path):
    """On disk are the ids inside: two containers of other ranges and one without see the same."""
    make = "touch /v/$0 && chown 3:4 /v/$0 && ls -ln /v | tail -n +2 | while read m n u g r; do echo $u:$g; done"
    for n, maps in enumerate([MAPS, ("--uidmap", "0:300000:65536"), ()]):
        out = engine.run("--rm", "-v", "vol:/v", *maps, IMAGE, "sh", "-c", make, f"f{n}").ok().out.split()
        assert out == ["3:4"] * (n + 1)
    engine("volume", "rm", "vol").ok()
    os.chown(tmp_path, 0, 0)
    tmp_path.chmod(0o755)
    assert engine.sh("touch /h/x", *MAPS, "-v", f"{tmp_path}:/h").code != 0
    engine.sh("touch /h/x", *MAPS, "-v", f"{tmp_path}:/h:idmap").ok()
    engine.sh("touch /h/y; chown 5:5 /h/y", *MAPS, "--mount", f"type=bind,src={tmp_path},dst=/h,idmap").ok()
    assert [os.stat(tmp_path / n).st_uid for n in "xy"] == [0, 5]
    os.chown(tmp_path, 1000, 1000)
    out = engine.sh("ls -lnd /h; touch /h/z", "-v", f"{tmp_path}:/h:idmap=uids=1000-0-1;gids=1000-0-1").ok().out
    assert out.split()[2:4] == ["0", "0"]
    assert os.stat(tmp_path / "z").st_uid == 1000
    engine.sh("true", "-v", f"{tmp_path}:/h:idmap").failed("mappings")


def test_owners_changed(engine, tmp_path):
    """U: to the user inside, as the host or the store has it."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("")
    (tmp_path / "d/l").symlink_to("/etc/passwd")
    passwd = os.stat("/etc/passwd").st_uid
    for maps, owner in ((MAPS, 100007), ((), 7)):
        engine.run("--rm", *maps, "--user", "7:8", "-v", f"{tmp_path}:/h:U", IMAGE, "touch", "/h/d/new").ok()
        assert {os.lstat(p).st_uid for p in (tmp_path, tmp_path / "d", tmp_path / "d/f", tmp_path / "d/l")} == {owner}
    assert os.stat("/etc/passwd").st_uid == passwd
    engine.run("--rm", *MAPS, "--user", "7:8", "-v", "own:/v:U", IMAGE, "touch", "/v/x").ok()
    assert os.stat(engine.root / "volumes/own/_data").st_uid == 7
    engine("volume", "rm", "own").ok()
    engine.sh("true", "-v", "/usr:/h:U").failed("host's own")


def test_parts_and_images(engine):
    engine.run("--rm", "-v", "part:/v", IMAGE, "sh", "-c", "mkdir /v/in; touch /v/in/f; chown -R 3:4 /v/in").ok()
    ls = engine.run("--rm", *MAPS, "--mount", "type=volume,src=part,dst=/p,volume-subpath=in",
                    "--mount", f"type=image,src={IMAGE},dst=/i", IMAGE, "ls", "-ln", "/p/f", "/i/bin/busybox").ok().out
    assert [line.split()[2:4] for line in ls.splitlines()] == [["0", "0"], ["3", "4"]]
    engine("volume", "rm", "part").ok()


def test_volume_of_the_image(granted):
    granted.run("--name", "m", IMAGE, "sh", "-c", "mkdir /data; touch /data/f; chown -R 9:9 /data").ok()
    granted("commit", "-q", "--change", "VOLUME /data", "m", "localhost/vol:1").ok()
    ls = granted.run("--rm", *MAPS, "localhost/vol:1", "ls", "-lnd", "/data", "/data/f").ok().out
    assert [line.split()[2:4] for line in ls.splitlines()] == [["9", "9"], ["9", "9"]]


def test_auto_ranges(granted):
    for name in ("a", "b"):
        granted("create", "--name", name, "--userns", "auto", IMAGE, "true").ok()
    end = FIRST + COUNT
    assert mapping(granted, "a") == [(0, end - 65536, 65536)]
    assert mapping(granted, "b") == [(0, end - 2 * 65536, 65536)]
    granted("rm", "a").ok()
    granted("create", "--name", "c", "--userns", "auto:size=1000,uidmapping=500:1234:2,gidmapping=0:99", IMAGE).ok()
    assert sorted(mapping(granted, "c")) == [(0, end - 1000, 500), (500, 1234, 2), (502, end - 498, 498)]
    granted("create", "--name", "d", "--userns", "private", IMAGE, "true").ok()
    assert mapping(granted, "d") == [(0, end - 1000 - 65536, 65536)] or mapping(granted, "d")[0][1] < end - 2 * 65536
    assert granted.run("--rm", "--userns", "auto", IMAGE, "cat", "/proc/self/uid_map").ok().out.split()[2] == "65536"


def test_eight_at_once(granted):
    granted.grant(f"containers:{FIRST}:{8 * 65536}")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: granted("create", "--name", f"c{n}", "--userns", "auto", IMAGE, "true"), range(8)))
    for m in made:
        m.ok()
    found = sorted(mapping(granted, f"c{n}")[0][1] for n in range(8))
    assert found == [FIRST + n * 65536 for n in range(8)]
    granted("create", "--userns", "auto", IMAGE, "true").failed("no 65536 ids in a row are left")
    granted("rm", "c3").ok()
    granted("create", "--name", "again", "--userns", "auto", IMAGE, "true").ok()
    assert mapping(granted, "again")[0][1] not in set(found) - {FIRST + n * 65536 for n in range(8)}


def test_size_of_the_image(granted):
    granted.run("--name", "m", IMAGE, "sh", "-c", "echo big:x:70000:5::/: >> /etc/passwd; "
                "echo huge:x:4294967294: >> /etc/group").ok()
    granted("commit", "-q", "m", "localhost/big:1").ok()
    granted("create", "--name", "c", "--userns", "auto", "localhost/big:1", "true").ok()
    assert mapping(granted, "c")[0][2] == 70001


def test_nothing_granted(granted):
    granted.grant("somebody:100000:65536")
    done = granted("create", "--userns", "auto", IMAGE, "true").failed("/etc/subuid", "containers")
    assert "containers:2013265920:134086656" in done.err
    granted("create", "--subuidname", "nobody", IMAGE, "true").failed("nobody")
    granted.grant("somebody:100000:65536", "somebody:500000:10")
    granted("create", "--name", "c", "--subuidname", "somebody", IMAGE, "true").ok()
    assert mapping(granted, "c") == [(0, 100000, 65536), (65536, 500000, 10)]
    assert granted.ids() and len(granted.ids()) == 1


def test_joined(granted):
    """Another container's, with its other namespaces or without; and by path."""
    granted.run("-d", "--name", "a", "--userns", "auto", IMAGE, "sleep", "100").ok()
    root = mapping(granted, "a")[0][1]
    ns = os.readlink(f"/proc/{pid_of(granted, 'a')}/ns/user")
    for flags in ((), ("--pid", "container:a", "--network", "container:a", "--ipc", "container:a"), ("--network", "host")):
        out = granted.run("--rm", "--userns", "container:a", *flags, IMAGE, "sh", "-c",
                          "readlink /proc/self/ns/user; id -u; touch /x; ls /sys/class/net").ok().out.split()
        assert out[:2] == [ns, "0"]
    path = f"ns:/proc/{pid_of(granted, 'a')}/ns/user"
    granted.run("-d", "--name", "b", "--userns", path, IMAGE, "sleep", "100").ok()
    assert os.readlink(f"/proc/{pid_of(granted, 'b')}/ns/user") == ns
    assert mapping(granted, "b")[0][1] == root
    granted.run("--rm", *MAPS, "--network", "container:a", IMAGE, "ls", "/sys/class/net").ok()
    granted("create", *MAPS, "--pid", "container:a", IMAGE, "true").failed("--pid=container:")
    granted.run("-d", "--name", "plain", IMAGE, "sleep", "100").ok()
    granted("create", "--userns", "container:plain", IMAGE, "true").failed("has no user namespace of its own")
    granted("rm", "-f", "a").ok()
    granted("create", "--name", "late", "--userns", "auto", IMAGE, "true").ok()
    assert mapping(granted, "late")[0][1] != root  # b has those ids still


def test_who_may_look(engine):
    """No process of the container may look into one that is on its way in: it holds the host's descriptors."""
    engine.up("sh", "-c", "while :; do for p in /proc/[0-9]*; do ls -l $p/fd $p/exe 2>/dev/null; done; done",
              flags=("--name", "spy", *MAPS, "--cap-add", "SYS_PTRACE"))
    for _ in range(20):
        engine("exec", "spy", "true").ok()
    engine("stop", "-t", "0", "spy").ok()
    log = engine("logs", "spy").ok().out
    assert "/bin/busybox" in log
    for word in (str(engine.root), "berth-monitor", "bin/berth", "build/berth"):
        assert word not in log
    engine("rm", "spy").ok()


def test_inspect_and_top(engine):
    engine.up("sleep", "100", flags=("--name", "seen", *MAPS, "--user", "7"))
    found = engine.json("inspect", "seen")[0]["HostConfig"]
    assert found["UsernsMode"] == "private"
    assert found["IDMappings"] == {"UidMap": ["0:100000:65536"], "GidMap": ["0:100000:65536"]}
    assert engine("top", "seen", "user,huser,group").ok().out.split()[3:] == ["7", "100007", "0"]
    engine("stats", "--no-stream", "seen").ok()
    engine("kill", "seen").ok()
    engine("wait", "seen").ok()
    assert engine.exits(engine.ids()[0])
    engine("rm", "seen").ok()
    engine.up("sleep", "100", flags=("--name", "seen"))
    found = engine.json("inspect", "seen")[0]["HostConfig"]
    assert found["UsernsMode"] == "" and "IDMappings" not in found
    engine("rm", "-f", "seen").ok()


@pytest.mark.parametrize("maps", [("--uidmap", "0:100000:5000"),
                                  ("--uidmap", "0:100000:1000", "--gidmap", "0:200000:3000")])
def test_as_podman(engine, podman, maps):
    script = "cat /proc/self/uid_map /proc/self/gid_map; ls -ln /etc/passwd /bin/busybox; stat -c %u:%g /dev/null /proc"
    theirs = podman("run", "--rm", "--network", "none", *maps, IMAGE, "sh", "-c", script)
    if theirs.returncode:
        pytest.skip(f"podman can't here: {theirs.stderr.strip()[-200:]}")
    fields = [line.split() for line in theirs.stdout.splitlines()]
    ours = [line.split() for line in engine.sh(script, *maps).ok().out.splitlines()]
    assert [f[:4] for f in ours] == [f[:4] for f in fields]


def test_auto_beside_podman(granted, podman):
    """From one entry the two give out ids that don't overlap: podman's are the first, ours the last."""
    argv = podman.argv("run", "--rm", "--network", "none", "--userns=auto:size=65536", IMAGE, "cat", "/proc/self/uid_map")
    theirs = kit.sh("unshare", "-m", "env", f"SUBIDS={granted.home}/subids", "sh", "-c", BIND, "sh", *argv, check=False,
                    env=podman.env)
    if theirs.returncode:
        pytest.skip(f"podman can't here: {theirs.stderr.strip()[-200:]}")
    ours = granted.run("--rm", "--userns=auto:size=65536", IMAGE, "cat", "/proc/self/uid_map").ok().out
    assert theirs.stdout.split() == ["0", str(FIRST), "65536"]
    assert ours.split() == ["0", str(FIRST + COUNT - 65536), "65536"]


def test_refused(engine):
    engine.run("--rm", "--userns", "keep-id", IMAGE, "true").failed("not root")
    engine.run("--rm", "--uidmap", "@0:1:2", IMAGE, "true").failed("marks")
    engine.run("--userns", "auto", "host", "true").failed("containers of an image")
