"""`berth look`: what it says of real processes, checked against what was configured."""

import ctypes
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import time

import lookkit
import pytest
from lookkit import facts, page, run

RUNTIMES = ["runc", "crun", os.environ.get("BERTH_OCI") or str(lookkit.REPO / "build" / "berth-oci")]
MIB = 1 << 20


def limits(config):
    config["linux"]["resources"].update(memory={"limit": 64 * MIB, "swap": 64 * MIB},
                                        cpu={"quota": 20000, "period": 100000, "shares": 512},
                                        pids={"limit": 50})
    config["process"]["oomScoreAdj"] = 300
    config["hostname"] = "looked-at"


def own(f):
    return {name for name, ns in f["sees"]["namespaces"].items() if ns["relation"] == "own"}


def by_point(f):
    return {m["point"]: m for m in f["filesystems"]["mounts"] if not m["covered"]}


# ---- containers ----

@pytest.mark.parametrize("runtime", RUNTIMES, ids=os.path.basename)
def test_container(oci, runtime):
    c = oci(runtime, limits)
    f = facts(c.pid)
    name = os.path.basename(runtime)
    assert f["schema"] == "berth.look/1"
    assert f["subject"]["pid"] == c.pid and f["subject"]["pids"][-1] == 1
    assert f["subject"]["args"] == ["sleep", "1000"]
    owner = f["owner"]
    assert (owner["container"], owner["evidence"], owner["id"], owner["runtime"]) == (True, "state", c.id, name)
    assert owner["isInit"] and owner["initPid"] == c.pid
    assert {"mnt", "pid", "net", "ipc", "uts"} <= own(f)
    assert f["sees"]["namespaces"]["user"]["relation"] == "host"
    assert f["sees"]["hostname"] == "looked-at"
    use = f["consumes"]
    cpu, memory, pids = use["cpu"], use["memory"], use["pids"]
    assert (cpu["levels"][0]["quotaUs"], cpu["levels"][0]["periodUs"]) == (20000, 100000)
    assert cpu["bindingLevel"] == cpu["ownLevel"] == 0
    assert memory["levels"][0]["limitBytes"] == 64 * MIB and memory["bindingLevel"] == 0
    assert 0 < memory["levels"][0]["usageBytes"] < 64 * MIB
    assert pids["levels"][0]["limit"] == 50 and pids["levels"][0]["usage"] == 1
    assert cpu["levels"][0]["path"] == c.cgroup
    does = f["does"]
    assert does["noNewPrivileges"] == 1 and does["seccompMode"] == 0
    assert sorted(does["capabilities"]["effective"]) == ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    assert does["oomScoreAdj"] == 300
    assert does["rlimits"]["nofile"]["soft"] == 512 and does["rlimits"]["nofile"]["hard"] == 1024
    assert does["devices"]["policy"] in ("list", "program")
    assert not any(d["dangerous"] for d in does["devices"]["allowed"])
    root = f["filesystems"]["mounts"][f["filesystems"]["rootIndex"]]
    assert root["readOnly"] and root["hostPath"] == c.config["root"]["path"]
    masked = {m["point"] for m in f["filesystems"]["mounts"] if m["role"] == "masked"}
    assert {p for p in c.config["linux"]["maskedPaths"] if os.path.exists(p)} == masked
    assert f["drift"]["compared"] and f["drift"]["differences"] == []
    text = page(c.id)
    assert "of 64M (own limit)" in text and "of 0.20 CPUs (own quota)" in text and "looked-at" in text


@pytest.mark.parametrize("runtime", RUNTIMES, ids=os.path.basename)
def test_drift(oci, runtime):
    """What someone changed behind the runtime's back, each found and nothing else."""
    c = oci(runtime, limits)
    f = facts(c.pid)
    level = f["consumes"]["memory"]["levels"][0]["path"]
    places = f["consumes"]["controllers"]
    memory = pathlib.Path(places["memory"]["directory"])
    (memory / ("memory.max" if places["memory"]["version"] == 2 else "memory.limit_in_bytes")).write_text(str(32 * MIB))
    (pathlib.Path(places["pids"]["directory"]) / "pids.max").write_text("max")
    lookkit.sh("nsenter", "-t", c.pid, "-m", "-u", "-p", "/bin/busybox", "sh", "-c",
               "mount -t tmpfs none /tmp && hostname moved")
    found = {d["what"]: (d["declared"], d["effective"]) for d in facts(c.pid)["drift"]["differences"]}
    assert found == {"memory limit": ("64M", "32M"), "pids limit": ("50", "unlimited"),
                     "host name": ("looked-at", "moved"), "mount /tmp": ("none", "tmpfs")}, level
    assert "memory limit: declared 64M, is 32M" in page(c.pid)


def test_exec_belongs_to_the_container(oci):
    c = oci("runc", limits)
    pid = c.exec("sleep", "500")
    lookkit.eventually(lambda: facts(pid)["subject"]["comm"] == "sleep")  # the runtime's own init first
    f = facts(pid)
    assert f["owner"]["id"] == c.id and f["owner"]["initPid"] == c.pid and not f["owner"]["isInit"]
    assert f["subject"]["args"] == ["sleep", "500"]
    assert f"its first process is PID {c.pid}" in " ".join(page(pid).split())


def test_parent_limits_bind(oci):
    def prepare(parent):
        for top in lookkit.cgroup_dirs(parent):
            if (top.parent / "cgroup.controllers").exists() and not (top.parent / "memory.stat").exists():
                continue
            top.mkdir(exist_ok=True)
            for name, value in (("cpu.cfs_quota_us", "5000"), ("memory.limit_in_bytes", str(16 * MIB)),
                                ("pids.max", "20"), ("cpu.max", "5000 100000"), ("memory.max", str(16 * MIB))):
                if (top / name).exists():
                    (top / name).write_text(value)
    # A child's quota may not exceed its parent's on v1: leave the container's own unset.
    c = oci("runc", lambda config: config["linux"]["resources"].update(memory={"limit": 64 * MIB}, pids={"limit": 50}),
            prepare)
    f = facts(c.pid)
    use = f["consumes"]
    assert use["cpu"]["bindingLevel"] == 1 and use["cpu"]["levels"][1]["quotaUs"] == 5000
    assert use["memory"]["bindingLevel"] == 1 and use["memory"]["levels"][1]["limitBytes"] == 16 * MIB
    assert use["pids"]["bindingLevel"] == 1 and use["pids"]["levels"][1]["limit"] == 20
    text = page(c.pid)
    parent = os.path.dirname(c.cgroup)
    for words in ("0.05 CPUs (PARENT's quota:", "of 16M (PARENT's limit:", "of 20 (PARENT's limit:"):
        assert words in text
    assert text.count(parent) >= 3


def test_throttling_is_seen(oci):
    def burn(config):
        config["linux"]["resources"]["cpu"] = {"quota": 20000, "period": 100000}
        config["process"]["args"] = ["sh", "-c", "while :; do :; done"]
    c = oci("runc", burn)
    time.sleep(0.5)
    f = facts(c.pid, sample=400)
    cpu = f["consumes"]["cpu"]
    assert cpu["levels"][0]["throttledPeriods"] > 0
    assert cpu["levels"][0]["sampledThrottledPeriods"] >= cpu["levels"][0]["sampledPeriods"] / 2 > 0
    assert 50 < cpu["usedMilliCpus"] < 400, "a fifth of a CPU, give or take a period"
    assert 50 < cpu["processMilliCpus"] < 400
    assert re.search(r"throttled in \d+% of periods now", " ".join(page(c.pid, "--sample", "400").split()))


def test_oom_kills_are_counted(oci):
    def hungry(config):
        config["linux"]["resources"]["memory"] = {"limit": 8 * MIB, "swap": 8 * MIB}
        config["process"]["args"] = ["sh", "-c", "dd if=/dev/zero of=/dev/null bs=64M count=1; sleep 1000"]
    c = oci("runc", hungry)
    assert lookkit.eventually(lambda: facts(c.pid)["consumes"]["memory"]["eventsOomKill"])
    assert re.search(r"\d+ OOM kills", page(c.pid))


def test_paused(oci):
    c = oci("runc", limits)
    assert facts(c.pid)["consumes"]["frozen"] == 0
    lookkit.sh("runc", "pause", c.id)
    try:
        assert facts(c.pid)["consumes"]["frozen"] == 1
        assert "FROZEN" in page(c.pid)
    finally:
        lookkit.sh("runc", "resume", c.id)


def test_privileged(oci):
    """Everything that an audit would shout about is marked."""
    everything = [f"CAP_{n}" for n in ("SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN", "DAC_READ_SEARCH", "CHOWN")]

    def open_wide(config):
        config["process"]["capabilities"] = {k: everything for k in ("bounding", "effective", "permitted")}
        config["process"]["noNewPrivileges"] = False
        config["linux"]["maskedPaths"] = config["linux"]["readonlyPaths"] = []
        config["linux"]["resources"]["devices"] = [{"allow": True, "access": "rwm"}]
        config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] not in ("network", "pid")]
        config["mounts"] = [m for m in config["mounts"] if m["destination"] != "/proc"]
        config["mounts"] += [{"destination": "/proc", "source": "/proc", "type": "none", "options": ["rbind"]},
                             {"destination": "/srv", "source": "/etc", "type": "none", "options": ["bind"]}]
    f = facts(oci("runc", open_wide).pid)
    assert set(f["does"]["capabilities"]["dangerous"]) == set(everything) - {"CAP_CHOWN"}
    assert {"net", "pid"}.isdisjoint(own(f))
    assert f["does"]["devices"]["policy"] == "all"
    mounts = by_point(f)
    assert mounts["/proc"]["danger"] and mounts["/srv"]["danger"] == "the host's configuration"
    assert "/proc/sys" in f["filesystems"]["writableKernelPaths"]
    text = page(f["subject"]["pid"])
    assert "!SYS_ADMIN" in text and "!! the host's configuration" in text and "/proc/sys writable" in text


def test_sockets_within_reach(oci, tmp_path):
    """A socket that gives root on the host, mounted itself or with its directory; and another one."""
    path, made = pathlib.Path("/run/docker.sock"), None
    if not path.exists():
        made = socket.socket(socket.AF_UNIX)
        made.bind(str(path))
    other = socket.socket(socket.AF_UNIX)
    other.bind(str(tmp_path / "other.sock"))

    def mounts(config):
        config["mounts"] += [
            {"destination": "/srv", "source": "/run", "type": "none", "options": ["bind", "ro"]},
            {"destination": "/run/docker.sock", "source": str(path), "type": "none", "options": ["bind", "ro"]},
            {"destination": "/data/other.sock", "source": str(tmp_path / "other.sock"), "type": "none",
             "options": ["bind"]}]
        config["root"]["readonly"] = False
    try:
        f = facts(oci("runc", mounts).pid)
    finally:
        if made:
            made.close()
            path.unlink()
    found = by_point(f)
    assert found["/run/docker.sock"]["danger"] == "docker's socket" and found["/run/docker.sock"]["socket"]
    assert found["/srv"]["controlsHost"] and not found["/srv"]["socket"]
    other = found["/data/other.sock"]
    assert other["socket"] and not other["controlsHost"] and other["danger"] is None
    assert other["hostPath"] == str(tmp_path / "other.sock")


def test_user_namespace(oci):
    def mapped(config):
        config["linux"]["namespaces"].append({"type": "user"})
        ids = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        config["linux"]["uidMappings"] = config["linux"]["gidMappings"] = ids
        config["process"]["user"] = {"uid": 7, "gid": 8}
        config["process"]["capabilities"] = {}
    c = oci("runc", mapped)
    f = facts(c.pid)
    assert "user" in own(f)
    assert f["sees"]["uidMap"] == [{"inside": 0, "outside": 100000, "count": 65536}]
    assert (f["does"]["euid"], f["does"]["uidInside"], f["does"]["gidInside"]) == (100007, 7, 8)
    assert "users 0-65535 are host's 100000-165535" in page(c.pid)
    assert "7 inside, 100007 on the host" in page(c.pid)


def test_found_by_id(oci):
    c = oci("runc", limits)
    assert facts(c.id)["subject"]["pid"] == c.pid
    assert facts(c.id[:-2])["subject"]["pid"] == c.pid


def test_ambiguous_prefix(oci):
    first, second = oci("runc", container=f"twin-{os.getpid()}-a"), oci("runc", container=f"twin-{os.getpid()}-b")
    done = run(f"twin-{os.getpid()}")
    assert done.code == 2 and "more than one" in done.err
    assert facts(first.id)["subject"]["pid"] == first.pid and facts(second.id)["subject"]["pid"] == second.pid


def test_stopped(oci):
    c = oci("runc", lambda config: config["process"].update(args=["true"]))
    lookkit.eventually(lambda: json.loads(lookkit.sh("runc", "state", c.id).stdout)["status"] == "stopped")
    done = run(c.id)
    assert done.code == 3 and "not running" in done.err


# ---- engines ----

@pytest.fixture
def podman(rootfs):
    if os.geteuid() != 0 or not shutil.which("podman"):
        pytest.skip("needs root and podman")
    name, image = f"look-{os.getpid()}", f"localhost/look-{os.getpid()}:1"
    archive = subprocess.run(["tar", "-C", rootfs, "-c", "."], capture_output=True, check=True).stdout
    subprocess.run(["podman", "import", "-", image], input=archive, capture_output=True, check=True)

    def start(*options):
        log = rootfs.parent / "podman.log"
        with open(log, "w") as out:
            done = subprocess.run(["podman", "--runtime", "runc", "run", "-d", "--name", name, "--network", "none",
                                   "--ulimit", "nofile=1024:2048", "--ulimit", "nproc=1000:1000", *options, image,
                                   "sleep", "1000"], stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60)
        if done.returncode != 0:
            pytest.skip(f"podman can't run here: {log.read_text().strip()[-200:]}")
        return name, image, int(lookkit.sh("podman", "inspect", "-f", "{{.State.Pid}}", name).stdout)
    yield start
    lookkit.sh("podman", "rm", "-f", "-t", "0", name, check=False)
    lookkit.sh("podman", "rmi", "-f", image, check=False)


def test_podman(podman, tmp_path):
    name, image, pid = podman("--memory", "64m", "--cpus", "0.5", "-v", f"{tmp_path}:/data:ro")
    f = facts(name)
    assert f["subject"]["pid"] == pid
    owner = f["owner"]
    assert (owner["engine"], owner["runtime"], owner["name"], owner["image"]) == ("podman", "runc", name, image)
    assert owner["evidence"] == "state" and owner["monitorPid"] > 1
    assert pathlib.Path(f"/proc/{owner['monitorPid']}/comm").read_text().strip() == "conmon"
    assert f["consumes"]["memory"]["levels"][0]["limitBytes"] == 64 * MIB
    assert f["does"]["seccompMode"] == 2 and f["does"]["seccompFilters"] >= 1
    fs = f["filesystems"]
    assert fs["rootKind"] == "overlay" and len(fs["lower"]) == 1
    assert os.path.exists(fs["lower"][0]["path"] + "/bin/busybox"), "the layer is where it is said to be"
    assert fs["lower"][0]["origin"].startswith("containers/storage layer")
    assert by_point(f)["/data"]["hostPath"] == str(tmp_path) and by_point(f)["/data"]["readOnly"]
    assert by_point(f)["/etc/hosts"]["role"] == "engine"
    assert any("seccomp" in n["what"] for n in f["not_checked"])
    first = page(name).splitlines()[0]
    assert name in first and "podman/runc" in first and image in " ".join(page(name).splitlines()[:2])


@pytest.mark.needs("root")
def test_berth_run(bare):
    name = f"look-run-{os.getpid()}"
    engine = bare(lookkit.BERTH, "run", "--name", name, "--memory", "64m", "--cpus", "0.5", "--pids-limit", "30",
                  "host", "sleep", "1000")
    assert lookkit.eventually(lambda: run("--sample", "0", name).code == 0), run(name)
    f = facts(name)
    os.kill(f["subject"]["pid"], signal.SIGKILL)  # so that the engine cleans up
    assert engine.process.wait(timeout=20) == 137
    owner = f["owner"]
    assert (owner["engine"], owner["runtime"], owner["id"]) == ("berth", "berth-oci", name)
    assert f["consumes"]["memory"]["levels"][0]["limitBytes"] == 64 * MIB
    assert f["filesystems"]["rootKind"] == "overlay"
    assert f["filesystems"]["lower"][-1]["origin"] == "this host's root"
    assert f["drift"]["differences"] == []


# ---- processes without an engine ----

def test_plain_process(bare):
    p = bare("sleep", "1000")
    f = facts(p.pid)
    assert f["owner"]["kind"] in ("host process", "systemd service", "login session", "systemd scope")
    assert not f["owner"]["container"] and own(f) == set()
    assert f["drift"]["compared"] is False
    assert str(pathlib.Path("/proc/self/ns/mnt").readlink()).endswith(f"[{f['sees']['namespaces']['mnt']['inode']}]")
    assert "DRIFT" not in page(p.pid)


@pytest.mark.needs("root")
def test_namespaces_of_unshare(bare):
    p = bare("unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--user", "--map-root-user",
             "--time", "--boottime", "604800", "sh", "-c", "hostname bare; exec sleep 1000")
    pid = p.child()
    lookkit.eventually(lambda: facts(pid)["sees"]["hostname"] == "bare")
    f = facts(pid)
    assert own(f) == {"mnt", "uts", "ipc", "net", "pid", "user", "time"}
    assert f["sees"]["hostname"] == "bare" and f["sees"]["clockOffsets"]["boottimeSecs"] == 604800
    assert f["sees"]["setgroups"] == "deny"
    assert f["owner"]["kind"] == "namespaces" and f["owner"]["engine"] == "unshare"
    text = page(pid)
    assert "only within its user namespace" in text and "boot time +604800 s" in text and "!SYS_ADMIN" not in text


@pytest.mark.needs("root")
def test_chroot(bare, rootfs):
    f = facts(bare("chroot", rootfs, "/bin/sleep", "1000").pid)
    assert lookkit.eventually(lambda: True) and f["filesystems"]["rootPath"] in (str(rootfs), "/")


@pytest.mark.needs("root")
def test_device_program(bare):
    """A v2 device program, asked rather than recognised: character 1:3 read and write, nothing else."""
    place = next(d for d in lookkit.cgroup_dirs(f"/berth-look-bpf-{os.getpid()}")
                 if (d.parent / "cgroup.controllers").exists())
    insns = [(0x61, 2, 1, 0, 0), (0x61, 3, 1, 4, 0), (0x61, 4, 1, 8, 0),     # access_type, major, minor
             (0xbf, 5, 2, 0, 0), (0x57, 5, 0, 0, 0xffff), (0x55, 5, 0, 5, 2),  # a character device
             (0x77, 2, 0, 0, 16), (0x45, 2, 0, 3, 1),                         # not mknod
             (0x55, 3, 0, 2, 1), (0x55, 4, 0, 1, 3), (0x05, 0, 0, 2, 0),
             (0xb7, 0, 0, 0, 0), (0x95, 0, 0, 0, 0), (0xb7, 0, 0, 0, 1), (0x95, 0, 0, 0, 0)]
    code = b"".join(struct.pack("<BBhi", op, src << 4 | dst, off, imm) for op, dst, src, off, imm in insns)
    text, licence = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"GPL")
    attr = ctypes.create_string_buffer(
        struct.pack("<IIQQIIQII", 15, len(insns), ctypes.addressof(text), ctypes.addressof(licence), 0, 0, 0, 0, 0), 128)
    bpf = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
    program = lookkit.libc.syscall(bpf, 5, attr, 72)
    if program < 0:
        pytest.skip("this kernel loads no device programs")
    place.mkdir()
    p = bare("sleep", "1000")
    directory = os.open(place, os.O_RDONLY)
    try:
        attach = ctypes.create_string_buffer(struct.pack("<IIII", directory, program, 6, 0), 128)
        assert lookkit.libc.syscall(bpf, 8, attach, 72) == 0
        (place / "cgroup.procs").write_text(str(p.pid))
        devices = facts(p.pid)["does"]["devices"]
        if devices["policy"] == "list":
            pytest.skip("this process is limited by v1's list already")
        assert devices["policy"] == "program" and devices["programs"] == 1
        assert [(d["name"], d["access"]) for d in devices["allowed"]] == [("null", "rw")]
        assert "null rw" in page(p.pid, "--full")
    finally:
        os.close(directory)
        os.close(program)
        p.stop()
        lookkit.rmdir(place)


def test_zombie():
    child = os.fork()
    if child == 0:
        os._exit(0)
    try:
        lookkit.eventually(lambda: "(python" in pathlib.Path(f"/proc/{child}/stat").read_text()
                           and " Z " in pathlib.Path(f"/proc/{child}/stat").read_text())
        assert facts(child)["subject"]["state"] == "Z"
        assert "zombie" in page(child)
    finally:
        os.waitpid(child, 0)


@pytest.mark.needs("root")
def test_kernel_thread():
    if pathlib.Path("/proc/2/comm").read_text().strip() != "kthreadd":
        pytest.skip("needs the first pid namespace")
    f = facts(2)
    assert f["owner"]["kind"] == "kernel thread" and f["subject"]["kernelThread"]


# ---- failing well ----

def test_exit_statuses(tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert run(gone.pid).code == 3
    assert run("no-such-container").code in (3, 4)
    assert run().code == 2
    assert run("0").code == 2
    assert run("4294967296").code == 2
    assert run("--sample", "x", "1").code == 2
    assert run("--sample", "99999999", "1").code == 2
    assert run("--nonsense", "1").code == 2


def test_thread_is_named(bare):
    code = "import threading,time; threading.Thread(target=time.sleep,args=(1000,)).start(); time.sleep(1000)"
    p = bare("python3", "-c", code)
    tasks = pathlib.Path(f"/proc/{p.pid}/task")
    assert lookkit.eventually(lambda: len(list(tasks.iterdir())) > 1)
    thread = next(int(t.name) for t in tasks.iterdir() if int(t.name) != p.pid)
    done = run(thread)
    assert done.code == 2 and f"its process, {p.pid}" in done.err


@pytest.mark.needs("root")
def test_stale_state_is_no_proof(bare, tmp_path):
    """A state file whose start time is not the process's names someone who is gone."""
    p = bare("unshare", "--mount", "sleep", "1000")
    directory = tmp_path / "stale"
    directory.mkdir()
    start = int(pathlib.Path(f"/proc/{p.pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
    for recorded, code in ((start, 0), (start - 1, 3)):
        (directory / "state.json").write_text(json.dumps(
            {"id": "stale", "init_process_pid": p.pid, "init_process_start": recorded, "config": {}}))
        assert run("--root", tmp_path, "stale").code == code
        f = facts(p.pid, "--root", tmp_path)
        assert f["owner"]["evidence"] == ("state" if code == 0 else "none")


@pytest.mark.needs("root")
@pytest.mark.parametrize("text", ["[" * 100000, "{\"pid\":", "{\"pid\":1,\"pid\":2}", "\0", ""])
def test_malformed_state(bare, tmp_path, text):
    p = bare("unshare", "--mount", "sleep", "1000")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "state.json").write_text(text)
    assert facts(p.pid, "--root", tmp_path)["owner"]["evidence"] == "none"
    assert run("--root", tmp_path, "x").code == 3


@pytest.mark.needs("root")
def test_state_that_blocks(bare, tmp_path):
    """A FIFO, a link and a device where a state file should be: refused, not waited for."""
    p = bare("unshare", "--mount", "sleep", "1000")
    for name, make in (("fifo", os.mkfifo), ("link", lambda path: os.symlink("/etc/passwd", path)),
                       ("zero", lambda path: os.symlink("/dev/zero", path))):
        (tmp_path / name).mkdir()
        make(tmp_path / name / "state.json")
    begin = time.monotonic()
    assert facts(p.pid, "--root", tmp_path)["owner"]["evidence"] == "none"
    assert time.monotonic() - begin < 5


def test_vanishing_processes():
    """Short-lived targets: a page or "no process", never a crash."""
    codes = set()
    for i in range(60):
        child = subprocess.Popen(["sleep", f"0.00{i % 10}"])
        codes.add(run("--sample", "0", child.pid).code)
        child.wait()
    assert codes <= {0, 3, 4}


@pytest.mark.needs("root")
def test_unprivileged_view(bare):
    p = bare("unshare", "--mount", "sleep", "1000")
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", lookkit.BERTH, "look",
                           "--sample", "0", str(p.pid)], capture_output=True, text=True, timeout=60)
    if "Permission denied" in done.stderr and "berth" not in done.stdout:
        pytest.skip("the program can't be executed by others here")
    assert done.returncode == 4, done
    assert "not checked (permission denied)" in done.stdout
    assert "unknown  mnt" in done.stdout


# ---- hostile targets ----

EVIL = "a\x1b[2J\x1b]0;owned\x07\r\nFAKE: root\u202e\u200b\x9b31m\\x41"


def assert_clean(text):
    bad = [c for c in text if (ord(c) < 32 and c != "\n") or 0x7f <= ord(c) < 0xa0
           or c in "\u202e\u200b\ufffd"]
    assert not bad, (bad, text)


def test_hostile_arguments(bare):
    p = bare("bash", "-c", "exec -a \"$0\" sleep 1000", EVIL)
    lookkit.eventually(lambda: pathlib.Path(f"/proc/{p.pid}/cmdline").read_bytes().startswith(b"a\x1b"))
    for args in ((), ("--full",)):
        text = page(p.pid, *args)
        assert_clean(text)
        assert "\\x1b[2J" in text and "\nFAKE" not in text
    assert EVIL.encode()[:10].decode() in json.dumps(facts(p.pid)["subject"]["args"], ensure_ascii=False) \
        or facts(p.pid)["subject"]["args"][0].startswith("a\x1b[2J")


@pytest.mark.needs("root")
def test_hostile_names(bare, tmp_path):
    """Host name, mount points, process name and cgroup name, all of the target's choosing."""
    nasty = tmp_path / "m\x1b[31m\n 1 1 0:1"
    nasty.mkdir()
    script = tmp_path / "x\x1b[7m)R 1 2"
    script.write_text("#!/bin/sh\nmount -t tmpfs 'src\x1b[0m - x' \"$1\" && printf 'evil\\033[2J' >"
                      " /proc/sys/kernel/hostname; sleep 1000\n")
    script.chmod(0o755)
    p = bare("unshare", "--mount", "--uts", script, nasty)
    group = next(lookkit.cgroup_dirs(f"/evil\x1b[5m-{os.getpid()}"))
    group.mkdir()
    try:
        pid = p.child()
        (group / "cgroup.procs").write_text(str(p.pid))
        lookkit.eventually(lambda: facts(p.pid)["sees"]["hostname"] == "evil\x1b[2J")
        f = facts(p.pid)
        assert str(nasty) in by_point(f)
        assert f["sees"]["hostname"] == "evil\x1b[2J"
        for target in (p.pid, pid):
            for args in ((), ("--full",)):
                assert_clean(page(target, *args))
    finally:
        p.stop()
        lookkit.eventually(lambda: lookkit.rmdir(group))


# ---- the page and its JSON ----

def test_page_is_plain_and_narrow(oci):
    c = oci("runc", limits)
    text = page(c.pid)
    assert max(map(len, text.splitlines())) <= 80
    assert "\033" not in text
    assert len(text.splitlines()) < 50, "one page"


def on_terminal(*args, columns=80, **env):
    """The page as a terminal of that width gets it."""
    leader, follower = pty.openpty()
    import fcntl
    import termios
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    child = subprocess.Popen([lookkit.BERTH, "look", "--sample", "0", *map(str, args)], stdout=follower,
                             env={**os.environ, "TERM": "xterm", **env})
    os.close(follower)
    out = b""
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:
            break
        if not data:
            break
        out += data
    os.close(leader)
    child.wait()
    return out.decode()


def test_color_only_where_wanted(bare):
    p = bare("sleep", "1000")
    assert "\033[" in on_terminal(p.pid, NO_COLOR="")
    assert "\033[" not in on_terminal(p.pid, NO_COLOR="1")
    assert "\033[" not in on_terminal(p.pid, NO_COLOR="", TERM="dumb")
    assert "\033[" not in on_terminal("--no-color", p.pid, NO_COLOR="")
    narrow = on_terminal("--no-color", p.pid, columns=60)
    assert max(len(line) for line in narrow.splitlines()) <= 60


def numbers(value, path=""):
    if isinstance(value, dict):
        for k, v in value.items():
            yield from numbers(v, f"{path}.{k}" if path else k)
    elif isinstance(value, list):
        for i, v in enumerate(value):
            yield from numbers(v, f"{path}[{i}]")
    else:
        yield path, value


def test_unknown_is_never_zero(bare):
    """Each number that is null is listed with its reason, and each one listed is null."""
    p = bare("sleep", "1000")
    f = facts(p.pid)
    nulls = {path for path, value in numbers(f) if value is None}
    listed = {gap["field"] for gap in f["unavailable"]}
    strip = {re.sub(r"\.(some|full)\.", ".", n) for n in nulls} | {re.sub(r"\.rlimits\.\w+\.", ".rlimits.", n) for n in nulls}
    assert listed <= nulls | strip, listed - nulls - strip
    assert all(gap["why"] for gap in f["unavailable"])
    assert f["consumes"]["cpu"]["usedMilliCpus"] is None, "without a sample there is no rate"


@pytest.mark.needs("root", "program:strace")
def test_reads_only(oci, tmp_path):
    """No ptrace, no signal to others, no mount, no file opened for writing; of namespaces only UTS."""
    c = oci("runc", limits)
    log = tmp_path / "trace"
    subprocess.run(["strace", "-f", "-o", log, "-e", "trace=ptrace,kill,tgkill,pidfd_send_signal,mount,umount2,"
                    "openat,open,creat,openat2,setns,unshare,unlink,unlinkat,mkdir,mkdirat,rename,renameat2,chroot,"
                    "pivot_root,prctl,process_vm_readv,process_vm_writev,bpf,write", lookkit.BERTH, "look", "--sample",
                    "10", str(c.pid)], capture_output=True, check=True, timeout=60)
    calls = [line.split(" ", 1)[1].strip() for line in log.read_text().splitlines() if "(" in line]
    assert any("openat" in call for call in calls), "strace saw nothing"
    for call in calls:
        name = call.split("(")[0]
        if name in ("openat", "open", "openat2"):
            assert not re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND", call) or "/dev/null" in call, call
        elif name == "setns":
            assert "CLONE_NEWUTS" in call, call
        elif name == "kill":
            assert "SIGKILL" in call and str(c.pid) not in call, call  # its own helper
        elif name == "bpf":
            assert re.match(r"bpf\((BPF_PROG_QUERY|BPF_PROG_GET_FD_BY_ID|BPF_OBJ_GET_INFO_BY_FD)", call), call
        elif name not in ("write", "prctl"):
            assert not re.match(r"(ptrace|mount|umount2|unlink|mkdir|rename|creat|pivot|chroot|process_vm)", name), call


# ---- cost ----

def cost(pid, n=15):
    """The least CPU time of n pages in ms; of an idle machine, the least wall time if that is more."""
    cpu, wall = [], []
    for _ in range(n):
        begin = time.monotonic()
        child = subprocess.Popen([lookkit.BERTH, "look", "--sample", "0", str(pid)], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall.append(time.monotonic() - begin)
        cpu.append(used.ru_utime + used.ru_stime)
        assert child.returncode == 0
    idle = os.getloadavg()[0] < os.cpu_count()
    return 1000 * max(min(cpu), min(wall) if idle else 0)


def test_fast(oci):
    assert cost(oci("runc", limits).pid) < 30


@pytest.mark.needs("root")
def test_fast_with_many_mounts(bare, tmp_path):
    code = ("import ctypes,os,sys,time; libc = ctypes.CDLL(None); os.chdir(sys.argv[1])\n"
            "for i in range(1000):\n"
            "    os.mkdir(f'{i}')\n"
            "    assert libc.mount(b'/etc', f'{i}'.encode(), None, 4096, None) == 0\n"
            "os.mkdir('done'); time.sleep(1000)")
    p = bare("unshare", "--mount", "python3", "-c", code, tmp_path)
    assert lookkit.eventually(lambda: (tmp_path / "done").exists(), timeout=60)
    f = facts(p.pid)
    assert sum(m["hostPath"] == "/etc" for m in f["filesystems"]["mounts"]) == 1000
    assert cost(p.pid) < 30
    assert "more mounts: see --full" in page(p.pid)
