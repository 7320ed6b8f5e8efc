"""The life of containers by berth's commands: what each does, prints and returns; podman beside it."""

import json
import os
import re
import signal
import subprocess
import time

import kit
import pytest
from enginekit import IMAGE, Terminal, eventually, processes_of

HEX = re.compile(r"[0-9a-f]{64}\n")


# ---- create, start, ps, rm ----


@pytest.mark.fast
def test_create_start_and_remove(engine):
    made = engine("create", "--name", "web", IMAGE, "sh", "-c", "echo out; echo err >&2; exit 3").ok()
    assert HEX.fullmatch(made.out), made.out
    id = made.out.strip()
    assert engine.state("web") == ("created", 0)
    assert engine("start", "web").ok().out == "web\n"
    engine.becomes("web", "exited")
    assert engine.state("web") == ("exited", 3)
    shown = engine("logs", "web").ok()
    assert (shown.out, shown.err) == ("out\n", "err\n")
    assert engine("wait", "web").ok().out == "3\n"
    assert engine("rm", "web").ok().out == "web\n"
    assert engine.state("web") is None
    assert engine.actions(id) == ["create", "start", "die", "remove"]


def test_names_ids_and_prefixes(engine):
    id = engine.up("sleep", "100", flags=("--name", "one"))
    for name in ("one", id, id[:12], id[:4]):
        assert engine("ps", "-q", "--filter", f"id={id[:12]}").ok().out.strip() == id[:12]
        assert engine("pause", name).ok().out == f"{name}\n"
        assert engine.state("one")[0] == "paused"
        assert engine("unpause", name).ok().out == f"{name}\n"
    taken = engine("create", "--name", "one", IMAGE)
    taken.failed("already in use")
    assert engine("rename", "one", "two").ok()
    engine("rm", "one").failed("no such container")
    assert engine("rm", "-f", "one").ok().out == ""
    assert engine("rm", "-f", "two").ok().out == "two\n"


def test_what_was_typed_is_printed(engine):
    """Also where it is the beginning of another's id."""
    one = engine.up("sleep", "100", flags=("--name", "one"))
    engine.up("sleep", "100", flags=("--name", one[0]))
    assert engine("pause", one[0], "one", one[:12]).out == f"{one[0]}\none\n"  # the third is paused already
    assert engine("unpause", one[0], one[:12]).ok().out == f"{one[0]}\n{one[:12]}\n"
    engine("rm", "-f", one[0], one).ok()


def test_several_all_and_latest(engine):
    for name in ("a", "b", "c"):
        engine.up("sleep", "100", flags=("--name", name))
    assert engine("stop", "-t", "0", "a", "none", "b").out == "a\nb\n"
    assert engine("stop", "-t", "0", "none").code == 1
    assert engine("ps", "--format", "{{.Names}}").ok().out == "c\n"
    assert engine("ps", "-a", "--format", "{{.Names}}").ok().out == "c\nb\na\n"
    assert engine("ps", "-l", "--format", "{{.Names}}").ok().out == "c\n"
    assert engine("start", "-a", "a", "b").code != 0  # --attach takes one
    assert engine("start", "a", "b").ok().out == "a\nb\n"
    assert engine("kill", "-a").ok().out.count("\n") == 3
    for name in "abc":
        engine.becomes(name, "exited")
    assert engine.state("a")[1] == 137
    assert engine("start", "-l").ok()
    assert engine.state("c")[0] == "running"
    assert engine("rm", "a", "b", "c").code == 1  # c runs
    assert engine("rm", "-fl").ok()
    assert engine.ids() == []


def test_filters(engine):
    engine.up("sleep", "100", flags=("--name", "up", "--label", "tier=web"))
    engine("create", "--name", "new", "--label", "tier=db", IMAGE).ok()
    engine.run("--name", "done", IMAGE, "sh", "-c", "exit 4")

    def names(*filters):
        flags = [w for f in filters for w in ("--filter", f)]
        return sorted(engine("ps", "-a", *flags, "--format", "{{.Names}}").ok().out.split())

    assert names("status=running") == ["up"]
    assert names("status=created") == ["new"]
    assert names("status=created", "status=exited") == ["done", "new"]
    assert names("exited=4") == ["done"]
    assert names("label=tier") == ["new", "up"]
    assert names("label=tier=web") == ["up"]
    assert names("name=ne", "name=up") == ["done", "new", "up"]
    assert names("status=running", "label=tier=db") == []
    assert names(f"ancestor={IMAGE}") == ["done", "new", "up"]
    assert names("before=new") == ["up"]
    assert names("since=new") == ["done"]
    engine("ps", "--filter", "colour=red").failed("colour")
    engine("rm", "-fa").ok()


def test_start_of_one_that_runs_is_no_error(engine):
    engine.up("sleep", "100", flags=("--name", "web"))
    pid = engine.json("ps", "--format", "json")[0]["Pid"]
    assert engine("start", "web").ok().out == "web\n"
    assert engine.json("ps", "--format", "json")[0]["Pid"] == pid
    engine("rm", "web").failed("running")
    assert engine("rm", "-f", "web").ok()


def test_two_starts_at_once(engine):
    engine("create", "--name", "web", IMAGE, "sleep", "100").ok()
    for _ in range(5):
        started = [engine.popen("start", "web") for _ in range(4)]
        assert [p.wait(30) for p in started] == [0, 0, 0, 0]
        id = engine.ids()[0]
        assert len(processes_of(id)) == 1
        engine("stop", "-t", "0", "web").ok()
    assert engine.actions(id).count("start") == 5
    engine("rm", "web").ok()


# ---- exit codes ----


@pytest.mark.fast
@pytest.mark.parametrize("script,code", [("exit 0", 0), ("exit 1", 1), ("exit 200", 200), ("kill -9 $$; exit 8", 8),
                                         ("trap - TERM; kill -TERM $$; sleep 1; exit 7", 7)])
def test_exit_codes(engine, script, code):
    assert engine.sh(script).code == code


@pytest.mark.parametrize("words,code", [(("/nosuch",), 127), (("/etc/passwd",), 126), (("nosuch",), 127)])
def test_what_can_not_be_run(engine, podman, words, code):
    ours = engine.run("--rm", IMAGE, *words)
    assert ours.code == code, ours
    assert podman("run", "--rm", IMAGE, *words).returncode == code
    assert engine.ids() == []


# commands on a container in a state: exit codes as podman's
CASES = [
    ("created", ("rm", "X")), ("created", ("stop", "X")), ("created", ("kill", "X")), ("created", ("pause", "X")),
    ("created", ("exec", "X", "true")), ("created", ("logs", "X")), ("created", ("unpause", "X")),
    ("running", ("rm", "X")), ("running", ("exec", "X", "true")), ("running", ("exec", "X", "false")),
    ("running", ("exec", "X", "nosuch")), ("running", ("unpause", "X")), ("running", ("rename", "X", "X")),
    ("running", ("kill", "-s", "NOSUCH", "X")), ("running", ("stop", "-t", "0", "X")), ("running", ("start", "X")),
    ("exited", ("rm", "X")), ("exited", ("stop", "X")), ("exited", ("kill", "X")), ("exited", ("logs", "X")),
    ("exited", ("exec", "X", "true")), ("exited", ("wait", "X")), ("exited", ("start", "-a", "X")),
    ("paused", ("exec", "X", "true")), ("paused", ("pause", "X")), ("paused", ("rm", "X")),
    ("none", ("rm", "X")), ("none", ("stop", "X")), ("none", ("kill", "X")), ("none", ("logs", "X")),
    ("none", ("start", "X")), ("none", ("exec", "X", "true")), ("none", ("wait", "X")), ("none", ("rm", "-f", "X")),
]
# Where exit statuses differ in their number and not in their meaning: ours is the first.
NUMBERS = {("none", "exec"): (125, 1), ("created", "exec"): (125, 255), ("exited", "exec"): (125, 255),
           ("paused", "exec"): (125, 255)}


def enter(run, state, name):
    if state == "created":
        run("create", "--name", name, IMAGE, "sleep", "100")
    elif state == "exited":
        run("run", "--name", name, IMAGE, "sh", "-c", "exit 5")
    elif state != "none":
        run("run", "-d", "--name", name, IMAGE, "sleep", "100")
        if state == "paused":
            run("pause", name)


@pytest.mark.parametrize("state,words", CASES, ids=lambda v: v if isinstance(v, str) else "-".join(v))
def test_as_podman(engine, podman, state, words):
    name = "peer"
    words = [name if w == "X" else w for w in words]
    if state == "paused":
        if podman("run", "-d", "--name", name, IMAGE, "sleep", "100").returncode or podman("pause", name).returncode:
            podman("rm", "-f", name)
            pytest.skip("this podman cannot pause here")
        podman("rm", "-f", name)
    enter(podman, state, name)
    theirs = podman(*words)
    podman("rm", "-f", "-t", "0", name)
    enter(engine, state, name)
    ours = engine(*words)
    engine("rm", "-f", name).ok()
    if (state, words[0]) in NUMBERS and theirs.returncode:
        assert ours.code == NUMBERS[state, words[0]][0], ours
    else:
        assert (ours.code == 0) == (theirs.returncode == 0), (ours, theirs)
        if ours.code and words[0] in ("exec", "start") and state != "none":
            assert ours.code == theirs.returncode, (ours, theirs)
    if ours.code == 0:
        assert ours.out.splitlines()[-1:] == theirs.stdout.splitlines()[-1:] or words[0] in ("rm", "start"), (ours, theirs)
    elif not (words[0] in ("exec", "start") and state in ("running", "exited")):
        assert "peer" in ours.err or "NOSUCH" in ours.err, ours


# ---- stopping ----


def test_stop_asks_then_kills(engine):
    engine.up("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done", flags=("--name", "deaf"))
    assert eventually(lambda: "ready" in engine("logs", "deaf").out)
    before = time.monotonic()
    engine("stop", "-t", "1", "deaf").ok()
    assert 0.9 < time.monotonic() - before < 6
    assert engine.state("deaf") == ("exited", 137)
    id = engine.ids()[0]
    asked = engine.exits(id)[-1]["asked"]
    assert asked["why"] == "berth stop" and asked["command"] == "berth", asked
    engine("rm", "deaf").ok()


def test_stop_by_a_signal_of_its_own(engine):
    script = "trap 'echo usr1; exit 9' USR1; trap 'exit 8' TERM; echo ready; while :; do sleep 0.1; done"
    for flags, stop, code in ((("--stop-signal", "USR1"), (), 9), ((), ("--signal", "SIGUSR1"), 9), ((), (), 8)):
        engine.up("sh", "-c", script, flags=("--name", "s", *flags))
        assert eventually(lambda: "ready" in engine("logs", "s").out)
        engine("stop", *stop, "s").ok()
        assert engine.state("s") == ("exited", code)
        engine("rm", "s").ok()


def test_stop_timeout_of_its_own(engine):
    engine.up("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done", flags=("--name", "s", "--stop-timeout", "1"))
    time.sleep(0.3)
    before = time.monotonic()
    engine("stop", "s").ok()
    assert time.monotonic() - before < 7
    engine("rm", "s").ok()


def test_a_life_of_limited_length(engine):
    before = time.monotonic()
    done = engine.run("--rm", "--timeout", "1", "--stop-timeout", "1", IMAGE, "sleep", "100")
    assert time.monotonic() - before < 12
    assert done.code != 0, done


def test_restart_and_its_policy(engine):
    engine.up("sh", "-c", "echo life; exit 1", flags=("--name", "s", "--restart", "on-failure:2"))
    engine.becomes("s", "exited", 20)
    assert engine("logs", "s").ok().out == "life\n" * 3
    id = engine.ids()[0]
    assert len(engine.exits(id)) == 3 and engine.monitor_state(id)["restarts"] == 2
    engine("rm", "s").ok()
    engine.up("sleep", "100", flags=("--name", "t"))
    pid = engine.json("ps", "--format", "json")[0]["Pid"]
    assert engine("restart", "-t", "0", "t").ok().out == "t\n"
    assert engine.json("ps", "--format", "json")[0]["Pid"] not in (0, pid)
    engine("stop", "-t", "0", "t").ok()
    assert engine("restart", "t").ok()
    assert engine.state("t")[0] == "running"
    engine("rm", "-f", "t").ok()


def test_stop_ends_a_policy_that_waits(engine):
    engine.up("sh", "-c", "exit 1", flags=("--name", "s", "--restart", "always"))
    time.sleep(2)
    engine("stop", "s", timeout=10).ok()
    assert engine.state("s")[0] == "exited"
    time.sleep(1)
    assert engine.state("s")[0] == "exited"
    engine("rm", "s").ok()


def test_a_health_check(engine):
    engine.up("sh", "-c", "sleep 100", flags=(
        "--name", "s", "--health-cmd", "test -e /ok", "--health-interval", "200ms", "--health-retries", "2"))
    assert eventually(lambda: "unhealthy" in engine("ps").out, 20)
    engine("exec", "s", "touch", "/ok").ok()
    assert eventually(lambda: "(healthy)" in engine("ps").out, 20)
    assert engine("ps", "-q", "--filter", "health=healthy").ok().out
    engine("rm", "-f", "s").ok()


# ---- the command that runs it ----


@pytest.mark.fast
def test_input_and_output_are_passed_on(engine):
    data = os.urandom(300_000).hex()
    assert engine.run("-i", "--rm", IMAGE, "cat", input=data).ok().out == data
    assert engine.run("--rm", IMAGE, "cat", input=data).ok().out == ""
    done = engine.sh("echo a; echo b >&2")
    assert (done.out, done.err) == ("a\n", "b\n")


def test_remove_of_itself(engine, tmp_path):
    cid = tmp_path / "cid"
    id = engine.run("-d", "--rm", "--cidfile", cid, IMAGE, "sleep", "0.3").ok().out.strip()
    assert cid.read_text() == id
    assert eventually(lambda: not engine.ids())
    engine.run("-d", "--cidfile", cid, IMAGE, "true").failed("cidfile", code=125)
    for _ in range(10):  # the name is free when the command returns
        assert engine.run("--rm", "--name", "again", IMAGE, "true").ok()


def test_the_directory_of_one_that_removed_itself_is_its_monitors(engine, watch):
    """When the command returns nothing tells of the container any more; what it wrote goes a moment later, and
    nobody's sweep is in the way of that."""
    many = "mkdir /d; i=0; while [ $i -lt 3000 ]; do : > /d/$i; i=$((i+1)); done"
    for _ in range(2):
        engine.run("--rm", "--name", "again", IMAGE, "sh", "-c", many).ok()
        assert not engine.ids() and not engine.listed("records")
        assert engine("system", "check").ok()
        engine.run("--rm", "--name", "again", IMAGE, "true").ok()
    assert not watch.leaks()
    engine("volume", "create", "v").ok()
    engine.run("--rm", "-v", "v:/v", IMAGE, "sh", "-c", "mkdir /v/sub; echo kept > /v/sub/f").ok()
    flags = ("--mount", "type=volume,src=v,dst=/s,subpath=sub", "--mount", f"type=image,src={IMAGE},dst=/i")
    assert engine.run("--rm", *flags, IMAGE, "sh", "-c", "cat /s/f; test -d /i/bin").ok().out == "kept\n"
    assert not watch.leaks()
    assert engine.run("--rm", "-v", "v:/v", IMAGE, "cat", "/v/sub/f").ok().out == "kept\n"
    engine("volume", "rm", "v").ok()


def test_signals_are_passed_on(engine):
    script = "trap 'echo got; exit 6' TERM; echo ready; while :; do sleep 0.1; done"
    process = engine.popen("run", "--rm", IMAGE, "sh", "-c", script, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.read() == b"got\n"
    assert process.wait(10) == 6
    process.stdout.close()


def test_an_early_signal_leaves_nothing(engine):
    for delay in (0.0, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2):
        process = engine.popen("run", "--rm", IMAGE, "sh", "-c", "trap 'exit 6' TERM; while :; do sleep 0.05; done")
        time.sleep(delay)
        end = time.monotonic() + 20
        while process.poll() is None:
            assert time.monotonic() < end
            process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
        # What was created and not started is listed; nothing runs.
        assert eventually(lambda: not engine("ps", "-q").ok().out), delay
    engine("rm", "-fa").ok()
    engine("system", "check", "--repair")


def test_on_a_terminal(engine):
    t = Terminal(engine.argv("run", "--rm", "-it", "--name", "t", IMAGE, "sh"), engine.env, rows=31, cols=97)
    t.type("tty\n")
    t.expect("/dev/pts/0")
    t.type("exit 5\n")
    assert t.wait() == 5
    assert engine.ids() == []


def test_the_terminal_s_size_follows(engine):
    script = "trap 'echo changed' WINCH; echo ready; while :; do sleep 0.1; done"
    t = Terminal(engine.argv("run", "--rm", "-it", "--name", "t", IMAGE, "sh", "-c", script), engine.env)
    t.expect("ready")
    t.resize(40, 100)
    os.kill(t.pid, signal.SIGWINCH)
    t.expect("changed")
    engine("rm", "-f", "t").ok()
    assert t.wait() == 137


def test_detach_and_attach(engine):
    t = Terminal(engine.argv("run", "-it", "--name", "t", IMAGE, "sh"), engine.env)
    t.type("echo a$((1+1))\n")
    t.expect("a2")
    t.type("\x10\x11")
    assert t.wait() == 0
    assert engine.state("t")[0] == "running"
    t = Terminal(engine.argv("attach", "--detach-keys", "ctrl-x", "t"), engine.env)
    t.type("echo b$((1+1))\n")
    t.expect("b2")
    t.type("\x10\x11echo c$((1+1))\n")  # not the keys now
    t.expect("c2")
    t.type("\x18")
    assert t.wait() == 0
    t = Terminal(engine.argv("attach", "t"), engine.env)
    t.type("exit 4\n")
    assert t.wait() == 4
    engine("rm", "t").ok()


def test_a_detached_one_removes_itself(engine):
    t = Terminal(engine.argv("run", "--rm", "-it", "--name", "t", IMAGE, "sh"), engine.env)
    t.type("echo a$((1+1))\n")
    t.expect("a2")
    t.type("\x10\x11")
    assert t.wait() == 0
    assert engine.state("t")[0] == "running"
    engine("stop", "-t", "0", "t").ok()
    assert eventually(lambda: not engine.ids())


def test_attach_sees_the_end(engine):
    engine.up("sh", "-c", "sleep 0.7; echo late; exit 3", flags=("--name", "t"))
    done = engine("attach", "t")
    assert (done.out, done.code) == ("late\n", 3)
    engine("attach", "t").failed("not running")
    engine("rm", "t").ok()


def test_start_attached(engine):
    engine("create", "-i", "--name", "t", IMAGE, "sh", "-c", "cat; exit 3").ok()
    for _ in range(2):
        done = engine("start", "-ai", "t", input="hello\n")
        assert (done.out, done.code) == ("hello\n", 3)
    engine("rm", "t").ok()


# ---- exec ----


@pytest.mark.fast
def test_exec(engine):
    engine.up("sleep", "100", flags=("--name", "t", "-e", "A=1", "-w", "/home"))
    assert engine("exec", "t", "sh", "-c", "echo $A; pwd; id -u; exit 9", ).out == "1\n/home\n0\n"
    assert engine("exec", "t", "sh", "-c", "exit 9").code == 9
    assert engine("exec", "-e", "A=2", "-w", "/tmp", "-u", "web", "t", "sh", "-c", "echo $A; pwd; id -u").out == (
        "2\n/tmp\n1000\n")
    assert engine("exec", "-i", "t", "cat", input="in\n").ok().out == "in\n"
    assert engine("exec", "t", "cat", input="in\n").ok().out == ""
    assert engine("exec", "-d", "t", "sh", "-c", "touch /there").ok().out == ""
    assert eventually(lambda: engine("exec", "t", "test", "-e", "/there").code == 0)
    assert engine("exec", "t", "/etc/passwd").code == 126
    kit.children_reap()  # what was detached is ours: until it is reaped, init's end waits for it
    engine("rm", "-f", "t").ok()


def test_exec_on_a_terminal(engine):
    engine.up("sleep", "100", flags=("--name", "t"))
    t = Terminal(engine.argv("exec", "-it", "t", "sh"), engine.env)
    t.type("tty; exit 7\n")
    t.expect("/dev/pts/0")
    assert t.wait() == 7
    engine("rm", "-f", "t").ok()


# ---- logs ----


def test_logs_tail_times_and_streams(engine):
    engine.run("--name", "t", IMAGE, "sh", "-c", "seq 1 20; echo err >&2").ok()
    assert engine("logs", "--tail", "3", "t").ok().out.split()[-2:] == ["19", "20"]
    assert engine("logs", "--tail", "0", "t").ok().out == ""
    stamped = engine("logs", "-t", "t").ok().out.splitlines()
    assert len(stamped) == 20 and all(re.match(r"\d{4}-\d\d-\d\dT\S+ \d+$", line) for line in stamped), stamped
    assert engine("logs", "--since", "1h", "t").ok().out.split() == [str(n) for n in range(1, 21)]
    assert engine("logs", "--until", "1h", "t").ok().out == ""
    assert engine("logs", "--names", "t").ok().out.startswith("t 1\n")
    engine("logs", "--since", "yesterday-ish", "t").failed("no time")
    engine("rm", "t").ok()


def test_logs_of_several(engine):
    ids = [engine.run("--name", n, IMAGE, "sh", "-c", f"echo {n}1; echo {n}2 >&2; printf {n}3").ok() and
           engine.json("inspect", n)[0]["Id"] for n in ("a", "b")]
    a, b = (id[:12] for id in ids)
    shown = engine("logs", "a", "b").ok()
    assert shown.out == f"{a} a1\n{a} a3\n{b} b1\n{b} b3\n" and shown.err == f"{a} a2\n{b} b2\n"
    assert engine("logs", "--names", "a", "b").ok().err == "a a2\nb b2\n"
    assert engine("logs", "--names", "--color", "a", "b").ok().err == "\x1b[37ma a2\x1b[0m\n\x1b[31mb b2\x1b[0m\n"
    assert re.fullmatch(r"\x1b\[37m\d{4}-\S+ a2\x1b\[0m\n", engine("logs", "--color", "-t", "a").ok().err)
    assert engine("logs", "-f", "--names", "a", "b").ok().err == "a a2\nb b2\n"
    engine("rm", "a", "b").ok()


def test_following_several(engine):
    """What comes is shown when it comes, whole lines only, until the last has ended."""
    script = "read x; echo begun; printf 'half '; read x; echo line; read x"
    ends = []
    for name in ("a", "b"):
        engine("create", "-i", "--name", name, IMAGE, "sh", "-c", script).ok()
        ends.append(engine.popen("start", "-ai", name, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL))
        engine.becomes(name, "running")
    out = engine.base / "shown"
    with open(out, "wb") as to:
        follower = engine.popen("logs", "-f", "--names", "a", "b", stdout=to)

    def say(end):
        end.stdin.write(b"\n")
        end.stdin.flush()

    wanted = []
    for end, line in ((1, "b begun"), (0, "a begun"), (0, "a half line"), (1, "b half line")):
        say(ends[end])
        wanted.append(line)
        assert eventually(lambda: out.read_text().splitlines() == wanted, 10), (out.read_text(), wanted)
    say(ends[0])
    assert ends[0].wait(10) == 0 and follower.poll() is None
    say(ends[1])
    assert ends[1].wait(10) == 0 and follower.wait(10) == 0
    assert out.read_text().splitlines() == wanted
    out.unlink()
    engine("rm", "a", "b").ok()


@pytest.mark.parametrize("driver", ["k8s-file", "json-file"])
def test_following_ends_with_the_container(engine, driver):
    flags = ("--log-driver", driver, "--log-opt", "max-size=20k", "--log-opt", "max-file=2", "--name", "t")
    engine.up("sh", "-c", "for i in $(seq 1 3000); do echo line $i; done; sleep 0.5; echo end", flags=flags)
    shown = engine("logs", "-f", "t", timeout=30).ok().out.splitlines()
    assert shown[-1] == "end"
    numbers = [int(line.split()[1]) for line in shown[:-1] if line.startswith("line ")]
    assert numbers == list(range(numbers[0], 3001)), "lines are lost between rotations"
    engine("rm", "t").ok()


def test_no_log(engine):
    engine.run("--name", "t", "--log-driver", "none", IMAGE, "echo", "hi").ok()
    engine("logs", "t").failed("keeps nothing")
    engine("rm", "t").ok()


# ---- evidence ----


def test_evidence_outlives_the_cgroup(engine):
    engine.run("--name", "t", IMAGE, "sh", "-c", "dd if=/dev/zero of=/dev/null bs=1M count=200 2>/dev/null; exit 3")
    id = engine.ids()[0]
    assert processes_of(id) == []
    record = engine.exits(id)[-1]
    assert record["exitCode"] == 3 and not record["oomKilled"] and record["last"], record
    engine("rm", "t").ok()


@pytest.mark.needs("controller:memory")
def test_memory_runs_out(engine):
    hog = "x=a; while :; do x=$x$x$x$x; done"
    done = engine.run("--name", "t", "-m", "16m", "--memory-swap", "16m", IMAGE, "sh", "-c", f"exec sh -c '{hog}'",
                      timeout=60)
    assert done.code == 137, done
    id = engine.ids()[0]
    record = engine.exits(id)[-1]
    assert record["oomKilled"] and any("oom" in line.lower() for line in record["kernelLog"]), record
    assert "oom" in engine.actions(id)
    assert json.loads(engine("inspect", "t").ok().out)[0]["State"]["OOMKilled"] is True
    engine("rm", "t").ok()


@pytest.mark.needs("controller:memory")
def test_a_child_s_want_of_memory_is_not_init_s(engine):
    hog = "x=a; while :; do x=$x$x$x$x; done"
    done = engine.run("--name", "t", "-m", "16m", "--memory-swap", "16m", IMAGE, "sh", "-c",
                      f"sh -c '{hog}'; exit 3", timeout=60)
    assert done.code == 3, done
    assert not engine.exits(engine.ids()[0])[-1]["oomKilled"]
    engine("rm", "t").ok()


# ---- images that containers use ----


def test_an_image_in_use_stays(engines):
    engine = engines()
    engine.up("sh", "-c", "while :; do sleep 0.1; done", flags=("--name", "t"))
    engine("rmi", IMAGE).failed("container")
    engine("image", "prune", "-af").ok()
    engine("system", "prune", "-af").ok()
    assert engine("exec", "t", "true").ok()
    engine("rmi", "-f", IMAGE)
    assert engine("exec", "t", "ls", "/bin/busybox").ok()
    engine("stop", "-t", "0", "t").ok()
    if engine.state("t"):  # the layers last as long as the container
        engine("image", "prune", "-af").ok()
        assert engine("start", "t").ok()
        assert engine("exec", "t", "ls", "/bin/busybox").ok()
    engine("rm", "-f", "t").ok()
    engine("system", "prune", "-af").ok()
    assert engine.layers() == []
    engine.check()


def test_sweeping_spares_what_lasts(engine):
    engine("create", "--name", "new", IMAGE, "true").ok()
    engine.up("sleep", "100", flags=("--name", "up"))
    engine("system", "check", "--repair").ok()
    engine("image", "prune", "-f").ok()
    assert engine.state("new")[0] == "created" and engine.state("up")[0] == "running"
    assert engine("start", "-a", "new").ok()
    engine("rm", "-fa").ok()


def test_kit_is_used(engine):
    """The children of the session are watched; a monitor is one while its container lives."""
    id = engine.up("sleep", "100")
    assert engine.monitor_state(id)["monitor"] in kit.children()
    engine("rm", "-f", id).ok()


# ---- what changes while it runs ----


def test_signals_reach_later_lives(engine):
    script = "trap 'echo usr1' USR1; trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    process = engine.popen("run", "--restart", "always", "--name", "m", IMAGE, "sh", "-c", script,
                           stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    os.kill(engine.json("ps", "--format", "json")[0]["Pid"], signal.SIGKILL)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGUSR1)
    assert process.stdout.readline() == b"usr1\n"
    process.send_signal(signal.SIGTERM)  # its stop signal: whoever sends it does not want it back
    assert process.wait(15) == 5
    process.stdout.close()
    assert engine.state("m") == ("exited", 5)
    engine("rm", "m").ok()


def test_a_signal_between_two_lives_ends_it(engine):
    process = engine.popen("run", "--restart", "always", "--name", "m", IMAGE, "sh", "-c", "exit 7")
    # By now the next life is seconds away.
    assert eventually(lambda: len(engine.ids()) and engine.actions(engine.ids()[0]).count("die") >= 5, 120)
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 7
    assert engine.state("m") == ("exited", 7)
    engine("rm", "m").ok()


def test_update_restart_of_one_that_runs(engine):
    id = engine.up("sh", "-c", "sleep 1000", flags=("--name", "m"))

    def end_it():
        os.kill(engine.monitor_state(id)["pid"], signal.SIGKILL)

    engine("update", "--restart", "always", "m").ok()
    end_it()
    assert eventually(lambda: engine.actions(id).count("start") == 2)
    engine.becomes("m", "running")
    engine("update", "--restart", "no", "m").ok()
    end_it()
    engine.becomes("m", "exited")
    assert engine.actions(id).count("start") == 2
    engine("rm", "m").ok()


def test_update_restart_no_ends_the_wait_for_the_next_life(engine):
    id = engine.up("sh", "-c", "exit 7", flags=("--name", "m", "--restart", "always"))
    assert eventually(lambda: engine.actions(id).count("die") >= 6, 30)  # 3.2 seconds to the next
    engine("update", "--restart", "no", "m").ok()
    engine.becomes("m", "exited", 2)
    engine("rm", "m").ok()


def test_rename_of_one_that_runs(engine):
    id = engine.up("sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.05; done", flags=("--name", "old"))
    engine("rename", "old", "new").ok()
    engine("stop", "new").ok()
    died = [e for e in engine.events() if e["id"] == id and e["action"] == "die"]
    assert [e["name"] for e in died] == ["new"]
    assert engine.exits(id)[-1]["name"] == "new"
    engine("start", "new").ok()
    assert [e["name"] for e in engine.events() if e["id"] == id][-1] == "new"
    engine("rm", "-f", "new").ok()


def test_latest_of_none(engine):
    for command in ("attach", "logs", "stop", "rm"):
        result = engine(command, "-l")
        assert result.code and "there is no container" in result.err, result


@pytest.mark.parametrize("rm", [(), ("--rm",)])
@pytest.mark.parametrize("command, code", [("/nothing", 127), ("/etc", 126)])
def test_what_can_t_be_executed(engine, command, code, rm):
    """docker leaves the container, created, unless it removes itself."""
    result = engine.run("-d", "--name", "m", *rm, IMAGE, command)
    assert result.code == code and command in result.err and not result.out, result
    assert engine.state("m") == (None if rm else ("created", code)), engine.state("m")
    engine("rm", "-f", "m").ok()


def test_rm_of_a_foreground_run_is_done_by_the_monitor_where_the_command_dies(engine):
    """Killed when it was told of the end, before it removed anything."""
    process = engine.popen("run", "--rm", "--name", "m", IMAGE, "sh", "-c", "echo ready; sleep 1000",
                           stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGSTOP)
    id = engine.ids()[0]
    os.kill(engine.monitor_state(id)["pid"], signal.SIGKILL)
    assert eventually(lambda: "die" in engine.actions(id))
    kit.kill_and_wait(process)
    process.stdout.close()
    assert eventually(lambda: not engine.ids(), 15)


def test_passthrough(engine, tmp_path):
    done = engine.run("--rm", "--log-driver", "passthrough", IMAGE, "sh", "-c", "cat; echo err >&2; exit 4", input="in\n")
    assert (done.code, done.out, done.err) == (4, "in\n", "err\n")
    with open(tmp_path / "out", "w") as out:  # as a unit of systemd does it: whoever started it goes
        engine.popen("run", "-d", "--name", "p", "--log-driver", "passthrough", IMAGE, "sh", "-c",
                     "echo one; sleep 0.2; echo two", stdout=out).wait(30)
    engine("wait", "p").ok()
    said = (tmp_path / "out").read_text().split()
    said.remove(engine.ids()[0])  # whichever of both was quicker
    assert said == ["one", "two"]
    engine("logs", "p").failed("keeps nothing")
    engine("rm", "p").ok()
    engine.run("-t", "--log-driver", "passthrough", IMAGE, "true").failed("--tty", code=125)
    assert engine.ids() == []


def test_journald_where_there_is_none(engine):
    if os.path.exists("/run/systemd/journal/socket"):
        pytest.skip("needs a machine without systemd's journal")
    engine.run("--rm", "--log-driver", "journald", IMAGE, "true").failed("cannot reach systemd's journal")
    engine.run("--rm", "--log-opt", "tag={{.Nosuch}}", IMAGE, "true").failed("{{.Nosuch}}")
    assert engine.ids() == []


def test_detached_exec_is_collected(engine):
    """Nobody collects orphans here meanwhile; the container must be able to end all the same."""
    engine.up("sleep", "1000", flags=("--name", "web"))
    assert engine("exec", "-d", "web", "sh", "-c", "echo never seen").ok().out == ""
    assert engine("exec", "-d", "web", "/no/such").code == 127
    engine("rm", "-f", "web", timeout=30).ok()
