"""What inspect tells of health checks: the last five, as docker has them."""

import json

import pytest
from enginekit import IMAGE, eventually


def health(engine, id):
    return json.loads(engine("inspect", id).ok().out)[0]["State"]["Health"]


@pytest.mark.fast
def test_log(engine):
    id = engine.up("sleep", "100", flags=["--health-cmd", "echo said $$; echo bad >&2; exit 3", "--health-interval", "1h"])
    assert health(engine, id)["Log"] == []
    for n in range(7):
        assert engine("healthcheck", "run", id).code == 1
        assert len(health(engine, id)["Log"]) == min(n + 1, 5)
    log = health(engine, id)["Log"]
    assert all(check["ExitCode"] == 3 and check["Output"].startswith("said ") for check in log)
    assert len({check["Output"] for check in log}) == 5 and all(check["Output"].endswith("\nbad\n") for check in log)
    starts = [check["Start"] for check in log]
    assert starts == sorted(starts) and all(c["Start"] < c["End"] and c["End"].endswith("Z") for c in log)
    engine("stop", "-t0", id).ok()
    assert len(health(engine, id)["Log"]) == 5
    engine("start", id).ok()
    assert health(engine, id)["Log"] == []
    engine("rm", "-f", id).ok()


@pytest.mark.parametrize("command, out", [
    ("head -c 3000 /dev/zero | tr '\\0' x", "x" * 500), ("printf 'a\"\\\\\\tb\\001'", 'a"\\\tb\x01'),
    ("printf '\\303\\050'", "\ufffd("), ("printf 'a\\0b'", "a b"),
])
def test_output(engine, command, out):
    id = engine.up("sleep", "100", flags=["--health-cmd", command, "--health-interval", "1h"])
    assert engine("healthcheck", "run", id).code == 0
    assert [c["Output"] for c in health(engine, id)["Log"]] == [out]
    engine("rm", "-f", id).ok()


def test_too_slow(engine):
    id = engine.up("sleep", "100", flags=["--health-cmd", "sleep 50", "--health-interval", "1h",
                                          "--health-timeout", "200ms"])
    engine("healthcheck", "run", id)
    check = health(engine, id)["Log"][0]
    assert check["ExitCode"] == -1 and check["Output"] == "Health check exceeded timeout (200ms)"
    engine("rm", "-f", id).ok()


def test_start_interval(engine):
    """Soon at first, then as --health-interval says."""
    id = engine.up("sleep", "100", flags=["--health-cmd", "true", "--health-interval", "1h", "--health-start-period",
                                          "1h", "--health-start-interval", "100ms"])
    assert eventually(lambda: health(engine, id)["Status"] == "healthy", 10)
    assert json.loads(engine("inspect", id).ok().out)[0]["Config"]["Healthcheck"]["StartInterval"] == 10**8
    engine("rm", "-f", id).ok()
    id = engine.up("sleep", "100", flags=["--health-cmd", "false", "--health-interval", "1h", "--health-start-period",
                                          "1h", "--health-start-interval", "50ms"])
    assert eventually(lambda: len(health(engine, id)["Log"]) == 5, 10)
    assert health(engine, id)["Status"] == "starting" and health(engine, id)["FailingStreak"] == 0
    engine("rm", "-f", id).ok()


def test_in_run_directory_only(engine):
    """A check's output is nobody's but who may inspect: 0600, and gone with the container."""
    id = engine.up("sleep", "100", flags=["--health-cmd", "echo x", "--health-interval", "1h"])
    engine("healthcheck", "run", id).ok()
    assert (engine.run_dir(id) / "health.json").stat().st_mode & 0o777 == 0o600
    engine("rm", "-f", id).ok()
    assert not engine.run_dir(id).exists()
    assert engine("run", "--rm", IMAGE, "true").ok().code == 0
