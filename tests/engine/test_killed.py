"""Commands, monitors and runtimes killed at each of their system calls, by tests/faults/killer.c. Afterwards
`ps` tells the truth, `rm -f` removes, the name is free, and nothing is left of anything.

A strike is a dozen commands, so all steps of all walks (BERTH_STEP=1) take more than an hour: by default every 23rd
step is taken."""

import errno
import os
import signal

import kit
import pytest
from enginekit import IMAGE, eventually, processes_of
from strikes import SYS_WRITE, Killer, go_on, only_x86_64

ENDS = 3
LASTS = "trap 'exit 5' TERM; while :; do sleep 0.05; done"

STEP = int(os.environ.get("BERTH_STEP", "23"))
pytestmark = only_x86_64

RUN = ("run", "-d", "--name", "m", IMAGE, "sh", "-c", LASTS)
RUN_RM = ("run", "--rm", "--name", "m", IMAGE, "sh", "-c", f"exit {ENDS}")
CREATE = ("create", "--name", "m", IMAGE, "sh", "-c", LASTS)
COMMANDS = {  # what was there before, and what is struck
    "run": ([], RUN),
    "run-rm": ([], RUN_RM),
    "create": ([], CREATE),
    "start": ([CREATE], ("start", "m")),
    "start-again": ([CREATE, ("start", "m"), ("stop", "-t", "0", "m")], ("start", "m")),
    "stop": ([RUN], ("stop", "-t", "0", "m")),
    "restart": ([RUN], ("restart", "-t", "0", "m")),
    "kill": ([RUN], ("kill", "m")),
    "pause": ([RUN], ("pause", "m")),
    "unpause": ([RUN, ("pause", "m")], ("unpause", "m")),
    "rename": ([RUN], ("rename", "m", "n")),
    "update": ([RUN], ("update", "--restart", "always", "--pids-limit", "77", "m")),
    "rm": ([CREATE], ("rm", "m")),
    "rm-f": ([RUN], ("rm", "-f", "m")),
}


@pytest.fixture(scope="session")
def killer(base):
    return Killer(base)


class Struck:
    """An engine whose commands are struck in the middle again and again."""

    def __init__(self, engine, killer, watch, step):
        self.engine, self.killer, self.watch, self.step = engine, killer, watch, step

    def strike(self, words, n, child=0, error=0, sig=signal.SIGKILL):
        result = self.engine(*words, prefix=self.killer.argv(n, child, error, sig), timeout=60)
        return *self.killer.struck(), result

    def untrue(self):
        """What ps -a says and is not so."""
        for row in self.engine.json("ps", "-a", "--format", "json"):
            pids = processes_of(row["Id"])
            if (row["Pid"] not in pids) if row["State"] in ("running", "paused") else (
                    pids and row["State"] != "dead"):
                return row, pids
        return None

    def settled(self, context):
        """What was killed has come to rest: ps tells the truth then."""
        go_on(kit.children())
        assert eventually(lambda: kit.children_reap() is not None and not self.untrue(), 10), (context, self.untrue())

    def clean(self, context):
        """All can be removed, the name is free, and whoever takes it finds nothing left of the last."""
        removed = self.engine("rm", "-fa", timeout=60)
        assert removed.code == 0, (context, removed)
        made = self.engine("create", "--name", "m", IMAGE)
        assert made.code == 0, (context, made)
        assert self.engine("rm", "m").code == 0, context
        check = self.engine("system", "check")
        assert check.code == 0, (context, check)
        leaks = self.watch.leaks()
        assert not leaks, (context, leaks)

    def walk(self, name, child=0, error=0, sig=signal.SIGKILL, after=None):
        """Strikes at every step until the command completes unharmed; how many steps there were."""
        before, words = COMMANDS[name]
        n = 0
        while True:
            for each in before:
                self.engine(*each).ok()
            what, call, result = self.strike(words, n, child, error, sig)
            context = (name, f"step {n}", f"call {call}", what, result)
            if after and what != "completed":
                after(context, call, result)
            self.settled(context)
            self.clean(context)
            if what == "completed":
                assert result.code == (ENDS if words == RUN_RM else 0), context
                return n
            n += self.step


@pytest.fixture
def struck(engine, killer, watch):
    return Struck(engine, killer, watch, STEP)


@pytest.mark.fast
@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_killed_at_each_call(struck, name):
    assert struck.walk(name) >= struck.step


@pytest.mark.fast
@pytest.mark.parametrize("name", ["run", "run-rm", "start", "start-again"])
def test_the_monitor_killed_at_each_call(struck, name):
    assert struck.walk(name, child=1) >= struck.step


@pytest.mark.fast
@pytest.mark.parametrize("name", ["run", "run-rm", "start-again"])
def test_the_runtime_killed_at_each_call(struck, name):
    assert struck.walk(name, child=2) >= struck.step


@pytest.mark.fast
@pytest.mark.parametrize("name", ["run", "run-rm"])
def test_init_killed_at_each_call(struck, name):
    assert struck.walk(name, child=3) >= struck.step


@pytest.mark.fast
@pytest.mark.parametrize("name, child", [("run", 0), ("run", 1), ("run-rm", 0), ("create", 0), ("start", 0), ("start", 1),
                                         ("stop", 0), ("rename", 0), ("update", 0), ("rm", 0), ("rm-f", 0)])
def test_each_call_fails(struck, name, child):
    """Each change fails once: the command succeeds all the same, or says why."""

    def after(context, call, result):
        assert result.code < 128, context
        if result.code not in (0, ENDS) and call != SYS_WRITE:  # which may have been the message itself
            assert result.err.strip(), context

    assert struck.walk(name, child=child, error=errno.EIO, after=after) >= 10


@pytest.mark.fast
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["create", "run", "run-rm"])
def test_a_signal_at_each_call(struck, name, sig):
    """Before a container is there, all is undone at once, by the command itself; after that it is whole."""

    def after(context, call, result):
        rows = struck.engine.json("ps", "-a", "--format", "json")
        if result.code in (0, ENDS):
            return
        assert result.code == 128 + sig, context
        if rows:
            assert name == "run" and rows[0]["State"] == "running", (context, rows)
        else:
            assert not struck.engine.listed("containers") and not struck.engine.listed("records"), context
            assert not result.out, context

    assert struck.walk(name, sig=sig, after=after) >= struck.step
