"""Attacks on a runtime: each first bites naive.c, which has no defences, then must not bite here.

CVE-2019-5736, CVE-2016-9962, CVE-2024-21626, CVE-2025-31133, CVE-2025-52565, CVE-2025-52881,
CVE-2019-19921 and mount destinations that lead outside. CVE-2026-30892 is in test_exec.py."""

import hashlib
import os
import pathlib
import shutil
import socket
import stat
import subprocess
import time

import kit
import pytest

pytestmark = pytest.mark.fast
lacks = pytest.mark.lacks


@pytest.fixture
def naive(workshop):
    return str(workshop.build("naive.c"))


@pytest.fixture
def attack(workshop):
    return workshop.build("attack.c")


@pytest.fixture
def outside(box):
    """A directory of the host next to the root, where nothing may appear."""
    path = box.dir / "outside"
    path.mkdir()
    (path / "marker").write_text("host\n")
    return path


def untouched(outside):
    assert sorted(os.listdir(outside)) == ["marker"]
    assert (outside / "marker").read_text() == "host\n"


# ---- CVE-2019-5736: overwriting the runtime through /proc/PID/exe ----

ALL_CAPS = ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN", "CAP_KILL", "CAP_FOWNER", "CAP_CHOWN",
            "CAP_SETUID", "CAP_SETGID", "CAP_MKNOD", "CAP_NET_ADMIN", "CAP_DAC_READ_SEARCH"]


def own_files(box):
    """Copies instead of the links to the session's programs, since the spy overwrites what it can."""
    for name in ("busybox", "probe"):
        path = box.rootfs / "bin" / name
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
        path.chmod(0o755)


@pytest.fixture
def spy(box, attack):
    """A container that lies in wait, with every right a careless operator may have given it."""
    shutil.copy2(attack, box.rootfs / "bin" / "attack")
    own_files(box)
    entry = box.rootfs / "entry"
    entry.write_text("#!/proc/self/exe\n")
    entry.chmod(0o755)
    box.caps(*ALL_CAPS)
    box.up("attack", "exe")
    box.printed("watching")
    return box


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


@pytest.mark.parametrize("program", ["/entry", "/bin/true"])
def test_exe_attack_bites_without_defence(spy, naive, program):
    victim = spy.dir / "victim"
    shutil.copy2(naive, victim)
    before = digest(victim)

    def bitten():
        try:
            subprocess.run([victim, "exec", str(spy.pid), program], capture_output=True)
        except OSError:  # text file busy: it is being overwritten
            pass
        return digest(victim) != before

    assert kit.eventually(bitten, 30), spy.stdout.read_text()


@pytest.mark.parametrize("program", ["/entry", "/bin/true", "/proc/self/exe"])
def test_runtime_cannot_be_overwritten_through_exec(spy, program, base):
    """CVE-2019-5736, by a script that names /proc/self/exe and by lying in wait for any exec."""
    victim = spy.dir / "victim"
    shutil.copy2(spy.runtime.binary, victim)
    before = digest(victim)
    runtime = kit.Runtime(spy.dir, str(victim))
    runtime.root = spy.runtime.root
    for _ in range(20):
        runtime("exec", spy.id, program, timeout=20)
    time.sleep(0.2)
    assert digest(victim) == before, spy.stdout.read_text()
    assert runtime("--version").code == 0


@pytest.mark.parametrize("program", ["/entry", "/proc/self/exe"])
def test_runtime_cannot_be_overwritten_through_run(spy, containers, program):
    """The same for a container started into the spy's PID namespace."""
    victim = spy.dir / "victim"
    shutil.copy2(spy.runtime.binary, victim)
    before = digest(victim)
    box = containers()
    own_files(box)
    shutil.copy2(spy.rootfs / "entry", box.rootfs / "entry")
    box.namespace_drop("pid").linux["namespaces"].append({"type": "pid", "path": f"/proc/{spy.pid}/ns/pid"})
    box.args(program).save()
    runtime = kit.Runtime(spy.dir, str(victim))
    runtime.root = spy.runtime.root
    for _ in range(10):
        runtime("run", "--bundle", box.dir, box.id, timeout=20)
        runtime("delete", "--force", box.id)
    assert digest(victim) == before, spy.stdout.read_text()


def test_init_does_not_hold_the_runtime_open(box):
    """Once the program runs, nothing in the container refers to the runtime's file."""
    box.up()
    root = f"/proc/{box.pid}"
    links = [os.readlink(f"{root}/exe")] + [os.readlink(f"{root}/fd/{n}") for n in os.listdir(f"{root}/fd")]
    assert not any("berth" in os.path.basename(l) for l in links), links
    assert "berth-oci" not in open(f"{root}/maps").read().replace(str(box.runtime.base), "")


# ---- CVE-2024-21626, CVE-2016-9962: descriptors and directories of the host ----

CLIMB = "cat ../../../../../../../../../../../../..{marker} 2>/dev/null || true"


def climb(outside):
    return CLIMB.format(marker=outside / "marker")


def test_cwd_attack_bites_without_defence(box, naive, outside):
    out = subprocess.run([naive, "run", box.rootfs, "/proc/self/fd/3", climb(outside)],
                         capture_output=True, text=True, close_fds=True).stdout
    assert out == "host\n"


@pytest.mark.parametrize("pattern", ["/proc/self/fd/{}", "/proc/1/fd/{}", "/proc/thread-self/fd/{}", "/link{}"])
def test_cwd_cannot_be_a_leaked_descriptor(box, outside, pattern):
    """Every number that a runtime could have open: refused, or inside the root."""
    for n in range(3, 24):
        os.symlink(f"/proc/self/fd/{n}", box.rootfs / f"link{n}")
    for n in range(3, 24):
        box.process["cwd"] = pattern.format(n)
        result = box.script(climb(outside)).run()
        assert "host" not in result.out, (n, result)


@pytest.mark.parametrize("pattern", ["/proc/self/fd/{}", "/link{}"])
def test_cwd_of_exec_cannot_be_a_leaked_descriptor(box, outside, pattern):
    for n in range(3, 16):
        os.symlink(f"/proc/self/fd/{n}", box.rootfs / f"link{n}")
    box.up()
    for n in range(3, 16):
        result = box.exec("sh", "-c", climb(outside), flags=["--cwd", pattern.format(n)])
        assert "host" not in result.out, (n, result)


def test_cwd_outside_the_root_is_refused(box, outside):
    """A mount of the host's that is still reachable through a bind of /proc, say."""
    box.bind("/proc", "/hostproc")
    box.process["cwd"] = "/hostproc/self/root"
    result = box.script(climb(outside)).run()
    assert "host\n" != result.out


def test_created_init_holds_nothing_of_the_host(box):
    """CVE-2016-9962: another process of the container may look into init before it starts. The files by
    which start wakes it are all that it may hold: they lead nowhere."""
    if kit.PEER != "berth":
        pytest.skip("the peers keep files of their state open")
    box.create().ok()
    base = f"/proc/{box.pid}"
    inside = {line.split()[0] for line in open(f"{base}/mountinfo")}
    foreign = {}
    for n in os.listdir(f"{base}/fd"):
        fields = dict(line.split(":", 1) for line in open(f"{base}/fdinfo/{n}") if ":" in line)
        link = os.readlink(f"{base}/fd/{n}")
        # The FIFOs on which it waits for start lead nowhere: a FIFO's descriptor opens nothing but itself.
        if int(n) > 2 and link.startswith("/") and "memfd" not in link and fields["mnt_id"].strip() not in inside:
            if not os.path.basename(link) in ("start", "result"):
                foreign[n] = link
    assert not foreign


@lacks("crun", why="keeps the caller's")
@pytest.mark.parametrize("caps", [[], ["CAP_SYS_PTRACE"]])
def test_environment_of_the_runtime_does_not_leak(box, caps):
    """The caller's environment may hold secrets; the container sees it in /proc/1/environ before start."""
    box.caps(*kit.DEFAULT_CAPS, *caps)
    box.create(env={**os.environ, "SECRET_OF_THE_HOST": "x"}).ok()
    result = box.exec("cat", "/proc/1/environ")
    assert "SECRET_OF_THE_HOST" not in result.out


# ---- CVE-2025-31133: what masks are made of ----


def without_dev(box):
    """The image's own /dev, where an attacker has planted what it likes."""
    box.config["mounts"] = [m for m in box.config["mounts"] if not m["destination"].startswith("/dev")]
    return box


def plant_null(box):
    (box.rootfs / "etc" / "secret").write_text("secret")
    (box.rootfs / "etc" / "target").write_text("target")
    os.symlink("/etc/target", box.rootfs / "dev" / "null")
    box.linux["maskedPaths"] = ["/etc/secret"]
    return box


def test_null_attack_bites_without_defence(box, naive):
    out = subprocess.run([naive, "mask", plant_null(box).rootfs, "/etc/secret"], capture_output=True, text=True).stdout
    assert out == "target"


@lacks("runc", "crun", why="1.1.5 and 1.8.1 are vulnerable")
def test_planted_null_is_not_used_as_a_mask(box):
    """/dev/null is a link: refused, or the mask is a true null device."""
    without_dev(plant_null(box))
    result = box.script("cat /etc/secret; stat -c %t:%T /etc/secret; echo x > /etc/secret").run()
    if result.code == 0:
        assert result.out == "1:3\n"
    assert (box.rootfs / "etc" / "target").read_text() == "target"
    assert (box.rootfs / "etc" / "secret").read_text() == "secret"


@lacks("runc", "crun", why="1.1.5 and 1.8.1 are vulnerable")
@pytest.mark.parametrize("kind", ["file", "directory", "fifo", "zero"])
def test_null_that_is_something_else(box, kind):
    without_dev(box).linux["maskedPaths"] = ["/etc/secret"]
    (box.rootfs / "etc" / "secret").write_text("secret")
    null = box.rootfs / "dev" / "null"
    if kind == "file":
        null.write_text("planted")
    elif kind == "directory":
        null.mkdir()
    elif kind == "fifo":
        os.mkfifo(null)
    else:
        os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    result = box.script("head -c 9 /etc/secret; stat -c %t:%T /etc/secret").run(timeout=20)
    if result.code == 0:
        assert result.out == "1:3\n", result


def test_null_swapped_in_a_race(box, attack, containers):
    """A volume as /dev, whose null another container exchanges for a link all the time."""
    volume = box.dir / "devvol"
    volume.mkdir()
    os.mknod(volume / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.symlink("/etc/target", volume / "other")
    without_dev(box).bind(volume, "/dev")
    (box.rootfs / "etc" / "secret").write_text("secret")
    (box.rootfs / "etc" / "target").write_text("target")
    box.linux["maskedPaths"] = ["/etc/secret"]
    flipper = subprocess.Popen([attack, "flip", volume / "null", volume / "other"])
    try:
        for _ in range(25):
            result = box.script("cat /etc/secret; echo x > /etc/secret").run()
            assert "target" not in result.out and "secret" not in result.out.replace("/etc/secret", ""), result
    finally:
        flipper.kill()
        flipper.wait()
    assert (box.rootfs / "etc" / "target").read_text() == "target"


def test_symlink_at_a_masked_path(box, outside):
    """The link's target inside the root is masked, never one on the host."""
    os.symlink(str(outside / "marker"), box.rootfs / "etc" / "secret")
    box.linux["maskedPaths"] = ["/etc/secret"]
    box.args("true").run()
    untouched(outside)


@pytest.mark.parametrize("key", ["maskedPaths", "readonlyPaths"])
def test_symlink_in_a_masked_path_does_not_reach_other_files(box, key):
    """/proc/kcore through a planted link, for instance: what is meant is what gets covered."""
    (box.rootfs / "etc" / "dir").mkdir()
    (box.rootfs / "etc" / "dir" / "x").write_text("x")
    os.symlink("../../../../../etc/dir", box.rootfs / "link")
    box.linux[key] = ["/link"]
    result = box.script("ls /etc/dir; touch /etc/dir/y 2>/dev/null || echo refused").run()
    assert result.code != 0 or "refused" in result.out


# ---- CVE-2025-52565: /dev/console, /dev/pts and the default devices ----


class Listener:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(str(path))
        self.socket.listen()
        self.path = path

    def close(self):
        self.socket.close()


@pytest.fixture
def console(box):
    listener = Listener(box.dir / "tty.sock")
    yield listener
    listener.close()


@lacks("runc", "crun", why="1.1.5 and 1.8.1 are vulnerable")
def test_planted_console_link_is_not_followed(box, console, outside):
    (box.rootfs / "etc" / "target").write_text("target")
    without_dev(box)
    box.mount("/dev/pts", "devpts", "devpts", ["newinstance", "ptmxmode=0666", "mode=0620"])
    os.symlink("/etc/target", box.rootfs / "dev" / "console")
    box.process["terminal"] = True
    box.args("sleep", "1000")
    result = box.create("--console-socket", console.path)
    if result.code == 0:
        mounts = open(f"/proc/{box.pid}/mountinfo").read()
        assert " /etc/target " not in mounts
    assert (box.rootfs / "etc" / "target").read_text() == "target"


@pytest.mark.parametrize("name", ["null", "zero", "console", "ptmx", "fd", "stdin", "pts", "shm", "mqueue"])
def test_links_planted_in_dev_lead_nowhere(box, outside, name):
    without_dev(box)
    os.symlink(str(outside / "made"), box.rootfs / "dev" / name)
    box.args("true").run()
    untouched(outside)


@lacks("runc", "crun", why="1.1.5 and 1.8.1 are vulnerable")
@pytest.mark.parametrize("target", ["absolute", "relative"])
def test_dev_that_is_a_link(box, outside, target):
    """Device nodes must never be made on the host."""
    (box.rootfs / "dev").rmdir()
    os.symlink(str(outside) if target == "absolute" else "../outside", box.rootfs / "dev")
    box.args("true").run()
    untouched(outside)
    without_dev(box).run()
    untouched(outside)


@pytest.mark.parametrize("path", ["/link/node", "/dots/node"])
def test_device_paths_stay_inside(box, outside, path):
    os.symlink(str(outside), box.rootfs / "link")
    os.symlink("../../../../../../../.." + str(outside), box.rootfs / "dots")
    box.linux["devices"] = [{"path": path, "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]
    box.args("true").run()
    untouched(outside)


# ---- CVE-2019-19921, CVE-2025-52881: redirected writes to procfs ----


def fake_proc(box):
    """A volume that looks like /proc to someone who only joins strings."""
    fake = box.dir / "fake"
    (fake / "sys/net/core").mkdir(parents=True)
    (fake / "sys/net/core/somaxconn").write_text("0")
    for name in ("self", "thread-self", "1"):
        (fake / name / "attr").mkdir(parents=True)
        for file in ("oom_score_adj", "attr/exec", "attr/current", "setgroups", "uid_map", "gid_map", "loginuid"):
            (fake / name / file).write_text("0")
    return fake


def contents(top):
    return {str(p.relative_to(top)): p.read_text() for p in sorted(top.rglob("*")) if p.is_file()}


def test_procfs_attack_bites_without_defence(box, naive):
    fake = fake_proc(box)
    (box.rootfs / "proc").rmdir()
    os.symlink(str(fake), box.rootfs / "proc")
    subprocess.run([naive, "write", box.rootfs, "proc/sys/net/core/somaxconn", "7777"], check=True)
    assert (fake / "sys/net/core/somaxconn").read_text() == "7777"


def settings(box):
    box.linux["sysctl"] = {"net.core.somaxconn": "7777"}
    box.process["oomScoreAdj"] = 777
    return box


@pytest.mark.parametrize("target", ["{fake}", "/fake", "../fake", "fake"])
def test_proc_that_is_a_link(box, target):
    fake = fake_proc(box)
    shutil.copytree(fake, box.rootfs / "fake")
    before = contents(fake), contents(box.rootfs / "fake")
    (box.rootfs / "proc").rmdir()
    os.symlink(target.format(fake=fake), box.rootfs / "proc")
    result = settings(box).args("true").run()
    assert (contents(fake), contents(box.rootfs / "fake")) == before
    if target == "fake" and kit.PEER == "runc":
        result.failed()


def test_volume_over_proc(box):
    fake = fake_proc(box)
    before = contents(fake)
    settings(box).bind(fake, "/proc").args("true").run()
    assert contents(fake) == before


@pytest.mark.parametrize("where", ["/proc/sys/net/core", "/proc/sys", "/proc/self", "/proc/1"])
def test_volume_inside_proc(box, where):
    """The setting is made in the kernel, or the mount is refused; the fake gets nothing."""
    fake = fake_proc(box)
    before = contents(fake)
    settings(box).bind(fake / where[len("/proc/"):], where)
    box.linux["readonlyPaths"] = []
    result = box.args("sleep", "1000").create()
    assert contents(fake) == before
    if result.code == 0:
        value = subprocess.check_output(["nsenter", f"--net=/proc/{box.pid}/ns/net", "cat", "/proc/sys/net/core/somaxconn"])
        assert value == b"7777\n"
        assert open(f"/proc/{box.pid}/oom_score_adj").read() == "777\n"


def test_tmpfs_over_proc(box):
    settings(box).mount("/proc", "tmpfs", "tmpfs", [])
    result = box.args("sleep", "1000").create()
    if result.code == 0:
        assert open(f"/proc/{box.pid}/oom_score_adj").read() == "777\n"


def test_exec_writes_nothing_into_a_fake_proc(box):
    """The container's root mounts something over its own /proc while it runs."""
    fake = fake_proc(box)
    box.bind(fake, "/fake").caps("CAP_SYS_ADMIN")
    before = contents(fake)
    box.up("sh", "-c", "mount --bind /fake /proc && echo covered; exec sleep 1000")
    box.printed("covered")
    box.exec_process({"args": ["true"], "oomScoreAdj": 555})
    assert contents(fake) == before


def test_proc_is_private_to_the_runtime(box):
    """A second mount of procfs in the container is what its mounts say, no more."""
    out = box.output("grep -c ' - proc ' /proc/self/mountinfo")
    assert int(out) <= 1 + len(kit.MASKED) + len(kit.READONLY)


# ---- mount destinations that lead outside ----


def test_destination_attack_bites_without_defence(box, naive, outside):
    os.symlink(str(outside), box.rootfs / "link")
    subprocess.run([naive, "mkdir", box.rootfs, "link/made"], check=True)
    assert (outside / "made").is_dir()


LINKS = ["{outside}", "../outside", "../../../../../../../../../..{outside}", "{outside}/", "/proc/self/root{outside}",
         "/proc/1/root{outside}", "/proc/self/cwd/../outside"]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("kind", ["tmpfs", "directory", "file", "copyup"])
def test_destinations_stay_inside(box, outside, link, kind):
    os.symlink(link.format(outside=outside), box.rootfs / "link")
    destination = "/link/made/deeper"
    if kind in ("tmpfs", "copyup"):
        box.mount(destination, "tmpfs", "tmpfs", ["tmpcopyup"] if kind == "copyup" else [])
    else:
        source = box.dir / "source"
        source.mkdir() if kind == "directory" else source.write_text("x")
        box.bind(source, destination)
    box.args("true").run()
    untouched(outside)


def test_destination_that_is_itself_a_link(box, outside):
    os.symlink(str(outside), box.rootfs / "link")
    box.mount("/link", "tmpfs", "tmpfs", [])
    box.script("touch /link/x 2>/dev/null; true").run()
    untouched(outside)


def test_destination_swapped_in_a_race(box, attack, outside, naive):
    """A volume shared with a container that exchanges a directory for a link all the time."""
    volume = box.dir / "volume"
    (volume / "a").mkdir(parents=True)
    os.symlink(str(outside), volume / "b")
    flipper = subprocess.Popen([attack, "flip", volume / "a", volume / "b"])
    try:
        bitten = lambda: subprocess.run([naive, "mkdir", volume, "a/made"], capture_output=True) and (outside / "made").is_dir()
        assert kit.eventually(bitten, 20), "the race was never won without a defence"
        (outside / "made").rmdir()
        box.bind(volume, "/volume")
        box.mount("/volume/a/made", "tmpfs", "tmpfs", [])
        file = box.dir / "file"
        file.write_text("x")
        box.bind(file, "/volume/a/file")
        for _ in range(30):
            box.args("true").run()
            untouched(outside)
    finally:
        flipper.kill()
        flipper.wait()


def test_magic_links_are_not_followed(box, outside):
    """A link into /proc/1/root of the host's procfs, in a volume, at the place of a destination."""
    volume = box.dir / "volume"
    volume.mkdir()
    os.symlink(f"/proc/1/root{outside}", volume / "magic")
    box.bind("/proc", "/proc").bind(volume, "/volume")
    box.mount("/volume/magic/made", "tmpfs", "tmpfs", [])
    box.args("true").run()
    untouched(outside)


# ---- files of the image that the runtime reads ----


@lacks("runc", "crun", why="1.1.5 and 1.8.1 are vulnerable")
@pytest.mark.parametrize("kind", ["fifo", "link", "directory", "huge", "zero"])
def test_hostile_passwd(box, outside, kind):
    """HOME is looked up in the image's passwd: it may be anything, and must not stop or fill the runtime."""
    passwd = box.rootfs / "etc" / "passwd"
    passwd.unlink()
    if kind == "fifo":
        os.mkfifo(passwd)
    elif kind == "link":
        (outside / "passwd").write_text("root:x:0:0::/from/host:/bin/sh\n")
        os.symlink(str(outside / "passwd"), passwd)
    elif kind == "directory":
        passwd.mkdir()
    elif kind == "huge":
        with open(passwd, "w") as f:
            f.write("x:x:1:1::/:/bin/sh\n" * 200000)
    else:
        os.symlink("/dev/zero", passwd)
    result = box.script("echo $HOME").run(timeout=20)
    assert "/from/host" not in result.out
    if kit.PEER == "berth":
        assert result.code == 0 or result.err
    if kind == "link":
        os.unlink(outside / "passwd")


@pytest.mark.parametrize("kind", ["fifo", "huge"])
def test_hostile_program_file(box, kind):
    """The runtime looks at a program that can't be run to say why: it must not hang or read it all."""
    prog = box.rootfs / "bin" / "prog"
    if kind == "fifo":
        os.mkfifo(prog, 0o755)
    else:
        with open(prog, "wb") as f:
            f.write(b"#!" + b"a" * 4096)
            f.truncate(1 << 34)
        prog.chmod(0o755)
    box.args("/bin/prog").run(timeout=20).failed()
