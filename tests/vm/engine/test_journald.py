"""The log driver journald, written by the native protocol and read back through journalctl."""

import json
import subprocess
import time

from enginekit import IMAGE, eventually


def entries(id, count):
    """What the journal has of a container, once it has that much."""
    found = []

    def there():
        out = subprocess.run(["journalctl", "-o", "json", "--all", f"CONTAINER_ID_FULL={id}"], capture_output=True,
                             text=True, check=True).stdout
        found[:] = [json.loads(line) for line in out.splitlines()]
        return len(found) >= count

    assert eventually(there, 20), found
    return found


def test_fields_and_reading_back(engine):
    long = "x" * 20000
    script = f"echo out; echo err >&2; printf 'a\\001b\\377\\n'; yes {'x' * 50} | tr -d '\\n' | head -c 20000; echo; echo end"
    engine.run("--name", "j", "--log-driver", "journald", "--log-opt", "tag={{.Name}}/{{.ID}}", IMAGE, "sh", "-c",
               script).ok()
    id = engine.ids()[0]
    found = entries(id, 6)
    first = found[0]
    assert (first["CONTAINER_NAME"], first["CONTAINER_ID"], first["CONTAINER_TAG"]) == ("j", id[:12], f"j/{id[:12]}")
    assert first["SYSLOG_IDENTIFIER"] == f"j/{id[:12]}"
    by = {e["MESSAGE"]: e for e in found if isinstance(e["MESSAGE"], str)}
    assert by["out"]["PRIORITY"] == "6" and by["err"]["PRIORITY"] == "3"
    assert [97, 1, 98, 255] in [e["MESSAGE"] for e in found]
    parts = [e for e in found if e.get("CONTAINER_PARTIAL_MESSAGE") == "true"]
    assert parts and all(len(p["MESSAGE"]) <= 16384 for p in parts)

    read = engine("logs", "j", binary=True)
    assert read.out.replace(b"\n", b"").count(b"x") == len(long) and b"a\x01b\xff\n" in read.out
    assert read.out.endswith(b"end\n") and read.err == "err\n"
    assert engine("logs", "--tail", "1", "j").out == "end\n"
    assert engine("logs", "--until", "1h", "j").out == ""
    engine("rm", "j").ok()


def test_following(engine):
    engine.run("-d", "--name", "j", "--log-driver", "journald", IMAGE, "sh", "-c",
               "for i in 1 2 3 4 5; do echo line $i; sleep 0.3; done").ok()
    begun = time.monotonic()
    assert engine("logs", "-f", "j", timeout=60).out == "".join(f"line {i}\n" for i in range(1, 6))
    assert time.monotonic() - begun < 40
    engine("rm", "-f", "j").ok()


def test_many_lines(engine):
    engine.run("--name", "j", "--log-driver", "journald", IMAGE, "seq", "3000").ok()
    entries(engine.ids()[0], 3000)
    assert engine("logs", "j").out.split() == [str(i) for i in range(1, 3001)]
    engine("rm", "j").ok()
