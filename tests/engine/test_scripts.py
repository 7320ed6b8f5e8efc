"""What scripts written for docker and podman ask for, as they ask for it.

Templates and filters as they stand in people's scripts, each with what it has to give (a regular
expression for the whole output) or None where scripts count on a failure. What podman has too (BOTH) is asked of
podman as well, so that the table stays honest.
"""

import re
import subprocess

import kit
import pytest
from enginekit import IMAGE

ID, HEX = r"[0-9a-f]{64}", r"[0-9a-f]{12}"
LABEL = "com.docker.compose.project"

# (command line, what it prints); "web" has a label, a volume, a bind and a health check; "plain" has nothing.
BOTH = [
    (("inspect", "-f", "{{.State.Running}}", "web"), "true"),
    (("inspect", "web", "--format={{.State.Status}}"), "running"),
    (("container", "inspect", "-f", "{{.State.Status}}", "web"), "running"),
    (("inspect", "-f", "{{.ID}} {{.Id}}", "web"), f"{ID} {ID}"),
    (("inspect", "-f", '{{index .Config.Labels "%s"}}' % LABEL, "web"), "p"),
    (("inspect", "-f", '{{index .Config.Labels "missing"}}', "web"), ""),
    (("inspect", "-f", '{{if index .Config.Labels "missing"}}yes{{else}}no{{end}}', "web"), "no"),
    (("inspect", "-f", '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}}{{"\\n"}}{{end}}{{end}}', "web"), "data"),
    (("inspect", "-f", "{{range .Mounts}}{{.Destination}} {{.RW}};{{end}}", "web"), "/data true;/h false;"),
    (("inspect", "-f", "{{range $k,$v := .Config.Labels}}{{$k}}={{$v}};{{end}}", "web"), f"{LABEL}=p;"),
    (("inspect", "-f", "{{range .Config.Env}}{{println .}}{{end}}", "web"), r"(?s).*^A=1$.*"),
    (("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web"), ""),
    (("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.EndpointID}}{{end}}", "web"), ""),
    (("inspect", "-f", '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', "web"), None),
    (("inspect", "-f", "{{range $p, $c := .NetworkSettings.Ports}}{{$p}}{{(index $c 0).HostPort}}{{end}}", "web"), ""),
    (("inspect", "-f", "{{.RestartCount}} {{.HostConfig.RestartPolicy.Name}}", "web"), r"0( no)?"),
    (("inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.Privileged}}", "web"), "33554432 false"),
    (("inspect", "-f", "{{json .Config.Cmd}} {{.Path}} {{.Args}}", "web"), r'\["sleep","1000"\] sleep \[1000\]'),
    (("inspect", "-f", "{{slice .ID 0 12}} {{printf \"%.12s\" .ID}} {{len .Mounts}}", "web"), f"{HEX} {HEX} 2"),
    (("inspect", "-f", "{{.State.Pid}}", "web"), r"\d+"),
    (("inspect", "-f", "{{.GraphDriver.Name}}", "web"), r"overlay|vfs"),
    (("inspect", "-f", "{{.ResolvConfPath}} {{.HostnamePath}} {{.HostsPath}}", "web"), r"(\S* )?\S*/hostname \S*/hosts"),
    (("inspect", "-f", "{{.AppArmorProfile}}{{.ProcessLabel}}", "web"), ""),
    (("inspect", "--size", "-f", "{{.SizeRootFs}} {{.SizeRw}}", "web"), r"\d+ \d+"),
    (("inspect", "-f", "{{.Mountpoint}}", "data"), r"/.*/data/_data"),
    (("inspect", "--type", "volume", "-f", "{{.Name}}", "data"), "data"),
    (("inspect", "--type", "volume", "web"), None),
    (("inspect", "-f", "{{.Config.Entrypoint}} {{.Config.Volumes}} {{.Config.Cmd}}", IMAGE), r"\[\] map\[\] \[sh\]"),
    (("image", "inspect", "--format", "{{.Id}} {{.Architecture}}/{{.Os}}", IMAGE), f"(sha256:)?{ID} amd64/linux"),
    (("inspect", "-f", "{{.NoSuchThing}}", "web"), None),
    (("inspect", "-f", "{{.NoSuchThing.At.All}}", "web"), None),
    (("inspect", "-f", "{{.Id}}", "nosuch"), None),
    (("ps", "--format", "{{.Names}}"), "(plain\nweb|web\nplain)"),
    (("ps", "--format", "table {{.Names}}\\t{{.Image}}", "-f", "name=web"), rf"NAMES +IMAGE *\nweb +{IMAGE}\s*"),
    (("ps", "-aqf", "name=we*"), HEX),
    (("ps", "-aqf", "name=^web$"), HEX),
    (("ps", "-aq", "--no-trunc", "-f", f"ancestor={IMAGE}"), f"{ID}\n{ID}"),
    (("ps", "-q", "--filter", "status=exited"), ""),
    (("ps", "-q", "--filter", "volume=data"), HEX),
    (("ps", "-q", "--filter", f"label={LABEL}=p", "--filter", "status=running"), HEX),
    (("images", "-q", "bb:1"), HEX),
    (("images", "-q", "bb"), HEX),
    (("images", "-q", "nosuch:1"), ""),
    (("info", "--format", "{{.Host.CgroupsVersion}} {{.Host.Arch}} {{.Host.OS}}"), "v[12] amd64 linux"),
    (("info", "--format", "{{.Store.GraphRoot}} {{.Store.ContainerStore.Running}}"), r"/\S+ 2"),
    (("info", "--format", "{{.Host.Security.Rootless}} {{.Host.OCIRuntime.Name}}"), r"false [\w-]+"),
    (("info", "--format", "{{.Version.Version}}"), r"\d+\.\d+\.\d+"),
    (("version", "--format", "{{.Client.Version}}"), r"\d+\.\d+\.\d+"),
    (("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "web"), r"web 1"),
    (("volume", "ls", "-qf", "name=dat"), "data"),
    (("volume", "inspect", "--format", "{{.Driver}}", "data"), "local"),
]

# docker's alone, or what podman 4.3 prints otherwise.
DOCKER = [
    (("image", "inspect", "-f", "{{index .RepoTags 0}}", IMAGE), IMAGE),
    (("ps", "-a", "--format", "{{.Names}}|{{.Image}}|{{.State}}", "--filter", "name=web"), rf"web\|{IMAGE}\|running"),
    (("ps", "--format", '{{.Label "%s"}}' % LABEL, "-f", "name=web"), "p"),
    (("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}", "bb"), f"{IMAGE} {HEX}"),
    (("inspect", "-f", "{{.State.Health.Status}}", "plain"), None),
    (("inspect", "-f", "{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}", "plain"), "running"),
    (("inspect", "-f", "{{.NetworkSettings.Networks.lab.IPAddress}}", "web"), None),
    (("inspect", "-f", "{{.Name}}", "/web"), "web"),
    (("inspect", "-f", "{{.Platform}}", "web"), "linux"),
    (("ps", "-q", "--filter", "is-task=false", "--filter", "name=^/web$"), HEX),
    (("ps", "-q", "--filter", "publish=80"), ""),
    (("ps", "-q", "--filter", "status=removing"), ""),
    (("version", "--format", "{{.Server.Version}} {{.Server.Os}}/{{.Server.Arch}}"), r"\d+\.\d+\.\d+ linux/amd64"),
    (("info", "--format", "{{.ServerVersion}} {{.OSType}}/{{.Architecture}}"), r"\d+\.\d+\.\d+ linux/x86_64"),
    (("info", "--format", "{{.Driver}} {{.CgroupDriver}} {{.CgroupVersion}}"), r"(directory|erofs|\w+) \w+ [12]"),
    (("info", "-f", "{{.DockerRootDir}} {{.LoggingDriver}} {{.DefaultRuntime}}"), r"/\S+ k8s-file berth-oci"),
    (("info", "-f", "{{.Containers}} {{.ContainersRunning}} {{.ContainersStopped}} {{.Images}} {{.NCPU}}"), r"2 2 0 1 \d+"),
    (("info", "-f", "{{(.Swarm.LocalNodeState)}} {{.Swarm.ControlAvailable}}"), "inactive false"),
    (("info", "-f", "{{json .Runtimes}} {{.SecurityOptions}} {{json .Plugins.Volume}}"), r'\{"berth-oci".* \[.*seccomp.*\] \["local"\]'),
    (("volume", "ls", "--format", '{{.Name}} {{.Label "x"}} {{.Links}}'), r"data +N/A"),
    (("logs", "-n", "1", "--details", "web"), ""),
    (("--log-level", "error", "ps", "-q", "-f", "name=web"), HEX),
    (("-l", "warning", "ps", "-q", "-f", "name=web"), HEX),
]


@pytest.fixture
def sides(engine, podman, tmp_path):
    (tmp_path / "h").mkdir()
    both = [(engine.argv, engine.env), (podman.argv, podman.env)]
    flags = ["--label", f"{LABEL}=p", "-v", "data:/data", "-v", f"{tmp_path}/h:/h:ro", "-e", "A=1", "-m", "32m",
             "--health-cmd", "true", "--health-interval", "1h"]
    for argv, env in both:
        for name, more in (("web", flags), ("plain", [])):
            subprocess.run(argv("run", "-d", "--name", name, "--network", "none", *more, IMAGE, "sleep", "1000"),
                           env=env, check=True, stdout=subprocess.DEVNULL)
    yield both
    for argv, env in both:
        subprocess.run(argv("rm", "-fa", "-t", "0"), env=env, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(argv("volume", "rm", "-a"), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kit.children_reap()


def wrong(side, idioms):
    argv, env = side
    for args, want in idioms:
        done = subprocess.run(argv(*args), env=env, capture_output=True, text=True, timeout=60)
        if want is None:
            if done.returncode == 0:
                yield f"{args}: succeeds with {done.stdout!r}"
        elif done.returncode != 0 or not re.fullmatch(want, done.stdout.strip(), re.M):
            yield f"{args}: {done.returncode} {done.stdout!r} {done.stderr!r}, not {want!r}"


def test_idioms(sides):
    found = [*wrong(sides[0], BOTH), *wrong(sides[0], DOCKER)]
    assert not found, "\n".join(found)
    found = list(wrong(sides[1], BOTH))
    assert not found, "of podman:\n" + "\n".join(found)


# ---- files and flags as people write them ----


def test_files_written_by_hand(engine, tmp_path):
    """A byte order mark, Windows line ends, comments and blanks before a name: as docker reads them."""
    path = tmp_path / "vars"
    path.write_bytes(b"\xef\xbb\xbfA=1\r\n# no\r\n\r\n  B= x \r\nC=\r\nQ=\"q\"\n=x\n"[:-3])
    out = engine.sh("env", "--env-file", path).ok().out.splitlines()
    assert {"A=1", "B= x ", "C=", 'Q="q"'} <= set(out), out
    engine("create", "--name", "labelled", "--label-file", path, IMAGE).ok()
    assert engine.json("inspect", "labelled")[0]["Config"]["Labels"] == {"A": "1", "B": " x ", "C": "", "Q": '"q"'}
    engine("rm", "labelled").ok()
    path.write_text("export A=1\n")
    refused = engine.sh("env", "--env-file", path).failed("export A=1", code=125)
    assert "no `export`" in refused.err


def test_relative_binds(engine, tmp_path):
    (tmp_path / "here/sub").mkdir(parents=True)
    (tmp_path / "file").write_text("up\n")
    (tmp_path / "here/sub/file").write_text("down\n")
    flags = ["-v", ".:/h", "-v", "./sub:/s", "-v", "..:/u", "-v", "../file:/f", "--mount", "type=bind,src=./sub,dst=/m"]
    script = "cat /s/file /u/file /f /m/file /h/sub/file"
    out = subprocess.run(engine.argv("run", "--rm", *flags, IMAGE, "sh", "-c", script), env=engine.env,
                         cwd=tmp_path / "here", capture_output=True, text=True)
    assert (out.returncode, out.stdout) == (0, "down\nup\nup\ndown\ndown\n"), out
    missing = engine.sh("true", "-v", "/no/such:/x").failed("no such file", code=125)
    assert "mkdir -p /no/such" in missing.err
    # Two dots that begin a name are no way up.
    engine.sh("true", "-v", "..data:/x").failed("..data", code=125)


def test_a_paused_container_is_not_started(engine):
    engine.up("sleep", "100", flags=("--name", "box"))
    engine("pause", "box").ok()
    refused = engine("start", "box").failed("is paused", code=1)
    assert "berth unpause box" in refused.err
    engine("unpause", "box").ok()
    assert engine("start", "box").ok().out == "box\n"
    engine("rm", "-f", "-t", "0", "box").ok()


def test_logs_short_n(engine):
    engine("run", "--name", "box", IMAGE, "seq", "1", "9").ok()
    assert engine("logs", "-n", "2", "box").ok().out == "8\n9\n"
    assert engine("logs", "-n2", "--details", "box").ok().out == "8\n9\n"
    assert "podman's -n" in engine("logs", "-n", "box", "box").failed("neither a number").err
    engine("rm", "box").ok()


@pytest.mark.parametrize("name", ["DOCKER_HOST", "CONTAINER_HOST"])
def test_another_machine_is_meant(engine, name):
    for value, warned in (("ssh://prod", True), ("tcp://192.0.2.1:2375", True), ("", False),
                          ("unix:///var/run/docker.sock", False)):
        done = subprocess.run(engine.argv("ps", "-q"), env={**engine.env, name: value}, capture_output=True, text=True)
        assert (done.returncode, name in done.stderr) == (0, warned), (value, done)


def test_system_prune_takes_containers_and_volumes(engines):
    engine = engines()
    engine("run", "--name", "ended", "-v", "used:/v", IMAGE, "true").ok()
    engine("create", "--name", "created", "--label", "keep=1", IMAGE, "true").ok()
    engine.up("sleep", "100", flags=("--name", "up", "-v", "busy:/v"))
    engine("volume", "create", "free").ok()
    assert "all stopped containers" in engine("system", "prune", input="n\n").ok().out
    assert "exclude each other" in engine("system", "prune", "-f", "--volumes", "--filter", "until=1h").failed("until").err
    engine("system", "prune", "-f", "--filter", "label=none").ok()
    engine("system", "prune", "-af", "--filter", "until=1h").ok()
    assert len(engine.ids()) == 3, "none is an hour old"
    out = engine("system", "prune", "-f", "--filter", "label=keep").ok().out
    assert re.match(rf"Deleted Containers:\n{ID}\n\n", out) and engine.state("ended") and not engine.state("created")
    out = engine("system", "prune", "-f").ok().out
    assert "Deleted Volumes" not in out and not engine.state("ended")
    assert set(engine("volume", "ls", "-q").ok().out.split()) == {"used", "busy", "free"}
    out = engine("system", "prune", "-af", "--volumes").ok().out
    assert "Deleted Volumes:\nfree\nused\n" in out or "Deleted Volumes:\nused\nfree\n" in out
    assert re.search(r"^Total reclaimed space: \d", out, re.M)
    assert engine.state("up")[0] == "running" and engine("volume", "ls", "-q").ok().out == "busy\n"
    engine("rm", "-f", "-t", "0", "up").ok()
    engine.check()
