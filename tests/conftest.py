"""What the integration suites share: naming what a test needs, so that a skip says what was missing.

    @pytest.mark.needs("root", "program:podman", "lsm:apparmor", "cgroup:hugetlb", "cgroup2:memory")

Each need is looked up in NEEDS; a test whose needs aren't met is skipped with the reason, which ./check
prints. ./check runs each suite with --junitxml and counts from that file.
"""

import os
import pathlib
import shutil

import pytest


def read(path):
    try:
        return pathlib.Path(path).read_text()
    except OSError:
        return ""


def v1_controllers():
    return {c for line in read("/proc/self/mountinfo").splitlines() if " - cgroup " in line
            for c in line.rsplit(" ", 1)[1].split(",")}


def v2_controllers():
    tops = [line.split(" ")[4] for line in read("/proc/self/mountinfo").splitlines() if " - cgroup2 " in line]
    return {c for top in tops for c in read(f"{top}/cgroup.controllers").split()}


def kernel_at_least(version):
    have = os.uname().release.split("-")[0].split(".")[:2]
    return [int(n) for n in have] >= [int(n) for n in version.split(".")]


# need -> (test of its argument, why it fails)
NEEDS = {
    "root": (lambda _: os.geteuid() == 0, "needs root"),
    "user": (lambda _: os.geteuid() != 0, "needs an ordinary user"),
    "program": (lambda name: shutil.which(name), "needs the program {}"),
    "lsm": (lambda name: name in read("/sys/kernel/security/lsm").split(","), "this kernel runs without {}"),
    "cgroup": (lambda name: name in v1_controllers(), "the v1 controller {} is not mounted"),
    "controller": (lambda name: name in v1_controllers() | v2_controllers(), "there is no {} controller"),
    "cgroup2": (lambda name: name in v2_controllers(), "v2 has no {} controller here"),
    "systemd": (lambda _: os.path.isdir("/run/systemd/system"), "systemd is not running"),
    "kernel": (kernel_at_least, "needs kernel {}"),
    "path": (os.path.exists, "needs {}"),
}


def unmet(need):
    """Why this need isn't met here, or None."""
    name, _, argument = need.partition(":")
    test, why = NEEDS[name]
    return None if test(argument) else why.format(argument)


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(*needs): skipped aloud where one is not met; see tests/conftest.py")


def pytest_runtest_setup(item):
    for mark in item.iter_markers("needs"):
        for need in mark.args:
            why = unmet(need)
            if why:
                pytest.skip(why)
