"""events: what was and what comes, filtered, across the journal's rotation."""

import json
import os
import subprocess

from enginekit import IMAGE, eventually


def test_past_events_filters_and_formats(engine):
    id = engine("create", "--name", "web", "--label", "tier=front", IMAGE, "sh", "-c", "exit 3").ok().out.strip()
    engine("start", "web").ok()
    engine("wait", "web").ok()
    past = ["events", "--no-stream", "--filter", f"container={id}"]
    assert engine(*past, "--format", "{{.Action}}").ok().out.split() == ["create", "start", "die"]
    (die,) = [json.loads(x) for x in engine(*past, "--format", "json", "--filter", "event=die").ok().out.splitlines()]
    assert die["Actor"]["Attributes"]["exitCode"] == "3" and die["Actor"]["Attributes"]["image"] == IMAGE
    assert die["id"] == id and die["Type"] == "container" and die["timeNano"] // 10**9 == die["time"]
    assert len(engine(*past, "--filter", "label=tier=front").ok().out.splitlines()) == 3
    assert engine(*past, "--filter", "label=tier=back").ok().out == ""
    assert len(engine(*past, "--filter", f"image={IMAGE}", "--filter", "event=die", "--filter", "event=start")
               .ok().out.splitlines()) == 2
    assert engine(*past, "--until", "1h").ok().out == ""
    assert engine("events", "--no-stream", "--filter", "colour=red").code == 2
    engine("rm", "web").ok()


def test_prune_tells_what_it_gave_back(engine):
    """An event of its own, as docker has it, after those of what was removed."""
    past = ["events", "--no-stream", "--format", "json"]

    def pruned(what, *filters):
        before = len(engine(*past).ok().out.splitlines())
        engine(*what, "prune", "-f", *filters).ok()
        return [json.loads(x) for x in engine(*past).ok().out.splitlines()][before:]

    engine("run", "--name", "big", "--label", "mine=1", IMAGE, "sh", "-c", "head -c 3000000 /dev/zero >/f").ok()
    engine("volume", "create", "v").ok()
    engine("run", "--rm", "-v", "v:/v", IMAGE, "sh", "-c", "head -c 2000000 /dev/zero >/v/f").ok()
    engine("tag", IMAGE, "x:1").ok()
    for kind, filters, least, most in (("container", ["--filter", "label=mine=1"], 2900000, 4 << 20),
                                       ("volume", ["--filter", "name=v"], 1 << 20, 3 << 20), ("image", [], 0, 0)):
        *removed, last = pruned([kind], *filters)
        assert [e["Action"] for e in removed] == ["remove"] * (kind != "image")
        assert (last["Type"], last["Action"], last["Actor"]["ID"]) == (kind, "prune", "")
        assert least <= int(last["Actor"]["Attributes"]["reclaimed"]) <= most
    assert [e["Type"] for e in pruned(["system"])] == ["container", "image"]
    engine("untag", IMAGE, "x:1").ok()
    assert len(engine("events", "--no-stream", "--filter", "event=prune").ok().out.splitlines()) >= 4


def test_stream_over_a_rotation(engine):
    engine("create", "--name", "web", IMAGE).ok()  # there is a journal
    out = engine.base / "stream"
    with open(out, "wb") as to:
        stream = engine.popen("events", "--filter", "event=rename", "--format", "{{.Name}}", stdout=to)
    try:
        fds = f"/proc/{stream.pid}/fd"
        assert eventually(lambda: any("inotify" in os.readlink(f"{fds}/{n}") for n in os.listdir(fds)), 10)
        engine("rename", "web", "n1").ok()
        assert eventually(lambda: out.read_text().split() == ["n1"], 10), out.read_text()
        journal = engine.root / "events" / "journal"
        os.rename(journal, journal.with_name("journal.1"))
        last = int(journal.with_name("journal.1").read_text().splitlines()[-1].split('"seq":')[1].split(",")[0])
        event = {"seq": last + 1, "time": 1, "type": "container", "action": "rename", "id": "x", "name": "n2",
                 "attributes": {}}
        journal.write_text(json.dumps(event, separators=(",", ":")) + "\n")
        assert eventually(lambda: out.read_text().split() == ["n1", "n2"], 10), out.read_text()
        engine("rename", "n1", "n3").ok()
        assert eventually(lambda: out.read_text().split() == ["n1", "n2", "n3"], 10), out.read_text()
    finally:
        stream.terminate()
        stream.wait()
    engine("rm", "n3").ok()


def test_what_a_power_cut_left(engines):
    """Zeros where lines were to be, or a torn line: what was before stays, and its numbers go on."""
    engine = engines()
    id = engine("create", "--name", "web", IMAGE).ok().out.strip()
    journal = engine.root / "events" / "journal"
    before = journal.read_text()
    last = json.loads(before.splitlines()[-1])["seq"]
    for rest in (b"\0" * 20000, b'{"seq":7,"time":', b"\0" * 100 + b"\n" + b"\0" * 9000):
        with open(journal, "ab") as to:
            to.write(rest)
        engine("rename", "web", "bew").ok()
        engine("rename", "bew", "web").ok()
        last += 2
        lines = journal.read_bytes().splitlines()
        assert journal.read_text().startswith(before) and json.loads(lines[-1])["seq"] == last
        assert json.loads(lines[-2])["seq"] == last - 1
    past = engine("events", "--no-stream", "--filter", f"container={id}", "--format", "{{.Action}}").ok().out.split()
    assert past == ["create"] + ["rename"] * 6
    engine("rm", "web").ok()
    journal.write_bytes(b"\n".join(line for line in journal.read_bytes().splitlines() if line[:1] == b"{") + b"\n")


def test_ends_with_its_reader(engine):
    stream = engine.popen("events", stdout=subprocess.PIPE)
    stream.stdout.close()
    assert stream.wait(10) == 0


def since(engine, n):
    return [(e["type"], e["action"], e["name"]) for e in engine.events()[n:]]


def test_images_and_volumes(engine):
    n = len(engine.events())
    archive = engine.base / "bb.tar"
    engine("tag", IMAGE, "localhost/more:1").ok()
    engine("save", "-o", archive, "localhost/more:1").ok()
    engine("untag", IMAGE, "localhost/more:1").ok()
    engine("load", "-q", "-i", archive).ok()
    engine("rmi", "localhost/more:1").ok()
    with open(engine.base / "fs.tar", "wb") as to:
        subprocess.run(["tar", "-C", engine.base, "-c", "bb.tar"], stdout=to, check=True)
    engine("import", engine.base / "fs.tar", "localhost/imported:1").ok()
    engine("rmi", "localhost/imported:1").ok()
    engine("volume", "create", "of-events").ok()
    engine.run("--rm", "-v", "also:/v", IMAGE, "true").ok()
    engine("volume", "rm", "of-events", "also").ok()
    seen = [e for e in since(engine, n) if e[0] != "container"]
    more = "localhost/more:1"
    assert [e for e in seen if e[0] == "image"] == [
        ("image", "tag", more), ("image", "save", IMAGE), ("image", "untag", more), ("image", "load", more),
        ("image", "untag", more), ("image", "import", "localhost/imported:1"),
        ("image", "remove", "localhost/imported:1")]
    assert [e for e in seen if e[0] == "volume"] == [
        ("volume", "create", "of-events"), ("volume", "create", "also"), ("volume", "remove", "of-events"),
        ("volume", "remove", "also")]
    id = engine.json("image", "inspect", IMAGE)[0]["Id"].removeprefix("sha256:")
    past = ["events", "--no-stream", "--since", "10m", "--format", "{{.Type}} {{.Action}} {{.ID}} {{.Name}}"]
    assert f"image tag {id} {more}" in engine(*past, "--filter", "type=image").ok().out.splitlines()
    assert engine(*past, "--filter", "volume=of-events").ok().out.splitlines() == [
        "volume create of-events of-events", "volume remove of-events of-events"]
    # docker's and podman's words
    assert engine(*past, "--filter", "type=volume", "--filter", "event=destroy").ok().out.count("remove") >= 2
    assert engine(*past, "--filter", "event=delete").ok().out.splitlines()[-1].startswith("image remove")
    (archive.unlink(), (engine.base / "fs.tar").unlink())


def test_health_status(engine):
    engine.up("sleep", "1000", flags=["--name", "web", "--health-cmd", "true", "--health-interval", "1h"])
    engine("healthcheck", "run", "web").ok()
    past = ["events", "--no-stream", "--since", "1m", "--filter", "container=web"]
    last = engine(*past, "--format", "{{.Action}} {{.HealthStatus}}").ok().out.splitlines()[-1]
    assert last == "health_status healthy"
    engine("rm", "-f", "web").ok()
