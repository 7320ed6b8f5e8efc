"""Crash safety: the runtime killed at each of its system calls, and each of them failing.

tests/faults/killer.c strikes; afterwards `delete --force` must succeed and nothing may remain. The whole
walk takes minutes; the fast subset takes every 11th step."""

import errno
import json

import kit
import pytest
from strikes import SYS_WRITE, Killer, only_x86_64

CREATE, START, RUN, EXEC, DELETE = "create", "start", "run", "exec", "delete"

pytestmark = [only_x86_64, pytest.mark.lacks("runc", "crun", why="leave containers half made")]
full = [pytest.param(1, id="all")]
sampled = [pytest.param(11, id="sampled", marks=pytest.mark.fast)]


class Struck:
    """One container, made and struck again and again."""

    def __init__(self, box, workshop, watch, step):
        self.box, self.watch, self.step = box, watch, step
        self.killer = Killer(workshop.base)
        box.args("sleep", "1000")
        box.resources.update(memory={"limit": 64 << 20}, pids={"limit": 50})
        box.config["hooks"] = {}
        box.save()

    def verb(self, verb):
        box = self.box
        if verb in (CREATE, RUN):
            return [verb, "--bundle", box.dir, box.id]
        return {START: [START, box.id], EXEC: [EXEC, box.id, "true"], DELETE: [DELETE, "--force", box.id]}[verb]

    def prepare(self, verb):
        """The state in which the verb makes sense."""
        if verb in (START, EXEC, DELETE):
            self.box.runtime("create", "--bundle", self.box.dir, self.box.id, stdout=self.box.stdout).ok()
        if verb in (EXEC, DELETE):
            self.box.start().ok()
        if verb == RUN:
            self.box.args("true").save()

    def strike(self, verb, n, child=0, error=0):
        """Runs the verb and strikes at step n; what happened and the result."""
        result = self.box.runtime(*self.verb(verb), prefix=self.killer.argv(n, child, error),
                                  stdout=self.box.dir / "struck")
        return *self.killer.struck(), result

    def clean(self, context):
        """delete --force succeeds, and nothing remains."""
        kit.children_reap()
        result = self.box.runtime("delete", "--force", self.box.id, timeout=30)
        assert result.code == 0, (context, result)
        assert not self.watch.leaks(5), (context, self.watch.now())

    def walk(self, verb, child=0, error=0, after=None):
        """Strikes at every step until the verb completes unharmed; how many steps there were."""
        n = 0
        while True:
            self.prepare(verb)
            what, call, result = self.strike(verb, n, child, error)
            context = (verb, f"step {n}", f"call {call}", what)
            if after and what != "completed":
                after(context, call, result)
            self.clean(context)
            if what == "completed":
                assert result.code == 0, (context, result)
                return n
            n += self.step


@pytest.fixture
def struck(box, workshop, watch, request):
    return Struck(box, workshop, watch, request.param)


steps = pytest.mark.parametrize("struck", full + sampled, indirect=True)


@steps
@pytest.mark.parametrize("verb", [CREATE, RUN, START, EXEC, DELETE])
def test_runtime_killed_at_each_call(struck, verb):
    assert struck.walk(verb) >= struck.step


@steps
@pytest.mark.parametrize("verb", [CREATE, RUN])
def test_init_killed_at_each_call(struck, verb):
    """The runtime fails with a message and has already cleaned up, without any delete."""

    def after(context, call, result):
        if result.code == 0:
            return  # init was killed after it had done its part
        if verb == RUN and result.code == 137:
            return  # the container's own end
        assert result.err.strip(), (context, result)
        assert not struck.watch.leaks(5), (context, struck.watch.now())

    assert struck.walk(verb, child=1, after=after) >= struck.step


@steps
@pytest.mark.parametrize("child", [1, 2])
def test_stage_of_exec_killed_at_each_call(struck, child):
    """exec joins through a process in between; whichever of them dies, exec ends and the container lives."""

    def after(context, call, result):
        assert struck.box.status == "running", (context, result)
        assert result.code in (0, 137) or result.err.strip(), (context, result)

    assert struck.walk(EXEC, child=child, after=after) >= struck.step


@steps
@pytest.mark.parametrize("name", ["ENOMEM", "EIO"])
@pytest.mark.parametrize("verb, child", [(CREATE, 0), (CREATE, 1), (RUN, 0), (EXEC, 0), (EXEC, 1), (START, 0)])
def test_each_call_fails(struck, verb, child, name):
    """Each change fails once: the runtime succeeds all the same, or says why and leaves nothing."""

    def after(context, call, result):
        assert result.code < 128 or result.code == 255, (context, result)
        if result.code == 0:
            return
        if call != SYS_WRITE:  # which may have been the message itself
            assert result.err.strip(), (context, result)
        if verb in (CREATE, RUN):
            assert not struck.watch.leaks(5), (context, struck.watch.now())
        else:
            status = json.loads(struck.box.runtime("state", struck.box.id).ok().out)["status"]
            assert status in ("created", "running", "stopped"), (context, status)

    assert struck.walk(verb, child=child, error=getattr(errno, name), after=after) >= struck.step


@pytest.mark.fast
def test_killer_strikes(struck_once):
    """The tool itself: a kill is seen, a failed call is seen, an unharmed run completes."""
    what, call, result = struck_once.strike(CREATE, 3)
    assert (what, result.code) == ("killed", 137)
    struck_once.clean("killed")
    what, call, result = struck_once.strike(CREATE, 2, error=errno.ENOMEM)
    assert what == "failed"
    struck_once.clean("failed")
    what, call, result = struck_once.strike(CREATE, 1000000)
    assert (what, result.code) == ("completed", 0)
    struck_once.clean("completed")


@pytest.fixture
def struck_once(box, workshop, watch):
    return Struck(box, workshop, watch, 1)
