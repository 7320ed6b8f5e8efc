"""podman with the runtime under test: what people do with it, end to end."""

import errno
import json
import os
import threading

import pytest
from peers import PARENT, call, eventually, resized

IMAGE = "localhost/busybox-peers"
COUNT = "trap 'exit 0' TERM; i=0; while :; do i=$((i+1)); echo $i > /tmp/count; sleep 0.05; done"


def count(podman, name):
    return int(podman("exec", name, "cat", "/tmp/count").ok().out or 0)


# --- starting and ending


@pytest.mark.parametrize("command, code", [(["true"], 0), (["sh", "-c", "exit 42"], 42), (["false"], 1)])
def test_run_ends_with_the_commands_code(podman, command, code):
    podman("run", "--rm", IMAGE, *command).exits(code)


def test_run_passes_output_through(podman):
    result = podman("run", "--rm", IMAGE, "sh", "-c", "echo to-out; echo to-err >&2").ok()
    assert (result.out, result.err) == ("to-out\n", "to-err\n")


@pytest.mark.parametrize("command, code, phrase", [
    ("/no/such/program", 127, "/no/such/program"),
    ("no-such-program", 127, "no-such-program"),
    ("/etc", 126, "/etc"),
    ("/etc/passwd", 126, "/etc/passwd"),
])
def test_run_tells_missing_from_not_executable(podman, command, code, phrase):
    podman("run", "--rm", IMAGE, command).exits(code, phrase)
    assert podman("ps", "-aq").out == ""


@pytest.mark.parametrize("command, code", [("/no/such/program", 127), ("/etc", 126), ("/etc/passwd", 126)])
def test_exec_tells_missing_from_not_executable(podman, command, code):
    name = podman.start(IMAGE, "sleep", "100")
    podman("exec", name, command).exits(code, command)
    podman("exec", name, "true").ok()


def test_missing_working_directory_is_made_or_named(podman):
    """podman makes the directory of -w itself only where the image has it: the runtime's message must name it."""
    result = podman("run", "--rm", "-w", "/no/such/dir", IMAGE, "pwd")
    assert result.out == "/no/such/dir\n" or "/no/such/dir" in result.err, result


def test_run_reads_standard_input(podman):
    assert podman("run", "--rm", "-i", IMAGE, "cat", input="line one\nline two\n").ok().out == "line one\nline two\n"


def test_descriptors_are_handed_on_only_when_asked_for(podman):
    read, write = os.pipe()
    os.write(write, b"through the pipe")
    os.close(write)
    script = "exec cat <&3"
    assert podman("run", "--rm", IMAGE, "sh", "-c", script, pass_fds=[read]).code != 0
    try:
        command = ["bash", "-c", f"exec 3<&{read}; exec \"$@\"", "-",
                   *podman.argv("run", "--rm", "--preserve-fds", "1", IMAGE, "sh", "-c", script)]
        assert call(command, env=podman.env, pass_fds=[read]).ok().out == "through the pipe"
    finally:
        os.close(read)


def test_create_then_start_and_attach(podman):
    podman("create", "--name", "made", IMAGE, "sh", "-c", "echo started; exit 3").ok()
    assert podman.inspect("made", ".State.Status") == "created"
    podman("start", "-a", "made").exits(3, "started")
    podman("start", "-a", "made").exits(3, "started")


def test_ten_at_once(podman):
    results = []
    threads = [threading.Thread(target=lambda i=i: results.append(podman("run", "--rm", IMAGE, "echo", f"n{i}").ok()))
               for i in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(r.out.strip() for r in results) == [f"n{i}" for i in range(10)]


# --- logs


def test_logs_hold_both_streams(podman):
    name = podman.start(IMAGE, "sh", "-c", "echo one; echo two >&2; echo three")
    podman("wait", name).ok()
    result = podman("logs", name).ok()
    assert (result.out, result.err) == ("one\nthree\n", "two\n")


def test_logs_follow_to_the_end(podman):
    name = podman.start(IMAGE, "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.2; done")
    assert podman("logs", "-f", name).ok().out == "1\n2\n3\n"


# --- exec


def test_exec_code_output_user_environment(podman):
    name = podman.start(IMAGE, "sleep", "100")
    podman("exec", name, "sh", "-c", "exit 9").exits(9)
    script = "id -u; id -g; pwd; echo $A $IMAGE; grep CapEff /proc/self/status"
    out = podman("exec", "-u", "guest", "-w", "/tmp", "-e", "A=b", name, "sh", "-c", script).ok().out.split("\n")
    assert out[:4] == ["1000", "1000", "/tmp", "b peers"]
    assert int(out[4].split()[1], 16) == 0
    assert podman("exec", "-i", name, "cat", input="through stdin").ok().out == "through stdin"


def test_exec_joins_everything(podman):
    name = podman.start("--memory", "64m", IMAGE, "sleep", "100")
    for kind in ("pid", "mnt", "net", "ipc", "uts"):
        inside = podman("exec", name, "readlink", "/proc/self/ns/" + kind).ok().out.strip()
        assert inside == os.readlink(f"/proc/{podman.inspect(name, '.State.Pid')}/ns/{kind}")
    assert PARENT in podman("exec", name, "cat", "/proc/self/cgroup").out or \
        "0::/\n" in podman("exec", name, "cat", "/proc/self/cgroup").out


def test_exec_detached(podman):
    name = podman.start(IMAGE, "sleep", "100")
    podman("exec", "-d", name, "sh", "-c", "echo done > /tmp/mark").ok()
    assert eventually(lambda: podman("exec", name, "cat", "/tmp/mark").out == "done\n")


def test_exec_on_a_terminal_with_a_resize(podman):
    name = podman.start(IMAGE, "sleep", "100")
    terminal = podman.terminal("exec", "-it", name, "sh")
    try:
        resized(terminal)
        terminal.send("test -t 0 && test -t 1 && exit 7\n")
        assert terminal.end() == 7
    finally:
        terminal.close()


def test_run_on_a_terminal_with_a_resize(podman):
    terminal = podman.terminal("run", "--rm", "-it", IMAGE, "sh")
    try:
        resized(terminal)
        terminal.send("tty; exit 5\n")
        terminal.expect("/dev/(pts/0|console)")
        assert terminal.end() == 5
    finally:
        terminal.close()


def test_interrupt_from_a_terminal_reaches_the_process(podman):
    terminal = podman.terminal("run", "--rm", "-it", IMAGE, "sh", "-c", "trap 'exit 11' INT; echo ready; sleep 60 & wait")
    try:
        terminal.expect("ready")
        # podman may still be handing its terminal over: a person would press the keys again
        assert eventually(lambda: terminal.send("\x03") or terminal.process.poll() is not None, step=1)
        assert terminal.end() == 11
    finally:
        terminal.close()


# --- pause, kill, stop


def test_pause_stops_and_unpause_continues(podman):
    name = podman.start(IMAGE, "sh", "-c", COUNT)
    assert eventually(lambda: count(podman, name) > 2)
    podman("pause", name).ok()
    assert podman.inspect(name, ".State.Status") == "paused"
    mount = podman("mount", name).ok().out.strip()
    before = open(f"{mount}/tmp/count").read()
    eventually(lambda: False, timeout=0.3)
    assert open(f"{mount}/tmp/count").read() == before
    podman("exec", name, "true").exits(255, "running containers")
    podman("unpause", name).ok()
    seen = count(podman, name)
    assert eventually(lambda: count(podman, name) > seen)


def test_kill_sends_the_signal(podman):
    name = podman.start(IMAGE, "sh", "-c", "trap 'exit 21' USR1; echo ready; while :; do sleep 0.05; done")
    assert eventually(lambda: podman("logs", name).out == "ready\n")
    podman("kill", "-s", "USR1", name).ok()
    assert podman("wait", name).ok().out == "21\n"


def test_kill_of_the_dead_is_refused(podman):
    name = podman.start(IMAGE, "true")
    podman("wait", name).ok()
    podman("kill", name).exits(125)


@pytest.mark.parametrize("trap, code", [("trap 'exit 0' TERM", "0"), ("trap '' TERM", "137")])
def test_stop_terminates_then_kills(podman, trap, code):
    name = podman.start(IMAGE, "sh", "-c", f"{trap}; echo ready; while :; do sleep 0.05; done")
    assert eventually(lambda: podman("logs", name).out == "ready\n")
    podman("stop", "-t", "1", name).ok()
    assert podman.inspect(name, ".State.ExitCode") == code


def test_restart(podman):
    name = podman.start(IMAGE, "sh", "-c", COUNT)
    before = podman.inspect(name, ".State.Pid")
    podman("restart", "-t", "1", name).ok()
    after = podman.inspect(name, ".State.Pid")
    assert before != after and os.path.exists(f"/proc/{after}")


def test_rm_force_of_a_running_container(podman):
    name = podman.start(IMAGE, "sleep", "100")
    pid = podman.inspect(name, ".State.Pid")
    podman("rm", "-f", "-t", "0", name).ok()
    assert not os.path.exists(f"/proc/{pid}")


# --- limits


def test_limits_are_set_and_updated(podman):
    name = podman.start("--memory", "64m", "--pids-limit", "50", "--cpus", "0.5", IMAGE, "sleep", "100")
    cgroup = podman.cgroup(name)
    assert (cgroup.memory(), cgroup.pids(), cgroup.quota()) == (64 << 20, 50, 0.5)
    podman("update", "--memory", "96m", "--cpus", "0.25", name).ok()
    assert (cgroup.memory(), cgroup.quota()) == (96 << 20, 0.25)


def test_cpuset(podman):
    out = podman("run", "--rm", "--cpuset-cpus", "0", IMAGE, "grep", "Cpus_allowed_list", "/proc/self/status")
    assert out.ok().out.split() == ["Cpus_allowed_list:", "0"]


def test_too_many_processes_are_refused(podman):
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; echo all started"
    result = podman("run", "--rm", "--pids-limit", "6", IMAGE, "sh", "-c", script)
    assert "can't fork" in result.err and "all started" not in result.out


def test_out_of_memory_kills(podman):
    name = podman.start("--memory", "16m", "--memory-swap", "16m", IMAGE, "sh", "-c", "x=a; while :; do x=$x$x; done")
    assert podman("wait", name).ok().out == "137\n"


@pytest.mark.lacks("runc", why="runc has no --cgroup-manager=disabled")
def test_without_cgroups(podman):
    assert podman("run", "--rm", "--cgroups", "disabled", IMAGE, "echo", "ran").ok().out == "ran\n"


# --- what a container sees and may do


def test_root_read_only_with_tmpfs_and_volumes(podman, base):
    (base / "shared").mkdir(exist_ok=True)
    script = ("echo x > /file && echo root-writable; echo x > /t/file && echo tmpfs-writable;"
              "echo x > /ro/file && echo ro-writable; echo x > /rw/file && echo rw-writable; true")
    out = podman("run", "--rm", "--read-only", "--tmpfs", "/t", "-v", f"{base}/shared:/rw", "-v",
                 f"{base}/shared:/ro:ro", IMAGE, "sh", "-c", script).ok().out
    assert out.split() == ["tmpfs-writable", "rw-writable"]


def test_user_and_groups(podman):
    assert podman("run", "--rm", "-u", "guest", "--group-add", "2000", IMAGE, "id", "-G").ok().out == "1000 2000\n"
    assert podman("run", "--rm", "-u", "77:88", IMAGE, "sh", "-c", "id -u; id -g").ok().out == "77\n88\n"


def test_capabilities_seccomp_and_no_new_privileges(podman):
    wanted = "CapEff|CapBnd|NoNewPrivs|Seccomp:"
    out = podman("run", "--rm", "--cap-drop", "all", "--cap-add", "net_raw", "--security-opt", "no-new-privileges",
                 IMAGE, "grep", "-E", wanted, "/proc/self/status").ok().out
    values = dict(line.split(":\t") for line in out.splitlines())
    assert values == {"CapEff": "0000000000002000", "CapBnd": "0000000000002000", "NoNewPrivs": "1", "Seccomp": "2"}


def test_seccomp_profile_refuses(podman, base):
    (base / "seccomp.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EXDEV}]}))
    profile = f"seccomp={base}/seccomp.json"
    podman("run", "--rm", "--security-opt", profile, IMAGE, "mkdir", "/tmp/d").exits(1, os.strerror(errno.EXDEV))
    podman("run", "--rm", IMAGE, "mkdir", "/tmp/d").ok()


def test_privileged_sees_devices(podman):
    out = podman("run", "--rm", "--privileged", IMAGE, "sh", "-c", "ls /dev | wc -l; grep Seccomp: /proc/self/status").ok().out
    devices, _, mode = out.split()
    assert int(devices) > 12 and mode == "0"


def test_device(podman):
    script = "ls -l /dev/fuse; cat /dev/fuse 2>&1 | head -c 60; ls /dev/kmsg"
    out = podman("run", "--rm", "--device", "/dev/zero:/dev/fuse", IMAGE, "sh", "-c", script)
    assert "1,   5" in out.out and "No such file" in out.err


def test_network_none_and_host(podman):
    assert podman("run", "--rm", IMAGE, "ls", "/sys/class/net").ok().out == "lo\n"
    inside = podman("run", "--rm", "--network", "host", IMAGE, "readlink", "/proc/self/ns/net").ok().out.strip()
    assert inside == os.readlink("/proc/self/ns/net")


def test_namespaces_of_another_container(podman):
    first = podman.start(IMAGE, "sleep", "100")
    other = ["--pid", f"container:{first}", "--ipc", f"container:{first}", "--network", f"container:{first}"]
    out = podman("run", "--rm", *other, IMAGE, "sh", "-c", "readlink /proc/1/ns/pid; readlink /proc/self/ns/pid; cat /proc/1/comm")
    a, b, comm = out.ok().out.split()
    assert a == b and comm == "sleep"


def test_pid_and_uts_of_the_host(podman):
    out = podman("run", "--rm", "--pid", "host", "--uts", "host", IMAGE, "sh", "-c",
                 "readlink /proc/self/ns/pid; readlink /proc/self/ns/uts").ok().out
    assert out.split() == [os.readlink("/proc/self/ns/pid"), os.readlink("/proc/self/ns/uts")]


def test_user_namespace(podman):
    out = podman("run", "--rm", "--uidmap", "0:100000:65536", "--gidmap", "0:200000:65536", IMAGE, "sh", "-c",
                 "cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /tmp/x; stat -c %u /tmp/x").ok().out.split()
    assert out == ["0", "100000", "65536", "0", "200000", "65536", "0", "0"]


def test_hostname_sysctl_and_shm(podman):
    out = podman("run", "--rm", "--hostname", "boat", "--sysctl", "kernel.shm_rmid_forced=1", "--shm-size", "8m", IMAGE,
                 "sh", "-c", "hostname; cat /proc/sys/kernel/shm_rmid_forced; df -m /dev/shm | tail -1 | tr -s ' '").ok().out
    name, forced, df = out.splitlines()
    assert (name, forced, df.split()[1]) == ("boat", "1", "8")


def test_ulimit(podman):
    limits = ["--ulimit", "nofile=100:200", "--ulimit", "nproc=50:60"]  # podman's own for nproc is above many hosts'
    out = podman("run", "--rm", *limits, IMAGE, "sh", "-c", "ulimit -Sn; ulimit -Hn").ok().out
    assert out.split() == ["100", "200"]


def test_masked_and_read_only_paths(podman):
    script = "cat /proc/keys | wc -c; ls /proc/scsi | wc -l; echo 1 > /proc/sys/vm/drop_caches"
    result = podman("run", "--rm", IMAGE, "sh", "-c", script)
    assert result.out.split() == ["0", "0"] and "Read-only file system" in result.err, result


HOOK = """#!/bin/sh
echo "$1 $(tr -d ' \\n\\t' | grep -o '"status":"[a-z]*"')" >> {log}
"""


def test_unmasked_paths(podman):
    script = "cat /proc/keys | wc -c"
    assert podman("run", "--rm", IMAGE, "sh", "-c", script).ok().out == "0\n"
    assert podman("run", "--rm", "--security-opt", "unmask=/proc/keys", IMAGE, "sh", "-c", script).ok().out != "0\n"


def test_private_cgroup_namespace(podman):
    out = podman("run", "--rm", "--cgroupns", "private", IMAGE, "cat", "/proc/self/cgroup").ok().out
    assert out and all(line.endswith(":/") for line in out.splitlines()), out


def test_hooks_run_with_the_state(podman, base):
    hooks, log, program = base / "hooks", base / "hooked", base / "hook.sh"
    hooks.mkdir()
    program.write_text(HOOK.format(log=log))
    program.chmod(0o755)
    for stage in ("createRuntime", "poststart", "poststop"):
        (hooks / f"{stage}.json").write_text(json.dumps({
            "version": "1.0.0", "hook": {"path": str(program), "args": ["hook", stage]}, "when": {"always": True},
            "stages": [stage]}))
    podman("run", "--hooks-dir", hooks, "--rm", IMAGE, "true").ok()
    assert eventually(lambda: log.read_text().count("\n") == 3), log.read_text()
    created, started, stopped = log.read_text().splitlines()
    assert created == 'createRuntime "status":"creating"'
    assert started in ('poststart "status":"running"', 'poststart "status":"created"')  # runc before 1.2
    assert stopped == 'poststop "status":"stopped"'


# --- podman's own views


def test_top_and_copy(podman, base):
    name = podman.start(IMAGE, "sh", "-c", "sleep 100 & sleep 101")
    assert eventually(lambda: "sleep 100" in podman("top", name, "args").ok().out)
    (base / "file").write_text("copied\n")
    podman("cp", base / "file", f"{name}:/tmp/file").ok()
    assert podman("exec", name, "cat", "/tmp/file").ok().out == "copied\n"


def test_stats(podman):
    name = podman.start("--memory", "64m", IMAGE, "sleep", "100")
    out = podman("stats", "--no-stream", "--format", "{{.PIDs}} {{.MemUsage}}", name).ok().out
    assert out.startswith("1 ") and "67.11MB" in out, out
