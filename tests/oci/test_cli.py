"""The command line: global flags, logs, version, features, and the lesser verbs."""

import json
import os
import re
import signal
import socket
import subprocess
import threading

import kit
import pytest

pytestmark = pytest.mark.fast
lacks = pytest.mark.lacks

CAPS = 41


# ---- version and features ----


@pytest.mark.parametrize("flag", ["--version", "-v"])
def test_version(runtime, flag):
    """dockerd parses these lines, and takes the first word as the name."""
    out = runtime(flag).ok().out
    lines = out.splitlines()
    assert re.match(r"^\S+ version \S+$", lines[0]), out
    assert any(line.startswith("commit: ") for line in lines[1:]), out
    assert any(re.match(r"^spec: \d+\.\d+\.\d+", line) for line in lines[1:]), out


@lacks("crun", why="has no -h")
def test_help(runtime):
    for argv in (["--help"], ["-h"], ["help"]):
        result = runtime(*argv)
        if argv != ["help"]:
            result.ok()
            assert "create" in result.out + result.err


@pytest.mark.parametrize("verb", "create start run exec state kill delete list ps pause resume update spec".split())
def test_help_of_each_verb(runtime, verb):
    out = runtime(verb, "--help").ok().out
    assert verb in out
    assert all(len(line) <= 100 for line in out.splitlines()) or kit.PEER != "berth"


@pytest.fixture(scope="module")
def features(runtime):
    return json.loads(runtime("features").ok().out)


@lacks("crun", why="1.8.1 has no features")
def test_features_has_versions(features):
    assert features["ociVersionMin"] == "1.0.0"
    assert re.match(r"^1\.\d+\.\d+", features["ociVersionMax"])


@lacks("runc", "crun", why="older than 1.3.0")
def test_features_of_1_3(features):
    assert features["ociVersionMax"] >= "1.3.0"
    linux = features["linux"]
    assert linux["mountExtensions"]["idmap"]["enabled"] is True
    assert linux["netDevices"]["enabled"] is True
    assert set(linux["memoryPolicy"]["modes"]) >= {"MPOL_DEFAULT", "MPOL_BIND", "MPOL_WEIGHTED_INTERLEAVE"}
    assert set(linux["memoryPolicy"]["flags"]) == {
        "MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"}
    assert linux["intelRdt"] == {"enabled": True, "schemata": True, "monitoring": True}
    assert set(features["linux"]["namespaces"]) == {
        "cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"}
    assert isinstance(features.get("potentiallyUnsafeConfigAnnotations", []), list)


@lacks("crun", why="1.8.1 has no features")
def test_features_names_hooks_capabilities_and_seccomp(features):
    assert features["hooks"] == [
        "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
    linux = features["linux"]
    assert len(linux["capabilities"]) >= CAPS and "CAP_CHOWN" in linux["capabilities"]
    assert linux["cgroup"]["v1"] is True and linux["cgroup"]["v2"] is True
    seccomp = linux["seccomp"]
    assert seccomp["enabled"] is True
    assert set(seccomp["actions"]) >= {
        "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"}
    assert set(seccomp["operators"]) == {
        "SCMP_CMP_" + o for o in "NE LT LE EQ GE GT MASKED_EQ".split()}
    assert "SCMP_ARCH_X86_64" in seccomp["archs"]


@lacks("crun", why="1.8.1 has no features")
def test_features_has_only_properties_of_the_specification(features):
    known = {"ociVersionMin", "ociVersionMax", "hooks", "mountOptions", "linux", "annotations",
             "potentiallyUnsafeConfigAnnotations"}
    assert set(features) <= known
    known = {"namespaces", "capabilities", "cgroup", "seccomp", "apparmor", "selinux", "intelRdt",
             "memoryPolicy", "mountExtensions", "netDevices"}
    assert set(features["linux"]) <= known


@lacks("runc", why="names options that it does not know, such as defaults")
@lacks("crun", why="1.8.1 has no features")
def test_every_mount_option_of_features_is_recognised(features, box):
    """An option that is not recognised would reach tmpfs as data, which refuses it."""
    skip = {"bind", "rbind", "remount", "idmap", "ridmap", "mand", "nomand", "acl", "noacl",
            "iversion", "noiversion"}
    options = [o for o in features["mountOptions"] if o not in skip]
    assert len(options) > 45
    script = []
    for i, option in enumerate(options):
        box.mount(f"/m/{i}", "tmpfs", "tmpfs", [option])
        script.append(f"test -d /m/{i}")
    box.script(" && ".join(script)).run().ok()


# ---- logs ----


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@lacks("crun", why="words it otherwise")
def test_json_log_ends_with_the_error(box):
    """containerd shows its user the last record of level error."""
    log = box.dir / "log.json"
    box.args("nosuchcommand").save()
    result = box.runtime("create", "--bundle", box.dir, box.id,
                         globals=["--log", log, "--log-format", "json"], stdout=box.stdout)
    if result.code == 0:  # where the program is looked up by start
        result = box.runtime("start", box.id, globals=["--log", log, "--log-format", "json"])
    result.failed()
    last = [r for r in records(log) if r["level"] == "error"][-1]
    assert "executable file not found in" in last["msg"]
    assert re.match(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", last["time"])


@lacks("crun", why="words it otherwise")
def test_text_log(box):
    log = box.dir / "log"
    box.runtime("state", "nosuch", globals=["--log", log]).failed()
    assert "does not exist" in log.read_text()


def test_log_is_appended_to(box):
    log = box.dir / "log.json"
    for _ in range(2):
        box.runtime("state", "nosuch", globals=["--log", log, "--log-format=json"]).failed()
    assert len([r for r in records(log) if r["level"] == "error"]) == 2


@lacks("crun", why="words it otherwise")
def test_errors_go_to_stderr_too(box):
    log = box.dir / "log"
    result = box.runtime("state", "nosuch", globals=["--log", log])
    assert "does not exist" in result.err


def test_control_characters_in_messages_stay_inside_json_strings(box):
    log = box.dir / "log.json"
    box.args('no"such\n\x1b[31m\\command').save()
    box.runtime("run", "--bundle", box.dir, box.id, globals=["--log", log, "--log-format", "json"]).failed()
    assert any(r["level"] == "error" for r in records(log))


def test_unknown_log_format(runtime):
    runtime("list", globals=["--log-format", "nosuch"]).failed(code=1)


@lacks("crun", why="logs nothing more")
def test_debug_logs_more(box):
    log = box.dir / "log.json"
    box.args("true").save()
    box.runtime("run", "--bundle", box.dir, box.id,
                globals=["--debug", "--log", log, "--log-format", "json"]).ok()
    assert any(r["level"] == "debug" for r in records(log))


def test_no_debug_by_default(box):
    log = box.dir / "log.json"
    box.args("true").save()
    box.runtime("run", "--bundle", box.dir, box.id, globals=["--log", log, "--log-format", "json"]).ok()
    assert not log.exists() or not any(r["level"] == "debug" for r in records(log))


def test_log_file_that_cannot_be_opened(runtime):
    runtime("list", globals=["--log", "/nosuch/dir/log"]).failed()


@lacks("crun", why="has no --rootless")
@pytest.mark.parametrize("flag", ["--rootless=auto", "--rootless=false", "--systemd-cgroup=false"])
def test_other_global_flags_are_taken(runtime, flag):
    runtime("list", globals=[flag]).ok()


# ---- spec ----


def test_spec_writes_a_config_that_runs(box, runtime):
    runtime("spec", cwd=box.dir).ok()
    config = json.loads((box.dir / "config.json").read_text())
    assert config["ociVersion"].startswith("1.")
    config["process"].update(args=["echo", "spec"], terminal=False)
    config["linux"]["cgroupsPath"] = box.cgroup
    config["mounts"] = [m for m in config["mounts"] if m["type"] != "cgroup"]
    (box.dir / "config.json").write_text(json.dumps(config))
    assert runtime("run", "--bundle", box.dir, box.id).ok().out == "echo spec\n"[5:]


def test_spec_does_not_overwrite(box, runtime):
    (box.dir / "config.json").write_text("{}")
    runtime("spec", "--bundle", box.dir).failed(("exist", "overwrite"), code=1)
    assert (box.dir / "config.json").read_text() == "{}"


@lacks("crun", why="writes no mappings")
def test_spec_rootless(box, runtime):
    runtime("spec", "--rootless", "--bundle", box.dir).ok()
    config = json.loads((box.dir / "config.json").read_text())
    assert "user" in [n["type"] for n in config["linux"]["namespaces"]]
    assert config["linux"]["uidMappings"]
    assert "network" not in [n["type"] for n in config["linux"]["namespaces"]]


# ---- ps, pause, resume, events ----


def test_ps_json(box):
    box.up("sh", "-c", "sleep 1000 & echo up; wait")
    box.printed("up")
    pids = json.loads(box.runtime("ps", "--format", "json", box.id).ok().out)
    assert box.pid in pids and len(pids) == 2


@lacks("crun", why="prints PIDs alone")
def test_ps_table(box):
    box.up()
    out = box.runtime("ps", box.id).ok().out.splitlines()
    assert "PID" in out[0].split()
    assert any(str(box.pid) in row.split() and "sleep" in row for row in out[1:]), out


@lacks("crun", why="takes no ps arguments")
def test_ps_takes_arguments_for_ps(box):
    box.up()
    out = box.runtime("ps", box.id, "-o", "pid,comm").ok().out.split()
    assert out == ["PID", "COMMAND", str(box.pid), "sleep"]


def test_ps_of_a_stopped_container_is_empty_or_an_error(box):
    box.up()
    box.kill().ok()
    box.stopped()
    result = box.runtime("ps", "--format", "json", box.id)
    assert result.code != 0 or json.loads(result.out) in (None, [])


def ticks(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_pause_stops_the_processes(box):
    box.up("sh", "-c", "echo up; while :; do :; done")
    box.printed("up")
    pid = box.pid
    box.runtime("pause", box.id).ok()
    assert box.status == "paused"
    before = ticks(pid)
    kit.eventually(lambda: ticks(pid) > before + 2, 0.3)
    assert ticks(pid) <= before + 2
    box.runtime("resume", box.id).ok()
    assert box.status == "running"
    assert kit.eventually(lambda: ticks(pid) > before + 2)


@lacks("crun", why="takes it")
def test_pause_of_a_paused_container(box):
    box.up()
    box.runtime("pause", box.id).ok()
    box.runtime("pause", box.id).failed(code=1)
    assert box.status == "paused"


@lacks("crun", why="takes it")
def test_resume_of_a_running_container(box):
    box.up()
    box.runtime("resume", box.id).failed(code=1)
    assert box.status == "running"


def test_pause_of_a_stopped_container(box):
    box.up()
    box.kill().ok()
    box.stopped()
    box.runtime("pause", box.id).failed(code=1)


@lacks("crun", why="waits for the frozen container")
def test_exec_in_a_paused_container_is_refused(box):
    box.up()
    box.runtime("pause", box.id).ok()
    box.exec("true", timeout=20).failed("paused")


@lacks("crun", why="has no --ignore-paused")
def test_exec_ignore_paused_waits_for_resume(box):
    box.up()
    box.runtime("pause", box.id).ok()
    process = box.runtime.popen("exec", "--ignore-paused", box.id, "true")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    box.runtime("resume", box.id).ok()
    assert process.wait(20) == 0


def test_kill_of_a_paused_container_and_delete(box):
    box.up()
    box.runtime("pause", box.id).ok()
    box.kill("KILL").ok()
    box.delete("--force").ok()


def test_delete_force_of_a_paused_container(box):
    box.up()
    box.runtime("pause", box.id).ok()
    box.delete("--force").ok()


@lacks("crun", why="has no events")
def test_events_stats(box):
    box.resources["memory"] = {"limit": 64 << 20}
    box.up()
    event = json.loads(box.runtime("events", "--stats", box.id).ok().out)
    assert event["type"] == "stats" and event["id"] == box.id
    data = event["data"]
    assert data["pids"]["current"] == 1
    assert data["memory"]["usage"]["limit"] == 64 << 20
    assert data["memory"]["usage"]["usage"] > 0
    assert data["cpu"]["usage"]["total"] > 0


@lacks("crun", why="has no events")
def test_events_streams_at_intervals_and_ends_with_the_container(box):
    box.up()
    process = box.runtime.popen("events", "--interval", "100ms", box.id, stdout=subprocess.PIPE, text=True)
    lines = [json.loads(process.stdout.readline()) for _ in range(2)]
    assert all(e["type"] == "stats" for e in lines)
    box.kill().ok()
    box.stopped()
    box.delete().ok()
    try:
        process.wait(20)
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


@lacks("crun", why="has no events")
def test_events_reports_oom(box):
    box.resources["memory"] = {"limit": 16 << 20, "swap": 16 << 20}
    box.up("sh", "-c", "echo up; while ! test -e /go; do sleep 0.05; done; probe eat 100000000; sleep 1000")
    box.printed("up")
    process = box.runtime.popen("events", "--interval", "10s", box.id, stdout=subprocess.PIPE, text=True)
    try:
        kit.eventually(lambda: False, 0.3)
        (box.rootfs / "go").touch()
        lines = iter(process.stdout.readline, "")
        assert any(json.loads(line)["type"] == "oom" for line in lines)
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


# ---- descriptors: preserve-fds, LISTEN_FDS, NOTIFY_SOCKET, sockets ----


def opened(n, base):
    """n open files, moved to descriptors from 3 on in the child only."""
    files = [os.open(base / f"file{i}", os.O_RDWR | os.O_CREAT, 0o644) for i in range(n)]

    def place():
        parked = [os.dup2(fd, 100 + i, inheritable=True) for i, fd in enumerate(files)]
        for i, fd in enumerate(parked):
            os.dup2(fd, 3 + i, inheritable=True)

    return files, place


def fd_numbers(out):
    return [int(line.split()[0]) for line in out.splitlines()]


def test_inherited_descriptors_do_not_reach_the_container(box):
    files, place = opened(3, box.dir)
    out = box.args("probe", "fds").run(preexec_fn=place, close_fds=False).ok().out
    for fd in files:
        os.close(fd)
    assert fd_numbers(out) == [0, 1, 2], out


def test_preserve_fds(box):
    files, place = opened(3, box.dir)
    out = box.args("probe", "fds").run("--preserve-fds", "2", preexec_fn=place, close_fds=False).ok().out
    for fd in files:
        os.close(fd)
    assert fd_numbers(out) == [0, 1, 2, 3, 4], out
    assert "file0" in out and "file1" in out


def test_preserve_fds_in_exec(box):
    box.up()
    files, place = opened(2, box.dir)
    out = box.exec("probe", "fds", flags=["--preserve-fds", "2"], preexec_fn=place, close_fds=False).ok().out
    for fd in files:
        os.close(fd)
    assert fd_numbers(out) == [0, 1, 2, 3, 4]


@lacks("crun", why="takes it")
def test_preserve_fds_that_are_not_open(box):
    box.args("true").run("--preserve-fds", "5").failed(code=1)


@lacks("crun", why="passes the files but not LISTEN_FDS")
def test_listen_fds(box):
    files, place = opened(2, box.dir)
    prefix = ["sh", "-c", 'LISTEN_FDS=2 LISTEN_PID=$$ exec "$@"', "sh"]
    out = box.script("probe fds; echo pid $LISTEN_PID fds $LISTEN_FDS").run(
        preexec_fn=place, close_fds=False, prefix=prefix).ok().out
    for fd in files:
        os.close(fd)
    *fds, last = out.splitlines()
    assert fd_numbers("\n".join(fds)) == [0, 1, 2, 3, 4]
    assert last == "pid 1 fds 2"


def test_notify_socket_is_relayed(box):
    path = str(box.dir / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as host:
        host.bind(path)
        host.settimeout(20)
        box.script("test -n \"$NOTIFY_SOCKET\" || exit 9; probe notify READY=1; exec sleep 1000")
        process_env = {**os.environ, "NOTIFY_SOCKET": path}
        box.run("--detach", stdout=box.stdout, env=process_env).ok()
        text = host.recv(4096).decode()
        assert "READY=1" in text
    assert box.status == "running"


def receive_fd(listener):
    """One connection, one message, one descriptor."""
    listener.settimeout(20)
    connection, _ = listener.accept()
    with connection:
        data, fds, _, _ = socket.recv_fds(connection, 4096, 1)
    assert len(fds) == 1
    return data, fds[0]


@lacks("runc", "crun", why="from runc 1.2 on")
def test_pidfd_socket(box):
    path = box.dir / "pidfd.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        box.args("sleep", "1000").create("--pidfd-socket", path).ok()
        _, fd = receive_fd(listener)
    info = open(f"/proc/self/fdinfo/{fd}").read()
    assert f"Pid:\t{box.pid}\n" in info
    signal.pidfd_send_signal(fd, signal.SIGKILL)
    os.close(fd)
    box.stopped()


@lacks("runc", "crun", why="from runc 1.2 on")
def test_pidfd_socket_of_exec(box):
    box.up()
    path = box.dir / "pidfd.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        pid_file = box.dir / "pid"
        box.exec("sleep", "1000", flags=["--detach", "--pid-file", pid_file, "--pidfd-socket", path],
                 stdout=box.dir / "o").ok()
        _, fd = receive_fd(listener)
    assert f"Pid:\t{pid_file.read_text()}\n" in open(f"/proc/self/fdinfo/{fd}").read()
    os.close(fd)


# ---- other flags of create and run ----

KEYCTL_GET_KEYRING_ID, SESSION_KEYRING = 0, -3
SYS_KEYCTL = 250


def session_keyring(text):
    return re.search(r"ok (-?\d+)", text).group(1)


def test_session_keyring(box):
    """A new one by default: the caller's holds the caller's keys."""
    box.args("probe", "syscall", str(SYS_KEYCTL), str(KEYCTL_GET_KEYRING_ID), str(SESSION_KEYRING), "0")
    inherited = session_keyring(box.run("--no-new-keyring").ok().out)
    assert session_keyring(box.run("--no-new-keyring").ok().out) == inherited
    assert session_keyring(box.run().ok().out) != inherited


@pytest.mark.parametrize("readonly", [False, True])
def test_no_pivot(box, readonly):
    box.config["root"]["readonly"] = readonly
    out = box.script("ls -d /bin; ls /; cat /proc/self/mounts").run("--no-pivot").ok().out
    assert out.startswith("/bin\n")
    assert str(box.rootfs) not in out


@lacks("runc", why="1.1.5 checks first and makes the directory later")
def test_concurrent_creates_of_one_id_make_one_container(box):
    box.args("sleep", "1000").save()
    results = []

    def create(i):
        argv = box.runtime.argv("create", "--bundle", box.dir, box.id)
        with open(os.devnull, "r+b") as null:
            results.append(subprocess.call(argv, stdin=null, stdout=null, stderr=null))

    threads = [threading.Thread(target=create, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results.count(0) == 1, results
    assert box.status == "created"
