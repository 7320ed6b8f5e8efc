"""Options of run and create beyond the image's: limits, devices, names, namespaces; compared with podman
where it does the same."""

import json
import os
import pathlib

import pytest
from enginekit import IMAGE, eventually

pytestmark = pytest.mark.needs("path:/bin/busybox")

# flags, script: the same output as podman's
SAME = {
    "shm-size": (["--shm-size", "32m"], "df -k /dev/shm | tail -1 | awk '{print $2}'"),
    "sysctl": (["--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.msgmax=9000"],
               "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax"),
    "umask": (["--umask", "077"], "umask"),
    "umask by default": ([], "umask"),
    "oom-score-adj": (["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj"),
    "device": (["--device", "/dev/zero:/dev/nil:r"], "stat -c %t:%T /dev/nil; head -c1 /dev/nil | wc -c"),
    "label-file": (["--label-file", "/dev/null"], "true"),
    "add-host": (["--add-host", "there:192.0.2.7"], "grep there /etc/hosts"),
    "domainname is left alone": ([], "cat /proc/sys/kernel/domainname"),
    "uts": (["--uts", "host"], "cat /proc/sys/kernel/hostname"),
    "read-only": (["--read-only"], "grep -E ' /(tmp|run|var/tmp) ' /proc/mounts | sort; stat -c '%n %a' /tmp /var/tmp"),
    "read-only-tmpfs": (["--read-only", "--read-only-tmpfs=false"],
                        "touch /tmp/x 2>/dev/null || echo no; grep ' /tmp ' /proc/mounts; true"),
    "a user without a line": (["-u", "1234"], "tail -1 /etc/passwd; echo $HOME; id -un"),
    "a group without a line": (["-u", "1234:77"], "tail -1 /etc/passwd; tail -1 /etc/group"),
    "a home": (["-u", "1234", "-w", "/etc"], "tail -1 /etc/passwd; echo $HOME"),
    "passwd-entry": (["-u", "1234", "--passwd-entry", "me:*:$UID:0:x:/home/me:/bin/sh"],
                     "tail -1 /etc/passwd; echo $HOME; id -un"),
    "passwd": (["-u", "1234", "--passwd=false"], "tail -1 /etc/passwd; echo $HOME"),
    "env-merge": (["-e", "A=1", "--env-merge", "PATH=${PATH}:/x", "--env-merge", "A=${A}2"], "echo $PATH $A"),
    "chrootdirs": (["--chrootdirs", "/srv", "--add-host", "there:192.0.2.7"], "grep there /srv/etc/hosts"),
    "no-new-privileges": (["--security-opt", "no-new-privileges"], "grep NoNewPrivs /proc/self/status"),
    "cpuset": (["--cpuset-cpus", "0"], "grep Cpus_allowed_list /proc/self/status"),
}


@pytest.fixture(scope="module")
def warm(podman):
    """podman's own mount of its store stays from its first container on."""
    podman("run", "--rm", "--network", "none", IMAGE, "true")


@pytest.mark.parametrize("case", SAME)
def test_as_podman(engine, podman, warm, case):
    flags, script = SAME[case]
    ours = engine.sh(script, *flags).ok().out
    assert ours == podman("run", "--rm", "--network", "none", *flags, IMAGE, "sh", "-c", script).stdout
    assert ours or case == "label-file"


def config(engine, *flags):
    id = engine("create", *flags, IMAGE, "true").ok().out.strip()
    text = json.loads((pathlib.Path(engine.dir(id)) / "config.json").read_text())
    engine("rm", id).ok()
    return text


def test_resources(engine):
    disk = next((f"/dev/{d}" for d in sorted(os.listdir("/sys/block")) if os.path.exists(f"/dev/{d}")), None)
    if not disk:
        pytest.skip("needs a disk")
    number = os.stat(disk).st_rdev
    found = config(engine, "--memory", "64m", "--memory-swap", "128m", "--memory-reservation", "32m",
                   "--cpu-shares", "512", "--cpu-period", "50000", "--cpu-quota", "25000", "--cpuset-mems", "0",
                   "--blkio-weight", "100", "--device-read-bps", f"{disk}:1m", "--device-write-iops", f"{disk}:9",
                   "--device-cgroup-rule", "c 13:* rw", "--cgroup-parent", "some/where")["linux"]
    resources = found["resources"]
    assert resources["memory"] == {"limit": 64 << 20, "reservation": 32 << 20, "swap": 128 << 20}
    assert resources["cpu"] == {"period": 50000, "quota": 25000, "shares": 512, "mems": "0"}
    rate = {"major": os.major(number), "minor": os.minor(number)}
    assert resources["blockIO"] == {"weight": 100, "throttleReadBpsDevice": [{**rate, "rate": 1 << 20}],
                                    "throttleWriteIOPSDevice": [{**rate, "rate": 9}]}
    assert resources["devices"][1:] == [{"allow": True, "type": "c", "major": 13, "access": "rw"}]
    assert found["cgroupsPath"].startswith("/some/where/berth-")


WRONG = {
    "--ulimit nofile": "is not NAME=SOFT",
    "--ulimit foo=1": "no limit",
    "--ulimit nofile=2:1": "not above",
    "--memory-swap 1g": "can't be less than --memory",
    "--cpus 1 --cpu-quota 1000": "--cpus excludes",
    "--blkio-weight 5": "10 to 1000",
    "--device-read-bps /etc/passwd:1": "no block device",
    "--device-read-bps /dev/nosuch:1": "cannot use",
    "--sysctl kernel.msgmax": "not NAME=VALUE",
    "--device /etc/passwd": "no device",
    "--device /dev/null:/x:abc": "is not HOST",
    "--device vendor.com/class=none": "no file of /etc/cdi",
    "--device-cgroup-rule x": "is not TYPE",
    "--umask 8": "not octal",
    "--tz Nowhere/At_all": "no time zone",
    "--tz ../../../etc/passwd": "no time zone",
    "--add-host there": "not NAME:ADDRESS",
    "--dns somewhere": "no address",
    "--personality bsd": "neither linux",
    "--attach nothing": "none of stdin",
    "--network bridge": "networks are not built yet",
    "--pid container:nosuch": "no such container",
    "--pid container:nosuch --restart always": "not with namespaces",
    "--userns keep-id": "callers that are not root",
    "--cgroupns container:x": "private, host",
    "--replace": "needs --name",
}


@pytest.mark.parametrize("flags", WRONG)
def test_wrong(engine, flags):
    done = engine("run", "--rm", *flags.split(), IMAGE, "true")
    assert done.code == 125 and WRONG[flags] in done.err, done


def test_ours_alone(engine):
    assert engine.sh("ulimit -n; ulimit -Hn; ulimit -c", "--ulimit", "nofile=100:200", "--ulimit",
                     "core=0").ok().out == "100\n200\n0\n"
    assert engine.sh("df -k /dev/shm | tail -1 | awk '{print $2}'").ok().out == "65536\n"
    assert engine.sh("echo ${container-none}", "--unsetenv", "container").ok().out == "none\n"
    assert engine.sh("echo ${X-none}", "--env-host", env={"X": "host"}).ok().out == "host\n"
    if os.uname().machine == "x86_64":
        assert engine.sh("uname -m", "--personality", "linux32").ok().out == "i686\n"


def test_ulimit_beyond(engine):
    done = engine("run", "--rm", "--ulimit", "nofile=10:2000000000", IMAGE, "true")
    assert done.code == 125 and "RLIMIT_NOFILE" in done.err, done


def test_names(engine):
    assert engine.sh("cat /etc/resolv.conf", "--dns", "192.0.2.1", "--dns-search", "a.test", "--dns-option",
                     "ndots:3").ok().out == "search a.test\nnameserver 192.0.2.1\noptions ndots:3\n"
    assert engine.sh("cat /proc/sys/kernel/domainname", "--domainname", "d.test").ok().out == "d.test\n"
    assert "127.0.0.1" not in engine.sh("cat /etc/hosts; true", "--no-hosts").out


def test_init(engine):
    """Orphans are reaped, signals passed on, the status is the program's."""
    done = engine.sh("(sh -c 'sleep 0.1 & true'); sleep 0.5; ps; exit 7", "--init")
    assert done.code == 7 and "/dev/init" in done.out and " Z " not in done.out, done
    id = engine.up("sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done", flags=("--init",))
    engine("stop", id).ok()
    assert engine("wait", id).ok().out.strip() == "3"
    engine("rm", id).ok()
    assert engine("run", "--rm", "--init", IMAGE, "/nosuch").code == 127


def test_namespaces_of_another(engine):
    one = engine.up("sleep", "1000", flags=("--name", "one"))
    assert "sleep 1000" in engine.sh("ps", "--pid", "container:one").ok().out
    two = engine.up("sleep", "1000", flags=("--network", "container:one"))

    def net(id):
        return os.readlink(f"/proc/{engine.monitor_state(id)['pid']}/ns/net")

    assert net(one) == net(two) != os.readlink("/proc/self/ns/net")
    engine("stop", "-t", "0", one, two).ok()
    done = engine("start", two)
    assert done.code and "isn't running" in done.err, done
    engine("start", one).ok()
    engine("start", two).ok()
    assert net(one) == net(two)
    engine("rm", "-f", one, two).ok()


def test_replace(engine):
    one = engine.up("sleep", "1000", flags=("--name", "same"))
    two = engine.up("sleep", "1000", flags=("--name", "same", "--replace"))
    assert engine.ids() == [two] and one != two
    engine("rm", "-f", two).ok()


def test_cdi(engine):
    """A vendor's file: device, variable, mount and hook."""
    spec = {"cdiVersion": "0.6.0", "kind": "berth.test/thing",
            "containerEdits": {"env": ["ALL=yes"]},
            "devices": [{"name": "one", "containerEdits": {
                "env": ["ONE=1"], "deviceNodes": [{"path": "/dev/thing", "hostPath": "/dev/zero"}],
                "mounts": [{"hostPath": "/etc", "containerPath": "/vendor", "options": ["ro"]}]}}]}
    place = pathlib.Path("/var/run/cdi")
    made = not place.exists()
    place.mkdir(parents=True, exist_ok=True)
    path = place / "berth-test.json"
    path.write_text(json.dumps(spec))
    try:
        done = engine.sh("echo $ALL $ONE; stat -c %t:%T /dev/thing; test -e /vendor/passwd && echo mounted",
                         "--device", "berth.test/thing=one").ok()
        assert done.out == "yes 1\n1:5\nmounted\n"
    finally:
        path.unlink()
        if made:
            place.rmdir()


def test_proxies(engine):
    """Ours are passed on where that is asked for; podman does it unasked, docker doesn't."""
    engine.env["https_proxy"] = "http://proxy.example:3128"
    try:
        assert engine.sh("echo $https_proxy").ok().out == "\n"
        assert engine.sh("echo $https_proxy", "--http-proxy").ok().out == "http://proxy.example:3128\n"
        assert engine.sh("echo $https_proxy", "--http-proxy", "-e", "https_proxy=x").ok().out == "x\n"
    finally:
        del engine.env["https_proxy"]


def test_unsetenv_all(engine, podman, warm):
    """HOME and HOSTNAME stay, as with podman."""
    flags = ("--rm", "--network", "none", "--unsetenv-all", "-e", "A=1", "-h", "there", IMAGE, "/bin/env")
    ours = sorted(engine("run", *flags).ok().out.split())
    assert ours == sorted(podman("run", *flags).stdout.split()) == ["A=1", "HOME=/root", "HOSTNAME=there"]


def test_hostuser(engine):
    assert engine.sh("grep ^daemon: /etc/passwd", "--hostuser", "daemon").ok().out.startswith("daemon:*:1:1:")
    engine.sh("true", "--hostuser", "nobody-of-that-name").failed("no user", code=125)


@pytest.mark.fast
def test_pidfile(engine, tmp_path):
    file = tmp_path / "pid"
    id = engine.up("sleep", "100", flags=["--pidfile", file])
    assert int(file.read_text()) == engine.monitor_state(id)["pid"]
    engine("restart", "-t0", id).ok()
    assert int(file.read_text()) == engine.monitor_state(id)["pid"]
    assert json.loads(engine("inspect", id).ok().out)[0]["PidFile"] == str(file)
    engine("rm", "-f", id).ok()
    engine("run", "--rm", "--pidfile", tmp_path / "no" / "pid", IMAGE, "true").failed("--pidfile", code=125)


def test_rmi(engines):
    engine = engines()
    other = engine("create", IMAGE, "true").ok().out.strip()
    assert engine("run", "--rmi", IMAGE, "sh", "-c", "exit 3").code == 3
    assert engine("images", "-q").ok().out
    engine("rm", other).ok()
    assert engine("run", "--rmi", IMAGE, "echo", "x").ok().out == "x\n"
    assert not engine("images", "-q").ok().out and not engine.ids()
    engine("run", "-d", "--rmi", IMAGE, "true").failed("exclude each other", code=125)


@pytest.mark.parametrize("flags, out", [(["--arch", "amd64"], "amd64"), (["--os", "linux"], "linux"), ([], "")])
def test_platform_in_parts(engine, flags, out):
    engine("run", "--rm", "--pull", "never", *flags, IMAGE, "true").ok()
    engine("run", "--rm", "--pull", "never", "--arch", "s390x", "--variant", "v9", IMAGE, "true").failed(
        "for linux", code=125)
    engine("run", "--rm", "--arch", "amd64", "--platform", "linux/amd64", IMAGE, "true").failed("exclude", code=125)


def test_init_path(engine, tmp_path):
    init = tmp_path / "init"
    init.write_text('#!/bin/sh\necho "init $1"\nshift\nexec "$@"\n')
    init.chmod(0o755)
    assert engine.sh("echo $0", "--init", "--init-path", init).ok().out == "init --\nsh\n"
    engine.sh("true", "--init", "--init-path", "/nonexistent").failed("--init-path", code=125)


@pytest.mark.fast
def test_systemd(engine):
    """What systemd asks of its surroundings (systemd.io/CONTAINER_INTERFACE), where the command is it."""
    def prepared(*args):
        id = engine("create", *args).ok().out.strip()
        text = json.loads((engine.dir(id) / "config.json").read_text())
        stop = engine("inspect", "-f", "{{.Config.StopSignal}} {{.Config.SystemdMode}}", id).ok().out.strip()
        engine("rm", id).ok()
        tmpfs = {m["destination"] for m in text["mounts"] if m["type"] == "tmpfs"} - {"/dev", "/dev/shm"}
        return tmpfs, stop, any(e == f"container_uuid={id[:32]}" for e in text["process"]["env"])

    all_of_it = ({"/run", "/run/lock", "/tmp", "/var/log/journal"}, "37 true", True)
    assert prepared(IMAGE, "/sbin/init") == all_of_it
    assert prepared(IMAGE, "/usr/lib/systemd/systemd", "--user") == all_of_it
    assert prepared("--systemd", "always", IMAGE, "sh") == all_of_it
    assert prepared("--systemd", "false", IMAGE, "/sbin/init") == (set(), "SIGTERM false", False)
    assert prepared("--systemd", "true", IMAGE, "init") == (set(), "SIGTERM false", False)
    assert prepared("--systemd", "always", "--stop-signal", "INT", "--tmpfs", "/run", IMAGE, "sh")[1] == "SIGINT true"
    assert engine.sh("touch /run/lock/x /tmp/x && mount | grep -c ' /run/lock '", "--systemd=always").ok().out == "1\n"


def test_cgroups(engine):
    engine.sh("true", "--cgroups", "enabled").ok()
    engine.sh("true", "--cgroups", "no-conmon").ok()
    for mode in ("disabled", "split"):
        engine.sh("true", "--cgroups", mode).failed("is not supported", code=125)


@pytest.mark.fast
def test_shared_memory(engine):
    """/dev/shm goes with the IPC namespace, at each start anew."""
    one = engine.up("sh", "-c", "echo shared >/dev/shm/f; sleep 100", flags=["--ipc", "shareable"])
    assert eventually(lambda: engine("exec", one, "cat", "/dev/shm/f").out == "shared\n", 10)
    assert engine.sh("cat /dev/shm/f; echo more >/dev/shm/g", "--ipc", f"container:{one}").ok().out == "shared\n"
    assert engine("exec", one, "cat", "/dev/shm/g").ok().out == "more\n"
    two = engine("create", "--ipc", f"container:{one}", IMAGE, "ls", "/dev/shm").ok().out.strip()
    engine("restart", "-t0", one).ok()
    assert eventually(lambda: engine("exec", one, "ls", "/dev/shm").out == "f\n", 10)
    assert engine("start", "-a", two).ok().out == "f\n"
    engine("rm", "-f", one, two).ok()


def test_no_shared_memory(engine):
    assert engine.sh("grep -c ' /dev/shm ' /proc/mounts", "--ipc", "none").out == "0\n"
    id = engine("create", "--ipc", "none", IMAGE, "true").ok().out.strip()
    assert engine("inspect", "-f", "{{.HostConfig.IpcMode}}", id).ok().out == "none\n"
    engine("rm", id).ok()
