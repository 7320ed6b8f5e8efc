# vm: --cgroup v2
"""The wall clock stops, jumps back and jumps ahead: nothing that waits is longer or shorter for it."""

import contextlib
import threading
import time

import pytest
from enginekit import IMAGE, eventually

SCRIPT = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"
HOUR = 3600


@pytest.fixture(params=["back", "ahead", "stopped"])
def strange_clock(request):
    """with strange_clock(): the clock is wrong by then, and right again afterwards."""

    @contextlib.contextmanager
    def strange():
        wall, since, over = time.time(), time.monotonic(), threading.Event()

        def hold():
            while not over.wait(0.01):
                time.clock_settime(time.CLOCK_REALTIME, wall)

        holder = threading.Thread(target=hold)
        if request.param == "stopped":
            holder.start()
        else:
            time.clock_settime(time.CLOCK_REALTIME, wall + (HOUR if request.param == "ahead" else -HOUR))
        try:
            yield
        finally:
            over.set()
            if holder.ident:
                holder.join()
            time.clock_settime(time.CLOCK_REALTIME, wall + time.monotonic() - since)

    return strange


def took(function):
    before = time.monotonic()
    function()
    return time.monotonic() - before


def test_stop_waits_as_long_as_it_should(engine, strange_clock):
    id = engine.up("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done", flags=("--name", "m"))
    assert eventually(lambda: "ready" in engine.log(id))
    with strange_clock():
        assert 2 <= took(lambda: engine("stop", "-t", "2", "m", timeout=60).ok()) < 20
        assert engine.state("m") == ("exited", 137)
        assert took(lambda: engine("start", "m").ok()) < 20
        assert took(lambda: engine("rm", "-f", "m").ok()) < 20


def test_lives_go_on(engine, strange_clock):
    """Restarts with their back-off and health checks come when they are due; records and events are in order."""
    with strange_clock():
        id = engine.up("sh", "-c", "exit 7", flags=("--name", "m", "--restart", "on-failure:3"))
        assert eventually(lambda: engine.state("m") == ("exited", 7), 30)
        assert engine.actions(id).count("start") == 4 == engine.actions(id).count("die")
        numbers = [e["seq"] for e in engine.events()]
        assert numbers == sorted(numbers)
        for record in engine.exits(id):
            assert record["finished"] >= record["started"], record
        engine("rm", "m").ok()
        id = engine.up("sh", "-c", SCRIPT, flags=("--name", "h", "--health-cmd", "false", "--health-interval", "300ms",
                                                  "--health-retries", "2"))
        assert eventually(lambda: engine.monitor_state(id)["health"] == "unhealthy", 30)
        engine("rm", "-f", "h").ok()


def test_it_jumps_while_one_runs(engine, strange_clock):
    id = engine.up("sh", "-c", "trap 'exit 5' TERM; echo before; while :; do sleep 0.05; [ -e /go ] && rm /go && echo after; done",
                   flags=("--name", "m"))
    assert eventually(lambda: "before" in engine.log(id))
    with strange_clock():
        engine("exec", "m", "touch", "/go").ok()
        assert eventually(lambda: "after" in engine.log(id))
        assert engine("logs", "m").ok().out == "before\nafter\n"
        assert engine("logs", "--tail", "1", "m").ok().out == "after\n"
        assert engine("logs", "--since", "2h", "m").ok().out == "before\nafter\n"
        assert engine("logs", "--until", str(time.time() + 2 * HOUR), "m").ok().out == "before\nafter\n"
        assert engine.state("m")[0] == "running"
        engine("stop", "-t", "10", "m").ok()
        assert engine.state("m") == ("exited", 5)
        assert engine.exits(id)[-1]["finished"] >= engine.exits(id)[-1]["started"]
    engine("rm", "m").ok()
    engine.run("--rm", IMAGE, "true").ok()
