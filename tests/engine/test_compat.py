"""docs/compat.md and compat-commands.md against what they speak of: podman's flags, and berth's own."""

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


# ---- the other commands ----

COMMANDS = kit.REPO / "docs" / "compat-commands.md"


def sections():
    """command -> {flag: (verdict, text)}"""
    found = {}
    for part in COMMANDS.read_text().split("\n## ")[1:]:
        name, _, body = part.partition("\n")
        same = re.search(r"\bSame: ([^.]*)\.", body)
        flags = {flag: ("same", "") for flag in re.findall(r"`--([a-z0-9-]+)`", same[1] if same else "")}
        for flag, _, verdict, text in ROW.findall(body):
            assert flag not in flags, (name, flag)
            assert text or verdict == "same", (name, flag)
            flags[flag] = (verdict, text)
        found[name] = flags
    return found


@pytest.mark.parametrize("command", sorted(sections()))
def test_other_commands(command, tmp_path):
    flags = sections()[command]
    words = command.split() if command != "berth" else []  # the options before a command
    places = ["--root", str(tmp_path / "store"), "--runroot", str(tmp_path / "run")]
    for flag, (verdict, text) in flags.items():
        done = subprocess.run([kit.BERTH, *places, *words, f"--{flag}=x", "--help"], capture_output=True,
                              text=True)
        if verdict == "not":
            assert f"'--{flag}' is not supported: {text}" in done.stderr, (flag, done.stderr)
        else:
            assert "unknown option" not in done.stderr and "is not supported" not in done.stderr, (flag, done.stderr)
    if shutil.which("podman"):
        done = subprocess.run(["podman", *words, "--help"], capture_output=True, text=True)
        theirs = set(FLAG.findall(done.stdout)) if done.returncode == 0 else set()
        missing = theirs - flags.keys() - {"help", "version"}
        assert not missing, sorted(missing)


def test_all_other_commands_are_there():
    listed = set(re.findall(r"^  ([a-z]+) +[A-Z]", help_of(kit.BERTH).split("Commands after")[0], re.M))
    groups = {name.split()[0] for name in sections() if " " in name}
    mine = {"look", "run", "create", "info", "exists"}  # berth's own, or described with run or their group
    named = {name.split()[-1] for name in sections()}
    assert not listed - named - groups - mine, sorted(listed - named - groups - mine)
