"""Life of a container: the operations of runtime.md, in right and in wrong states."""

import json
import os
import signal

import kit
import pytest

pytestmark = pytest.mark.fast
lacks = pytest.mark.lacks


# ---- the states ----


def test_states_of_a_whole_life(box):
    box.args("sleep", "1000").create().ok()
    assert box.status == "created"
    box.start().ok()
    assert box.status == "running"
    box.kill().ok()
    box.stopped()
    box.delete().ok()
    box.runtime("state", box.id).failed("does not exist").names(box.id)


def test_state_has_the_properties_of_the_specification(box):
    box.config["annotations"] = {"org.example.key": "value", "org.example.empty": ""}
    box.args("sleep", "1000").create().ok()
    state = box.state()
    assert state["id"] == box.id
    assert state["bundle"] == str(box.dir)
    assert state["status"] == "created"
    assert os.path.exists(f"/proc/{state['pid']}")
    assert state["annotations"] == box.config["annotations"]
    assert state["ociVersion"].count(".") == 2
    assert state["created"].endswith("Z") or "+" in state["created"]


@lacks("crun", why="prints the rootfs as configured")
def test_state_has_the_properties_that_runc_adds(box):
    box.create().ok()
    state = box.state()
    assert state["rootfs"] == str(box.rootfs)


def test_state_of_a_stopped_container_has_no_live_pid(box):
    box.up()
    box.kill().ok()
    box.stopped()
    assert box.state().get("pid", 0) == 0


@lacks("crun", why="a zombie counts as running until it is reaped")
def test_zombie_init_is_stopped(box):
    box.args("true").create().ok()
    box.start().ok()
    assert kit.eventually(lambda: box.status == "stopped"), box.state()


def test_program_is_not_run_by_create(box):
    box.script("echo ran > /ran").create().ok()
    assert not (box.rootfs / "ran").exists()
    box.start().ok()
    assert kit.eventually((box.rootfs / "ran").exists)
    box.stopped()


def test_config_changes_after_create_have_no_effect(box):
    box.script("echo before > /ran").create().ok()
    box.script("echo after > /ran").save()
    box.start().ok()
    box.stopped()
    assert (box.rootfs / "ran").read_text() == "before\n"


def test_config_removed_after_create_does_not_hinder(box):
    box.script("sleep 1000").create().ok()
    (box.dir / "config.json").unlink()
    box.start().ok()
    assert box.status == "running"
    box.kill().ok()
    box.stopped()
    box.delete().ok()


# ---- errors in wrong states ----


def test_create_twice(box):
    box.create().ok()
    box.create(stdout=box.dir / "second").failed(("exist", "already")).names(box.id)
    assert box.status == "created"


def test_failed_create_keeps_the_first_container(box):
    box.up()
    box.create(stdout=box.dir / "second").failed()
    assert box.status == "running"
    assert box.exec("true").code == 0


def test_start_twice(box):
    box.up()
    box.start().failed(code=1)
    assert box.status == "running"


def test_start_of_a_stopped_container(box):
    box.up()
    box.kill().ok()
    box.stopped()
    box.start().failed(code=1)


@lacks("crun", why="ps exits with 253")
@pytest.mark.parametrize("verb", ["start", "state", "kill", "delete", "pause", "resume", "ps"])
def test_unknown_container(runtime, verb):
    runtime(verb, "nosuch").failed("does not exist", code=1).names("nosuch")


@pytest.mark.parametrize("verb", ["start", "state", "kill", "delete", "pause", "resume", "ps", "create", "exec"])
def test_missing_id(runtime, verb):
    runtime(verb).failed()


def test_exec_in_an_unknown_container(runtime):
    runtime("exec", "nosuch", "true").failed("does not exist")


def test_kill_of_a_stopped_container(box):
    box.up()
    box.kill().ok()
    box.stopped()
    box.kill("TERM").failed(("not running", "no such process", "finished", "not in"), code=1)


def test_exec_in_a_stopped_container(box):
    box.up()
    box.kill().ok()
    box.stopped()
    box.exec("true").failed(("not running", "stopped"))


def test_delete_of_a_running_container(box):
    box.up()
    box.delete().failed(box.id, code=1)
    assert box.status == "running"
    assert box.exec("true").code == 0


def test_delete_force_of_a_running_container(box):
    box.up()
    pid = box.pid
    box.delete("--force").ok()
    box.runtime("state", box.id).failed()
    assert kit.eventually(lambda: kit.children_reap() or not os.path.exists(f"/proc/{pid}"))


def test_delete_of_a_created_container(box):
    """runc and crun allow this, against the letter of the specification; engines rely on it."""
    box.create().ok()
    box.delete().ok()


@pytest.mark.parametrize("flag", ["--force", "-f"])
def test_delete_force_of_an_unknown_container(runtime, flag):
    runtime("delete", flag, "nosuch").ok()


def test_id_can_be_used_again(box):
    for _ in range(2):
        box.args("true").create().ok()
        box.start().ok()
        box.stopped()
        box.delete().ok()


# ---- identifiers ----


@lacks("crun", why="takes most")
@pytest.mark.parametrize("id", ["..", ".", "a/b", "", "a b", "a\nb", "../../tmp/x", "é"])
def test_invalid_ids(runtime, box, id):
    box.save()
    result = runtime("create", "--bundle", box.dir, "--", id)
    if result.code == 0:
        runtime("delete", "--force", "--", id)
    result.failed(code=1)
    assert runtime.ids() == []


@pytest.mark.parametrize("id", ["a", "A-b_c.d+e", "0", "x" * 64])
def test_valid_ids(containers, id):
    box = containers(id)
    box.args("true").run().ok()


# ---- create's parameters ----


def test_create_without_a_bundle_directory(runtime):
    runtime("create", "--bundle", "/nosuch", "x").failed(("no such file", "not exist", "nosuch"), code=1)


def test_create_without_a_config(box, runtime):
    runtime("create", "--bundle", box.dir, box.id).failed("config.json", code=1)


def test_bundle_defaults_to_the_current_directory(box, runtime):
    box.script("echo here").save()
    assert runtime("run", box.id, cwd=box.dir).ok().out == "here\n"


def test_relative_bundle(box, runtime):
    box.args("sleep", "1000").save()
    runtime("create", "-b", box.dir.name, box.id, cwd=box.dir.parent, stdout=box.stdout).ok()
    assert box.state()["bundle"] == str(box.dir)


def test_pid_file(box):
    path = box.dir / "pid"
    box.args("sleep", "1000").create("--pid-file", path).ok()
    assert path.read_text() == str(box.pid)


def test_run_detached(box):
    path = box.dir / "pid"
    box.script("echo up; exec sleep 1000").run("--detach", "--pid-file", path, stdout=box.stdout).ok()
    assert box.status == "running"
    assert path.read_text() == str(box.pid)
    box.printed("up")


def test_run_leaves_nothing(box):
    box.args("true").run().ok()
    box.runtime("state", box.id).failed()


@lacks("crun", why="has no --keep")
def test_run_keep(box):
    box.args("true").run("--keep").ok()
    assert box.status == "stopped"
    box.delete().ok()


def test_create_fails_when_the_pid_file_cannot_be_written(box):
    box.create("--pid-file", "/nosuch/dir/pid").failed(code=1)
    assert box.runtime.ids() == []


# ---- exit codes ----


@pytest.mark.parametrize("code", [0, 1, 42, 126, 127, 255])
def test_run_exits_with_the_containers_code(box, code):
    assert box.script(f"exit {code}").run().code == code


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
def test_run_exits_with_128_and_the_signal(box, sig):
    """The shell is not PID 1 of a PID namespace here, where its own signals would be ignored."""
    box.namespace_drop("pid")
    assert box.script(f"kill -{sig.value} $$").run().code == 128 + sig


def test_exec_exits_with_the_commands_code(box):
    box.up()
    assert box.exec("sh", "-c", "exit 42").code == 42
    assert box.exec("sh", "-c", "kill -9 $$").code == 137


@lacks("crun", why="exits with 1")
def test_exec_of_a_missing_command_exits_as_runc_does(box):
    box.up()
    box.exec("nosuchcommand").failed("nosuchcommand", "executable file not found", code=255)


def test_runtime_errors_exit_with_1(box):
    box.args("nosuchcommand")
    box.run().failed("executable file not found", code=1)


@lacks("crun", why="exits with 64")
@pytest.mark.parametrize("argv", [["--nosuch", "list"], ["list", "--nosuch"], ["run", "--nosuch", "x"]])
def test_unknown_flags(runtime, argv):
    runtime(*argv).failed("nosuch", code=1)


def test_unknown_command(runtime):
    runtime("frobnicate").failed()


# ---- signals ----


@lacks("crun", why="knows capitals only")
@pytest.mark.parametrize("name", ["TERM", "SIGTERM", "15", "term"])
def test_signals_by_name_and_number(box, name):
    box.args("probe", "term").create().ok()
    box.start().ok()
    box.printed("waiting")
    box.kill(name).ok()
    box.printed("got TERM")
    box.stopped()


def test_kill_sends_term_by_default(box):
    box.up("probe", "term")
    box.printed("waiting")
    box.runtime("kill", box.id).ok()
    box.printed("got TERM")
    box.stopped()


@lacks("crun", why="reads what it cannot parse as 0")
@pytest.mark.parametrize("sig", ["NOSUCH", "SIG", "-1", "65", "999", "15x"])
def test_invalid_signals(box, sig):
    box.up()
    box.runtime("kill", "--", box.id, sig).failed(code=1)
    assert box.status == "running"


def test_realtime_signal(box):
    box.up("sh", "-c", "trap 'echo rt' 35; echo waiting; while :; do sleep 0.05; done")
    box.printed("waiting")
    box.kill("35").ok()
    box.printed("rt")


def test_kill_of_a_created_container(box):
    box.create().ok()
    box.kill().ok()
    box.stopped()
    box.start().failed()


@pytest.mark.parametrize("sig", ["TERM", "INT", "HUP", "QUIT"])
@lacks("crun", why="its init ignores them as PID 1 does")
def test_signals_end_a_created_container(box, sig):
    """PID 1 of a namespace gets no signal that it doesn't handle; an engine that stops a created
    container with TERM means it all the same."""
    box.create().ok()
    box.kill(sig).ok()
    box.stopped()


def test_kill_all_reaches_every_process_of_a_shared_pid_namespace(box):
    box.namespace_drop("pid")
    box.up("sh", "-c", "sleep 1000 & sleep 1000 & echo up; wait")
    box.printed("up")
    assert len(box.processes()) == 3
    box.kill("KILL", "--all").ok()
    box.stopped()
    assert kit.eventually(lambda: kit.children_reap() or not box.processes())


@lacks("crun", why="leaves processes of a stopped container without a PID namespace")
def test_kill_all_of_a_stopped_container(box):
    """Without a PID namespace, processes outlive init; --all still reaches them."""
    box.namespace_drop("pid")
    box.up("sh", "-c", "sleep 1000 & exit 0")
    box.stopped()
    assert kit.eventually(box.processes)
    box.kill("KILL", "--all").ok()
    assert kit.eventually(lambda: kit.children_reap() or not box.processes())


def test_delete_force_takes_processes_of_a_shared_pid_namespace(box):
    box.namespace_drop("pid")
    box.up("sh", "-c", "sleep 1000 & sleep 1000 & echo up; wait")
    box.printed("up")
    box.delete("--force").ok()


# ---- what the process gets ----


def test_signals_are_at_their_defaults(box):
    status = dict(
        line.split(":\t", 1) for line in box.args("cat", "/proc/self/status").run().ok().out.splitlines()
    )
    for key in ("SigBlk", "SigIgn", "SigCgt"):
        assert int(status[key], 16) == 0, (key, status[key])


def test_ignored_signals_of_the_caller_are_reset(box):
    """A caller that ignores SIGPIPE, say, must not make the container's programs ignore it."""
    ignore = lambda: [signal.signal(s, signal.SIG_IGN) for s in (signal.SIGPIPE, signal.SIGUSR1, signal.SIGTERM)]
    out = box.args("grep", "Sig[BI]", "/proc/self/status").run(preexec_fn=ignore).ok().out
    assert out.count("0000000000000000") == 2, out


def test_only_stdio_is_open(box):
    out = box.args("probe", "fds").run().ok().out
    assert [line.split()[0] for line in out.splitlines()] == ["0", "1", "2"]


def test_only_stdio_is_open_in_exec(box):
    box.up()
    out = box.exec("probe", "fds").ok().out
    assert [line.split()[0] for line in out.splitlines()] == ["0", "1", "2"]


def test_stdin_is_passed(box):
    assert box.args("cat").run(input="text").ok().out == "text"


def test_stdin_is_passed_to_exec(box):
    box.up()
    assert box.exec("cat", input="text").ok().out == "text"


def test_large_output(box):
    out = box.output("dd if=/dev/zero bs=65536 count=64 2>/dev/null | tr '\\0' x")
    assert len(out) == 64 * 65536


def test_process_is_the_leader_of_a_session(box):
    fields = box.args("cat", "/proc/self/stat").run().ok().out.rsplit(")", 1)[1].split()
    assert fields[2] == fields[3] == "1"  # process group, session


def test_args_with_odd_bytes(box):
    argv = ["", " ", "a b", "é", "\t", '"', "\\", "$HOME", "\U0001f40b"]
    assert box.args("printf", "%s|", *argv).run().ok().out == "|".join(argv) + "|"


def test_env_is_exactly_what_was_configured(box):
    box.process["env"] = ["PATH=/bin", "A=1", "EMPTY=", "B=x=y"]
    out = box.args("env").run(env={**os.environ, "LEAK": "1"}).ok().out.splitlines()
    assert set(out) - {"HOME=/root"} == {"PATH=/bin", "A=1", "EMPTY=", "B=x=y"}


@lacks("crun", why="does not set HOME unless the user is looked up")
def test_home_is_set_from_passwd(box):
    """As runc does: HOME comes from the container's passwd where the configuration has none."""
    assert box.output("echo $HOME") == "/root\n"
    box.process["user"] = {"uid": 1000, "gid": 1000}
    assert box.output("echo $HOME") == "/home/web\n"


@lacks("runc", "crun", why="newer runc does so")
def test_empty_home_is_replaced(box):
    box.process["env"].append("HOME=")
    assert box.output("echo $HOME") == "/root\n"


@lacks("runc", "crun", why="newer runc does so")
def test_variable_given_twice_is_set_once(box):
    """The last one wins: two of a name mean different things to different programs."""
    box.process["env"] += ["A=1", "A=2"]
    assert [l for l in box.args("env").run().ok().out.splitlines() if l.startswith("A=")] == ["A=2"]


def test_home_of_the_configuration_is_kept(box):
    box.process["env"].append("HOME=/configured")
    assert box.output("echo $HOME") == "/configured\n"


def test_path_of_the_configuration_finds_the_program(box):
    (box.rootfs / "opt").mkdir()
    os.symlink("/bin/busybox", box.rootfs / "opt" / "uname")
    box.process["env"] = ["PATH=/nosuch:/opt"]
    assert box.args("uname").run().ok().out == "Linux\n"


def test_program_with_a_slash_is_relative_to_cwd(box):
    box.process["cwd"] = "/bin"
    assert box.args("./uname").run().ok().out == "Linux\n"


def test_cwd(box):
    box.process["cwd"] = "/tmp"
    assert box.output("pwd") == "/tmp\n"


@lacks("crun", why="refuses")
def test_missing_cwd_is_created(box):
    box.process["cwd"] = "/made/for/you"
    assert box.output("pwd") == "/made/for/you\n"


def test_annotations_do_not_matter(box):
    box.config["annotations"] = {"a": "", "org.example.x": "y" * 5000}
    box.args("true").run().ok()


def test_process_is_optional_until_start(box):
    del box.config["process"]
    result = box.create()
    if result.code == 0:
        box.start().failed("process")
    else:
        result.failed("process")


def test_list(containers):
    first, second = containers(), containers()
    first.up()
    second.create().ok()
    runtime = first.runtime
    assert sorted(runtime.ids()) == sorted([first.id, second.id])
    records = {r["id"]: r for r in json.loads(runtime("list", "--format", "json").ok().out)}
    assert records[first.id]["status"] == "running"
    assert records[first.id]["pid"] == first.pid
    assert records[first.id]["bundle"] == str(first.dir)
    assert records[second.id]["status"] == "created"
    head, *rows = runtime("list").ok().out.splitlines()
    assert head.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert any(r.split()[:3] == [first.id, str(first.pid), "running"] for r in rows)


def test_list_of_nothing(runtime):
    assert runtime("list", "-q").ok().out == ""
    assert json.loads(runtime("list", "--format", "json").ok().out) in (None, [])


def test_list_with_an_unknown_format(runtime):
    runtime("list", "--format", "nosuch").failed(code=1)


def test_separate_roots_do_not_see_each_other(box, base):
    box.create().ok()
    other = kit.Runtime(base)
    other.root = base / "elsewhere"
    if kit.PEER == "berth":  # as runc since 1.2: a root that was named must be there
        other("list", "-q").failed("elsewhere")
    other.root.mkdir()
    assert box.id not in other("list", "-q").ok().out
    other("state", box.id).failed("does not exist")
