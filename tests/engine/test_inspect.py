"""What is told of containers: inspect (podman beside it), update, exists, prune, healthcheck, generate systemd."""

import json

import pytest
from enginekit import IMAGE, eventually

FLAGS = ["--name", "web", "--memory", "64m", "--cpus", "0.5", "--label", "a=b", "--restart", "on-failure:3",
         "--user", "1000", "--workdir", "/tmp", "--stop-signal", "INT", "--stop-timeout", "3", "--cap-drop", "CHOWN"]
SAME = ["Path", "Args", "Name", "RestartCount", "State.Status", "State.Running", "State.Paused", "State.Dead",
        "State.ExitCode", "State.OOMKilled", "Config.User", "Config.WorkingDir", "Config.Cmd",
        "Config.Tty", "Config.OpenStdin", "Config.StopTimeout", "HostConfig.RestartPolicy.Name",
        "HostConfig.RestartPolicy.MaximumRetryCount", "HostConfig.Memory", "HostConfig.NanoCpus",
        "HostConfig.AutoRemove", "HostConfig.ReadonlyRootfs", "HostConfig.Privileged"]


def at(found, path):
    for name in path.split("."):
        found = found[name]
    return found


@pytest.mark.fast
def test_inspect_as_podman(engine, podman):
    engine("create", *FLAGS, IMAGE, "sleep", "100").ok()
    done = podman("create", *FLAGS, IMAGE, "sleep", "100")
    assert done.returncode == 0, done.stderr
    try:
        (ours,), (theirs,) = engine.json("inspect", "web"), json.loads(podman("inspect", "web").stdout)
        differ = {p: (at(ours, p), at(theirs, p)) for p in SAME if at(ours, p) != at(theirs, p)}
        assert not differ
        assert ours["Config"]["Labels"]["a"] == theirs["Config"]["Labels"]["a"] == "b"
        assert ours["Config"]["StopSignal"] == "SIGINT"
    finally:
        podman("rm", "-f", "web")
        engine("rm", "-f", "web").ok()


def test_evidence_of_the_last_five(engine):
    engine("create", "--name", "web", IMAGE, "sh", "-c", "exit 7").ok()
    for _ in range(6):
        engine("start", "web").ok()
        engine("wait", "web").ok()
    (found,) = engine.json("container", "inspect", "web")
    assert found["State"]["ExitCode"] == 7 and found["State"]["Pid"] == 0
    assert [x["number"] for x in found["Berth"]["Exits"]] == [2, 3, 4, 5, 6]
    assert {x["exitCode"] for x in found["Berth"]["Exits"]} == {7}
    engine("rm", "web").ok()


def test_names(engine):
    assert engine("container", "exists", "web").code == 1
    engine("create", "--name", "web", IMAGE).ok()
    assert engine("container", "exists", "web").code == 0
    assert engine("inspect", "--format", "{{.State.Status}}", "web", "-l").code != 0
    assert engine("inspect", "-l", "--format", "{{.State.Status}} {{.Name}}").ok().out == "created web\n"
    found = engine("inspect", "web", "nobody")
    assert found.code == 1 and "nobody" in found.err and json.loads(found.out)[0]["Name"] == "web"
    assert engine.json("inspect", IMAGE)[0]["RepoTags"] == [IMAGE]
    assert engine("inspect", "--type", "container", IMAGE).code == 1
    engine("rm", "web").ok()


def test_update_holds_and_lasts(engine):
    engine.up("sleep", "100", flags=("--name", "web", "--memory", "64m"))
    engine("update", "--memory", "80m", "--pids-limit", "50", "--restart", "always", "web").ok()
    found = engine("stats", "--no-stream", "--format", "{{.MemUsage}}", "web").ok().out
    assert found.endswith("/ 80MiB\n"), found
    engine("stop", "-t", "0", "web").ok()
    engine("start", "web").ok()
    (found,) = engine.json("inspect", "web")
    assert found["HostConfig"]["Memory"] == 80 << 20 and found["HostConfig"]["PidsLimit"] == 50
    assert found["HostConfig"]["RestartPolicy"]["Name"] == "always"
    found = engine("stats", "--no-stream", "--format", "{{.MemUsage}}", "web").ok().out
    assert found.endswith("/ 80MiB\n"), found
    assert engine("update", "web").code == 2
    engine("rm", "-f", "web").ok()


def test_prune(engine):
    engine.up("sleep", "100", flags=("--name", "up"))
    kept = engine("create", "--label", "keep=1", IMAGE).ok().out
    gone = engine("create", IMAGE).ok().out
    assert engine("container", "prune", "-f", "--filter", "label!=keep").ok().out == gone
    assert engine("container", "prune", "-f", "--filter", "until=1h").ok().out == ""
    assert engine("container", "prune", "-f", "--filter", "what=1h").code == 2
    assert engine("container", "prune", "-f").ok().out == kept
    engine("rm", "-f", "up").ok()


def test_healthcheck_run(engine):
    engine.up("sleep", "100", flags=("--name", "web", "--health-cmd", "test -e /tmp/good", "--health-interval", "1h"))
    found = engine("healthcheck", "run", "web")
    assert (found.code, found.out) == (1, "unhealthy\n")
    engine("exec", "web", "touch", "/tmp/good").ok()
    assert engine("healthcheck", "run", "web").ok().out == ""
    assert eventually(lambda: engine.json("inspect", "web")[0]["State"]["Health"]["Status"] == "healthy", 5)
    engine("rm", "-f", "web").ok()
    engine.up("sleep", "100", flags=("--name", "none"))
    assert "no health check" in engine("healthcheck", "run", "none").err
    engine("rm", "-f", "none").ok()


def test_unit(engine):
    engine("create", "--name", "web", IMAGE, "sleep", "100").ok()
    unit = engine("generate", "systemd", "--name", "-t", "5", "web").ok().out
    assert "start --attach web\n" in unit and "stop --time 5 web\n" in unit and "Restart=on-failure\n" in unit
    assert "not supported" in engine("generate", "systemd", "--new", "web").err
    assert engine("generate", "systemd", "--restart-policy", "perhaps", "web").code == 2
    engine("rm", "web").ok()


@pytest.mark.fast
def test_version_and_info(engine):
    assert engine.json("version", "--format", "json")["Client"]["Os"] == "linux"
    info = engine.json("info", "--format", "json")
    assert info["store"]["imageStore"]["number"] >= 1 and info["store"]["graphRoot"] == str(engine.root)
    assert engine("system", "info", "--format", "{{.host.os}}").ok().out == "linux\n"
