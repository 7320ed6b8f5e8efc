"""The kit itself: what it is to catch, it catches."""

import enginekit
import pytest

pytestmark = pytest.mark.fast


def test_the_watch_sees_what_is_left(engine, watch):
    id = engine.up("sleep", "100")
    found = " ".join(watch.now())
    for what in ("process", f"run directory {id}", f"directory {id}", f"record {id}", f"cgroup"):
        assert what in found, found
    engine("rm", "-f", id).ok()
    assert watch.leaks() == []
    assert enginekit.processes_of(id) == []
