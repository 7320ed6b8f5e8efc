"""What containers may do: --security-opt, --privileged, capabilities, and the default filter of system calls
against podman's."""

import json
import pathlib

import pytest
from enginekit import IMAGE

pytestmark = pytest.mark.needs("path:/bin/busybox")
PROFILE = pathlib.Path("/usr/share/containers/seccomp.json")


def status(engine, *flags):
    out = engine.sh("cat /proc/self/status", *flags).ok().out
    return dict(line.split(":\t", 1) for line in out.splitlines() if ":\t" in line)


def test_defaults(engine):
    found = status(engine)
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    assert engine.sh("wc -c < /proc/keys; touch /proc/sys/kernel/msgmax").out.strip() in ("", "0")


LEFT_OUT = 1 << 13 | 1 << 27 | 1 << 29  # NET_RAW, MKNOD, AUDIT_WRITE: in docker's default set


@pytest.fixture(scope="module")
def warm(podman):
    """podman's own mount of its store stays from its first container on."""
    podman("run", "--rm", "--network", "none", IMAGE, "true")


def sets(text):
    return {line.split(":")[0]: int(line.split()[1], 16) for line in text.splitlines() if "CapInh" not in line}


@pytest.mark.parametrize("flags", ["", "--cap-drop ALL", "--cap-drop ALL --cap-add net_raw,CHOWN",
                                   "--cap-add CAP_SYS_ADMIN", "--cap-drop chown", "--user 1000"])
def test_capabilities_as_podman(engine, podman, warm, flags):
    script = "grep Cap /proc/self/status"
    ours = sets(engine.sh(script, *flags.split()).ok().out)
    theirs = sets(podman("run", "--rm", "--network", "none", *flags.split(), IMAGE, "sh", "-c", script).stdout)
    assert ours.keys() == theirs.keys()
    if "ALL" not in flags:
        theirs = {name: caps & ~LEFT_OUT for name, caps in theirs.items()}
    assert ours == theirs


def test_added_without_root(engine):
    found = status(engine, "--user", "1000", "--cap-add", "NET_RAW")
    assert int(found["CapEff"], 16) == int(found["CapAmb"], 16) == 1 << 13


def test_options(engine):
    assert status(engine, "--security-opt", "no-new-privileges=false")["NoNewPrivs"] == "0"
    assert status(engine, "--security-opt", "seccomp=unconfined")["Seccomp"] == "0"
    assert engine.sh("head -c1 /proc/timer_list | wc -c").out.strip() == "0"
    assert engine.sh("head -c1 /proc/timer_list | wc -c", "--security-opt", "unmask=/proc/timer*").out.strip() == "1"
    assert engine.sh("head -c1 /proc/timer_list | wc -c", "--security-opt",
                     "systempaths=unconfined").out.strip() == "1"
    assert engine.sh("wc -c < /proc/meminfo", "--security-opt", "mask=/proc/meminfo").out.strip() == "0"
    for wrong in ("what=ever", "seccomp=/nosuch", "label=type:x", "no-new-privileges=maybe", "mask=here",
                  "systempaths=on"):
        done = engine("run", "--rm", "--security-opt", wrong, IMAGE, "true")
        assert done.code == 125 and "--security-opt" in done.err, done


def test_privileged(engine):
    found = status(engine, "--privileged")
    known = (1 << (int(pathlib.Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1)) - 1
    own = int(pathlib.Path("/proc/self/status").read_text().split("CapBnd:")[1].split()[0], 16)
    assert int(found["CapBnd"], 16) == known & own
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("0", "0")
    done = engine.sh("test -c /dev/kmsg && mount -t tmpfs x /mnt 2>&1 || mount -t tmpfs x /tmp; echo $?", "--privileged")
    assert done.out.endswith("0\n") and "takes away" in done.err, done


def test_profile_of_a_file(engine, tmp_path):
    path = tmp_path / "profile.json"
    path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
        {"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO", "includes": {"caps": ["CAP_SYS_ADMIN"]}}]}))
    flags = ("--security-opt", f"seccomp={path}")
    assert "No space left" in engine.sh("mkdir /x", *flags).err
    assert engine.sh("touch /x && chmod 600 /x", *flags).code == 0
    assert engine.sh("touch /x && chmod 600 /x", *flags, "--cap-add", "SYS_ADMIN").code == 1


# What podman's profile allows a container without further capabilities and ours does not, and why.
NARROWER = {
    "mount": ["mount", "umount", "umount2", "pivot_root", "mount_setattr", "move_mount", "open_tree", "fsopen",
              "fsconfig", "fsmount", "fspick"],
    "namespaces, as docker": ["setns", "unshare", "clone3"],  # clone3: ENOSYS, so that libc uses clone
    "the kernel's keys are not in a namespace": ["keyctl"],
    "with the capability alone": ["pidfd_getfd", "reboot", "syslog"],
    "another machine's": ["s390_pci_mmio_read", "s390_pci_mmio_write", "s390_runtime_instr"],
}


def allowed(rules, caps):
    """Names with some rule that allows them, in a container with these capabilities."""
    names = set()
    for rule in rules:
        includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
        if (rule["action"] == "SCMP_ACT_ALLOW" and set(includes.get("caps") or []) <= caps
                and not set(excludes.get("caps") or []) & caps):
            names |= set(rule["names"])
    return names


def ours(engine, *flags):
    id = engine("create", *flags, IMAGE, "true").ok().out.strip()
    config = json.loads((pathlib.Path(engine.dir(id)) / "config.json").read_text())
    engine("rm", id).ok()
    return config["linux"]["seccomp"]["syscalls"], set(config["process"]["capabilities"]["bounding"])


@pytest.mark.parametrize("cap", [None, "DAC_READ_SEARCH", "SYS_ADMIN", "SYS_CHROOT", "SYS_MODULE", "SYS_PACCT",
                                 "SYS_PTRACE", "SYS_RAWIO", "SYS_TIME", "SYS_TTY_CONFIG", "AUDIT_WRITE"])
def test_no_narrower_than_podman(engine, cap):
    if not PROFILE.exists():
        pytest.skip(f"needs podman's profile, {PROFILE}")
    rules, caps = ours(engine, *(["--cap-add", cap] if cap else []))
    theirs = allowed(json.loads(PROFILE.read_text())["syscalls"], caps)
    missing = theirs - allowed(rules, caps)
    explained = {name for names in NARROWER.values() for name in names} | {"query_module"}  # gone since Linux 2.6
    assert not missing - explained, sorted(missing - explained)
    if cap is None:
        assert explained - {"query_module"} == missing


def test_new_namespaces(engine):
    assert "not permitted" in engine.sh("unshare -U true").err
    assert engine.sh("unshare -m true", "--cap-add", "SYS_ADMIN").code == 0


# ---- what an image says of users ----


@pytest.mark.parametrize("make, words", [
    ("mkfifo /etc/passwd", "no user"),
    ("ln -s /dev/zero /etc/passwd", "no user"),
    ("ln -s ../../../../../../../../../../etc/passwd /etc/passwd", "no user"),
    ("yes web:x:1: | head -c 3000000 >/etc/passwd", "no user"),
    ("echo web:x:4294967295:4294967295::/: >/etc/passwd", "4294967294"),
    ("echo web:x:-1:0::/: >/etc/passwd", "no user"),
    ("echo 'web:x: 0:0::/:' >/etc/passwd", "no user"),
])
def test_a_password_file_with_traps(engine, make, words):
    """It is a stranger's: nothing waits for it, nothing is read through it, no number becomes another."""
    engine("run", "--name", "maker", IMAGE, "sh", "-c", f"rm -f /etc/passwd; {make}").ok()
    engine("commit", "maker", "trap").ok()
    engine("rm", "maker").ok()
    result = engine("run", "--rm", "--user", "web", "trap", "id", timeout=30)
    assert result.code != 0 and words in result.err and "uid=" not in result.out, result
    engine("rmi", "trap").ok()


def test_nobody_else_reaches_a_monitor(engine):
    id = engine.up("sleep", "100")
    here = engine.run_dir(id)
    assert here.stat().st_mode & 0o7777 == 0o700 and here.stat().st_uid == 0
    assert not (here / "ctl").stat().st_mode & 0o022  # a socket is connected to by who may write to it
    engine("rm", "-f", id).ok()
