"""conmon, called as podman and CRI-O call it, and bundles that umoci unpacked."""

import json
import os
import socket
import time

import pytest
from peers import Cgroup, eventually


def created(conmon, path, *flags):
    """The PID that conmon reports once the runtime has created the container."""
    report = conmon.spawn(path, *flags)[0]
    assert report["data"] > 0 and os.path.exists(f"/proc/{report['data']}"), report
    return report["data"]


def finish(conmon, path):
    conmon.runtime("start", path.name).ok()
    code = conmon.exit_code(path.name)
    conmon.runtime("delete", path.name).ok()
    return code


def state(conmon, path):
    return json.loads(conmon.runtime("state", path.name).ok().out)


def test_create_start_exit(conmon):
    path = conmon.bundle(["sh", "-c", "echo one; echo two >&2; exit 33"])
    pid = created(conmon, path)
    assert int((path / "pid").read_text()) == pid
    assert (state(conmon, path)["status"], state(conmon, path)["pid"]) == ("created", pid)
    assert finish(conmon, path) == 33
    assert sorted(conmon.log(path)) == [("stderr", "two"), ("stdout", "one")]


def test_create_that_fails_says_why(conmon):
    path = conmon.bundle(["/no/such/program"])
    report = conmon.spawn(path)[0]
    if report["data"] > 0:  # a runtime may look for the program only at start
        result = conmon.runtime("start", path.name)
        assert result.code and "/no/such/program" in result.err
        return
    assert report["data"] == -1 and "/no/such/program" in report["message"], report


def test_create_of_a_broken_bundle_says_why(conmon):
    path = conmon.bundle(["true"], cwd="relative")
    report = conmon.spawn(path)[0]
    assert report["data"] == -1 and "cwd" in report["message"].lower(), report
    assert conmon.runtime("list", "-q").ok().out == ""


@pytest.mark.parametrize("signal, code", [("KILL", 137), ("TERM", 143), ("15", 143)])
def test_kill(conmon, signal, code):
    path = conmon.bundle(["sh", "-c", "trap 'exit 143' TERM; echo ready; while :; do sleep 0.05; done"])
    created(conmon, path)
    conmon.runtime("start", path.name).ok()
    assert eventually(lambda: conmon.log(path))
    conmon.runtime("kill", path.name, signal).ok()
    assert conmon.exit_code(path.name) == code
    assert state(conmon, path)["status"] == "stopped"
    result = conmon.runtime("kill", path.name, signal)
    assert result.code and ("not running" in result.err or "finished" in result.err), result
    conmon.runtime("delete", path.name).ok()


def test_pause_resume_update(conmon):
    path = conmon.bundle(["sleep", "100"])
    pid = created(conmon, path)
    conmon.runtime("start", path.name).ok()
    conmon.runtime("pause", path.name).ok()
    assert state(conmon, path)["status"] == "paused"
    conmon.runtime("resume", path.name).ok()
    assert state(conmon, path)["status"] == "running"
    resources = {"memory": {"limit": 48 << 20}, "pids": {"limit": 40}, "cpu": {"quota": 20000, "period": 100000}}
    conmon.runtime("update", "--resources", "-", path.name, input=json.dumps(resources)).ok()
    cgroup = Cgroup(pid)
    assert (cgroup.memory(), cgroup.pids(), cgroup.quota()) == (48 << 20, 40, 0.2)
    conmon.runtime("delete", "--force", path.name).ok()
    assert conmon.exit_code(path.name) == 137


def test_terminal_attach_and_resize(conmon):
    path = conmon.bundle(["sh"], terminal=True)
    created(conmon, path, "-t", "-i")
    conmon.runtime("start", path.name).ok()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as attach:
        attach.settimeout(10)
        attach.connect(str(path / "attach"))
        seen = ""

        def until(text):
            nonlocal seen
            while text not in seen:
                seen += attach.recv(8192)[1:].decode()  # each packet begins with the stream's number
            head, _, seen = seen.partition(text)
            return head
        with open(path / "ctl", "w") as control:
            control.write("1 45 120\n")
        end = time.monotonic() + 10
        while True:
            attach.send(b"stty size; echo end-$((40+2))\n")
            if "45 120" in until("end-42"):
                break
            assert time.monotonic() < end, "the new size never arrived"
        attach.send(b"exit 12\n")
        assert conmon.exit_code(path.name) == 12
    conmon.runtime("delete", path.name).ok()


def test_exec(conmon):
    path = conmon.bundle(["sleep", "100"])
    created(conmon, path)
    conmon.runtime("start", path.name).ok()
    spec = path / "process.json"
    spec.write_text(json.dumps({"args": ["sh", "-c", "echo from exec; pwd; id -u; exit 17"], "cwd": "/tmp",
                                "env": ["PATH=/bin"], "user": {"uid": 1000, "gid": 1000}}))
    (path / "x").mkdir()
    reports = conmon.spawn(path, "-e", "--exec-process-spec", spec, "-p", path / "x/pid", "-P", path / "x/conmon.pid",
                           "-l", f"k8s-file:{path}/x/log", "--exit-dir", path / "x")
    assert reports[0]["data"] > 0, reports
    exit_file = path / "x" / path.name
    assert eventually(exit_file.exists) and int(eventually(exit_file.read_text)) == 17
    text = (path / "x/log").read_text()
    assert "from exec" in text and "/tmp" in text and "1000" in text
    assert state(conmon, path)["status"] == "running"
    conmon.runtime("delete", "--force", path.name).ok()


def test_standard_input(conmon):
    path = conmon.bundle(["cat"])
    created(conmon, path, "-i")
    conmon.runtime("start", path.name).ok()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as attach:
        attach.settimeout(10)
        attach.connect(str(path / "attach"))
        attach.send(b"echoed line\n")
        assert attach.recv(8192)[1:] == b"echoed line\n"
        attach.shutdown(socket.SHUT_WR)
    assert conmon.exit_code(path.name) == 0
    conmon.runtime("delete", path.name).ok()


def test_the_configuration_of_umoci_runs_as_it_is(conmon, base):
    """Nothing of umoci's config.json is changed but what a test machine without a terminal needs."""
    path = conmon.base / "as-is"
    path.mkdir()
    config = json.loads(json.dumps(conmon.config))
    config["process"].update(args=["sh", "-c", "id -u; hostname; ls /dev/pts /dev/shm; echo end"], terminal=False)
    config["root"]["path"] = str(conmon.base / "unpacked/rootfs")
    (path / "config.json").write_text(json.dumps(config))
    out = conmon.runtime("run", "-b", path, "as-is").ok().out
    assert out.startswith("0\n") and out.endswith("end\n") and "ptmx" in out
