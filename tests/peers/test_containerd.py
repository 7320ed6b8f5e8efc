"""containerd's runc shim with the runtime under test, through ctr. (ctr 1.6 has no verb for update.)"""

import json
import os
import re

import pytest
from peers import PARENT, Cgroup, Terminal, call, eventually, processes_naming, resized

COUNT = "i=0; while :; do i=$((i+1)); echo $i > /tmp/count; sleep 0.05; done"


def execute(ctr, name, *command, **kw):
    execute.serial = getattr(execute, "serial", 0) + 1
    return ctr("tasks", "exec", "--exec-id", f"x{execute.serial}", name, *command, **kw)


@pytest.mark.parametrize("command, code", [(["true"], 0), (["sh", "-c", "exit 42"], 42), (["false"], 1)])
def test_run_ends_with_the_commands_code(ctr, command, code):
    ctr.run("--", *command).exits(code)


def test_run_passes_input_and_output_through(ctr):
    result = ctr.run("--", "sh", "-c", "head -n 1; echo to-err >&2", input="some input\n").ok()
    assert (result.out, result.err) == ("some input\n", "to-err\n")


@pytest.mark.parametrize("command, phrase", [("/no/such/program", "no such file or directory"),
                                             ("/etc", "permission denied"), ("/etc/passwd", "permission denied")])
def test_failure_to_start_names_the_program(ctr, command, phrase):
    result = ctr.run("--", command)
    assert result.code == 1 and command in result.err and phrase in result.err, result


def test_failing_exec_names_the_program_and_leaves_the_task(ctr):
    name = ctr.start("--", "sleep", "100")
    result = execute(ctr, name, "/no/such/program")
    assert result.code == 1 and "/no/such/program" in result.err and "no such file" in result.err, result
    execute(ctr, name, "true").ok()


def test_exec_code_and_output(ctr):
    name = ctr.start("--", "sleep", "100")
    execute(ctr, name, "sh", "-c", "echo inside; exit 9").exits(9, "inside")
    assert execute(ctr, name, "cat", input="through stdin").ok().out == "through stdin"
    assert execute(ctr, name, "readlink", "/proc/self/ns/mnt").out.strip() == os.readlink(f"/proc/{ctr.pid(name)}/ns/mnt")


def test_run_on_a_terminal_with_a_resize(ctr):
    name, argv = ctr.run_argv("--rm", "-t", "--", "sh")
    terminal = Terminal(argv, rows=31, cols=97)
    try:
        resized(terminal)
        terminal.send("exit 6\n")
        assert terminal.end() == 6
    finally:
        terminal.close()


def test_exec_on_a_terminal_with_a_resize(ctr):
    name = ctr.start("--", "sleep", "100")
    terminal = Terminal(ctr.argv("tasks", "exec", "-t", "--exec-id", "term", name, "sh"), rows=31, cols=97)
    try:
        resized(terminal)
        terminal.send("exit 7\n")
        assert terminal.end() == 7
    finally:
        terminal.close()


def test_pause_and_resume(ctr):
    name = ctr.start("--", "sh", "-c", COUNT)

    def count():
        return int(open(f"/proc/{ctr.pid(name)}/root/tmp/count").read() or 0)
    assert eventually(lambda: os.path.exists(f"/proc/{ctr.pid(name)}/root/tmp/count") and count() > 2)
    ctr("tasks", "pause", name).ok()
    assert ctr.status(name) == "PAUSED"
    before = count()
    eventually(lambda: False, timeout=0.3)
    assert count() == before
    ctr("tasks", "resume", name).ok()
    assert ctr.status(name) == "RUNNING"
    assert eventually(lambda: count() > before)


def test_kill_sends_the_signal(ctr):
    name = ctr.start("--", "sh", "-c", "trap 'exit 21' USR1; echo > /tmp/ready; while :; do sleep 0.05; done")
    assert eventually(lambda: os.path.exists(f"/proc/{ctr.pid(name)}/root/tmp/ready"))
    ctr("tasks", "kill", "-s", "SIGUSR1", name).ok()
    assert eventually(lambda: ctr.status(name) == "STOPPED")
    ctr("tasks", "delete", name).exits(0, "exit code 21")


def test_kill_all_and_exec(ctr):
    name = ctr.start("--", "sh", "-c", "sleep 101 & sleep 102")
    execute(ctr, name, "sh", "-c", "sleep 103 >/dev/null 2>&1 &").ok()
    pid = ctr.pid(name)
    ctr("tasks", "kill", "-a", "-s", "SIGKILL", name).ok()
    assert eventually(lambda: ctr.status(name) == "STOPPED")
    assert not os.path.exists(f"/proc/{pid}/root/bin")
    ctr("tasks", "delete", name).exits(0, "exit code 137")


def test_ps_and_metrics(ctr):
    name = ctr.start("--memory-limit", str(64 << 20), "--", "sh", "-c", "sleep 100 & sleep 101")
    assert eventually(lambda: len(ctr("tasks", "ps", name).ok().out.splitlines()) == 3)  # a heading, two processes
    metrics = json.loads(ctr("tasks", "metrics", "--format", "json", name).ok().out)
    assert re.search(r'"(limit|usage_limit|hierarchical_memory_limit)": ?67108864', json.dumps(metrics))


def test_limits(ctr):
    name = ctr.start("--memory-limit", str(64 << 20), "--cpus", "0.5", "--", "sleep", "100")
    cgroup = Cgroup(ctr.pid(name))
    assert (cgroup.memory(), cgroup.quota()) == (64 << 20, 0.5)
    assert f"{PARENT}/{name}" in cgroup.paths.values()


def test_out_of_memory_kills(ctr):
    ctr.run("--memory-limit", str(8 << 20), "--", "sh", "-c", "x=a; while :; do x=$x$x; done").exits(137)


def test_read_only_seccomp_capabilities(ctr):
    script = "touch /x; grep -E 'CapEff|Seccomp:|NoNewPrivs' /proc/self/status"
    result = ctr.run("--read-only", "--seccomp", "--cap-drop", "CAP_NET_RAW", "--", "sh", "-c", script).ok()
    assert "Read-only file system" in result.err
    values = dict(line.split(":\t") for line in result.out.splitlines())
    assert (values["Seccomp"], values["NoNewPrivs"]) == ("2", "1")
    assert int(values["CapEff"], 16) & (1 << 13) == 0 and int(values["CapEff"], 16) & 1


def test_mounts_environment_and_cwd(ctr, base):
    (base / "volume").mkdir()
    (base / "volume/file").write_text("from the host\n")
    bind = f"type=bind,src={base}/volume,dst=/v,options=rbind:ro"
    out = ctr.run("--mount", bind, "--env", "A=b", "--cwd", "/tmp", "--", "sh", "-c",
                  "cat /v/file; echo $A; pwd; echo x 2>/dev/null > /v/new || echo refused").ok().out
    assert out == "from the host\nb\n/tmp\nrefused\n"


def test_privileged_and_host_network(ctr):
    out = ctr.run("--privileged", "--net-host", "--", "sh", "-c",
                  "readlink /proc/self/ns/net; grep CapEff /proc/self/status").ok().out.split()
    assert out[0] == os.readlink("/proc/self/ns/net")
    mine = [line for line in open("/proc/self/status") if line.startswith("CapEff")][0].split()[1]
    assert int(out[2], 16) == int(mine, 16)


def test_joins_a_namespace_of_another_task(ctr):
    first = ctr.start("--", "sleep", "100")
    path = f"/proc/{ctr.pid(first)}/ns/net"
    out = ctr.run("--with-ns", f"network:{path}", "--", "readlink", "/proc/self/ns/net").ok().out
    assert out.strip() == os.readlink(path)


def test_user_namespace(ctr):
    name, argv = ctr.run_argv("--rm", "--uidmap", "0:100000:65536", "--gidmap", "0:200000:65536", "--",
                              "cat", "/proc/self/uid_map")
    assert call(argv).ok().out.split() == ["0", "100000", "65536"]


def test_a_shim_ends_with_its_task(ctr):
    name = ctr.start("--", "sleep", "100")
    shims = processes_naming(f"-id {name}") or processes_naming(f"-id\0{name}\0")
    assert len(shims) == 1
    ctr("tasks", "delete", "-f", name).exits(0, "exit code 137")
    assert eventually(lambda: not os.path.exists(f"/proc/{shims[0]}"))


def test_runtime_that_dies_is_reported(ctr):
    """A bundle that the runtime must refuse: the shim passes on the last error of the runtime's log."""
    result = ctr.run("--cwd", "not/absolute", "--", "true")
    assert result.code == 1 and re.search("cwd|absolute", result.err, re.I), result
