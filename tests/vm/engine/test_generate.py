"""`berth generate systemd`: the unit runs a container as any service."""

import re

from enginekit import IMAGE, eventually, kill

SCRIPT = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done"


def test_a_service(engine, systemctl, unit):
    id = engine("create", "--name", "web", IMAGE, "sh", "-c", SCRIPT).ok().out.strip()
    unit("web.service", engine("generate", "systemd", "--name", "--restart-sec", "0", "web").ok().out)
    systemctl("start", "web.service")
    engine.becomes("web", "running")
    shown = systemctl.show("web.service")
    assert shown["ActiveState"] == "active" and int(shown["MainPID"]) > 0
    status = systemctl("status", "--no-pager", "web.service")
    assert re.search(r"Main PID: \d+ \(berth\)", status), status
    assert eventually(lambda: "ready" in engine.log(id))

    before = engine.monitor_state(id)["pid"]
    systemctl("daemon-reload")
    assert engine.monitor_state(id)["pid"] == before and engine.state("web")[0] == "running"

    # However it fails, systemd starts it again: the container's first process, the monitor, the command.
    for victim in (lambda: engine.monitor_state(id)["pid"], lambda: engine.monitor_state(id)["monitor"],
                   lambda: int(systemctl.show("web.service")["MainPID"])):
        old = engine.monitor_state(id)["pid"]
        kill(victim())
        assert eventually(lambda old=old: engine.state("web")[0] == "running" and
                          engine.monitor_state(id)["pid"] not in (0, old), 30), systemctl.show("web.service")
        assert eventually(lambda: systemctl.show("web.service")["ActiveState"] == "active", 10)

    systemctl("stop", "web.service")
    assert engine.state("web") == ("exited", 0)
    assert systemctl.show("web.service")["Result"] == "success"
    engine("rm", "web").ok()
