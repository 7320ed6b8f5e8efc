"""The log driver journald, written by the native protocol and read back through journalctl."""

import json
import os
import signal
import subprocess
import time

import pytest
from enginekit import IMAGE, eventually


def entries(id, *ends):
    """What the journal has of a container, once it has these messages: the last of each of its streams."""
    found = []

    def there():
        out = subprocess.run(["journalctl", "-o", "json", "--all", f"CONTAINER_ID_FULL={id}"], capture_output=True,
                             text=True, check=True).stdout
        found[:] = [json.loads(line) for line in out.splitlines()]
        return set(ends) <= {e["MESSAGE"] for e in found if isinstance(e["MESSAGE"], str)}

    assert eventually(there, 20), found
    return found


def test_fields_and_reading_back(engine):
    long = "x" * 20000
    script = f"echo out; echo err >&2; printf 'a\\001b\\377\\n'; yes {'x' * 50} | tr -d '\\n' | head -c 20000; echo; echo end"
    engine.run("--name", "j", "--log-driver", "journald", "--log-opt", "tag={{.Name}}/{{.ID}}", IMAGE, "sh", "-c",
               script).ok()
    # At once, before anything asked the journal: nothing may be lost on the way.
    read = engine("logs", "j", binary=True)
    assert read.out.replace(b"\n", b"").count(b"x") == len(long) and b"a\x01b\xff\n" in read.out
    assert read.out.endswith(b"end\n") and read.err == "err\n"

    id = engine.ids()[0]
    found = entries(id, "end", "err")
    first = found[0]
    assert (first["CONTAINER_NAME"], first["CONTAINER_ID"], first["CONTAINER_TAG"]) == ("j", id[:12], f"j/{id[:12]}")
    assert first["SYSLOG_IDENTIFIER"] == f"j/{id[:12]}"
    by = {e["MESSAGE"]: e for e in found if isinstance(e["MESSAGE"], str)}
    assert by["out"]["PRIORITY"] == "6" and by["err"]["PRIORITY"] == "3"
    assert [97, 1, 98, 255] in [e["MESSAGE"] for e in found]
    parts = [e for e in found if e.get("CONTAINER_PARTIAL_MESSAGE") == "true"]
    assert parts and all(len(p["MESSAGE"]) <= 16384 for p in parts)

    # Which of two pipes is read last is nobody's promise.
    tail = engine("logs", "--tail", "1", "j")
    assert (tail.out, tail.err) == (("", "err\n") if found[-1]["MESSAGE"] == "err" else ("end\n", ""))
    assert engine("logs", "--until", "1h", "j").out == ""
    engine("rm", "j").ok()


def test_following(engine):
    engine.run("-d", "--name", "j", "--log-driver", "journald", IMAGE, "sh", "-c",
               "for i in 1 2 3 4 5; do echo line $i; sleep 0.3; done").ok()
    begun = time.monotonic()
    assert engine("logs", "-f", "j", timeout=60).out == "".join(f"line {i}\n" for i in range(1, 6))
    assert time.monotonic() - begun < 40
    # One that has ended, and one that begins in the middle.
    assert engine("logs", "-f", "--tail", "2", "j", timeout=60).out == "line 4\nline 5\n"
    engine("rm", "-f", "j").ok()


def test_following_loses_nothing(engine):
    """journald is behind when the container ends: it stands still."""
    engine.run("-d", "--name", "j", "--log-driver", "journald", IMAGE, "sh", "-c",
               "echo begun; while [ ! -e /go ]; do sleep 0.05; done; seq 200; echo end").ok()
    id = engine.ids()[0]
    entries(id, "begun")
    following = engine.popen("logs", "-f", "j", stdout=subprocess.PIPE, text=True)
    assert following.stdout.readline() == "begun\n"
    journald, = map(int, subprocess.check_output(["pidof", "systemd-journald"], text=True).split())
    os.kill(journald, signal.SIGSTOP)
    try:
        engine("exec", "j", "touch", "/go").ok()
        assert eventually(lambda: engine.state("j") == ("exited", 0))
        with pytest.raises(subprocess.TimeoutExpired):
            following.wait(3)
    finally:
        os.kill(journald, signal.SIGCONT)
    assert following.communicate(timeout=60)[0] == "".join(f"{i}\n" for i in range(1, 201)) + "end\n"
    engine("rm", "j").ok()


def test_many_lines(engine):
    engine.run("--name", "j", "--log-driver", "journald", IMAGE, "seq", "3000").ok()
    assert engine("logs", "j").out.split() == [str(i) for i in range(1, 3001)]
    engine("rm", "j").ok()
