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


ASKED = ["-v", "/usr:/u:ro", "--tmpfs", "/t:size=1m", "-m", "64m", "--cpus", "0.5", "--ulimit", "nofile=100:200",
         "--cap-add", "NET_ADMIN", "--cap-drop", "chown", "--device", "/dev/zero", "--add-host", "a:192.0.2.4",
         "--security-opt", "no-new-privileges", "--group-add", "7", "--shm-size", "32m",
         "--cpuset-cpus", "0", "--pids-limit", "50", "--oom-score-adj", "5", "--restart", "on-failure:3"]
SAME_HOST = ["Tmpfs", "CapAdd", "CapDrop", "Dns", "DnsOptions", "DnsSearch", "ExtraHosts", "GroupAdd", "OomScoreAdj",
             "PidMode", "Privileged", "PublishAllPorts", "ReadonlyRootfs", "SecurityOpt", "UTSMode", "ShmSize", "Memory",
             "NanoCpus", "CpuPeriod", "CpuQuota", "CpusetCpus", "CpusetMems", "MemoryReservation", "MemorySwap",
             "MemorySwappiness", "OomKillDisable", "PidsLimit", "RestartPolicy", "NetworkMode", "AutoRemove",
             "CpuShares", "BlkioWeight", "VolumeDriver", "ContainerIDFile", "PortBindings"]


def test_host_config_as_podman(engine, podman, tmp_path):
    """What was asked for, by docker's names and as podman shows it."""
    found = []
    for call, name in ((engine, "ours"), (podman, "theirs")):
        done = call("create", "--name", name, "--network", "none", "--cidfile", tmp_path / "cid", *ASKED, IMAGE, "true")
        assert (done.code if call is engine else done.returncode) == 0, done
        done = call("inspect", name)
        found.append(json.loads(done.out if call is engine else done.stdout)[0]["HostConfig"])
        call("rm", name)
        (tmp_path / "cid").unlink()
    found[1]["Tmpfs"]["/t"] = found[1]["Tmpfs"]["/t"].split(",")[0]  # podman's own options follow
    assert {k: found[0][k] for k in SAME_HOST} == {k: found[1][k] for k in SAME_HOST}
    assert found[0]["Ulimits"] == [{"Name": "nofile", "Soft": 100, "Hard": 200}]
    assert found[0]["Devices"] == [{"PathOnHost": "/dev/zero", "PathInContainer": "/dev/zero",
                                    "CgroupPermissions": "rwm"}]
    assert found[0]["Binds"] == ["/usr:/u:ro"]


def test_host_config(engine):
    engine.up("sleep", "100", flags=("--name", "web"))
    engine("create", "--name", "x", "--pid", "container:web", "--ipc", "host", "--privileged", "--sysctl",
           "net.ipv4.ip_forward=1", "--annotation", "k=v=w", "--init", IMAGE).ok()
    found = engine.json("inspect", "x")[0]["HostConfig"]
    web = engine("inspect", "-f", "{{.Id}}", "web").ok().out.strip()
    assert (found["PidMode"], found["IpcMode"], found["UTSMode"]) == (f"container:{web}", "host", "private")
    assert found["Privileged"] is True and found["Init"] is True
    assert found["Sysctls"] == {"net.ipv4.ip_forward": "1"} and found["Annotations"] == {"k": "v=w"}
    engine("rm", "-f", "x", "web").ok()


def test_look_by_name(engine):
    id = engine.up("sleep", "1000", flags=["--name", "web"])
    page = json.loads(engine("look", "--json", "--sample", "0", "web").ok().out)
    assert page["owner"]["id"] == id and page["owner"]["name"] == "web", page["owner"]
    assert page["owner"]["image"] == IMAGE
    assert engine("look", "--sample", "0", id[:12]).ok().out.startswith("web ")
    engine("rm", "-f", "web").ok()
    assert "no container 'web'" in engine("look", "--sample", "0", "web").err
