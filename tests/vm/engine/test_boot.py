# vm: --cgroup v2
"""What becomes of containers when the machine goes down, in order or not, and comes up again."""

import contextlib
import pathlib
import shutil
import subprocess
import uuid

import pytest
from enginekit import IMAGE, eventually, kill, kit, processes_of

UNIT = pathlib.Path(__file__).resolve().parents[3] / "units" / "berth-restart.service.in"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
TRAP = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done"
FAILS = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done"


@pytest.fixture
def boots(engines, unit, systemctl, tmp_path):
    """The machine as systemd and berth see it: boots.up(), boots.down(), boots.cut() (its power)."""
    engine = engines()
    unit("berth-restart.service", UNIT.read_text().replace("@bindir@/berth", " ".join(engine.argv())))

    class Boots:
        def __init__(self):
            self.engine = engine

        def up(self):
            systemctl("start", "berth-restart.service")
            assert systemctl.show("berth-restart.service")["ActiveState"] == "active"

        def down(self):
            systemctl("stop", "berth-restart.service")
            self.new_boot()

        def cut(self):
            """Nobody gets to do anything any more."""
            ids = engine.ids()
            for state in [engine.monitor_state(i) for i in ids if (engine.run_dir(i) / "state.json").exists()]:
                for pid in (state["monitor"], state["pid"]):
                    if pid:
                        with contextlib.suppress(ProcessLookupError):
                            kill(pid)
            assert eventually(lambda: not any(processes_of(i) for i in ids))
            self.new_boot()
            systemctl("stop", "berth-restart.service")

        def new_boot(self):
            for path in engine.shared():
                kit.sh("umount", "-l", path)
            shutil.rmtree(engine.runroot)
            name = tmp_path / str(uuid.uuid4())
            name.write_text(name.name + "\n")
            # For systemd's services; and for us, who are in a mount namespace of our own.
            kit.sh("nsenter", "-t", "1", "-m", "mount", "--bind", name, BOOT_ID)
            if pathlib.Path(BOOT_ID).read_text() != name.read_text():
                kit.sh("mount", "--bind", name, BOOT_ID)

    yield Boots()
    for where in ([], ["nsenter", "-t", "1", "-m"]):
        while subprocess.run([*where, "umount", BOOT_ID], capture_output=True).returncode == 0:
            pass


def services(engine):
    for name, policy, script in (("always", "always", TRAP), ("unless", "unless-stopped", TRAP),
                                 ("failure", "on-failure", FAILS), ("success", "on-failure", TRAP), ("no", "no", TRAP),
                                 ("always2", "always", TRAP), ("unless2", "unless-stopped", TRAP)):
        id = engine.up("sh", "-c", script, flags=("--name", name, "--restart", policy))
        assert eventually(lambda id=id: "ready" in engine.log(id))
    engine("stop", "always2", "unless2").ok()


def running(engine):
    return {name for row in engine.json("ps", "--format", "json") for name in row["Names"]}


def test_in_order(boots):
    engine = boots.engine
    boots.up()
    services(engine)
    mark = engine.events()[-1]
    boots.down()
    assert engine.state("always") == ("exited", 0) and engine.state("failure") == ("exited", 3)
    assert engine.json("inspect", "no")[0]["Berth"]["Exits"][-1]["asked"]["why"] == "the machine goes down"
    boots.up()
    assert running(engine) == {"always", "always2", "unless", "failure"}
    # The journal goes on where it was.
    since = [line.split(" ") for line in engine(
        "events", "--since", "1h", "--until", "0s", "--format", "{{.Action}} {{.Name}}").ok().out.splitlines()]
    assert mark["action"] in ("stop", "die") and since.count(["start", "always"]) == 2, since
    engine("rm", "-fa").ok()


def test_power_cut(boots):
    engine = boots.engine
    engine("create", "--name", "new", "--restart", "always", IMAGE, "true").ok()
    services(engine)
    engine("restart", "-t", "5", "no").ok()  # an exit on record, of the life before
    boots.cut()
    assert engine.state("no") == ("exited", 255)
    state = engine.json("inspect", "no")[0]["State"]
    assert state["Error"] == "the machine went down while it ran" and not state["OOMKilled"]
    assert engine.state("unless2") == ("exited", 0) and engine.state("new")[0] == "created"
    engine.check()
    boots.up()
    assert running(engine) == {"always", "always2", "unless", "failure", "success"}
    assert engine.json("inspect", "always")[0]["Berth"]["Exits"][-1]["lost"] == "the machine went down"
    engine("stop", "-a", "-t", "1").ok()
    boots.down()
    boots.up()
    assert running(engine) == {"always", "always2"}
    engine("rm", "-fa").ok()


def test_filters(engine):
    for name, policy in (("a", "always"), ("b", "on-failure:3"), ("c", "no")):
        engine("create", "--name", name, "--restart", policy, IMAGE, "sleep", "1000").ok()
    engine("start", "--filter", "restart-policy=always", "--filter", "restart-policy=on-failure").ok()
    assert running(engine) == {"a", "b"}
    engine("stop", "-t", "0", "--filter", "restart-policy=always").ok()
    assert running(engine) == {"b"}
    engine("start", "--filter", "nosuch=1").failed("not known")
    engine("rm", "-fa").ok()
