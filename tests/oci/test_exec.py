"""exec: its flags, --process, users (CVE-2026-30892), and what the process is given."""

import os

import kit
import pytest

pytestmark = pytest.mark.fast
lacks = pytest.mark.lacks


@pytest.fixture
def up(box):
    box.process["env"] = ["PATH=/bin", "FROM=config"]
    return box.up()


def status(out):
    return dict(line.split(":", 1) for line in out.splitlines() if ":" in line)


# ---- flags ----


@lacks("crun", why="replaces the whole environment")
def test_env_and_cwd(up):
    out = up.exec("sh", "-c", "echo $A $B $FROM; pwd", flags=["-e", "A=1", "-e", "B=2", "--cwd", "/tmp"]).ok().out
    assert out == "1 2 config\n/tmp\n"


@lacks("crun", why="replaces the whole environment")
def test_env_overrides_the_configuration(up):
    assert up.exec("sh", "-c", "echo $FROM", flags=["-e", "FROM=flag"]).ok().out == "flag\n"


def test_flags_of_the_command_are_the_commands(up):
    assert up.exec("echo", "--tty", "-u", "x").ok().out == "--tty -u x\n"


def test_double_dash(up):
    assert up.runtime("exec", up.id, "--", "echo", "x").code in (0, 255)


def test_detach_and_pid_file(up):
    path = up.dir / "pid"
    up.exec("sleep", "1000", flags=["--detach", "--pid-file", path], stdout=up.dir / "o").ok()
    pid = int(path.read_text())
    assert open(f"/proc/{pid}/comm").read() == "sleep\n"
    assert pid in up.processes()


def test_namespaces_are_those_of_the_container(up):
    out = up.exec("sh", "-c", "for n in mnt net uts ipc pid cgroup; do readlink /proc/self/ns/$n; done").ok().out
    assert out.split() == [os.readlink(f"/proc/{up.pid}/ns/{n}") for n in "mnt net uts ipc pid cgroup".split()]


def test_root_is_the_containers(up):
    assert up.exec("ls", "/etc").ok().out.split() == ["group", "passwd"]


def test_capabilities_of_the_container(up):
    caps = status(up.exec("cat", "/proc/self/status").ok().out)
    assert int(caps["CapEff"], 16) == int(caps["CapBnd"], 16) == 0x20000420


def test_cap_flag(up):
    caps = status(up.exec("cat", "/proc/self/status", flags=["--cap", "CAP_CHOWN"]).ok().out)
    assert int(caps["CapBnd"], 16) & 1


def test_unknown_cap_flag(up):
    result = up.exec("true", flags=["--cap", "CAP_NOSUCH"])
    assert result.code in (0, 1, 255)


def test_no_new_privs_flag(box):
    box.process["noNewPrivileges"] = False
    box.up()
    read = lambda flags: status(box.exec("cat", "/proc/self/status", flags=flags).ok().out)["NoNewPrivs"].strip()
    assert (read([]), read(["--no-new-privs"])) == ("0", "1")


@lacks("crun", why="takes it from --process alone")
def test_no_new_privs_of_the_container(up):
    assert status(up.exec("cat", "/proc/self/status").ok().out)["NoNewPrivs"].strip() == "1"


def test_stdin_stdout_stderr(up):
    result = up.exec("sh", "-c", "cat; echo err >&2", input="in").ok()
    assert (result.out, result.err) == ("in", "err\n")


def test_many_at_once(up):
    processes = [up.runtime.popen("exec", up.id, "sh", "-c", f"exit {i}") for i in range(20)]
    assert [p.wait(60) for p in processes] == list(range(20))


def test_background_processes_of_an_exec_stay(up):
    up.exec("sh", "-c", "sleep 1000 >/dev/null 2>&1 &").ok()
    assert kit.eventually(lambda: len(up.processes()) == 2)


def test_exec_in_a_created_container(box):
    """It works before start: conmon's callers do it."""
    box.create().ok()
    result = box.exec("echo", "early")
    assert result.code != 0 or result.out == "early\n"


def test_init_ends_during_exec(up):
    process = up.runtime.popen("exec", up.id, "sh", "-c", "touch /up; exec sleep 1000")
    assert kit.eventually((up.rootfs / "up").exists)
    up.kill().ok()
    assert process.wait(20) == 137


# ---- --process ----


def test_process_file(up):
    process = {"args": ["sh", "-c", "echo $A; pwd; id -u; id -g"], "env": ["PATH=/bin", "A=1"], "cwd": "/tmp",
               "user": {"uid": 7, "gid": 8}}
    assert up.exec_process(process).ok().out.split() == ["1", "/tmp", "7", "8"]


def test_process_file_with_capabilities_and_limits(up):
    caps = {s: ["CAP_CHOWN"] for s in ("bounding", "effective", "permitted")}
    rlimits = [{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 100}]
    out = up.exec_process({"args": ["cat", "/proc/self/status", "/proc/self/limits"], "capabilities": caps,
                           "rlimits": rlimits, "oomScoreAdj": 900}).ok().out
    assert int(status(out)["CapEff"], 16) == 1
    assert any(l.split()[3:5] == ["99", "100"] for l in out.splitlines() if l.startswith("Max open files"))


def test_process_file_missing_or_broken(up):
    up.runtime("exec", "--process", "/nosuch/process.json", up.id).failed().names("/nosuch/process.json")
    path = up.dir / "p.json"
    path.write_text("{")
    up.runtime("exec", "--process", path, up.id).failed()
    path.write_text("[]")
    up.runtime("exec", "--process", path, up.id).failed()


def test_process_file_with_invalid_values(up):
    up.exec_process({"args": []}).failed().names("args")
    up.exec_process({"cwd": "relative"}).failed().names("cwd")


def test_neither_command_nor_process(up):
    up.runtime("exec", up.id).failed()


# ---- users ----


@pytest.mark.parametrize("user, ids", [("1000", "1000 0"), ("1000:2000", "1000 2000"), ("0:5", "0 5"), ("0", "0 0"),
                                       ("2147483647:2147483647", "2147483647 2147483647")])
def test_user(up, user, ids):
    if user == "1000" and kit.PEER == "berth":
        ids = ("1000 0", "1000 1000")
    out = up.exec("sh", "-c", "echo $(id -u) $(id -g)", flags=["--user", user]).ok().out.strip()
    assert out in ids if isinstance(ids, tuple) else out == ids


@lacks("runc", "crun", why="crun 1.8.1 reads numbers sloppily, runc 1.1.5 some of them")
@pytest.mark.parametrize("user", ["1000x", "0x0", "", "-1", "4294967296", "4294967295", "1:2:3", ":", ":0", "1000:", " 0",
                                  "0 ", "+0", "1e3", "1000:x", "1000:-1", "1000:4294967296", "18446744073709551616",
                                  "00x", "0\n", "１"])
def test_sloppy_users_are_refused(up, user):
    """CVE-2026-30892: a parser that stops at the first odd byte runs "x" or "" as root."""
    result = up.exec("id", flags=[f"--user={user}"])
    result.failed().names("user")
    assert "uid=0" not in result.out


@lacks("crun", why="has its own idea")
def test_user_name_is_not_looked_up(up):
    """Names are the engine's to resolve: an error, never root."""
    result = up.exec("id", flags=["--user", "web"])
    assert "uid=0" not in result.out and result.code != 0


@lacks("crun", why="has no such flag")
def test_additional_gids(up):
    out = up.exec("id", "-G", flags=["-g", "100", "-g", "65534", "--user", "1000:1000"]).ok().out
    assert {"100", "65534", "1000"} == set(out.split())


@lacks("runc", why="wraps around")
@lacks("crun", why="has no such flag")
@pytest.mark.parametrize("gid", ["x", "-1", "1x", "4294967296", ""])
def test_sloppy_additional_gids_are_refused(up, gid):
    up.exec("id", flags=[f"--additional-gids={gid}"]).failed()


def test_exec_gets_no_privileges_that_the_container_lacks(up):
    assert up.exec("mount", "-t", "tmpfs", "x", "/tmp").code != 0


def test_cwd_of_exec_that_does_not_exist(up):
    result = up.exec("pwd", flags=["--cwd", "/nosuch/dir"])
    assert result.code != 0 or result.out == "/nosuch/dir\n"


@pytest.mark.parametrize("cwd", ["relative", "./x"])
@lacks("runc", "crun", why="take it")
def test_cwd_must_be_absolute(up, cwd):
    up.exec("pwd", flags=["--cwd", cwd]).failed().names("cwd")
