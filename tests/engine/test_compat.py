"""docs/compat.md against what it speaks of: podman's flags, and berth's own."""

import re
import shutil
import subprocess

import kit
import pytest

PAGE = kit.REPO / "docs" / "compat.md"
ROW = re.compile(r"^\| `--([a-z0-9-]+)` \| ([a-z ]+) \| (same|different|not) \| (.*) \|$", re.M)
FLAG = re.compile(r"^ +(?:-\w, )?--([a-z0-9-]+)", re.M)
# Accepted without a line in the help.
SILENT = {"expose", "disable-content-trust"}


def help_of(*argv):
    return subprocess.run([*argv, "--help"], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def rows():
    found = ROW.findall(PAGE.read_text())
    assert len(found) > 100
    return {flag: (of, verdict, text) for flag, of, verdict, text in found}


def test_each_once(rows):
    flags = [row[0] for row in ROW.findall(PAGE.read_text())]
    assert len(flags) == len(set(flags))
    assert len(flags) == PAGE.read_text().count("\n| `--")


def test_podman_flags(rows):
    if not shutil.which("podman"):
        pytest.skip("needs the program podman")
    flags = set(FLAG.findall(help_of("podman", "run")))
    assert len(flags) > 100
    missing = sorted(flags - rows.keys())
    assert not missing, missing


def test_our_help(rows):
    ours = set(FLAG.findall(help_of(kit.BERTH, "run"))) | SILENT
    claimed = {flag for flag, row in rows.items() if row[1] != "not"}
    assert not claimed - ours, sorted(claimed - ours)
    assert not (rows.keys() - claimed) & ours


def test_reasons(rows):
    """What is not supported is refused with the page's own words, what is different says how."""
    for flag, (_, verdict, text) in rows.items():
        assert bool(text) == (verdict != "same"), flag
        if verdict == "not":
            done = subprocess.run([kit.BERTH, "run", f"--{flag}=x", "image"], capture_output=True, text=True)
            assert done.returncode == 125, (flag, done)
            assert f"'--{flag}' is not supported: {text}" in done.stderr, (flag, done.stderr)
