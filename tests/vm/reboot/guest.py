"""What the guest of tests/vm/reboot does in each of its boots."""

import json
import os
import pathlib
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[3]
BERTH, IMAGE = str(TOP / "bin" / "berth"), "localhost/bb:1"
UNIT = "berth-restart.service"
SERVICE = "trap 'exit {}' TERM; echo ready; while :; do sleep 0.2; done"
KEPT = {"always": ("always", 0), "unless": ("unless-stopped", 0), "failure": ("on-failure", 3), "no": ("no", 0),
        "stopped": ("unless-stopped", 0)}


def sh(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, (words, done.returncode, done.stdout[-300:], done.stderr[-600:])
    return done.stdout


def berth(*words):
    return sh(BERTH, *words)


def say(word):
    print(word, flush=True)


def install():
    text = (TOP / "units" / f"{UNIT}.in").read_text().replace("@bindir@/berth", BERTH)
    pathlib.Path("/etc/systemd/system", UNIT).write_text(text)
    sh("systemctl", "daemon-reload")
    sh("systemctl", "add-wants", "vm.target", UNIT)
    sh("systemctl", "start", UNIT)


def churn():
    """Until the power goes: whatever a command does may be cut in the middle."""
    n = 0
    while True:
        n += 1
        berth("run", "-d", "--name", f"c{n}", "--restart", "always", IMAGE, "sleep", "1000")
        berth("run", "--rm", IMAGE, "true")
        if n > 1:
            berth("rm", "-f", f"c{n - 1}")


def first():
    sys.path[:0] = [str(TOP / "tests" / "image"), str(TOP / "tests" / "oci")]
    import kit
    berth("load", "-q", "-i", str(kit.busybox().layout("/var/tmp/layout", IMAGE)))
    install()
    for name, (policy, code) in KEPT.items():
        berth("run", "-d", "--name", name, "--restart", policy, IMAGE, "sh", "-c", SERVICE.format(code))
    berth("stop", "-t", "20", "stopped")
    os.sync()
    say("running")
    churn()


def states():
    return {row["Names"][0]: (row["State"], row["ExitCode"]) for row in json.loads(berth("ps", "-a", "--format", "json"))}


def events():
    """Of the journal: each once, and in order."""
    lines = pathlib.Path("/var/lib/berth/events/journal").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    numbers = [e["seq"] for e in found]
    assert numbers == sorted(set(numbers)), numbers
    printed = berth("events", "--since", "24h", "--until", "0s", "--format", "{{.Action}}").split()
    assert len(printed) == len(found), (len(printed), len(found))
    return found


def check(no):
    sh("systemctl", "start", UNIT)  # waits for the one that the boot has queued
    found = states()
    for name in ("always", "unless", "failure"):
        assert found[name][0] == "running", found
        assert berth("exec", name, "echo", "here") == "here\n"
    assert found["no"] == ("exited", no) and found["stopped"] == ("exited", 0), found
    starts = [e for e in events() if e["action"] == "start" and e.get("name") == "always"]
    assert len(starts) == BOOT, starts
    berth("run", "--rm", IMAGE, "true")  # which sweeps what was half done
    berth("system", "check")
    left = [name for name in found if name not in KEPT]
    if left:
        berth("rm", "-f", *left)
    assert set(states()) == set(KEPT), states()
    assert set(os.listdir("/var/lib/berth/containers")) == set(berth("ps", "-aq", "--no-trunc").split())


def second():
    check(no=255)
    state = json.loads(berth("inspect", "no"))[0]["State"]
    assert state["Error"] == "the machine went down while it ran" and not state["OOMKilled"], state
    berth("start", "no")
    os.sync()
    say("checked")
    sh("systemctl", "reboot")
    time.sleep(600)


def third():
    check(no=0)
    exit = json.loads(berth("inspect", "failure"))[0]["Berth"]["Exits"][-1]
    assert "lost" not in exit, exit
    say("checked")


BOOT = ["first", "second", "third"].index(sys.argv[1]) + 1
try:
    {"first": first, "second": second, "third": third}[sys.argv[1]]()
except (AssertionError, subprocess.TimeoutExpired, KeyError) as e:
    raise SystemExit(f"{type(e).__name__} at line {e.__traceback__.tb_next.tb_lineno}: {e}") from e
