"""What went wrong for docker, podman, containerd, CRI-O, runc and their monitors, tried on berth: hostile images, and
processes inside that race or hold up the commands outside. SECURITY.md has the list of attacks."""

import gzip
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tarfile

import kit
import pytest
from enginekit import CGROUP, IMAGE, Terminal, eventually, processes_of

pytestmark = pytest.mark.needs("path:/bin/busybox")
ESCAPE = "\x1b]0;pwned\x07\x1b[31m\u009b31m"  # a title, a colour, and a colour by a C1 control
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.fixture
def load(engine, base):
    """load(config, entries): the name of an image made so."""
    names = []

    def make(config, entries=()):
        name = f"localhost/attack{len(names)}:1"
        layout = kit.busybox(config, *([list(entries)] if entries else [])).layout(base / f"{os.urandom(4).hex()}", name)
        engine("load", "-q", "-i", layout).ok()
        names.append(name)
        return name

    yield make
    engine("rm", "-fa").ok()
    for name in names:
        engine("rmi", "-f", name).ok()


# ---- users ----

PASSWD = "root:x:0:0::/:/bin/sh\n4294967296:x:0:0::/:/bin/sh\n1000:x:0:0::/:/bin/sh\n"


@pytest.mark.fast
def test_a_number_is_nobody_s_name(engine, load):
    """An account of the image called "1000" or "4294967296" is not what a number means."""
    image = load({"User": "4294967296"}, [kit.file("etc/passwd", PASSWD), kit.file("etc/group", "4294967296:x:0:\n")])
    engine.run("--rm", image, "id").failed("too large", code=125)
    for user in ("4294967296", "00004294967296", "5:4294967296"):
        engine.run("--rm", "--user", user, image, "id").failed("too large", code=125)
    assert engine.run("--rm", "--user", "1000", image, "grep", "^Uid", "/proc/self/status").ok().out.split()[1] == "1000"
    engine.run("-d", "--name", "m", "--user", "0", image, "sleep", "100").ok()
    engine("exec", "--user", "4294967296", "m", "id").failed("too large")
    assert engine("exec", "--user", "1000", "m", "grep", "^Uid", "/proc/self/status").ok().out.split()[1] == "1000"


@pytest.mark.fast
def test_no_lines_get_into_the_password_file(engine, load):
    image = load({"WorkingDir": "/w\nroot2::0:0::/:/bin/sh"})
    lines = engine.run("--rm", "--user", "1234", image, "cat", "/etc/passwd").ok().out.splitlines()
    assert not [line for line in lines if line.startswith("root2")] and lines[-1].startswith("1234:*:1234:"), lines


@pytest.mark.fast
def test_nothing_is_inheritable(engine):
    """Capabilities in the inheritable set come back with a file that has them, also for another user."""
    engine.up("sleep", "100", flags=("--name", "m"))
    for user in ((), ("--user", "1000")):
        assert "CapInh:\t0000000000000000" in engine.sh("cat /proc/self/status", *user).ok().out
        assert "CapInh:\t0000000000000000" in engine("exec", *user, "m", "cat", "/proc/self/status").ok().out
    engine("rm", "-f", "m").ok()


# ---- what an image's configuration says ----


@pytest.mark.fast
def test_an_image_gets_no_variable_of_the_host(engine, load):
    image = load({"Env": ["PATH=/bin", "HOST_SECRET", "HOST_*", "*"]})
    env = {"HOST_SECRET": "s3cret"}
    engine.run("-d", "--name", "m", image, "sleep", "100", env=env).ok()
    for out in (engine.run("--rm", image, "env", env=env), engine("exec", "m", "env", env=env)):
        assert "s3cret" not in out.ok().out


@pytest.mark.fast
def test_labels_order_nothing(engine, load):
    """A runtime, CDI and hooks act on annotations: an image's labels are none."""
    labels = {"run.oci.hooks.stderr": "/x", "run.oci.keep_original_groups": "1", "cdi.k8s.io/x": "vendor.com/gpu=0",
              "org.systemd.property.Slice": "'x'", "io.kubernetes.cri.container-type": "sandbox"}
    id = engine("create", load({"Labels": labels}), "true").ok().out.strip()
    config = json.loads((engine.dir(id) / "config.json").read_text())
    assert not set(config.get("annotations") or {}) & set(labels), config["annotations"]


@pytest.mark.fast
def test_nothing_commands_the_terminal(engine, load):
    """Names, commands, labels, processes and errors: whatever is listed has no control characters."""
    image = load({"Cmd": ["sh", "-c", f"exec sleep 100 # {ESCAPE}"], "Labels": {f"l{ESCAPE}": f"v{ESCAPE}"},
                  "Author": ESCAPE, "WorkingDir": f"/w{ESCAPE}", "Env": ["PATH=/bin", f"A{ESCAPE}=b{ESCAPE}"]})
    engine.run("-d", "--name", "m", image).ok()
    engine("exec", "-d", "m", "sh", "-c", f"cp /bin/busybox '/tmp/a{ESCAPE}'; ln -s 'a{ESCAPE}' /tmp/sleep; cd /tmp; "
           f"'/tmp/a{ESCAPE}' sleep 100; /tmp/sleep 100").ok()
    assert eventually(lambda: "/tmp/sleep" in engine("top", "m").out)
    for words in (("ps", "-a", "--no-trunc"), ("ps", "-a", "--format", "table {{.Command}} {{.Labels}}"), ("top", "m"),
                  ("images",), ("history", "--no-trunc", image), ("image", "tree", image), ("diff", "m"),
                  ("events", "--since", "1h", "--until", "0s"), ("stats", "--no-stream", "m"), ("image", "inspect", image),
                  ("inspect", "m"), ("run", "--plan", image), ("volume", "ls"), ("system", "df", "-v"), ("port", "m")):
        done = engine(*words)
        assert not CONTROL.search(done.out + done.err), (words, done)
    for words in (("exec", "m", f"/none{ESCAPE}"), ("run", "--rm", image, f"/none{ESCAPE}"), ("cp", f"m:/none{ESCAPE}", "/tmp"),
                  ("run", "--rm", "--user", f"u{ESCAPE}", image), ("logs", f"x{ESCAPE}")):
        done = engine(*words)
        assert done.code and not CONTROL.search(done.err), (words, done)


def test_secrets_stay_inside(engine, load, tmp_path):
    """/run, /run/secrets and /dev/shm of the image are links to a directory of the host."""
    outside = tmp_path / "outside"
    outside.mkdir()
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    engine("secret", "create", "s", secret).ok()
    for link in ("run", "run/secrets"):
        entries = [kit.dir("run")] if link != "run" else []
        image = load({}, [*entries, kit.symlink(link, str(outside))])
        assert engine.run("--rm", "--secret", "s", image, "cat", "/run/secrets/s").ok().out == "s3cret"
        assert os.listdir(outside) == []
    engine("secret", "rm", "s").ok()


# ---- the host's side ----


@pytest.mark.fast
def test_no_user_of_the_host_gets_into_a_container_s_files(engine):
    """A set-user-ID program that a container wrote would be the host's."""
    id = engine.up("sh", "-c", "cp /bin/busybox /su; chmod 6755 /su; exec sleep 100", flags=("--name", "m", "-v", "v:/v"))
    assert eventually((engine.dir(id) / "upper" / "su").exists)
    paths = [engine.dir(id) / "upper" / "su", engine.dir(id) / "config.json", engine.root / "volumes" / "v" / "_data",
             engine.root / "layers", engine.run_dir(id) / "state.json", engine.run_dir(id) / "ctl"]
    tried = subprocess.run([sys.executable, "-c", "import os, sys\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
                            "print([p for p in sys.argv[1:] if os.access(p, os.F_OK)])", *map(str, paths)],
                           capture_output=True, text=True, check=True)
    assert tried.stdout.strip() == "[]"
    engine("rm", "-f", "m").ok()
    engine("volume", "rm", "v").ok()


@pytest.mark.fast
def test_the_terminal_stays_ours(engine):
    """A process with our terminal as its controlling one could type commands into it (TIOCSTI)."""
    engine.up("sleep", "100", flags=("--name", "m"))
    for words in (("exec", "m"), ("exec", "-i", "m"), ("run", "--rm", IMAGE), ("run", "--rm", "-i", IMAGE)):
        terminal = Terminal(engine.argv(*words, "sh", "-c", "read pid name state ppid group session tty x </proc/self/stat; "
                                        "echo seen $((session == pid)) $tty."), engine.env)
        terminal.expect("seen 1 0.")
        terminal.wait()
    engine("rm", "-f", "m").ok()


@pytest.mark.fast
@pytest.mark.parametrize("sysctl", ["kernel.core_pattern=|/x", "kernel.shm_rmid_forced=1+kernel.core_pattern=|/x", "vm.swappiness=1",
                                    "net/../kernel/core_pattern=|/x"])
def test_no_sysctl_of_the_host(engine, sysctl):
    before = pathlib.Path("/proc/sys/kernel/core_pattern").read_text()
    assert engine.run("--rm", "--sysctl", sysctl, IMAGE, "true").code == 125
    assert pathlib.Path("/proc/sys/kernel/core_pattern").read_text() == before


@pytest.mark.fast
def test_files_of_the_caller_are_not_overwritten(engine, tmp_path):
    bait = tmp_path / "bait"
    bait.write_text("mine")
    (tmp_path / "link").symlink_to(bait)
    (tmp_path / "dangling").symlink_to(tmp_path / "made")
    for name in ("bait", "link", "dangling"):
        assert engine.run("--rm", "--cidfile", tmp_path / name, IMAGE, "true").code == 125
    assert bait.read_text() == "mine" and not (tmp_path / "made").exists()


@pytest.mark.fast
def test_cp_executes_nothing(engine, load):
    """A compressed archive would be inflated by a program: the container's own, in docker's case."""
    trap = "#!/bin/sh\ntouch /sprung\n"
    image = load({}, [kit.file(f"bin/{name}", trap, 0o755) for name in ("unpigz", "gunzip", "gzip", "xz", "tar")])
    engine.run("-d", "--name", "m", image, "sleep", "100").ok()
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("x"))
    engine("cp", "-", "m:/", input=gzip.compress(data.getvalue())).failed("archive")
    engine("cp", "-", "m:/", input=data.getvalue()).ok()
    assert engine("exec", "m", "ls", "/sprung").code == 1


def test_archives_of_a_racing_container(engine, tmp_path):
    """export and commit while directories become links and back: nothing of the host is in them."""
    bait = tmp_path / "bait"
    bait.write_text("host\n")
    engine.up("sh", "-c", f"mkdir -p /x/real{tmp_path}; ln -s / /x/evil; mv /x/real /x/d; while :; do mv /x/d /x/real; "
              "mv /x/evil /x/d; mv /x/d /x/evil; mv /x/real /x/d; done", flags=("--name", "race"))
    for _ in range(10):
        done = engine("export", "-o", tmp_path / "tar", "race")
        names = [n for n in tarfile.open(tmp_path / "tar").getnames() if n.endswith("bait")] if done.code == 0 else []
        assert names == [], names
        engine("diff", "race")
    engine("rm", "-f", "race").ok()


def test_a_subpath_that_turns_into_a_link(engine, tmp_path):
    bait = tmp_path / "bait"
    bait.write_text("host\n")
    engine.up("sh", "-c", "mkdir /v/real; ln -s / /v/evil; mv /v/real /v/d; while :; do mv /v/d /v/real; mv /v/evil /v/d; "
              "mv /v/d /v/evil; mv /v/real /v/d; done", flags=("--name", "race", "-v", "vol:/v"))
    for _ in range(15):
        done = engine.run("--rm", "--mount", "type=volume,src=vol,dst=/x,volume-subpath=d", IMAGE, "cat", f"/x{bait}", "/x/etc/passwd")
        assert "host" not in done.out and "root" not in done.out, done
    engine("rm", "-f", "race").ok()
    engine("volume", "rm", "vol").ok()


# ---- who is held up ----

STORM = "while :; do kill -STOP -1; done"  # whatever enters the PID namespace is stopped at once


def checks(engine, id):
    path = engine.run_dir(id) / "health.json"
    return json.loads(path.read_text()) if path.exists() else []


def test_processes_that_are_stopped_on_their_way(engine):
    """Root inside can stop whoever enters: checks fail in time, the monitor goes on, stop and rm work."""
    id = engine.up("sh", "-c", STORM, flags=("--name", "m", "--health-cmd", "true", "--health-interval", "50ms",
                                             "--health-timeout", "500ms", "--health-retries", "1000"))
    assert eventually(lambda: [c for c in checks(engine, id) if c["Output"].startswith("the process was not ready")], 30)
    assert all(c["ExitCode"] in (-1, 0) for c in checks(engine, id))
    attached = engine.popen("attach", "--no-stdin", "m")
    engine("stop", "-t", "0", "m", timeout=20).ok()
    attached.wait(10)
    engine("rm", "m", timeout=20).ok()
    assert eventually(lambda: not processes_of(id))


def test_what_is_paused_is_not_checked(engine):
    id = engine.up("sleep", "100", flags=("--name", "m", "--health-cmd", "true", "--health-interval", "100ms",
                                          "--health-retries", "1"))
    assert eventually(lambda: checks(engine, id))
    engine("pause", "m").ok()
    engine("healthcheck", "run", "m", timeout=20).failed("paused")
    seen = checks(engine, id)[-1]["End"]
    assert not eventually(lambda: [c for c in checks(engine, id) if c["ExitCode"]], 1)
    assert engine.monitor_state(id)["health"] == "healthy"
    engine("unpause", "m").ok()
    assert eventually(lambda: checks(engine, id)[-1]["End"] > seen and checks(engine, id)[-1]["ExitCode"] == 0)
    engine("rm", "-f", "m").ok()


def test_writers_that_stay_behind(engine):
    """In the host's PID namespace they outlive init, and fill its pipe for ever."""
    done = engine.run("--rm", "--pid", "host", IMAGE, "sh", "-c", "yes & yes & yes & sleep 0.2; exit 3", timeout=60)
    assert done.code == 3


STOPPED = [("stop", "-t", "0", "m"), ("restart", "-t", "0", "m"), ("wait", "m"), ("rm", "-f", "m"), ("attach", "m"),
           ("healthcheck", "run", "m")]


def test_a_stopped_monitor_is_told(engine):
    id = engine.up("sh", "-c", "trap 'exit 7' USR1; while :; do sleep 0.05; done",
                   flags=("--name", "m", "--health-cmd", "true", "--health-interval", "1h"))
    monitor = engine.monitor_state(id)["monitor"]
    os.kill(monitor, signal.SIGSTOP)
    try:
        for words in STOPPED:
            done = engine(*words, timeout=30)
            assert done.code and "monitor is stopped" in done.err and "SIGCONT" in done.err, (words, done)
        assert engine("ps", "-a").ok() and engine("exec", "m", "true", timeout=30).ok() and engine("inspect", "m").ok()
        engine("kill", "-s", "USR1", "m", timeout=30).ok()  # by the runtime
    finally:
        os.kill(monitor, signal.SIGCONT)
    assert eventually(lambda: (engine.state("m") or ("", 0))[0] == "exited", 15)
    engine("rm", "-f", "m").ok()


def test_a_stopped_init(engine):
    id = engine.up("sleep", "100", flags=("--name", "m"))
    os.kill(engine.monitor_state(id)["pid"], signal.SIGSTOP)
    engine("stop", "-t", "1", "m", timeout=30).ok()
    assert engine.state("m") == ("exited", 137)
    engine("rm", "m").ok()


def test_an_exec_that_is_stopped_holds_the_end(engine):
    """Its process is reaped by nobody, and the PID namespace waits for that: who stops it is told so."""
    id = engine.up("sleep", "100", flags=("--name", "m"))
    command = engine.popen("exec", "m", "sh", "-c", "echo up; exec sleep 100", stdout=subprocess.PIPE)
    assert command.stdout.readline() == b"up\n"
    command.send_signal(signal.SIGSTOP)
    try:
        asked = [engine.popen(*words, stderr=subprocess.PIPE) for words in (("stop", "-t", "0", "m"), ("restart", "-t", "0", "m"))]
        for process in asked:
            assert b"outlived SIGKILL" in process.communicate(timeout=60)[1] and process.returncode == 1
    finally:
        command.send_signal(signal.SIGCONT)
    assert command.wait(15) == 137
    command.stdout.close()
    engine("rm", "-f", "m").ok()


@pytest.fixture
def frozen(request):
    """frozen(on): a cgroup for a container, below the one that is frozen."""
    name = f"berth-frozen-{os.getpid()}"
    freezer = CGROUP / "freezer" / name
    v2 = (CGROUP / "unified" if (CGROUP / "unified").is_dir() else CGROUP) / name

    def freeze(on):
        if (CGROUP / "freezer").is_dir():
            (freezer / "freezer.state").write_text("FROZEN" if on else "THAWED")
        else:
            (v2 / "cgroup.freeze").write_text("1" if on else "0")

    freeze.parent, freeze.v1 = f"/{name}", (CGROUP / "freezer").is_dir()
    yield freeze
    for path in sorted(CGROUP.glob(f"**/{name}"), key=lambda p: -len(p.parts)):
        if path.is_dir() and not path.is_symlink():
            assert eventually(lambda path=path: not path.exists() or not os.rmdir(path)), path


def test_what_a_frozen_cgroup_above_holds(engine, frozen):
    """On v1 not even SIGKILL reaches it: `stop` says so instead of waiting for ever."""
    id = engine.up("sleep", "100", flags=("--name", "m", "--cgroup-parent", frozen.parent))
    frozen(True)
    try:
        done = engine("stop", "-t", "0", "m", timeout=60)
        assert done.code == 0 or "outlived SIGKILL" in done.err, done
        assert (done.code != 0) == frozen.v1
    finally:
        frozen(False)
    assert eventually(lambda: (engine.state("m") or ("", 0))[0] == "exited", 15)
    engine("rm", "m").ok()
    assert not processes_of(id)
