"""--security-opt apparmor=PROFILE where AppArmor is."""

import subprocess

import pytest
from enginekit import IMAGE

PROFILE = "profile berth-vm-engine flags=(attach_disconnected,mediate_deleted) {\n  file,\n  signal,\n  deny /etc/group r,\n}\n"
CURRENT = "cat /proc/self/attr/current"


@pytest.fixture(scope="module", autouse=True)
def profile():
    subprocess.run(["apparmor_parser", "--replace"], input=PROFILE, text=True, check=True)


def test_profile(engine):
    assert engine.sh(CURRENT, "--security-opt", "apparmor=berth-vm-engine").out == "berth-vm-engine (enforce)\n"
    engine.sh("cat /etc/group", "--security-opt", "apparmor=berth-vm-engine").failed("permission denied")
    assert engine.sh(CURRENT, "--security-opt", "apparmor=unconfined").out == "unconfined\n"
    engine.sh("true", "--security-opt", "apparmor=nosuch").failed("nosuch")


def test_exec_has_the_profile_too(engine):
    engine.run("-d", "--name", "a", "--security-opt", "apparmor=berth-vm-engine", IMAGE, "sleep", "1000").ok()
    assert engine("exec", "a", "sh", "-c", CURRENT).out == "berth-vm-engine (enforce)\n"
    engine("rm", "-f", "a").ok()
