"""stats and top, of what runs."""

from enginekit import IMAGE, eventually


def test_stats(engine):
    engine.up("sh", "-c", "while :; do :; done", flags=("--name", "busy", "--cpus", "0.2", "--memory", "64m"))
    engine("create", "--name", "idle", IMAGE).ok()
    row = engine("stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.PIDs}} {{.MemUsage}}").ok().out.split()
    assert row[0] == "busy" and row[2] == "1" and row[-1] == "64MiB"
    assert eventually(lambda: 2 < float(engine("stats", "--no-stream", "--format", "{{.CPUPerc}}", "busy")
                                        .ok().out.rstrip("%\n")) < 90, 10)
    heading = engine("stats", "-a", "--no-stream").ok().out.splitlines()
    assert heading[0].split("  ")[0] == "CONTAINER ID" and len(heading) == 3 and "--" in heading[1] + heading[2]
    assert engine("stats", "--no-stream", "nobody").code == 1
    engine("rm", "-f", "busy", "idle").ok()


def test_top(engine):
    engine.up("sleep", "100", flags=("--name", "web", "--user", "web"))
    lines = engine("top", "web").ok().out.splitlines()
    assert lines[0].split() == ["USER", "PID", "PPID", "%CPU", "ELAPSED", "TTY", "TIME", "COMMAND"]
    assert lines[1].split()[:3] == ["web", "1", "0"] and lines[1].endswith("sleep 100")
    pid = engine("inspect", "--format", "{{.State.Pid}}", "web").ok().out.strip()
    assert engine("top", "web", "hpid,comm").ok().out.splitlines()[1].split() == [pid, "sleep"]
    assert engine("top", "web", "-o", "pid").ok().out.split() == ["PID", "1"]
    assert engine("top", "web", "shoe").code == 2
    engine("stop", "-t", "0", "web").ok()
    assert "not running" in engine("top", "web").err
    engine("rm", "web").ok()
